/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.h - keys and streams, kept in a region.
 *
 * A key maps to one value. A stream is a sequence of entries numbered from 1 without gaps. Values are slices of
 * region buffers, wherever they landed.
 *
 * Changes take effect in memory at once and become durable by rounds: every change belongs to the round that is open
 * when it is made, paste_store_commit() closes the round and starts to make it durable, paste_store_poll() says
 * up to which round all is durable. A reply that reveals a change (its success, the value it wrote, a key's
 * absence after a pending delete) must not leave before that change's round is durable: each result carries the
 * round to wait for, 0 if it reveals only durable state. Rounds count from 1.
 *
 *	poll the stack ──► put / get / append ... (result.round) ──► commit ──► poll ──► send replies of durable rounds
 *
 * After the medium failed, every call that changes or waits returns an error and nothing more is acknowledged. What is
 * durable can still be read; reading anything that depends on a round that will never be is -EIO.
 */
#ifndef PASTE_STORE_H
#define PASTE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "paste/error.h"
#include "paste/ref.h"
#include "paste/region.h"

struct paste_store;

#define PASTE_KEY_MAX 1024 /* bytes of a key or a stream's name, at least 1 */

struct paste_create_options {
	const char *path;
	const char *name;      /* at most 63 bytes; NULL: the path's last component */
	uint64_t size;         /* bytes of the file or device */
	uint32_t buffer_size;  /* 2048, 4096, or 0 for the medium's default */
	const char *medium;    /* "pmem", "shm", "file", or NULL: decided by the path */
	uint32_t logs;         /* 0: 1 */
	bool force;
};

/* Make a region with an empty store. Leaves nothing behind on failure. */
int paste_store_create(const struct paste_create_options *options, struct paste_error *err);

struct paste_open_options {
	const char *path;
	bool read_only;         /* recover in memory, write nothing */
	const char *medium;     /* NULL: decided by the path */
	/* How to ask whether devices that a dead owner gave buffers to have stopped: paste_xdp_released (port.h). NULL: a region that
	 * names such a device is not opened for writing (-EBUSY). */
	paste_landing_released *released;
	void *released_arg;
	bool hugepages;         /* `file`: resident memory from hugetlb if enough is free */
	/* Make nothing durable until it is closed, only to measure what that costs. Every round counts as durable at once.
	 * The region is marked before: unless it is closed, whoever opens it next is told (was_no_persist). */
	bool no_persist;
};

/* Open and recover. -EBUSY: another process writes it (the sentence says which). -EBADMSG: not a region, or damaged
 * beyond use. Contained damage does not fail the opening; see paste_store_damage(). A child of fork() cannot use it: on
 * `file` its memory is not even there. */
int paste_store_open(const struct paste_open_options *options, struct paste_store **store, struct paste_error *err);

/* Make everything durable, write a checkpoint, mark the region clean, close. The errno of what failed; the store is
 * gone in any case. Every user count on its buffers must have been put. With no_persist all of the region is written. */
int paste_store_close(struct paste_store *s);

struct paste_region *paste_store_region(struct paste_store *s);

struct paste_result {
	uint64_t round;   /* wait for it before telling anybody; 0: nothing to wait for */
	uint64_t version; /* of the key after the call; an append's sequence number */
	bool existed;     /* put, delete: the key was there before */
	bool repeated;    /* paste_store_apply(): done before, under the same retry key */
	int error;        /* paste_store_apply(): 0, or the condition that does not hold */
};

/*
 * Set key to the bytes of n slices. The store counts its own ownership of what it keeps in place and copies what is
 * small (docs/format.md); in both cases the caller still has its user counts and puts them.
 * -ENOSPC: full (nothing changed; deleting makes room), -EINVAL: key length, -EFBIG: longer than
 * paste_store_value_max(), -EIO: medium failed.
 */
int paste_store_put(struct paste_store *s, const void *key, size_t key_length, const struct paste_ref *slices,
		    uint32_t n, struct paste_result *result);

/* Remove key. result->existed tells if it was there; no record is written if not. Always possible when full. */
int paste_store_delete(struct paste_store *s, const void *key, size_t key_length, struct paste_result *result);

