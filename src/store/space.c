/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admission and making room.
 *
 * Two questions are kept apart. Whether a value may be stored at all is decided by what is live: values, two
 * checkpoints of the index, the log between checkpoints, an eighth of the region for the cleaner to work in, a few
 * segments that what has landed already can count on, and what the rings of ports hold.
 * Whether there is a free segment at this moment is a matter of cleaning in time: maintenance keeps ahead of
 * the load, and if it did not, the change that needs the room waits for it.
 */
#include <errno.h>

#include "store/store_internal.h"

#define SPARE_SEGMENTS 6 /* two for the log, two for survivors, one to rotate to, one for lists */
#define LANDING_SEGMENTS 4

static uint64_t segments_for(const struct paste_store *s, uint64_t bytes)
{
	/* Pages hold whole ops: count a tenth for what does not fit. */
	return (bytes + bytes / 10) / s->r->segment_size + 1;
}

static uint64_t index_estimate(const struct paste_store *s)
{
	/* Each page repeats its stream's name and has a header. */
	return s->index_bytes + s->index_bytes / 32 + PAGE_SIZE_CHECKPOINT;
}

uint64_t space_log_limit(const struct paste_store *s)
{
	uint64_t total = (uint64_t)s->r->segments << s->r->segment_shift;
	uint64_t least = total / 32 > 4ull * s->r->segment_size ? total / 32 : 4ull * s->r->segment_size;
	uint64_t most = total / 16 > least ? total / 16 : least;
	uint64_t wanted = s->index_bytes;

	return wanted < least ? least : wanted > most ? most : wanted;
}

uint64_t space_log_bytes(const struct paste_store *s)
{
	uint64_t bytes = 0;

	for (uint32_t l = 0; l < s->logs; l++)
		bytes += (uint64_t)s->log[l].n << s->r->segment_shift;
	return bytes;
}

/* Bodies that arrive slowly may hold all buffers that there are: then those that end still find room for their records
 * (which are small beside them) and for the largest value's lists. */
static uint32_t landing_segments(const struct paste_store *s)
{
	return LANDING_SEGMENTS + s->r->segments / 128;
}

static uint64_t space_usable(const struct paste_store *s)
{
	uint64_t total = (uint64_t)s->r->segments << s->r->segment_shift;
	uint64_t standing = (uint64_t)s->r->standing << s->r->buffer_shift;
	uint64_t taken = total / 8 + space_log_limit(s) + standing +
			 (uint64_t)(SPARE_SEGMENTS + landing_segments(s) + 2 * s->logs) * s->r->segment_size;

	return total > taken ? total - taken : 0;
}

uint64_t space_capacity(const struct paste_store *s)
{
	uint64_t usable = space_usable(s), index = 2 * index_estimate(s);

	return usable > index ? usable - index : 0;
}

void space_set_reserve(struct paste_store *s)
{
	s->r->reserve = (uint32_t)segments_for(s, index_estimate(s)) + SPARE_SEGMENTS + s->logs;
	s->r->landing_reserve = s->r->reserve + landing_segments(s);
}

bool space_checkpoint_fits(const struct paste_store *s)
{
	return s->r->free_segments >= segments_for(s, index_estimate(s)) + s->logs;
}

bool space_is_low(const struct paste_store *s)
{
	return s->r->free_segments < s->r->reserve + s->r->segments / 8 + 2;
}

bool space_is_starved(const struct paste_store *s)
{
	return s->r->free_segments <= s->r->landing_reserve;
}

int space_admit(struct paste_store *s, uint64_t value, uint64_t index, uint64_t replaced)
{
	/* What is still to be found: a place for the record, and for lists, 12 bytes for a piece of 1 KiB or so. */
	uint64_t segments = (value >> 6 >> s->r->segment_shift) + 2;
	bool there = s->r->free_segments >= s->r->reserve + segments;
	/* A byte of the index takes two of checkpoints and one of the log between them, and a little. */
	uint64_t cost = value + 5 * index;
	if (cost <= s->admitted && there) {
		s->admitted -= cost;
		return 0;
	}
	/* Tiny values are counted with the index. */
	uint64_t placed = s->placed_bytes - replaced + (value > s->tiny_max ? value : 0);

	bool grows = index > 0 || placed > s->placed_bytes;
	if (grows && placed + 2 * index > space_capacity(s)) {
		/* What is to be replaced may be among what has expired. */
		if (!expiry_make_room(s) || s->placed_bytes + value + 2 * index > space_capacity(s))
			return -ENOSPC;
	}
	/* Below the reserve is what checkpoints and deletes need. The value's bytes have their place already. */
	if (there) {
		uint64_t capacity = space_capacity(s), taken = placed + 5 * index;
		s->admitted = capacity > taken ? (capacity - taken) / 2 : 0;
		return 0;
	}
	int ret = space_make_room(s);
	if (ret < 0)
		return ret;
	return s->r->free_segments >= s->r->reserve + segments ? 0 : -ENOSPC;
}

/* All that waits for durability is over, and what was freed is free. */
static int space_settle(struct paste_store *s)
{
	for (int i = 0; i < 2; i++) {
		int64_t round = paste_store_commit(s);
		int64_t done = round < 0 ? round : paste_store_wait(s, (uint64_t)round);
		if (done < 0)
			return (int)done;
		if (i == 0 && store_wants_seal(s)) {
			int ret = store_seal(s);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

int space_checkpoint(struct paste_store *s)
{
	int ret = s->checkpoint.state == CHECKPOINT_IDLE ? checkpoint_begin(s, false) : 0;

	while (ret >= 0 && s->checkpoint.state != CHECKPOINT_IDLE) {
		ret = checkpoint_step(s, UINT32_MAX);
		if (ret >= 0 && s->checkpoint.state != CHECKPOINT_IDLE)
			ret = space_settle(s);
	}
	return ret < 0 ? ret : 0;
}

static int finish_cleaning(struct paste_store *s)
{
	s->cleaner.futile = false; /* somebody waits: look again */
	if (!s->cleaner.active && !cleaner_begin(s, CLEANER_SPARE))
		return 0;
	int ret = 1;
	while (ret > 0)
		ret = cleaner_step(s, UINT64_MAX, UINT32_MAX);
	return ret < 0 ? ret : 0;
}

int space_make_room(struct paste_store *s)
{
	uint32_t enough = s->r->reserve + s->r->segments / 16;

	s->admitted = 0;

	/* Nothing was freed since the last attempt in vain. */
	bool stuck = s->stuck && s->stuck_retired == s->retired && s->stuck_free >= s->r->free_segments;
	if (stuck && !snapshot_give_up(s))
		return -ENOSPC;
	for (int pass = 0; pass < 4; pass++) {
		uint32_t before = s->r->free_segments;
		int ret = space_settle(s);
		if (ret == 0 && s->r->free_segments >= enough)
			return 0;
		if (ret == 0 && space_log_bytes(s) > 2ull * s->r->segment_size)
			ret = space_checkpoint(s);
		if (ret == 0 || ret == -ENOSPC)
			ret = finish_cleaning(s);
		if (ret == 0 || ret == -ENOSPC)
			ret = space_settle(s);
		if (ret < 0 && ret != -ENOSPC)
			return ret;
		if (s->r->free_segments <= before && pass > 0)
			break;
	}
	/* A snapshot costs nobody a change. */
	if (s->r->free_segments < s->r->reserve && snapshot_give_up(s))
		return space_make_room(s);
	s->stuck = s->r->free_segments < s->r->reserve;
	s->stuck_retired = s->retired;
	s->stuck_free = s->r->free_segments;
	return s->stuck ? -ENOSPC : 0;
}
