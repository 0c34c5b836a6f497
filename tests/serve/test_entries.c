/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges of a stream's entries: whatever their sizes, whoever is slow, trims, or damages them meanwhile; and
 * followers. */
#include "harness.h"

#include "serve/alarms.h"

#include <errno.h>
#include <stdio.h>

#define H "Host: h\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"
#define SECOND 1000000

static void post(struct harness *h, const char *stream, size_t length, char fill)
{
	char *request = malloc(length + 200);
	int n = sprintf(request, "POST /log/%s HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", stream, length);

	memset(request + n, fill, length);
	request[n + (int)length] = 0;
	assert_memory_equal(harness_ask(h, request), "HTTP/1.1 201 ", 13);
	free(request);
}

/* The body of a chunked reply that is whole, on the heap; *rest: what stands behind it. */
static char *unchunk(const char *reply, size_t *length, const char **rest)
{
	const char *at = strstr(reply, "\r\n\r\n");
	char *body = malloc(strlen(reply) + 1);

	*length = 0;
	assert_non_null(at);
	for (at += 4;;) {
		char *end;
		size_t size = strtoul(at, &end, 16);

		assert_true(end > at);
		assert_memory_equal(end, "\r\n", 2);
		at = end + 2;
		memcpy(body + *length, at, size);
		*length += size;
		at += size;
		assert_memory_equal(at, "\r\n", 2);
		at += 2;
		if (!size)
			break;
	}
	body[*length] = 0;
	*rest = at;
	return body;
}

/* Sequence numbers and lengths in a body: "1:5 2:0 ". The bytes of an entry are one letter each. */
static const char *entries(const char *body, size_t length)
{
	static char text[4096];
	const char *end = body + length;
	int n = 0;

	text[0] = 0;
	while (body < end) {
		unsigned long long sequence;
		size_t size;
		int used;

		assert_int_equal(sscanf(body, "%llu %zu%n", &sequence, &size, &used), 2);
		assert_int_equal(body[used], '\n');
		body += used + 1;
		for (size_t i = 1; i < size; i++)
			assert_int_equal(body[i], body[0]);
		body += size;
		n += sprintf(text + n, "%llu:%zu ", sequence, size);
	}
	assert_ptr_equal(body, end);
	return text;
}

static void expect_entries(struct fake_conn *c, const char *expected)
{
	size_t length;
	const char *rest;
	char *body = unchunk(fake_client_got(c, NULL), &length, &rest);

	assert_string_equal(entries(body, length), expected);
	assert_string_equal(rest, "");
	free(body);
}

static void entries_of_all_sizes(void **state)
{
	for (uint32_t inline_max = 0; inline_max <= 5000; inline_max += 2500) {
		struct harness h = harness_begin_sized(2048, 2048, 100000);

		fake_store_set_inline(h.store, inline_max);
		for (int i = 0; i < 6; i++)
			post(&h, "s", (size_t[]){0, 1, 100, 3000, 80000, 2048}[i], (char)('a' + i));
		struct fake_conn *c = harness_client(&h, GET("/log/s"));
		harness_run(&h);
		expect_entries(c, "1:0 2:1 3:100 4:3000 5:80000 6:2048 ");
		fake_client_forgets(c);
		fake_client_says(c, GET("/log/s?from=4&limit=2"));
		harness_run(&h);
		expect_entries(c, "4:3000 5:80000 ");
		fake_client_forgets(c);
		fake_client_says(c, GET("/log/s?from=18446744073709551615&limit=18446744073709551615"));
		harness_run(&h);
		expect_entries(c, "");
		harness_end(&h);
	}
}

