/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Good and bad packets, each with the check that must catch it. A row takes one of two whole packets, puts
 * bytes into it, changes single bytes, cuts it, and has its checksums made right again where they are not
 * what is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "naive.h"
#include "net/packet.h"

#define ROOM 512
#define PAYLOAD 20u

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1};

static const uint8_t base4[] = {
    2,    0,    0,    0,    0,   1,   2,   0,   0,   0,   0,   2,   0x08, 0x00, /* Ethernet */
    0x45, 0x00, 0,    48,   0,   7,   0,   0,   9,   17,  0,   0,               /* 14: IPv4 */
    10,   0,    0,    2,    10,  0,   0,   1,                                   /* 26 */
    0x13, 0x88, 0x1f, 0x90, 0,   28,  0,   0,                                   /* 34: UDP, 5000 to 8080 */
    'd',  'a',  't',  'a',  'g', 'r', 'a', 'm', 's', ',', 't', 'w', 'e',  'n',  't', 'y', ' ', 'b', '.', '.',
};

static const uint8_t base6[] = {
    2,    0,    0,    0,    0,   1,   2,   0,   0,   0,   0,   2,   0x86, 0xdd,         /* Ethernet */
    0x60, 0,    0,    0,    0,   28,  17,  9,                                           /* 14: IPv6 */
    0xfd, 0,    0,    0,    0,   0,   0,   0,   0,   0,   0,   0,   0,    0,    0,   2, /* 22 */
    0xfd, 0,    0,    0,    0,   0,   0,   0,   0,   0,   0,   0,   0,    0,    0,   1, /* 38 */
    0x13, 0x88, 0x1f, 0x90, 0,   28,  0,   0,                                           /* 54: UDP */
    'd',  'a',  't',  'a',  'g', 'r', 'a', 'm', 's', ',', 't', 'w', 'e',  'n',  't', 'y', ' ', 'b', '.', '.',
};

enum { V4, V6 };
enum { AS_IS, SUM_IP = 1, SUM_UDP = 2, SUMS = 3, BARE = 4 };
enum { ANY_VLAN = 1, VLAN_5 = 2, ANY_MAC = 4, BARE_SUMS = 8 };

struct row {
	const char *what;
	enum packet_check check;
	int base;
	int sums; /* what is right */
	int options;
	uint32_t at; /* where bytes are put in ... */
	uint32_t n;
	uint8_t in[72];
	int change[12];  /* place, value, ... in what it is then; ends with 0 */
	uint32_t length; /* cut to; 0: not; more: padded */
};

