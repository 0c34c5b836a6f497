/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In state X, segment Y, then Z: RFC 9293, section 3.10.7, with what RFC 5961, 7323 and 1337 change, as a
 * table. The stack is on one end of a pipe, the test is its peer on the other.
 */
#include <errno.h>

#include "tcp_script.h"

#define EVENTS 32

/* --- the table */

#define NONE 0
#define A TCP_ACK
#define S TCP_SYN
#define F TCP_FIN
#define R TCP_RST

struct row {
	const char *state;
	uint8_t flags;
	int32_t seq, ack; /* from what is expected next, and from what is acknowledged */
	uint32_t length;
	uint8_t reply; /* flags of the answer; NONE */
	const char *then;
	uint32_t taken; /* bytes of the sequence space that an answer of ACK acknowledges with it */
	int error;	/* that the application is told */
};

static const struct row rows[] = {
    /* 3.10.7.2 */
    {"LISTEN", R, 0, 0, 0, NONE, "LISTEN"},
    {"LISTEN", A, 0, 9, 0, R, "LISTEN"},
    {"LISTEN", S | A, 0, 9, 0, R, "LISTEN"},
    {"LISTEN", S, 0, 0, 0, S | A, "SYN-RECEIVED"},
    {"LISTEN", S | F, 0, 0, 0, NONE, "LISTEN"},
    {"LISTEN", F, 0, 0, 0, NONE, "LISTEN"},
    {"LISTEN", NONE, 0, 0, 5, NONE, "LISTEN"},
    {"LISTEN", S | R, 0, 0, 0, NONE, "LISTEN"},
    {"LISTEN", R | A, 0, 9, 0, NONE, "LISTEN"},
    {"LISTEN", S, 0, 0, 5, S | A, "SYN-RECEIVED"}, /* its data is not taken */
    /* 3.10.7.3 */
    {"SYN-SENT", A, 0, 1, 0, R, "SYN-SENT"},
    {"SYN-SENT", S | A, 0, 5, 0, R, "SYN-SENT"},
    {"SYN-SENT", S | A, 0, -1, 0, R, "SYN-SENT"},
    {"SYN-SENT", R, 0, 0, 0, NONE, "SYN-SENT"},
    {"SYN-SENT", R | A, 0, 7, 0, NONE, "SYN-SENT"},
    {"SYN-SENT", R | A, 0, 0, 0, NONE, "LISTEN", 0, -ECONNREFUSED},
    {"SYN-SENT", A, 0, 0, 0, NONE, "SYN-SENT"},
    {"SYN-SENT", F, 0, 0, 0, NONE, "SYN-SENT"},
    {"SYN-SENT", F | A, 0, 0, 5, NONE, "SYN-SENT"},
    {"SYN-SENT", S | R, 0, 0, 0, NONE, "SYN-SENT"},
    {"SYN-SENT", S | A, 0, 0, 5, A, "ESTABLISHED", 6},
    {"SYN-SENT", S | A | F, 0, 0, 5, A, "CLOSE-WAIT", 7},
    {"SYN-SENT", S | A, 0, 0, 0, A, "ESTABLISHED", 1},
    {"SYN-SENT", S, 0, 0, 0, S | A, "SYN-RECEIVED"},
    /* 3.10.7.4, first: sequence numbers */
    {"SYN-RECEIVED", A, -1, 0, 0, A, "SYN-RECEIVED"},
    {"SYN-RECEIVED", A, 10000000, 0, 5, A, "SYN-RECEIVED"},
    {"ESTABLISHED", A, -1, 0, 0, A, "ESTABLISHED"},
    {"ESTABLISHED", A, -10, 0, 5, A, "ESTABLISHED"},
    {"ESTABLISHED", A, 10000000, 0, 5, A, "ESTABLISHED"},
    {"CLOSE-WAIT", A, -10, 0, 5, A, "CLOSE-WAIT"},
    {"FIN-WAIT-1", A, -10, 0, 5, A, "FIN-WAIT-1"},
    {"FIN-WAIT-2", A, -10, 0, 5, A, "FIN-WAIT-2"},
    {"CLOSING", A, -10, 0, 5, A, "CLOSING"},
    {"LAST-ACK", A, -10, 0, 5, A, "LAST-ACK"},
    {"CLOSE-WAIT", F | A, -1, 0, 0, A, "CLOSE-WAIT"}, /* its FIN again */
    {"CLOSING", F | A, -1, 0, 0, A, "CLOSING"},
    {"LAST-ACK", F | A, -1, 0, 0, A, "LAST-ACK"},
    {"TIME-WAIT", A, -10, 0, 5, A, "TIME-WAIT"},
    {"TIME-WAIT", F | A, -1, 0, 0, A, "TIME-WAIT"},
    /* second: RST (RFC 5961, section 3: only the exact number resets; RFC 1337: not in TIME-WAIT) */
    {"SYN-RECEIVED", R, 0, 0, 0, NONE, "LISTEN"},
    {"SYN-RECEIVED", R, 1, 0, 0, A, "SYN-RECEIVED"},
    {"SYN-RECEIVED", R, -1, 0, 0, NONE, "SYN-RECEIVED"},
    {"ESTABLISHED", R, 0, 0, 0, NONE, "LISTEN", 0, -ECONNRESET},
    {"ESTABLISHED", R, 1, 0, 0, A, "ESTABLISHED"},
    {"ESTABLISHED", R, -1, 0, 0, NONE, "ESTABLISHED"},
    {"ESTABLISHED", R, 10000000, 0, 0, NONE, "ESTABLISHED"},
    {"CLOSE-WAIT", R, 0, 0, 0, NONE, "LISTEN", 0, -ECONNRESET},
    {"CLOSE-WAIT", R, 1, 0, 0, A, "CLOSE-WAIT"},
    {"FIN-WAIT-1", R, 0, 0, 0, NONE, "LISTEN", 0, -ECONNRESET},
    {"FIN-WAIT-1", R, 1, 0, 0, A, "FIN-WAIT-1"},
    {"FIN-WAIT-2", R, 0, 0, 0, NONE, "LISTEN", 0, -ECONNRESET},
    {"FIN-WAIT-2", R, 1, 0, 0, A, "FIN-WAIT-2"},
    {"CLOSING", R, 0, 0, 0, NONE, "LISTEN", 0, -ECONNRESET},
    {"CLOSING", R, 1, 0, 0, A, "CLOSING"},
    {"LAST-ACK", R, 0, 0, 0, NONE, "LISTEN", 0, -ECONNRESET},
    {"LAST-ACK", R, 1, 0, 0, A, "LAST-ACK"},
    {"TIME-WAIT", R, 0, 0, 0, NONE, "TIME-WAIT"},
    /* fourth: SYN (RFC 5961, section 4) */
    {"SYN-RECEIVED", S, -1, 0, 0, S | A, "SYN-RECEIVED"},
    {"SYN-RECEIVED", S, 5, 0, 0, A, "SYN-RECEIVED"},
    {"ESTABLISHED", S, 0, 0, 0, A, "ESTABLISHED"},
    {"ESTABLISHED", S, -1, 0, 0, A, "ESTABLISHED"},
    {"ESTABLISHED", S | A, 5, 0, 0, A, "ESTABLISHED"},
    {"FIN-WAIT-2", S, 0, 0, 0, A, "FIN-WAIT-2"},
    {"FIN-WAIT-1", S, 0, 0, 0, A, "FIN-WAIT-1"},
    {"CLOSE-WAIT", S, 0, 0, 0, A, "CLOSE-WAIT"},
    {"CLOSING", S, 0, 0, 0, A, "CLOSING"},
    {"LAST-ACK", S, 0, 0, 0, A, "LAST-ACK"},
    {"TIME-WAIT", S, 10, 0, 0, S | A, "SYN-RECEIVED"}, /* a new connection (RFC 6191) */
    {"TIME-WAIT", S, -10, 0, 0, A, "TIME-WAIT"},
    /* fifth: ACK */
    {"ESTABLISHED", NONE, 0, 0, 5, NONE, "ESTABLISHED"},
    {"SYN-RECEIVED", NONE, 0, 0, 5, NONE, "SYN-RECEIVED"},
    {"CLOSE-WAIT", NONE, 0, 0, 0, NONE, "CLOSE-WAIT"},
    {"FIN-WAIT-1", F, 0, 0, 5, NONE, "FIN-WAIT-1"},
    {"FIN-WAIT-2", F, 0, 0, 5, NONE, "FIN-WAIT-2"},
    {"CLOSING", NONE, 0, 0, 0, NONE, "CLOSING"},
    {"LAST-ACK", NONE, 0, 0, 0, NONE, "LAST-ACK"},
    {"ESTABLISHED", A, 0, 0, 0, NONE, "ESTABLISHED"}, /* nothing new */
    {"ESTABLISHED", A, 0, -1, 5, A, "ESTABLISHED", 5}, /* an old one: its data counts */
    {"SYN-RECEIVED", A, 0, 1, 0, R, "SYN-RECEIVED"},
    {"SYN-RECEIVED", A, 0, -1, 0, R, "SYN-RECEIVED"},
    {"SYN-RECEIVED", A, 0, 0, 0, NONE, "ESTABLISHED"},
    {"ESTABLISHED", A, 0, 1, 0, A, "ESTABLISHED"}, /* of what was never sent */
    {"ESTABLISHED", A, 0, 1, 5, A, "ESTABLISHED"},
    {"ESTABLISHED", A, 0, -100000, 5, A, "ESTABLISHED"}, /* of long ago (RFC 5961, section 5) */
    {"FIN-WAIT-1", A, 0, 0, 0, NONE, "FIN-WAIT-1"},
    {"FIN-WAIT-1", A, 0, 1, 0, NONE, "FIN-WAIT-2"},
    {"CLOSING", A, 0, 0, 0, NONE, "CLOSING"},
    {"CLOSING", A, 0, 1, 0, NONE, "TIME-WAIT"},
    {"LAST-ACK", A, 0, 0, 0, NONE, "LAST-ACK"},
    {"LAST-ACK", A, 0, 1, 0, NONE, "LISTEN"},
    {"FIN-WAIT-1", A, 0, 2, 0, A, "FIN-WAIT-1"},
    {"FIN-WAIT-2", A, 0, 1, 0, A, "FIN-WAIT-2"},
    {"CLOSE-WAIT", A, 0, 1, 0, A, "CLOSE-WAIT"},
    {"CLOSING", A, 0, 2, 0, A, "CLOSING"},
    {"LAST-ACK", A, 0, 2, 0, A, "LAST-ACK"},
    /* sixth and seventh: urgent data is data; data where it may come */
    {"ESTABLISHED", A | TCP_URG, 0, 0, 5, A, "ESTABLISHED", 5},
    {"ESTABLISHED", A, 0, 0, 5, A, "ESTABLISHED", 5},
    {"ESTABLISHED", A, -3, 0, 5, A, "ESTABLISHED", 2},
    {"FIN-WAIT-1", A, 0, 0, 5, A, "FIN-WAIT-1", 5},
    {"FIN-WAIT-2", A, 0, 0, 5, A, "FIN-WAIT-2", 5},
    {"CLOSE-WAIT", A, 0, 0, 5, A, "CLOSE-WAIT"}, /* behind its FIN: ignored */
    {"CLOSING", A, 0, 0, 5, A, "CLOSING"},
    {"LAST-ACK", A, 0, 0, 5, A, "LAST-ACK"},
    {"TIME-WAIT", A, 0, 0, 5, A, "TIME-WAIT"},
    /* eighth: FIN */
    {"SYN-RECEIVED", F | A, 0, 0, 0, A, "CLOSE-WAIT", 1},
    {"ESTABLISHED", F | A, 0, 0, 0, A, "CLOSE-WAIT", 1},
    {"ESTABLISHED", F | A, 0, 0, 9, A, "CLOSE-WAIT", 10},
    {"FIN-WAIT-1", F | A, 0, 0, 0, A, "CLOSING", 1},
    {"FIN-WAIT-1", F | A, 0, 1, 0, A, "TIME-WAIT", 1},
    {"FIN-WAIT-2", F | A, 0, 0, 0, A, "TIME-WAIT", 1},
    {"FIN-WAIT-1", F | A, 0, 0, 5, A, "CLOSING", 6},
    {"FIN-WAIT-2", F | A, 0, 0, 5, A, "TIME-WAIT", 6},
    {"CLOSE-WAIT", F | A, 0, 0, 0, A, "CLOSE-WAIT"}, /* a second FIN behind the first */
    {"CLOSING", F | A, 0, 0, 0, A, "CLOSING"},
    {"LAST-ACK", F | A, 0, 0, 0, A, "LAST-ACK"},
};

