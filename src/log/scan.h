/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan.h - reading a log back after a crash (docs/format.md, section 8).
 *
 * The scan finds the records of one log from its start, tells damage from the torn tail, and says where to go on
 * writing. It writes nothing.
 */
#ifndef LOG_SCAN_H
#define LOG_SCAN_H

#include "log/log.h"

/* The valid headers of a region, read once for all logs and the checkpoint. */
struct headers {
	struct header *header; /* one a segment; kind 0 where there is none */
	bool *mended;          /* one flipped bit was put right, in this copy */
};

int headers_read(const struct paste_region *r, struct headers *h);
void headers_free(struct headers *h);

/* Put one flipped bit of a header right. */
bool header_mend(const struct paste_region *r, struct header *h);

struct scan_record {
	const struct record *record; /* in the region, or a repaired copy */
	uint64_t offset;             /* in the region */
};

/* Changes from `after` to `before`, both exclusive, are lost. */
struct scan_gap {
	uint64_t after, before;
	uint64_t offset; /* where the first should have been */
	size_t next;     /* the record behind it */
};

struct scan {
	struct scan_record *records;
	size_t n, room;
	struct scan_gap *gaps;
	size_t gap_count, gap_room;
	struct record **copies; /* repaired ones */
	uint64_t *copy_offset;
	size_t copy_count;
	struct log_segment *segments; /* that hold the records, in order */
	uint32_t segment_count, segment_room;
	uint64_t last;         /* number of the last record, or start - 1 */
	uint32_t epoch;        /* of the last record */
	uint32_t digests;      /* of the last changes' keys, the last one's first, for the next records to carry */
	uint32_t digest[DIGESTS_MAX];
	uint64_t stable;       /* highest seen, or start - 1 */
	uint32_t segment;      /* where to go on, or SEGMENT_NONE */
	uint32_t tail;         /* offset behind the last record */
	uint64_t torn;         /* records cut off for torn values */
	bool lost_end;         /* the last durable records are lost to damage */
};

/*
 * Scan log `number` as the superblock says: from its start on; what is up to its end is durable, so that anything missing
 * there is damage; what is above was written in the superblock's epoch, so that a record of an earlier life which was
 * cut off is not taken for one. 0, or -ENOMEM.
 */
int log_scan(const struct paste_region *r, const struct headers *h, uint16_t number, struct scan *s);
void scan_free(struct scan *s);

/* The digest of a lost change, if a later record says it. */
bool scan_lost_digest(const struct scan *s, const struct scan_gap *gap, uint64_t number, uint32_t *digest);

/* Take up writing where the scan ended: OPEN in the next unit. The log owns the segments (roles are assigned). */
int log_resume(struct log *l, const struct scan *s);

#endif
