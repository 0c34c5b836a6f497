/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON into a table, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/json_read.h"

static const struct {
	const char *text, *table; /* "path=text\n"... */
} good[] = {
    {"{}", ""},
    {"[]", ""},
    {"7", "=7\n"},
    {" {\"a\": 1}\n", "a=1\n"},
    {"{\"a\":{\"b\":{\"c\":-1.5e+3}},\"d\":true}", "a.b.c=-1.5e+3\nd=true\n"},
    {"{\"l\": [1, \"two\", null, [3], {\"x\": 4}]}", "l.0=1\nl.1=two\nl.2=null\nl.3.0=3\nl.4.x=4\n"},
    {"{\"s\": \"a\\\"b\\\\c\\/d\\n\\u0041\\u00e9\\u20ac\"}", "s=a\"b\\c/d\nA\xc3\xa9\xe2\x82\xac\n"},
    {"{\"\": \"\"}", "=\n"},
};

static const char *const bad[] = {
    "",
    " ",
    "{",
    "}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1",
    "{\"a\":1,}",
    "{a:1}",
    "[1",
    "[1,]",
    "[1 2]",
    "\"",
    "\"\\",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\n\"",
    "1 1",
    "{} {}",
    "'a'",
    "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
};

/* From memory that ends with the text, so that sanitizers see a step beyond. */
static int read_copy(struct json_table *t, const char *text)
{
	size_t n = strlen(text);
	char *copy = malloc(n ? n : 1);

	memcpy(copy, text, n);
	int rc = json_read(t, copy, n);
	free(copy);
	return rc;
}

static void texts_become_tables(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct json_table t;
		char table[512] = "";

		assert_int_equal(read_copy(&t, good[i].text), 0);
		for (size_t v = 0; v < t.count; v++)
			sprintf(table + strlen(table), "%s=%s\n", t.values[v].path, t.values[v].text);
		assert_string_equal(table, good[i].table);
		json_free(&t);
	}
}

static void what_is_no_json_is_refused(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct json_table t;

		assert_int_equal(read_copy(&t, bad[i]), -EINVAL);
		json_free(&t);
	}
}

static void every_beginning_of_a_text_is_survived(void **state)
{
	const char *text = "{\"a\": [1, {\"b\\u0041\": \"\\\\x\"}, true], \"c\": {\"d\": null}}";
	char part[128];

	for (size_t n = 0; n < strlen(text); n++) {
		struct json_table t;

		memcpy(part, text, n);
		part[n] = 0;
		assert_int_equal(read_copy(&t, part), -EINVAL);
		json_free(&t);
	}
}

static void a_path_that_is_too_long_is_left_out(void **state)
{
	char text[1024], name[300];
	struct json_table t;

	memset(name, 'n', 299);
	name[299] = 0;
	snprintf(text, sizeof(text), "{\"%s\": {\"a\": 1, \"b\": [2]}, \"c\": 3}", name);
	assert_int_equal(read_copy(&t, text), 0);
	assert_int_equal(t.count, 1);
	assert_int_equal(json_find_unsigned(&t, "c"), 3);
	json_free(&t);
}

/* What our writer writes, in both of its shapes. */
static void what_is_written_is_read(void **state)
{
	for (int flat = 0; flat < 2; flat++) {
		char *text = NULL;
		size_t length;
		struct json j = {.out = open_memstream(&text, &length), .flat = flat};
		struct json_table t;

		json_object(&j, NULL);
		json_unsigned(&j, "n", UINT64_MAX);
		json_list(&j, "l");
		json_string(&j, NULL, "a \"b\"\n\xff");
		json_object(&j, NULL);
		json_bool(&j, "b", false);
		json_end_object(&j);
		json_end_list(&j);
		json_real(&j, "r", 0.5);
		json_end_object(&j);
		fclose(j.out);
		assert_int_equal(strchr(text, '\n') == text + length - 1, flat);
		assert_int_equal(json_read(&t, text, length), 0);
		assert_true(json_find_unsigned(&t, "n") == UINT64_MAX);
		assert_string_equal(json_find(&t, "l.0"), "a \"b\"\n\xc3\xbf");
		assert_string_equal(json_find(&t, "l.1.b"), "false");
		assert_string_equal(json_find(&t, "r"), "0.500");
		assert_string_equal(json_find(&t, "none"), "");
		assert_int_equal(json_find_unsigned(&t, "none"), 0);
		json_free(&t);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(texts_become_tables),
	    cmocka_unit_test(what_is_no_json_is_refused),
	    cmocka_unit_test(every_beginning_of_a_text_is_survived),
	    cmocka_unit_test(a_path_that_is_too_long_is_left_out),
	    cmocka_unit_test(what_is_written_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
