/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_random.h - random numbers of the simulated medium and its tests: from one seed, the same on every
 * machine.
 *
 * A stream is split rather than shared where two parts draw from it, so that a change in how much one draws
 * does not change what the other sees.
 */
#ifndef MEDIA_SIM_RANDOM_H
#define MEDIA_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sim_random {
	uint64_t state;
};

static inline struct sim_random sim_random(uint64_t seed)
{
	return (struct sim_random){.state = seed};
}

/* splitmix64: one multiply-xor chain over a counter; any seed is good. */
static inline uint64_t sim_draw(struct sim_random *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* 0 .. n-1; n > 0. The bias for the small n of tests does not matter. */
static inline uint64_t sim_below(struct sim_random *r, uint64_t n)
{
	return sim_draw(r) % n;
}

/* low .. high, both included. */
static inline uint64_t sim_between(struct sim_random *r, uint64_t low, uint64_t high)
{
	return low + sim_below(r, high - low + 1);
}

/* True once in n. */
static inline bool sim_chance(struct sim_random *r, uint64_t n)
{
	return sim_below(r, n) == 0;
}

/* An independent stream. */
static inline struct sim_random sim_split(struct sim_random *r)
{
	return sim_random(sim_draw(r));
}

static inline void sim_fill(struct sim_random *r, void *bytes, size_t n)
{
	uint8_t *p = bytes;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t word = sim_draw(r);
		memcpy(p, &word, 8);
	}
	if (n) {
		uint64_t word = sim_draw(r);
		memcpy(p, &word, n);
	}
}

#endif