static void in_each_state_each_segment_has_its_answer(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct tcp_segment s = {.flags = NONE};
		struct script f;
		script_begin(&f);
		reach(&f, row->state);
		in(&f, row->flags, f.seq + (uint32_t)row->seq, f.ack + (uint32_t)row->ack, row->length);
		bool any = out(&f, &s);
		uint8_t reply = any ? s.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK) : NONE;
		if ((row->reply == R ? !(reply & R) : reply != row->reply) ||
		    strcmp(state_of(&f), row->then) != 0)
			fail_msg("row %zu, %s: answered with %x, then %s", i, row->state, reply,
				 state_of(&f));
		if ((row->reply == A && s.ack != f.seq + row->taken) || f.error != row->error)
			fail_msg("row %zu, %s: acknowledged %d, told %d", i, row->state, (int32_t)(s.ack - f.seq), f.error);
		expect_nothing(&f);
		script_end(&f);
	}
}

static void resets_for_unknown_flows_are_acceptable_to_their_senders(void **state)
{
	struct script f;
	struct tcp_segment s;

	script_begin(&f);
	in(&f, TCP_ACK, 100, 777, 5);
	s = expect(&f, TCP_RST);
	assert_int_equal(s.seq, 777);
	f.stack_port = 9;
	in(&f, TCP_SYN, 100, 0, 0);
	s = expect(&f, TCP_RST | TCP_ACK);
	assert_int_equal(s.seq, 0);
	assert_int_equal(s.ack, 101);
	script_end(&f);
}

