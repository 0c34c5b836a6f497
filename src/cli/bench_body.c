/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 65536 /* where in the pattern a body may begin: small enough to stay in the cache */

uint64_t body_mix(uint64_t x)
{
	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
	return x ^ (x >> 32);
}

static uint64_t mark_of(const struct bench_body *b, uint64_t request)
{
	return body_mix(body_mix(b->seed) + request);
}

void body_open(struct bench_body *b, uint64_t seed)
{
	/* A xorshift generator never leaves 0. */
	*b = (struct bench_body){.seed = seed, .state = body_mix(seed) | 1};
}

void body_close(struct bench_body *b)
{
	free(b->pattern);
	b->pattern = NULL;
}

int body_reserve(struct bench_body *b, uint64_t length)
{
	uint64_t wanted = PLACES + ((length + 7) & ~(uint64_t)7);

	if (wanted <= b->length)
		return 0;
	uint8_t *pattern = realloc(b->pattern, wanted);
	if (!pattern)
		return -ENOMEM;
	for (size_t at = b->length; at < wanted; at += 8) {
		b->state ^= b->state << 13;
		b->state ^= b->state >> 7;
		b->state ^= b->state << 17;
		memcpy(pattern + at, &b->state, 8);
	}
	b->pattern = pattern;
	b->length = wanted;
	return 0;
}

void body_stamp(const struct bench_body *b, uint64_t request, uint8_t stamp[BODY_STAMP])
{
	uint64_t mark = mark_of(b, request);

	memcpy(stamp, &request, 8);
	memcpy(stamp + 8, &mark, 8);
}

const uint8_t *body_rest(const struct bench_body *b, uint64_t request)
{
	return b->pattern + (mark_of(b, request) >> 40) % PLACES;
}

bool body_matches(const struct bench_body *b, uint64_t request, uint64_t length, const void *data,
		  size_t data_length)
{
	uint8_t stamp[BODY_STAMP];

	if (length != data_length)
		return false;
	body_stamp(b, request, stamp);
	if (length <= BODY_STAMP)
		return length == 0 || !memcmp(data, stamp, length);
	return !memcmp(data, stamp, BODY_STAMP) &&
	       !memcmp((const uint8_t *)data + BODY_STAMP, body_rest(b, request), length - BODY_STAMP);
}

bool body_origin(const struct bench_body *b, const void *data, size_t data_length, uint64_t *request)
{
	uint64_t stamp[2];

	if (data_length < BODY_STAMP)
		return false;
	memcpy(stamp, data, BODY_STAMP);
	if (stamp[1] != mark_of(b, stamp[0]))
		return false;
	*request = stamp[0];
	return true;
}
