/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the log: what is quoted, and that nothing outside can forge one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cli/logfmt.h"

#define BEGIN "ts=2026-11-25T09:41:12.345Z level=info msg=x"

static void begin(struct line *l)
{
	line_begin_at(l, (struct timespec){1795599672, 345999999}, LINE_INFO, "x");
}

static void expect(struct line *l, const char *text)
{
	line_finish(l);
	assert_int_equal(l->length, strlen(text));
	assert_memory_equal(l->text, text, l->length);
}

static const struct {
	const char *value, *written;
} values[] = {
    {"plain", "k=plain"},
    {"/a/b-c_d:80,[::1]", "k=/a/b-c_d:80,[::1]"},
    {"", "k=\"\""},
    {"two words", "k=\"two words\""},
    {"a=b", "k=\"a=b\""},
    {"say \"hi\"", "k=\"say \\\"hi\\\"\""},
    {"back\\slash", "k=\"back\\\\slash\""},
    {"x\nts=1 level=error", "k=\"x\\nts=1 level=error\""},
    {"\r\t\x1b[31m\x7f", "k=\"\\x0d\\x09\\x1b[31m\\x7f\""},
    {"gr\xc3\xbc\xc3\x9f", "k=\"gr\xc3\xbc\xc3\x9f\""},
};

static void values_are_quoted_when_they_have_to_be(void **state)
{
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct line l;
		char wanted[256] = BEGIN " ";

		begin(&l);
		line_text(&l, "k", values[i].value);
		strcat(strcat(wanted, values[i].written), "\n");
		expect(&l, wanted);
	}
}

static void numbers_and_levels(void **state)
{
	struct line l;

	line_begin_at(&l, (struct timespec){0, 0}, LINE_ERROR, "two words");
	line_number(&l, "n", UINT64_MAX);
	line_real(&l, "r", 1.5);
	expect(&l,
	       "ts=1970-01-01T00:00:00.000Z level=error msg=\"two words\" n=18446744073709551615 r=1.500\n");
	line_begin_at(&l, (struct timespec){0, 0}, LINE_WARN, "w");
	expect(&l, "ts=1970-01-01T00:00:00.000Z level=warn msg=w\n");
}

/* The value is cut off, the quote is closed, the line ends; what comes after it is left out. */
static void what_does_not_fit_is_cut_off(void **state)
{
	static char value[2 * LINE_MAX_BYTES];

	for (size_t n = LINE_MAX_BYTES - 80; n < LINE_MAX_BYTES + 10; n++) {
		for (int quoted = 0; quoted < 3; quoted++) {
			struct line l;

			memset(value, quoted == 2 ? '\n' : quoted ? ' ' : 'v', n);
			value[n] = 0;
			begin(&l);
			line_text(&l, "k", value);
			line_text(&l, "key", "value");
			line_number(&l, "n", 1);
			line_finish(&l);
			assert_in_range(l.length, LINE_MAX_BYTES / 2, LINE_MAX_BYTES);
			assert_int_equal(l.text[l.length - 1], '\n');
			assert_ptr_equal(memchr(l.text, '\n', l.length), l.text + l.length - 1);
			int quotes = 0, escaped = 0;
			for (size_t i = 0; i < l.length; i++) {
				quotes += l.text[i] == '"';
				escaped += l.text[i] == '\\';
			}
			assert_int_equal(quotes % 2, 0);
			assert_true(quoted == 2 || !escaped);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_are_quoted_when_they_have_to_be),
	    cmocka_unit_test(numbers_and_levels),
	    cmocka_unit_test(what_does_not_fit_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
