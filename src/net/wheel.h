/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wheel.h - timers at a flat cost each, however many there are (hierarchical timing wheels).
 *
 * Levels of 64 slots: a slot of level 0 is one tick, one of level L is 64^L ticks. A timer hangs in the level
 * of the highest digit (base 64) in which its tick differs from now, in the slot of that digit. When now
 * passes into that slot it moves to a lower level, or is due. So setting, clearing and being due are O(1), at
 * most one move a level, and a jump of the clock by days costs no more than a look at each slot.
 *
 * Ticks are the caller's; nothing here reads a clock. A timer fires when its tick has come, never before.
 */
#ifndef NET_WHEEL_H
#define NET_WHEEL_H

#include <stdint.h>

#include "base/link.h"

#define WHEEL_LEVELS 8 /* of 64: 2^48 ticks; a timer beyond fires at the end */
#define WHEEL_SLOTS 64
#define WHEEL_NEVER UINT64_MAX

struct wheel_timer {
	struct link link; /* link_init() before the first use */
	uint64_t tick;
};

struct wheel {
	uint64_t now;
	uint64_t used[WHEEL_LEVELS]; /* a bit for each slot that may have timers */
	struct link slot[WHEEL_LEVELS][WHEEL_SLOTS];
	struct link due;
};

void wheel_init(struct wheel *w, uint64_t now);

/* (Re)set the timer. A tick that has come already is due at the next wheel_advance(), whatever its time. */
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t tick);

static inline void wheel_clear(struct wheel_timer *t)
{
	link_remove(&t->link);
}

static inline bool wheel_is_set(const struct wheel_timer *t)
{
	return !link_empty(&t->link);
}

/* The time is now `now`, which never goes back (an earlier one changes nothing). What is due is taken out
 * with wheel_due(). */
void wheel_advance(struct wheel *w, uint64_t now);

/* A timer that is due, no longer set; NULL: no more. */
struct wheel_timer *wheel_due(struct wheel *w);

/* A tick before which nothing is due, above now, and at which wheel_advance() makes progress; WHEEL_NEVER:
 * nothing is set. */
uint64_t wheel_next(const struct wheel *w);

#endif
