/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rounds.h - the store's rounds, as all services of one loop see them.
 *
 * Services change the store and note the rounds of their changes; then the owner steps once for all of them,
 * and each sends the replies whose round is durable:
 *
 *	take of every service ──► rounds_step ──► answer of every service ──► again while rounds_may_commit
 */
#ifndef SERVE_ROUNDS_H
#define SERVE_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "paste/store.h"

#define ROUNDS_UNDER_WAY 2 /* commits that are not durable, where durability takes time */
#define ROUNDS_BUCKETS 256 /* of streams, by the hash of their names */

struct rounds {
	struct paste_store *store;
	uint64_t open; /* the latest round that a change of a service belongs to */
	uint64_t committed, durable;
	bool take_time; /* durable some time after the commit */
	int error;      /* the medium has failed: no round will be durable any more */
	bool followed;  /* somebody has waited for entries: count appends from now on */
	uint32_t
	    appended[ROUNDS_BUCKETS]; /* appends to the streams of each bucket, for those who wait for them */
};

/* -EIO and the like: the medium has failed already. */
int rounds_init(struct rounds *r, struct paste_store *store, struct paste_error *err);

static inline void rounds_saw(struct rounds *r, uint64_t round)
{
	if (round > r->open)
		r->open = round;
}

uint32_t rounds_bucket(const void *stream, size_t length);

/* An entry was appended to this stream. */
static inline void rounds_appended(struct rounds *r, const void *stream, size_t length)
{
	if (r->followed)
		r->appended[rounds_bucket(stream, length)]++;
}

/* There is a round to close, and it may be closed now: where durability takes time, a few are under way and
 * the next one collects what comes meanwhile. */
bool rounds_may_commit(const struct rounds *r);

/* Close the open round if it may be, and learn what is durable. */
void rounds_step(struct rounds *r);

/* A reply that waits for `round` may leave. */
static inline bool rounds_is_durable(const struct rounds *r, uint64_t round)
{
	return round <= r->durable;
}

#endif
