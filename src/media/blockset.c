/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/blockset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BITS 64u

/* The part of word `index` that lies in blocks [first, first + count). */
static uint64_t mask_in(uint64_t index, uint64_t first, uint64_t count)
{
	uint64_t start = index * BITS, end = first + count;
	uint64_t mask = ~0ull;

	if (first > start)
		mask &= ~0ull << (first - start);
	if (end < start + BITS)
		mask &= ~0ull >> (start + BITS - end);
	return mask;
}

int blockset_init(struct blockset *set, uint64_t blocks)
{
	uint64_t words = blocks / BITS + 1;

	memset(set, 0, sizeof(*set));
	set->blocks = blocks;
	set->words = calloc(words, sizeof(uint64_t));
	set->summary = calloc(words / BITS + 1, sizeof(uint64_t));
	if (set->words && set->summary)
		return 0;
	blockset_free(set);
	return -ENOMEM;
}

void blockset_free(struct blockset *set)
{
	free(set->words);
	free(set->summary);
	memset(set, 0, sizeof(*set));
}

static void add_word(struct blockset *set, uint64_t index, uint64_t bits)
{
	uint64_t fresh = bits & ~set->words[index];

	set->words[index] |= bits;
	set->summary[index / BITS] |= 1ull << index % BITS;
	set->count += (uint64_t)__builtin_popcountll(fresh);
}

void blockset_add(struct blockset *set, uint64_t first, uint64_t count)
{
	assert(count && first + count <= set->blocks);
	if (!set->count || first / BITS / BITS < set->low)
		set->low = first / BITS / BITS;
	for (uint64_t i = first / BITS; i <= (first + count - 1) / BITS; i++)
		add_word(set, i, mask_in(i, first, count));
}

void blockset_remove(struct blockset *set, uint64_t first, uint64_t count)
{
	assert(count && first + count <= set->blocks);
	for (uint64_t i = first / BITS; i <= (first + count - 1) / BITS; i++) {
		uint64_t gone = set->words[i] & mask_in(i, first, count);
		set->words[i] &= ~gone;
		set->count -= (uint64_t)__builtin_popcountll(gone);
		if (!set->words[i])
			set->summary[i / BITS] &= ~(1ull << i % BITS);
	}
}

bool blockset_intersects(const struct blockset *set, uint64_t first, uint64_t count)
{
	for (uint64_t i = first / BITS; set->count && i <= (first + count - 1) / BITS; i++) {
		if (set->words[i] & mask_in(i, first, count))
			return true;
	}
	return false;
}

/* The lowest word with something in it; the set must not be empty. */
static uint64_t first_word(struct blockset *set)
{
	while (!set->summary[set->low])
		set->low++;
	return set->low * BITS + (uint64_t)__builtin_ctzll(set->summary[set->low]);
}

void blockset_move(struct blockset *to, struct blockset *from)
{
	assert(to->blocks == from->blocks);
	if (blockset_empty(to)) {
		struct blockset swap = *to;
		*to = *from;
		*from = swap;
		return;
	}
	while (!blockset_empty(from)) {
		uint64_t i = first_word(from), bits = from->words[i];
		if (i / BITS < to->low)
			to->low = i / BITS;
		add_word(to, i, bits);
		from->words[i] = 0;
		from->summary[i / BITS] &= ~(1ull << i % BITS);
		from->count -= (uint64_t)__builtin_popcountll(bits);
	}
}

bool blockset_first_run(struct blockset *set, uint64_t max, uint64_t *first, uint64_t *count)
{
	if (blockset_empty(set))
		return false;
	uint64_t i = first_word(set);
	uint64_t start = i * BITS + (uint64_t)__builtin_ctzll(set->words[i]), end = start;
	for (;;) {
		/* How far the ones go on from `end` inside its word. */
		uint64_t rest = ~(set->words[end / BITS] >> end % BITS);
		uint64_t room = BITS - end % BITS;
		uint64_t ones = rest ? (uint64_t)__builtin_ctzll(rest) : BITS;
		end += ones < room ? ones : room;
		if (ones < room || end >= set->blocks || end - start >= max)
			break;
	}
	*first = start;
	*count = end - start < max ? end - start : max;
	return true;
}
