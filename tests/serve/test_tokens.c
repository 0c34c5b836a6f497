/* SPDX-License-Identifier: BSD-2-Clause */
/* Token files, good and bad; who may what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/tokens.h"

#define WRITER "write-me-0123456789"
#define READER "aGVsbG8gd29ybGQhISEhISEhISE="
#define X16 "xxxxxxxxxxxxxxxx"
#define X128 X16 X16 X16 X16 X16 X16 X16 X16

static const char file[] = "# who may what\n"
			   "\n"
			   "  " WRITER "  rw\tdeploy \r\n" READER " ro\n"
			   "#" X16 "0 rw\n" X128 " rw last"; /* no line feed at its end */

static const struct {
	const char *text, *wrong;
} bad[] = {
    {"", "no token is in it"},
    {"# nothing\n\n", "no token is in it"},
    {"short rw\n", "line 1: a token has 16 to 128"},
    {"\n\nfifteen-letters rw\n", "line 3: a token has 16 to 128"},
    {X128 "x rw\n", "16 to 128"},
    {X16 "\n", "rw or ro"},
    {X16 " r\n", "rw or ro"},
    {X16 " RW\n", "rw or ro"},
    {X16 " rw a b\n", "nothing stands behind it"},
    {X16 " rw " X16 X16 X16 X16 "\n", "at most 63 bytes"},
    {X16 "\xc3\xa4 rw\n", "letters, digits"},
    {X16 "\" rw\n", "letters, digits"},
    {X16 " rw\n" X16 " ro\n", "line 2: this token stands there twice"},
};

static const struct {
	const char *value;
	enum token_right right;
} sent[] = {
    {NULL, TOKEN_NONE},
    {"", TOKEN_NONE},
    {"Bearer", TOKEN_NONE},
    {"Bearer ", TOKEN_NONE},
    {"Bearer  ", TOKEN_NONE},
    {"Bearer " WRITER, TOKEN_WRITE},
    {"bearer " WRITER, TOKEN_WRITE},
    {"BEARER   " WRITER, TOKEN_WRITE},
    {"Bearer " READER, TOKEN_READ},
    {"Bearer " X128, TOKEN_WRITE},
    {"Bearer " X128 "x", TOKEN_NONE},
    {"Bearer " X16, TOKEN_NONE},        /* the beginning of one */
    {"Bearer " WRITER "0", TOKEN_NONE}, /* one, and more */
    {"Bearer Write-me-0123456789", TOKEN_NONE},
    {"Bearer write-me-012345678", TOKEN_NONE},
    {"Bearer " WRITER " ", TOKEN_NONE},
    {"Bearer " WRITER "," READER, TOKEN_NONE},
    {"Basic " WRITER, TOKEN_NONE},
    {"Bearer\t" WRITER, TOKEN_NONE},
    {WRITER, TOKEN_NONE},
    {"Bearer #" X16 "0", TOKEN_NONE},
};

static struct tokens *parse(const char *text)
{
	struct tokens *t = NULL;

	assert_int_equal(tokens_parse(&t, "file", text, strlen(text), NULL), 0);
	return t;
}

static void a_file_is_read(void **state)
{
	struct tokens *t = parse(file);
	const char *name;

	assert_int_equal(tokens_count(t), 3);
	assert_int_equal(tokens_uses(t, 0, &name), 0);
	assert_string_equal(name, "deploy");
	tokens_uses(t, 1, &name);
	assert_null(name);
	tokens_uses(t, 2, &name);
	assert_string_equal(name, "last");
	tokens_free(t);
}

static void what_is_wrong_with_a_file_is_said_without_the_token(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct paste_error error;
		struct tokens *t;

		assert_int_equal(tokens_parse(&t, "file", bad[i].text, strlen(bad[i].text), &error), -EINVAL);
		assert_ptr_equal(strstr(error.text, "file"), error.text);
		assert_non_null(strstr(error.text, bad[i].wrong));
		assert_null(strstr(error.text, X16));
	}
}

static void there_is_a_most(void **state)
{
	char *text = malloc(64 * (TOKENS_MAX + 1)), *at = text;
	struct paste_error error;
	struct tokens *t;

	for (int i = 0; i <= TOKENS_MAX; i++) {
		if (i == TOKENS_MAX) {
			t = parse(text);
			assert_int_equal(tokens_check(t, "Bearer token-of-number-255", 26), TOKEN_READ);
			assert_int_equal(tokens_check(t, "Bearer token-of-number-256", 26), TOKEN_NONE);
			tokens_free(t);
		}
		at += sprintf(at, "token-of-number-%03d %s\n", i, i % 2 ? "ro" : "rw");
	}
	assert_int_equal(tokens_parse(&t, "file", text, strlen(text), &error), -EINVAL);
	assert_non_null(strstr(error.text, "line 257: at most 256"));
	free(text);
}

static void each_token_has_its_right_and_nothing_else_has_any(void **state)
{
	struct tokens *t = parse(file);

	for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
		/* From memory that ends with the value, for sanitizers. */
		size_t n = sent[i].value ? strlen(sent[i].value) : 0;
		char *copy = sent[i].value ? malloc(n ? n : 1) : NULL;

		if (n)
			memcpy(copy, sent[i].value, n);
		assert_int_equal(tokens_check(t, copy, n), sent[i].right);
		free(copy);
	}
	const char *name;
	assert_int_equal(tokens_uses(t, 0, &name), 3);
	assert_int_equal(tokens_uses(t, 1, &name), 1);
	assert_int_equal(tokens_uses(t, 2, &name), 1);

	/* Padding is no part of a token. */
	assert_int_equal(tokens_check(t, "Bearer " WRITER "\0\0\0", 7 + sizeof(WRITER) - 1 + 3), TOKEN_NONE);
	tokens_free(t);
}

/* A single wrong bit anywhere is wrong. */
static void no_bit_is_overlooked(void **state)
{
	struct tokens *t = parse(X128 " rw\n");
	char value[] = "Bearer " X128;

	for (int bit = 0; bit < TOKEN_LENGTH_MAX * 8; bit++) {
		value[7 + bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(tokens_check(t, value, sizeof(value) - 1), TOKEN_NONE);
		value[7 + bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_int_equal(tokens_check(t, value, sizeof(value) - 1), TOKEN_WRITE);
	tokens_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_file_is_read),
	    cmocka_unit_test(what_is_wrong_with_a_file_is_said_without_the_token),
	    cmocka_unit_test(there_is_a_most),
	    cmocka_unit_test(each_token_has_its_right_and_nothing_else_has_any),
	    cmocka_unit_test(no_bit_is_overlooked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
