/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise 1: no byte of a reply leaves before all that it reveals is durable, whatever the reply; replies of
 * a connection leave in the order of its requests; and when the medium fails nothing is acknowledged any
 * more.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>

#define H "Host: h\r\n"
#define PUT(key, value) "PUT /kv/" key " HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n" value
#define POST(stream) "POST /log/" stream " HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"
#define HEAD(path) "HEAD " path " HTTP/1.1\r\n" H "\r\n"
#define GET_IF(path, field) "GET " path " HTTP/1.1\r\n" H field "\r\n\r\n"
#define PUT_IF(key, value, field) "PUT /kv/" key " HTTP/1.1\r\n" H field "\r\nContent-Length: 1\r\n\r\n" value
#define DELETE_IF(key, field) "DELETE /kv/" key " HTTP/1.1\r\n" H field "\r\n\r\n"
#define BATCH(length, text) "POST /batch HTTP/1.1\r\n" H "Content-Length: " length "\r\n\r\n" text
#define DELETE(key) "DELETE /kv/" key " HTTP/1.1\r\n" H "\r\n"

static struct harness begin_held(void)
{
	struct harness h = harness_begin();

	fake_store_hold_rounds(h.store, true);
	return h;
}

/* The status codes of what a client got, as one number a reply: "201 404 ". */
static const char *statuses(struct fake_conn *c)
{
	static char text[256];
	size_t n = 0;

	text[0] = 0;
	for (const char *at = fake_client_got(c, NULL); (at = strstr(at, "HTTP/1.1 ")); at += 9)
		n += (size_t)sprintf(text + n, "%.3s ", at + 9);
	return text;
}

/* Each of these reveals a change that is not durable. */
static const struct {
	const char *before, *reveals, *status;
} revealing[] = {
    {"", PUT("a", "1"), "201 "},
    {"", POST("s"), "201 "},
    {PUT("a", "1"), PUT("a", "2"), "204 "},
    {PUT("a", "1"), DELETE("a"), "204 "},
    {PUT("a", "1"), GET("/kv/a"), "200 "},
    {PUT("a", "1"), HEAD("/kv/a"), "200 "},
    {PUT("a", "1") DELETE("a"), GET("/kv/a"), "404 "},
    {PUT("a", "1") DELETE("a"), HEAD("/kv/a"), "404 "},
    {PUT("a", "1") DELETE("a"), DELETE("a"), "404 "},
    {POST("s"), GET("/log/s/1"), "200 "},
    {PUT("a", "1"), GET("/metrics"), "200 "},
    {PUT("a", "1"), GET_IF("/kv/a", "If-None-Match: \"1\""), "304 "},
    {PUT("a", "1"), GET_IF("/kv/a", "If-Match: \"2\""), "412 "},
    {PUT("a", "1"), GET_IF("/kv/a", "Range: bytes=0-0"), "206 "},
    {PUT("a", "1"), GET_IF("/kv/a", "Range: bytes=1-1"), "416 "},
    {PUT("a", "1"), PUT_IF("a", "2", "If-None-Match: *"), "412 "},
    {PUT("a", "1"), PUT_IF("a", "2", "If-Match: \"2\""), "412 "},
    {PUT("a", "1") DELETE("a"), PUT_IF("a", "2", "If-Match: \"1\""), "412 "},
    {PUT("a", "1"), DELETE_IF("a", "If-Match: \"2\""), "412 "},
    {PUT("a", "1"), GET("/kv?prefix=a"), "200 "},
    {PUT("a", "1"), HEAD("/kv"), "200 "},
    {PUT("a", "1") DELETE("a"), GET("/kv?prefix=a"), "200 "},
    {POST("s"), GET("/log"), "200 "},
    {"", BATCH("9", "put a 0\n\n"), "200 "},
    {PUT("a", "1"), BATCH("25", "put a 0 if-none-match=*\n\n"), "412 "},
    {"", PUT_IF("a", "1", "PST-TTL: 5"), "201 "},
    {"", PUT_IF("a", "1", "Idempotency-Key: k"), "201 "},
    {PUT("a", "1"), PUT_IF("a", "1", "Idempotency-Key: k\r\nIf-None-Match: *"), "412 "},
    {POST("s"), GET("/log/s"), "200 "},
    {POST("s"), HEAD("/log/s"), "200 "},
    {POST("s"), GET("/log/s?from=2"), "200 "},
    {POST("s"), GET("/log/s?follow=1"), "200 "},
    {POST("s"), POST("s?expect=1"), "412 "},
    {POST("s"), "DELETE /log/s?before=2 HTTP/1.1\r\n" H "\r\n", "204 "},
    {POST("s"), "DELETE /log/s?before=1 HTTP/1.1\r\n" H "\r\n", "204 "},
    {POST("s") "DELETE /log/s?before=2 HTTP/1.1\r\n" H "\r\n", GET("/log/s/1"), "404 "},
    {PUT("a", "1"), "DELETE /kv?prefix=a HTTP/1.1\r\n" H "\r\n", "200 "},
    {PUT("a", "1") DELETE("a"), "DELETE /kv?prefix=a HTTP/1.1\r\n" H "\r\n", "200 "},
    {POST("s"), GET_IF("/log/s/1", "If-None-Match: \"1\""), "304 "},
};

