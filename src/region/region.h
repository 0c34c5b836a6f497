/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * region.h - segments and buffers of an open region, inside the library. paste/region.h is the public part.
 *
 * A segment has a role (docs/format.md, section 1). Whole segments are taken for the log, checkpoints and the
 * cleaner; single buffers are handed out from data segments. A buffer of a data segment is free when it has neither users
 * nor live slices; a data segment whose buffers are all free is a free segment.
 *
 *	FREE ──take──► LOG | CHECKPOINT | PACK ──retire──► DATA or FREE
 *	FREE ──buffer_alloc──► DATA ──last buffer free──► FREE
 *
 * The region does not know about recovery: whoever drops a live slice has waited until its removal cannot be undone.
 */
#ifndef REGION_REGION_H
#define REGION_REGION_H

#include "media/media.h"
#include "paste/region.h"
#include "region/format.h"
#include "region/superblock.h"

enum segment_role {
	SEGMENT_FREE,
	SEGMENT_DATA,
	SEGMENT_LOG,
	SEGMENT_CHECKPOINT,
	SEGMENT_PACK,
	SEGMENT_BAD, /* a part of it is lost: what else is live in it is read, and nothing is written there again */
};

#define SEGMENT_NONE UINT32_MAX

struct segment {
	uint8_t role;         /* enum segment_role */
	bool victim : 1;      /* being emptied by the cleaner: nothing new goes there */
	bool bad : 1;         /* a part of it cannot be read: it becomes SEGMENT_BAD when its role is over */
	bool emptied : 1;     /* was, and nothing new went there since; not free yet */
	uint16_t free;        /* DATA: free buffers (their bits are set in free_bits) */
	uint32_t live_bytes;  /* in live slices */
};

struct buffer {
	uint32_t users;
	uint16_t live;    /* slices that touch the buffer */
	uint8_t cached;   /* sits in the queue of recently dropped buffers */
	uint8_t written;  /* written back since it was handed out (only kept where units are blocks) */
};

struct paste_region {
	struct media *m;
	struct superblock sb;
	struct superblock_health health;
	uint8_t *area; /* start of area 0 in memory */
	uint32_t buffer_size, buffer_shift, buffers;
	uint32_t segment_size, segment_shift, segments;
	uint32_t per_segment; /* buffers */
	uint32_t unit;

	struct segment *segment;
	struct buffer *buffer;
	uint64_t *free_bits;      /* a bit a buffer, per_segment rounded up to 64 bits a segment */
	uint32_t words;           /* uint64_t of free_bits a segment */
	uint32_t *free_segment;   /* stack */
	uint32_t free_segments;
	uint32_t free_buffers;    /* in DATA segments, cached ones not counted */
	uint32_t fill;            /* DATA segment that buffers are handed out from, or SEGMENT_NONE */
	uint32_t fill_next;       /* word to look at next */
	uint32_t fill_scan;       /* where the search for a partly free segment goes on */
	uint32_t reserve;         /* whole segments that changes leave alone: for checkpoints and deletes */
	uint32_t landing_reserve; /* ... and buffer_alloc: more, so that what landed can become changes */
	uint32_t standing;        /* buffers that rings hold as long as there are rings */
	uint64_t live_bytes;
	uint64_t live_buffers; /* with a live slice */
	uint64_t cleaned;      /* segments that became free because the cleaner emptied them */
	uint64_t taken;        /* segments that left the free list, other than for the cleaner */

	/* Recently dropped buffers, oldest first: reused before others because they are warm and, oldest first,
	 * still in ascending order. */
	uint32_t *cache;
	uint32_t cache_size, cache_head, cache_count;
};

/* Take over an open medium with a superblock. The medium is the caller's still on failure, the region's afterwards. */
int region_open(struct media *m, struct paste_region **region, struct paste_error *err);
/* Write a fresh superblock (both copies, durable) on a medium. */
int region_format(struct media *m, const char *name, uint64_t size, uint32_t buffer_size, uint32_t logs,
		  struct paste_error *err);
void region_close(struct paste_region *r); /* closes the medium */

static inline uint64_t region_segment_offset(const struct paste_region *r, uint32_t segment)
{
	return AREA_START + ((uint64_t)segment << r->segment_shift);
}

static inline uint8_t *region_segment_data(const struct paste_region *r, uint32_t segment)
{
	return r->area + ((uint64_t)segment << r->segment_shift);
}

/* Segments and buffers are powers of two: no division where every put comes by. */
static inline uint32_t region_buffer_segment(const struct paste_region *r, uint32_t buffer)
{
	return buffer >> (r->segment_shift - r->buffer_shift);
}

static inline uint32_t region_ref_segment(const struct paste_region *r, struct paste_ref ref)
{
	return region_buffer_segment(r, ref.buffer);
}

static inline uint64_t region_ref_offset(const struct paste_region *r, struct paste_ref ref)
{
	return AREA_START + ((uint64_t)ref.buffer << r->buffer_shift) + ref.offset;
}

static inline uint8_t *region_ref_data(const struct paste_region *r, struct paste_ref ref)
{
	return r->area + ((uint64_t)ref.buffer << r->buffer_shift) + ref.offset;
}

/* The reference to `length` bytes at `offset` bytes into a segment. */
static inline struct paste_ref region_ref_at(const struct paste_region *r, uint32_t segment, uint32_t offset,
					     uint32_t length)
{
	return (struct paste_ref){
		.buffer = segment * r->per_segment + (offset >> r->buffer_shift),
		.offset = (uint16_t)(offset & (r->buffer_size - 1)),
		.length = (uint16_t)length,
	};
}

/* The reference lies within one segment of the region. What comes from the medium is asked before it is followed. */
bool region_ref_valid(const struct paste_region *r, struct paste_ref ref);

/* Take a whole free segment for a role; SEGMENT_NONE if there is none. Only the caller decides about reserves. */
uint32_t region_segment_take(struct paste_region *r, enum segment_role role);

/* The segment's role is over: what is live in it stays as data, the rest is free. */
void region_segment_retire(struct paste_region *r, uint32_t segment);

/* At open, before anything is handed out: give a segment its role, and at the end sort out all others by what is live. */
void region_segment_assign(struct paste_region *r, uint32_t segment, enum segment_role role);
void region_settle(struct paste_region *r);

/* Count a live slice, or drop it. */
void region_live_add(struct paste_region *r, struct paste_ref ref);
void region_live_drop(struct paste_region *r, struct paste_ref ref);

/* Write back a slice that landed in buffers. Where units are blocks, a buffer is written once, whole, however many
 * slices of it become durable in how many rounds: a block with acknowledged bytes is never written again. */
void region_write_back(struct paste_region *r, struct paste_ref ref);

/* No byte of the slice is known to be lost (media.h). */
static inline bool region_ref_readable(const struct paste_region *r, struct paste_ref ref)
{
	return media_readable(r->m, region_ref_offset(r, ref), ref.length);
}

/* Hand the cached buffers back, so that their segments can become free. */
void region_cache_drain(struct paste_region *r);

#endif
