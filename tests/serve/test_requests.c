/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes in, bytes out: each resource and method, refusals, pipelining, at every split of what arrives. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>

#define H "Host: h\r\n"
#define OK "HTTP/1.1 200 OK\r\n" DATE
#define CREATED "HTTP/1.1 201 Created\r\n" DATE
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n" DATE
#define OCTETS "Content-Type: application/octet-stream\r\n"
#define TEXT "Content-Type: text/plain\r\n"
#define CLOSE "Connection: close\r\n"

static const struct {
	const char *what, *in, *out;
	bool closes;
} exchanges[] = {
    {"a new key", "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n"},
    {"a key replaced, read, deleted, missed",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz"
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nabcd"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" NO_CONTENT "ETag: \"2\"\r\n\r\n" OK OCTETS
	     "Content-Length: 4\r\nETag: \"2\"\r\n\r\nabcd" NO_CONTENT "\r\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"},
    {"an empty value, and one without Content-Length",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"
     "GET /kv/a HTTP/1.1\r\n" H "\r\n"
     "PUT /kv/a HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS
	     "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" NO_CONTENT "ETag: \"2\"\r\n\r\n"},
    {"a name in escapes is the same name; slashes belong to a key",
     "PUT /kv/%61/b%2Fc HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
     "GET http://h/kv/a/b/c HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS
	     "Content-Length: 1\r\nETag: \"1\"\r\n\r\nx"},
    {"HEAD",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz"
     "HEAD /kv/a HTTP/1.1\r\n" H "\r\n"
     "HEAD /kv/b HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS "Content-Length: 3\r\nETag: \"1\"\r\n\r\n"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\n"},
    {"a stream",
     "POST /log/s HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\none"
     "POST /log/s HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\ntwo"
     "GET /log/s/2 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s/3 HTTP/1.1\r\n" H "\r\n",
     CREATED "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"seq\":1}\n" CREATED
	     "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"seq\":2}\n" OK OCTETS
	     "Content-Length: 3\r\n\r\ntwo"
	     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 14\r\n\r\nno such entry\n"},
    {"close is obeyed, what follows is not read",
     "GET /kv/a HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET /kv/a HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n" CLOSE "\r\nno such key\n", true},
    {"close after a value",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz"
     "GET /kv/a HTTP/1.1\r\n" H "Connection: close\r\n\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS "Content-Length: 3\r\nETag: \"1\"\r\n" CLOSE
	     "\r\nxyz",
     true},
    {"HTTP/1.0 closes", "PUT /kv/a HTTP/1.0\r\nContent-Length: 3\r\n\r\nxyz",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\n" CLOSE "\r\n", true},
    {"HTTP/1.0 keeps when asked",
     "PUT /kv/a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nxyz"
     "GET /kv/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     CREATED "Content-Length: 0\r\nETag: \"1\"\r\nConnection: keep-alive\r\n\r\n" OK OCTETS
	     "Content-Length: 3\r\nETag: \"1\"\r\nConnection: keep-alive\r\n\r\nxyz"},
    {"methods that a resource has not; the connection goes on, a body is passed over",
     "POST /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nxyz"
     "PUT /log/a HTTP/1.1\r\n" H "\r\n"
     "OPTIONS /log/a/1 HTTP/1.1\r\n" H "\r\n"
     "DELETE /metrics HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 405 Method Not Allowed\r\n" DATE "Allow: GET, HEAD, PUT, DELETE\r\nContent-Length: 0\r\n\r\n"
     "HTTP/1.1 405 Method Not Allowed\r\n" DATE "Allow: POST\r\nContent-Length: 0\r\n\r\n"
     "HTTP/1.1 405 Method Not Allowed\r\n" DATE "Allow: GET, HEAD\r\nContent-Length: 0\r\n\r\n"
     "HTTP/1.1 405 Method Not Allowed\r\n" DATE "Allow: GET, HEAD\r\nContent-Length: 0\r\n\r\n"},
    {"a body where none belongs is passed over",
     "GET /kv/a HTTP/1.1\r\n" H "Content-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n"
     "DELETE /kv/a HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n"},
    {"unknown places",
     "GET / HTTP/1.1\r\n" H "\r\n"
     "GET /kv/ HTTP/1.1\r\n" H "\r\n"
     "GET /log/s/0 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s/01 HTTP/1.1\r\n" H "\r\n"
     "GET /log/s/1/ HTTP/1.1\r\n" H "\r\n"
     "GET /metricsx HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 61\r\n\r\n"
     "there are /kv/KEY, /log/STREAM, /log/STREAM/SEQ and /metrics\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 26\r\n\r\na key has at least 1 byte\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 45\r\n\r\n"
     "an entry is named by a decimal number from 1\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 45\r\n\r\n"
     "an entry is named by a decimal number from 1\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 45\r\n\r\n"
     "an entry is named by a decimal number from 1\n"
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 61\r\n\r\n"
     "there are /kv/KEY, /log/STREAM, /log/STREAM/SEQ and /metrics\n"},
    {"a bad escape and an unknown parameter are refused, the connection goes on",
     "GET /kv/%zz HTTP/1.1\r\n" H "\r\n"
     "GET /kv/a?x=1 HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 400 Bad Request\r\n" DATE TEXT "Content-Length: 21\r\n\r\nbad percent-encoding\n"
     "HTTP/1.1 400 Bad Request\r\n" DATE TEXT "Content-Length: 33\r\n\r\nno query parameter is known here\n"},
    {"an ill-formed request ends the connection",
     "GET /kv/a HTTP/1.1\r\n" H " folded\r\n\r\nGET /kv/a HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 400 Bad Request\r\n" DATE TEXT "Content-Length: 40\r\n" CLOSE
     "\r\nthis is no well-formed HTTP/1.1 request\n",
     true},
    {"a transfer coding ends the connection",
     "PUT /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "HTTP/1.1 501 Not Implemented\r\n" DATE TEXT "Content-Length: 50\r\n" CLOSE
     "\r\nthis method or transfer coding is not implemented\n",
     true},
    {"a body too long to be passed over ends the connection",
     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 100001\r\n\r\nxxxxxxxxxxxxxxxxxxxxxx",
     "HTTP/1.1 413 Content Too Large\r\n" DATE TEXT "Content-Length: 45\r\n" CLOSE
     "\r\nthe body is larger than this service accepts\n",
     true},
    {"the body is asked for", "PUT /kv/a HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
     "HTTP/1.1 100 Continue\r\n\r\n"},
    {"the body is not asked for when it will be refused",
     "PUT /kv/ HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
     "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 26\r\n" CLOSE "\r\na key has at least 1 byte\n",
     true},
};

static void expect_exchange(size_t i, uint32_t piece, uint32_t inline_max, uint32_t offset)
{
	struct harness h = harness_begin();

	fake_stack_set_piece(h.stack, piece);
	fake_stack_set_offset(h.stack, offset);
	fake_store_set_inline(h.store, inline_max);
	struct fake_conn *c = harness_client(&h, exchanges[i].in);
	harness_run(&h);
	const char *got = fake_client_got(c, NULL);
	if (strcmp(got, exchanges[i].out))
		fail_msg("%s, in pieces of %u:\n%s--- instead of\n%s---", exchanges[i].what, piece, got,
			 exchanges[i].out);
	assert_int_equal(fake_client_is_closed(c), exchanges[i].closes);
	assert_false(fake_client_is_reset(c));
	harness_end(&h);
}

static void each_request_gets_its_reply(void **state)
{
	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++)
		expect_exchange(i, 0, 64, 0);
}

static void however_it_arrives(void **state)
{
	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++)
		for (uint32_t piece = 1; piece <= strlen(exchanges[i].in); piece++)
			if (!strstr(exchanges[i].in, "Expect"))
				expect_exchange(i, piece, piece % 2 ? 64 : 0, piece % 5);
}

/* The first of two parts has any length, and both may hold parts of several requests. */
static void split_in_two_anywhere(void **state)
{
	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++) {
		size_t length = strlen(exchanges[i].in);

		for (size_t cut = 1; cut < length; cut++) {
			struct harness h = harness_begin();
			struct fake_conn *c = fake_connect(h.stack);

			fake_client_sends(c, exchanges[i].in, cut);
			harness_run(&h);
			if (!fake_client_is_closed(c)) {
				fake_client_sends(c, exchanges[i].in + cut, length - cut);
				harness_run(&h);
			}
			expect_got(c, exchanges[i].out);
			harness_end(&h);
		}
	}
}

