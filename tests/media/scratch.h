/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scratch.h - places for test regions: a directory on tmpfs, one on a disk, and a small tmpfs of its own.
 *
 * Each is empty when given and is removed by scratch_remove(), which checks that nothing was left in it.
 */
#ifndef TESTS_MEDIA_SCRATCH_H
#define TESTS_MEDIA_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

struct scratch {
	char directory[128];
	char file[160]; /* a name in it: "region" */
	bool mounted;
};

/* False: there is no such place on this machine, for the reason in `why`. */
bool scratch_tmpfs(struct scratch *s, const char **why);
bool scratch_disk(struct scratch *s, const char **why);
bool scratch_mount(struct scratch *s, const char *type, const char *options, const char **why);

/* How many names are in it. */
unsigned scratch_entries(const struct scratch *s);

/* Removes `file`, too; anything else that is in it fails the test. */
void scratch_remove(struct scratch *s);

/* For cmocka: have the place or skip the test, saying why. */
#define SCRATCH_OR_SKIP(have)                                                                                \
	do {                                                                                                 \
		if (!(have)) {                                                                               \
			print_message("skipped: %s\n", why);                                                 \
			skip();                                                                              \
		}                                                                                            \
	} while (0)

#endif
