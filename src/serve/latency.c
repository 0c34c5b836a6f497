/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/latency.h"

uint64_t latency_percentile(const struct latency *l, double percent)
{
	double wanted = (double)l->count * percent / 100;
	uint64_t seen = 0;

	for (unsigned i = 0; i < LATENCY_BINS; i++) {
		seen += l->bins[i];
		if (l->bins[i] && (double)seen >= wanted)
			return latency_bin_end(i) - 1 ? latency_bin_end(i) - 1 : 1;
	}
	return 0;
}