static void a_reply_waits_for_what_it_reveals(void **state)
{
	for (size_t i = 0; i < sizeof(revealing) / sizeof(revealing[0]); i++) {
		for (uint32_t inline_max = 0; inline_max <= 64; inline_max += 64) {
			struct harness h = begin_held();

			fake_store_set_inline(h.store, inline_max);
			struct fake_conn *writer = harness_client(&h, revealing[i].before);
			struct fake_conn *c = harness_client(&h, revealing[i].reveals);
			harness_run(&h);
			harness_turn(&h);
			expect_got(writer, "");
			expect_got(c, "");
			fake_store_make_durable(h.store, UINT64_MAX);
			harness_turn(&h);
			assert_string_equal(statuses(c), revealing[i].status);
			harness_end(&h);
		}
	}
}

/* Somebody waits for an entry; it is shown when it is durable, not when it is there. */
static void followed_entries_wait_for_their_round(void **state)
{
	struct harness h = begin_held();
	struct fake_conn *follower = harness_client(&h, GET("/log/s?follow=9")), *writer;

	harness_run(&h);
	writer = harness_client(&h, POST("s"));
	harness_run(&h);
	harness_turn(&h);
	expect_got(follower, "");
	fake_store_make_durable(h.store, UINT64_MAX);
	harness_turn(&h);
	assert_string_equal(statuses(follower), "200 ");
	assert_non_null(strstr(fake_client_got(follower, NULL), "\r\n1 1\nx\r\n0\r\n\r\n"));
	assert_string_equal(statuses(writer), "201 ");
	harness_end(&h);
}

static void full_is_told_only_with_what_filled(void **state)
{
	struct harness h = begin_held();
	struct fake_conn *writer = harness_client(&h, PUT("a", "1"));

	harness_run(&h);
	fake_store_refuse_changes(h.store, -ENOSPC);
	struct fake_conn *c = harness_client(&h, PUT("b", "1"));
	harness_run(&h);
	expect_got(c, "");
	fake_store_make_durable(h.store, 1);
	harness_turn(&h);
	assert_string_equal(statuses(c), "507 ");
	assert_string_equal(statuses(writer), "201 ");
	harness_end(&h);
}

static void what_is_durable_is_told_at_once(void **state)
{
	struct harness h = begin_held();
	struct fake_conn *writer = harness_client(&h, PUT("a", "1"));

	harness_run(&h);
	fake_store_make_durable(h.store, 1);
	harness_turn(&h);
	fake_client_says(writer, PUT("b", "1")); /* pending */
	harness_run(&h);
	struct fake_conn *reader = harness_client(&h, GET("/kv/a") GET("/kv/c") GET("/log/s/1"));
	harness_run(&h);
	assert_string_equal(statuses(reader), "200 404 404 ");
	assert_string_equal(statuses(writer), "201 ");
	fake_store_make_durable(h.store, 2);
	harness_turn(&h);
	harness_end(&h);
}