/* --- scripts */

static void bytes_that_arrive_twice_are_delivered_once(void **state)
{
	struct script f;

	script_begin(&f);
	established(&f);
	in(&f, TCP_ACK, f.seq + 10, f.ack, 10); /* beyond a gap: a duplicate acknowledgment, at once */
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	in(&f, TCP_ACK, f.seq + 5, f.ack, 30); /* overlaps it on both sides */
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	assert_int_equal(f.data, 0);
	in(&f, TCP_ACK, f.seq, f.ack, 8);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 35);
	assert_int_equal(f.data, 35);
	in(&f, TCP_ACK, f.seq, f.ack, 40);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 40);
	assert_int_equal(f.data, 40);
	script_end(&f);
}

static void a_fin_before_the_bytes_that_precede_it_waits_for_them(void **state)
{
	struct script f;

	script_begin(&f);
	established(&f);
	in(&f, TCP_ACK | TCP_FIN, f.seq + 10, f.ack, 10);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	assert_int_equal(f.eofs, 0);
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 21);
	assert_int_equal(f.data, 20);
	assert_int_equal(f.eofs, 1);
	script_end(&f);
}

static void a_closed_window_opens_when_the_application_reads_and_never_shrinks(void **state)
{
	struct script f;
	uint32_t edge = 0;

	script_begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 1, .receive_window = 4096});
	established(&f);
	paste_conn_pause(f.conn);
	for (int i = 0; i < 12; i++) {
		uint32_t length = f.window && i ? f.window < 500 ? f.window : 500 : 500;
		in(&f, TCP_ACK, f.seq, f.ack, length);
		struct tcp_segment s = expect(&f, TCP_ACK);
		f.seq = s.ack;
		assert_true(!edge || seq_upto(edge, s.ack + s.window));
		edge = s.ack + s.window;
	}
	assert_int_equal(f.window, 0);
	in(&f, TCP_ACK, f.seq, f.ack, 100); /* a probe with data: not taken, answered */
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	paste_conn_resume(f.conn);
	script_turn(&f);
	struct tcp_segment s = expect(&f, TCP_ACK);
	assert_true(s.window > 3000);
	assert_int_equal(f.data, s.ack - 5001);
	script_end(&f);
}

