/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_internal.h - the parts of an open store and how they call one another. paste/store.h is the public side.
 *
 *	change.c      put, delete, append, trim		read.c       get, read, next
 *	value.c       where a value's bytes go		round.c      commit, poll, what waits for it
 *	space.c       admission, making room		pack.c       dense segments for survivors and lists
 *	checkpoint.c  writing one			clean.c      moving survivors
 *	recover.c     reading all back (recover.h)	open.c       create, open, close
 *	maintain.c    when to do what of the upkeep	fifo.h       what waits
 *	damage.c      what is known to be bad		check.c      looking for what is bad
 *	body.c        bodies under arrival		stats.c      counters
 *	apply.c       conditions, several changes at once	list.c       by prefix
 *	expiry.c      keys that have had their time	retry.c      calls that may be repeated (retry.h)
 *	scrub.c       looking for damage beside the load	snapshot.c   as it was at one moment (snapshot.h)
 *	restore.c     putting back what a snapshot showed	grow.c       making a region larger
 */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include "log/log.h"
#include "log/scan.h"
#include "paste/store.h"
#include "store/entry.h"
#include "store/fifo.h"
#include "store/retry.h"
#include "store/snapshot.h"
#include "store/stream.h"
#include "store/tree.h"

/* A round that was closed and is not known to be durable. */
struct round {
	uint64_t number;
	media_ticket ticket;
};

#define ROUNDS_MAX 256

/* What a round leaves in each log. */
struct round_log {
	uint64_t last, marked;
};

/* Dense space for survivors and reference lists, filled from the front of whole segments. */
struct pack {
	uint32_t segment; /* or SEGMENT_NONE */
	uint32_t tail, committed;
};

enum checkpoint_state {
	CHECKPOINT_IDLE,
	CHECKPOINT_RETRIES, /* writing the time, and what is remembered of calls */
	CHECKPOINT_DAMAGE,  /* what is known to be damaged */
	CHECKPOINT_KEYS,
	CHECKPOINT_STREAMS,
	CHECKPOINT_PAGES,   /* waiting for the pages to be durable */
	CHECKPOINT_ROOT,    /* rewriting the superblock */
};

struct segment_list {
	uint32_t *segment;
	size_t n, room;
};

struct checkpoint {
	enum checkpoint_state state;
	uint64_t id;
	uint64_t start[LOGS_MAX];
	bool clock;               /* the time is written */
	uint64_t retry;           /* place of the next remembered call to write */
	size_t damage;            /* next item to write */
	struct tree_cursor cursor;
	struct stream *stream;    /* being written */
	uint64_t sequence;        /* its next entry */
	uint8_t *page;            /* being filled, in the region; NULL: none */
	uint64_t page_offset;
	uint32_t fill, ops;       /* bytes and ops in it */
	bool named;               /* the page has a STREAM op of `stream` */
	uint64_t pages, all_ops;
	struct segment_list segments;
	uint32_t segment_fill;    /* bytes used of the last one */
	uint64_t round;           /* wait for it */
	uint64_t run_offset;      /* complete pages, one behind the other, not written back yet */
	uint32_t run_bytes;
	bool pages_pending;       /* written back since the last commit */
	uint64_t log_end;         /* when that was written to the logs since open, it should be done */
	bool clean;               /* the last one: mark the region clean */
	struct superblock_rewrite rewrite;
	uint64_t failed;          /* attempts given up for want of space */
};

struct paste_change;

/* How fast room goes (maintain.c): what came in, and what it took of the free segments. */
struct pace {
	uint64_t seen, seen_log;   /* acknowledged, and written to the logs, at the last step of upkeep */
	uint64_t intake, taken;    /* since the rate was last looked at; region.taken then */
	double rate;               /* bytes of free segments a byte of intake */
	double owed;               /* bytes that the cleaner has not yet kept pace with */
};

struct cleaner {
	bool active;
	bool in_streams;
	struct tree_cursor cursor;
	struct stream *stream;
	uint64_t sequence;
	uint32_t victims;
	bool again;         /* the last entry has more to move */
	uint64_t left_bytes;   /* live in victims when chosen, less what was moved: about what is still to do */
	uint64_t left_entries; /* to look at, about */
	bool futile;        /* the last look found no victims, when ... */
	uint64_t futile_retired; /* ... so many entries had been retired */
	uint32_t futile_free;    /* ... and so many segments were free */
	struct extent *extents; /* scratch: all of a value */
	size_t extents_n, extents_room;
	uint64_t skipped;   /* entries left alone because they are damaged */
};

