/* SPDX-License-Identifier: BSD-2-Clause */
/* bench.h - the two things `pst bench` does. Both return an exit status and have told everything. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli/bench_options.h"

int bench_run(const struct bench_options *o);   /* load, measure, with --verify write down */
int bench_check(const struct bench_options *o); /* --check: read back and compare */

#endif