static void our_probes_ask_for_a_closed_window(void **state)
{
	struct paste_send bytes = {.inline_bytes = "hello", .inline_length = 5};
	struct script f;

	script_begin(&f);
	established(&f);
	script_put(&f, (struct tcp_segment){.flags = TCP_ACK, .seq = f.seq, .ack = f.ack, .window = 0});
	assert_int_equal(paste_conn_send(f.conn, &bytes, 1), 0);
	script_turn(&f);
	expect_nothing(&f);
	for (int i = 0; i < 3; i++) { /* before the window, ever more seldom */
		f.now += 10000000;
		script_turn(&f);
		struct tcp_segment s = expect(&f, TCP_ACK);
		assert_int_equal(s.seq, f.ack - 1);
		assert_int_equal(s.length, 0);
		script_put(&f, (struct tcp_segment){.flags = TCP_ACK, .seq = f.seq, .ack = f.ack, .window = 0});
	}
	in(&f, TCP_ACK, f.seq, f.ack, 0);
	struct tcp_segment s = expect(&f, TCP_ACK);
	assert_int_equal(s.seq, f.ack);
	assert_int_equal(s.length, 5);
	script_end(&f);
}

static void replies_ride_with_the_acknowledgment(void **state)
{
	struct paste_send bytes = {.inline_bytes = "reply", .inline_length = 5};
	struct script f;
	struct paste_event e[EVENTS];

	script_begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 0});
	established(&f);
	struct paste_tcp_stats before, after;
	paste_tcp_stats(f.stack, &before);
	struct paste_ring *r = f.port[0]->transmit;
	assert_int_equal(r->head, r->cur);
	/* The segment, one turn for its event, the reply, one turn for the answer. */
	in(&f, TCP_ACK, f.seq, f.ack, 20);
	assert_int_equal(expect(&f, TCP_ACK).length, 0); /* at first acknowledgments are quick */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(paste_conn_send(f.conn, &bytes, 1), 0);
		assert_true(tcp_turn(f.stack, f.now, e, EVENTS) >= 0);
	}
	for (int i = 0; i < 3; i++) {
		struct tcp_segment s = expect(&f, TCP_ACK);
		assert_int_equal(s.length, 5);
		assert_int_equal(s.ack, f.seq + 20);
	}
	expect_nothing(&f);
	paste_tcp_stats(f.stack, &after);
	assert_int_equal(after.segments_sent - before.segments_sent, 4);
	script_end(&f);
}

