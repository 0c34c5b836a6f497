/* SPDX-License-Identifier: BSD-2-Clause */
/* What a received packet says. Each check refuses for the reason that packet.h gives for its name. */
#include "net/packet.h"

#include <arpa/inet.h>

#include "net/checksum.h"

#define CHAIN_MAX 8

const char *packet_check_name(enum packet_check check)
{
	static const char *const names[PACKET_CHECKS] = {
	    [PACKET_ACCEPTED] = "accepted",
	    [PACKET_FRAME_SHORT] = "frame short",
	    [PACKET_HEADERS_SPLIT] = "headers split",
	    [PACKET_MAC_OTHER] = "mac other",
	    [PACKET_MAC_GROUP] = "mac group",
	    [PACKET_MAC_SOURCE] = "mac source",
	    [PACKET_VLAN_TAGS] = "vlan tags",
	    [PACKET_VLAN_OTHER] = "vlan other",
	    [PACKET_TYPE_OTHER] = "type other",
	    [PACKET_IP_SHORT] = "ip short",
	    [PACKET_IP_VERSION] = "ip version",
	    [PACKET_IPV4_HEADER] = "ipv4 header",
	    [PACKET_IPV4_LENGTH] = "ipv4 length",
	    [PACKET_IPV4_CHECKSUM] = "ipv4 checksum",
	    [PACKET_IPV4_FRAGMENT] = "ipv4 fragment",
	    [PACKET_IPV4_OPTION] = "ipv4 option",
	    [PACKET_IPV4_ROUTE] = "ipv4 route",
	    [PACKET_IPV6_LENGTH] = "ipv6 length",
	    [PACKET_IPV6_MAPPED] = "ipv6 mapped",
	    [PACKET_IPV6_CHAIN] = "ipv6 chain",
	    [PACKET_IPV6_OPTION] = "ipv6 option",
	    [PACKET_IPV6_ROUTE] = "ipv6 route",
	    [PACKET_IPV6_FRAGMENT] = "ipv6 fragment",
	    [PACKET_IPV6_HEADER] = "ipv6 header",
	    [PACKET_SOURCE] = "source",
	    [PACKET_DESTINATION] = "destination",
	    [PACKET_PROTOCOL_OTHER] = "protocol other",
	    [PACKET_UDP_SHORT] = "udp short",
	    [PACKET_UDP_LENGTH] = "udp length",
	    [PACKET_UDP_UNSUMMED] = "udp unsummed",
	    [PACKET_UDP_CHECKSUM] = "udp checksum",
	    [PACKET_TCP_SHORT] = "tcp short",
	    [PACKET_TCP_OFFSET] = "tcp offset",
	    [PACKET_TCP_CHECKSUM] = "tcp checksum",
	    [PACKET_ADDRESS_OTHER] = "address other",
	    [PACKET_PORT_OTHER] = "port other",
	    [PACKET_SLICES] = "slices",
	};

	return check < PACKET_CHECKS ? names[check] : "?";
}

/* A frame under parsing. The headers are in its first piece. */
struct frame {
	const uint8_t *bytes;
	uint32_t first; /* bytes of the first piece, as far as they are before the end */
	uint32_t end;   /* bytes of all; once the IP header was read, without what is behind the IP packet */
	uint32_t at;    /* what is not read yet */
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The next n bytes are there to be read; `too_short` if the frame ends before. */
static enum packet_check need(const struct frame *f, uint32_t n, enum packet_check too_short)
{
	if (f->at + n <= f->first)
		return PACKET_ACCEPTED;
	return f->end - f->at < n ? too_short : PACKET_HEADERS_SPLIT;
}

/* What is behind the IP packet is padding. */
static void ends(struct frame *f, uint32_t end)
{
	f->end = end;
	if (f->first > end)
		f->first = end;
}

/* --- Ethernet */

static bool is_tag(uint16_t type)
{
	return type == 0x8100 || type == 0x88a8; /* IEEE 802.1Q, 802.1ad */
}

static enum packet_check macs(const uint8_t *to, const uint8_t *from, const struct packet_options *o)
{
	static const uint8_t nobody[6];

	if (to[0] & 1)
		return PACKET_MAC_GROUP; /* RFC 1122, section 3.3.6 */
	if (o->mac && memcmp(to, o->mac, 6) != 0)
		return PACKET_MAC_OTHER;
	return from[0] & 1 || memcmp(from, nobody, 6) == 0 ? PACKET_MAC_SOURCE : PACKET_ACCEPTED;
}

static enum packet_check vlan(const struct packet_path *path, const struct packet_options *o)
{
	uint16_t inner = path->tags ? get16(&path->tag[4 * path->tags - 2]) & 0xfff : 0;

