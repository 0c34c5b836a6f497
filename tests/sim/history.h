/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history.h - what a store was asked and what its clients were told: the judge of every recovery.
 *
 * Keys and streams are objects of a fixed set. Each object has the states that it went through in this life,
 *oldest first; the first is what it was when the life began. A reply reveals a state: its own change's
 *success, the value read, or that there is none. Once such a reply has left, the object may never again be
 *found in an older state. So after a crash
 *
 *	states:   0 ... told ... last
 *	               └── any of these is right ──┘
 *
 * and, where all changes went through one log, there is one moment in the order of all changes at which every
 *object was as it is found: later changes are lost together.
 *
 * A change is added before the store is asked, so that a crash in the middle of the call is judged too, and
 *taken back if the store refuses it.
 */
#ifndef TESTS_HISTORY_H
#define TESTS_HISTORY_H

#include "media/sim_random.h"
#include "paste/store.h"

struct blob {
	struct blob *next;
	uint32_t length;
	uint8_t bytes[];
};

struct state {
	uint64_t at; /* number of the change that made it; 0: it was so at the start */
	bool present;
	const struct blob *value; /* of a key */
	uint64_t version;         /* of a key, as the store said; 0: not known */
	uint64_t expires;         /* of a key: absent from then on; 0: never */
	bool seen_gone;           /* absent, as the state before is, whose time has come: no more than that was seen */
	uint64_t first, next;     /* of a stream */
};

struct object {
	const uint8_t *name; /* belongs to the history that was made by history_new() */
	uint16_t name_length;
	bool stream;
	struct state *states;
	uint32_t n, room;
	uint32_t told;               /* index into states */
	const struct blob **entries; /* of a stream, by sequence number */
	uint64_t entries_room;
};

#define REPEATABLES_MAX 8

/* An append with a retry key. */
struct repeatable {
	uint32_t object;
	uint32_t length;
	uint8_t key[16];
	uint64_t sequence; /* that it got; 0: it was lost, or never made */
	uint64_t made;     /* the how manyth it was: old ones may be forgotten */
};

struct history {
	struct object *objects; /* keys in order of names, then streams */
	uint32_t keys, streams;
	uint64_t changes; /* so far, refused ones too */
	uint64_t now;     /* the latest time that the store was told: what expires by then may be absent */
	struct repeatable repeatable[REPEATABLES_MAX];
	uint32_t repeatables;
	uint64_t repeatables_made;
	bool ordered;     /* one log: changes are lost only together */
	struct blob *blobs;
	uint8_t *names; /* NULL: another history's */
};

/* Keys and streams with names of all lengths, all absent. */
struct history *history_new(struct sim_random *r, uint32_t keys, uint32_t streams, bool ordered);
/* The same objects, all absent, for a later life; to be freed before h, which owns the names and old values.
 */
struct history *history_successor(const struct history *h);
void history_free(struct history *h);

static inline struct state *object_last(const struct object *o)
{
	return &o->states[o->n - 1];
}

/* Random bytes, living as long as the history. */
const struct blob *history_blob(struct history *h, struct sim_random *r, uint32_t length);

/* A change is about to be asked for: the new last state, a copy of the one before, to be filled in. */
struct state *history_change(struct history *h, struct object *o);
/* One more that happens together with the last one. */
struct state *history_change_more(struct history *h, struct object *o);
/* The key is there: its time has not come. */
static inline bool object_there(const struct history *h, const struct object *o)
{
	const struct state *last = object_last(o);

	return last->present && !(last->expires && last->expires <= h->now);
}
/* The store refused it. */
void history_refused(struct history *h, struct object *o);
void stream_entry_set(struct object *o, uint64_t sequence, const struct blob *value);

/* Somebody is shown that the key is absent, whose time has come: the new last state. */
void history_gone(struct history *h, struct object *o);

/* A reply that revealed state `index` has left. */
void history_told(struct object *o, uint32_t index);

/*
 * Judge what the store holds. True if every object is in a state it may be in, and *found (if not NULL) is
 * the history of the life that begins with that, to be freed before h. Otherwise `why` is a sentence on the
 * broken promise.
 */
bool history_judge(const struct history *h, struct paste_store *s, struct history **found, char *why,
		   size_t room);

/* The value's bytes equal the blob's. Does not put the value. */
bool value_equals(struct paste_store *s, const struct paste_value *v, const struct blob *b);

#endif