static const struct row rows[] = {
    {"ipv4", PACKET_ACCEPTED, V4, SUMS},
    {"ipv6", PACKET_ACCEPTED, V6, SUMS},
    {"padded to Ethernet's least", PACKET_ACCEPTED, V4, SUMS, .change = {17, 29, 39, 9}, .length = 62},
    {"padding behind ipv6", PACKET_ACCEPTED, V6, SUMS, .length = 100},
    {"no payload", PACKET_ACCEPTED, V4, SUMS, .change = {17, 28, 39, 8}},
    {"no checksum over ipv4", PACKET_ACCEPTED, V4, SUM_IP},
    {"longer than its datagram", PACKET_ACCEPTED, V4, SUMS, .change = {39, 27}},
    {"hop limit of one", PACKET_ACCEPTED, V4, SUMS, .change = {22, 1}},
    {"do not fragment", PACKET_ACCEPTED, V4, SUMS, .change = {20, 0x40}},
    {"congestion experienced", PACKET_ACCEPTED, V6, SUMS, .change = {15, 0x30}},

    /* Ethernet */
    {"nothing", PACKET_FRAME_SHORT, V4, SUMS, .length = 1},
    {"thirteen bytes", PACKET_FRAME_SHORT, V4, SUMS, .length = 13},
    {"to another host", PACKET_MAC_OTHER, V4, SUMS, .change = {5, 9}},
    {"to another host, all wanted", PACKET_ACCEPTED, V4, SUMS, ANY_MAC, .change = {5, 9}},
    {"broadcast", PACKET_MAC_GROUP, V4, SUMS, ANY_MAC, .change = {1, 255, 2, 255, 3, 255, 4, 255, 5, 255},
     .at = 0, .n = 0},
    {"ipv6 multicast", PACKET_MAC_GROUP, V6, SUMS, ANY_MAC},
    {"from a group", PACKET_MAC_SOURCE, V4, SUMS, .change = {6, 3}},
    {"from nobody", PACKET_MAC_SOURCE, V4, SUMS, .change = {6, -1, 11, -1}},
    {"arp", PACKET_TYPE_OTHER, V4, SUMS, .change = {13, 6}},
    {"a length instead of a type", PACKET_TYPE_OTHER, V4, SUMS, .change = {12, -1, 13, 60}},
    {"one tag", PACKET_ACCEPTED, V4, SUMS, ANY_VLAN, 12, 4, {0x81, 0, 0, 5}},
    {"two tags", PACKET_ACCEPTED, V6, SUMS, ANY_VLAN, 12, 8, {0x88, 0xa8, 0, 9, 0x81, 0, 0, 5}},
    {"three tags",
     PACKET_VLAN_TAGS,
     V6,
     SUMS,
     ANY_VLAN,
     12,
     12,
     {0x88, 0xa8, 0, 9, 0x81, 0, 0, 5, 0x81, 0, 0, 5}},
    {"a tag that is cut", PACKET_FRAME_SHORT, V4, SUMS, ANY_VLAN, 12, 4, {0x81, 0, 0, 5}, .length = 16},
    {"a tag of priority only", PACKET_ACCEPTED, V4, SUMS, 0, 12, 4, {0x81, 0, 0xe0, 0}},
    {"a tag, and we are untagged", PACKET_VLAN_OTHER, V4, SUMS, 0, 12, 4, {0x81, 0, 0, 5}},
    {"our tag", PACKET_ACCEPTED, V4, SUMS, VLAN_5, 12, 4, {0x81, 0, 0xa0, 5}},
    {"another's tag", PACKET_VLAN_OTHER, V4, SUMS, VLAN_5, 12, 4, {0x81, 0, 0xa0, 6}},
    {"no tag, and we have one", PACKET_VLAN_OTHER, V4, SUMS, VLAN_5},
    {"our tag within another", PACKET_VLAN_OTHER, V4, SUMS, VLAN_5, 12, 8, {0x88, 0xa8, 0, 9, 0x81, 0, 0, 5}},

    /* IPv4 */
    {"ipv4 cut in its header", PACKET_IP_SHORT, V4, SUMS, .length = 33},
    {"ipv6 under ipv4's type", PACKET_IP_VERSION, V6, SUMS, .change = {12, 8, 13, -1}},
    {"header of sixteen bytes", PACKET_IPV4_HEADER, V4, SUMS, .change = {14, 0x44}},
    {"header longer than the frame", PACKET_IPV4_HEADER, V4, AS_IS, .change = {14, 0x4f}, .length = 60},
    {"longer than the frame", PACKET_IPV4_LENGTH, V4, SUM_IP, .change = {17, 49}},
    {"shorter than its header", PACKET_IPV4_LENGTH, V4, SUM_IP, .change = {17, 19}},
    {"wrong header sum", PACKET_IPV4_CHECKSUM, V4, SUM_UDP},
    {"first fragment", PACKET_IPV4_FRAGMENT, V4, SUMS, .change = {20, 0x20}},
    {"last fragment", PACKET_IPV4_FRAGMENT, V4, SUMS, .change = {21, 1}},
    {"fragment far behind", PACKET_IPV4_FRAGMENT, V4, SUMS, .change = {20, 0x10}},
    {"padding options", PACKET_ACCEPTED, V4, SUMS, 0, 34, 4, {1, 1, 1, 0}, {14, 0x46, 17, 52}},
    {"router alert", PACKET_ACCEPTED, V4, SUMS, 0, 34, 4, {148, 4, 0, 0}, {14, 0x46, 17, 52}},
    {"what is behind the end of options",
     PACKET_ACCEPTED,
     V4,
     SUMS,
     0,
     34,
     4,
     {0, 131, 99, 99},
     {14, 0x46, 17, 52}},
    {"option of no length", PACKET_IPV4_OPTION, V4, SUMS, 0, 34, 4, {148, 0, 0, 0}, {14, 0x46, 17, 52}},
    {"option of length one", PACKET_IPV4_OPTION, V4, SUMS, 0, 34, 4, {148, 1, 0, 0}, {14, 0x46, 17, 52}},
    {"option over the end", PACKET_IPV4_OPTION, V4, SUMS, 0, 34, 4, {1, 148, 4, 0}, {14, 0x46, 17, 52}},
    {"option without a length", PACKET_IPV4_OPTION, V4, SUMS, 0, 34, 4, {1, 1, 1, 148}, {14, 0x46, 17, 52}},
    {"loose source route",
     PACKET_IPV4_ROUTE,
     V4,
     SUMS,
     0,
     34,
     8,
     {131, 7, 4, 10, 0, 0, 9, 0},
     {14, 0x47, 17, 56}},
    {"strict source route",
     PACKET_IPV4_ROUTE,
     V4,
     SUMS,
     0,
     34,
     8,
     {1, 137, 7, 4, 10, 0, 0, 9},
     {14, 0x47, 17, 56}},

    /* IPv6 */
    {"ipv6 cut in its header", PACKET_IP_SHORT, V6, SUMS, .length = 53},
    {"ipv4 under ipv6's type", PACKET_IP_VERSION, V4, SUMS, .change = {12, 0x86, 13, 0xdd}},
    {"ipv6 longer than the frame", PACKET_IPV6_LENGTH, V6, SUMS, .change = {19, 29}},
    {"jumbogram", PACKET_IPV6_LENGTH, V6, SUMS, .change = {19, -1}},
    {"mapped source", PACKET_IPV6_MAPPED, V6, SUMS, .change = {22, -1, 32, 255, 33, 255, 34, 10, 37, 2}},
    {"mapped destination", PACKET_IPV6_MAPPED, V6, SUMS, .change = {38, -1, 48, 255, 49, 255, 50, 10}},
    {"hop-by-hop, padding", PACKET_ACCEPTED, V6, SUMS, 0, 54, 8, {17, 0, 1, 4, 0, 0, 0, 0}, {20, -1, 19, 36}},
    {"hop-by-hop, single padding",
     PACKET_ACCEPTED,
     V6,
     SUMS,
     0,
     54,
     8,
     {17, 0, 0, 0, 0, 0, 0, 0},
     {20, -1, 19, 36}},
    {"hop-by-hop, router alert",
     PACKET_ACCEPTED,
     V6,
     SUMS,
     0,
     54,
     8,
     {17, 0, 5, 2, 0, 0, 1, 0},
     {20, -1, 19, 36}},
    {"destination options", PACKET_ACCEPTED, V6, SUMS, 0, 54, 16, {17, 1, 1, 12}, {20, 60, 19, 44}},
    {"option to be known or dropped",
     PACKET_IPV6_OPTION,
     V6,
     SUMS,
     0,
     54,
     8,
     {17, 0, 0x45, 4},
     {20, 60, 19, 36}},
    {"jumbo option", PACKET_IPV6_OPTION, V6, SUMS, 0, 54, 8, {17, 0, 0xc2, 4, 0, 1, 0, 0}, {20, -1, 19, 36}},
    {"option over its header's end", PACKET_IPV6_CHAIN, V6, SUMS, 0, 54, 8, {17, 0, 1, 5}, {20, 60, 19, 36}},
    {"option without a length",
     PACKET_IPV6_CHAIN,
     V6,
     SUMS,
     0,
     54,
     8,
     {17, 0, 1, 3, 0, 0, 0, 5},
     {20, 60, 19, 36}},
    {"header over the packet's end", PACKET_IPV6_CHAIN, V6, SUMS, 0, 54, 8, {17, 9, 1, 4}, {20, 60, 19, 36}},
    {"hop-by-hop as the second",
     PACKET_IPV6_CHAIN,
     V6,
     SUMS,
     0,
     54,
     16,
     {0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4},
     {20, 60, 19, 44}},
    {"eight headers",
     PACKET_ACCEPTED,
     V6,
     SUMS,
     0,
     54,
     64,
     {60, 0, 1,  4, 0, 0, 0, 0, 60, 0, 1,  4, 0, 0, 0, 0, 60, 0, 1,  4, 0, 0, 0, 0, 60, 0, 1,  4, 0, 0,
      0,  0, 60, 0, 1, 4, 0, 0, 0,  0, 60, 0, 1, 4, 0, 0, 0,  0, 60, 0, 1, 4, 0, 0, 0,  0, 17, 0, 1, 4},
     {20, 60, 19, 92}},
    {"nine headers",
     PACKET_IPV6_CHAIN,
     V6,
     SUMS,
     0,
     54,
     72,
     {60, 0,  1,  4, 0, 0, 0, 0, 60, 0,  1,  4, 0, 0, 0, 0, 60, 0,  1,  4, 0, 0, 0,
      0,  60, 0,  1, 4, 0, 0, 0, 0,  60, 0,  1, 4, 0, 0, 0, 0,  60, 0,  1, 4, 0, 0,
      0,  0,  60, 0, 1, 4, 0, 0, 0,  0,  60, 0, 1, 4, 0, 0, 0,  0,  17, 0, 1, 4},
     {20, 60, 19, 100}},
    {"route over the packet's end", PACKET_IPV6_CHAIN, V6, SUMS, 0, 54, 8, {17, 9, 2, 0}, {20, 43, 19, 36}},
    {"chain that ends too soon", PACKET_IPV6_CHAIN, V6, AS_IS, .change = {20, 60, 19, 4}, .length = 58},
    {"route with nothing left", PACKET_ACCEPTED, V6, SUMS, 0, 54, 8, {17, 0, 2, 0}, {20, 43, 19, 36}},
    {"route to go on", PACKET_IPV6_ROUTE, V6, SUMS, 0, 54, 24, {17, 2, 0, 1}, {20, 43, 19, 52}},
    {"fragment that is whole",
     PACKET_ACCEPTED,
     V6,
     SUMS,
     0,
     54,
     8,
     {17, 0, 0, 0, 1, 2, 3, 4},
     {20, 44, 19, 36}},
    {"first fragment of ipv6",
     PACKET_IPV6_FRAGMENT,
     V6,
     SUMS,
     0,
     54,
     8,
     {17, 0, 0, 1, 1, 2, 3, 4},
     {20, 44, 19, 36}},
    {"last fragment of ipv6",
     PACKET_IPV6_FRAGMENT,
     V6,
     SUMS,
     0,
     54,
     8,
     {17, 0, 0, 8, 1, 2, 3, 4},
     {20, 44, 19, 36}},
    {"authentication", PACKET_IPV6_HEADER, V6, SUMS, 0, 54, 8, {17, 0}, {20, 51, 19, 36}},
    {"encryption", PACKET_IPV6_HEADER, V6, SUMS, .change = {20, 50}},
    {"mobility", PACKET_IPV6_HEADER, V6, SUMS, .change = {20, 135}},

    /* both */
    {"from 0.0.0.0", PACKET_SOURCE, V4, SUMS, .change = {26, -1, 29, -1}},
    {"from 127.0.0.1", PACKET_SOURCE, V4, SUMS, .change = {26, 127, 29, 1}},
    {"from a group", PACKET_SOURCE, V4, SUMS, .change = {26, 224}},
    {"from everybody", PACKET_SOURCE, V4, SUMS, .change = {26, 255, 27, 255, 28, 255, 29, 255}},
    {"to 127.0.0.1", PACKET_DESTINATION, V4, SUMS, .change = {30, 127}},
    {"to a group", PACKET_DESTINATION, V4, SUMS, .change = {30, 239}},
    {"to everybody", PACKET_DESTINATION, V4, SUMS, .change = {30, 255, 31, 255, 32, 255, 33, 255}},
    {"from ::", PACKET_SOURCE, V6, SUMS, .change = {22, -1, 37, -1}},
    {"from ::1", PACKET_SOURCE, V6, SUMS, .change = {22, -1, 37, 1}},
    {"from ff02::1", PACKET_SOURCE, V6, SUMS, .change = {22, 255, 23, 2}},
    {"to ::1", PACKET_DESTINATION, V6, SUMS, .change = {38, -1}},
    {"to ff02::1", PACKET_DESTINATION, V6, SUMS, .change = {38, 255, 39, 2}},
    {"from fe80::2", PACKET_ACCEPTED, V6, SUMS, .change = {22, 0xfe, 23, 0x80}},

    /* UDP */
    {"tcp", PACKET_PROTOCOL_OTHER, V4, SUMS, .change = {23, 6}},
    {"icmp6", PACKET_PROTOCOL_OTHER, V6, SUMS, .change = {20, 58}},
    {"nothing follows", PACKET_PROTOCOL_OTHER, V6, SUMS, .change = {20, 59}},
    {"seven bytes", PACKET_UDP_SHORT, V4, SUM_IP, .change = {17, 27}},
    {"datagram longer than its packet", PACKET_UDP_LENGTH, V4, SUM_IP, .change = {39, 29}},
    {"datagram of seven bytes", PACKET_UDP_LENGTH, V6, AS_IS, .change = {59, 7}},
    {"no checksum over ipv6", PACKET_UDP_UNSUMMED, V6, AS_IS},
    {"wrong sum", PACKET_UDP_CHECKSUM, V4, SUM_IP, .change = {40, 1}},
    {"wrong sum over ipv6", PACKET_UDP_CHECKSUM, V6, AS_IS, .change = {60, 1}},
    {"pseudo-header's sum", PACKET_UDP_CHECKSUM, V4, SUM_IP | BARE},
    {"pseudo-header's sum, accepted", PACKET_ACCEPTED, V4, SUM_IP | BARE, BARE_SUMS},
    {"pseudo-header's sum over ipv6", PACKET_UDP_CHECKSUM, V6, BARE},
    {"pseudo-header's sum over ipv6, accepted", PACKET_ACCEPTED, V6, BARE, BARE_SUMS},
    {"wrong sum where bare ones are accepted", PACKET_UDP_CHECKSUM, V6, AS_IS, BARE_SUMS, .change = {60, 1}},
};

