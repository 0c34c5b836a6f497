/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * support.h - what the programs here that drive a whole store share: time, order statistics, numbers by
 * chance, regions that leave nothing behind, packets, and the output that bench/run reads.
 *
 * A benchmark that cannot go on says why on stderr and exits 1.
 */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "paste/store.h"

struct log;

double bench_now(void);                          /* seconds */
double bench_middle(double *values, unsigned n); /* sorts them */
_Noreturn void bench_die(const char *what, int error, const struct paste_error *err);

/* xorshift64*: fast enough not to be seen, and the same numbers in every run. The state is not 0. */
static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

/* A region of its own in `directory`; path is 4096 bytes. Removed by bench_region_remove(), at exit, and when
 * SIGTERM, SIGINT or SIGHUP ends the program. */
void bench_region_create(const char *directory, uint64_t size, char *path);
void bench_region_remove(const char *path);
struct paste_store *bench_open(const char *path);
/* The same with no store: one log on the whole of it. The log is the caller's to free, then the region to
 * close. */
struct paste_region *bench_log_open(const char *directory, uint64_t size, char *path, struct log *log);
/* "build" where there is one, for what belongs on the disk. */
const char *bench_disk(void);

/* Checkpoint and clean until nothing is left to do, commits included. */
void bench_settle(struct paste_store *s);

#define BENCH_HEAD 150 /* bytes of an HTTP request before its body */
#define BENCH_SLICES 16

/* A value as it arrives: its first slice behind a request's head, the others in buffers of their own. */
struct bench_packet {
	struct paste_ref slice[BENCH_SLICES];
	uint32_t n;
};

/* The buffers are taken and every byte of the value is stored. False: no buffer is free (none is held then).
 */
bool bench_receive(struct paste_region *r, uint32_t bytes, uint64_t fill, struct bench_packet *p);
void bench_release(struct paste_region *r, const struct bench_packet *p);

/* Output. A report is a table whose rows have the same columns, bounds, and notes. */
void report_begin(const char *title, bool json);
void report_row(const char *name);
void report_number(const char *column, double value);
void report_at_most(const char *what, double value, double limit);
void report_at_least(const char *what, double value, double limit);
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_end(void);

#endif
