/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * histogram.h - how often each duration occurred, in fixed memory.
 *
 * Log-linear: below 128 every value has its own bin; above, each power of two is cut into 64 bins, so that a
 * value is known to 1/64 of itself. Values from HISTOGRAM_LIMIT on count as the largest. 0 is a value like
 * others.
 */
#ifndef CLI_HISTOGRAM_H
#define CLI_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_FINE_BITS 6 /* 64 bins a power of two */
#define HISTOGRAM_LIMIT_BITS 40
#define HISTOGRAM_LIMIT ((uint64_t)1 << HISTOGRAM_LIMIT_BITS) /* 18 minutes in ns */
#define HISTOGRAM_BINS ((HISTOGRAM_LIMIT_BITS - HISTOGRAM_FINE_BITS + 1) << HISTOGRAM_FINE_BITS)

struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t max; /* exact */
	uint64_t bins[HISTOGRAM_BINS];
};

void histogram_reset(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that `percent` of all are not above: the upper end of its bin, at most 1/64 too high, never above
 * the maximum. 0 of an empty histogram. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
double histogram_mean(const struct histogram *h);

#endif