static void a_range_is_sent_as_the_client_takes_it(void **state)
{
	struct harness h = harness_begin_sized(4096, 2048, 100000);
	char expected[4096] = "";

	for (int i = 1; i <= 50; i++) {
		post(&h, "s", 20000, (char)('a' + i % 26));
		sprintf(expected + strlen(expected), "%d:20000 ", i);
	}
	uint32_t held = fake_region_out(h.region);
	struct fake_conn *c = harness_client(&h, GET("/log/s"));
	fake_client_takes_bytes(c, 1);
	for (int i = 0; i < 40; i++) {
		harness_run(&h);
		/* One batch has left; nothing else is held. */
		assert_int_equal(fake_region_out(h.region), held);
		fake_client_takes_bytes(c, 1);
	}
	fake_client_takes(c, true);
	harness_run(&h);
	expect_entries(c, expected);
	harness_end(&h);
}

/* What was trimmed between two batches is left out, and only when that is durable. */
static void entries_trimmed_meanwhile_are_left_out(void **state)
{
	struct harness h = harness_begin_sized(4096, 2048, 100000);

	for (int i = 1; i <= 12; i++)
		post(&h, "s", 20000, 'a');
	struct fake_conn *c = harness_client(&h, GET("/log/s") GET("/kv/x"));
	fake_client_takes_bytes(c, 1);
	harness_run(&h); /* four of them have left */
	fake_store_hold_rounds(h.store, true);
	harness_client(&h, "DELETE /log/s?before=11 HTTP/1.1\r\n" H "\r\n");
	harness_run(&h);
	fake_client_takes(c, true);
	harness_run(&h);
	size_t length;
	fake_client_got(c, &length);
	assert_in_range(length, 80000, 81000);
	fake_store_make_durable(h.store, UINT64_MAX);
	harness_run(&h);
	harness_turn(&h);
	const char *rest;
	char *body = unchunk(fake_client_got(c, NULL), &length, &rest);
	assert_string_equal(entries(body, length), "1:20000 2:20000 3:20000 4:20000 11:20000 12:20000 ");
	assert_memory_equal(rest, "HTTP/1.1 404 ", 13);
	free(body);
	harness_end(&h);
}

static void a_damaged_entry_is_not_passed_over(void **state)
{
	struct harness h = harness_begin_sized(4096, 2048, 100000);

	for (int i = 1; i <= 12; i++)
		post(&h, "s", 20000, 'a');
	struct fake_conn *whole = harness_client(&h, GET("/log/s")), *next;
	fake_client_takes_bytes(whole, 1);
	harness_run(&h);
	fake_store_refuse_entries(h.store, -EBADMSG);
	next = harness_client(&h, GET("/log/s"));
	harness_run(&h);
	assert_memory_equal(fake_client_got(next, NULL), "HTTP/1.1 500 ", 13);
	assert_true(fake_client_is_closed(next));
	fake_client_takes(whole, true);
	harness_run(&h);
	/* The reply has no end. */
	const char *got = fake_client_got(whole, NULL);
	assert_string_not_equal(got + strlen(got) - 5, "0\r\n\r\n");
	assert_true(fake_client_is_closed(whole));
	harness_end(&h);
}

static void a_follower_gets_what_comes(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *a = harness_client(&h, GET("/log/s?follow=10") GET("/kv/x")),
			 *b = harness_client(&h, GET("/log/s?from=3&follow=10&limit=1")),
			 *other = harness_client(&h, GET("/log/t?follow=10"));

	harness_run(&h);
	expect_got(a, "");
	post(&h, "s", 5, 'x');
	harness_turn(&h);
	size_t length;
	const char *rest;
	char *body = unchunk(fake_client_got(a, NULL), &length, &rest);
	assert_string_equal(entries(body, length), "1:5 ");
	assert_memory_equal(rest, "HTTP/1.1 404 ", 13);
	free(body);
	expect_got(b, "");
	post(&h, "s", 6, 'x');
	expect_got(b, "");
	post(&h, "s", 7, 'x');
	post(&h, "s", 8, 'x');
	harness_turn(&h);
	expect_entries(b, "3:7 ");
	expect_got(other, "");
	/* What is there already is not waited for. */
	struct fake_conn *late = harness_client(&h, GET("/log/s?from=3&follow=10"));
	harness_run(&h);
	expect_entries(late, "3:7 4:8 ");
	harness_end(&h);
}

