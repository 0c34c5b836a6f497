/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record.h - a record taken apart (docs/format.md, section 5). Nothing here checks a checksum: that comes
 *first.
 *
 *	header | OPEN: previous | digests | ops
 */
#ifndef LOG_RECORD_H
#define LOG_RECORD_H

#include <string.h>

#include "log/op.h"

/* The number of its last op; its own, if it has none. */
static inline uint64_t record_last(const struct record *rec)
{
	return rec->sequence + (rec->ops ? rec->ops - 1u : 0);
}

/* The number that it follows: OPEN says so itself. */
static inline uint64_t record_previous(const struct record *rec)
{
	uint64_t previous = rec->sequence - 1;

	if (rec->type == RECORD_OPEN)
		memcpy(&previous, rec + 1, sizeof(previous));
	return previous;
}

/* Bytes of the digests, padded like ops. */
static inline uint32_t record_digest_bytes(uint32_t digests)
{
	return (uint32_t)op_padded(digests * sizeof(uint32_t));
}

/* Header and what stands before the ops. */
static inline uint32_t record_head(uint8_t type, uint32_t digests)
{
	return (uint32_t)sizeof(struct record) + (type == RECORD_OPEN ? 8 : 0) + record_digest_bytes(digests);
}

/* Where digests stand: of the changes up to record_previous(), the newest last. */
static inline uint8_t *record_digests(const struct record *rec)
{
	return (uint8_t *)(uintptr_t)(rec + 1) + (rec->type == RECORD_OPEN ? 8 : 0);
}

static inline uint8_t *record_ops(const struct record *rec)
{
	return (uint8_t *)(uintptr_t)rec + record_head(rec->type, rec->digests);
}

/* The digest of change `number` if this record says it, which is before it. */
bool record_names(const struct record *rec, uint64_t number, uint32_t *digest);

/* A walk over the ops of a record. */
struct record_walk {
	const uint8_t *p;
	size_t room;
	uint64_t number; /* of the op that record_walk_next() gave last */
	uint32_t left;
	const uint8_t *name; /* of the stream that an APPEND without one belongs to */
	uint16_t name_length;
};

void record_walk_start(struct record_walk *w, const struct record *rec);
/* 1: the next op is in *v, which names its stream in any case; 0: there is none; -EBADMSG: it makes no sense.
 */
int record_walk_next(struct record_walk *w, struct op_view *v);

#endif
