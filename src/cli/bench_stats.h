/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_stats.h - what a load has measured, and how it is told. */
#ifndef CLI_BENCH_STATS_H
#define CLI_BENCH_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/bench_findings.h"
#include "cli/bench_name.h"
#include "cli/bench_options.h"
#include "cli/histogram.h"

#define BENCH_STATUSES 600

struct bench_stats {
	uint64_t began, ended;                 /* monotonic, ns */
	uint64_t cpu_began, cpu_ended;         /* of this process, user and system, ns */
	struct histogram latency[BENCH_KINDS]; /* ns */
	uint64_t status[BENCH_STATUSES];
	uint64_t acknowledged; /* writes answered by success */
	uint64_t full;         /* 507 */
	uint64_t missing;      /* 404 to a GET or DELETE */
	uint64_t unanswered;   /* datagrams without an answer in time */
	uint64_t errors;       /* any other answer that is no success */
	uint64_t sent_bytes, received_bytes;
	uint64_t idle; /* of the client, ns: asleep, or spinning in vain */
};

/* How the run came to its end. */
struct bench_outcome {
	bool lost, interrupted;
	const char *why;            /* of the loss */
	uint64_t in_flight;         /* writes that were not answered when it was lost */
	uint64_t file_acknowledged; /* all writes acknowledged in the file of --verify */
};

uint64_t bench_cpu_time(void); /* ns */
void bench_stats_begin(struct bench_stats *s, uint64_t now);

void bench_report_table(const struct bench_options *o, const struct bench_stats *s, const struct findings *f,
			const struct bench_outcome *outcome);
void bench_report_json(const struct bench_options *o, const struct bench_stats *s, const struct findings *f,
		       const struct bench_outcome *outcome);

/* One line on stderr: the last second (`interval`) of a run. */
void bench_report_progress(const char *phase, double at, double seconds, const struct histogram *interval,
			   const struct bench_stats *s, const struct findings *f);

#endif
