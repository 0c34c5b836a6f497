/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/histogram.h"

#include <math.h>
#include <string.h>

/*
 * value, in binary:  0 0 0 1 f f f f f f x x x      f: the 6 bits below the leading one choose the bin
 *                          |<--------->|<--->|      x: `shift` bits that are forgotten
 * bin = shift * 64 + (value >> shift), where value >> shift is 64..127 (0..127 if shift is 0): the bins of
 * successive shifts follow each other without holes.
 */
static unsigned int bin_of(uint64_t value)
{
	if (value >> (HISTOGRAM_FINE_BITS + 1) == 0)
		return (unsigned int)value;
	unsigned int shift = 63 - (unsigned int)__builtin_clzll(value) - HISTOGRAM_FINE_BITS;
	return (shift << HISTOGRAM_FINE_BITS) + (unsigned int)(value >> shift);
}

static uint64_t last_of_bin(unsigned int bin)
{
	if (bin >> (HISTOGRAM_FINE_BITS + 1) == 0)
		return bin;
	unsigned int shift = (bin >> HISTOGRAM_FINE_BITS) - 1;
	uint64_t first = (uint64_t)(bin - (shift << HISTOGRAM_FINE_BITS)) << shift;
	return first + ((uint64_t)1 << shift) - 1;
}

void histogram_reset(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
	h->bins[bin_of(value < HISTOGRAM_LIMIT ? value : HISTOGRAM_LIMIT - 1)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned int i = 0; i < HISTOGRAM_BINS; i++)
		into->bins[i] += from->bins[i];
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t rank = (uint64_t)ceil((double)h->count * percent / 100);
	uint64_t seen = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BINS; i++) {
		seen += h->bins[i];
		if (h->bins[i] && seen >= rank)
			return last_of_bin(i) < h->max ? last_of_bin(i) : h->max;
	}
	return h->max;
}

double histogram_mean(const struct histogram *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}
