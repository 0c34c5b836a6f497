/* SPDX-License-Identifier: BSD-2-Clause */
/* bench.h - the two things `pst bench` does. Both return an exit status and have told everything. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli/bench_client.h"
#include "cli/bench_options.h"

int bench_run(const struct bench_options *o);   /* load, measure, with --verify write down */
int bench_check(const struct bench_options *o); /* --check: read back and compare */

/* What both ask of their connections, and the exit status when client_open() failed, which is told. */
struct client_options bench_client_options(const struct bench_options *o);
int bench_not_connected(int error, const struct paste_error *err);

#endif
