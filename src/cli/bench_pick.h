/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_pick.h - random choices of a load: numbers, popularity of keys, sizes. All from one seed.
 */
#ifndef CLI_BENCH_PICK_H
#define CLI_BENCH_PICK_H

#include <stdint.h>

struct bench_random {
	uint64_t state; /* never 0 */
};

void random_seed(struct bench_random *r, uint64_t seed);
uint64_t random_next(struct bench_random *r);
uint32_t random_below(struct bench_random *r, uint32_t limit); /* limit > 0 */

/* Item 0 the most popular, item i about 1 / (i + 1)^theta as often (Gray et al., SIGMOD 1994, as in YCSB). */
struct bench_zipf {
	uint32_t items;
	double theta, zeta, alpha, eta, second;
};

void zipf_open(struct bench_zipf *z, uint32_t items, double theta); /* 0 < theta < 1 */
uint32_t zipf_next(const struct bench_zipf *z, struct bench_random *r);

/* From low to high, each power of two in between as often as any other. */
uint32_t random_size(struct bench_random *r, uint32_t low, uint32_t high);

#endif