static void a_follower_waits_no_longer_than_it_asked(void **state)
{
	struct harness h = harness_begin();

	post(&h, "s", 1, 'x');
	struct fake_conn *c = harness_client(&h, GET("/log/s?from=2&follow=3")),
			 *missing = harness_client(&h, GET("/log/none?follow=3")),
			 *zero = harness_client(&h, GET("/log/s?from=2&follow=0"));
	harness_run(&h);
	expect_entries(zero, "");
	for (int i = 0; i < 2; i++) {
		h.now.monotonic_us += SECOND;
		harness_turn(&h);
	}
	expect_got(c, "");
	/* The loop need not look sooner, and not again. */
	int64_t next = service_next(h.service), end = h.now.monotonic_us + SECOND;
	assert_in_range(next, end, end + ALARM_SLOT_US);
	h.now.monotonic_us = next;
	harness_turn(&h);
	expect_entries(c, "");
	expect_entries(missing, "");
	assert_true(service_next(h.service) == INT64_MAX);
	/* The next requests of the connection are served. */
	fake_client_forgets(c);
	fake_client_says(c, GET("/log/s"));
	harness_run(&h);
	expect_entries(c, "1:1 ");
	harness_end(&h);
}

static void followers_leave_without_a_trace(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *resets = harness_client(&h, GET("/log/s?follow=100")),
			 *ends = harness_client(&h, GET("/log/s?follow=100"));

	harness_run(&h);
	fake_client_resets(resets);
	fake_client_ends(ends);
	harness_run(&h);
	post(&h, "s", 3, 'x');
	harness_turn(&h);
	expect_entries(ends, "1:3 "); /* it may still read */
	assert_true(fake_client_is_closed(ends));
	struct fake_conn *waits = harness_client(&h, GET("/log/s?from=2&follow=100"));
	harness_run(&h);
	expect_got(waits, "");
	service_drain(h.service);
	harness_turn(&h);
	expect_entries(waits, "");
	assert_true(fake_client_is_closed(waits));
	harness_end(&h);
}

static void followers_are_told_when_the_medium_fails(void **state)
{
	struct harness h = harness_begin();

	fake_store_hold_rounds(h.store, true);
	struct fake_conn *waits = harness_client(&h, GET("/log/s?follow=100"));
	harness_run(&h);
	harness_client(&h, "POST /log/s HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx");
	harness_run(&h);
	fake_store_break(h.store, -EIO);
	harness_turn(&h);
	assert_memory_equal(fake_client_got(waits, NULL), "HTTP/1.1 503 ", 13);
	assert_true(fake_client_is_closed(waits));
	harness_end(&h);
}

static void many_keys_are_deleted_in_many_turns(void **state)
{
	struct harness h = harness_begin_sized(4096, 2048, 100000);
	char request[200];

	struct fake_conn *c = fake_connect(h.stack);
	for (int i = 0; i < 700; i++) {
		sprintf(request, "PUT /kv/k%d HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", i);
		fake_client_says(c, request);
	}
	harness_run(&h);
	fake_client_forgets(c);
	fake_client_says(c, "DELETE /kv?prefix=k HTTP/1.1\r\n" H "\r\n" GET("/kv/k699"));
	fake_client_ends(c);
	assert_int_equal(harness_turn(&h), SERVICE_AT_ONCE);
	expect_got(c, "");
	/* Others are served between its steps, and its own next request is not. */
	assert_memory_equal(harness_ask(&h, GET("/kv/k99")), "HTTP/1.1 200 ", 13);
	int turns = 1;
	while (harness_turn(&h) == SERVICE_AT_ONCE)
		turns++;
	assert_in_range(turns, 1, 5);
	assert_non_null(strstr(fake_client_got(c, NULL), "{\"deleted\":700}\n"));
	assert_non_null(strstr(fake_client_got(c, NULL), "HTTP/1.1 404 "));
	assert_true(fake_client_is_closed(c));
	harness_end(&h);
}

