/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet.h - Ethernet, IPv4, IPv6 and UDP headers: what a received packet says, and headers to send.
 *
 *	┌────────┬────────┬──────┬───────────────┬────────────────────┬─────┬─────────┬─ ─ ─ ─ ┐
 *	│ to     │ from   │ tags │ type          │ IPv4 and options,  │ UDP │ payload │ padding
 *	│ 6      │ 6      │ 0-8  │ 2             │ IPv6 and its chain │ 8   │         │        │
 *	└────────┴────────┴──────┴───────────────┴────────────────────┴─────┴─────────┴─ ─ ─ ─ ┘
 *
 * Receiving is a chain of checks, each with a name; a packet is refused by the first that it fails, and
 *counted under its name. What is accepted is safe to answer: its lengths agree with one another and with the
 *frame, its checksums are right, it was sent to one host by one host.
 *
 * Decided on purpose: fragments are refused, not put together (the steering passes them to the kernel; IPv6's
 *atomic fragments, RFC 6946, are whole and accepted). IPv4 options are stepped over, source routes refused
 *(RFC 7126). Of IPv6's chain hop-by-hop and destination options are stepped over, unless one of them asks to
 *be refused when unknown (RFC 8200, section 4.2), and so is a routing header that has nothing left to do;
 *everything else is refused.
 *
 * A packet may come in pieces (the slots of a ring), all its headers in the first. Numbers are in host order;
 *a packet's addresses are those of its header, so `source` is the peer.
 */
#ifndef NET_PACKET_H
#define NET_PACKET_H

#include <arpa/inet.h>

#include "net/address.h"
#include "net/checksum.h"

/* The reasons to refuse, in the order in which they are looked for. */
enum packet_check {
	PACKET_ACCEPTED,
	PACKET_FRAME_SHORT,   /* ends before its Ethernet header does */
	PACKET_HEADERS_SPLIT, /* a header runs over the end of the first piece */
	PACKET_MAC_OTHER,     /* sent to another host: a switch sends everywhere what it has not learnt */
	PACKET_MAC_GROUP,   /* broadcast or multicast: one packet would call forth an answer of every host */
	PACKET_MAC_SOURCE,  /* from a group's or no MAC: an answer would go to many */
	PACKET_VLAN_TAGS,   /* more than two tags */
	PACKET_VLAN_OTHER,  /* belongs to another VLAN: that is another network */
	PACKET_TYPE_OTHER,  /* neither IPv4 nor IPv6 */
	PACKET_IP_SHORT,    /* ends before its IP header does */
	PACKET_IP_VERSION,  /* the Ethernet type says another version */
	PACKET_IPV4_HEADER, /* header length below 20 or beyond the packet */
	PACKET_IPV4_LENGTH, /* says that it is longer than the frame or shorter than its header */
	PACKET_IPV4_CHECKSUM,
	PACKET_IPV4_FRAGMENT,
	PACKET_IPV4_OPTION, /* an option runs over the header's end */
	PACKET_IPV4_ROUTE,  /* the sender chose the way: answers would leave a filtered network by it */
	PACKET_IPV6_LENGTH, /* says that it is longer than the frame, or a jumbogram (RFC 2675) */
	PACKET_IPV6_MAPPED, /* ::ffff:a.b.c.d on the wire: would pass for an IPv4 peer */
	PACKET_IPV6_CHAIN,  /* a header of the chain runs over the end, stands where it may not, or is the
			       ninth */
	PACKET_IPV6_OPTION, /* an option that must be understood (RFC 8200, section 4.2) */
	PACKET_IPV6_ROUTE,  /* to be sent on by us (RFC 5095 for type 0) */
	PACKET_IPV6_FRAGMENT,
	PACKET_IPV6_HEADER,    /* authentication, encryption, mobility and the like */
	PACKET_SOURCE,         /* no host's address: an answer would go to nobody, to many, or to ourselves */
	PACKET_DESTINATION,    /* no host's address */
	PACKET_PROTOCOL_OTHER, /* not the transport that was asked for */
	PACKET_UDP_SHORT,      /* ends before its UDP header does */
	PACKET_UDP_LENGTH,     /* says that it is longer than the IP packet or shorter than its header */
	PACKET_UDP_UNSUMMED,   /* no checksum, over IPv6 (RFC 8200, section 8.1) */
	PACKET_UDP_CHECKSUM,
	PACKET_TCP_SHORT,  /* ends before its TCP header does */
	PACKET_TCP_OFFSET, /* header length below 20 or beyond the packet */
	PACKET_TCP_CHECKSUM,
	PACKET_ADDRESS_OTHER, /* not to an address of ours */
	PACKET_PORT_OTHER,    /* not to our port */
	PACKET_SLICES,        /* in more pieces than a datagram has room for */
	PACKET_CHECKS,
};

