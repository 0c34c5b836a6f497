/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of blocks, beside an array of flags that does the same slowly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "media/blockset.h"

#define BLOCKS 9000u /* more than two summary words */

static uint64_t seed = 1;

static uint64_t random_below(uint64_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % n;
}

static void expect_same(struct blockset *set, const bool *flags)
{
	uint64_t first, count, n = 0, at = 0;

	for (uint64_t i = 0; i < BLOCKS; i++) {
		n += flags[i];
		assert_int_equal(blockset_intersects(set, i, 1), flags[i]);
	}
	assert_int_equal(set->count, n);
	assert_int_equal(blockset_empty(set), n == 0);
	while (at < BLOCKS && !flags[at])
		at++;
	uint64_t end = at;
	while (end < BLOCKS && flags[end] && end - at < 300)
		end++;
	assert_int_equal(blockset_first_run(set, 300, &first, &count), n != 0);
	if (n) {
		assert_int_equal(first, at);
		assert_int_equal(count, end - at);
	}
}

static void random_range(uint64_t *first, uint64_t *count)
{
	static const uint64_t longest[] = {1, 3, 64, 130, 4096, BLOCKS};

	*first = random_below(BLOCKS);
	*count = 1 + random_below(longest[random_below(6)]);
	if (*first + *count > BLOCKS)
		*count = BLOCKS - *first;
}

static void random_changes_agree_with_flags(void **state)
{
	static bool flags[2][BLOCKS];
	struct blockset set[2];
	uint64_t first, count;

	memset(flags, 0, sizeof(flags));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(blockset_init(&set[i], BLOCKS), 0);
	for (unsigned step = 0; step < 1000; step++) {
		unsigned i = (unsigned)random_below(2);
		random_range(&first, &count);
		switch (random_below(4)) {
		case 0:
		case 1:
			blockset_add(&set[i], first, count);
			memset(flags[i] + first, 1, count);
			break;
		case 2:
			blockset_remove(&set[i], first, count);
			memset(flags[i] + first, 0, count);
			break;
		default:
			if (step % 10)
				break;
			blockset_move(&set[i], &set[!i]);
			for (unsigned b = 0; b < BLOCKS; b++) {
				flags[i][b] |= flags[!i][b];
				flags[!i][b] = false;
			}
		}
		expect_same(&set[0], flags[0]);
		expect_same(&set[1], flags[1]);
	}
	blockset_free(&set[0]);
	blockset_free(&set[1]);
}

static void the_whole_set_is_one_run(void **state)
{
	for (uint64_t blocks = 1; blocks < 300; blocks++) {
		struct blockset set;
		uint64_t first, count;
		assert_int_equal(blockset_init(&set, blocks), 0);
		blockset_add(&set, 0, blocks);
		assert_true(blockset_first_run(&set, ~0ull, &first, &count));
		assert_int_equal(first, 0);
		assert_int_equal(count, blocks);
		blockset_remove(&set, 0, blocks);
		assert_true(blockset_empty(&set));
		assert_false(blockset_first_run(&set, ~0ull, &first, &count));
		blockset_free(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_changes_agree_with_flags),
	    cmocka_unit_test(the_whole_set_is_one_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