struct made {
	uint8_t bytes[ROOM];
	uint32_t length;
	uint32_t ip, udp; /* where they are */
	bool four;
};

static void store16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t naive_pseudo(const struct made *m, uint16_t length)
{
	const uint8_t *ip = m->bytes + m->ip;
	uint8_t rest[4] = {0, 17, (uint8_t)(length >> 8), (uint8_t)length};
	uint16_t sum = m->four ? naive_sum(0, ip + 12, 8) : naive_sum(0, ip + 8, 32);

	return naive_sum(sum, rest, 4);
}

static void make_sums(struct made *m, int sums)
{
	uint8_t *ip = m->bytes + m->ip, *udp = m->bytes + m->udp;

	if (m->four && (sums & SUM_IP)) {
		store16(ip + 10, 0);
		store16(ip + 10, (uint16_t)~naive_sum(0, ip, (ip[0] & 15u) * 4));
	}
	uint16_t length = (uint16_t)(udp[4] << 8 | udp[5]);
	if ((sums & SUM_UDP) && m->udp + length <= ROOM) {
		store16(udp + 6, 0);
		uint16_t sum = (uint16_t)~naive_sum(naive_pseudo(m, length), udp, length);
		store16(udp + 6, sum ? sum : 0xffff);
	}
	if (sums & BARE)
		store16(udp + 6, naive_pseudo(m, length));
}

