/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * latency.h - how long requests took, as counts in bins: four a power of two, so a value read out of it is at
 * most a fifth too high. Microseconds.
 */
#ifndef SERVE_LATENCY_H
#define SERVE_LATENCY_H

#include <stdint.h>

#define LATENCY_LIMIT_BITS 36 /* 19 hours; what took longer counts as that */
#define LATENCY_BINS (4 * (LATENCY_LIMIT_BITS - 1))

struct latency {
	uint64_t count, sum_us;
	uint64_t bins[LATENCY_BINS];
};

static inline unsigned latency_bin(uint64_t us)
{
	if (us >> LATENCY_LIMIT_BITS)
		return LATENCY_BINS - 1;
	if (us < 4)
		return (unsigned)us;
	unsigned power = 63 - (unsigned)__builtin_clzll(us);
	return 4 * (power - 1) + (us >> (power - 2) & 3);
}

/* The first value that is above the bin's. */
static inline uint64_t latency_bin_end(unsigned bin)
{
	return bin < 4 ? bin + 1 : (uint64_t)(4 + bin % 4 + 1) << (bin / 4 - 1);
}

/* `n` requests that took so long. */
static inline void latency_add(struct latency *l, uint64_t us, uint64_t n)
{
	l->count += n;
	l->sum_us += us * n;
	l->bins[latency_bin(us)] += n;
}

/* At most so many microseconds took `percent` of them; 0 if there are none. */
uint64_t latency_percentile(const struct latency *l, double percent);

#endif
