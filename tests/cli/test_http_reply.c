/* SPDX-License-Identifier: BSD-2-Clause */
/* Responses whole, in every piece, and such as are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/http_reply.h"

static const struct {
	const char *text;
	unsigned int status;
	bool close;
	const char *body;
} good[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, false, "hello"},
    {"HTTP/1.1 201\r\ncontent-length:0\r\n\r\n", 201, false, ""},
    {"HTTP/1.1 204 No Content\r\n\r\n", 204, false, ""},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", 204, false, ""},
    {"HTTP/1.1 400 Bad\r\nX: y\r\nCONTENT-LENGTH: \t 2 \t\r\nConnection: Close\r\n\r\nno", 400, true, "no"},
    {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n!", 200, false, "!"},
    {"HTTP/1.0 507 Full\r\nContent-Length: 0\r\n\r\n", 507, true, ""},
    {"HTTP/1.1 404 \r\nDate: x:y:z\r\nContent-Length: 4\r\n\r\n\r\n\r\n", 404, false, "\r\n\r\n"},
};

/* From memory that ends where the bytes end, so that a sanitizer sees a read beyond. */
static int64_t parse(const char *text, size_t length, struct http_reply *reply, char **memory)
{
	*memory = malloc(length ? length : 1);
	assert_non_null(*memory);
	memcpy(*memory, text, length);
	return http_reply_parse(*memory, length, reply);
}

static void good_ones_are_understood_from_every_prefix(void **state)
{
	struct http_reply reply;
	char *memory;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		size_t whole = strlen(good[i].text);
		size_t head = whole - strlen(good[i].body);
		for (size_t length = 0; length <= whole; length++) {
			int64_t n = parse(good[i].text, length, &reply, &memory);
			assert_int_equal(n, length < head ? 0 : (int64_t)whole);
			if (length == whole) {
				assert_int_equal(reply.status, good[i].status);
				assert_int_equal(reply.close, good[i].close);
				assert_int_equal(reply.body_length, strlen(good[i].body));
				assert_memory_equal(reply.body, good[i].body, reply.body_length);
			}
			free(memory);
		}
	}
}

static void what_is_no_answer_is_refused(void **state)
{
	static const char *const bad[] = {
	    "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
	    "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 100 Continue\r\n\r\n",
	    "HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 200 OK\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
	    "SSH-2.0-OpenSSH\r\n\r\n",
	    "\r\n\r\n",
	};
	struct http_reply reply;
	char *memory;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(bad[i], strlen(bad[i]), &reply, &memory) != -EPROTO)
			fail_msg("%s", bad[i]);
		free(memory);
	}
}

static void a_head_without_end_is_refused(void **state)
{
	static char endless[HTTP_REPLY_HEAD_MAX];
	struct http_reply reply;

	memset(endless, 'x', sizeof(endless));
	assert_int_equal(http_reply_parse(endless, sizeof(endless) - 1, &reply), 0);
	assert_int_equal(http_reply_parse(endless, sizeof(endless), &reply), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_ones_are_understood_from_every_prefix),
	    cmocka_unit_test(what_is_no_answer_is_refused),
	    cmocka_unit_test(a_head_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
