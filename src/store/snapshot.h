/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot.h - the store as it was at one moment (paste/backup.h).
 *
 * The walk goes through the index as it is. What belongs to the moment is known by its number: a key that was
 *put since has a version from `start` on. What is changed before the walk comes by is kept aside instead of
 *being given up: entries of keys in `saved`, entries of streams in an array of their stream's; and a stream
 *remembers its ends.
 *
 *	change ──► snapshot_keep() ──► saved ──walk──► limbo
 */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include "region/format.h"
#include "store/stream.h"
#include "store/tree.h"

struct paste_store;

/* Entries of a stream that were trimmed before the walk came by, in ascending order. */
struct snapshot_kept {
	struct snapshot_kept *next;
	struct stream *stream;
	struct entry **entry;
	size_t n, room, head;
};

struct snapshot {
	bool active; /* begun and not ended */
	bool given_up;
	uint64_t id; /* of each one another; a stream whose stamp is this one has remembered its ends */
	uint64_t start[LOGS_MAX]; /* numbers from here on came later */
	uint64_t now;
	struct tree saved;
	struct snapshot_kept *kept;
	uint64_t kept_bytes;
	struct entry *shown; /* the last item's, kept until the next call */
	bool in_streams;
	uint16_t at_length; /* name that the walk has reached; 0: none yet */
	uint8_t at[TREE_KEY_MAX];
	struct stream *stream; /* whose entries are being shown */
	uint64_t sequence, next;
	uint64_t begun, gave_up; /* counted since open */
};

void snapshot_init(struct snapshot *sn);
void snapshot_free(struct paste_store *s); /* the store goes */

/* The entry of a key is out of the index: true if the snapshot has taken it over. */
bool snapshot_keep(struct paste_store *s, uint16_t l, struct entry *e);
/* The same for an entry of a stream. */
bool snapshot_keep_entry(struct paste_store *s, struct stream *st, uint64_t sequence, struct entry *e);
/* The stream's ends are about to change. */
void snapshot_touch(struct paste_store *s, struct stream *st);
/* Somebody needs the room, or there is none to keep more: let everything go. False: there was nothing. Not in
 * the middle of a change: it uses places in the queue that the change has reserved. */
bool snapshot_give_up(struct paste_store *s);
/* Call `each` with every entry that is kept. Stops at the first nonzero return. */
int snapshot_each(const struct paste_store *s, int (*each)(void *arg, const struct entry *e), void *arg);

#endif