/* Append an entry to a stream, which begins to exist with its first entry. result->version: its sequence number. */
int paste_store_append(struct paste_store *s, const void *name, size_t name_length, const struct paste_ref *slices,
		       uint32_t n, struct paste_result *result);

/* Drop all entries with a sequence number below `before`. Numbers are never used again. */
int paste_store_trim(struct paste_store *s, const void *name, size_t name_length, uint64_t before,
		     struct paste_result *result);

/*
 * A value found. `bytes`, if not NULL, is the whole value in memory that is valid until the next call on the store.
 * Otherwise it is the slices, each with a user count on its buffers that the caller puts (or hands to
 * paste_conn_send). The bytes were verified against their checksums.
 */
struct paste_value {
	uint64_t round; /* also set with -ENOENT */
	uint64_t version;
	uint64_t expires; /* of a key: ms since 1970 (paste/change.h), 0: never */
	uint64_t length;
	const void *bytes;
	const struct paste_ref *slices; /* valid until the next call on the store */
	uint32_t n;
};

/* -ENOENT: not there. -EIO: see above. -EBADMSG: it is damaged, or lies where damage may have hidden it; never served. */
int paste_store_get(struct paste_store *s, const void *key, size_t key_length, struct paste_value *value);
int paste_store_read(struct paste_store *s, const void *name, size_t name_length, uint64_t sequence,
		     struct paste_value *value);
void paste_value_put(struct paste_store *s, const struct paste_value *value);

/* In key order: the first key greater than `after` (NULL: the very first). Returns -ENOENT at the end. */
int paste_store_next(struct paste_store *s, const void *after, size_t after_length, const void **key,
		     size_t *key_length, uint64_t *length);

/* A stream's range: entries first..next-1 exist. -ENOENT: no such stream. */
int paste_store_stream(struct paste_store *s, const void *name, size_t name_length, uint64_t *first, uint64_t *next,
		       uint64_t *round);

/* Close the open round and start to make it durable. Returns its number (the last one's if nothing changed). */
int64_t paste_store_commit(struct paste_store *s);

/* The last durable round, or a negative errno. Does not block. */
int64_t paste_store_poll(struct paste_store *s);
int64_t paste_store_wait(struct paste_store *s, uint64_t round);

/* A descriptor that is readable when paste_store_poll() may report progress; -1: rounds are durable on commit. A loop that
 * spins on paste_store_poll() instead should yield its core (sched_yield()) while a round is under way: the kernel's
 * threads that complete it may be queued behind it. */
int paste_store_wait_fd(const struct paste_store *s);

/*
 * A bounded piece of checkpointing, cleaning and sealing; call it once a poll round. What it writes becomes durable with
 * the next paste_store_commit(). `idle`: nothing has been asked of the store for some 10 ms; then it may take longer, and the log is
 * sealed (a small record that shortens the window in which damage cannot be told from a torn write).
 * Returns 1 if there is more to do now, 0 if not, or a negative errno.
 */
int paste_store_maintain(struct paste_store *s, bool idle);

/* The largest value that can be stored, bytes. */
uint64_t paste_store_value_max(const struct paste_store *s);

/*
 * A body under arrival. Slices are added as they come; when they would hold more than twice their bytes in
 * buffers they are copied together (counted), so that a dribbling client pins no more than 2 x bytes + 2 buffers.
 */
struct paste_body {
	struct paste_ref *slices; /* each with a user count that the body owns */
	uint32_t n, room;
	uint32_t packed;          /* leading slices that are dense already */
	bool open_tail;           /* the last of them is in a buffer of the body's own with room behind it */
	uint64_t bytes;           /* in slices */
	uint64_t held;            /* bytes of buffers that are held */
};

void paste_body_init(struct paste_body *b);
/* Takes over one user count on the slice's buffers, also on failure. -ENOBUFS: no buffer to copy into, -ENOMEM. */
int paste_body_add(struct paste_store *s, struct paste_body *b, struct paste_ref slice);
void paste_body_free(struct paste_store *s, struct paste_body *b);

