/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel-socket transport over loopback. Each test ends by proving that every buffer is back. */
#include "client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void send_text(struct paste_conn *c, const char *text)
{
	struct paste_send piece = {.inline_bytes = text, .inline_length = (uint32_t)strlen(text)};

	assert_int_equal(paste_conn_send(c, &piece, 1), 0);
}

/* Let the kernel have what is queued, and complete what it can, without looking at any of it. */
static void submit(struct server *s)
{
	server_poll(s, NULL, 0, 0);
}

static void flush(struct server *s)
{
	server_expect_quiet(s, 0);
	server_expect_quiet(s, 0);
}

static void bytes_go_both_ways(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;

	assert_null(c->user);
	paste_conn_set_user(c, &s);
	client_send(fd, "hello", 5);
	struct paste_event e = server_expect(&s, PASTE_EVENT_DATA);
	assert_ptr_equal(e.conn, c);
	assert_ptr_equal(e.conn->user, &s);
	assert_int_equal(e.slice.length, 5);
	assert_memory_equal(paste_ref_data(s.region, e.slice), "hello", 5);
	paste_ref_put(s.region, e.slice);
	send_text(c, "world");
	assert_int_equal(paste_conn_unsent(c), 5);
	flush(&s);
	assert_int_equal(paste_conn_unsent(c), 0);
	client_expect(fd, "world", 5);
	paste_conn_close(c);
	flush(&s);
	client_expect_end(fd);
	close(fd);
	server_until_empty(&s);
	server_end(&s);
}

static void a_received_slice_can_be_sent_back(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);

	client_send(fd, "hello, world", 12);
	struct paste_event e = server_expect(&s, PASTE_EVENT_DATA);
	struct paste_ref world = {e.slice.buffer, (uint16_t)(e.slice.offset + 7), 5};
	struct paste_send pieces[] = {{.inline_bytes = "<", .inline_length = 1},
				      {.ref = e.slice},
				      {.inline_bytes = "><", .inline_length = 2},
				      {.ref = world},
				      {.inline_bytes = ">", .inline_length = 1}};
	paste_ref_get(s.region, world);
	assert_int_equal(paste_conn_send(e.conn, pieces, 5), 0);
	flush(&s);
	client_expect(fd, "<hello, world><world>", 21);
	paste_conn_close(e.conn);
	close(fd);
	server_until_empty(&s);
	server_end(&s);
}

static void each_completion_has_a_buffer_of_its_own(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);
	struct paste_ref slices[50];

	for (int i = 0; i < 50; i++) {
		client_send(fd, &i, sizeof(i));
		slices[i] = server_expect(&s, PASTE_EVENT_DATA).slice;
	}
	for (int i = 0; i < 50; i++) {
		int value;

		assert_int_equal(slices[i].offset, 0);
		for (int j = 0; j < i; j++)
			assert_true(slices[i].buffer != slices[j].buffer);
		/* Nothing was written into it after it was handed over. */
		memcpy(&value, paste_ref_data(s.region, slices[i]), sizeof(value));
		assert_int_equal(value, i);
		paste_ref_put(s.region, slices[i]);
	}
	close(fd);
	server_end(&s);
}

/* What lies in the socket when it is looked at comes in slices over adjacent buffers where the kernel bundles, a
 * buffer at a time where it does not; either way whole, in order, and with no more events than there is room for. */
