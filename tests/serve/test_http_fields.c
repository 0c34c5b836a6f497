/* SPDX-License-Identifier: BSD-2-Clause */
/* Entity tags, ranges and numbers in fields. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "serve/http_fields.h"
#include "serve/http_rule.h"

static struct http_text text(const char *s)
{
	return (struct http_text){s, (uint32_t)strlen(s)};
}

/* `matches`: of the versions 1, 2 and 31, those that match, as bits. */
static const struct {
	const char *line;
	int strong, weak; /* bits, or -400 */
} tags[] = {
    {"\"1\"", 1, 1},
    {"\"1f\"", 4, 4},
    {"\"1\", \"2\"", 3, 3},
    {"\"1\",\"2\"\t ,\t\"1f\"", 7, 7},
    {"*", 7, 7},
    {"W/\"1\"", 0, 1},
    {"\"2\", W/\"1\"", 2, 3},
    {"", 0, 0},
    {", ,\"1\",,", 1, 1},
    /* well-formed, but none of ours */
    {"\"\"", 0, 0},
    {"\"1F\"", 0, 0},
    {"\"01\"", 0, 0},
    {"\"0\"", 0, 0},
    {"\"x,y\", \"2\"", 2, 2},
    {"\"11111111111111111\"", 0, 0},
    {"\"*\"", 0, 0},
    /* not well-formed */
    {"1", -400, -400},
    {"\"1", -400, -400},
    {"1\"", -400, -400},
    {"\"1\" \"2\"", -400, -400},
    {"\"1\"\"2\"", -400, -400},
    {"w/\"1\"", -400, -400},
    {"W/", -400, -400},
    {"W/1", -400, -400},
    {"\"1 2\"", -400, -400},
    {"*, \"1\"", -400, -400},
    {"\"1\", *", -400, -400},
};

static int matches(const char *line, const char *second, bool weak)
{
	struct http_tags t = {0};

	if (http_add_tags(&t, text(line), weak) || (second && http_add_tags(&t, text(second), weak)))
		return -400;
	assert_true(t.present);
	assert_false(http_tags_match(&t, 0));
	return http_tags_match(&t, 1) | http_tags_match(&t, 2) << 1 | http_tags_match(&t, 31) << 2;
}

static void tags_match_versions(void **state)
{
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		int strong = matches(tags[i].line, NULL, false), weak = matches(tags[i].line, NULL, true);

		if (strong != tags[i].strong || weak != tags[i].weak)
			fail_msg("%s: %d, %d", tags[i].line, strong, weak);
	}
}

static void lines_are_one_list(void **state)
{
	assert_int_equal(matches("\"1\"", "\"1f\"", false), 5);
	assert_int_equal(matches("*", "\"1f\"", false), -400);
	assert_int_equal(matches("\"1f\"", "*", false), -400);
	assert_int_equal(matches("*", "*", false), -400);
	assert_int_equal(matches("\"1\"", "x", true), -400);
}

static void tags_are_counted(void **state)
{
	struct http_tags t = {0};

	for (int i = 0; i < 100; i++)
		assert_int_equal(http_add_tags(&t, text("\"foreign\""), true), 0);
	for (int i = 0; i < HTTP_TAGS_MAX; i++)
		assert_int_equal(http_add_tags(&t, text("\"1\""), true), 0);
	assert_int_equal(http_add_tags(&t, text("\"foreign\""), true), 0);
	assert_int_equal(http_add_tags(&t, text("\"2\""), true), -RULE_TAGS_MANY);
}