static void lost_segments_are_sent_again_with_back_off_until_the_user_timeout(void **state)
{
	struct paste_send bytes = {.inline_bytes = "hello", .inline_length = 5};
	struct script f;
	uint64_t last = 0, gap = 0;

	script_begin_with(&f, (struct paste_tcp_options){.user_timeout_us = 60000000});
	established(&f);
	assert_int_equal(paste_conn_send(f.conn, &bytes, 1), 0);
	script_turn(&f);
	assert_int_equal(expect(&f, TCP_ACK).length, 5);
	last = f.now;
	struct tcp_segment s;
	while (!f.error) {
		f.now += 10000;
		script_turn(&f);
		if (!f.error && out(&f, &s)) {
			assert_int_equal(s.seq, f.ack);
			assert_int_equal(s.length, 5);
			assert_true(f.now - last + 20000 >= gap * 2 || f.now - last >= 59000000);
			gap = f.now - last;
			last = f.now;
		}
	}
	assert_int_equal(f.error, -ETIMEDOUT);
	expect(&f, TCP_RST | TCP_ACK);
	script_end(&f);
}

static void three_duplicates_make_it_send_again_at_once(void **state)
{
	uint8_t bytes[5000] = {0};
	struct paste_send piece = {.inline_bytes = bytes, .inline_length = sizeof(bytes)};
	struct script f;
	struct tcp_segment s;

	script_begin(&f);
	established(&f);
	assert_int_equal(paste_conn_send(f.conn, &piece, 1), 0);
	script_turn(&f);
	while (out(&f, &s))
		;
	for (int i = 0; i < 2; i++) {
		in(&f, TCP_ACK, f.seq, f.ack, 0);
		expect_nothing(&f);
	}
	in(&f, TCP_ACK, f.seq, f.ack, 0);
	s = expect(&f, TCP_ACK);
	assert_int_equal(s.seq, f.ack);
	assert_int_equal(s.length, 536); /* the peer's SYN had no MSS */
	expect_nothing(&f);
	script_end(&f);
}

static void old_timestamps_are_refused(void **state)
{
	struct script f;

	script_begin(&f);
	f.timestamps = true;
	f.ts = 1000;
	established(&f);
	f.ts = 999;
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	assert_int_equal(f.data, 0);
	f.ts = 1001;
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	struct tcp_segment s = expect(&f, TCP_ACK);
	assert_int_equal(s.ack, f.seq + 10);
	assert_int_equal(s.ts_echo, 1001);
	script_end(&f);
}

