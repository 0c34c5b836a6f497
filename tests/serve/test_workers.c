/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several services with a transport each on one store, as threads that take turns drive them: what one's turn
 * brings for another is told (service_has_news()), and each waits, counts and makes room as if all were one.
 */
#include "harness.h"

#include <errno.h>

#define H "Host: h\r\n"
#define PUT "PUT /kv/a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
#define GET "GET /kv/a HTTP/1.1\r\n" H "\r\n"
#define WORKERS 2

struct workers {
	struct paste_region *region;
	struct paste_store *store;
	struct rounds rounds;
	struct paste_stack *stack[WORKERS];
	struct service *service[WORKERS];
	struct service_time now;
};

static void begin(struct workers *w, uint32_t buffers)
{
	*w = (struct workers){.now = {.monotonic_us = 1000000, .unix_ms = 784111777000}};
	w->region = fake_region_new(buffers, 2048);
	w->store = fake_store_new(w->region);
	assert_int_equal(rounds_init(&w->rounds, w->store, NULL), 0);
	for (int i = 0; i < WORKERS; i++) {
		w->stack[i] = fake_stack_new(w->region);
		struct service_options options = {
		    .stack = w->stack[i], .store = w->store, .rounds = &w->rounds, .max_body = 100000};
		assert_int_equal(service_open(&options, &w->service[i], NULL), 0);
	}
}

static void end(struct workers *w)
{
	for (int i = 0; i < WORKERS; i++) {
		service_close(w->service[i]);
		fake_stack_free(w->stack[i]);
	}
	fake_store_free(w->store);
	assert_int_equal(fake_region_out(w->region), 0);
	fake_region_free(w->region);
}

static void turn(struct workers *w, int i)
{
	struct paste_event events[SERVICE_BATCH];
	int n = paste_stack_poll(w->stack[i], events, SERVICE_BATCH, 0);

	service_turn(w->service[i], w->now, events, n);
}

static struct fake_conn *ask(struct workers *w, int i, const char *request)
{
	struct fake_conn *c = fake_connect(w->stack[i]);

	fake_client_sends(c, request, strlen(request));
	turn(w, i);
	return c;
}

static void expect_status(struct fake_conn *c, const char *status)
{
	assert_memory_equal(fake_client_got(c, NULL), status, strlen(status));
}

static void expect_nothing(struct fake_conn *c)
{
	assert_string_equal(fake_client_got(c, NULL), "");
}

/* What one has changed and another shows is durable before it is shown, and is shown when it is. */
static void a_reply_waits_for_a_round_that_another_finishes(void **state)
{
	struct workers w;

	begin(&w, 512);
	fake_store_hold_rounds(w.store, true);
	struct fake_conn *changes = ask(&w, 0, PUT), *reads = ask(&w, 1, GET);
	assert_false(service_has_news(w.service[0]));
	assert_false(service_has_news(w.service[1]));
	fake_store_make_durable(w.store, 1);
	turn(&w, 0);
	expect_status(changes, "HTTP/1.1 201 ");
	expect_nothing(reads);
	assert_false(service_has_news(w.service[0]));
	assert_true(service_has_news(w.service[1]));
	turn(&w, 1);
	expect_status(reads, "HTTP/1.1 200 ");
	assert_false(service_has_news(w.service[1]));
	end(&w);
}

static void who_does_not_wait_is_left_alone(void **state)
{
	struct workers w;

	begin(&w, 512);
	expect_status(ask(&w, 1, GET), "HTTP/1.1 404 ");
	expect_status(ask(&w, 0, PUT), "HTTP/1.1 201 ");
	assert_false(service_has_news(w.service[1]));
	expect_status(ask(&w, 1, GET), "HTTP/1.1 200 ");
	end(&w);
}