static void make(const struct row *r, struct made *m)
{
	const uint8_t *base = r->base == V4 ? base4 : base6;
	uint32_t n = r->base == V4 ? sizeof(base4) : sizeof(base6), udp = r->base == V4 ? 34 : 54;

	memset(m, 0, sizeof(*m));
	memcpy(m->bytes, base, r->at);
	memcpy(m->bytes + r->at, r->in, r->n);
	memcpy(m->bytes + r->at + r->n, base + r->at, n - r->at);
	m->length = n + r->n;
	m->ip = 14 + (r->at == 12 ? r->n : 0);
	m->udp = udp + r->n;
	m->four = r->base == V4;
	for (int i = 0; r->change[i] != 0; i += 2)
		m->bytes[r->change[i]] = (uint8_t)(r->change[i + 1] < 0 ? 0 : r->change[i + 1]);
	if (r->check == PACKET_MAC_GROUP)
		m->bytes[0] = r->base == V4 ? 0xff : 0x33;
	make_sums(m, r->sums);
	if (r->length)
		m->length = r->length;
}

static struct packet_options options_of(const struct row *r)
{
	return (struct packet_options){
	    .mac = r->options & ANY_MAC ? NULL : our_mac,
	    .vlan = r->options & ANY_VLAN ? PACKET_VLAN_ANY
		    : r->options & VLAN_5 ? 5
					  : 0,
	    .bare_sums = r->options & BARE_SUMS,
	};
}

