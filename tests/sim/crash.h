/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crash.h - crashes: at points of a life, the images that it may leave, what a recovery makes of each, and
 *the life that begins with one of them, and crashes again.
 *
 *	generation 1	works ──── crash point ──── works ──── crash point ── ...
 *			                ├─ image: open, judge
 *			                ├─ image: open, judge
 *			                └─ image: generation 2: recovers (crash points there too), judge,
 *works,
 *... └─ image: generation 3: ...
 *
 * Nothing is stopped by a crash point: its images are copies, each gets a medium and a store of its own, and
 *the life goes on as if nothing had been.
 */
#ifndef TESTS_CRASH_H
#define TESTS_CRASH_H

#include "run.h"

/* All that one seed brings. Ends the process if a promise is broken. */
void crash_run(const struct run_options *options, uint64_t seed, struct run_coverage *coverage);

#endif
