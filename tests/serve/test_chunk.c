/* SPDX-License-Identifier: BSD-2-Clause */
/* Chunked bodies: what they say, what is refused with which status, at every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/chunk.h"
#include "serve/http_rule.h"

/* As the service does it. 0: done, 1: incomplete, or a negative rule; *used: bytes of the body's framing
 * and data. */
static int decode(const char *bytes, size_t length, size_t piece, char *out, size_t *used)
{
	struct chunk_scan k = {0};
	size_t at = 0, n = 0;

	while (at < length) {
		size_t have = piece - at % piece;

		if (have > length - at)
			have = length - at;
		int framing = chunk_scan(&k, bytes + at, (uint32_t)have);
		if (framing < 0)
			return framing;
		at += (size_t)framing;
		have -= (size_t)framing;
		if (chunk_is_done(&k)) {
			out[n] = 0;
			*used = at;
			return 0;
		}
		if (have > k.left)
			have = k.left;
		if (!have)
			continue;
		memcpy(out + n, bytes + at, have);
		chunk_took(&k, (uint32_t)have);
		n += have;
		at += have;
	}
	return 1;
}

static const struct {
	int result; /* 0 done, 1 incomplete, else the negative status */
	enum http_rule rule;
	const char *bytes, *body;
} bodies[] = {
    {0, RULE_NONE, "0\r\n\r\n", ""},
    {0, RULE_NONE, "000\r\n\r\n", ""},
    {0, RULE_NONE, "3\r\nabc\r\n0\r\n\r\n", "abc"},
    {0, RULE_NONE, "3\r\nabc\r\n0A\r\n0123456789\r\n00\r\n\r\n", "abc0123456789"},
    {0, RULE_NONE, "b\r\nhello\r\nwor\n\r\n0\r\n\r\n", "hello\r\nwor\n"},
    {0, RULE_NONE, "0000000000000003\r\nabc\r\n0\r\n\r\n", "abc"},
    {0, RULE_NONE, "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", "abc"},

    /* extensions */
    {0, RULE_NONE, "3;a\r\nabc\r\n0;b=c\r\n\r\n", "abc"},
    {0, RULE_NONE, "3 ; a = \"b;\\\" c\" ; d\r\nabc\r\n0\r\n\r\n", "abc"},
    {0, RULE_NONE, "3\t;\ta\r\nabc\r\n0\r\n\r\n", "abc"},
    {-400, RULE_CHUNK_EXTENSION, "3;\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_EXTENSION, "3;=a\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_LF, "3;a\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_CR, "3;a\rb\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_EXTENSION, "3;a\x01\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_END, "3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n", NULL},

    /* trailer fields */
    {0, RULE_NONE, "3\r\nabc\r\n0\r\nX: y\r\nContent-Length: 7\r\nZ:\r\n\r\n", "abc"},
    {-400, RULE_TRAILER_FORM, "3\r\nabc\r\n0\r\nX\r\n\r\n", NULL},
    {-400, RULE_TRAILER_FORM, "3\r\nabc\r\n0\r\n: y\r\n\r\n", NULL},
    {-400, RULE_TRAILER_FORM, "3\r\nabc\r\n0\r\nX : y\r\n\r\n", NULL},
    {-400, RULE_TRAILER_FORM, "3\r\nabc\r\n0\r\n X: y\r\n\r\n", NULL},
    {-400, RULE_TRAILER_FORM, "3\r\nabc\r\n0\r\nX: y\r\n folded\r\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_LF, "3\r\nabc\r\n0\r\nX: y\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_CR, "3\r\nabc\r\n0\r\nX: y\rz\r\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_LF, "3\r\nabc\r\n0\r\nX: y\r\n\n", NULL},
    {-400, RULE_TRAILER_FORM, "3\r\nabc\r\n0\r\nGET / HTTP/1.1\r\n\r\n", NULL},

    /* sizes */
    {-400, RULE_CHUNK_SIZE, "\r\nabc", NULL},
    {-400, RULE_CHUNK_SIZE, " 3\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE, "+3\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE, "-3\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE, "0x3\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE, "3h\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE_END, "3 \r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE_END, "3 3\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE, "3_0\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE, ";a\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE_LONG, "00000000000000003\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE_LONG, "10000000000000003\r\nabc\r\n0\r\n\r\n", NULL},

    /* line ends */
    {-400, RULE_CHUNK_BARE_LF, "3\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_CR, "3\rabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_CR, "3\r\r\nabc\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_LF, "3\r\nabc\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_END, "3\r\nabc0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_END, "3\r\nabcd\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_SIZE, "3\r\nabc\r\n\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_LF, "3\r\nab\r\n0\r\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_LF, "0\r\n\n", NULL},
    {-400, RULE_CHUNK_BARE_LF, "0\n\r\n", NULL},
    {-400, RULE_CHUNK_BARE_CR, "0\r\n\rx", NULL},

    /* incomplete */
    {1, RULE_NONE, "", NULL},
    {1, RULE_NONE, "3", NULL},
    {1, RULE_NONE, "3\r\nab", NULL},
    {1, RULE_NONE, "3\r\nabc\r\n0\r\n", NULL},
    {1, RULE_NONE, "3\r\nabc\r\n0\r\n\r", NULL},
    {1, RULE_NONE, "ffffffffffffffff\r\nabc", NULL},
};

static void bodies_are_read_or_refused_at_every_split(void **state)
{
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		size_t length = strlen(bodies[i].bytes), used = 0;

		for (size_t piece = 1; piece <= length + 1; piece++) {
			char out[100], with_more[200];
			int got = decode(bodies[i].bytes, length, piece, out, &used);

			enum http_rule rule = got < 0 ? (enum http_rule) - got : RULE_NONE;

			if ((got < 0 ? -http_rule_status(rule) : got) != bodies[i].result ||
			    rule != bodies[i].rule)
				fail_msg("pieces of %zu: %d, \"%s\", not %d, \"%s\": %s", piece, got,
					 http_rule_name(rule), bodies[i].result,
					 http_rule_name(bodies[i].rule), bodies[i].bytes);
			if (got)
				continue;
			assert_string_equal(out, bodies[i].body);
			assert_int_equal(used, length);
			/* The next request is not touched. */
			int more = sprintf(with_more, "%s0\r\n\r\n", bodies[i].bytes);
			assert_int_equal(decode(with_more, (size_t)more, piece, out, &used), 0);
			assert_int_equal(used, length);
		}
	}
}

/* `unit` repeated n times between front and back. */
static int decode_repeated(const char *front, const char *unit, size_t n, const char *back)
{
	size_t length = strlen(front) + n * strlen(unit) + strlen(back), used;
	char *bytes = malloc(length + 1), *out = malloc(length + 1),
	     *at = bytes + sprintf(bytes, "%s", front);

	for (size_t i = 0; i < n; i++)
		at += sprintf(at, "%s", unit);
	sprintf(at, "%s", back);
	int rc = decode(bytes, length, 1000, out, &used);
	free(bytes);
	free(out);
	return rc;
}

static void what_is_read_over_is_bounded(void **state)
{
	size_t most = CHUNK_EXTENSIONS_MAX;

	assert_int_equal(decode_repeated("1;", "x", most - 1, "\r\na\r\n0\r\n\r\n"), 0);
	assert_int_equal(decode_repeated("1;", "x", most, "\r\na\r\n0\r\n\r\n"),
			 -RULE_CHUNK_EXTENSIONS_LARGE);
	assert_int_equal(decode_repeated("1", " ", most + 1, ";a\r\na\r\n0\r\n\r\n"),
			 -RULE_CHUNK_EXTENSIONS_LARGE);
	assert_int_equal(decode_repeated("", "1;x\r\na\r\n", most / 2, "0\r\n\r\n"), 0);
	assert_int_equal(decode_repeated("", "1;x\r\na\r\n", most / 2 + 1, "0\r\n\r\n"),
			 -RULE_CHUNK_EXTENSIONS_LARGE);
	/* Each such line counts for 5 bytes: its line feed does not. */
	assert_int_equal(decode_repeated("0\r\n", "ab:c\r\n", CHUNK_TRAILER_MAX / 5, "\r\n"), 0);
	assert_int_equal(decode_repeated("0\r\n", "ab:c\r\n", CHUNK_TRAILER_MAX / 5 + 1, "\r\n"),
			 -RULE_TRAILER_LARGE);
	/* What was spent on extensions does not count for the trailer. */
	assert_int_equal(decode_repeated("1;x\r\na\r\n0\r\n", "ab:c\r\n", CHUNK_TRAILER_MAX / 5, "\r\n"), 0);
}

static void a_nul_is_refused_anywhere_but_in_data(void **state)
{
	static const char body[] = "3 ;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n";
	char bytes[sizeof(body)], out[100];
	size_t used;

	for (size_t i = 0; i < sizeof(body) - 1; i++) {
		memcpy(bytes, body, sizeof(body));
		bytes[i] = 0;
		int got = decode(bytes, sizeof(body) - 1, 100, out, &used);
		assert_int_equal(got < 0 ? http_rule_status((enum http_rule) - got) : got,
				 i >= 8 && i < 11 ? 0 : 400);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bodies_are_read_or_refused_at_every_split),
	    cmocka_unit_test(what_is_read_over_is_bounded),
	    cmocka_unit_test(a_nul_is_refused_anywhere_but_in_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