static enum packet_check whole(const struct packet_piece *pieces, uint32_t n, const struct packet_options *o,
			       struct packet *p)
{
	enum packet_check bad = packet_parse(pieces, n, o, p);

	return bad ? bad : packet_udp(pieces, n, o, p);
}

/* The bytes in two heap blocks of their own, so that a sanitizer notices who reads on. */
static enum packet_check in_two(const struct made *m, uint32_t cut, uint32_t end,
				const struct packet_options *o, struct packet *p)
{
	uint8_t *a = malloc(cut + 1), *b = malloc(end - cut + 1);
	struct packet_piece pieces[2] = {{a + 1, cut}, {b + 1, end - cut}};

	memcpy(a + 1, m->bytes, cut);
	memcpy(b + 1, m->bytes + cut, end - cut);
	enum packet_check check = whole(pieces, 2, o, p);
	free(a);
	free(b);
	return check;
}

static void expect_fields(const struct row *r, const struct made *m, const struct packet *p)
{
	uint16_t length = (uint16_t)(m->bytes[m->udp + 4] << 8 | m->bytes[m->udp + 5]);

	assert_int_equal(p->transport, m->udp);
	assert_int_equal(p->payload, m->udp + 8);
	assert_int_equal(p->payload_length, length - 8);
	assert_int_equal(p->source_port, 5000);
	assert_int_equal(p->destination_port, 8080);
	assert_int_equal(net_address_is4(&p->path.source), m->four);
	assert_memory_equal(&p->path.source.byte[m->four ? 12 : 0], m->bytes + m->ip + (m->four ? 12 : 8),
			    m->four ? 4 : 16);
	assert_memory_equal(&p->path.destination.byte[m->four ? 12 : 0],
			    m->bytes + m->ip + (m->four ? 16 : 24), m->four ? 4 : 16);
	assert_memory_equal(p->path.mac_destination, m->bytes, 6);
	assert_memory_equal(p->path.mac_source, m->bytes + 6, 6);
	assert_memory_equal(p->path.tag, m->bytes + 12, m->ip - 14);
	assert_int_equal(p->path.tags * 4, m->ip - 14);
	assert_int_equal(p->bare_sum, (r->sums & BARE) != 0);
	assert_int_equal(p->path.traffic_class, m->four ? m->bytes[m->ip + 1] : m->bytes[m->ip + 1] >> 4);
}