static void much_at_once_comes_in_order_however_few_events_are_taken(void **state)
{
	enum { BYTES = 90000 };
	struct paste_stack_limits limits = {.receive_buffers = 64};
	struct server s = server_begin(256, &limits);
	int fd = client_connect(s.port);
	static uint8_t bytes[BYTES];
	uint64_t at = 0, slices = 0;

	for (uint64_t i = 0; i < BYTES; i++)
		bytes[i] = pattern(i);
	server_expect(&s, PASTE_EVENT_ACCEPT);
	client_send(fd, bytes, BYTES);
	while (at < BYTES) {
		struct paste_event e;

		if (!server_poll(&s, &e, 1, 1000000))
			continue;
		assert_int_equal(e.type, PASTE_EVENT_DATA);
		assert_int_equal(e.slice.offset, 0);
		assert_memory_equal(paste_ref_data(s.region, e.slice), bytes + at, e.slice.length);
		at += e.slice.length;
		slices++;
		paste_ref_put(s.region, e.slice);
	}
	assert_int_equal(at, BYTES);
	assert_true(slices >= BYTES / UINT16_MAX);
	shutdown(fd, SHUT_WR);
	paste_conn_close(server_expect(&s, PASTE_EVENT_EOF).conn);
	close(fd);
	server_until_empty(&s);
	server_end(&s);
}

static void a_half_closed_peer_is_still_answered(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);

	client_send(fd, "question", 8);
	shutdown(fd, SHUT_WR);
	struct paste_event e = server_expect(&s, PASTE_EVENT_DATA);
	paste_ref_put(s.region, e.slice);
	e = server_expect(&s, PASTE_EVENT_EOF);
	server_expect_quiet(&s, 20000); /* told once */
	send_text(e.conn, "answer");
	paste_conn_close(e.conn);
	server_until_empty(&s);
	client_expect(fd, "answer", 6);
	client_expect_end(fd);
	close(fd);
	server_end(&s);
}

static void a_reset_is_an_error(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	struct paste_send piece = {.inline_bytes = "x", .inline_length = 1};

	client_reset(fd);
	struct paste_event e = server_expect(&s, PASTE_EVENT_ERROR);
	assert_ptr_equal(e.conn, c);
	assert_int_equal(e.error, -ECONNRESET);
	server_expect_quiet(&s, 20000);
	assert_int_equal(paste_conn_send(c, &piece, 1), -EPIPE);
	paste_conn_close(c);
	server_until_empty(&s);
	server_end(&s);
}

static void a_reset_while_sending_puts_what_was_queued(void **state)
{
	struct server s = server_begin(4096, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;

	for (int i = 0; i < 3000; i++) { /* more than both socket buffers take */
		struct paste_send piece = {.ref = {0, 0, 2048}};

		assert_int_equal(paste_buffer_alloc(s.region, &piece.ref.buffer), 0);
		if (paste_conn_send(c, &piece, 1) == -EAGAIN) {
			struct paste_event e;

			paste_buffer_put(s.region, piece.ref.buffer);
			if (server_poll(&s, &e, 1, 0))
				assert_int_equal(e.type, PASTE_EVENT_WRITABLE);
		}
	}
	assert_true(paste_conn_unsent(c) > 0);
	client_reset(fd);
	server_expect(&s, PASTE_EVENT_ERROR);
	paste_conn_close(c);
	server_until_empty(&s);
	server_end(&s);
}

static void what_was_sent_is_told_to_be_released(void **state)
{
	struct paste_stack_limits limits = {.released = true};
	struct server s = server_begin(256, &limits);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	uint32_t before = fake_region_out(s.region), buffer;

	for (uint64_t sent = 14; sent <= 42; sent += 14) {
		assert_int_equal(paste_buffer_alloc(s.region, &buffer), 0);
		struct paste_send pieces[] = {{.inline_bytes = "<", .inline_length = 1},
					      {.ref = {buffer, 100, 12}},
					      {.inline_bytes = ">", .inline_length = 1}};
		memcpy(paste_ref_data(s.region, pieces[1].ref), "hello, world", 12);
		assert_int_equal(paste_conn_send(c, pieces, 3), 0);
		assert_int_equal(server_expect(&s, PASTE_EVENT_RELEASED).released, sent);
		assert_int_equal(fake_region_out(s.region), before);
		client_expect(fd, "<hello, world>", 14);
	}
	server_expect_quiet(&s, 0);
	paste_conn_close(c);
	close(fd);
	server_until_empty(&s);
	server_end(&s);
}

/* The peer does not read, then it resets: what the kernel took is told, then all of it, then the error; also
 * to who has paused and takes one event at a time. */
static void all_is_released_before_an_error(void **state)
{
	enum { PIECES = 16384 };
	static struct paste_send pieces[PIECES];
	struct paste_stack_limits limits = {.released = true};
	struct server s = server_begin(256, &limits);
	int fd = client_connect(s.port), events = 0;
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	uint64_t released = 0, all = (uint64_t)PIECES * 2048;
	uint32_t before = fake_region_out(s.region), buffer;
	struct paste_event e;

	assert_int_equal(paste_buffer_alloc(s.region, &buffer), 0);
	for (int i = 0; i < PIECES; i++) {
		pieces[i].ref = (struct paste_ref){buffer, 0, 2048};
		if (i > 0)
			paste_buffer_get(s.region, buffer);
	}
	assert_int_equal(paste_conn_send(c, pieces, PIECES), 0);
	paste_conn_pause(c);
	while (server_poll(&s, &e, 1, 200000) == 1) {
		assert_int_equal(e.type, PASTE_EVENT_RELEASED);
		assert_true(e.released > released && e.released < all);
		released = e.released;
		assert_int_equal(paste_conn_unsent(c), all - released);
		events++;
	}
	assert_true(events > 1);
	client_reset(fd);
	while (server_poll(&s, &e, 1, 1000000) == 1 && e.type == PASTE_EVENT_RELEASED)
		released = e.released;
	assert_int_equal(e.type, PASTE_EVENT_ERROR);
	assert_int_equal(released, all);
	assert_int_equal(fake_region_out(s.region), before);
	paste_conn_close(c);
	server_until_empty(&s);
	server_end(&s);
}

static void aborting_resets_the_peer(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);
	char byte;

	client_send(fd, "x", 1);
	struct paste_event e = server_expect(&s, PASTE_EVENT_DATA);
	paste_ref_put(s.region, e.slice);
	paste_conn_abort(e.conn);
	server_until_empty(&s);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	server_end(&s);
}