static void replies_keep_the_order_of_requests(void **state)
{
	struct harness h = begin_held();
	struct fake_conn *c = harness_client(&h, GET("/kv/x") PUT("a", "1")
						     GET("/kv/x") "GET / HTTP/1.1\r\n" H "\r\n" GET("/kv/a"));

	harness_run(&h);
	assert_string_equal(statuses(c), "404 ");
	fake_store_make_durable(h.store, 1);
	harness_turn(&h);
	assert_string_equal(statuses(c), "404 201 404 404 200 ");
	harness_end(&h);
}

static void rounds_release_their_own_replies(void **state)
{
	struct harness h = begin_held();
	struct fake_conn *one = harness_client(&h, PUT("a", "1"));

	harness_run(&h);
	struct fake_conn *two = harness_client(&h, PUT("b", "1"));
	fake_client_says(one, PUT("c", "1"));
	harness_run(&h);
	assert_int_equal(fake_store_committed(h.store), 2);
	expect_got(one, "");
	fake_store_make_durable(h.store, 1);
	harness_turn(&h);
	assert_string_equal(statuses(one), "201 ");
	expect_got(two, "");
	fake_store_make_durable(h.store, 2);
	harness_turn(&h);
	assert_string_equal(statuses(one), "201 201 ");
	assert_string_equal(statuses(two), "201 ");
	harness_end(&h);
}

static void a_batch_is_one_round(void **state)
{
	struct harness h = begin_held();

	for (int i = 0; i < 50; i++)
		harness_client(&h, PUT("a", "1") PUT("b", "2"));
	harness_run(&h);
	assert_int_equal(fake_store_committed(h.store), 1);
	fake_store_make_durable(h.store, 1);
	harness_end(&h);
}

static void a_kept_value_survives_until_it_is_sent(void **state)
{
	static const uint32_t lengths[] = {0, 1, 100, 200, 3000, 50000};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (int in_slices = 0; in_slices < 2; in_slices++) {
			struct harness h = begin_held();
			char *request = malloc(lengths[i] + 200);
			int n = sprintf(request, "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: %u\r\n\r\n",
					lengths[i]);

			memset(request + n, 'v', lengths[i]);
			request[n + (int)lengths[i]] = 0;
			fake_store_set_inline(h.store, in_slices ? 0 : 100000);
			harness_client(&h, request);
			harness_run(&h);
			struct fake_conn *reader = harness_client(&h, GET("/kv/a") HEAD("/kv/a"));
			/* Replaced and deleted while the reply waits: the reader gets what it read. */
			struct fake_conn *other = harness_client(&h, DELETE("a") GET("/kv/a"));
			harness_run(&h);
			expect_got(reader, "");
			fake_store_make_durable(h.store, 2);
			harness_turn(&h);
			fake_store_make_durable(h.store, 2);
			harness_turn(&h);
			assert_string_equal(statuses(reader), "200 200 ");
			const char *body = strstr(fake_client_got(reader, NULL), "\r\n\r\n") + 4;
			assert_memory_equal(body, request + n, lengths[i]);
			assert_string_equal(statuses(other), "204 404 ");
			free(request);
			harness_end(&h);
		}
	}
}

static void values_that_wait_are_put_when_the_medium_fails(void **state)
{
	char request[50200];

	for (int length = 1; length <= 50000; length *= 50) {
		struct harness h = begin_held();
		int n = sprintf(request, "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: %d\r\n\r\n", length);

		memset(request + n, 'v', (size_t)length);
		request[n + length] = 0;
		fake_store_set_inline(h.store, 0);
		harness_client(&h, request);
		harness_run(&h);
		struct fake_conn *reader = harness_client(&h, GET("/kv/a") GET("/metrics") GET("/kv/a"));
		harness_run(&h);
		fake_store_break(h.store, -EIO);
		harness_turn(&h);
		assert_string_equal(statuses(reader), "503 ");
		harness_end(&h);
	}
}