static char *big_request(const char *head, size_t body, uint8_t seed)
{
	char *request = malloc(strlen(head) + 100 + body);
	size_t n = (size_t)sprintf(request, "%s" H "Content-Length: %zu\r\n\r\n", head, body);

	for (size_t i = 0; i < body; i++)
		request[n + i] = (char)('a' + (i * 7 + i / 1000 + seed) % 26);
	request[n + body] = 0;
	return request;
}

static void large_bodies_come_back_whole(void **state)
{
	static const size_t sizes[] = {1,    63,   64,    65,    1900,  2047,  2048,
				       2049, 4096, 65535, 65536, 65537, 100000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct harness h = harness_begin();
		char *request = big_request("PUT /kv/big HTTP/1.1\r\n", sizes[i], (uint8_t)i), expected[300];
		const char *body = strstr(request, "\r\n\r\n") + 4;

		struct fake_conn *c = harness_client(&h, request);
		fake_client_says(c, "GET /kv/big HTTP/1.1\r\n" H "\r\n");
		harness_run(&h);
		sprintf(expected,
			CREATED "Content-Length: 0\r\nETag: \"1\"\r\n\r\n" OK OCTETS
				"Content-Length: %zu\r\nETag: \"1\"\r\n\r\n",
			sizes[i]);
		const char *got = fake_client_got(c, NULL);
		assert_memory_equal(got, expected, strlen(expected));
		assert_string_equal(got + strlen(expected), body);
		free(request);
		harness_end(&h);
	}
}