static void a_job_ends_with_its_connection_or_the_store(void **state)
{
	struct harness h = harness_begin_sized(4096, 2048, 100000);
	char request[200];
	struct fake_conn *c = fake_connect(h.stack);

	for (int i = 0; i < 700; i++) {
		sprintf(request, "PUT /kv/k%03d HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", i);
		fake_client_says(c, request);
	}
	harness_run(&h);
	fake_client_says(c, "DELETE /kv?prefix=k HTTP/1.1\r\n" H "\r\n");
	assert_int_equal(harness_turn(&h), SERVICE_AT_ONCE);
	fake_client_resets(c);
	harness_run(&h);
	assert_int_equal(harness_turn(&h), 0);
	assert_memory_equal(harness_ask(&h, GET("/kv/k699")), "HTTP/1.1 200 ", 13);
	c = harness_client(&h, "DELETE /kv?prefix=k HTTP/1.1\r\n" H "\r\n");
	fake_store_refuse_changes(h.store, -ENOMEM);
	harness_run(&h);
	assert_memory_equal(fake_client_got(c, NULL), "HTTP/1.1 503 ", 13);
	harness_end(&h);
}

static void a_list_looks_on_and_pages_fit_together(void **state)
{
	struct harness h = harness_begin_sized(4096, 2048, 100000);
	struct fake_conn *c = fake_connect(h.stack);
	char request[300], after[200] = "";
	int found = 0, pages = 0;

	for (int i = 0; i < 300; i++) {
		sprintf(request, "PUT /kv/k%03d HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", i);
		fake_client_says(c, request);
		sprintf(request, "DELETE /kv/k%03d HTTP/1.1\r\n" H "\r\n", i);
		if (i % 3 || (i > 100 && i < 200))
			fake_client_says(c, request);
	}
	harness_run(&h);
	fake_store_look_on(h.store, true);
	for (;; pages++) {
		fake_client_forgets(c);
		sprintf(request, "GET /kv?prefix=k&limit=7%s%s HTTP/1.1\r\n" H "\r\n",
			after[0] ? "&after=" : "", after);
		fake_client_says(c, request);
		harness_run(&h);
		const char *at = fake_client_got(c, NULL);
		assert_memory_equal(at, "HTTP/1.1 200 ", 13);
		for (const char *key = at; (key = strstr(key, "\"key\":\"k")); key++) {
			int i = atoi(key + 8);

			assert_false(i % 3 || (i > 100 && i < 200));
			found++;
		}
		if (strstr(at, "\"next\":null"))
			break;
		assert_int_equal(sscanf(strstr(at, "\"next\":\""), "\"next\":\"%100[^\"]\"", after), 1);
	}
	assert_int_equal(found, 67);
	assert_in_range(pages, 9, 20);
	harness_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_of_all_sizes),
	    cmocka_unit_test(a_range_is_sent_as_the_client_takes_it),
	    cmocka_unit_test(entries_trimmed_meanwhile_are_left_out),
	    cmocka_unit_test(a_damaged_entry_is_not_passed_over),
	    cmocka_unit_test(a_follower_gets_what_comes),
	    cmocka_unit_test(a_follower_waits_no_longer_than_it_asked),
	    cmocka_unit_test(followers_leave_without_a_trace),
	    cmocka_unit_test(followers_are_told_when_the_medium_fails),
	    cmocka_unit_test(many_keys_are_deleted_in_many_turns),
	    cmocka_unit_test(a_job_ends_with_its_connection_or_the_store),
	    cmocka_unit_test(a_list_looks_on_and_pages_fit_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