	if (o->vlan == PACKET_VLAN_ANY)
		return PACKET_ACCEPTED;
	return path->tags > 1 || inner != o->vlan ? PACKET_VLAN_OTHER : PACKET_ACCEPTED;
}

static enum packet_check ethernet(struct frame *f, const struct packet_options *o, struct packet_path *path,
				  uint16_t *type)
{
	enum packet_check bad = need(f, 14, PACKET_FRAME_SHORT);
	const uint8_t *p = f->bytes;

	if (bad || (bad = macs(p, p + 6, o)))
		return bad;
	memcpy(path->mac_destination, p, 6);
	memcpy(path->mac_source, p + 6, 6);
	path->tags = 0;
	f->at = 14;
	while (is_tag(*type = get16(p + f->at - 2))) {
		if (path->tags == 2)
			return PACKET_VLAN_TAGS;
		if ((bad = need(f, 4, PACKET_FRAME_SHORT)))
			return bad;
		memcpy(&path->tag[4 * path->tags++], p + f->at - 2, 4);
		f->at += 4;
	}
	return vlan(path, o);
}

/* --- IPv4 */

static enum packet_check ipv4_options(const uint8_t *p, uint32_t n)
{
	for (uint32_t at = 0; at < n && p[at] != 0;) { /* 0: end of the options */
		if (p[at] == 1) {                      /* padding */
			at++;
			continue;
		}
		if (n - at < 2 || p[at + 1] < 2 || p[at + 1] > n - at)
			return PACKET_IPV4_OPTION;
		if (p[at] == 131 || p[at] == 137) /* loose and strict source route */
			return PACKET_IPV4_ROUTE;
		at += p[at + 1];
	}
	return PACKET_ACCEPTED;
}

static uint64_t ipv4_sum(const uint8_t *h, uint32_t header)
{
	uint64_t sum = checksum_add16(0, h);
	uint32_t last;

	if (header > 20)
		return checksum_add(sum, h + 16, header - 16);
	memcpy(&last, h + 16, sizeof(last));
	return sum + last;
}

static enum packet_check ipv4(struct frame *f, struct packet *p)
{
	enum packet_check bad = need(f, 20, PACKET_IP_SHORT);
	const uint8_t *h = f->bytes + f->at;

	if (bad)
		return bad;
	if (h[0] >> 4 != 4)
		return PACKET_IP_VERSION;
	uint32_t header = (h[0] & 15u) * 4, total = get16(h + 2);
	if (header < 20)
		return PACKET_IPV4_HEADER;
	if ((bad = need(f, header, PACKET_IPV4_HEADER)))
		return bad;
	if (total < header || total > f->end - f->at)
		return PACKET_IPV4_LENGTH;
	if (checksum_fold(ipv4_sum(h, header)) != 0xffff)
		return PACKET_IPV4_CHECKSUM;
	if (get16(h + 6) & 0x3fff) /* more fragments, or not the first */
		return PACKET_IPV4_FRAGMENT;
	if (header > 20 && (bad = ipv4_options(h + 20, header - 20)))
		return bad;
	p->path.traffic_class = h[1];
	p->hop_limit = h[8];
	p->protocol = h[9];
	p->path.source = net_address4(h + 12);
	p->path.destination = net_address4(h + 16);
	ends(f, f->at + total);
	f->at += header;
	if (net_address_kind4(h + 12) != NET_UNICAST)
		return PACKET_SOURCE;
	return net_address_kind4(h + 16) != NET_UNICAST ? PACKET_DESTINATION : PACKET_ACCEPTED;
}

/* --- IPv6 */

/* Hop-by-hop or destination options, behind the header's first two bytes. */
static enum packet_check ipv6_options(const uint8_t *p, uint32_t n)
{
	for (uint32_t at = 0; at < n;) {
		if (p[at] == 0) { /* one byte of padding */
			at++;
			continue;
		}
		if (n - at < 2 || p[at + 1] > n - at - 2)
			return PACKET_IPV6_CHAIN;
		/* The upper two bits say what to do with one that is not known, and none is known here. */
		if (p[at] >> 6 != 0)
			return PACKET_IPV6_OPTION;
		at += 2u + p[at + 1];
	}
	return PACKET_ACCEPTED;
}

/* One header of the chain; p->protocol becomes the next. */
static enum packet_check ipv6_header(struct frame *f, struct packet *p)
{
	enum packet_check bad = need(f, 8, PACKET_IPV6_CHAIN);
	const uint8_t *h = f->bytes + f->at;
	uint32_t length = 8;

	if (bad)
		return bad;
	switch (p->protocol) {
	case 0:  /* hop-by-hop options */
	case 60: /* destination options */
		length = 8u + 8u * h[1];
		if ((bad = need(f, length, PACKET_IPV6_CHAIN)) || (bad = ipv6_options(h + 2, length - 2)))
			return bad;
		break;
	case 43: /* routing */
		length = 8u + 8u * h[1];
		if ((bad = need(f, length, PACKET_IPV6_CHAIN)))
			return bad;
		if (h[3] != 0) /* segments left */
			return PACKET_IPV6_ROUTE;
		break;
	case 44: /* fragment */
		if (get16(h + 2) & 0xfff9)
			return PACKET_IPV6_FRAGMENT;
		break;
	}
	p->protocol = h[0];
	f->at += length;
	return PACKET_ACCEPTED;
}

static enum packet_check ipv6_chain(struct frame *f, struct packet *p)
{
	for (int headers = 0;; headers++) {
		switch (p->protocol) {
		case 0:
			if (headers > 0) /* only as the first (RFC 8200, section 4.1) */
				return PACKET_IPV6_CHAIN;
			break;
		case 43:
		case 44:
		case 60:
			break;
		case 50:  /* encryption */
		case 51:  /* authentication */
		case 135: /* mobility */
		case 139: /* host identity */
		case 140: /* shim6 */
			return PACKET_IPV6_HEADER;
		default:
			return PACKET_ACCEPTED;
		}
		if (headers == CHAIN_MAX)
			return PACKET_IPV6_CHAIN;
		enum packet_check bad = ipv6_header(f, p);
		if (bad)
			return bad;
	}
}

static enum packet_check ipv6(struct frame *f, struct packet *p)
{
	enum packet_check bad = need(f, 40, PACKET_IP_SHORT);
	const uint8_t *h = f->bytes + f->at;