static void each_is_caught_by_its_check(void **state)
{
	bool seen[PACKET_CHECKS] = {false};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct packet_options o = options_of(r);
		struct made m;
		struct packet p;
		make(r, &m);
		enum packet_check check = in_two(&m, m.length, m.length, &o, &p);
		if (check != r->check)
			fail_msg("%s: %s instead of %s", r->what, packet_check_name(check),
				 packet_check_name(r->check));
		seen[check] = true;
		if (check == PACKET_ACCEPTED)
			expect_fields(r, &m, &p);
	}
	/* These are not about one packet's bytes, or are tested below. */
	seen[PACKET_HEADERS_SPLIT] = seen[PACKET_ADDRESS_OTHER] = seen[PACKET_PORT_OTHER] =
	    seen[PACKET_SLICES] = seen[PACKET_TCP_SHORT] = seen[PACKET_TCP_OFFSET] = seen[PACKET_TCP_CHECKSUM] =
		true;
	for (int c = 0; c < PACKET_CHECKS; c++) {
		if (!seen[c])
			fail_msg("no row for %s", packet_check_name((enum packet_check)c));
		assert_true(packet_check_name((enum packet_check)c)[0] != 0);
	}
}

static void headers_are_in_the_first_piece_and_payload_may_be_anywhere(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct packet_options o = options_of(r);
		struct made m;
		struct packet p;
		make(r, &m);
		for (uint32_t cut = 0; cut < m.length; cut++) {
			enum packet_check check = in_two(&m, cut, m.length, &o, &p);
			/* What is behind the cut cannot be the reason yet. */
			if (check != r->check && check != PACKET_HEADERS_SPLIT)
				fail_msg("%s, cut at %u: %s", r->what, cut, packet_check_name(check));
			if (r->check == PACKET_ACCEPTED)
				assert_int_equal(check == PACKET_ACCEPTED, cut >= m.udp + 8);
			if (check == PACKET_ACCEPTED)
				expect_fields(r, &m, &p);
		}
	}
}

static void what_is_cut_short_is_never_accepted(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct packet_options o = {.mac = our_mac};
		struct made m;
		struct packet p;
		make(&rows[i], &m);
		for (uint32_t end = 0; end < m.length; end++)
			assert_int_not_equal(in_two(&m, end, end, &o, &p), PACKET_ACCEPTED);
	}
}

