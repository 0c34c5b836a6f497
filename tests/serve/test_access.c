/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may ask for what; what a refusal gives away; times of requests. */
#include "harness.h"

#include <stdio.h>

#define H "Host: h\r\n"
#define BODY "Content-Length: 3\r\n\r\nxyz"
#define WRITER "Authorization: Bearer writer-0123456789\r\n"
#define READER "Authorization: Bearer reader-0123456789\r\n"
#define OTHER "Authorization: Bearer another-0123456789\r\n"

static const char file[] = "writer-0123456789 rw deploy\nreader-0123456789 ro\n";

static struct tokens *some_tokens(void)
{
	struct tokens *t = NULL;

	assert_int_equal(tokens_parse(&t, "file", file, sizeof(file) - 1, NULL), 0);
	return t;
}

static struct harness begin(void)
{
	struct harness h = harness_begin();

	assert_null(service_change_tokens(h.service, some_tokens()));
	return h;
}

static struct fake_conn *talk(struct harness *h, const char *request)
{
	struct fake_conn *c = harness_client(h, request);

	harness_run(h);
	return c;
}

static void end(struct harness *h)
{
	tokens_free(service_change_tokens(h->service, NULL));
	harness_end(h);
}

static const struct {
	const char *request;
	int none, reader,
	    writer; /* the status with no token, with one that may read, with one that may write */
} rules[] = {
    {"PUT /kv/a", 401, 403, 201},
    {"POST /log/s", 401, 403, 201},
    {"DELETE /kv/a", 401, 403, 404},
    {"GET /kv/a", 401, 404, 404},
    {"HEAD /kv/a", 401, 404, 404},
    {"GET /log/s/1", 401, 404, 404},
    {"GET /metrics", 401, 200, 200},
    {"HEAD /metrics", 401, 200, 200},
    {"OPTIONS /kv/a", 401, 204, 204},
    {"OPTIONS *", 401, 204, 204},
    {"GET /healthz", 200, 200, 200},
    {"HEAD /healthz", 200, 200, 200},
    {"GET /readyz", 200, 200, 200},
    {"PUT /healthz", 405, 405, 405},
    /* What does not exist looks like what does. */
    {"GET /", 401, 404, 404},
    {"GET /nope", 401, 404, 404},
    {"GET /healthz/", 401, 404, 404},
    {"GET /metrics/healthz", 401, 404, 404},
    {"GET /kv/healthz", 401, 404, 404},
    {"GET /kv", 401, 200, 200},
    {"GET /log", 401, 200, 200},
    {"DELETE /kv?prefix=a", 401, 403, 200},
    {"GET /log/s?from=1", 401, 404, 404},
    {"DELETE /log/s?before=1", 401, 403, 404},
    {"GET /healthz/../kv/a", 401, 404, 404},
    {"GET /Healthz", 401, 404, 404},
    {"GET /%68ealthz", 401, 404, 404},
    {"GET /kv/%zz", 401, 400, 400},
    {"GET /kv/healthz", 401, 404, 404},
    {"PUT /nope", 401, 403, 404},
    {"PATCH /kv/a", 401, 403, 405},
    {"GET /kv/a?x=1", 401, 400, 400},
    {"GET http://h/kv/a", 401, 404, 404},
};

static int ask(const char *request, const char *field)
{
	struct harness h = begin();
	char text[512];
	bool has_body = !strncmp(request, "PUT", 3) || !strncmp(request, "POST", 4);

	snprintf(text, sizeof(text), "%s HTTP/1.1\r\n" H "%s%s", request, field, has_body ? BODY : "\r\n");
	int status = atoi(harness_ask(&h, text) + 9);
	end(&h);
	return status;
}

static void every_request_needs_its_token(void **state)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		print_message("%s\n", rules[i].request);
		assert_int_equal(ask(rules[i].request, ""), rules[i].none);
		assert_int_equal(ask(rules[i].request, OTHER), rules[i].none);
		assert_int_equal(ask(rules[i].request, READER), rules[i].reader);
		assert_int_equal(ask(rules[i].request, WRITER), rules[i].writer);
		/* Doubled fields are no way around. */
		assert_int_equal(ask(rules[i].request, READER WRITER), 400);
	}
}

