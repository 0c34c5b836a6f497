/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_damage [--kind K] [--seed S] [--flips N] [--pieces N]
 *
 * Fills regions, damages their images bit by bit and piece by piece, and reads them in full each time.
 * Without --seed, as many seeds as bring 10,000 flips a kind, or SIM_FLIPS.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "damage.h"
#include "usage.h"

#define FLIPS_A_SEED 1000
#define PIECES_A_SEED 200

static void print_counts(const struct run_options *o, const struct damage_counts *c)
{
	printf("%s, %u log%s: %llu regions, %llu bits flipped: %llu in use, %llu put right, %llu values "
	       "unreadable; "
	       "%llu pieces lost, %llu of them made it unopenable, %llu took several records, %llu of these "
	       "some whose keys are not known; %llu opened for writing\n  bytes in use:",
	       sim_kind_name(o->kind), o->logs, o->logs == 1 ? "" : "s", (unsigned long long)c->images,
	       (unsigned long long)c->flips, (unsigned long long)c->in_use, (unsigned long long)c->repaired,
	       (unsigned long long)c->unreadable, (unsigned long long)c->lost_pieces,
	       (unsigned long long)c->unopenable, (unsigned long long)c->several,
	       (unsigned long long)c->unnamed, (unsigned long long)c->rewritten);
	for (int use = 0; use < USES; use++)
		printf(" %s %llu%s", use_name(use), (unsigned long long)c->used[use],
		       use + 1 < USES ? "," : "\n");
	fflush(stdout);
}

static int usage(const char *program)
{
	fprintf(stderr, "usage: %s [--kind adr|file] [--logs N] [--seed S] [--flips N] [--pieces N]\n",
		program);
	return 2;
}

int main(int argc, char **argv)
{
	struct run_options o = {.program = argv[0], .logs = 1};
	uint64_t from = 1, flips = getenv("SIM_FLIPS") ? strtoull(getenv("SIM_FLIPS"), NULL, 0) : 10000;
	uint32_t a_seed = FLIPS_A_SEED, pieces = PIECES_A_SEED;
	bool all = true, one = false;

	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];
		if (strcmp(argv[i], "--kind") == 0 && sim_kind_parse(value, &o.kind) == 0) {
			all = false;
		} else if (strcmp(argv[i], "--logs") == 0) {
			o.logs = atoi(value);
		} else if (strcmp(argv[i], "--seed") == 0) {
			from = strtoull(value, NULL, 0);
			one = true;
		} else if (strcmp(argv[i], "--flips") == 0) {
			a_seed = strtoul(value, NULL, 0);
		} else if (strcmp(argv[i], "--pieces") == 0) {
			pieces = strtoul(value, NULL, 0);
		} else {
			return usage(argv[0]);
		}
	}
	if (argc % 2 == 0)
		return usage(argv[0]);
	static const enum sim_kind kinds[] = {SIM_ADR, SIM_FILE};
	for (int i = 0; i < (all ? 2 : 1); i++) {
		struct damage_counts counts = {0};

		o.kind = all ? kinds[i] : o.kind;
		for (uint64_t seed = from; one ? seed == from : counts.flips < flips; seed++)
			damage_run(&o, seed, a_seed, pieces, &counts);
		print_counts(&o, &counts);
	}
	return 0;
}
