/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers on a command line: what is one, what is none, and what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli.h"

static void a_size_is_digits_and_perhaps_a_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
	    {"0", 0},
	    {"1", 1},
	    {"4096", 4096},
	    {"007", 7},
	    {"1k", 1024},
	    {"1K", 1024},
	    {"64M", 64 << 20},
	    {"64m", 64 << 20},
	    {"1G", 1 << 30},
	    {"1GiB", 1 << 30},
	    {"3KiB", 3072},
	    {"2TiB", (uint64_t)2 << 40},
	    {"18446744073709551615", UINT64_MAX},
	    {"16777215T", (uint64_t)16777215 << 40},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t bytes = 1234;
		if (!cli_parse_size(good[i].text, &bytes) || bytes != good[i].bytes)
			fail_msg("%s", good[i].text);
	}
}

static void anything_else_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {
	    "",
	    " ",
	    "-1",
	    "+1",
	    " 1",
	    "1 ",
	    "1.5G",
	    "G",
	    "GiB",
	    "1GB",
	    "1B",
	    "1gib",
	    "1Gi",
	    "1KK",
	    "1P",
	    "0x10",
	    "1e3",
	    "1G1",
	    "1GiBs",
	    "twelve",
	    "1\n",
	    "\xff",
	    "1\xcb",
	    "18446744073709551616",
	    "99999999999999999999999",
	    "16777216T",
	    "17179869184G",
	    "-9223372036854775808",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t bytes = 1234;
		if (cli_parse_size(bad[i], &bytes) || bytes != 1234)
			fail_msg("'%s' was taken for %llu", bad[i], (unsigned long long)bytes);
	}
}

static void a_count_keeps_its_bounds(void **state)
{
	uint64_t n = 99;

	assert_true(cli_parse_count("1", 1, 10, &n) && n == 1);
	assert_true(cli_parse_count("10", 1, 10, &n) && n == 10);
	assert_false(cli_parse_count("0", 1, 10, &n));
	assert_false(cli_parse_count("11", 1, 10, &n));
	assert_false(cli_parse_count("1k", 1, 10, &n));
	assert_false(cli_parse_count("", 0, 10, &n));
	assert_false(cli_parse_count("18446744073709551617", 0, 10, &n));
	assert_int_equal(n, 10);
}

static void a_fraction_is_plain(void **state)
{
	double v = 7;

	assert_true(cli_parse_fraction(".99", 0, 1, &v) && v > 0.98 && v < 1);
	assert_true(cli_parse_fraction("0.5", 0, 1, &v) && v < 0.51);
	assert_true(cli_parse_fraction("1", 0, 1, &v));
	v = 7;
	static const char *const bad[] = {"",    ".",     "-1", "1e3", "nan", "inf",
					  "0x1", "1.2.3", "1s", " 1",  "2",   "1,5"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (cli_parse_fraction(bad[i], 0, 1, &v))
			fail_msg("'%s' was taken", bad[i]);
	assert_true(v > 6.9);
}

static void a_size_is_told_in_both_ways(void **state)
{
	char text[CLI_SIZE_TEXT];

	assert_string_equal(cli_size_text(text, 100), "100 bytes");
	assert_string_equal(cli_size_text(text, 64 << 20), "64 MiB (67108864 bytes)");
	assert_string_equal(cli_size_text(text, 1536), "1.5 KiB (1536 bytes)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_size_is_digits_and_perhaps_a_unit),
	    cmocka_unit_test(anything_else_is_refused_and_changes_nothing),
	    cmocka_unit_test(a_count_keeps_its_bounds),
	    cmocka_unit_test(a_fraction_is_plain),
	    cmocka_unit_test(a_size_is_told_in_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