/* "ipv4 checksum" */
const char *packet_check_name(enum packet_check check);

struct packet_piece {
	const uint8_t *bytes;
	uint32_t length;
};

#define PACKET_PROTOCOL_TCP 6
#define PACKET_PROTOCOL_UDP 17
#define PACKET_VLAN_ANY (-1)
#define PACKET_HEADER_MAX (14 + 8 + 40) /* bytes that packet_build_ip() writes at most */

struct packet_options {
	const uint8_t *mac; /* ours; NULL: do not look */
	int vlan;       /* 0: untagged, or tagged with priority only; a VLAN's number; or PACKET_VLAN_ANY */
	bool bare_sums; /* also accept a transport checksum that is only the pseudo-header's sum: the packet
			   never left this machine, and its sender left the sum to a device that is not there
			   (veth) */
};

/* Between two hosts, in one direction: all that a frame's headers need up to the transport. */
struct packet_path {
	uint8_t mac_source[6], mac_destination[6];
	uint8_t tag[8];        /* as on the wire, outer first */
	uint8_t tags;          /* 0, 1 or 2 */
	uint8_t traffic_class; /* the lowest two bits: ECN (RFC 3168) */
	struct net_address source, destination;
};

struct packet {
	struct packet_path path;
	uint8_t protocol;
	uint8_t hop_limit;
	bool bare_sum;             /* accepted for options.bare_sums alone */
	uint16_t transport;        /* bytes from the frame's start to the transport header */
	uint32_t transport_length; /* bytes from there to the end of the IP packet */
	/* packet_udp(): */
	uint16_t source_port, destination_port;
	uint32_t payload, payload_length; /* bytes from the frame's start, bytes */
};

/* Ethernet and IP. n pieces, at least 1. *p is only good if it is accepted. */
enum packet_check packet_parse(const struct packet_piece *pieces, uint32_t n, const struct packet_options *o,
			       struct packet *p);

/* UDP of what packet_parse() accepted (RFC 768). */
enum packet_check packet_udp(const struct packet_piece *pieces, uint32_t n, const struct packet_options *o,
			     struct packet *p);

/* The sum over `length` bytes from `at` bytes into the pieces on. */
uint64_t packet_sum(const struct packet_piece *pieces, uint32_t n, uint32_t at, uint32_t length);

/* The pseudo-header's sum (RFC 768; RFC 8200, section 8.1). IPv4's addresses may be added in their mapped form: the
 * word 0xffff of the prefix is a zero in one's complement. */
static inline uint64_t packet_pseudo_sum(const struct packet_path *path, uint8_t protocol,
					 uint32_t transport_length)
{
	uint64_t sum = (uint64_t)htons((uint16_t)(transport_length >> 16)) +
		       htons((uint16_t)transport_length) + htons(protocol);

	sum = checksum_add16(sum, path->source.byte);
	return checksum_add16(sum, path->destination.byte);
}

/* The way back; not in place. */
void packet_path_back(const struct packet_path *restrict path, struct packet_path *restrict back);

/* Ethernet and IP headers' length, bytes. */
static inline uint32_t packet_header_bytes(const struct packet_path *path)
{
	return 14u + 4u * path->tags + (net_address_is4(&path->source) ? 20u : 40u);
}

/* Write the Ethernet and IP headers to `at`. IPv4 without fragments, so without identification (RFC 6864).
 * Returns their length; the transport header follows. */
uint32_t packet_build_ip(uint8_t *at, const struct packet_path *path, uint8_t protocol,
			 uint32_t transport_length);

/* The same and a UDP header for a payload of n pieces. `offload`: its checksum is only the pseudo-header's
 * sum, and the port does the rest: it begins where the UDP header does, and stands 6 bytes into it. */
uint32_t packet_build_udp(uint8_t *at, const struct packet_path *path, uint16_t source_port,
			  uint16_t destination_port, const struct packet_piece *payload, uint32_t n,
			  bool offload);

#endif
