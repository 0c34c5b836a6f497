/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers running out and coming back: reading stops, nothing is lost, sending goes on, reading starts by
 * itself. */
#include "client.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static uint32_t waiting(struct server *s)
{
	struct paste_stack_stats stats;

	paste_stack_stats(s->stack, &stats);
	return stats.waiting;
}

static void reading_stops_and_goes_on(void **state)
{
	struct server s = server_begin(16, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	struct paste_send answer = {.inline_bytes = "still here", .inline_length = 10};
	struct paste_event held[16];
	struct paste_stack_stats stats;
	uint8_t byte;

	/* The application holds on to everything. */
	for (int i = 0; i < 16; i++) {
		byte = (uint8_t)i;
		client_send(fd, &byte, 1);
		held[i] = server_expect(&s, PASTE_EVENT_DATA);
	}
	byte = 16;
	client_send(fd, &byte, 1);
	server_expect_quiet(&s, 20000);
	assert_int_equal(waiting(&s), 1);
	paste_stack_stats(s.stack, &stats);
	assert_true(stats.starved > 0);
	assert_int_equal(stats.posted, 0);

	assert_int_equal(paste_conn_send(c, &answer, 1), 0);
	server_expect_quiet(&s, 0);
	client_expect(fd, "still here", 10);

	paste_ref_put(s.region, held[0].slice);
	struct paste_event e = server_expect(&s, PASTE_EVENT_DATA);
	assert_int_equal(*paste_ref_data(s.region, e.slice), 16);
	assert_int_equal(waiting(&s), 0);
	paste_ref_put(s.region, e.slice);
	for (int i = 1; i < 16; i++) {
		assert_int_equal(*paste_ref_data(s.region, held[i].slice), i);
		paste_ref_put(s.region, held[i].slice);
	}
	close(fd);
	server_end(&s);
}

static void the_end_is_seen_without_a_buffer(void **state)
{
	struct server s = server_begin(16, NULL);
	int gone = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	struct paste_event held[16];

	for (int i = 0; i < 16; i++) {
		client_send(gone, "x", 1);
		held[i] = server_expect(&s, PASTE_EVENT_DATA);
	}
	client_send(gone, "x", 1);
	server_expect_quiet(&s, 10000);
	assert_int_equal(waiting(&s), 1);
	/* Closed while it waits for a buffer. */
	paste_conn_abort(c);
	server_until_empty(&s);
	assert_int_equal(waiting(&s), 0);
	for (int i = 0; i < 16; i++)
		paste_ref_put(s.region, held[i].slice);
	close(gone);
	server_end(&s);
}

static void every_waiting_connection_gets_its_turn(void **state)
{
	struct paste_stack_limits limits = {.receive_buffers = 16};
	struct server s = server_begin(20, &limits);
	int fds[100], got[100] = {0}, total = 0;
	struct paste_event held[8];
	uint32_t holds = 0;

	for (int i = 0; i < 100; i++) {
		uint8_t bytes[10];

		memset(bytes, i, sizeof(bytes));
		fds[i] = client_connect(s.port);
		client_send(fds[i], bytes, sizeof(bytes));
	}
	/* Each buffer is kept for a while before it is put. */
	while (total < 1000) {
		struct paste_event events[4];
		int n = server_poll(&s, events, 4, 1000000);

		if (!n && !holds)
			fail_msg("nothing moves, %d bytes came", total);
		for (int i = 0; i < n; i++) {
			if (events[i].type != PASTE_EVENT_DATA)
				continue;
			got[*paste_ref_data(s.region, events[i].slice)] += events[i].slice.length;
			total += events[i].slice.length;
			held[holds++] = events[i];
			if (holds == 8)
				while (holds)
					put_event(&s, &held[--holds]);
		}
	}
	while (holds)
		put_event(&s, &held[--holds]);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(got[i], 10);
		close(fds[i]);
	}
	server_end(&s);
}

#define AMOUNT (16u << 20)

static void *send_pattern(void *arg)
{
	int fd = *(int *)arg;
	static uint8_t out[1 << 16];

	for (uint64_t sent = 0; sent < AMOUNT; sent += sizeof(out)) {
		for (size_t i = 0; i < sizeof(out); i++)
			out[i] = pattern(sent + i);
		if (send(fd, out, sizeof(out), MSG_NOSIGNAL) != (ssize_t)sizeof(out))
			return "send";
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

/* Another user of the region takes and returns all that is left, again and again. */
static void a_large_stream_gets_through_a_narrow_region(void **state)
{
	struct server s = server_begin(64, NULL);
	int fd = client_connect(s.port);
	struct paste_stack_stats stats;
	uint64_t got = 0, polls = 0;
	pthread_t client;
	void *result;

	pthread_create(&client, NULL, send_pattern, &fd);
	for (bool ended = false; !ended; polls++) {
		struct paste_event events[64];
		int n = server_poll(&s, events, 64, 500);

		for (int i = 0; i < n; i++) {
			ended |= events[i].type == PASTE_EVENT_EOF;
			if (events[i].type != PASTE_EVENT_DATA)
				continue;
			const uint8_t *at = paste_ref_data(s.region, events[i].slice);
			for (uint32_t k = 0; k < events[i].slice.length; k++)
				assert_int_equal(at[k], pattern(got++));
		}
		fake_region_set_reserve(s.region, polls % 16 < 8 ? 64 : 0);
		for (int i = 0; i < n; i++)
			put_event(&s, &events[i]);
	}
	pthread_join(client, &result);
	assert_null(result);
	assert_int_equal(got, AMOUNT);
	paste_stack_stats(s.stack, &stats);
	assert_true(stats.starved > 0);
	close(fd);
	server_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reading_stops_and_goes_on),
	    cmocka_unit_test(the_end_is_seen_without_a_buffer),
	    cmocka_unit_test(every_waiting_connection_gets_its_turn),
	    cmocka_unit_test(a_large_stream_gets_through_a_narrow_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