/* The server has not read all when it closes: the reply must get through, not a reset. */
static void the_last_reply_survives_unread_requests(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);
	char filler[10000] = {0};

	client_send(fd, "x", 1);
	struct paste_event e = server_expect(&s, PASTE_EVENT_DATA);
	paste_ref_put(s.region, e.slice);
	paste_conn_pause(e.conn);
	flush(&s);
	client_send(fd, filler, sizeof(filler));
	send_text(e.conn, "no more");
	paste_conn_close(e.conn);
	server_expect_quiet(&s, 20000);
	client_send(fd, filler, sizeof(filler));
	server_expect_quiet(&s, 20000);
	client_send(fd, filler,
		    sizeof(filler)); /* it would fail if the last one had been answered by a reset */
	client_expect(fd, "no more", 7);
	client_expect_end(fd);
	close(fd);
	server_until_empty(&s);
	server_end(&s);
}

static void a_closed_connection_does_not_wait_for_ever(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);
	struct paste_stack_stats stats;

	paste_conn_close(server_expect(&s, PASTE_EVENT_ACCEPT).conn);
	server_until_empty(&s); /* although the client neither closes nor sends */
	client_expect_end(fd);
	close(fd);
	paste_stack_stats(s.stack, &stats);
	assert_int_equal(stats.closed, 1);
	server_end(&s);
}

