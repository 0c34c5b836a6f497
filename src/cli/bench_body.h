/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_body.h - bodies of requests that need not be kept to be recognized.
 *
 * A body is a function of (seed, request number, length):
 *
 *	0        8        16                          length
 *	+--------+--------+---------------------------+
 *	| number |  mark  | pseudo-random bytes       |     cut to `length`, which may be below 16
 *	+--------+--------+---------------------------+
 *
 * The mark is a hash of seed and number: it tells a body of ours, and which. The rest is a piece of one long
 * pattern, from a place that depends on the number: nothing is computed for it, it is sent straight from
 * there, and a body that is half of one request and half of another is told from both.
 */
#ifndef CLI_BENCH_BODY_H
#define CLI_BENCH_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BODY_STAMP 16

struct bench_body {
	uint64_t seed;
	uint64_t state; /* of the generator, behind the pattern that is there */
	uint8_t *pattern;
	size_t length; /* bytes of pattern */
};

void body_open(struct bench_body *b, uint64_t seed);
void body_close(struct bench_body *b);

/* Make bodies of up to `length` bytes possible. It may move the pattern. 0 or -ENOMEM. */
int body_reserve(struct bench_body *b, uint64_t length);

/* The first 16 bytes of a request's body, and those that follow them. `length` was reserved. */
void body_stamp(const struct bench_body *b, uint64_t request, uint8_t stamp[BODY_STAMP]);
const uint8_t *body_rest(const struct bench_body *b, uint64_t request);

bool body_matches(const struct bench_body *b, uint64_t request, uint64_t length, const void *data,
		  size_t data_length);

/* Which request these bytes begin like. False: none of this seed, or fewer than 16 bytes. */
bool body_origin(const struct bench_body *b, const void *data, size_t data_length, uint64_t *request);

/* A hash that spreads every bit of x over the result. */
uint64_t body_mix(uint64_t x);

#endif