static void a_flood_of_syns_keeps_the_established_served(void **state)
{
	struct script f;
	struct tcp_segment s;
	struct paste_tcp_stats stats;

	script_begin_with(&f,
		   (struct paste_tcp_options){.delayed_ack_us = 1, .half_open = 16, .limits.connections = 4});
	established(&f);
	struct packet_path peer = f.path;
	for (uint32_t i = 0; i < 2000; i++) {
		uint8_t forged[4] = {10, 9, (uint8_t)(i >> 8), (uint8_t)(i | 1)};
		f.path.source = net_address4(forged);
		in(&f, TCP_SYN, i * 1000, 0, 0);
		while (out(&f, &s))
			;
	}
	f.path = peer;
	paste_tcp_stats(f.stack, &stats);
	assert_int_equal(stats.half_open, 16);
	assert_true(stats.half_open_evicted > 900);
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 10);
	assert_int_equal(f.data, 10);
	script_end(&f);
}

static void nobody_who_guesses_is_challenged_more_than_twice_a_second(void **state)
{
	struct script f;
	struct tcp_segment s;
	uint32_t answers = 0;

	script_begin(&f);
	established(&f);
	for (uint32_t i = 1; i <= 1000; i++) {
		in(&f, i & 1 ? TCP_RST : TCP_SYN, f.seq + i, 0, 0);
		answers += out(&f, &s);
		f.now += 1000;
	}
	assert_in_range(answers, 1, 3);
	assert_string_equal(state_of(&f), "ESTABLISHED");
	script_end(&f);
}

/* Whoever waits with ending until there are no connections waits for those that miss something. */
static void a_closed_connection_whose_peer_has_everything_is_not_waited_for(void **state)
{
	struct paste_send bytes = {.inline_bytes = "last", .inline_length = 4};
	struct paste_stack_stats stats;
	struct script f;

	script_begin(&f);
	established(&f);
	assert_int_equal(paste_conn_send(f.conn, &bytes, 1), 0);
	paste_conn_close(f.conn);
	script_turn(&f);
	assert_int_equal(expect(&f, TCP_ACK | TCP_FIN).length, 4);
	in(&f, TCP_ACK, f.seq, f.ack + 4, 0); /* all but the FIN */
	paste_stack_stats(f.stack, &stats);
	assert_int_equal(stats.connections, 1);
	in(&f, TCP_ACK, f.seq, f.ack + 5, 0);
	assert_string_equal(state_of(&f), "FIN-WAIT-2");
	paste_stack_stats(f.stack, &stats);
	assert_int_equal(stats.connections, 0);
	in(&f, TCP_ACK | TCP_FIN, f.seq, f.ack + 5, 0);
	assert_string_equal(state_of(&f), "TIME-WAIT");
	paste_stack_stats(f.stack, &stats);
	assert_int_equal(stats.connections, 0);
	assert_int_equal(stats.closed, 1);
	script_end(&f);
}

static void silent_peers_are_asked_and_then_given_up(void **state)
{
	struct script f;
	struct tcp_segment s;
	int asked = 0;

	script_begin_with(&f, (struct paste_tcp_options){.keep_alive_us = 9000000});
	established(&f);
	for (int i = 0; i < 3000 && !f.error; i++) {
		f.now += 10000;
		script_turn(&f);
		while (!f.error && out(&f, &s)) {
			assert_int_equal(s.seq, f.ack - 1);
			asked++;
		}
	}
	assert_int_equal(asked, 9);
	assert_int_equal(f.error, -ETIMEDOUT);
	script_end(&f);
}

/* --- a neighbour that is not known yet */

static void connect_unresolved(struct script *f)
{
	struct paste_send s = {.inline_bytes = "early", .inline_length = 5};
	struct paste_conn_info info;

	script_begin(f);
	f->neighbour = -EAGAIN;
	assert_int_equal(paste_stack_connect(f->stack, "10.0.0.1:2000", &f->conn, NULL), 0);
	assert_int_equal(paste_conn_info(f->conn, &info), 0);
	assert_string_equal(info.state, "SYN-SENT");
	f->stack_port = (uint16_t)atoi(strrchr(info.local, ':') + 1);
	assert_int_equal(paste_conn_send(f->conn, &s, 1), 0); /* nor does this make it leave */
	for (int ms = 0; ms < 500; ms++, f->now += 1000)
		script_turn(f);
	expect_nothing(f);
	assert_true(f->asked > 5 && f->asked < 40);
	assert_int_equal(f->error, 0);
}

