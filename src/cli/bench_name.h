/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_name.h - kinds of requests, and what keys and streams are called. Numbers in the load, names on the
 * wire.
 *
 * A trace has names of its own (they carry its id), so that what else is in the service does not matter.
 */
#ifndef CLI_BENCH_NAME_H
#define CLI_BENCH_NAME_H

#include <stdint.h>

enum bench_kind {
	BENCH_PUT,
	BENCH_GET,
	BENCH_APPEND,
	BENCH_DELETE,
	BENCH_KINDS,
};

extern const char *const bench_kind_names[BENCH_KINDS];

struct bench_names {
	char prefix[24];
	const char *fixed; /* the name of all of them; NULL: not given */
};

#define BENCH_NAME_MAX 40

/* id 0: names that all loads without a trace share. */
void names_open(struct bench_names *names, uint64_t id);

/* Key and stream names look alike, "PREFIX-NUMBER". Returns the length; `name` is terminated. */
uint32_t name_write(const struct bench_names *names, uint32_t number, char name[BENCH_NAME_MAX]);

/* Decimal digits, not terminated. Returns how many. */
uint32_t decimal_write(uint64_t number, char *text);

#endif
