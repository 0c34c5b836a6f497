/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - appending to one log.
 *
 * Records are written where they will stay, in segments of the region. Changes that have no body share records, a few
 * to each: a header and a checksum for each of them would cost more than what they say.
 *
 *	p = log_add(l, bytes);			a place for an op, in the record that is being filled
 *	... the op ...
 *	log_added(l, bytes, digest);		it is a change now, with number l->next - 1
 *
 * A record of its own, for ops that must happen together, or with a body:
 *
 *	rec = log_begin(l, bytes);		a place for a whole record
 *	... ops from record_ops(rec) on, body behind the ops ...
 *	log_end(l, rec, &shape);		header, checksum; its ops have their numbers
 *
 * And then:
 *
 *	log_commit(l);				hands all since the last call to the medium, pads to its unit
 *	... media_commit(), the ticket is done ...
 *	log_durable(l, sequence, marked);
 *
 * Numbers count changes (and the records without any), in ascending order: start <= marked <= durable < next.
 *   durable  everything up to it is durable
 *   marked   the highest `stable` that stands in a durable record: what no recovery will verify or doubt again.
 *            A buffer freed by record L may be reused once marked >= L.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "log/record.h"
#include "region/region.h"

struct log_segment {
	uint32_t segment;
	uint64_t first; /* sequence number of its first record */
};

struct log {
	struct paste_region *r;
	uint16_t number;
	uint32_t epoch;
	uint64_t next, durable, marked;
	uint64_t changed;    /* the last one that was not a SEAL's */
	uint64_t stated;     /* `stable` of the last record written: becomes `marked` when that is durable */
	uint32_t segment;    /* being filled, or SEGMENT_NONE */
	uint32_t tail;       /* offset in it: where the next op or record goes */
	uint32_t committed;  /* offset in it: handed to the medium up to here */
	uint32_t filling;    /* offset in it of the record that takes ops, or 0 */
	uint32_t name;       /* offset in it of the last APPEND that names its stream there, or 0 */
	uint16_t ops;        /* in it */
	uint16_t last_ops;   /* in the record before the next one */
	bool handed;         /* something was, since log_closed() */
	struct log_segment *segments; /* since the checkpoint, oldest first */
	uint32_t n, room;
	uint64_t bytes;      /* appended since open */
	uint64_t records;
	uint64_t known;      /* the digests of the changes from here to next - 1 are in `digest` */
	uint64_t listed[2];  /* the last SEAL or OPEN with a list of digests, and the one before it */
	uint32_t digest[DIGESTS_MAX]; /* by number, modulo its size */
};

struct log_shape {
	uint8_t type;      /* enum record_type */
	uint16_t ops;
	uint32_t meta;     /* bytes of header, digests and ops */
	uint32_t length;   /* of all */
	const uint32_t *digest; /* of each op's key, op_digest() */
};

void log_init(struct log *l, struct paste_region *r, uint16_t number, uint32_t epoch);
void log_free(struct log *l);

/* The most that log_begin() may be asked for; every record of this length fits a segment. */
static inline uint32_t log_record_max(const struct paste_region *r)
{
	return r->segment_size - (uint32_t)(sizeof(struct header) + sizeof(struct record));
}

/* A contiguous place for an op of `bytes` (op_size()), in a new record and a new segment if need be. NULL: no segment is
 * free. */
uint8_t *log_add(struct log *l, uint32_t bytes);

/* The op is complete at the place log_add() gave. Its number. */
uint64_t log_added(struct log *l, uint32_t bytes, uint32_t digest);

/* The record that log_add() gave a place in has an APPEND to this stream already: another one needs no name. */
bool log_named(const struct log *l, const void *name, uint16_t length);

/* Bytes of ops that always fit a record. */
#define LOG_OPS_MAX (RECORD_META_MAX - sizeof(struct record) - LOG_CARRIED_MAX * sizeof(uint32_t))
#define LOG_CARRIED_MAX 32

/* A contiguous place for a record of its own with `bytes` of ops and body, in a new segment if need be. The first op has
 * the number l->next and its place is record_ops(). NULL: no segment is free. */
struct record *log_begin(struct log *l, uint32_t bytes);

/* The record is complete at the place log_begin() gave. Its first number. */
uint64_t log_end(struct log *l, struct record *rec, const struct log_shape *shape);

/* The first record of an epoch: `sequence` is above any in any log, `previous` the last one recovered in this log.
 * 0 or -ENOSPC. */
int log_write_open(struct log *l, uint64_t sequence, uint64_t previous);

/* Nothing but what is durable, and whose keys changed lately. 0 or -ENOSPC. */
int log_write_seal(struct log *l);

/* Something was appended that no media_commit() covers: it is not handed over yet, or was (a segment became full, the
 * log was rotated) and waits for one. */
static inline bool log_dirty(const struct log *l)
{
	return l->handed || (l->segment != SEGMENT_NONE && l->tail != l->committed);
}

void log_commit(struct log *l);

/* A media_commit() covers all that was handed over. */
static inline void log_closed(struct log *l)
{
	l->handed = false;
}

void log_durable(struct log *l, uint64_t sequence, uint64_t marked);

/* Close the segment being filled; the next record begins another. Returns that record's number. */
uint64_t log_rotate(struct log *l);

/* Records below `start` are superseded: retire their segments. */
void log_truncate(struct log *l, uint64_t start);

/* CRC of a record at rec, `meta` bytes. */
uint32_t record_crc(const struct paste_region *r, const struct record *rec, uint32_t meta);
uint32_t header_crc(const struct paste_region *r, const struct header *h);

#endif