static void nothing_is_acknowledged_after_a_failure(void **state)
{
	struct harness h = begin_held();
	struct fake_conn *durable = harness_client(&h, PUT("old", "1"));

	harness_run(&h);
	fake_store_make_durable(h.store, 1);
	harness_turn(&h);
	assert_string_equal(statuses(durable), "201 ");

	struct fake_conn *pending =
	    harness_client(&h, GET("/kv/old") PUT("a", "1") GET("/kv/a") GET("/kv/old"));
	struct fake_conn *reader = harness_client(&h, GET("/kv/a"));
	struct fake_conn *uploads =
	    harness_client(&h, PUT("u", "1") "PUT /kv/b HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nx");
	harness_run(&h);
	fake_store_break(h.store, -EIO);
	assert_int_equal(harness_turn(&h), -EIO);
	assert_int_equal(service_error(h.service), -EIO);
	assert_string_equal(statuses(pending), "200 503 ");
	assert_true(fake_client_is_closed(pending));
	assert_string_equal(statuses(reader), "503 ");
	assert_true(fake_client_is_closed(reader));
	assert_string_equal(statuses(uploads), "503 ");
	assert_true(fake_client_is_closed(uploads));

	/* What was durable is still served, what was not is not. */
	struct fake_conn *after = harness_client(&h, GET("/kv/old") GET("/metrics") PUT("c", "1"));
	struct fake_conn *asks = harness_client(&h, GET("/kv/a"));
	harness_run(&h);
	assert_string_equal(statuses(after), "200 200 503 ");
	assert_non_null(strstr(fake_client_got(after, NULL), "paste_medium_failed 1\n"));
	assert_string_equal(statuses(asks), "503 ");
	harness_end(&h);
}

static void clients_that_leave_do_not_get_the_next_ones_reply(void **state)
{
	struct harness h = begin_held();
	struct fake_conn *gone = harness_client(&h, PUT("a", "1") GET("/kv/a"));

	harness_run(&h);
	fake_client_resets(gone);
	harness_run(&h);
	struct fake_conn *next = harness_client(&h, GET("/kv/x"));
	harness_run(&h);
	fake_store_make_durable(h.store, 1);
	harness_turn(&h);
	assert_string_equal(statuses(next), "404 ");
	harness_end(&h);
}

static void a_client_that_ends_waits_for_its_round(void **state)
{
	struct harness h = begin_held();
	struct fake_conn *c = harness_client(&h, PUT("a", "1"));

	fake_client_ends(c);
	harness_run(&h);
	assert_false(fake_client_is_closed(c));
	service_drain(h.service);
	assert_false(fake_client_is_closed(c));
	fake_store_make_durable(h.store, 1);
	harness_turn(&h);
	assert_string_equal(statuses(c), "201 ");
	assert_true(fake_client_is_closed(c));
	harness_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_reply_waits_for_what_it_reveals),
	    cmocka_unit_test(followed_entries_wait_for_their_round),
	    cmocka_unit_test(full_is_told_only_with_what_filled),
	    cmocka_unit_test(what_is_durable_is_told_at_once),
	    cmocka_unit_test(replies_keep_the_order_of_requests),
	    cmocka_unit_test(rounds_release_their_own_replies),
	    cmocka_unit_test(a_batch_is_one_round),
	    cmocka_unit_test(a_kept_value_survives_until_it_is_sent),
	    cmocka_unit_test(values_that_wait_are_put_when_the_medium_fails),
	    cmocka_unit_test(nothing_is_acknowledged_after_a_failure),
	    cmocka_unit_test(clients_that_leave_do_not_get_the_next_ones_reply),
	    cmocka_unit_test(a_client_that_ends_waits_for_its_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