static void only_a_strong_tag_of_ours_stands_alone(void **state)
{
	assert_int_equal(http_strong_tag(text("\"1f\"")), 31);
	assert_int_equal(http_strong_tag(text("\"ffffffffffffffff\"")), UINT64_MAX);
	static const char *const others[] = {
	    "", "1f", "W/\"1f\"", "\"1f\" ", "\"1f\",\"2\"", "*", "\"1g\"", "Sun, 06 Nov 1994 08:49:37 GMT"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(http_strong_tag(text(others[i])), 0);
}

#define MAX "18446744073709551615"

/* Of a value of 10 bytes. count 0: none of it is there; -1: the field is passed over. */
static const struct {
	const char *field;
	int first, count;
} ranges[] = {
    {"bytes=0-0", 0, 1},      {"bytes=0-9", 0, 10},       {"bytes=0-10", 0, 10},
    {"bytes=3-5", 3, 3},      {"bytes=9-", 9, 1},         {"bytes=0-", 0, 10},
    {"bytes=10-", 0, 0},      {"bytes=10-20", 0, 0},      {"bytes=-1", 9, 1},
    {"bytes=-10", 0, 10},     {"bytes=-11", 0, 10},       {"bytes=-0", 0, 0},
    {"bytes=000-0001", 0, 2}, {"Bytes=1-2", 1, 2},        {"bytes=5-" MAX, 5, 5},
    {"bytes=0-" MAX, 0, 10},  {"bytes=5-99" MAX, 5, 5},   {"bytes=-" MAX, 0, 10},
    {"bytes=-99" MAX, 0, 10}, {"bytes=99" MAX "-", 0, 0}, {"bytes=99" MAX "-99" MAX, 0, 0},
    {"bytes=0-1,3-4", 0, -1}, {"bytes=0-1,", 0, -1},      {"bytes=5-3", 0, -1},
    {"bytes=", 0, -1},        {"bytes=-", 0, -1},         {"bytes=a-b", 0, -1},
    {"bytes= 0-1", 0, -1},    {"bytes=0 -1", 0, -1},      {"bytes=0-1 ", 0, -1},
    {"bytes=0-1-2", 0, -1},   {"bytes=+0-1", 0, -1},      {"bytes 0-1", 0, -1},
    {"bytes", 0, -1},         {"lines=0-1", 0, -1},       {"", 0, -1},
};

static void ranges_are_cut_from_the_value(void **state)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct http_range r = http_parse_range(text(ranges[i].field));
		uint64_t first = 0, count = 0;
		int got = -1;

		if (r.kind != HTTP_RANGE_NONE)
			got = http_range_of(&r, 10, &first, &count) ? (int)count : 0;
		if (got != ranges[i].count || (got > 0 && (int)first != ranges[i].first))
			fail_msg("%s: %d bytes from %d", ranges[i].field, got, (int)first);
	}
}

static void an_empty_value_has_no_range(void **state)
{
	static const char *const fields[] = {"bytes=0-", "bytes=0-0", "bytes=-1"};
	uint64_t first, count;

	for (size_t i = 0; i < 3; i++) {
		struct http_range r = http_parse_range(text(fields[i]));

		assert_int_equal(http_range_of(&r, 0, &first, &count), 0);
	}
}

static void the_longest_value_has_ranges(void **state)
{
	struct http_range r = http_parse_range(text("bytes=0-" MAX));
	uint64_t first, count;

	assert_int_equal(http_range_of(&r, UINT64_MAX, &first, &count), 1);
	assert_int_equal(count, UINT64_MAX);
}

static void decimal_numbers_have_digits_only(void **state)
{
	uint64_t value = 7;

	assert_int_equal(http_parse_decimal(text("0"), &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(http_parse_decimal(text(MAX), &value), 0);
	assert_int_equal(value, UINT64_MAX);
	assert_int_equal(http_parse_decimal(text("18446744073709551616"), &value), -ERANGE);
	assert_int_equal(http_parse_decimal(text("00000000000000000000000012"), &value), 0);
	assert_int_equal(value, 12);
	static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "1,1", "a"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(http_parse_decimal(text(bad[i]), &value), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tags_match_versions),
	    cmocka_unit_test(lines_are_one_list),
	    cmocka_unit_test(tags_are_counted),
	    cmocka_unit_test(only_a_strong_tag_of_ours_stands_alone),
	    cmocka_unit_test(ranges_are_cut_from_the_value),
	    cmocka_unit_test(an_empty_value_has_no_range),
	    cmocka_unit_test(the_longest_value_has_ranges),
	    cmocka_unit_test(decimal_numbers_have_digits_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