/* Each request for itself: what one on the same connection could do says nothing of the next. */
static void a_connection_has_no_rights(void **state)
{
	struct harness h = begin();
	struct fake_conn *c =
	    talk(&h, "PUT /kv/a HTTP/1.1\r\n" H WRITER BODY "GET /kv/a HTTP/1.1\r\n" H "\r\n"
		     "GET /healthz HTTP/1.1\r\n" H "\r\n"
		     "GET /nope HTTP/1.1\r\n" H "\r\n"
		     "GET /kv/a HTTP/1.1\r\n" H READER "\r\n"
		     "DELETE /kv/a HTTP/1.1\r\n" H READER "\r\n"
		     "GET /kv/a HTTP/1.1\r\n" H OTHER "\r\n"
		     "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 48\r\n\r\n"
		     "GET /kv/a HTTP/1.1\r\n" H "Authorizatio: x\r\n\r\n"
		     "GET /kv/a HTTP/1.1\r\n" H WRITER "\r\n");
	static const int expected[] = {201, 401, 200, 401, 200, 403, 401, 401, 200};
	const char *got = fake_client_got(c, NULL);

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		got = strstr(got, "HTTP/1.1 ");
		assert_non_null(got);
		assert_int_equal(atoi(got + 9), expected[i]);
		got++;
	}
	assert_null(strstr(got, "HTTP/1.1 "));
	end(&h);
}

static void a_refusal_says_how_and_nothing_else(void **state)
{
	static const struct {
		const char *field, *challenge, *text;
	} cases[] = {
	    {"", "WWW-Authenticate: Bearer realm=\"paste\"\r\n",
	     "this needs a token: Authorization: Bearer TOKEN\n"},
	    {OTHER, "WWW-Authenticate: Bearer realm=\"paste\", error=\"invalid_token\"\r\n",
	     "this needs a token: Authorization: Bearer TOKEN\n"},
	    {READER, "WWW-Authenticate: Bearer realm=\"paste\", error=\"insufficient_scope\"\r\n",
	     "this token may only read\n"},
	};

	for (size_t i = 0; i < 3; i++) {
		struct harness h = begin();
		char request[256];

		snprintf(request, sizeof(request), "PUT /kv/a HTTP/1.1\r\n" H "%s" BODY, cases[i].field);
		const char *got = harness_ask(&h, request);
		assert_non_null(strstr(got, cases[i].challenge));
		assert_string_equal(strstr(got, "\r\n\r\n") + 4, cases[i].text);
		assert_null(strstr(got, "ETag"));
		end(&h);
	}
}

/* A client that waits for 100 is not asked to send what will be thrown away. */
static void no_body_is_asked_for(void **state)
{
	struct harness h = begin();
	struct fake_conn *c =
	    talk(&h, "PUT /kv/a HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");

	assert_memory_equal(fake_client_got(c, NULL), "HTTP/1.1 401 ", 13);
	assert_true(fake_client_is_closed(c));
	end(&h);
}

static void refusals_and_uses_are_counted(void **state)
{
	struct harness h = begin();

	harness_ask(&h, "GET /kv/a HTTP/1.1\r\n" H "\r\n");
	harness_ask(&h, "PUT /kv/a HTTP/1.1\r\n" H READER BODY);
	harness_ask(&h, "PUT /kv/a HTTP/1.1\r\n" H WRITER BODY);
	const char *got = harness_ask(&h, "GET /metrics HTTP/1.1\r\n" H READER "\r\n");
	assert_non_null(strstr(got, "\npaste_http_denied_total{code=\"401\"} 1\n"));
	assert_non_null(strstr(got, "\npaste_http_denied_total{code=\"403\"} 1\n"));
	assert_non_null(strstr(got, "\npaste_http_token_requests_total{name=\"deploy\"} 1\n"));
	assert_non_null(strstr(got, "\npaste_http_token_requests_total{name=\"\"} 2\n"));
	end(&h);
}

static void other_tokens_count_at_once(void **state)
{
	static const char others[] = "another-0123456789 rw\n";
	struct harness h = begin();
	struct tokens *t;

	assert_int_equal(tokens_parse(&t, "file", others, sizeof(others) - 1, NULL), 0);
	tokens_free(service_change_tokens(h.service, t));
	assert_int_equal(atoi(harness_ask(&h, "GET /kv/a HTTP/1.1\r\n" H WRITER "\r\n") + 9), 401);
	assert_int_equal(atoi(harness_ask(&h, "GET /kv/a HTTP/1.1\r\n" H OTHER "\r\n") + 9), 404);
	end(&h);
}