/* The walk that verifies values, beside the load. */
struct scrub {
	bool active, in_streams;
	struct tree_cursor cursor;
	struct stream *stream;
	uint64_t sequence;
	uint64_t version, extent; /* of the entry that was left in the middle, and how far it was read */
	uint64_t passes, entries, bytes, damage;
};

/* The walk that deletes what has expired (expiry.c). */
struct expiry {
	bool active;
	struct tree_cursor cursor;
	uint64_t next; /* ms: nothing in the index expires before; while a walk is active, nothing that was put since */
	uint64_t seen; /* the least that the walk has come by */
	uint64_t last; /* time of the last step */
};

/* Keys of which something was lost: an interval (from an unreadable page), or one key known by its digest. */
struct lost {
	bool streams;
	uint32_t digest;      /* nonzero: this key; else the interval */
	uint16_t low_length, high_length; /* 0: unbounded */
	uint8_t *low, *high;
};

struct counters {
	uint64_t puts, deletes, appends, reads, misses, rejected_full, damaged_reads;
	uint64_t acknowledged_bytes, rounds;
	uint64_t checkpoints, checkpoint_bytes, checkpoint_entries;
	uint64_t cleaned_bytes;
	uint64_t copies[PASTE_COPY_CAUSES], copy_bytes[PASTE_COPY_CAUSES];
	uint64_t recovery_us, recovered_records, recovered_entries, torn;
	uint64_t expired, repeated;
};

struct paste_store {
	struct paste_region *r;
	bool read_only;
	bool was_clean;
	bool no_persist, was_no_persist; /* see struct paste_store_stats */
	struct slab slab;
	struct tree keys;    /* struct entry */
	struct tree streams; /* struct stream */
	struct stream *recent; /* appended to last, or NULL: the next append is often to the same */
	uint64_t live_keys;  /* in `keys`, ABSENT ones not counted */
	uint64_t entries;    /* of streams */
	uint64_t index_bytes; /* of the ops that the next checkpoint would hold */
	uint64_t live_bytes; /* keys and values */
	uint64_t placed_bytes; /* values that own slices */

	uint32_t logs;
	struct log log[LOGS_MAX];
	struct fifo limbo[LOGS_MAX]; /* entries freed by a record of that log, waiting for `marked` */
	struct fifo absent;          /* ABSENT entries, waiting for their round */
	uint64_t retired;            /* entries that left the index */

	uint64_t round, durable; /* the open one; the last durable one */
	struct round rounds[ROUNDS_MAX];
	struct round_log *round_log; /* ROUNDS_MAX x logs */
	uint32_t round_head, round_count;

	uint32_t tiny_max, small_max; /* bytes: value in the entry, value in the record */
	struct pack pack;
	struct segment_list pack_full; /* filled since the last commit */
	struct checkpoint checkpoint;
	struct segment_list checkpoint_segments; /* of the current one */
	uint64_t log_floor[LOGS_MAX]; /* log bytes at the current checkpoint */
	struct cleaner cleaner;
	struct scrub scrub;
	uint64_t now;        /* milliseconds since 1970, as the caller says; never goes back */
	uint64_t clock;      /* the latest `now` in a record: what was shown to have expired by then stays so */
	uint64_t clock_mark; /* round of that record */
	uint64_t expiring;   /* entries with a time to go */
	struct expiry expiry;
	struct retries retries;
	struct snapshot snapshot;
	uint64_t restoring;  /* the highest version that may be put back; 0: not restoring */
	struct pace pace;
	uint64_t admitted;    /* bytes that are known to fit without another look (space_admit()) */
	bool stuck;           /* making room failed, when */
	uint64_t stuck_retired; /* ... so many entries had been retired */
	uint32_t stuck_free;    /* ... and so many segments were free */

	struct extent *extents; /* scratch for the value being placed */
	size_t extents_room;
	struct paste_ref *refs; /* scratch for the value being read */
	size_t refs_room;
	uint8_t *tiny;          /* scratch */

	struct lost *lost;
	size_t lost_count;
	struct paste_damage *damage; /* found at open */
	size_t damage_count;
	struct counters c;
	int error; /* of the medium; sticky */
};

static inline uint64_t value_max(const struct paste_store *s)
{
	uint64_t quarter = ((uint64_t)s->r->segments << s->r->segment_shift) / 4;

	return quarter < UINT32_MAX ? quarter : UINT32_MAX;
}

