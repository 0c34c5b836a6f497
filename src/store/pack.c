/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dense space: survivors of cleaning and lists of references, one behind the other in whole segments. They live apart
 * from the log, so that what has proved long-lived is not mixed again with what dies young.
 */
#include "base/site.h"
#include "store/store_internal.h"

bool pack_dirty(const struct paste_store *s)
{
	return s->pack.segment != SEGMENT_NONE && s->pack.tail != s->pack.committed;
}

void pack_commit(struct paste_store *s)
{
	struct pack *p = &s->pack;

	if (!pack_dirty(s))
		return;
	if (SITE(pack_write_back))
		media_write_back(s->r->m, region_segment_offset(s->r, p->segment) + p->committed,
				 p->tail - p->committed);
	/* As in the log: no unit is written by two commits. */
	p->tail = (p->tail + s->r->unit - 1) & ~(s->r->unit - 1);
	p->committed = p->tail;
}

void pack_retire(struct paste_store *s)
{
	struct segment_list *full = &s->pack_full;

	for (size_t i = 0; i < full->n; i++)
		region_segment_retire(s->r, full->segment[i]);
	full->n = 0;
}

void pack_close(struct paste_store *s)
{
	pack_retire(s);
	if (s->pack.segment == SEGMENT_NONE)
		return;
	pack_commit(s);
	region_segment_retire(s->r, s->pack.segment);
	s->pack = (struct pack){.segment = SEGMENT_NONE};
}

/* A full segment keeps its role until the round is closed: what was put into it last is not owned yet, and retiring
 * it now would make the buffers under that free. */
static bool pack_leave(struct paste_store *s)
{
	if (!segment_list_add(&s->pack_full, s->pack.segment))
		return false;
	pack_commit(s);
	s->pack = (struct pack){.segment = SEGMENT_NONE};
	return true;
}

uint32_t pack_alloc(struct paste_store *s, uint32_t wanted, struct paste_ref *ref)
{
	struct pack *p = &s->pack;

	if (p->segment != SEGMENT_NONE && p->tail == s->r->segment_size && !pack_leave(s))
		return 0;
	if (p->segment == SEGMENT_NONE) {
		uint32_t segment = region_segment_take(s->r, SEGMENT_PACK);
		if (segment == SEGMENT_NONE)
			return 0;
		*p = (struct pack){.segment = segment};
	}
	uint32_t room = s->r->segment_size - p->tail;
	uint32_t got = wanted < room ? wanted : room;
	if (got > UINT16_MAX)
		got = UINT16_MAX;
	*ref = region_ref_at(s->r, p->segment, p->tail, got);
	p->tail += got;
	return got;
}
