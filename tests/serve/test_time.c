/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients that are slow or silent: what is closed when, and what is left alone. */
#include "harness.h"

#include <stdio.h>

#define H "Host: h\r\n"
#define PUT(key, value) "PUT /kv/" key " HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n" value
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"
#define SECOND 1000000

/* Time goes by a second at a time, as a loop with nothing to do lets it. */
static void seconds_pass(struct harness *h, int n)
{
	for (int i = 0; i < n; i++) {
		h->now.monotonic_us += SECOND;
		harness_run(h);
	}
}

static bool is_over(struct fake_conn *c)
{
	return fake_client_is_closed(c) || fake_client_is_reset(c);
}

/* Seconds until the connection is over, while `drip` is sent every second. */
static int life(struct harness *h, struct fake_conn *c, const char *drip)
{
	int seconds = 0;

	while (!is_over(c) && seconds < 1000) {
		fake_client_says(c, drip);
		seconds_pass(h, 1);
		seconds++;
	}
	return seconds;
}

static struct harness begin(int idle, int request)
{
	return harness_begin_timed(idle * SECOND, request * SECOND);
}

static void an_idle_connection_is_closed_in_order(void **state)
{
	struct harness h = begin(10, 5);
	struct fake_conn *silent = fake_connect(h.stack), *served = harness_client(&h, GET("/kv/a"));

	harness_run(&h);
	seconds_pass(&h, 9);
	assert_false(is_over(silent));
	fake_client_says(served, GET("/kv/a"));
	seconds_pass(&h, 2);
	assert_true(fake_client_is_closed(silent));
	expect_got(silent, "");
	assert_false(is_over(served));
	assert_in_range(life(&h, served, ""), 8, 10);
	assert_true(fake_client_is_closed(served));
	harness_end(&h);
}

/* However it drips in, a request has its time and no more. */
static void a_slow_head_is_given_up(void **state)
{
	static const char *const begins[] = {"G", "GET /kv/a HTTP/1.1\r\n", "GET /kv/a HTTP/1.1\r\nX: "};

	for (size_t i = 0; i < 3; i++) {
		struct harness h = begin(10, 5);
		struct fake_conn *c = harness_client(&h, begins[i]);

		assert_in_range(life(&h, c, i == 0 ? "" : i == 1 ? "X: y\r\n" : "x"), 5, 7);
		assert_memory_equal(fake_client_got(c, NULL), "HTTP/1.1 408 ", 13);
		assert_non_null(strstr(fake_client_got(c, NULL), "Connection: close\r\n"));
		assert_true(fake_client_is_closed(c));
		harness_end(&h);
	}
}

static void a_slow_body_is_given_up(void **state)
{
	static const char *const requests[] = {
	    "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 50000\r\n\r\nx",
	    "PUT /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nf000\r\nx",
	    "PUT /kv/a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y",
	    "PUT /kv/ HTTP/1.1\r\n" H "Content-Length: 50000\r\n\r\nx", /* passed over */
	};

	for (size_t i = 0; i < 4; i++) {
		struct harness h = begin(10, 5);
		struct fake_conn *c = harness_client(&h, requests[i]);

		assert_in_range(life(&h, c, "x"), 5, 7);
		assert_non_null(strstr(fake_client_got(c, NULL), "HTTP/1.1 408 "));
		assert_true(fake_client_is_closed(c));
		assert_memory_equal(harness_ask(&h, GET("/kv/a")), "HTTP/1.1 404 ", 13);
		harness_end(&h);
	}
}

static void a_body_that_moves_has_all_the_time(void **state)
{
	struct harness h = begin(10, 5);
	struct fake_conn *c = harness_client(&h, "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 50000\r\n\r\n");
	char piece[2001];

	memset(piece, 'x', 2000);
	piece[2000] = 0;
	for (int i = 0; i < 25; i++) {
		assert_false(is_over(c));
		fake_client_says(c, piece);
		seconds_pass(&h, 1);
	}
	assert_memory_equal(fake_client_got(c, NULL), "HTTP/1.1 201 ", 13);
	harness_end(&h);
}

static void a_client_that_takes_nothing_is_reset(void **state)
{
	struct harness h = begin(10, 5);
	struct fake_conn *c = harness_client(&h, PUT("a", "1"));

	harness_run(&h);
	fake_client_takes(c, false);
	fake_client_says(c, GET("/kv/a"));
	assert_in_range(life(&h, c, ""), 5, 7);
	assert_true(fake_client_is_reset(c));
	harness_end(&h);
}

static void whoever_waits_for_us_is_waited_for(void **state)
{
	struct harness h = begin(10, 5);

	fake_store_hold_rounds(h.store, true);
	struct fake_conn *c = harness_client(&h, PUT("a", "1"));
	harness_run(&h);
	seconds_pass(&h, 100);
	assert_false(is_over(c));
	fake_store_make_durable(h.store, UINT64_MAX);
	harness_turn(&h);
	assert_memory_equal(fake_client_got(c, NULL), "HTTP/1.1 201 ", 13);
	/* Its time as an idle one begins with the reply. */
	assert_in_range(life(&h, c, ""), 10, 12);
	harness_end(&h);
}

static void never_is_never(void **state)
{
	struct harness h = harness_begin_timed(SERVICE_NEVER, SERVICE_NEVER);
	struct fake_conn *idle = fake_connect(h.stack), *head = harness_client(&h, "GET /kv/a HT");
	struct fake_conn *body = harness_client(&h, "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nx");

	harness_run(&h);
	seconds_pass(&h, 100000);
	assert_false(is_over(idle) || is_over(head) || is_over(body));
	harness_end(&h);
}

static void every_connection_is_looked_at(void **state)
{
	struct harness h = begin(10, 5);
	struct fake_conn *clients[3000];
	struct service_stats stats;

	for (int i = 0; i < 3000; i++)
		clients[i] = fake_connect(h.stack);
	harness_run(&h);
	/* Some leave while they are being looked at. */
	h.now.monotonic_us += 11 * SECOND;
	for (int i = 0; i < 3000; i += 7)
		fake_client_resets(clients[i]);
	for (int turns = 0; harness_turn(&h) > 0; turns++)
		assert_in_range(turns, 0, 20);
	harness_run(&h);
	service_stats(h.service, &stats);
	assert_int_equal(stats.connections, 0);
	harness_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_idle_connection_is_closed_in_order),
	    cmocka_unit_test(a_slow_head_is_given_up),
	    cmocka_unit_test(a_slow_body_is_given_up),
	    cmocka_unit_test(a_body_that_moves_has_all_the_time),
	    cmocka_unit_test(a_client_that_takes_nothing_is_reset),
	    cmocka_unit_test(whoever_waits_for_us_is_waited_for),
	    cmocka_unit_test(never_is_never),
	    cmocka_unit_test(every_connection_is_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
