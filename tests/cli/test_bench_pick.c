/* SPDX-License-Identifier: BSD-2-Clause */
/* Random choices: within their bounds, as popular as they should be, the same from the same seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "cli/bench_body.h"
#include "cli/bench_pick.h"

#define DRAWS 400000

static void zipf_favours_the_first_as_its_formula_says(void **state)
{
	static const uint32_t items[] = {1, 2, 3, 10, 1000};
	static uint32_t seen[1000];
	struct bench_zipf zipf;
	struct bench_random random;

	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		double zeta = 0;
		for (uint32_t k = 1; k <= items[i]; k++)
			zeta += pow(k, -0.99);
		memset(seen, 0, sizeof(seen));
		random_seed(&random, 11);
		zipf_open(&zipf, items[i], 0.99);
		for (int n = 0; n < DRAWS; n++) {
			uint32_t item = zipf_next(&zipf, &random);
			assert_in_range(item, 0, items[i] - 1);
			seen[item]++;
		}
		assert_true(fabs(seen[0] - DRAWS / zeta) < 0.02 * DRAWS);
		if (items[i] > 1)
			assert_true(fabs(seen[1] - DRAWS / zeta * pow(2, -0.99)) < 0.02 * DRAWS);
	}
}

static void numbers_below_a_limit_are_even(void **state)
{
	uint32_t seen[7] = {0};
	struct bench_random random;

	random_seed(&random, 0);
	for (int n = 0; n < DRAWS; n++) {
		uint32_t i = random_below(&random, 7);
		assert_in_range(i, 0, 6);
		seen[i]++;
	}
	for (int i = 0; i < 7; i++)
		assert_true(fabs(seen[i] - DRAWS / 7.0) < 0.02 * DRAWS);
}

static void sizes_keep_their_bounds_and_reach_them(void **state)
{
	struct bench_random random;
	uint32_t least = UINT32_MAX, most = 0, small = 0;

	random_seed(&random, 3);
	for (int n = 0; n < DRAWS; n++) {
		uint32_t size = random_size(&random, 16, 16384);
		least = size < least ? size : least;
		most = size > most ? size : most;
		small += size < 512; /* the middle of 2^4 and 2^14 */
	}
	assert_int_equal(least, 16);
	assert_int_equal(most, 16384);
	assert_in_range(small, DRAWS * 48 / 100, DRAWS * 52 / 100);
	assert_int_equal(random_size(&random, 5, 5), 5);
}

static void bodies_are_recognized_and_nothing_else_is(void **state)
{
	struct bench_body body, again;
	static uint8_t data[5000];
	uint64_t origin;

	body_open(&body, 42);
	body_open(&again, 42);
	assert_int_equal(body_reserve(&body, 100), 0);
	assert_int_equal(body_reserve(&body, sizeof(data)), 0); /* grown later: the same pattern */
	assert_int_equal(body_reserve(&again, sizeof(data)), 0);
	for (uint64_t request = 1; request < 200; request++) {
		body_stamp(&body, request, data);
		memcpy(data + BODY_STAMP, body_rest(&body, request), sizeof(data) - BODY_STAMP);
		assert_true(body_matches(&again, request, sizeof(data), data, sizeof(data)));
		assert_false(body_matches(&again, request + 1, sizeof(data), data, sizeof(data)));
		assert_false(body_matches(&again, request, sizeof(data), data, sizeof(data) - 1));
		assert_true(body_origin(&again, data, sizeof(data), &origin) && origin == request);
		size_t at = request * 25;
		data[at] ^= 0x10;
		assert_false(body_matches(&again, request, sizeof(data), data, sizeof(data)));
	}
	assert_true(body_matches(&body, 9, 0, NULL, 0));
	assert_false(body_origin(&body, data, 15, &origin));
	body_close(&body);
	body_close(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(zipf_favours_the_first_as_its_formula_says),
	    cmocka_unit_test(numbers_below_a_limit_are_even),
	    cmocka_unit_test(sizes_keep_their_bounds_and_reach_them),
	    cmocka_unit_test(bodies_are_recognized_and_nothing_else_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