static void a_failure_is_news(void **state)
{
	struct workers w;

	begin(&w, 512);
	fake_store_hold_rounds(w.store, true);
	struct fake_conn *one = ask(&w, 0, PUT), *other = ask(&w, 1, GET);
	fake_store_break(w.store, -EIO);
	turn(&w, 0);
	expect_status(one, "HTTP/1.1 503 ");
	assert_true(service_has_news(w.service[1]));
	turn(&w, 1);
	expect_status(other, "HTTP/1.1 503 ");
	end(&w);
}

static void who_waits_for_entries_gets_those_that_came_by_another(void **state)
{
	struct workers w;

	begin(&w, 512);
	ask(&w, 0, "POST /log/s HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx");
	struct fake_conn *follower = ask(&w, 1, "GET /log/s?from=2&follow=60 HTTP/1.1\r\n" H "\r\n");
	expect_nothing(follower);
	ask(&w, 0, PUT);
	assert_false(service_has_news(w.service[1]));
	ask(&w, 0, "POST /log/s HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\ny");
	assert_false(service_has_news(w.service[0]));
	assert_true(service_has_news(w.service[1]));
	turn(&w, 1);
	expect_status(follower, "HTTP/1.1 200 ");
	assert_false(service_has_news(w.service[1]));
	end(&w);
}

/* 32 KiB of buffers: there is room for one such body, whoever's it is. */
static void room_is_given_to_a_body_once(void **state)
{
	static const char head[] = "PUT /kv/b HTTP/1.1\r\n" H "Content-Length: 20000\r\n\r\n";
	struct service_stats stats;
	struct workers w;

	begin(&w, 16);
	ask(&w, 0, head);
	service_stats(w.service[0], &stats);
	assert_int_equal(stats.waited_room, 0);
	ask(&w, 1, head);
	service_stats(w.service[0], &stats);
	assert_int_equal(stats.waited_room, 1);
	service_close(w.service[0]);
	assert_int_equal(w.rounds.arriving, 0); /* what was let in there is not expected any more */
	turn(&w, 1);
	assert_int_equal(w.rounds.arriving, 20000);
	struct service_options options = {.stack = w.stack[0], .store = w.store, .rounds = &w.rounds};
	assert_int_equal(service_open(&options, &w.service[0], NULL), 0);
	end(&w);
}

static void counters_are_of_all_together(void **state)
{
	struct latency reads, writes;
	struct service_stats stats;
	struct workers w;

	begin(&w, 512);
	ask(&w, 0, PUT PUT);
	ask(&w, 1, GET);
	service_turned(w.service[0], w.now.monotonic_us + 10);
	service_turned(w.service[1], w.now.monotonic_us + 30);
	service_latency(w.service[1], SERVICE_READ, &reads);
	service_latency(w.service[1], SERVICE_WRITE, &writes);
	assert_int_equal(reads.count, 1);
	assert_int_equal(reads.sum_us, 30);
	assert_int_equal(writes.count, 2);
	assert_int_equal(writes.sum_us, 20);
	for (int i = 0; i < WORKERS; i++) {
		service_stats(w.service[i], &stats);
		assert_int_equal(stats.requests, 3);
		assert_int_equal(stats.replies[2], 3);
		assert_int_equal(stats.connections, 2);
		assert_int_equal(service_share(w.service[i]).connections, 1);
		assert_int_equal(service_share(w.service[i]).requests, i == 0 ? 2 : 1);
	}
	struct fake_conn *metrics = ask(&w, 1, "GET /metrics HTTP/1.1\r\n" H "\r\n");
	assert_non_null(strstr(fake_client_got(metrics, NULL), "\npaste_http_requests_total 4\n"));
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_reply_waits_for_a_round_that_another_finishes),
	    cmocka_unit_test(who_does_not_wait_is_left_alone),
	    cmocka_unit_test(a_failure_is_news),
	    cmocka_unit_test(who_waits_for_entries_gets_those_that_came_by_another),
	    cmocka_unit_test(room_is_given_to_a_body_once),
	    cmocka_unit_test(counters_are_of_all_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
