/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tcp_hold.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int hold_pool_open(struct hold_pool *p, struct paste_region *region, uint32_t count)
{
	*p = (struct hold_pool){.region = region,
				.count = count,
				.untouched = count,
				.free = HOLD_NONE,
				.buffer_size = paste_buffer_size(region)};
	p->piece = mmap(NULL, count * sizeof(*p->piece), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->piece == MAP_FAILED) {
		p->piece = NULL;
		return -ENOMEM;
	}
	return 0;
}

void hold_pool_close(struct hold_pool *p)
{
	if (p->piece)
		munmap(p->piece, p->count * sizeof(*p->piece));
	p->piece = NULL;
}

void tcp_hold_init(struct tcp_hold *h)
{
	*h = (struct tcp_hold){.ready = HOLD_NONE,
			       .ready_last = HOLD_NONE,
			       .early = HOLD_NONE,
			       .early_last = HOLD_NONE,
			       .ready_copy = HOLD_NONE,
			       .early_copy = HOLD_NONE};
}

static uint32_t piece_new(struct hold_pool *p, uint32_t seq, struct paste_ref ref, uint32_t next)
{
	uint32_t i = p->free;

	if (i != HOLD_NONE)
		p->free = p->piece[i].next;
	else if (p->untouched > 0)
		i = p->count - p->untouched--;
	else
		return HOLD_NONE;
	p->used++;
	p->piece[i] = (struct hold_piece){next, seq, ref};
	return i;
}

static void piece_free(struct hold_pool *p, uint32_t i)
{
	p->piece[i].next = p->free;
	p->free = i;
	p->used--;
}

static uint32_t end_of(const struct hold_piece *piece)
{
	return piece->seq + piece->ref.length;
}

/* --- dribbles */

/* Copy a short slice behind the bytes of piece `last`, if that is in the buffer `copy` and there is room. */
static bool lengthen(struct hold_pool *p, uint32_t last, uint32_t copy, struct paste_ref slice)
{
	if (last == HOLD_NONE || copy == HOLD_NONE || p->piece[last].ref.buffer != copy)
		return false;
	struct paste_ref *ref = &p->piece[last].ref;
	uint32_t end = (uint32_t)ref->offset + ref->length;
	if (end + slice.length > p->buffer_size)
		return false;
	memcpy(paste_buffer_data(p->region, copy) + end, paste_ref_data(p->region, slice), slice.length);
	ref->length = (uint16_t)(ref->length + slice.length);
	p->copied++;
	p->copied_bytes += slice.length;
	return true;
}

/* The slice with a user count: in its own buffer, or, if it is short and follows another, copied to the
 * start of a new one. */
static struct paste_ref own(struct hold_pool *p, struct paste_ref slice, bool follows, uint32_t *copy)
{
	uint32_t fresh;

	*copy = HOLD_NONE;
	if (!follows || slice.length > p->buffer_size / 4 || paste_buffer_alloc(p->region, &fresh) < 0) {
		paste_ref_get(p->region, slice);
		return slice;
	}
	memcpy(paste_buffer_data(p->region, fresh), paste_ref_data(p->region, slice), slice.length);
	p->copied++;
	p->copied_bytes += slice.length;
	*copy = fresh;
	return (struct paste_ref){fresh, 0, slice.length};
}

/* --- in order */

static void ready_link(struct hold_pool *p, struct tcp_hold *h, uint32_t i)
{
	p->piece[i].next = HOLD_NONE;
	if (h->ready_last == HOLD_NONE)
		h->ready = i;
	else
		p->piece[h->ready_last].next = i;
	h->ready_last = i;
	h->ready_buffers++;
	h->ready_bytes += p->piece[i].ref.length;
}

bool tcp_hold_ready(struct hold_pool *p, struct tcp_hold *h, struct paste_ref slice)
{
	if (slice.length <= p->buffer_size / 4 && lengthen(p, h->ready_last, h->ready_copy, slice)) {
		h->ready_bytes += slice.length;
		return true;
	}
	uint32_t i = piece_new(p, 0, slice, HOLD_NONE);
	if (i == HOLD_NONE)
		return false;
	p->piece[i].ref = own(p, slice, h->ready != HOLD_NONE, &h->ready_copy);
	ready_link(p, h, i);
	return true;
}

bool tcp_hold_take(struct hold_pool *p, struct tcp_hold *h, struct paste_ref *slice)
{
	uint32_t i = h->ready;

	if (i == HOLD_NONE)
		return false;
	*slice = p->piece[i].ref;
	h->ready = p->piece[i].next;
	if (h->ready == HOLD_NONE) {
		h->ready_last = HOLD_NONE;
		h->ready_copy = HOLD_NONE; /* it is the application's now */
	}
	h->ready_buffers--;
	h->ready_bytes -= slice->length;
	piece_free(p, i);
	return true;
}

/* --- early */