/* IPv6 does not protect traffic class, flow label and hop limit; nothing hangs on them here. */
static void one_flipped_bit_never_changes_what_is_delivered(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct packet_options o = {.mac = our_mac};
		struct made m, good;
		struct packet p;
		make(&rows[i], &good);
		for (uint32_t bit = 14 * 8; bit < good.length * 8; bit++) {
			m = good;
			m.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (in_two(&m, m.length, m.length, &o, &p) != PACKET_ACCEPTED)
				continue;
			uint32_t byte = bit / 8 - 14;
			assert_true(i == 1 && (byte < 4 || byte == 7));
			assert_memory_equal(m.bytes + p.payload, good.bytes + good.udp + 8, PAYLOAD);
			assert_int_equal(p.payload_length, PAYLOAD);
		}
	}
}

static void what_is_built_is_right_and_leads_back(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct packet_options o = options_of(r), back = {.vlan = PACKET_VLAN_ANY};
		struct packet p, q;
		struct packet_path path;
		struct made m, built = {.four = r->base == V4};
		const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};
		if (r->check != PACKET_ACCEPTED)
			continue;
		make(r, &m);
		assert_int_equal(in_two(&m, m.length, m.length, &o, &p), PACKET_ACCEPTED);
		packet_path_back(&p.path, &path);
		back.mac = peer_mac;
		for (uint32_t n = 0; n < 64; n++) {
			struct packet_piece payload[2] = {{m.bytes, n / 3}, {m.bytes + n / 3, n - n / 3}};
			uint32_t header = packet_build_udp(built.bytes, &path, 8080, 5000, payload, 2, false);
			assert_int_equal(header, packet_header_bytes(&path) + 8);
			memcpy(built.bytes + header, m.bytes, n);
			built.length = header + n;
			built.udp = header - 8;
			built.ip = 14u + 4u * path.tags;
			struct made again = built;
			make_sums(&again, SUMS);
			assert_memory_equal(again.bytes, built.bytes, built.length);
			assert_int_equal(in_two(&built, built.length, built.length, &back, &q),
					 PACKET_ACCEPTED);
			assert_int_equal(q.payload_length, n);
			assert_int_equal(q.source_port, 8080);
			assert_int_equal(q.destination_port, 5000);
			assert_true(net_address_equal(&q.path.destination, &p.path.source));
			assert_true(net_address_equal(&q.path.source, &p.path.destination));
			assert_int_equal(q.hop_limit, 64);

			packet_build_udp(built.bytes, &path, 8080, 5000, payload, 2, true);
			make_sums(&again, BARE);
			assert_memory_equal(again.bytes, built.bytes, built.length);
		}
	}
}

/* A sum of zero would say that there is none. */
static void a_sum_of_zero_is_sent_as_its_other_form(void **state)
{
	struct packet_options o = {.mac = our_mac};
	struct packet_path path = {.mac_destination = {2, 0, 0, 0, 0, 1}, .mac_source = {2, 0, 0, 0, 0, 2}};
	bool met = false;

	net_address_parse("fd00::1", &path.source);
	net_address_parse("fd00::2", &path.destination);
	for (uint32_t value = 0; value <= UINT16_MAX; value++) {
		uint8_t two[2] = {(uint8_t)(value >> 8), (uint8_t)value};
		struct packet_piece payload = {two, 2};
		struct made m;
		struct packet p;
		m.length = packet_build_udp(m.bytes, &path, 1, 2, &payload, 1, false) + 2;
		memcpy(m.bytes + m.length - 2, two, 2);
		uint16_t field = (uint16_t)(m.bytes[60] << 8 | m.bytes[61]);
		assert_int_not_equal(field, 0);
		met = met || field == 0xffff;
		struct packet_piece piece = {m.bytes, m.length};
		assert_int_equal(whole(&piece, 1, &o, &p), PACKET_ACCEPTED);
	}
	assert_true(met);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_is_caught_by_its_check),
	    cmocka_unit_test(headers_are_in_the_first_piece_and_payload_may_be_anywhere),
	    cmocka_unit_test(what_is_cut_short_is_never_accepted),
	    cmocka_unit_test(one_flipped_bit_never_changes_what_is_delivered),
	    cmocka_unit_test(what_is_built_is_right_and_leads_back),
	    cmocka_unit_test(a_sum_of_zero_is_sent_as_its_other_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
