/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * life.h - one store at work on one simulated medium, as a server would use it, with its history kept.
 *
 *	intake.c   packets arrive in buffers
 *	life.c     requests are answered: put, delete, append, trim, get, read; what is held meanwhile
 *	ask.c      conditions, several at once, retry keys, time, lists, snapshots
 *	step.c     poll rounds: a batch of requests, commit, replies that may leave, maintenance; full and
 *roomy again
 *
 * Replies wait for their round; when they have left, the history knows that they were told.
 */
#ifndef TESTS_LIFE_H
#define TESTS_LIFE_H

#include "history.h"
#include "run.h"
#include "store/store_internal.h"

/* A reply that waits for its round. */
struct reply {
	uint64_t round;
	struct object *object;
	uint32_t state; /* that it reveals */
};

/* A value whose slices somebody still sends. */
struct hold {
	struct paste_ref *slices;
	uint32_t n;
	uint64_t length;
	const struct blob *value;
};

#define RING_MAX 64
#define HOLDS_MAX 8
#define TAKEN_MAX 512

struct slices {
	struct paste_ref *ref;
	uint32_t n, room;
};

struct life {
	struct run *run;
	struct media *m;
	struct paste_store *s;
	struct paste_region *r;
	struct history *h;
	struct sim_random random;
	bool failing; /* the medium is going to fail, or did */

	/* How this life is lived. */
	uint32_t value_max, ring_want, batch_max;
	uint32_t deletes; /* of 16 changes */
	bool draining;

	/* Posted buffers, and those that packets of this batch went to. */
	uint32_t ring[RING_MAX], ring_n;
	uint32_t taken[TAKEN_MAX], taken_n;
	uint8_t *packet;    /* being assembled for the last of `taken` */
	uint32_t packet_at; /* bytes of it used */

	struct reply *replies;
	uint32_t replies_n, replies_room;
	struct hold holds[HOLDS_MAX];
	uint64_t committed, durable; /* rounds, as the store said */
	uint64_t steps;
	uint64_t clock; /* that it tells the store: each life has its own idea of the time */
	bool plain;     /* only what store.h has */
	struct life_snapshot {
		uint32_t *state; /* of each object, index; NULL: there is no snapshot */
		uint32_t key, streams;
		uint64_t now;
	} snapshot;
	int64_t damage; /* known since the store was opened */
};

/* The store is open. h becomes the life's. */
void life_begin(struct life *life, struct run *run, struct media *m, struct paste_store *s,
		struct history *h);
/* Requests that arrive together, not committed yet (or in part). False: the medium failed. */
bool life_batch(struct life *life);
/* A poll round. False: the medium failed. */
bool life_step(struct life *life);
/* Everybody is told everything; nothing is held. */
bool life_settle(struct life *life);
/* Drop what the life owns (not the history); the store and its medium must be gone, or `returned`. */
/* The medium fails at one of the next `commits` commits. */
void life_fail_soon(struct life *life, uint32_t commits);
void life_end(struct life *life);

/* intake.c: the bytes arrive in buffers, in one of the shapes that packets give them; the slices have a user
 * count each. False: no buffers. All slices of a batch are valid after intake_land(). */
bool intake_value(struct life *life, const struct blob *b, struct slices *slices);
void intake_land(struct life *life);
void intake_post(struct life *life);   /* fill the ring up; some packets get under way */
void intake_unpost(struct life *life); /* give the ring back */
void intake_flood(struct life *life);  /* packets that nobody wants arrive in every free buffer */
void slices_put(struct life *life, struct slices *slices);

/* life.c: requests. False: the medium failed. *full: refused for want of space. */
bool request_put(struct life *life, struct object *o, const struct blob *b, struct slices *slices,
		 bool *full);
bool request_append(struct life *life, struct object *o, const struct blob *b, struct slices *slices,
		    bool *full);
bool request_delete(struct life *life, struct object *o);
bool request_trim(struct life *life, struct object *o, uint64_t before);
bool request_get(struct life *life, struct object *o);
bool request_read(struct life *life, struct object *o, uint64_t sequence);
bool request_range(struct life *life, struct object *o);
/* The reply about a state of the object may leave when the round is durable. */
void life_reply(struct life *life, struct object *o, uint32_t state, uint64_t round);
/* An error that is not an answer. True if it is the failed medium's; any other is a broken promise. */
bool life_medium_failed(struct life *life, const char *what, int64_t rc);

/* ask.c: more requests. */
bool request_if(struct life *life, struct object *o, const struct blob *b, struct slices *slices, bool *full);
bool request_together(struct life *life, struct object *o, const struct blob *b, struct slices *slices, bool *full);
bool request_again(struct life *life, struct object *o, const struct blob *b, struct slices *slices, bool *full);
bool request_list(struct life *life);
void life_set_time(struct life *life);
bool life_snapshot(struct life *life); /* begin one, or look at a piece of it */
void life_snapshot_end(struct life *life);

bool life_commit(struct life *life);
bool life_poll(struct life *life); /* and let replies leave */
bool life_wait(struct life *life);
void holds_put(struct life *life);

#endif
