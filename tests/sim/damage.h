/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * damage.h - bits that flip and blocks that are lost, on a filled region.
 *
 * A region is filled as a server would, and sealed or closed, so that nothing in it is in doubt. Then its
 * image is damaged in one place, opened and read in full, and put right again; thousands of times.
 *
 * One flipped bit: it is reported and at most one value cannot be read, or the byte was in no use (which
 * usage.h knows) and nothing is reported. A larger piece: what is served is right. Either way no wrong byte
 * is served.
 */
#ifndef TESTS_DAMAGE_H
#define TESTS_DAMAGE_H

#include "run.h"

struct damage_counts {
	uint64_t images, flips, in_use, repaired, unreadable, lost_pieces, unopenable, rewritten;
	uint64_t several, unnamed; /* pieces with several records; of them, some whose keys nothing says */
	uint64_t used[16]; /* bytes by enum use, over all images */
};

/* Fill one region from the seed and damage it `flips` times by a bit, `pieces` times by more. Ends the
 * process if a promise is broken. */
void damage_run(const struct run_options *options, uint64_t seed, uint32_t flips, uint32_t pieces,
		struct damage_counts *counts);

#endif