/* value.c ----------------------------------------------------------------------------------------------------- */

/* How the value of a change is kept. */
struct value_plan {
	uint64_t length;
	uint8_t flags;         /* OP_INLINE, OP_INDIRECT */
	uint32_t refs;         /* in s->extents; for a packed one to be set when its place is known */
	bool packed;           /* copied into the record's body */
	const uint8_t *bytes;  /* INLINE: they stand there until the next plan */
};

/* Decide, and for values that stay in place or go to lists: checksum and write back, extents in s->extents. Nothing is
 * owned yet. -ENOMEM, -ENOSPC. */
int value_plan(struct paste_store *s, const struct paste_ref *slices, uint32_t n, struct value_plan *plan);
/* Gather the slices to a place; their checksum. */
uint32_t value_gather(struct paste_store *s, const struct paste_ref *slices, uint32_t n, uint8_t *to);
/* Reduce *n extents in s->extents to references of lists if they are too many for an op. */
int value_lists(struct paste_store *s, uint32_t *n, uint8_t *flags);
bool refs_adjoin(const struct paste_region *r, struct paste_ref a, struct paste_ref b);
int extents_reserve(struct paste_store *s, size_t n);
/* Count or drop the ownership of an entry's slices. */
void value_own(struct paste_store *s, const struct entry *e);
void value_disown(struct paste_store *s, const struct entry *e);

/* index (change.c) -------------------------------------------------------------------------------------------- */

uint64_t entry_cost(const struct entry *e); /* bytes in a checkpoint */
void index_account(struct paste_store *s, const struct entry *e, int sign);
uint16_t home_log(const struct paste_store *s, bool stream, const void *key, size_t length);
/* The entry is out of the index as of record `sequence` of log l; a snapshot may still want a key's. */
void entry_retire(struct paste_store *s, uint16_t l, uint64_t sequence, struct entry *e);
/* The same for one that stands in the index elsewhere now. */
void entry_moved(struct paste_store *s, uint16_t l, uint64_t sequence, struct entry *e);
/* Write the op to the log: log_add() found a place for it before. The change's number. (v->op.key_length is not kept.) */
uint64_t change_log(struct paste_store *s, uint16_t l, struct op_view *v, uint32_t digest);
/* A record of its own with `op_bytes` of ops and `body` bytes behind them (copied by the caller to *place). */
struct record *record_begin(struct paste_store *s, uint16_t l, size_t op_bytes, uint32_t body, uint8_t **place);
/* It has one op; or `ops` that stand in it already. Its number. */
uint64_t record_end(struct paste_store *s, uint16_t l, struct record *rec, const struct op_view *v, uint32_t body,
		    uint32_t digest);
uint64_t record_end_ops(struct paste_store *s, uint16_t l, struct record *rec, uint32_t ops, uint32_t op_bytes,
			uint32_t body);
/* log_add(). What makes room must not fail for want of room: there is a reserve for it, and then there is the cleaner.
 * It may move entries. */
int log_add_always(struct paste_store *s, uint16_t l, const struct op *op);
/* The stream, made if need be. A stream whose counter may have been lost to damage is not begun again. */
int stream_for_append(struct paste_store *s, const void *name, size_t length, struct stream **stream);
/* No entry could be made: a stream begins to exist with its first one. */
void stream_unmake(struct paste_store *s, struct stream *st);

/* apply.c ----------------------------------------------------------------------------------------------------- */

/* A put that keeps the version it had elsewhere (restore.c). */
int apply_versioned(struct paste_store *s, const struct paste_change *put, uint64_t version, struct paste_result *result);

/* expiry.c ---------------------------------------------------------------------------------------------------- */

static inline bool entry_expired(const struct paste_store *s, const struct entry *e)
{
	if (!e->attributes)
		return false;
	uint64_t expires = entry_expires(e);
	return expires && expires <= s->now;
}

/* The entry is a key that is there. */
static inline bool entry_shown(const struct paste_store *s, const struct entry *e)
{
	return e && !(e->flags & ENTRY_ABSENT) && !entry_expired(s, e);
}

/* A reply will show that the entry has expired: raises *round to what that depends on. It may move entries, e too. */
int expiry_reveal(struct paste_store *s, const struct entry *e, uint64_t *round);
void expiry_note(struct paste_store *s, uint64_t expires); /* something was put that expires then */
bool expiry_due(const struct paste_store *s);
int expiry_step(struct paste_store *s, bool idle); /* 1: there is more to do now */
bool expiry_make_room(struct paste_store *s); /* somebody waits for room; true if something was deleted */

