/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the bytes of a value go: into the entry, into the record, or nowhere: they stay in the buffers they landed in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/copy.h"
#include "base/crc.h"
#include "base/site.h"
#include "store/store_internal.h"

int extents_reserve(struct paste_store *s, size_t n)
{
	if (n <= s->extents_room)
		return 0;
	size_t room = s->extents_room ? s->extents_room : 256;
	while (room < n)
		room *= 2;
	struct extent *more = realloc(s->extents, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->extents = more;
	s->extents_room = room;
	return 0;
}

/* One slice is read where it is. Entry and record get the bytes, and the record's checksum is theirs, too. */
static const uint8_t *tiny_bytes(struct paste_store *s, const struct paste_ref *slices, uint32_t n)
{
	uint8_t *p = s->tiny;

	if (n == 1)
		return region_ref_data(s->r, slices[0]);
	for (uint32_t i = 0; i < n; i++) {
		copy_short(p, region_ref_data(s->r, slices[i]), slices[i].length);
		p += slices[i].length;
	}
	return s->tiny;
}

uint32_t value_gather(struct paste_store *s, const struct paste_ref *slices, uint32_t n, uint8_t *to)
{
	uint8_t *p = to;

	for (uint32_t i = 0; i < n; i++) {
		memcpy(p, region_ref_data(s->r, slices[i]), slices[i].length);
		p += slices[i].length;
	}
	return paste_crc(0, to, (size_t)(p - to));
}

/* b begins where a ends, in the same segment, and both fit one reference. */
bool refs_adjoin(const struct paste_region *r, struct paste_ref a, struct paste_ref b)
{
	return region_ref_segment(r, a) == region_ref_segment(r, b) &&
	       region_ref_offset(r, a) + a.length == region_ref_offset(r, b) && a.length + b.length <= UINT16_MAX;
}

/* Slices as extents, adjoining ones merged, checksummed and written back. */
static int value_in_place(struct paste_store *s, const struct paste_ref *slices, uint32_t n, uint32_t *count)
{
	uint32_t k = 0;

	if (extents_reserve(s, n))
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		if (slices[i].length == 0)
			continue;
		const uint8_t *p = region_ref_data(s->r, slices[i]);
		if (k > 0 && refs_adjoin(s->r, s->extents[k - 1].ref, slices[i])) {
			struct extent *e = &s->extents[k - 1];
			e->crc = paste_crc(e->crc, p, slices[i].length);
			e->ref.length = (uint16_t)(e->ref.length + slices[i].length);
		} else {
			extent_put(&s->extents[k++], slices[i], paste_crc(0, p, slices[i].length));
		}
		/* Ordered before the record by the fence or sync that both share: neither counts without the other. */
		if (SITE(value_write_back))
			region_write_back(s->r, slices[i]);
	}
	*count = k;
	return 0;
}

static uint32_t list_extents(uint32_t bytes)
{
	return bytes / (uint32_t)sizeof(struct extent);
}

int value_lists(struct paste_store *s, uint32_t *n, uint8_t *flags)
{
	uint32_t lists = 0, done = 0;
	struct extent list[OP_REFS_MAX];

	if (*n <= OP_REFS_MAX)
		return 0;
	while (done < *n) {
		uint32_t left = (*n - done) * (uint32_t)sizeof(struct extent);
		struct paste_ref ref;
		uint32_t got = pack_alloc(s, left > LIST_BYTES_MAX ? LIST_BYTES_MAX : left, &ref);
		uint32_t take = list_extents(got);
		if (take == 0 && got > 0)
			continue; /* the last few bytes of a segment: the next call has a fresh one */
		if (got == 0 || lists == OP_REFS_MAX)
			return -ENOSPC;
		ref.length = (uint16_t)(take * sizeof(struct extent));
		memcpy(region_ref_data(s->r, ref), &s->extents[done], ref.length);
		list[lists++] = (struct extent){ref, paste_crc(0, &s->extents[done], ref.length)};
		done += take;
	}
	memcpy(s->extents, list, lists * sizeof(list[0]));
	*n = lists;
	*flags |= OP_INDIRECT;
	return 0;
}

int value_plan(struct paste_store *s, const struct paste_ref *slices, uint32_t n, struct value_plan *plan)
{
	*plan = (struct value_plan){0};
	for (uint32_t i = 0; i < n; i++)
		plan->length += slices[i].length;
	if (plan->length <= s->tiny_max) {
		plan->flags = OP_INLINE;
		plan->bytes = tiny_bytes(s, slices, n);
		s->c.copies[PASTE_COPY_TINY]++;
		s->c.copy_bytes[PASTE_COPY_TINY] += plan->length;
		return 0;
	}
	if (plan->length <= s->small_max) {
		plan->packed = true;
		plan->refs = 1;
		return 0;
	}
	int ret = value_in_place(s, slices, n, &plan->refs);
	return ret < 0 ? ret : value_lists(s, &plan->refs, &plan->flags);
}

static int own_extent(void *arg, const struct extent *e, bool list)
{
	region_live_add(arg, e->ref);
	return 0;
}

static int disown_extent(void *arg, const struct extent *e, bool list)
{
	region_live_drop(arg, e->ref);
	return 0;
}

void value_own(struct paste_store *s, const struct entry *e)
{
	if (e->flags & OP_LOST)
		return;
	if (e->flags & OP_INDIRECT) {
		op_each_extent(s->r, e->extent, e->refs, true, own_extent, s->r);
		return;
	}
	for (uint32_t i = 0; i < e->refs; i++)
		region_live_add(s->r, e->extent[i].ref);
}

void value_disown(struct paste_store *s, const struct entry *e)
{
	if (e->flags & OP_LOST)
		return; /* owns nothing, whatever it names */
	if (!(e->flags & OP_INDIRECT)) {
		for (uint32_t i = 0; i < e->refs; i++)
			region_live_drop(s->r, e->extent[i].ref);
		return;
	}
	/* A list that went bad since it was counted names nothing that could be trusted: what it owned stays owned
	 * until the next opening counts again. */
	int ret = op_each_extent(s->r, e->extent, e->refs, true, disown_extent, s->r);
	if (ret < 0)
		damage_note(s, region_ref_offset(s->r, e->extent[0].ref), false,
			    "reference list of a superseded value: its buffers stay owned until the region is opened again");
}
