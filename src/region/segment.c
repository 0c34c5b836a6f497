/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole segments: roles, live slices, and what becomes of a segment when its role is over. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/site.h"
#include "region/region.h"

bool region_ref_valid(const struct paste_region *r, struct paste_ref ref)
{
	if (ref.length == 0 || ref.buffer >= r->buffers || ref.offset >= r->buffer_size)
		return false;
	uint32_t in_segment = ((ref.buffer & (r->per_segment - 1)) << r->buffer_shift) + ref.offset;
	return in_segment + ref.length <= r->segment_size;
}

static void segment_make_free(struct paste_region *r, uint32_t s)
{
	struct segment *seg = &r->segment[s];

	assert(seg->live_bytes == 0);
	if (seg->role == SEGMENT_DATA)
		r->free_buffers -= seg->free;
	seg->role = SEGMENT_FREE;
	r->cleaned += seg->victim || seg->emptied;
	seg->victim = seg->emptied = false;
	seg->free = 0;
	memset(&r->free_bits[(uint64_t)s * r->words], 0, r->words * sizeof(uint64_t));
	r->free_segment[r->free_segments++] = s;
	if (r->fill == s)
		r->fill = SEGMENT_NONE;
}

static void segment_buffer_free(struct paste_region *r, uint32_t buffer)
{
	uint32_t s = region_buffer_segment(r, buffer), i = buffer & (r->per_segment - 1);
	struct segment *seg = &r->segment[s];

	if (seg->role != SEGMENT_DATA)
		return; /* settled when the role is over */
	uint64_t *word = &r->free_bits[(uint64_t)s * r->words + i / 64];
	assert(!(*word & (1ull << (i % 64))));
	*word |= 1ull << (i % 64);
	seg->free++;
	r->free_buffers++;
	if (seg->free == r->per_segment)
		segment_make_free(r, s);
}

uint32_t region_segment_take(struct paste_region *r, enum segment_role role)
{
	if (r->free_segments == 0 && r->cache_count > 0)
		region_cache_drain(r);
	if (r->free_segments == 0)
		return SEGMENT_NONE;
	uint32_t s = r->free_segment[--r->free_segments];
	r->segment[s].role = (uint8_t)role;
	r->taken += role != SEGMENT_PACK;
	return s;
}

void region_segment_retire(struct paste_region *r, uint32_t s)
{
	struct segment *seg = &r->segment[s];

	assert(seg->role != SEGMENT_FREE && seg->role != SEGMENT_DATA);
	if (seg->bad) {
		seg->role = SEGMENT_BAD;
		return;
	}
	seg->role = SEGMENT_DATA;
	seg->free = 0;
	for (uint32_t b = s * r->per_segment; b < (s + 1) * r->per_segment; b++) {
		r->buffer[b].written = 1;
		if (r->buffer[b].live == 0 && r->buffer[b].users == 0)
			segment_buffer_free(r, b);
	}
}

void region_segment_assign(struct paste_region *r, uint32_t s, enum segment_role role)
{
	r->segment[s].role = (uint8_t)role;
}

void region_settle(struct paste_region *r)
{
	r->free_segments = 0;
	/* From the end, so that the stack hands out the lowest first. */
	for (uint32_t s = r->segments; s-- > 0;) {
		struct segment *seg = &r->segment[s];
		if (seg->role != SEGMENT_FREE)
			continue;
		if (seg->bad) {
			seg->role = SEGMENT_BAD;
			continue;
		}
		if (seg->live_bytes == 0) {
			r->free_segment[r->free_segments++] = s;
			continue;
		}
		seg->role = SEGMENT_PACK;
		region_segment_retire(r, s);
	}
}

void region_live_add(struct paste_region *r, struct paste_ref ref)
{
	uint32_t last = ref.buffer + ((ref.offset + ref.length - 1u) >> r->buffer_shift);

	for (uint32_t b = ref.buffer; b <= last; b++) {
		assert(r->buffer[b].live < UINT16_MAX);
		r->live_buffers += r->buffer[b].live++ == 0;
	}
	r->segment[region_ref_segment(r, ref)].live_bytes += ref.length;
	r->live_bytes += ref.length;
}

void region_live_drop(struct paste_region *r, struct paste_ref ref)
{
	uint32_t last = ref.buffer + ((ref.offset + ref.length - 1u) >> r->buffer_shift);
	struct segment *seg = &r->segment[region_ref_segment(r, ref)];

	assert(seg->live_bytes >= ref.length);
	seg->live_bytes -= ref.length;
	r->live_bytes -= ref.length;
	for (uint32_t b = ref.buffer; b <= last; b++) {
		struct buffer *buf = &r->buffer[b];
		assert(buf->live > 0);
		if (--buf->live > 0)
			continue;
		r->live_buffers--;
		if (buf->users == 0)
			segment_buffer_free(r, b);
	}
}