/* retries (retry.h) ------------------------------------------------------------------------------------------- */

/* Remember a call by its RETRY op, and forget others for it. */
int store_remember(struct paste_store *s, const struct op_view *v, uint64_t mark);

/* read.c ------------------------------------------------------------------------------------------------------ */

/* What the entry holds, verified, with user counts: as paste_store_get(). */
int read_entry(struct paste_store *s, const struct entry *e, struct paste_value *value);

/* round.c ----------------------------------------------------------------------------------------------------- */

int store_fail(struct paste_store *s, int error);
bool store_dirty(const struct paste_store *s);
static inline uint64_t pending_round(const struct paste_store *s, uint64_t mark)
{
	return mark > s->durable ? mark : 0;
}
int store_seal(struct paste_store *s); /* SEAL in every log whose changes are not marked */
bool store_wants_seal(const struct paste_store *s);

/* space.c ----------------------------------------------------------------------------------------------------- */

int space_admit(struct paste_store *s, uint64_t value, uint64_t index, uint64_t replaced);
int space_make_room(struct paste_store *s);
int space_checkpoint(struct paste_store *s); /* all of one, waiting: the one under way, or a new one */
uint64_t space_capacity(const struct paste_store *s);
uint64_t space_log_limit(const struct paste_store *s); /* bytes of log that ask for a checkpoint */
uint64_t space_log_bytes(const struct paste_store *s); /* since the last one */
void space_set_reserve(struct paste_store *s);
bool space_is_low(const struct paste_store *s);
/* No fresh segment for what arrives. Buffers of deleted values wait for nothing but a record that says so, and while
 * nothing can arrive none is written. */
bool space_is_starved(const struct paste_store *s);
bool space_checkpoint_fits(const struct paste_store *s);

/* pack.c ------------------------------------------------------------------------------------------------------ */

/* A contiguous place of 1..wanted bytes; returns how many, 0 if no segment is free. */
uint32_t pack_alloc(struct paste_store *s, uint32_t wanted, struct paste_ref *ref);
bool pack_dirty(const struct paste_store *s);
void pack_commit(struct paste_store *s);
void pack_retire(struct paste_store *s); /* the full segments; between two changes only */
void pack_close(struct paste_store *s);

/* checkpoint.c, clean.c: one bounded step each; 1 if there is more, 0 if not, or a negative errno ---------------- */

int checkpoint_begin(struct paste_store *s, bool clean);
int checkpoint_step(struct paste_store *s, uint32_t ops);
bool segment_list_add(struct segment_list *l, uint32_t segment);
/* `spare`: free segments that it leaves alone. False: there is nothing to clean, or no room to do it. */
#define CLEANER_SPARE 4 /* at the least: for the log and for lists */
bool cleaner_begin(struct paste_store *s, uint32_t spare);
int cleaner_step(struct paste_store *s, uint64_t bytes, uint32_t entries);

/* damage.c ---------------------------------------------------------------------------------------------------- */

void damage_note(struct paste_store *s, uint64_t offset, bool repaired, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The stream's entries whose slots are empty. `name`: printable. */
void damage_note_missing(struct paste_store *s, const struct stream *st, const char *name);
int lost_interval(struct paste_store *s, bool streams, const void *low, size_t low_length, const void *high,
		  size_t high_length);
int lost_digest(struct paste_store *s, bool streams, uint32_t digest);
/* Note what is carried along; what the index shows to be settled is carried no longer. */
void lost_note(struct paste_store *s);
/* An absent key may have been lost. */
bool lost_covers(const struct paste_store *s, bool streams, const void *key, size_t length);
/* "key abc%00", printable. */
void key_text(char *to, size_t size, const void *key, size_t length);

/* open.c ------------------------------------------------------------------------------------------------------ */

/* Each log goes on with an OPEN record of this number, durably. */
int logs_begin(struct paste_store *s, uint64_t first);
/* On a medium that is open already; the store closes it, also on failure. */
int store_create_on(struct media *m, const char *name, uint64_t size, uint32_t buffer_size, uint32_t logs,
		    struct paste_error *err); /* leaves the medium open in any case */
int store_open_on(struct media *m, struct paste_store **store, struct paste_error *err);
/* With `released` of the options. */
int store_open_with(struct media *m, const struct paste_open_options *options, struct paste_store **store,
		    struct paste_error *err);
void store_abandon(struct paste_store *s); /* close without writing anything, as a crash would */

#endif
