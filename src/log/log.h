/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - appending to one log.
 *
 * Records are written where they will stay, in segments of the region:
 *
 *	rec = log_begin(l, bytes);		a place for a whole record
 *	... ops behind the header, body behind the ops ...
 *	log_end(l, rec, &shape);		header, checksum; it has a sequence number now
 *	log_commit(l);				hands all since the last call to the medium, pads to its unit
 *	... media_commit(), the ticket is done ...
 *	log_durable(l, sequence, marked);
 *
 * Sequence numbers, in ascending order: start <= marked <= durable < next.
 *   durable  everything up to it is durable
 *   marked   the highest `stable` that stands in a durable record: what no recovery will verify or doubt again.
 *            A buffer freed by record L may be reused once marked >= L.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "log/op.h"
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
	uint64_t changed;    /* the last record that was not a SEAL */
	uint64_t stated;     /* `stable` of the last record written: becomes `marked` when that is durable */
	uint32_t digest;     /* for the next record */
	uint32_t segment;    /* being filled, or SEGMENT_NONE */
	uint32_t tail;       /* offset in it: where the next record goes */
	uint32_t committed;  /* offset in it: handed to the medium up to here */
	bool handed;         /* something was, since log_closed() */
	struct log_segment *segments; /* since the checkpoint, oldest first */
	uint32_t n, room;
	uint64_t bytes;      /* appended since open */
	uint64_t records;
};

struct log_shape {
	uint8_t type;      /* enum record_type */
	uint16_t ops;
	uint32_t meta;     /* bytes of header and ops */
	uint32_t length;   /* of all */
	uint32_t digest;   /* of this record's keys, for the next record to carry */
};

void log_init(struct log *l, struct paste_region *r, uint16_t number, uint32_t epoch);
void log_free(struct log *l);

/* The longest record. */
static inline uint32_t log_record_max(const struct paste_region *r)
{
	return r->segment_size - (uint32_t)sizeof(struct header);
}

/* A contiguous place of at least `bytes` for a record, in a new segment if need be. NULL: no segment is free. */
struct record *log_begin(struct log *l, uint32_t bytes);

/* The record is complete at the place log_begin() gave. Its sequence number. */
uint64_t log_end(struct log *l, struct record *rec, const struct log_shape *shape);

/* The first record of an epoch: `sequence` is above any in any log, `previous` the last one recovered in this log.
 * 0 or -ENOSPC. */
int log_write_open(struct log *l, uint64_t sequence, uint64_t previous);

/* Nothing but what is durable. 0 or -ENOSPC. */
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
