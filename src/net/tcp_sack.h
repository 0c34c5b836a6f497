/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_sack.h - the scoreboard: which sequence numbers beyond the acknowledged ones the peer says it has
 * (RFC 2018; "scoreboard" of RFC 6675).
 *
 * Disjoint ranges in order, a bounded number: what does not fit is forgotten, which costs at most a needless
 * retransmission. Blocks that cannot be are refused as a whole (RFC 2018, section 3, and RFC 2883: at or
 * below the acknowledged is a report of duplicates, not of news).
 */
#ifndef NET_TCP_SACK_H
#define NET_TCP_SACK_H

#include "net/tcp_seq.h"

#define SACK_RANGES 60

struct tcp_sack {
	struct tcp_sack *next; /* in the pool of those that are not used */
	uint32_t n, bytes;     /* ranges, bytes in them */
	/* tcp_loss.c's: what left after the first unacknowledged bytes were sent again: retransmissions from `later`
	 * on, of which `waited` bytes were not reported yet, and what is new from later_new on. */
	uint32_t later, later_new, waited;
	bool watched; /* these three say something */
	struct tcp_range range[SACK_RANGES];
};

static inline void sack_clear(struct tcp_sack *s)
{
	s->n = s->bytes = 0;
	s->watched = false;
}

/* The peer reports a block, with [una, nxt) under way. The bytes that are news. */
uint32_t sack_add(struct tcp_sack *s, struct tcp_range block, uint32_t una, uint32_t nxt);

/* Everything before una was acknowledged. */
void sack_acked(struct tcp_sack *s, uint32_t una);

/* The first run at or behind `from` that is not reported, cut at the next reported range or `end`. False:
 * nothing before `end`. */
bool sack_hole(const struct tcp_sack *s, uint32_t from, uint32_t end, struct tcp_range *hole);

/* Where what is lost ends: everything unreported before it is lost (RFC 6675, IsLost): three ranges, or more
 * than two segments' bytes, were reported behind it. `una` if nothing is. */
uint32_t sack_lost_before(const struct tcp_sack *s, uint32_t una, uint32_t mss);

/* Bytes that are reported in [from, end). */
uint32_t sack_bytes(const struct tcp_sack *s, uint32_t from, uint32_t end);

#endif
