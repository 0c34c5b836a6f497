/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.h - a stream in the index: its entries by sequence number.
 *
 * Entries first..next-1 exist; one whose slot is empty was lost to damage. Slots are kept in chunks of 256, so that
 * appending and trimming at the ends move nothing but a short directory now and then.
 */
#ifndef STORE_STREAM_H
#define STORE_STREAM_H

#include "store/entry.h"
#include "store/tree.h"

#define STREAM_CHUNK 256

struct stream {
	uint64_t first, next;
	uint64_t mark;       /* round of the last change of first or next */
	bool unsure;         /* next was lost to damage and may be higher: nothing is appended */
	struct entry ***chunk; /* directory */
	uint64_t base;       /* number of the first chunk in the directory: sequence / STREAM_CHUNK */
	size_t chunks, room;
	uint32_t digest; /* of its name */
	uint64_t snapshot;   /* the snapshot for which it remembers how it was, with */
	uint64_t snapshot_first, snapshot_next;
	struct snapshot_kept *kept; /* and these entries; NULL: none */
	uint16_t name_length;
	uint8_t name[];
};

/* An empty one, found in `streams` from now on. -ENOMEM. */
int stream_add(struct slab *slab, struct tree *streams, const void *name, size_t length, struct stream **made);
/* Entries are given to each() first. */
void stream_free(struct slab *slab, struct stream *st, void (*each)(void *arg, struct entry *e), void *arg);

/* NULL: outside, or lost. */
struct entry *stream_get(const struct stream *st, uint64_t sequence);

/* The first number >= `from` that has an entry, or next. */
uint64_t stream_seek(const struct stream *st, uint64_t from);

/* stream_reserve() has nothing to do. */
static inline bool stream_has_slot(const struct stream *st, uint64_t sequence)
{
	uint64_t c = sequence / STREAM_CHUNK - st->base;

	return c < st->chunks && st->chunk[c];
}

/* Make room for a sequence number >= first, so that stream_set() cannot fail. -ENOMEM. */
int stream_reserve(struct slab *slab, struct stream *st, uint64_t sequence);

/* Put an entry in its slot; the one that was there. */
struct entry *stream_set(struct stream *st, uint64_t sequence, struct entry *e);

/* Drop slots below `before` (at most next). Entries must have been taken out with stream_set(.., NULL). */
void stream_trim(struct slab *slab, struct stream *st, uint64_t before);

const void *stream_name_of(const void *item, size_t *length);

#endif
