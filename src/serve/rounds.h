/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rounds.h - the store's rounds, as all services of one loop see them.
 *
 * Services change the store and note the rounds of their changes; then the owner steps once for all of them,
 * and each sends the replies whose round is durable:
 *
 *	take of every service ──► rounds_step ──► answer of every service ──► again while rounds_may_commit
 *
 * Loops of several threads share them as well, one turn at a time: each steps for all, and wakes those for whose services there
 * is news then (service_has_news()).
 */
#ifndef SERVE_ROUNDS_H
#define SERVE_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/link.h"
#include "paste/store.h"

#define ROUNDS_BUCKETS 256 /* of streams, by the hash of their names */

struct rounds {
	struct paste_store *store;
	uint64_t open; /* the latest round that a change of a service belongs to */
	uint64_t committed, durable;
	bool take_time; /* durable some time after the commit: the rest is for that */
	int64_t now_us; /* monotonic, told before each step */
	int64_t committed_us, took_us; /* when the round under way was closed; how long they take, about */
	int64_t gather_until, gather_end; /* when nothing more has come by then; in any case */
	uint32_t changes, under_way;      /* in the open round, in the one under way */
	uint32_t expected, seen;          /* in the open round before it is closed; at the last step */
	uint32_t vain;                    /* rounds for which nothing is expected */
	int error;      /* the medium has failed: no round will be durable any more */
	struct link services; /* HTTP services, for what is told of all of them together */
	uint64_t arriving;    /* bytes of bodies that they let in and that have not arrived */
	bool followed;  /* somebody has waited for entries: count appends from now on */
	uint32_t
	    appended[ROUNDS_BUCKETS]; /* appends to the streams of each bucket, for those who wait for them */
};

/* -EIO and the like: the medium has failed already. They stay where they are from then on. */
int rounds_init(struct rounds *r, struct paste_store *store, struct paste_error *err);

static inline void rounds_saw(struct rounds *r, uint64_t round)
{
	if (round > r->open)
		r->open = round;
	r->changes++;
}

uint32_t rounds_bucket(const void *stream, size_t length);

/* An entry was appended to this stream. */
static inline void rounds_appended(struct rounds *r, const void *stream, size_t length)
{
	if (r->followed)
		r->appended[rounds_bucket(stream, length)]++;
}

/*
 * There is a round to close, and it may be closed now. Where durability takes time, one is under way, and the next one
 * collects what comes meanwhile: a second flush would wait for the first one in most devices, so two half-full rounds
 * take twice as long as a full one. When a round is durable its clients ask for more, if they are of the busy kind, so
 * the next one waits for as many as were answered: as long as they keep coming, and not beyond half of the time
 * that a round takes, counted from the first look at the sockets after the answers were sent. Where that is in vain it is
 * seldom tried.
 */
bool rounds_may_commit(const struct rounds *r);

/* Microseconds until rounds_may_commit() by time alone; INT64_MAX: time makes no difference. */
int64_t rounds_gather_us(const struct rounds *r);

/* Microseconds for which it is better not to look for requests: a round is under way, and what comes has to wait for
 * its end anyway. Looking seldom takes many at once, and a wake-up a request would cost more than the request. 0: look. */
int64_t rounds_rest_us(const struct rounds *r);

/* Everything that a service changed is durable, or never will be. */
static inline bool rounds_idle(const struct rounds *r)
{
	return r->open <= r->durable || r->error;
}

/* The round under way became durable since the last step, or the medium failed: to be asked before the loop sleeps. Upkeep
 * looks at the medium as well, and what it finds done does not wake the loop any more. */
bool rounds_news(const struct rounds *r);

/* Close the open round if it may be, and learn what is durable. */
void rounds_step(struct rounds *r);

/* A reply that waits for `round` may leave. */
static inline bool rounds_is_durable(const struct rounds *r, uint64_t round)
{
	return round <= r->durable;
}

#endif