/* The rest of this file is what buffers need of their segment. */

static bool cache_has_room(const struct paste_region *r)
{
	return r->cache_count < r->cache_size && r->free_segments > r->landing_reserve + r->segments / 8;
}

static void buffer_release(struct paste_region *r, uint32_t b)
{
	struct segment *seg = &r->segment[region_buffer_segment(r, b)];

	if (seg->role == SEGMENT_DATA && !seg->victim && cache_has_room(r)) {
		r->buffer[b].cached = 1;
		r->cache[(r->cache_head + r->cache_count++) % r->cache_size] = b;
		return;
	}
	segment_buffer_free(r, b);
}

void region_cache_drain(struct paste_region *r)
{
	while (r->cache_count > 0) {
		uint32_t b = r->cache[r->cache_head];
		r->cache_head = (r->cache_head + 1) % r->cache_size;
		r->cache_count--;
		r->buffer[b].cached = 0;
		segment_buffer_free(r, b);
	}
}

/* A partly free data segment worth filling: at least `least` free buffers. */
static uint32_t fill_partial(struct paste_region *r, uint32_t least)
{
	if (r->free_buffers < least)
		return SEGMENT_NONE;
	for (uint32_t n = 0; n < r->segments; n++) {
		uint32_t s = r->fill_scan;
		r->fill_scan = s + 1 == r->segments ? 0 : s + 1;
		const struct segment *seg = &r->segment[s];
		if (seg->role == SEGMENT_DATA && !seg->victim && seg->free >= least) {
			r->segment[s].emptied = false;
			return s;
		}
	}
	return SEGMENT_NONE;
}

/* Fresh segments while there are plenty, so that a run of packets lands in a run of memory; then the holes. */
static uint32_t fill_choose(struct paste_region *r)
{
	uint32_t s = SEGMENT_NONE;

	if (r->free_segments <= r->landing_reserve + r->segments / 4) {
		/* Holes that are used again need no cleaning, but scatter values: the more of them the scarcer room is. */
		bool scarce = r->free_segments <= r->landing_reserve + r->segments / 8;
		s = fill_partial(r, r->per_segment / (scarce ? 16 : 4) + 1);
		if (s == SEGMENT_NONE && r->free_segments <= r->landing_reserve)
			s = fill_partial(r, 1);
		if (s != SEGMENT_NONE)
			return s;
	}
	if (r->free_segments <= r->landing_reserve)
		return SEGMENT_NONE;
	s = r->free_segment[--r->free_segments];
	r->taken++;
	struct segment *seg = &r->segment[s];
	seg->role = SEGMENT_DATA;
	seg->free = (uint16_t)r->per_segment;
	r->free_buffers += r->per_segment;
	for (uint32_t i = 0; i < r->per_segment; i++)
		r->free_bits[(uint64_t)s * r->words + i / 64] |= 1ull << (i % 64);
	return s;
}

static bool fill_take(struct paste_region *r, uint32_t *buffer)
{
	uint64_t *bits = &r->free_bits[(uint64_t)r->fill * r->words];

	for (; r->fill_next < r->words; r->fill_next++) {
		uint64_t word = bits[r->fill_next];
		if (!word)
			continue;
		uint32_t i = r->fill_next * 64 + (uint32_t)__builtin_ctzll(word);
		bits[r->fill_next] = word & (word - 1);
		r->segment[r->fill].free--;
		r->free_buffers--;
		*buffer = r->fill * r->per_segment + i;
		return true;
	}
	return false;
}

int paste_buffer_alloc(struct paste_region *r, uint32_t *buffer)
{
	uint32_t b = 0;

	if (r->cache_count > 0) {
		b = r->cache[r->cache_head];
		r->cache_head = (r->cache_head + 1) % r->cache_size;
		r->cache_count--;
		r->buffer[b].cached = 0;
	} else {
		while (r->fill == SEGMENT_NONE || r->segment[r->fill].victim || !fill_take(r, &b)) {
			r->fill = fill_choose(r);
			r->fill_next = 0;
			if (r->fill == SEGMENT_NONE)
				return -ENOBUFS;
		}
	}
	assert(r->buffer[b].users == 0 && r->buffer[b].live == 0);
	r->buffer[b].users = 1;
	if (SITE(allocated_unwritten))
		r->buffer[b].written = 0;
	*buffer = b;
	return 0;
}

void paste_buffer_get(struct paste_region *r, uint32_t b)
{
	assert(r->buffer[b].users > 0 || r->buffer[b].live > 0);
	r->buffer[b].users++;
}

void paste_buffer_put(struct paste_region *r, uint32_t b)
{
	struct buffer *buf = &r->buffer[b];

	assert(buf->users > 0);
	if (--buf->users == 0 && buf->live == 0)
		buffer_release(r, b);
}
