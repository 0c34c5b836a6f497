/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_hold.h - what was received and cannot be handed over yet: slices of the buffers in which it landed.
 *
 *	          next
 *	──────────┬───────────────────────────┬──────────────┬──────────
 *	 handed   │ ready: in order, waiting  │ gap          │ early
 *	 over     │ for the application       │              │
 *	──────────┴───────────────────────────┴──────────────┴──────────
 *
 * Pieces do not overlap: of bytes that arrive twice the first ones stay, whatever the second ones say. A
 *piece has a user count on its buffer.
 *
 * A dribble must not pin a buffer a byte: a slice of at most a quarter of a buffer that goes on where the
 *last piece ends is copied into a buffer of our own (counted), which further ones fill up. So what is held
 *fills its buffers to a quarter, but for one or two. Bytes of such a buffer are never written twice, and none
 * behind a piece that was handed over.
 */
#ifndef NET_TCP_HOLD_H
#define NET_TCP_HOLD_H

#include "net/tcp_seq.h"
#include "paste/region.h"

#define HOLD_NONE UINT32_MAX

struct hold_piece {
	uint32_t next; /* number in the pool; HOLD_NONE */
	uint32_t seq;
	struct paste_ref ref;
};

struct hold_pool {
	struct paste_region *region;
	struct hold_piece *piece;
	uint32_t count, used, free, untouched;
	uint32_t buffer_size;
	uint64_t copied, copied_bytes; /* slices and bytes that were copied together */
};

/* All zero but what tcp_hold_init() sets. */
struct tcp_hold {
	uint32_t ready, ready_last, early, early_last; /* pieces */
	uint32_t ready_copy, early_copy;               /* buffers of our own that the last pieces are in */
	uint32_t ready_bytes;
	uint32_t ready_buffers, early_buffers; /* pieces, and so at least the buffers they hold */
};

/* Room for `count` pieces. -ENOMEM. The memory is touched as it is used. */
int hold_pool_open(struct hold_pool *p, struct paste_region *region, uint32_t count);
void hold_pool_close(struct hold_pool *p);

void tcp_hold_init(struct tcp_hold *h);

/* The next bytes in order. Takes a user count of its own. False: there is no room in the pool. */
bool tcp_hold_ready(struct hold_pool *p, struct tcp_hold *h, struct paste_ref slice);

/* Bytes beyond a gap, as far as they are not there: at most `most` pieces are held early. Takes user counts
 * of its own. False: something of it found no room. */
bool tcp_hold_early(struct hold_pool *p, struct tcp_hold *h, uint32_t seq, struct paste_ref slice,
		    uint32_t most);

/* The first early byte. False: there is none. */
static inline bool tcp_hold_first_early(const struct hold_pool *p, const struct tcp_hold *h, uint32_t *seq)
{
	if (h->early == HOLD_NONE)
		return false;
	*seq = p->piece[h->early].seq;
	return true;
}

/* The gap before the early ones was filled up to `next`: those that are in order now become ready. Returns
 * the new next. */
uint32_t tcp_hold_ripen(struct hold_pool *p, struct tcp_hold *h, uint32_t next);

/* The first ready slice, with its user count. False: there is none. */
bool tcp_hold_take(struct hold_pool *p, struct tcp_hold *h, struct paste_ref *slice);

void tcp_hold_drop_early(struct hold_pool *p, struct tcp_hold *h);
void tcp_hold_drop(struct hold_pool *p, struct tcp_hold *h);

/* The early ranges for a SACK option (RFC 2018, section 4): first the one that has `latest`, then the others
 * from the lowest on. Their number. */
uint32_t tcp_hold_ranges(const struct hold_pool *p, const struct tcp_hold *h, uint32_t latest,
			 struct tcp_range *range, uint32_t most);

#endif