	if (bad)
		return bad;
	if (h[0] >> 4 != 6)
		return PACKET_IP_VERSION;
	uint32_t length = get16(h + 4);
	if (length == 0 || length > f->end - f->at - 40)
		return PACKET_IPV6_LENGTH;
	p->path.traffic_class = (uint8_t)(h[0] << 4 | h[1] >> 4);
	p->protocol = h[6];
	p->hop_limit = h[7];
	memcpy(p->path.source.byte, h + 8, 16);
	memcpy(p->path.destination.byte, h + 24, 16);
	if (net_address_is4(&p->path.source) || net_address_is4(&p->path.destination))
		return PACKET_IPV6_MAPPED;
	f->at += 40;
	ends(f, f->at + length);
	if ((bad = ipv6_chain(f, p)))
		return bad;
	if (net_address_kind(&p->path.source) != NET_UNICAST)
		return PACKET_SOURCE;
	return net_address_kind(&p->path.destination) != NET_UNICAST ? PACKET_DESTINATION : PACKET_ACCEPTED;
}

/* --- both */

enum packet_check packet_parse(const struct packet_piece *pieces, uint32_t n, const struct packet_options *o,
			       struct packet *p)
{
	struct frame f = {.bytes = pieces[0].bytes, .first = pieces[0].length};
	uint16_t type;

	for (uint32_t i = 0; i < n; i++)
		f.end += pieces[i].length;
	enum packet_check bad = ethernet(&f, o, &p->path, &type);
	if (bad)
		return bad;
	if (type != 0x0800 && type != 0x86dd)
		return PACKET_TYPE_OTHER;
	if ((bad = type == 0x0800 ? ipv4(&f, p) : ipv6(&f, p)))
		return bad;
	p->bare_sum = false;
	p->transport = (uint16_t)f.at;
	p->transport_length = f.end - f.at;
	return PACKET_ACCEPTED;
}

uint64_t packet_sum(const struct packet_piece *pieces, uint32_t n, uint32_t at, uint32_t length)
{
	uint64_t sum = 0;
	uint32_t done = 0;

	for (uint32_t i = 0; i < n && done < length; i++) {
		if (at >= pieces[i].length) {
			at -= pieces[i].length;
			continue;
		}
		uint32_t now = pieces[i].length - at;
		if (now > length - done)
			now = length - done;
		sum = checksum_add_at(sum, done, pieces[i].bytes + at, now);
		done += now;
		at = 0;
	}
	return sum;
}

static enum packet_check udp_checksum(const struct packet_piece *pieces, uint32_t n,
				      const struct packet_options *o, const uint8_t *header, uint32_t length,
				      struct packet *p)
{
	uint64_t pseudo = packet_pseudo_sum(&p->path, PACKET_PROTOCOL_UDP, length);
	uint16_t field;

	memcpy(&field, header + 6, sizeof(field));
	if (field == 0)
		return net_address_is4(&p->path.source) ? PACKET_ACCEPTED : PACKET_UDP_UNSUMMED;
	if (checksum_fold(pseudo + packet_sum(pieces, n, p->transport, length)) == 0xffff)
		return PACKET_ACCEPTED;
	if (!o->bare_sums || field != checksum_fold(pseudo))
		return PACKET_UDP_CHECKSUM;
	p->bare_sum = true;
	return PACKET_ACCEPTED;
}

enum packet_check packet_udp(const struct packet_piece *pieces, uint32_t n, const struct packet_options *o,
			     struct packet *p)
{
	if (p->protocol != PACKET_PROTOCOL_UDP)
		return PACKET_PROTOCOL_OTHER;
	if (p->transport_length < 8)
		return PACKET_UDP_SHORT;
	if (pieces[0].length < p->transport + 8u)
		return PACKET_HEADERS_SPLIT;
	const uint8_t *h = pieces[0].bytes + p->transport;
	uint32_t length = get16(h + 4);
	if (length < 8 || length > p->transport_length)
		return PACKET_UDP_LENGTH;
	p->source_port = get16(h);
	p->destination_port = get16(h + 2);
	p->payload = p->transport + 8u;
	p->payload_length = length - 8;
	return udp_checksum(pieces, n, o, h, length, p);
}