static void names_have_1_to_1024_bytes(void **state)
{
	struct harness h = harness_begin();
	char request[4000];

	for (int length = 1023; length <= 1025; length++) {
		int n = sprintf(request, "PUT /kv/");
		for (int i = 0; i < length; i++)
			n += sprintf(request + n, "%%%02x", i & 255);
		sprintf(request + n, " HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx");
		const char *got = harness_ask(&h, request);
		assert_int_equal(atoi(got + 9), length <= 1024 ? 201 : 400);
	}
	harness_end(&h);
}

static void a_store_that_refuses_is_answered(void **state)
{
	static const struct {
		int error;
		const char *status, *connection;
	} cases[] = {
	    {-ENOSPC, "507", NULL},
	    {-EBADMSG, "500", NULL},
	    {-EFBIG, "413", NULL},
	    {-ENOMEM, "503", NULL},
	    {-EIO, "503", "Connection: close"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct harness h = harness_begin();

		fake_store_refuse_changes(h.store, cases[i].error);
		fake_store_refuse_reads(h.store, cases[i].error);
		static const char *const requests[] = {
		    "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx",
		    "POST /log/a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx",
		    "DELETE /kv/a HTTP/1.1\r\n" H "\r\n",
		    "GET /kv/a HTTP/1.1\r\n" H "\r\n",
		    "GET /log/a/1 HTTP/1.1\r\n" H "\r\n",
		};
		for (size_t r = 0; r < 5; r++) {
			const char *got = harness_ask(&h, requests[r]);

			assert_memory_equal(got + 9, cases[i].status, 3);
			assert_true(!cases[i].connection == !strstr(got, "Connection: close"));
		}
		harness_end(&h);
	}
}

static void a_refused_body_is_passed_over(void **state)
{
	struct harness h = harness_begin();
	char *request = big_request("PUT /kv/big HTTP/1.1\r\n", 50000, 1);

	fake_store_refuse_bodies(h.store, -ENOBUFS);
	struct fake_conn *c = harness_client(&h, request);
	fake_client_says(c, "GET /kv/big HTTP/1.1\r\n" H "\r\n");
	harness_run(&h);
	const char *got = fake_client_got(c, NULL);
	assert_memory_equal(got, "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(got, "Retry-After: 1\r\n"));
	assert_non_null(strstr(got, "HTTP/1.1 404 "));
	assert_false(fake_client_is_closed(c));
	free(request);
	harness_end(&h);
}

static void metrics_are_well_formed(void **state)
{
	struct harness h = harness_begin();
	const char *got = harness_ask(&h, "GET /metrics HTTP/1.1\r\n" H "\r\n");
	const char *body = strstr(got, "\r\n\r\n") + 4, *line = body, *end;
	size_t length = strtoul(strstr(got, "Content-Length: ") + 16, NULL, 10);

	assert_int_equal(strlen(body), length);
	for (; *line; line = end + 1) {
		char name[100];
		double value;

		end = strchr(line, '\n');
		assert_non_null(end);
		if (*line == '#')
			continue;
		const char *space = end;
		while (*space != ' ')
			space--;
		assert_int_equal(sscanf(line, "%99[a-z_]", name), 1);
		assert_int_equal(sscanf(space, "%lf", &value), 1);
		/* Each has its type before it. */
		char type[130];
		sprintf(type, "# TYPE %s ", name);
		assert_non_null(strstr(body, type));
	}
	assert_non_null(strstr(body, "paste_http_requests_total 1\n"));
	assert_non_null(strstr(body, "paste_copied_bytes_total{cause=\"coalesce\"} 0\n"));
	assert_non_null(strstr(body, "name=\"fa\\\"ke\""));
	harness_end(&h);
}

static void clients_that_leave_leave_nothing_behind(void **state)
{
	static const char request[] = "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 5000\r\n\r\nxyz";

	for (size_t cut = 1; cut < sizeof(request); cut++) {
		struct harness h = harness_begin();
		struct fake_conn *ends = fake_connect(h.stack), *resets = fake_connect(h.stack);

		fake_client_sends(ends, request, cut);
		fake_client_ends(ends);
		fake_client_sends(resets, request, cut);
		harness_run(&h);
		fake_client_resets(resets);
		harness_run(&h);
		expect_got(ends, "");
		assert_true(fake_client_is_closed(ends));
		assert_true(fake_client_is_reset(resets));
		harness_end(&h);
	}
}

static void a_client_that_ends_is_still_answered(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *c = harness_client(&h, "GET /kv/a HTTP/1.1\r\n" H "\r\nGET /kv/b HT");

	fake_client_ends(c);
	harness_run(&h);
	expect_got(c, "HTTP/1.1 404 Not Found\r\n" DATE TEXT "Content-Length: 12\r\n\r\nno such key\n");
	assert_true(fake_client_is_closed(c));
	harness_end(&h);
}

static void draining_ends_every_connection(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *idle = harness_client(&h, "GET /kv/a HTTP/1.1\r\n" H "\r\n");
	struct fake_conn *busy = harness_client(&h, "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nx");

	harness_run(&h);
	service_drain(h.service);
	assert_true(fake_client_is_closed(idle));
	assert_false(fake_client_is_closed(busy));
	fake_client_says(busy, "yz");
	harness_run(&h);
	assert_non_null(strstr(fake_client_got(busy, NULL), "201 Created"));
	assert_non_null(strstr(fake_client_got(busy, NULL), "Connection: close\r\n"));
	assert_true(fake_client_is_closed(busy));
	harness_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_request_gets_its_reply),
	    cmocka_unit_test(however_it_arrives),
	    cmocka_unit_test(split_in_two_anywhere),
	    cmocka_unit_test(large_bodies_come_back_whole),
	    cmocka_unit_test(names_have_1_to_1024_bytes),
	    cmocka_unit_test(a_store_that_refuses_is_answered),
	    cmocka_unit_test(a_refused_body_is_passed_over),
	    cmocka_unit_test(metrics_are_well_formed),
	    cmocka_unit_test(clients_that_leave_leave_nothing_behind),
	    cmocka_unit_test(a_client_that_ends_is_still_answered),
	    cmocka_unit_test(draining_ends_every_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