enum paste_copy_cause {
	PASTE_COPY_TINY,     /* value kept inside its index entry */
	PASTE_COPY_SMALL,    /* value packed into the log record */
	PASTE_COPY_COALESCE, /* dribbled body copied together */
	PASTE_COPY_CLEAN,    /* survivor moved by the cleaner */
	PASTE_COPY_READ,     /* value copied into a reply */
	PASTE_COPY_CAUSES,
};

const char *paste_copy_cause_name(enum paste_copy_cause cause);

struct paste_store_stats {
	char name[64], uuid[37];
	const char *medium, *survives, *instruction, *backing;
	uint32_t format, features_compat, features_ro_compat, features_incompat;
	uint64_t epoch;
	bool clean;                /* the last owner closed it */
	bool no_persist;           /* this opening makes nothing durable */
	bool was_no_persist;       /* nor did the last owner, and did not close it: what was acknowledged may be missing */
	uint64_t size, segment_size, segments, segments_free;
	uint32_t buffer_size;
	uint64_t buffers, buffers_free, buffers_live;
	uint32_t logs;
	uint64_t keys, streams, entries; /* entries: of streams */
	uint64_t live_bytes;       /* of keys and values */
	uint64_t used_bytes;       /* of the medium, not free */
	uint64_t capacity_bytes;   /* live_bytes at which -ENOSPC is the answer, about */
	uint64_t puts, deletes, appends, reads, misses, rejected_full, damaged_reads;
	uint64_t acknowledged_bytes; /* keys and values made durable */
	uint64_t rounds, records;
	uint64_t log_bytes;        /* in the log since the checkpoint */
	uint64_t checkpoints, checkpoint_bytes, checkpoint_entries;
	uint64_t cleaned_segments, cleaned_bytes;
	uint64_t copies[PASTE_COPY_CAUSES], copy_bytes[PASTE_COPY_CAUSES];
	uint64_t media_bytes_written, media_units, media_commits;
	uint64_t damage;           /* items found since open */
	uint64_t recovery_us, recovered_records, recovered_entries;
	uint64_t torn_records;     /* unacknowledged, cut off at open because their bytes were torn */
	int medium_error;
	uint64_t version;          /* no key's is higher */
	uint64_t time;             /* paste_store_time() */
	uint64_t expiring, expired; /* keys that have a time to go; removed since open because it had come */
	uint64_t retry_keys, retry_bytes, repeated; /* remembered; what they take; calls answered from them */
	uint64_t scrub_passes, scrub_entries, scrub_bytes, scrub_damage; /* complete; of this one; of all: found */
	uint64_t scrub_total;      /* entries that a pass looks at, about */
	uint64_t snapshots, snapshot_kept_bytes, snapshots_given_up;
};

void paste_store_stats(struct paste_store *s, struct paste_store_stats *stats);

/* One thing that is damaged; `what` says which key, or stream and sequence, or which part of the log or checkpoint. */
struct paste_damage {
	char what[256];
	uint64_t offset;   /* in the region */
	bool repaired;     /* a single flipped bit in metadata, put right in memory */
};

/* What is known to be damaged so far, found at opening, by reading, by scrubbing or checking: how many items from the
 * `from`-th on `report` was called for. */
size_t paste_store_damage(struct paste_store *s, size_t from, void (*report)(void *arg, const struct paste_damage *),
			  void *arg);

/* Read and verify everything: values, ownership, both superblocks. Calls `report` for each item (those found at open
 * first). Returns the number of unrepaired items or a negative errno. */
int64_t paste_store_check(struct paste_store *s, void (*report)(void *arg, const struct paste_damage *), void *arg);

/*
 * Look for damage a piece at a time, beside the load: reads and verifies the bytes of values, in the order of keys and
 * streams, until about `bytes` of them have been read or 4096 entries looked at. A large value takes several calls.
 * Returns 1 within a pass, 0 when one is complete (the next call begins another), or a negative errno.
 * What it finds is reported as by paste_store_check(), and counted in the statistics.
 */
int paste_store_scrub_step(struct paste_store *s, uint64_t bytes);

#endif
