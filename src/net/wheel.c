/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/wheel.h"

#define DIGIT 6

void wheel_init(struct wheel *w, uint64_t now)
{
	*w = (struct wheel){.now = now};
	for (int level = 0; level < WHEEL_LEVELS; level++) {
		for (int slot = 0; slot < WHEEL_SLOTS; slot++)
			link_init(&w->slot[level][slot]);
	}
	link_init(&w->due);
}

void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t tick)
{
	const uint64_t span = 1ull << (WHEEL_LEVELS * DIGIT);

	link_remove(&t->link);
	t->tick = tick;
	if (tick <= w->now) {
		link_append(&w->due, &t->link);
		return;
	}
	/* One that is too far away for the highest level waits in its last slot. */
	if ((tick ^ w->now) >= span)
		tick = w->now | (span - 1);
	if (tick == w->now)
		tick++;
	int level = (63 - __builtin_clzll(tick ^ w->now)) / DIGIT;
	if (level >= WHEEL_LEVELS)
		level = WHEEL_LEVELS - 1;
	uint32_t slot = (uint32_t)(tick >> (level * DIGIT)) & (WHEEL_SLOTS - 1);
	w->used[level] |= 1ull << slot;
	link_append(&w->slot[level][slot], &t->link);
}

/* Slots of a level that now goes past or into on its way from `from` to `to`. */
static uint64_t passed(uint64_t from, uint64_t to, int level)
{
	from >>= level * DIGIT;
	to >>= level * DIGIT;
	if (from == to)
		return 0;
	if (from >> DIGIT != to >> DIGIT)
		return UINT64_MAX;
	/* (from, to], all within one turn */
	uint64_t upto = (2ull << (to & (WHEEL_SLOTS - 1))) - 1,
		 before = (2ull << (from & (WHEEL_SLOTS - 1))) - 1;
	return upto & ~before;
}

void wheel_advance(struct wheel *w, uint64_t now)
{
	struct link moved;
	uint64_t from = w->now;

	if (now <= from)
		return;
	link_init(&moved);
	for (int level = 0; level < WHEEL_LEVELS; level++) {
		uint64_t slots = passed(from, now, level) & w->used[level];
		w->used[level] &= ~slots;
		for (; slots; slots &= slots - 1)
			link_splice(&moved, &w->slot[level][__builtin_ctzll(slots)]);
	}
	w->now = now;
	while (!link_empty(&moved)) {
		struct wheel_timer *t = link_owner(moved.next, struct wheel_timer, link);
		wheel_set(w, t, t->tick);
	}
}

struct wheel_timer *wheel_due(struct wheel *w)
{
	if (link_empty(&w->due))
		return NULL;
	struct wheel_timer *t = link_owner(w->due.next, struct wheel_timer, link);
	link_remove(&t->link);
	return t;
}

uint64_t wheel_next(const struct wheel *w)
{
	if (!link_empty(&w->due))
		return w->now + 1;
	for (int level = 0; level < WHEEL_LEVELS; level++) {
		uint64_t slots = w->used[level];
		for (; slots; slots &= slots - 1) {
			int slot = __builtin_ctzll(slots);
			if (link_empty(&w->slot[level][slot]))
				continue;
			/* The slot's first tick: its digit, the digits above as now, those below 0. */
			uint64_t turn = w->now >> (level * DIGIT) >> DIGIT;
			return (turn << DIGIT | (uint64_t)slot) << (level * DIGIT);
		}
	}
	return WHEEL_NEVER;
}
