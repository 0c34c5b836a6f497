/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients that ask and do not take, buffers that run short: what is held stays bounded and everything goes on
 * later. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>

#define H "Host: h\r\n"
#define PUT(key, value) "PUT /kv/" key " HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n" value
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"

static int count(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static struct fake_conn *upload(struct harness *h, size_t length, const char *first)
{
	char head[200];

	sprintf(head, "PUT /kv/u HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n%s", length, first);
	return harness_client(h, head);
}

static void send_filler(struct fake_conn *c, size_t n)
{
	char *bytes = malloc(n);

	memset(bytes, 'x', n);
	fake_client_sends(c, bytes, n);
	free(bytes);
}

static void requests_stop_when_their_replies_pile_up(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *c = fake_connect(h.stack);
	struct service_stats stats;

	fake_store_hold_rounds(h.store, true);
	for (int i = 0; i < 2000; i++)
		fake_client_says(c, PUT("a", "1"));
	harness_run(&h);
	assert_true(fake_is_paused(c));
	service_stats(h.service, &stats);
	assert_in_range(stats.requests, 100, 200);
	assert_int_equal(stats.stalled, 1);
	for (int i = 0; i < 200; i++) {
		fake_store_make_durable(h.store, UINT64_MAX);
		harness_run(&h);
	}
	assert_int_equal(count(fake_client_got(c, NULL), "HTTP/1.1 20"), 2000);
	assert_false(fake_is_paused(c));
	harness_end(&h);
}

static void many_requests_at_once_are_all_answered(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *c = fake_connect(h.stack);

	for (int i = 0; i < 2000; i++)
		fake_client_says(c, PUT("a", "1"));
	fake_client_ends(c);
	harness_run(&h);
	assert_int_equal(count(fake_client_got(c, NULL), "HTTP/1.1 20"), 2000);
	assert_true(fake_client_is_closed(c));
	harness_end(&h);
}

static void a_client_that_takes_nothing_is_not_read(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *c = harness_client(&h, PUT("a", "1"));
	struct service_stats stats;

	harness_run(&h);
	fake_client_takes(c, false);
	for (int i = 0; i < 1000; i++)
		fake_client_says(c, GET("/kv/a"));
	harness_run(&h);
	assert_true(fake_is_paused(c));
	service_stats(h.service, &stats);
	assert_in_range(stats.requests, 2, 3);
	/* Others are served meanwhile. */
	assert_int_equal(count(harness_ask(&h, GET("/kv/a")), "200 OK"), 1);
	fake_client_takes(c, true);
	harness_run(&h);
	assert_int_equal(count(fake_client_got(c, NULL), "200 OK"), 1000);
	harness_end(&h);
}

static void a_client_that_takes_nothing_and_leaves_is_forgotten(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *c = harness_client(&h, PUT("a", "1"));

	fake_store_set_inline(h.store, 0);
	harness_run(&h);
	fake_client_takes(c, false);
	for (int i = 0; i < 1000; i++)
		fake_client_says(c, GET("/kv/a"));
	harness_run(&h);
	fake_client_resets(c);
	harness_run(&h);
	assert_true(fake_client_is_reset(c));
	harness_end(&h);
}

/* 64 buffers of 2048: one body of 100,000 bytes fits, a second one must wait for it. */
static void a_body_waits_for_room(void **state)
{
	struct harness h = harness_begin_sized(64, 2048, 1 << 20);
	struct fake_conn *first = upload(&h, 100000, "x"), *second = upload(&h, 100000, "y");
	struct service_stats stats;

	harness_run(&h);
	service_stats(h.service, &stats);
	assert_int_equal(stats.waited_room, 1);
	send_filler(first, 99999);
	send_filler(second, 99999);
	harness_run(&h);
	assert_int_equal(count(fake_client_got(first, NULL), "201 Created"), 1);
	expect_got(second, "");

	fake_client_says(first, "DELETE /kv/u HTTP/1.1\r\n" H "\r\n");
	harness_run(&h);
	assert_int_equal(count(fake_client_got(first, NULL), "204 No Content"), 1);
	harness_run(&h);
	assert_int_equal(count(fake_client_got(second, NULL), "201 Created"), 1);
	harness_end(&h);
}

static void a_body_without_room_is_refused_in_time(void **state)
{
	struct harness h = harness_begin_sized(64, 2048, 1 << 20);
	struct fake_conn *first = upload(&h, 100000, "x"), *second = upload(&h, 60000, "y");
	struct fake_conn *asks = harness_client(&h, "PUT /kv/u HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
						    "Content-Length: 60000\r\n\r\n");

	harness_run(&h);
	assert_int_equal(harness_turn(&h), 1); /* wants to be called again soon */
	h.now.monotonic_us += 1000000;
	harness_turn(&h);
	expect_got(second, "");
	h.now.monotonic_us += 1000001;
	harness_turn(&h);
	assert_int_equal(count(fake_client_got(second, NULL), "503 Service Unavailable"), 1);
	assert_int_equal(count(fake_client_got(asks, NULL), "503 Service Unavailable"), 1);
	assert_true(fake_client_is_closed(asks)); /* it may send the body or not */
	assert_false(fake_client_is_closed(second));
	/* The body of the refused one is passed over. */
	send_filler(second, 59999);
	fake_client_says(second, GET("/kv/x"));
	harness_run(&h);
	assert_int_equal(count(fake_client_got(second, NULL), "404 Not Found"), 1);

	send_filler(first, 99999);
	harness_run(&h);
	assert_int_equal(count(fake_client_got(first, NULL), "201 Created"), 1);
	/* Now the room is gone for good. */
	struct fake_conn *third = upload(&h, 60000, "z");
	harness_run(&h);
	h.now.monotonic_us += 2000001;
	harness_turn(&h);
	assert_int_equal(count(fake_client_got(third, NULL), "507 Insufficient Storage"), 1);
	harness_end(&h);
}

static void the_youngest_body_gives_way_when_buffers_are_out(void **state)
{
	struct harness h = harness_begin_sized(512, 2048, 1 << 20);
	struct fake_conn *old = upload(&h, 100000, "x"), *young = upload(&h, 100000, "y");

	harness_run(&h);
	send_filler(old, 40000);
	send_filler(young, 40000);
	harness_run(&h);
	fake_region_set_reserve(h.region, 512); /* none is left */
	fake_stack_set_waiting(h.stack, 2);
	send_filler(old, 59999);
	h.now.monotonic_us += 900000;
	harness_turn(&h);
	expect_got(young, "");
	h.now.monotonic_us += 200000;
	harness_turn(&h);
	assert_int_equal(count(fake_client_got(young, NULL), "503 Service Unavailable"), 1);
	expect_got(old, "");
	fake_region_set_reserve(h.region, 0);
	fake_stack_set_waiting(h.stack, 0);
	harness_run(&h);
	assert_int_equal(count(fake_client_got(old, NULL), "201 Created"), 1);
	harness_end(&h);
}

static void a_slow_body_is_waited_for(void **state)
{
	struct harness h = harness_begin();
	struct fake_conn *c = upload(&h, 5000, "x");

	harness_run(&h);
	for (int i = 0; i < 10; i++) {
		h.now.monotonic_us += 2900000;
		harness_turn(&h);
	}
	send_filler(c, 4999);
	harness_run(&h);
	assert_int_equal(count(fake_client_got(c, NULL), "201 Created"), 1);
	harness_end(&h);
}

static void the_body_is_asked_for_in_turn(void **state)
{
	struct harness h = harness_begin();

	fake_store_hold_rounds(h.store, true);
	struct fake_conn *c =
	    harness_client(&h, PUT("a", "1") "PUT /kv/b HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
					     "Content-Length: 3\r\n\r\n");
	harness_run(&h);
	expect_got(c, "");
	fake_store_make_durable(h.store, 1);
	harness_turn(&h);
	const char *got = fake_client_got(c, NULL);
	assert_true(strstr(got, "201 Created") < strstr(got, "100 Continue"));
	fake_client_says(c, "xyz");
	harness_run(&h);
	assert_int_equal(count(fake_client_got(c, NULL), "201 Created"), 1);
	fake_store_make_durable(h.store, 2);
	harness_turn(&h);
	assert_int_equal(count(fake_client_got(c, NULL), "201 Created"), 2);
	harness_end(&h);
}

static void many_connections_share_a_turn(void **state)
{
	struct harness h = harness_begin_sized(4096, 2048, 1 << 20);
	struct fake_conn *clients[1000];
	struct service_stats stats;

	for (int i = 0; i < 1000; i++)
		clients[i] = harness_client(&h, PUT("a", "1") GET("/kv/a"));
	harness_run(&h);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(count(fake_client_got(clients[i], NULL), "HTTP/1.1 20"), 2);
		if (i % 2)
			fake_client_ends(clients[i]);
	}
	harness_run(&h);
	service_stats(h.service, &stats);
	assert_int_equal(stats.connections, 500);
	harness_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_stop_when_their_replies_pile_up),
	    cmocka_unit_test(many_requests_at_once_are_all_answered),
	    cmocka_unit_test(a_client_that_takes_nothing_is_not_read),
	    cmocka_unit_test(a_client_that_takes_nothing_and_leaves_is_forgotten),
	    cmocka_unit_test(a_body_waits_for_room),
	    cmocka_unit_test(a_body_without_room_is_refused_in_time),
	    cmocka_unit_test(the_youngest_body_gives_way_when_buffers_are_out),
	    cmocka_unit_test(a_slow_body_is_waited_for),
	    cmocka_unit_test(the_body_is_asked_for_in_turn),
	    cmocka_unit_test(many_connections_share_a_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