static void a_syn_waits_for_its_neighbour(void **state)
{
	struct script f;

	connect_unresolved(&f);
	f.neighbour = 0;
	f.now += 60000;
	script_turn(&f);
	struct tcp_segment s = expect(&f, TCP_SYN);
	f.ack = s.seq + 1;
	in(&f, TCP_SYN | TCP_ACK, f.seq++, f.ack, 0);
	assert_int_equal(f.connects, 1);
	assert_int_equal(expect(&f, TCP_ACK).length, 5);
	uint32_t asked = f.asked;
	f.now += 1000000;
	script_turn(&f);
	assert_int_equal(f.asked, asked);
	paste_conn_abort(f.conn);
	script_end(&f);
}

static void a_neighbour_that_is_not_found_ends_it(void **state)
{
	for (int kind = 0; kind < 2; kind++) {
		struct script f;

		connect_unresolved(&f);
		if (kind == 1)
			f.neighbour = -ENETUNREACH;
		for (int ms = 0; ms < 11000 && !f.error; ms += 10, f.now += 10000)
			script_turn(&f);
		assert_int_equal(f.error, kind ? -ENETUNREACH : -EHOSTUNREACH);
		expect_nothing(&f);
		paste_conn_close(f.conn);
		script_end(&f);
	}
}

static void a_syn_that_comes_while_it_waits_is_answered_later(void **state)
{
	struct script f;

	connect_unresolved(&f);
	in(&f, TCP_SYN, f.seq++, 0, 0);
	script_turn(&f);
	expect_nothing(&f);
	f.neighbour = 0;
	f.now += 60000;
	script_turn(&f);
	f.ack = expect(&f, TCP_SYN | TCP_ACK).seq + 1;
	in(&f, TCP_ACK, f.seq, f.ack, 0);
	script_turn(&f);
	assert_int_equal(f.connects, 1);
	assert_int_equal(expect(&f, TCP_ACK).length, 5);
	paste_conn_abort(f.conn);
	script_end(&f);
}

static void giving_up_while_it_waits_sends_nothing(void **state)
{
	for (int kind = 0; kind < 2; kind++) {
		struct script f;

		connect_unresolved(&f);
		(kind ? paste_conn_abort : paste_conn_close)(f.conn);
		f.now += 1000000;
		f.neighbour = 0;
		script_turn(&f);
		expect_nothing(&f);
		script_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(in_each_state_each_segment_has_its_answer),
	    cmocka_unit_test(resets_for_unknown_flows_are_acceptable_to_their_senders),
	    cmocka_unit_test(bytes_that_arrive_twice_are_delivered_once),
	    cmocka_unit_test(a_fin_before_the_bytes_that_precede_it_waits_for_them),
	    cmocka_unit_test(a_closed_window_opens_when_the_application_reads_and_never_shrinks),
	    cmocka_unit_test(our_probes_ask_for_a_closed_window),
	    cmocka_unit_test(replies_ride_with_the_acknowledgment),
	    cmocka_unit_test(lost_segments_are_sent_again_with_back_off_until_the_user_timeout),
	    cmocka_unit_test(three_duplicates_make_it_send_again_at_once),
	    cmocka_unit_test(old_timestamps_are_refused),
	    cmocka_unit_test(a_flood_of_syns_keeps_the_established_served),
	    cmocka_unit_test(nobody_who_guesses_is_challenged_more_than_twice_a_second),
	    cmocka_unit_test(a_closed_connection_whose_peer_has_everything_is_not_waited_for),
	    cmocka_unit_test(silent_peers_are_asked_and_then_given_up),
	    cmocka_unit_test(a_syn_waits_for_its_neighbour),
	    cmocka_unit_test(a_neighbour_that_is_not_found_ends_it),
	    cmocka_unit_test(a_syn_that_comes_while_it_waits_is_answered_later),
	    cmocka_unit_test(giving_up_while_it_waits_sends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