static void readiness_tells_of_a_failed_medium_and_of_the_end(void **state)
{
	struct harness h = begin();
	struct fake_conn *c = talk(&h, "GET /readyz HTTP/1.1\r\n" H "\r\n"), *busy = talk(&h, "G");

	assert_memory_equal(fake_client_got(c, NULL), "HTTP/1.1 200 ", 13);
	service_drain(h.service);
	fake_client_says(busy, "ET /readyz HTTP/1.1\r\n" H "\r\n");
	harness_run(&h);
	assert_memory_equal(fake_client_got(busy, NULL), "HTTP/1.1 503 ", 13);
	end(&h);

	h = begin();
	fake_store_break(h.store, -5);
	harness_ask(&h, "PUT /kv/a HTTP/1.1\r\n" H WRITER BODY);
	assert_memory_equal(harness_ask(&h, "GET /readyz HTTP/1.1\r\n" H "\r\n"), "HTTP/1.1 503 ", 13);
	assert_memory_equal(harness_ask(&h, "GET /healthz HTTP/1.1\r\n" H "\r\n"), "HTTP/1.1 200 ", 13);
	end(&h);
}

/* A turn ends 100 us after it began: what has been counted. */
static void turned(struct harness *h, struct latency *reads, struct latency *writes)
{
	service_turned(h->service, h->now.monotonic_us + 100);
	service_latency(h->service, SERVICE_READ, reads);
	service_latency(h->service, SERVICE_WRITE, writes);
}

/* From when a request was complete until its reply was handed over, in this turn or in a later one. */
static void times_are_of_whole_requests(void **state)
{
	struct harness h = begin();
	struct latency reads, writes;

	harness_ask(&h, "GET /kv/a HTTP/1.1\r\n" H READER "\r\n"
			"GET /healthz HTTP/1.1\r\n" H "\r\n"
			"GET /metrics HTTP/1.1\r\n" H READER "\r\n"
			"GET /kv/a HTTP/1.1\r\n" H "\r\n"
			"GET /kv/b HTTP/1.1\r\n" H READER "\r\n");
	turned(&h, &reads, &writes);
	assert_int_equal(reads.count, 2); /* of the store's */
	assert_int_equal(reads.sum_us, 200);
	assert_int_equal(writes.count, 0);
	assert_in_range(latency_percentile(&reads, 50), 100, 120);

	fake_store_hold_rounds(h.store, true);
	struct fake_conn *c = talk(&h, "PUT /kv/a HTTP/1.1\r\n" H WRITER BODY);
	turned(&h, &reads, &writes);
	assert_int_equal(writes.count, 0);
	h.now.monotonic_us += 5000;
	fake_store_make_durable(h.store, 1);
	harness_turn(&h);
	assert_memory_equal(fake_client_got(c, NULL), "HTTP/1.1 201 ", 13);
	turned(&h, &reads, &writes);
	assert_int_equal(writes.count, 1);
	assert_int_equal(writes.sum_us, 5000);
	assert_int_equal(reads.count, 2);
	end(&h);
}

static void bins_have_no_gaps(void **state)
{
	unsigned before = 0;

	for (unsigned bin = 0; bin < LATENCY_BINS; bin++) {
		assert_int_equal(latency_bin(latency_bin_end(bin) - 1), bin);
		if (bin + 1 < LATENCY_BINS)
			assert_int_equal(latency_bin(latency_bin_end(bin)), bin + 1);
	}
	for (uint64_t us = 0; us < 100000; us++) {
		assert_in_range(latency_bin(us), before, before + 1);
		before = latency_bin(us);
		assert_true(latency_bin_end(before) > us &&
			    (double)(latency_bin_end(before) - 1) <= 1.25 * (double)us);
	}
	assert_int_equal(latency_bin(UINT64_MAX), LATENCY_BINS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_request_needs_its_token),
	    cmocka_unit_test(a_connection_has_no_rights),
	    cmocka_unit_test(a_refusal_says_how_and_nothing_else),
	    cmocka_unit_test(no_body_is_asked_for),
	    cmocka_unit_test(refusals_and_uses_are_counted),
	    cmocka_unit_test(other_tokens_count_at_once),
	    cmocka_unit_test(readiness_tells_of_a_failed_medium_and_of_the_end),
	    cmocka_unit_test(times_are_of_whole_requests),
	    cmocka_unit_test(bins_have_no_gaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
