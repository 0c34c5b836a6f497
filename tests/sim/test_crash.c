/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_crash [--kind K] [--logs N] [--seed S | --from S] [--seeds N] [--every-point | --superblock]
 *
 * Runs seeds on a simulated medium and judges every crash. Without --kind, all kinds. SIM_SEEDS in the
 * environment overrides the number of seeds.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crash.h"

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void print_coverage(const struct run_options *o, const struct run_coverage *c, double took)
{
	printf("%s, %u log%s: %llu seeds, %llu lives (%llu second, %llu third), %llu crash points (%llu in "
	       "recovery), "
	       "%llu images in %.1f s\n",
	       sim_kind_name(o->kind), o->logs, o->logs == 1 ? "" : "s", (unsigned long long)c->seeds,
	       (unsigned long long)c->lives, (unsigned long long)c->generations[2],
	       (unsigned long long)c->generations[3], (unsigned long long)c->crash_points,
	       (unsigned long long)c->recoveries_crashed, (unsigned long long)c->images, took);
	printf("  %llu changes, %llu replies told (%llu of them: absent), %llu refused when full, %llu times "
	       "emptied and "
	       "filled again,\n"
	       "  %llu checkpoints, %llu segments cleaned, %llu records recovered, %llu torn records, %llu "
	       "clean closes, "
	       "%llu failed media,\n"
	       "  %llu bodies packed, %llu with lists, %llu values held,\n"
	       "  %llu conditions, %llu times several at once, %llu repeated, %llu expired, %llu lists, %llu snapshots\n",
	       (unsigned long long)c->changes, (unsigned long long)c->told,
	       (unsigned long long)c->told_absent, (unsigned long long)c->refused_full,
	       (unsigned long long)c->refilled, (unsigned long long)c->checkpoints,
	       (unsigned long long)c->cleaned, (unsigned long long)c->recovered_records,
	       (unsigned long long)c->torn, (unsigned long long)c->closed_clean,
	       (unsigned long long)c->failed_media, (unsigned long long)c->dribbled,
	       (unsigned long long)c->indirect, (unsigned long long)c->held_values,
	       (unsigned long long)c->conditions, (unsigned long long)c->together,
	       (unsigned long long)c->repeated, (unsigned long long)c->expired, (unsigned long long)c->lists,
	       (unsigned long long)c->snapshots);
}

/* A run that never came by a place proves nothing about it. */
static int check_coverage(const struct run_options *o, const struct run_coverage *c)
{
	const struct {
		const char *what;
		uint64_t n;
		bool needed;
	} places[] = {
	    {"third generation", c->generations[3], true},
	    {"crash in recovery", c->recoveries_crashed, true},
	    {"absence told", c->told_absent, true},
	    {"full region", c->refused_full, true},
	    {"emptied and filled again", c->refilled, true},
	    {"checkpoint", c->checkpoints, true},
	    {"segment cleaned", c->cleaned, true},
	    {"record recovered", c->recovered_records, true},
	    {"torn tail", c->torn, o->kind == SIM_ADR || o->kind == SIM_FILE},
	    {"clean close", c->closed_clean, true},
	    {"failed medium", c->failed_media, true},
	    {"packed body", c->dribbled, true},
	    {"list of slices", c->indirect, true},
	    {"held value", c->held_values, true},
	    {"condition", c->conditions, true},
	    {"several changes at once", c->together, true},
	    {"repeated call", c->repeated, true},
	    {"expired key", c->expired, true},
	    {"list", c->lists, true},
	    {"snapshot", c->snapshots, true},
	};
	int missing = 0;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (places[i].needed && places[i].n == 0) {
			printf("NOT REACHED: %s\n", places[i].what);
			missing = 1;
		}
	}
	return missing;
}

static int run_seeds(struct run_options *o, uint64_t from, uint64_t n)
{
	struct run_coverage coverage = {0};
	double begin = seconds();

	for (uint64_t seed = from; seed < from + n; seed++)
		crash_run(o, seed, &coverage);
	print_coverage(o, &coverage, seconds() - begin);
	fflush(stdout);
	/* A handful of seeds, as in a replay, need not come by everything. */
	return n >= 30 && o->focus == FOCUS_ANYWHERE ? check_coverage(o, &coverage) : 0;
}

static int usage(const char *program)
{
	fprintf(stderr,
		"usage: %s [--kind adr|eadr|shm|file] [--logs N] [--seed S | --from S] [--seeds N] "
		"[--every-point | --superblock]\n",
		program);
	return 2;
}

int main(int argc, char **argv)
{
	struct run_options o = {.program = argv[0], .logs = 1};
	uint64_t from = 1, n = 0;
	bool all = true, replay = false;
	const char *seeds = getenv("SIM_SEEDS");

	/* Regions come and go by the thousand: keep their memory. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], run_focus_options[FOCUS_EVERY_POINT]) == 0) {
			o.focus = FOCUS_EVERY_POINT;
			continue;
		}
		if (strcmp(argv[i], run_focus_options[FOCUS_SUPERBLOCK]) == 0) {
			o.focus = FOCUS_SUPERBLOCK;
			continue;
		}
		if (i + 1 == argc)
			return usage(argv[0]);
		const char *value = argv[++i];
		if (strcmp(argv[i - 1], "--kind") == 0) {
			if (sim_kind_parse(value, &o.kind))
				return usage(argv[0]);
			all = false;
		} else if (strcmp(argv[i - 1], "--logs") == 0) {
			o.logs = atoi(value);
		} else if (strcmp(argv[i - 1], "--seed") == 0) {
			from = strtoull(value, NULL, 0);
			n = 1;
			replay = true;
		} else if (strcmp(argv[i - 1], "--from") == 0) {
			from = strtoull(value, NULL, 0);
		} else if (strcmp(argv[i - 1], "--seeds") == 0) {
			n = strtoull(value, NULL, 0);
		} else {
			return usage(argv[0]);
		}
	}
	if (seeds && !replay)
		n = strtoull(seeds, NULL, 0);
	if (n == 0)
		n = 40;
	int rc = 0;
	for (int kind = all ? 0 : o.kind; kind < (all ? SIM_KINDS : (int)o.kind + 1); kind++) {
		o.kind = kind;
		rc |= run_seeds(&o, from, n);
	}
	return rc;
}
