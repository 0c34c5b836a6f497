/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_segment.h - the TCP header and its options: what a received one says, and one to send (RFC 9293,
 * section 3.1; RFC 7323; RFC 2018).
 *
 *	 0                   1                   2                   3
 *	┌───────────────────────────────┬───────────────────────────────┐
 *	│ source port                   │ destination port              │
 *	│ sequence number                                               │
 *	│ acknowledgment number                                         │
 *	│ words │ 0     │ C E U A P R S F │ window                      │
 *	│ checksum                      │ urgent pointer                │
 *	│ options: MSS 2, window scale 3, SACK permitted 4, SACK 5, timestamps 8
 *	└───────────────────────────────┴───────────────────────────────┘
 *
 * An option that is unknown is stepped over. One whose length is wrong ends the options: the segment itself
 * is good. MSS, window scale and SACK permitted count in a SYN only. The urgent pointer is not looked at:
 * urgent data is data like any other (RFC 6093).
 */
#ifndef NET_TCP_SEGMENT_H
#define NET_TCP_SEGMENT_H

#include "net/packet.h"
#include "net/tcp_seq.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

#define TCP_HEADER 20
#define TCP_HEADER_MAX 60
#define TCP_TIMESTAMPS 12 /* bytes of the option and its padding */
#define TCP_SACKS 4
#define TCP_SCALE_NONE 0xff
#define TCP_SCALE_MAX 14 /* RFC 7323, section 2.3 */

struct tcp_segment {
	uint32_t seq, ack;
	uint32_t payload, length; /* bytes from the frame's start, bytes */
	uint32_t ts_value, ts_echo;
	uint16_t source_port, destination_port;
	uint16_t window; /* as it stands in the header */
	uint16_t mss;    /* 0: no such option */
	uint8_t flags;
	uint8_t scale; /* TCP_SCALE_NONE: no such option */
	uint8_t sacks; /* blocks */
	bool timestamps, sack_permitted;
	struct tcp_range sack[TCP_SACKS];
};

/* Sequence numbers that it takes. */
static inline uint32_t tcp_segment_span(const struct tcp_segment *s)
{
	return s->length + (s->flags & TCP_FIN) / TCP_FIN + (s->flags & TCP_SYN) / TCP_SYN;
}

/* TCP of what packet_parse() accepted. p->bare_sum is set if the checksum was accepted for that. */
enum packet_check tcp_segment_parse(const struct packet_piece *pieces, uint32_t n, bool bare_sums,
				    struct packet *p, struct tcp_segment *s);

/* Bytes of its TCP header with the options it has. */
uint32_t tcp_segment_header(const struct tcp_segment *s);

/* Write Ethernet, IP and TCP headers for a payload of n pieces, `s->length` bytes in all. `offload`: the
 * checksum is only the pseudo-header's sum, and the port does the rest: it begins where the TCP header does,
 * and stands 16 bytes into it. At most PACKET_HEADER_MAX + TCP_HEADER_MAX bytes; returns how many. */
uint32_t tcp_segment_build(uint8_t *at, const struct packet_path *path, const struct tcp_segment *s,
			   const struct packet_piece *payload, uint32_t n, bool offload);

#endif