static struct paste_ref part(struct paste_ref slice, uint32_t skip, uint32_t length)
{
	return (struct paste_ref){slice.buffer, (uint16_t)(slice.offset + skip), (uint16_t)length};
}

/* Put [seq, seq + length of the slice), which touches nothing that is there, behind piece `before`. */
static bool early_link(struct hold_pool *p, struct tcp_hold *h, uint32_t before, uint32_t seq,
		       struct paste_ref slice, uint32_t most)
{
	bool follows = before != HOLD_NONE && end_of(&p->piece[before]) == seq;

	if (follows && slice.length <= p->buffer_size / 4 && lengthen(p, before, h->early_copy, slice))
		return true;
	if (h->early_buffers >= most)
		return false;
	uint32_t next = before == HOLD_NONE ? h->early : p->piece[before].next;
	uint32_t i = piece_new(p, seq, slice, next);
	if (i == HOLD_NONE)
		return false;
	p->piece[i].ref = own(p, slice, follows, &h->early_copy);
	if (before == HOLD_NONE)
		h->early = i;
	else
		p->piece[before].next = i;
	if (next == HOLD_NONE)
		h->early_last = i;
	h->early_buffers++;
	return true;
}

bool tcp_hold_early(struct hold_pool *p, struct tcp_hold *h, uint32_t seq, struct paste_ref slice,
		    uint32_t most)
{
	uint32_t end = seq + slice.length, before = HOLD_NONE, at = h->early, from = seq;
	bool all = true;

	/* Most often it is the furthest yet. */
	if (h->early_last != HOLD_NONE && seq_upto(end_of(&p->piece[h->early_last]), seq))
		before = h->early_last, at = HOLD_NONE;
	while (seq_before(from, end)) {
		while (at != HOLD_NONE && seq_upto(end_of(&p->piece[at]), from)) {
			before = at;
			at = p->piece[at].next;
		}
		uint32_t upto = end;
		if (at != HOLD_NONE && seq_before(p->piece[at].seq, end))
			upto = seq_max(p->piece[at].seq, from);
		if (seq_before(from, upto))
			all =
			    early_link(p, h, before, from, part(slice, from - seq, upto - from), most) && all;
		from = at != HOLD_NONE ? seq_max(upto, seq_min(end_of(&p->piece[at]), end)) : end;
	}
	return all;
}

static uint32_t early_unlink(struct hold_pool *p, struct tcp_hold *h)
{
	uint32_t i = h->early;

	h->early = p->piece[i].next;
	if (h->early == HOLD_NONE)
		h->early_last = HOLD_NONE;
	if (p->piece[i].ref.buffer == h->early_copy)
		h->early_copy = HOLD_NONE;
	h->early_buffers--;
	return i;
}

uint32_t tcp_hold_ripen(struct hold_pool *p, struct tcp_hold *h, uint32_t next)
{
	while (h->early != HOLD_NONE && seq_upto(p->piece[h->early].seq, next)) {
		uint32_t i = early_unlink(p, h);
		struct hold_piece *piece = &p->piece[i];
		uint32_t skip = next - piece->seq;

		if (skip >= piece->ref.length) { /* it came once more before the gap was filled */
			paste_ref_put(p->region, piece->ref);
			piece_free(p, i);
			continue;
		}
		piece->ref = part(piece->ref, skip, piece->ref.length - skip);
		next += piece->ref.length;
		h->ready_copy = HOLD_NONE;
		ready_link(p, h, i);
	}
	return next;
}

void tcp_hold_drop_early(struct hold_pool *p, struct tcp_hold *h)
{
	while (h->early != HOLD_NONE) {
		uint32_t i = early_unlink(p, h);
		paste_ref_put(p->region, p->piece[i].ref);
		piece_free(p, i);
	}
}

void tcp_hold_drop(struct hold_pool *p, struct tcp_hold *h)
{
	struct paste_ref slice;

	tcp_hold_drop_early(p, h);
	while (tcp_hold_take(p, h, &slice))
		paste_ref_put(p->region, slice);
}

uint32_t tcp_hold_ranges(const struct hold_pool *p, const struct tcp_hold *h, uint32_t latest,
			 struct tcp_range *range, uint32_t most)
{
	uint32_t n = 0;

	for (uint32_t i = h->early; i != HOLD_NONE;) {
		struct tcp_range r = {p->piece[i].seq, end_of(&p->piece[i])};

		while ((i = p->piece[i].next) != HOLD_NONE && p->piece[i].seq == r.end)
			r.end = end_of(&p->piece[i]);
		if (seq_upto(r.start, latest) && seq_before(latest, r.end)) {
			if (n == most)
				n--;
			memmove(&range[1], &range[0], n * sizeof(*range));
			range[0] = r;
			n++;
			if (n == most)
				break;
		} else if (n < most) {
			range[n++] = r;
		}
	}
	return n;
}
