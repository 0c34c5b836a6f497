/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_pick.h"

#include <math.h>

#include "cli/bench_body.h"

void random_seed(struct bench_random *r, uint64_t seed)
{
	r->state = body_mix(seed) | 1;
}

uint64_t random_next(struct bench_random *r)
{
	uint64_t x = r->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	r->state = x;
	return x * 0x2545f4914f6cdd1du; /* xorshift64*: the high bits are the good ones */
}

uint32_t random_below(struct bench_random *r, uint32_t limit)
{
	return (uint32_t)(((random_next(r) >> 32) * limit) >> 32);
}

static double random_fraction(struct bench_random *r)
{
	return (double)(random_next(r) >> 11) * 0x1p-53;
}

/* The sum of 1 / i^theta for i = 1..n; past a million terms the integral is exact enough, and quick. */
static double zeta_sum(uint32_t n, double theta)
{
	uint32_t exact = n < 1000000 ? n : 1000000;
	double sum = 0;

	for (uint32_t i = 1; i <= exact; i++)
		sum += pow(i, -theta);
	if (n > exact)
		sum += (pow(n + 0.5, 1 - theta) - pow(exact + 0.5, 1 - theta)) / (1 - theta);
	return sum;
}

void zipf_open(struct bench_zipf *z, uint32_t items, double theta)
{
	z->items = items;
	z->theta = theta;
	z->zeta = zeta_sum(items, theta);
	z->alpha = 1 / (1 - theta);
	z->second = 1 + pow(0.5, theta);
	z->eta = (1 - pow(2.0 / items, 1 - theta)) / (1 - z->second / z->zeta);
}

uint32_t zipf_next(const struct bench_zipf *z, struct bench_random *r)
{
	double u = random_fraction(r);
	double scaled = u * z->zeta;

	if (scaled < 1 || z->items < 2)
		return 0;
	if (scaled < z->second || z->items < 3)
		return 1;
	double item = z->items * pow(z->eta * u - z->eta + 1, z->alpha);
	return item < z->items ? (uint32_t)item : z->items - 1;
}

uint32_t random_size(struct bench_random *r, uint32_t low, uint32_t high)
{
	if (low == high)
		return low;
	double least = log2(low + 1.0), most = log2(high + 2.0);
	double size = exp2(least + random_fraction(r) * (most - least)) - 1;
	return size < low ? low : size > high ? high : (uint32_t)size;
}