static void a_paused_connection_gets_nothing_and_then_all_in_order(void **state)
{
	struct server s = server_begin(1024, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	uint64_t sent = 0, got = 0;
	bool ended = false;

	for (int round = 0; round < 200; round++) {
		uint8_t bytes[3000];

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = pattern(sent++);
		/* Sometimes what arrives is in the completion queue already when the pause comes. */
		client_send(fd, bytes, sizeof(bytes));
		if (round % 3 == 0)
			submit(&s);
		paste_conn_pause(c);
		if (round == 199)
			shutdown(fd, SHUT_WR);
		if (round % 2)
			server_expect_quiet(&s, round % 5 ? 0 : 2000);
		paste_conn_resume(c);
		if (round % 7 == 0) { /* changes its mind */
			paste_conn_pause(c);
			server_expect_quiet(&s, 0);
			paste_conn_resume(c);
		}
		while (got < sent || (round == 199 && !ended)) {
			struct paste_event e;

			if (!server_poll(&s, &e, 1, 1000000))
				fail_msg("nothing arrives");
			ended |= e.type == PASTE_EVENT_EOF;
			if (e.type != PASTE_EVENT_DATA)
				continue;
			assert_false(ended);
			for (uint32_t i = 0; i < e.slice.length; i++)
				assert_int_equal(paste_ref_data(s.region, e.slice)[i], pattern(got++));
			paste_ref_put(s.region, e.slice);
			if (round % 3 == 0)
				break; /* leave some for later */
		}
	}
	close(fd);
	server_end(&s);
}

/* Data and end are completed when the pause comes, and not yet looked at. */
static void the_end_is_not_told_while_paused(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;

	submit(&s);
	client_send(fd, "x", 1);
	shutdown(fd, SHUT_WR);
	submit(&s);
	paste_conn_pause(c);
	server_expect_quiet(&s, 10000);
	paste_conn_resume(c);
	struct paste_event e;
	assert_int_equal(server_poll(&s, &e, 1, 1000000), 1);
	assert_int_equal(e.type, PASTE_EVENT_DATA);
	paste_ref_put(s.region, e.slice);
	assert_int_equal(server_poll(&s, &e, 1, 1000000), 1);
	assert_int_equal(e.type, PASTE_EVENT_EOF);
	close(fd);
	server_end(&s);
}

#define BIG (64u << 20)

static void *send_and_check(void *arg)
{
	int fd = *(int *)arg;
	static uint8_t out[1 << 16], in[1 << 16];
	uint64_t sent = 0, got = 0, wrong = 0;

	while (got < BIG) {
		if (sent < BIG) {
			for (size_t i = 0; i < sizeof(out); i++)
				out[i] = pattern(sent + i);
			if (send(fd, out, sizeof(out), MSG_NOSIGNAL) != (ssize_t)sizeof(out))
				return "send";
			sent += sizeof(out);
		}
		/* Stay some way behind, so that both directions are full. */
		while (got < sent && (sent - got > (1 << 20) || sent == BIG)) {
			ssize_t n = recv(fd, in, sizeof(in), 0);

			if (n <= 0)
				return "recv";
			for (ssize_t i = 0; i < n; i++)
				wrong += in[i] != pattern(got + (uint64_t)i);
			got += (uint64_t)n;
		}
	}
	shutdown(fd, SHUT_WR);
	return wrong ? "wrong bytes" : NULL;
}

/* Echo by reference; what the queue does not take waits here, and meanwhile nothing is read. */
static void large_streams_are_echoed_by_reference(void **state)
{
	struct paste_stack_limits limits = {.send_bytes = 100000};
	struct server s = server_begin(2048, &limits);
	int fd = client_connect(s.port);
	struct paste_ref waiting[512];
	uint32_t waits = 0, pauses = 0;
	bool ended = false;
	pthread_t client;
	void *result;

	pthread_create(&client, NULL, send_and_check, &fd);
	while (!ended) {
		struct paste_event events[64];
		int n = server_poll(&s, events, 64, 5000000);

		if (!n)
			fail_msg("the transfer stands still");
		for (int i = 0; i < n; i++) {
			struct paste_event *e = &events[i];
			struct paste_send piece = {.ref = e->slice};

			if (e->type == PASTE_EVENT_EOF) {
				ended = true;
				paste_conn_close(e->conn);
			} else if (e->type == PASTE_EVENT_WRITABLE) {
				uint32_t k = 0;

				for (; k < waits; k++) {
					piece.ref = waiting[k];
					if (paste_conn_send(e->conn, &piece, 1))
						break;
				}
				memmove(waiting, waiting + k, (waits - k) * sizeof(waiting[0]));
				waits -= k;
				if (!waits)
					paste_conn_resume(e->conn);
			} else if (e->type == PASTE_EVENT_DATA &&
				   (waits || paste_conn_send(e->conn, &piece, 1) == -EAGAIN)) {
				assert_true(waits < 512);
				waiting[waits++] = e->slice;
				paste_conn_pause(e->conn);
				pauses++;
			}
		}
	}
	pthread_join(client, &result);
	if (result)
		fail_msg("client: %s", (char *)result);
	assert_true(pauses > 0);
	close(fd);
	server_until_empty(&s);
	server_end(&s);
}

static void one_large_send_is_taken_whole(void **state)
{
	struct server s = server_begin(4096, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	static struct paste_send pieces[4000];
	static uint8_t inline_bytes[5000];
	uint64_t bytes = 0;

	/* Slices of all lengths and copied bytes in between. */
	for (int i = 0; i < 4000; i++) {
		uint8_t *at = inline_bytes;
		uint32_t length = 1 + (uint32_t)(i * 37) % 2048;

		if (i % 3) {
			assert_int_equal(paste_buffer_alloc(s.region, &pieces[i].ref.buffer), 0);
			pieces[i].ref.length = (uint16_t)length;
			at = paste_ref_data(s.region, pieces[i].ref);
		}
		for (uint32_t k = 0; k < length; k++)
			at[k] = pattern(bytes + k);
		if (i % 3 == 0) {
			uint8_t *copy = malloc(length);

			memcpy(copy, at, length);
			pieces[i].inline_bytes = copy;
			pieces[i].inline_length = length;
		}
		bytes += length;
	}
	assert_int_equal(paste_conn_send(c, pieces, 4000), 0);
	assert_int_equal(paste_conn_unsent(c), bytes);
	assert_int_equal(paste_conn_send(c, pieces, 1), -EAGAIN);
	for (int i = 0; i < 4000; i += 3)
		free((void *)(uintptr_t)pieces[i].inline_bytes);

	for (uint64_t got = 0; got < bytes;) {
		struct paste_event e;
		uint8_t in[10000];
		ssize_t n;

		server_poll(&s, &e, 1, 0);
		while ((n = recv(fd, in, sizeof(in), MSG_DONTWAIT)) > 0)
			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(in[i], pattern(got++));
	}
	paste_conn_close(c);
	close(fd);
	server_until_empty(&s);
	server_end(&s);
}

static void small_replies_leave_together(void **state)
{
	struct server s = server_begin(256, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	struct paste_stack_stats stats;

	for (int i = 0; i < 500; i++)
		send_text(c, "0123456789");
	flush(&s);
	for (int i = 0; i < 500; i++)
		client_expect(fd, "0123456789", 10);
	paste_stack_stats(s.stack, &stats);
	assert_int_equal(stats.sends, 1);
	assert_int_equal(stats.sent_bytes, 5000);
	close(fd);
	server_end(&s);
}

static void closing_sends_the_rest_first(void **state)
{
	struct server s = server_begin(8192, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	struct paste_send pieces[4096];
	uint64_t got = 0;
	ssize_t n;

	for (int i = 0; i < 4096; i++) {
		pieces[i] = (struct paste_send){.ref = {0, 0, 2048}};
		assert_int_equal(paste_buffer_alloc(s.region, &pieces[i].ref.buffer), 0);
		for (uint32_t k = 0; k < 2048; k++)
			paste_ref_data(s.region, pieces[i].ref)[k] = pattern((uint64_t)i * 2048 + k);
	}
	assert_int_equal(paste_conn_send(c, pieces, 4096), 0);
	paste_conn_close(c);
	do {
		uint8_t in[20000];
		struct paste_event e;

		assert_int_equal(server_poll(&s, &e, 1, 0), 0);
		n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(in[i], pattern(got++));
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	assert_int_equal(n, 0);
	assert_int_equal(got, 4096 * 2048);
	close(fd);
	server_until_empty(&s);
	server_end(&s);
}

#define MANY 1000

/* Echo by reference until `wanted` pieces were answered. Returns the number of connections accepted
 * meanwhile. */
static int echo(struct server *s, int wanted)
{
	struct paste_event events[256];
	int accepted = 0;

	while (wanted > 0) {
		int n = server_poll(s, events, 256, 5000000);

		if (!n)
			fail_msg("%d are not answered", wanted);
		for (int i = 0; i < n; i++) {
			struct paste_send piece = {.ref = events[i].slice};

			accepted += events[i].type == PASTE_EVENT_ACCEPT;
			if (events[i].type != PASTE_EVENT_DATA)
				continue;
			assert_int_equal(paste_conn_send(events[i].conn, &piece, 1), 0);
			wanted--;
		}
	}
	submit(s);
	return accepted;
}

/* Both ends of each connection are here; Debian's limit, until a process raises it, is 1024. */
static bool may_open(rlim_t descriptors)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < descriptors)
		return false;
	if (limit.rlim_cur < descriptors)
		limit.rlim_cur = descriptors;
	return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void a_thousand_connections_are_served(void **state)
{
	if (!may_open(2 * MANY + 100)) {
		print_message("skipped: %d descriptors are needed (ulimit -Hn)\n", 2 * MANY + 100);
		skip();
	}
	struct server s = server_begin(8192, NULL);
	static int fds[MANY];
	struct paste_stack_stats stats;
	struct paste_event events[256];
	int accepted = 0;

	for (int i = 0; i < MANY; i++)
		fds[i] = client_connect(s.port);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MANY; i++)
			client_send(fds[i], &i, sizeof(i));
		accepted += echo(&s, MANY);
		for (int i = 0; i < MANY; i++)
			client_expect(fds[i], &i, sizeof(i));
	}
	assert_int_equal(accepted, MANY);
	paste_stack_stats(s.stack, &stats);
	assert_int_equal(stats.connections, MANY);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	for (int ends = 0; ends < MANY;) {
		int n = server_poll(&s, events, 256, 5000000);

		assert_true(n > 0);
		for (int i = 0; i < n; i++) {
			assert_int_equal(events[i].type, PASTE_EVENT_EOF);
			paste_conn_close(events[i].conn);
			ends++;
		}
	}
	server_until_empty(&s);
	server_end(&s);
}

/* Nanoseconds of CPU for each of `n` idle connections when the stack is closed under them. */
static double closing_costs(int n)
{
	struct server s = server_begin(256, NULL);
	static int fds[4 * MANY];
	struct timespec before, after;

	assert_true(n <= 4 * MANY);
	for (int i = 0; i < n; i++) {
		fds[i] = client_connect(s.port);
		server_expect(&s, PASTE_EVENT_ACCEPT);
	}
	submit(&s);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	server_end(&s);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	return ((double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec)) / n;
}

/* Ten thousand idle connections are to end in well under a second. What grows with their square grows eightfold here. */
static void many_connections_are_closed_at_the_cost_of_few(void **state)
{
	if (!may_open(8 * MANY + 100)) {
		print_message("skipped: %d descriptors are needed (ulimit -Hn)\n", 8 * MANY + 100);
		skip();
	}
	double few, many;
	int tries = 3; /* an emulated machine that its host stops meanwhile counts that as well */

	do {
		few = closing_costs(MANY / 2);
		many = closing_costs(4 * MANY);
		print_message("a connection's end: %.1f us among %d, %.1f us among %d\n", few / 1e3, MANY / 2, many / 1e3,
			      4 * MANY);
	} while (many >= 4 * few && --tries);
	assert_true(many < 4 * few);
}

static void connections_beyond_the_limit_are_refused(void **state)
{
	struct paste_stack_limits limits = {.connections = 3};
	struct server s = server_begin(256, &limits);
	struct paste_stack_stats stats;
	int fds[5];

	for (int i = 0; i < 5; i++)
		fds[i] = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;
	server_expect(&s, PASTE_EVENT_ACCEPT);
	server_expect(&s, PASTE_EVENT_ACCEPT);
	server_expect_quiet(&s, 20000);
	paste_stack_stats(s.stack, &stats);
	assert_int_equal(stats.accepted, 3);
	assert_int_equal(stats.refused, 2);
	client_expect_end(fds[3]);
	client_expect_end(fds[4]);
	/* A place that is free again is used again. */
	paste_conn_abort(c);
	flush(&s);
	close(fds[4]);
	fds[4] = client_connect(s.port);
	server_expect(&s, PASTE_EVENT_ACCEPT);
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	server_end(&s);
}

static void accepting_goes_on_when_descriptors_are_back(void **state)
{
	struct server s = server_begin(256, NULL);
	struct rlimit old, low;
	int fds[3], spare = dup(0);

	for (int i = 0; i < 3; i++)
		fds[i] = client_connect(s.port);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)spare; /* none is left below it */
	setrlimit(RLIMIT_NOFILE, &low);
	server_expect_quiet(&s, 30000);
	setrlimit(RLIMIT_NOFILE, &old);
	for (int i = 0; i < 3; i++)
		server_expect(&s, PASTE_EVENT_ACCEPT);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(spare);
	server_end(&s);
}

static void addresses_are_understood(void **state)
{
	struct server s = server_begin(64, NULL);
	struct paste_error error;
	char bound[64], again[64];
	static const struct {
		const char *address;
		int result;
	} cases[] = {
	    {"localhost:0", 0},       {"[::1]:0", 0},
	    {"127.0.0.1", -EINVAL},   {"::1:80", -EINVAL},
	    {"127.0.0.1:", -EINVAL},  {"127.0.0.1:99999999", -EINVAL},
	    {"[::1:0", -EINVAL},      {"no such host:1", -EINVAL},
	    {"127.0.0.1:x", -EINVAL}, {"192.0.2.1:0", -EADDRNOTAVAIL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = paste_stack_listen(s.stack, cases[i].address, bound, sizeof(bound), &error);

		if (!strncmp(cases[i].address, "[::1]", 5) && rc == -EADDRNOTAVAIL)
			continue; /* a machine without IPv6 */
		if (rc != cases[i].result)
			fail_msg("%s: %d", cases[i].address, rc);
		if (rc)
			assert_non_null(strstr(error.text, cases[i].address));
	}
	assert_int_equal(paste_stack_listen(s.stack, s.address, again, sizeof(again), &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "another process"));
	server_end(&s);
}

static void a_peer_has_a_name(void **state)
{
	struct server s = server_begin(64, NULL);
	int fd = client_connect(s.port);
	char name[64];

	paste_conn_peer(server_expect(&s, PASTE_EVENT_ACCEPT).conn, name, sizeof(name));
	assert_memory_equal(name, "127.0.0.1:", 10);
	close(fd);
	server_end(&s);
}

static void a_watched_descriptor_is_reported_while_readable(void **state)
{
	struct server s = server_begin(64, NULL);
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t value = 1;

	assert_int_equal(paste_stack_watch(s.stack, fd, 42), 0);
	server_expect_quiet(&s, 10000);
	assert_int_equal(write(fd, &value, 8), 8);
	for (int i = 0; i < 3; i++)
		assert_int_equal(server_expect(&s, PASTE_EVENT_FD).cookie, 42);
	assert_int_equal(read(fd, &value, 8), 8);
	struct paste_event e;
	server_poll(&s, &e, 1, 0); /* may have been under way */
	server_expect_quiet(&s, 10000);
	assert_int_equal(write(fd, &value, 8), 8);
	assert_int_equal(server_expect(&s, PASTE_EVENT_FD).cookie, 42);
	server_end(&s);
	close(fd);
}

static void nothing_is_accepted_after_unlisten(void **state)
{
	struct server s = server_begin(64, NULL);
	int fd = client_connect(s.port);
	struct paste_conn *c = server_expect(&s, PASTE_EVENT_ACCEPT).conn;

	paste_stack_unlisten(s.stack);
	flush(&s);
	struct server other = server_begin(64, NULL);
	assert_int_equal(paste_stack_listen(other.stack, s.address, NULL, 0, NULL), 0);
	server_end(&other);
	send_text(c, "still here");
	flush(&s);
	client_expect(fd, "still here", 10);
	close(fd);
	server_end(&s);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void a_poll_waits_as_long_as_told(void **state)
{
	struct server s = server_begin(64, NULL);
	int64_t start = now_us();

	server_expect_quiet(&s, 30000);
	assert_in_range(now_us() - start, 29000, 1000000);
	start = now_us();
	server_expect_quiet(&s, 0);
	assert_true(now_us() - start < 20000);
	server_end(&s);
}

static void closing_a_busy_stack_loses_nothing(void **state)
{
	struct server s = server_begin(4096, NULL);
	int fds[40];

	for (int i = 0; i < 40; i++) {
		fds[i] = client_connect(s.port);
		client_send(fds[i], "some bytes", 10);
	}
	for (int i = 0; i < 40; i++) {
		struct paste_event e = server_expect(&s, PASTE_EVENT_DATA);
		struct paste_send piece = {.ref = e.slice};

		/* Every state: unsent, paused with held bytes, closing, dead, accepted and not told. */
		if (i % 5 == 0)
			paste_conn_pause(e.conn);
		if (i % 5 == 1)
			paste_conn_send(e.conn, &piece, 1);
		else
			paste_ref_put(s.region, e.slice);
		if (i % 5 == 2)
			paste_conn_close(e.conn);
		if (i % 5 == 3)
			paste_conn_abort(e.conn);
		client_send(fds[i], "more bytes", 10);
	}
	for (int i = 0; i < 40; i += 3)
		client_reset(fds[i]);
	server_end(&s);
	for (int i = 0; i < 40; i++)
		if (i % 3)
			close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_go_both_ways),
	    cmocka_unit_test(a_received_slice_can_be_sent_back),
	    cmocka_unit_test(each_completion_has_a_buffer_of_its_own),
	    cmocka_unit_test(much_at_once_comes_in_order_however_few_events_are_taken),
	    cmocka_unit_test(a_half_closed_peer_is_still_answered),
	    cmocka_unit_test(a_reset_is_an_error),
	    cmocka_unit_test(a_reset_while_sending_puts_what_was_queued),
	    cmocka_unit_test(what_was_sent_is_told_to_be_released),
	    cmocka_unit_test(all_is_released_before_an_error),
	    cmocka_unit_test(aborting_resets_the_peer),
	    cmocka_unit_test(the_last_reply_survives_unread_requests),
	    cmocka_unit_test(a_closed_connection_does_not_wait_for_ever),
	    cmocka_unit_test(a_paused_connection_gets_nothing_and_then_all_in_order),
	    cmocka_unit_test(the_end_is_not_told_while_paused),
	    cmocka_unit_test(large_streams_are_echoed_by_reference),
	    cmocka_unit_test(one_large_send_is_taken_whole),
	    cmocka_unit_test(small_replies_leave_together),
	    cmocka_unit_test(closing_sends_the_rest_first),
	    cmocka_unit_test(a_thousand_connections_are_served),
	    cmocka_unit_test(many_connections_are_closed_at_the_cost_of_few),
	    cmocka_unit_test(connections_beyond_the_limit_are_refused),
	    cmocka_unit_test(accepting_goes_on_when_descriptors_are_back),
	    cmocka_unit_test(addresses_are_understood),
	    cmocka_unit_test(a_peer_has_a_name),
	    cmocka_unit_test(a_watched_descriptor_is_reported_while_readable),
	    cmocka_unit_test(nothing_is_accepted_after_unlisten),
	    cmocka_unit_test(a_poll_waits_as_long_as_told),
	    cmocka_unit_test(closing_a_busy_stack_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
