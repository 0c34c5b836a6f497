/* SPDX-License-Identifier: BSD-2-Clause */
/* The histogram against the sorted list of what went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "cli/bench_pick.h"
#include "cli/histogram.h"

#define VALUES 20000

static int ascending(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static void a_percentile_is_at_most_a_64th_too_high(void **state)
{
	static struct histogram h;
	static uint64_t values[VALUES];
	static const double percents[] = {0.001, 1, 10, 50, 90, 99, 99.9, 99.99, 100};
	struct bench_random random;

	for (unsigned int bits = 3; bits <= 39; bits += 3) {
		histogram_reset(&h);
		random_seed(&random, bits);
		for (int i = 0; i < VALUES; i++) {
			values[i] = random_next(&random) >> (64 - 1 - random_next(&random) % bits);
			histogram_add(&h, values[i]);
		}
		qsort(values, VALUES, sizeof(values[0]), ascending);
		for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
			uint64_t rank = (uint64_t)ceil(VALUES * percents[i] / 100);
			uint64_t exact = values[rank - 1];
			uint64_t told = histogram_percentile(&h, percents[i]);
			assert_in_range(told, exact, exact + exact / 64);
		}
		assert_int_equal(h.max, values[VALUES - 1]);
	}
}

static void small_values_are_exact(void **state)
{
	static struct histogram h;

	for (uint64_t v = 0; v < 128; v++) {
		histogram_reset(&h);
		histogram_add(&h, v);
		histogram_add(&h, 1000);
		assert_int_equal(histogram_percentile(&h, 50), v);
	}
}

static void every_power_of_two_and_its_neighbours_stay_in_their_bins(void **state)
{
	static struct histogram h;

	for (unsigned int bit = 1; bit < HISTOGRAM_LIMIT_BITS; bit++) {
		for (int around = -1; around <= 1; around++) {
			uint64_t v = ((uint64_t)1 << bit) + (uint64_t)around;
			histogram_reset(&h);
			histogram_add(&h, v);
			histogram_add(&h, UINT64_MAX / 4);
			assert_in_range(histogram_percentile(&h, 50), v, v + v / 64);
		}
	}
}

static void what_is_too_large_counts_as_the_largest(void **state)
{
	static struct histogram h;

	histogram_add(&h, HISTOGRAM_LIMIT * 8);
	histogram_add(&h, HISTOGRAM_LIMIT * 9);
	assert_int_equal(h.count, 2);
	assert_int_equal(h.max, HISTOGRAM_LIMIT * 9);
	assert_int_equal(histogram_percentile(&h, 50), HISTOGRAM_LIMIT - 1);
}

static void merging_is_adding_all(void **state)
{
	static struct histogram a, b, both;
	struct bench_random random;

	random_seed(&random, 5);
	for (int i = 0; i < 1000; i++) {
		uint64_t v = random_next(&random) >> 40;
		histogram_add(i % 3 ? &a : &b, v);
		histogram_add(&both, v);
	}
	histogram_merge(&a, &b);
	assert_memory_equal(&a, &both, sizeof(a));
}

static void an_empty_one_says_nothing(void **state)
{
	static struct histogram h;

	assert_int_equal(histogram_percentile(&h, 99), 0);
	assert_true(histogram_mean(&h) >= 0 && histogram_mean(&h) <= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_percentile_is_at_most_a_64th_too_high),
	    cmocka_unit_test(small_values_are_exact),
	    cmocka_unit_test(every_power_of_two_and_its_neighbours_stay_in_their_bins),
	    cmocka_unit_test(what_is_too_large_counts_as_the_largest),
	    cmocka_unit_test(merging_is_adding_all),
	    cmocka_unit_test(an_empty_one_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
