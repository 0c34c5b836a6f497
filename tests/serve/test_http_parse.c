/* SPDX-License-Identifier: BSD-2-Clause */
/* Heads of requests: what is accepted and what is read from it, what is refused with which status, at every
 * split. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/http_parse.h"

#define HOST "Host: h\r\n"
#define END "\r\n"

/* As the service does it: scan as pieces come, then parse. 0, 1 if incomplete, or the negative rule. */
static int parse(struct http_request *r, const char *bytes, size_t length, size_t piece)
{
	struct http_scan scan = {0};

	for (size_t have = 0;;) {
		have = have + piece < length ? have + piece : length;
		int n = http_scan(&scan, bytes, (uint32_t)have);

		if (n > 0)
			n = http_parse(r, bytes + scan.start, (uint32_t)n - scan.start);
		else if (n == 0 && have < length)
			continue;
		else if (n == 0)
			return 1; /* incomplete */
		return n;
	}
}

static const struct {
	int result; /* 0 accepted, 1 incomplete, else the negative status */
	enum http_rule rule;
	const char *bytes;
} heads[] = {
    /* methods */
    {0, RULE_NONE, "GET / HTTP/1.1\r\n" HOST END},
    {0, RULE_NONE, "PUT / HTTP/1.1\r\n" HOST END},
    {0, RULE_NONE, "OPTIONS * HTTP/1.1\r\n" HOST END},
    {-501, RULE_METHOD_UNKNOWN, "get / HTTP/1.1\r\n" HOST END},
    {-501, RULE_METHOD_UNKNOWN, "BREW / HTTP/1.1\r\n" HOST END},
    {-501, RULE_METHOD_UNKNOWN, "CONNECT h:443 HTTP/1.1\r\n" HOST END},
    {-400, RULE_METHOD_FORM, "G=T / HTTP/1.1\r\n" HOST END},
    {-400, RULE_BEGINNING, " GET / HTTP/1.1\r\n" HOST END},

    /* request line */
    {-400, RULE_TARGET_NONE, "GET  / HTTP/1.1\r\n" HOST END},
    {-400, RULE_VERSION_FORM, "GET / HTTP/1.1 \r\n" HOST END},
    {-400, RULE_VERSION_FORM, "GET /  HTTP/1.1\r\n" HOST END},
    {-400, RULE_METHOD_FORM, "GET\t/ HTTP/1.1\r\n" HOST END},
    {-400, RULE_VERSION_NONE, "GET /\r\n" HOST END},
    {-400, RULE_METHOD_FORM, "GET\r\n" END},
    {-400, RULE_VERSION_FORM, "GET / HTTP/1.1x\r\n" HOST END},
    {-400, RULE_VERSION_FORM, "GET / http/1.1\r\n" HOST END},
    {-400, RULE_VERSION_FORM, "GET / HTTP/11\r\n" HOST END},
    {-400, RULE_VERSION_FORM, "GET / HTTP/1.\r\n" HOST END},
    {-505, RULE_VERSION_OTHER, "GET / HTTP/2.0\r\n" HOST END},
    {-505, RULE_VERSION_OTHER, "GET / HTTP/0.9\r\n" HOST END},
    {0, RULE_NONE, "GET / HTTP/1.2\r\n" HOST END},
    {-400, RULE_VERSION_FORM, "GET /a b HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_BYTE, "GET /a#b HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_BYTE, "GET /\x01 HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_BYTE, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST END},
    {0, RULE_NONE, "GET /%c3%a4?a=b&c HTTP/1.1\r\n" HOST END},

    /* targets */
    {0, RULE_NONE, "GET http://h/x HTTP/1.1\r\n" HOST END},
    {0, RULE_NONE, "GET HTTP://h:80?q HTTP/1.1\r\n" HOST END},
    {0, RULE_NONE, "GET https://[::1]:80/ HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_HOST, "GET http:///x HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_HOST, "GET http://u@h/x HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_HOST, "GET http://:80/ HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_HOST, "GET http://h:8a/ HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_HOST, "GET http://[::1/ HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_HOST, "GET http://[]:80/ HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_HOST, "GET http://h%2?q HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_HOST, "GET http://:::: HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_FORM, "GET ftp://h/x HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_FORM, "GET h:80 HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_FORM, "GET x HTTP/1.1\r\n" HOST END},
    {-400, RULE_TARGET_FORM, "GET * HTTP/1.1\r\n" HOST END},

    /* empty lines in front */
    {0, RULE_NONE, "\r\nGET / HTTP/1.1\r\n" HOST END},
    {0, RULE_NONE, "\r\n\r\nGET / HTTP/1.1\r\n" HOST END},
    {-400, RULE_EMPTY_LINES, "\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST END},
    {-400, RULE_BARE_LF, "\nGET / HTTP/1.1\r\n" HOST END},

    /* line ends */
    {-400, RULE_BARE_LF, "GET / HTTP/1.1\n" HOST END},
    {-400, RULE_BARE_LF, "GET / HTTP/1.1\r\nHost: h\n\r\n"},
    {-400, RULE_BARE_LF, "GET / HTTP/1.1\r\nHost: h\r\n\n"},
    {-400, RULE_FIELD_CR, "GET / HTTP/1.1\r\nHost: h\rX: y\r\n" END},
    {-400, RULE_FIELD_CR, "GET / HTTP/1.1\r\nHost: h\r\r\n" END},
    {-400, RULE_VERSION_FORM, "GET / HTTP/1.1\r\r\n" HOST END},
    {1, RULE_NONE, "GET / HTTP/1.1\r\n" HOST},
    {1, RULE_NONE, "GET / HTTP/1.1\r\n" HOST "\r"},
    {1, RULE_NONE, "GET"},
    {1, RULE_NONE, "\r"},
    {-400, RULE_BEGINNING, "\x16\x03\x01\x02\x00\x01"},

    /* field lines */
    {0, RULE_NONE, "GET / HTTP/1.1\r\nhOsT:h\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost: \t h \t\r\nX-Y:\r\nZ: \xff \"()\"\r\n" END},
    {-400, RULE_FIELD_SPACE, "GET / HTTP/1.1\r\nHost : h\r\n" END},
    {-400, RULE_FIELD_SPACE, "GET / HTTP/1.1\r\nHost\t: h\r\n" END},
    {-400, RULE_FIELD_FOLDED, "GET / HTTP/1.1\r\n Host: h\r\n" END},
    {-400, RULE_FIELD_FOLDED, "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n" END},
    {-400, RULE_FIELD_FOLDED, "GET / HTTP/1.1\r\nHost: h\r\n\tfolded\r\n" END},
    {-400, RULE_FIELD_FOLDED, "GET / HTTP/1.1\r\nHost: h\r\n \r\n" END},
    {-400, RULE_FIELD_NAMELESS, "GET / HTTP/1.1\r\n" HOST ": x\r\n" END},
    {-400, RULE_FIELD_COLON, "GET / HTTP/1.1\r\n" HOST "novalue\r\n" END},
    {-400, RULE_FIELD_SPACE, "GET / HTTP/1.1\r\n" HOST "a b: x\r\n" END},
    {-400, RULE_FIELD_NAME, "GET / HTTP/1.1\r\n" HOST "a(: x\r\n" END},
    {-400, RULE_FIELD_NAME, "GET / HTTP/1.1\r\n" HOST "a\x7f: x\r\n" END},
    {-400, RULE_FIELD_NAME, "GET / HTTP/1.1\r\n" HOST "a\xe4: x\r\n" END},
    {-400, RULE_FIELD_CONTROL, "GET / HTTP/1.1\r\n" HOST "a: x\x01y\r\n" END},
    {-400, RULE_FIELD_CONTROL, "GET / HTTP/1.1\r\n" HOST "a: x\x7f\r\n" END},
    {-400, RULE_FIELD_CONTROL, "GET / HTTP/1.1\r\n" HOST "a: x\x0by\r\n" END},

    /* Host */
    {-400, RULE_HOST_NONE, "GET / HTTP/1.1\r\n" END},
    {-400, RULE_HOST_NONE, "GET http://h/ HTTP/1.1\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.0\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost:\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n" END},
    {-400, RULE_HOST_TWICE, "GET / HTTP/1.1\r\n" HOST HOST END},
    {-400, RULE_HOST_TWICE, "GET / HTTP/1.1\r\n" HOST "host: other\r\n" END},
    {-400, RULE_HOST_TWICE, "GET / HTTP/1.0\r\n" HOST HOST END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: a, b\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: a b\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: a/b\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: u@h\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost:\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost: h:\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost: h:80\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost: 1.2.3.4:80\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost: [::1]\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:1\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\nHost: a%2fb\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: :80\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: :\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: ::::\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: h:8a\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: h:80:80\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: ::1\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: [\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: []\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: [::1\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: [::1]80\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: [::1]x\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: [::g]\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: [v1.x]\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: a%2\r\n" END},
    {-400, RULE_HOST_FORM, "GET / HTTP/1.1\r\nHost: a%zzb\r\n" END},

    /* Content-Length */
    {0, RULE_NONE, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n" END},
    {0, RULE_NONE, "PUT / HTTP/1.1\r\n" HOST "Content-Length:00005\r\n" END},
    {0, RULE_NONE, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n" END},
    {-413, RULE_BODY_LARGE, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n" END},
    {-413, RULE_BODY_LARGE, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999999\r\n" END},
    {-400, RULE_LENGTH_TWICE, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n" END},
    {-400, RULE_LENGTH_TWICE, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\ncontent-length: 5\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5,6\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5;\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5.0\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length: \"5\"\r\n" END},
    {-400, RULE_LENGTH_FORM, "PUT / HTTP/1.1\r\n" HOST "Content-Length:\r\n" END},
    {-400, RULE_FIELD_SPACE, "PUT / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n" END},

    /* Transfer-Encoding */
    {0, RULE_NONE, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END},
    {0, RULE_NONE, "PUT / HTTP/1.1\r\n" HOST "transfer-encoding: \t Chunked , \r\n" END},
    {0, RULE_NONE, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: ,chunked\r\n" END},
    {0, RULE_NONE, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked , ,\r\n" END},
    {-501, RULE_CODING_UNKNOWN, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n" END},
    {-501, RULE_CODING_UNKNOWN, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity, chunked\r\n" END},
    {-400, RULE_CODING_LAST, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n" END},
    {-400, RULE_CODING_LAST, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, gzip\r\n" END},
    {-400, RULE_CODING_LAST, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n" END},
    {-400, RULE_CODING_LAST, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n" END},
    {-400, RULE_CODING_LAST, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;q=1\r\n" END},
    {-400, RULE_CODING_LAST, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n" END},
    {-400, RULE_CODING_TWICE,
     "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END},
    {-400, RULE_CODING_TWICE,
     "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n" END},
    {-400, RULE_CODING_LAST, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n" END},
    {-400, RULE_CODING_LAST, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chun ked\r\n" END},
    {-400, RULE_CODING_LAST, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n" END},
    {-400, RULE_LENGTH_AND_CODING,
     "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n" END},
    {-400, RULE_LENGTH_AND_CODING,
     "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END},
    {-400, RULE_LENGTH_AND_CODING,
     "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END},
    {-400, RULE_LENGTH_AND_CODING,
     "PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: identity\r\n" END},
    {-400, RULE_CODING_1_0, "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" END},
    {-400, RULE_FIELD_SPACE, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n" END},
    {-400, RULE_FIELD_NAME, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding\x0b: chunked\r\n" END},
    {-400, RULE_FIELD_CONTROL,
     "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding:\x0b"
     "chunked\r\n" END},
    {-400, RULE_BARE_LF, "PUT / HTTP/1.1\r\n" HOST "X: y\nTransfer-Encoding: chunked\r\n" END},

    /* conditions and ranges */
    {0, RULE_NONE,
     "GET / HTTP/1.1\r\n" HOST "If-Match: \"1\"\r\nif-match: \"2\"\r\nIf-None-Match: *\r\n" END},
    {-400, RULE_TAG_FORM, "GET / HTTP/1.1\r\n" HOST "If-Match: 1\r\n" END},
    {-400, RULE_TAG_FORM, "GET / HTTP/1.1\r\n" HOST "If-None-Match: *\r\nIf-None-Match: \"1\"\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\n" HOST "Range: bytes=0-1\r\nIf-Range: \"1\"\r\n" END},
    {0, RULE_NONE, "GET / HTTP/1.1\r\n" HOST "Range: nonsense\r\n" END},
    {-400, RULE_FIELD_TWICE, "GET / HTTP/1.1\r\n" HOST "Range: bytes=0-1\r\nRange: bytes=0-1\r\n" END},
    {-400, RULE_FIELD_TWICE, "GET / HTTP/1.1\r\n" HOST "If-Range: \"1\"\r\nIf-Range: \"2\"\r\n" END},

    /* Expect */
    {0, RULE_NONE, "PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 5\r\n" END},
    {-417, RULE_EXPECT_OTHER, "PUT / HTTP/1.1\r\n" HOST "Expect: more\r\n" END},
    {0, RULE_NONE, "PUT / HTTP/1.0\r\n" HOST "Expect: more\r\n" END},
};

static void heads_are_accepted_or_refused_at_every_split(void **state)
{
	struct http_request r;

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		size_t length = strlen(heads[i].bytes);

		for (size_t piece = 1; piece <= length; piece++) {
			int got = parse(&r, heads[i].bytes, length, piece);

			enum http_rule rule = got < 0 ? (enum http_rule) - got : RULE_NONE;

			if ((got < 0 ? -http_rule_status(rule) : got) != heads[i].result ||
			    rule != heads[i].rule)
				fail_msg("pieces of %zu: %d, \"%s\", not %d, \"%s\": %s", piece, got,
					 http_rule_name(rule), heads[i].result, http_rule_name(heads[i].rule),
					 heads[i].bytes);
		}
	}
}

static void a_nul_is_refused_anywhere(void **state)
{
	static const char head[] = "GET /abc HTTP/1.1\r\nHost: host\r\nX: y\r\n\r\n";
	struct http_request r;
	char bytes[sizeof(head)];

	for (size_t i = 0; i < sizeof(head) - 1; i++) {
		memcpy(bytes, head, sizeof(head));
		bytes[i] = 0;
		/* One that replaces a CR or LF of the last empty line leaves the head incomplete or
		 * ill-formed. */
		assert_true(parse(&r, bytes, sizeof(head) - 1, sizeof(head)) != 0);
	}
}

static bool text_is(struct http_text text, const char *expected)
{
	return text.length == strlen(expected) && !memcmp(text.at, expected, text.length);
}

static void what_a_head_says_is_read(void **state)
{
	struct http_request r;
	static const char head[] = "POST http://other:80/a%20b?c=d?e HTTP/1.1\r\n"
				   "Host: one\r\n"
				   "X-Content-Length: 7\r\n"
				   "Content-Length:  123 \r\n"
				   "Expect: 100-continue\r\n\r\n";

	assert_int_equal(parse(&r, head, sizeof(head) - 1, 1000), 0);
	assert_int_equal(r.method, HTTP_POST);
	assert_true(text_is(r.path, "/a%20b"));
	assert_true(text_is(r.query, "c=d?e"));
	assert_true(text_is(r.fields[HTTP_HOST], "one"));
	assert_int_equal(r.content_length, 123);
	assert_true(r.expect_continue);
	assert_false(r.chunked);
	assert_false(r.if_match.present || r.if_none_match.present);
	assert_true(r.keep_alive);
	assert_false(r.http_1_0);
}

static void conditions_are_read_from_all_their_lines(void **state)
{
	struct http_request r;
	static const char with[] =
	    "PUT /a HTTP/1.1\r\nHost: one\r\nTransfer-Encoding: chunked\r\n"
	    "If-Match: \"1\", \"2\"\r\nIf-None-Match: W/\"3\"\r\nIF-MATCH: \"4\"\r\n\r\n";
	static const char without[] = "PUT /a HTTP/1.1\r\nHost: one\r\n\r\n";

	memset(&r, 0xff, sizeof(r)); /* what was there before does not matter */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(parse(&r, with, sizeof(with) - 1, 1000), 0);
		assert_int_equal(r.if_match.n, 3);
		assert_true(http_tags_match(&r.if_match, 4));
		assert_int_equal(r.if_none_match.n, 1);
		assert_true(http_tags_match(&r.if_none_match, 3));
		assert_true(r.chunked);
		assert_int_equal(parse(&r, without, sizeof(without) - 1, 1000), 0);
		assert_false(r.if_match.present || r.if_none_match.present || r.chunked);
	}
}

static void an_absolute_target_without_path_is_the_root(void **state)
{
	struct http_request r;

	assert_int_equal(parse(&r, "GET http://h?x HTTP/1.1\r\nHost: h\r\n\r\n", 38, 100), 0);
	assert_true(text_is(r.path, "/"));
	assert_true(text_is(r.query, "x"));
}

static void a_connection_is_kept_as_asked(void **state)
{
	static const struct {
		bool keep;
		const char *head;
	} cases[] = {
	    {true, "GET / HTTP/1.1\r\n" HOST END},
	    {false, "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n" END},
	    {false, "GET / HTTP/1.1\r\n" HOST "Connection: x , CLOSE,\r\n" END},
	    {false, "GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection: close\r\n" END},
	    {false, "GET / HTTP/1.1\r\n" HOST "Connection: close\r\nConnection: keep-alive\r\n" END},
	    {true, "GET / HTTP/1.1\r\n" HOST "Connection: closed, \"close\"\r\n" END},
	    {false, "GET / HTTP/1.0\r\n" HOST END},
	    {true, "GET / HTTP/1.0\r\n" HOST "Connection: Keep-Alive\r\n" END},
	    {false, "GET / HTTP/1.0\r\n" HOST "Connection: keep-alive, close\r\n" END},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_request r;

		assert_int_equal(parse(&r, cases[i].head, strlen(cases[i].head), 1000), 0);
		assert_int_equal(r.keep_alive, cases[i].keep);
	}
}

static int parse_long(const char *front, size_t line, size_t lines, size_t piece)
{
	size_t room = strlen(front) + (line + 8) * lines + 100, n;
	char *bytes = malloc(room);
	struct http_request r;

	n = (size_t)sprintf(bytes, "%s", front);
	for (size_t i = 0; i < lines; i++) {
		memset(bytes + n, 'x', line);
		n += line;
		n += (size_t)sprintf(bytes + n, "%s", i || strstr(front, "\r\n") ? ":\r\n" : " HTTP/1.1\r\n");
	}
	n += (size_t)sprintf(bytes + n, "Host: h\r\n\r\n");
	int rc = parse(&r, bytes, n, piece);
	free(bytes);
	return rc;
}

static void too_much_is_refused(void **state)
{
	static const size_t pieces[] = {1, 1000, 100000};

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(parse_long("GET /", HTTP_LINE_MAX - 5 - 11, 1, pieces[i]), 0);
		assert_int_equal(parse_long("GET /", HTTP_LINE_MAX - 5 - 10, 1, pieces[i]), -RULE_LINE_LARGE);
		assert_int_equal(parse_long("GET /", HTTP_LINE_MAX * 3, 1, pieces[i]), -RULE_LINE_LARGE);
		assert_int_equal(parse_long("GET / HTTP/1.1\r\n", 3, HTTP_FIELD_MAX - 1, pieces[i]), 0);
		assert_int_equal(parse_long("GET / HTTP/1.1\r\n", 3, HTTP_FIELD_MAX, pieces[i]),
				 -RULE_FIELDS_MANY);
		assert_int_equal(parse_long("GET / HTTP/1.1\r\n", HTTP_HEAD_MAX - 16 - 3 - 11, 1, pieces[i]),
				 0);
		assert_int_equal(parse_long("GET / HTTP/1.1\r\n", HTTP_HEAD_MAX - 16 - 3 - 10, 1, pieces[i]),
				 -RULE_HEAD_LARGE);
		assert_int_equal(parse_long("GET / HTTP/1.1\r\n", 200, 99, pieces[i]), -RULE_HEAD_LARGE);
	}
}

static void percent_encoding_is_decoded(void **state)
{
	static const struct {
		const char *text;
		int n;
		const char *bytes;
	} cases[] = {
	    {"abc", 3, "abc"},
	    {"", 0, ""},
	    {"a%20%2Fb", 4, "a /b"},
	    {"%00%ff%FF", 3, "\0\xff\xff"},
	    {"a+b", 3, "a+b"},
	    {"%", -EINVAL, ""},
	    {"%1", -EINVAL, ""},
	    {"a%g0", -EINVAL, ""},
	    {"%0g", -EINVAL, ""},
	    {"%%41", -EINVAL, ""},
	    {"12345678", 8, "12345678"},
	    {"%31%32%33%34%35678", 8, "12345678"},
	    {"123456789", -EMSGSIZE, ""},
	};
	uint8_t out[8];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_text text = {cases[i].text, (uint32_t)strlen(cases[i].text)};

		assert_int_equal(http_percent_decode(text, out, sizeof(out)), cases[i].n);
		if (cases[i].n > 0)
			assert_memory_equal(out, cases[i].bytes, (size_t)cases[i].n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(heads_are_accepted_or_refused_at_every_split),
	    cmocka_unit_test(a_nul_is_refused_anywhere),
	    cmocka_unit_test(what_a_head_says_is_read),
	    cmocka_unit_test(conditions_are_read_from_all_their_lines),
	    cmocka_unit_test(an_absolute_target_without_path_is_the_root),
	    cmocka_unit_test(a_connection_is_kept_as_asked),
	    cmocka_unit_test(too_much_is_refused),
	    cmocka_unit_test(percent_encoding_is_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
