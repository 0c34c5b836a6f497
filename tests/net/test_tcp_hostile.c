/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Peers that mean harm, and people in between who guess. A table: so many segments of a kind, made by a
 * function; then the victim, a connection that was established before, still gets its bytes, memory is
 * bounded, answers are few, and a counter says what happened. Then scripts of what needs more than one kind.
 */
#include <errno.h>
#include <stdio.h>

#include "tcp_script.h"

#define HALF_OPEN 16
#define CONNECTIONS 64
#define QUEUED 3000 /* bytes of ours that the victim has not acknowledged */

/* --- who guesses */

struct attack {
	const char *name;
	void (*make)(struct script *f, uint32_t i, struct tcp_segment *s);
	bool forged;   /* each from another address */
	uint32_t many; /* segments */
	uint32_t answers_most; /* with the one probe for what the victim was sent */
	size_t counter; /* in struct paste_tcp_stats */
	uint64_t counts;
};

static void any_syn(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->flags = TCP_SYN;
	s->seq = i * 977;
	s->mss = (uint16_t)i; /* 0 and 1, too */
	s->scale = (uint8_t)i;
	s->sack_permitted = true;
}

static void rst_in_window(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->flags = TCP_RST;
	s->seq = f->seq + 1 + i;
}

static void rst_anywhere(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->flags = TCP_RST | TCP_ACK;
	s->seq = f->seq + 1 + i * 0x123457;
	s->ack = i * 0x7654321;
}

static void syn_of_the_victim(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->flags = i & 1 ? TCP_SYN : TCP_SYN | TCP_ACK;
	s->seq = f->seq + i * 0x123457;
}

static void data_with_an_ack_of_the_future(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->flags = TCP_ACK;
	s->seq = f->seq + i % 100;
	s->ack = f->ack + QUEUED + 1 + i * 100000;
	s->length = 50;
}

static void data_with_an_ack_of_long_ago(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->flags = TCP_ACK | TCP_FIN;
	s->seq = f->seq + i % 100;
	s->ack = f->ack - 70000 - i * 100000;
	s->length = 50;
}

static void data_outside(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->flags = TCP_ACK;
	s->seq = f->seq + 10000000 + i * 100000;
	s->ack = f->ack;
	s->length = 50;
}

static void data_without_an_ack(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->seq = f->seq;
	s->length = 50;
	s->flags = i & 1 ? TCP_FIN : TCP_URG | TCP_PSH;
}

static void ack_of_what_was_not_sent(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->flags = TCP_ACK;
	s->seq = f->seq;
	s->ack = f->ack + QUEUED + 1 + i;
}

static void sacks_of_anything(struct script *f, uint32_t i, struct tcp_segment *s)
{
	uint32_t una = f->ack, end = f->ack + QUEUED;
	struct tcp_range ranges[] = {
	    {end, end + 1 + i},            /* not sent */
	    {una - 5000, una},             /* long acknowledged */
	    {una, end},                    /* what an acknowledgment would say */
	    {una + 500, una + 100},        /* backwards */
	    {una + 7, una + 7},            /* nothing */
	    {una - 1, una + 1},            /* around the edge */
	    {una + 0x80000000u, una + 10}, /* half the space away */
	    {una + 0x7fffffffu, una - 10},
	};

	s->flags = TCP_ACK;
	s->seq = f->seq;
	s->ack = f->ack;
	s->sacks = 3;
	for (uint32_t k = 0; k < 3; k++)
		s->sack[k] = ranges[(i + k * (1 + i / 8)) % (sizeof(ranges) / sizeof(ranges[0]))];
}

static void reset_for_nobody(struct script *f, uint32_t i, struct tcp_segment *s)
{
	s->flags = i & 1 ? TCP_RST : TCP_RST | TCP_ACK;
	s->seq = i;
}

#define COUNTER(name) offsetof(struct paste_tcp_stats, name)

static const struct attack attacks[] = {
    {"SYNs from forged addresses", any_syn, true, 20000, 40000, COUNTER(half_open_evicted),
     20000 - HALF_OPEN},
    {"resets in the window", rst_in_window, false, 2000, 5, COUNTER(challenge_acks), 1},
    {"resets anywhere", rst_anywhere, false, 2000, 5, COUNTER(out_of_window), 1800},
    {"SYNs in the connection", syn_of_the_victim, false, 2000, 5, COUNTER(challenge_acks), 1},
    {"data with an acknowledgment of the future", data_with_an_ack_of_the_future, false, 2000, 5,
     COUNTER(bad_acks), 2000},
    {"data with an acknowledgment of long ago", data_with_an_ack_of_long_ago, false, 2000, 5,
     COUNTER(bad_acks), 2000},
    {"data outside the window", data_outside, false, 2000, 2001, COUNTER(out_of_window), 2000},
    {"data without an acknowledgment", data_without_an_ack, false, 2000, 1, COUNTER(segments_received), 2000},
    {"acknowledgments of what was not sent", ack_of_what_was_not_sent, false, 2000, 5, COUNTER(bad_acks),
     2000},
    {"SACK blocks of anything", sacks_of_anything, false, 2000, 20, COUNTER(segments_received), 2000},
    {"resets for no connection", reset_for_nobody, true, 2000, 1, COUNTER(segments_received), 2000},
};

/* A connection that has offered everything, and whose stack has sent it QUEUED bytes. */
static void begin_victim(struct script *f)
{
	static const uint8_t bytes[QUEUED];
	struct paste_send piece = {.inline_bytes = bytes, .inline_length = QUEUED};
	struct tcp_segment s;

	script_begin_with(f, (struct paste_tcp_options){.delayed_ack_us = 1,
							.half_open = HALF_OPEN,
							.limits.connections = CONNECTIONS,
							.user_timeout_us = 60000000});
	script_put(f, (struct tcp_segment){.flags = TCP_SYN,
					   .seq = f->seq++,
					   .window = 60000,
					   .mss = 1460,
					   .sack_permitted = true,
					   .scale = TCP_SCALE_NONE});
	f->ack = expect(f, TCP_SYN | TCP_ACK).seq + 1;
	in(f, TCP_ACK, f->seq, f->ack, 0);
	assert_int_equal(f->accepts, 1);
	assert_int_equal(paste_conn_send(f->conn, &piece, 1), 0);
	script_turn(f);
	for (uint32_t seen = 0; seen < QUEUED; seen += s.length)
		s = expect(f, TCP_ACK);
	expect_nothing(f);
}

static void from(struct script *f, uint32_t i)
{
	uint8_t address[4] = {10, (uint8_t)(9 + (i >> 16)), (uint8_t)(i >> 8), (uint8_t)i};

	f->path.source = net_address4(address);
	f->peer_port = (uint16_t)(3000 + i % 50000);
}

static void back_to_the_victim(struct script *f, const struct packet_path *path)
{
	f->path = *path;
	f->peer_port = 2000;
}

/* It gets what it sends, and what it was sent. */
static void victim_is_served(struct script *f)
{
	struct tcp_segment s;
	uint32_t data = f->data;

	assert_string_equal(state_of(f), "ESTABLISHED");
	assert_int_equal(f->error, 0);
	in(f, TCP_ACK, f->seq, f->ack, 10);
	s = expect(f, TCP_ACK);
	assert_int_equal(s.ack, f->seq + 10);
	f->seq += 10;
	assert_int_equal(f->data, data + 10);
	/* What the stack has sent is kept until it is acknowledged: it comes again, all of it. */
	uint32_t have = f->ack;
	for (int i = 0; i < 100 && have != f->ack + QUEUED; i++) {
		f->now += 300000;
		script_turn(f);
		while (out(f, &s)) {
			if (s.seq == have)
				have += s.length;
		}
		in(f, TCP_ACK, f->seq, have, 0);
	}
	assert_int_equal(have, f->ack + QUEUED);
	struct paste_conn_info info;
	assert_int_equal(paste_conn_info(f->conn, &info), 0);
	assert_int_equal(info.unacknowledged, 0);
	/* No guess has made us believe in more than what was acknowledged. */
	assert_in_range(info.cwnd, 1, 14600 + QUEUED);
	assert_in_range(info.rto_us, 200000, 60000000);
}

static void guesses_change_nothing_and_are_counted(void **state)
{
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		const struct attack *a = &attacks[i];
		struct paste_tcp_stats before, after;
		struct script f;
		begin_victim(&f);
		paste_tcp_stats(f.stack, &before);
		struct packet_path path = f.path;
		uint32_t out_before = fake_region_out(f.region), data = f.data, answers = 0;
		for (uint32_t k = 0; k < a->many; k++) {
			struct tcp_segment s = {.window = 60000, .scale = TCP_SCALE_NONE}, answer;
			if (a->forged)
				from(&f, k);
			a->make(&f, k, &s);
			f.now += 50; /* all within a second, before the victim's time-out */
			script_put(&f, s);
			while (out(&f, &answer))
				answers++;
			if (fake_region_out(f.region) > out_before + 8)
				fail_msg("%s: %u buffers are held", a->name,
					 fake_region_out(f.region) - out_before);
		}
		paste_tcp_stats(f.stack, &after);
		if (answers > a->answers_most)
			fail_msg("%s: %u answers", a->name, answers);
		uint64_t counted =
		    *(uint64_t *)((char *)&after + a->counter) - *(uint64_t *)((char *)&before + a->counter);
		if (counted < a->counts)
			fail_msg("%s: only %llu were counted", a->name, (unsigned long long)counted);
		if (f.data != data || f.eofs)
			fail_msg("%s: something was taken", a->name);
		assert_true(after.half_open <= HALF_OPEN && after.held_pieces == 0);
		back_to_the_victim(&f, &path);
		victim_is_served(&f);
		script_end(&f);
	}
}

/* --- who is known to be right, and is not */

static void of_bytes_that_come_twice_the_first_ones_stay(void **state)
{
	struct {
		char fill;
		uint32_t at, length;
	} segments[] = {{'a', 20, 10}, {'b', 15, 10}, {'c', 10, 30}, {'d', 25, 3},
			{'e', 5, 60},  {'f', 0, 7},   {'g', 0, 80}};
	struct script f;
	char want[81];

	memset(want, '?', sizeof(want));
	script_begin(&f);
	established(&f);
	for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
		struct tcp_segment s;
		f.fill = (uint8_t)segments[i].fill;
		in(&f, TCP_ACK, f.seq + segments[i].at, f.ack, segments[i].length);
		for (uint32_t k = segments[i].at; k < segments[i].at + segments[i].length; k++) {
			if (want[k] == '?')
				want[k] = segments[i].fill;
		}
		while (out(&f, &s))
			;
	}
	assert_int_equal(f.data, 80);
	assert_memory_equal(f.got, want, 80);
	script_end(&f);
}

static void a_timestamp_of_the_future_with_a_wrong_acknowledgment_is_not_believed(void **state)
{
	struct script f;
	struct tcp_segment s;

	script_begin(&f);
	f.timestamps = true;
	f.ts = 1000;
	established(&f);
	for (uint32_t i = 0; i < 100; i++) {
		f.ts = 1000 + 0x7fffff00u + i;
		in(&f, TCP_ACK, f.seq, f.ack + 1 + i, 10); /* never sent */
		f.ts = 1000 + 0x7fffff00u + i;
		in(&f, TCP_ACK, f.seq + 10000000, f.ack, 10); /* beyond the window */
		f.ts = 1000 - 1 - i;
		in(&f, TCP_ACK, f.seq, f.ack, 10);
		while (out(&f, &s))
			assert_int_equal(s.ts_echo, 1000);
	}
	assert_int_equal(f.data, 0);
	f.ts = 1001;
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	s = expect(&f, TCP_ACK);
	assert_int_equal(s.ack, f.seq + 10);
	assert_int_equal(s.ts_echo, 1001);
	script_end(&f);
}

static void an_echo_that_was_never_sent_does_not_spoil_the_round_trip_time(void **state)
{
	struct paste_send piece = {.inline_bytes = "hello", .inline_length = 5};
	struct paste_conn_info info;
	struct tcp_segment s;
	struct script f;

	script_begin(&f);
	f.timestamps = true;
	f.ts = 1000;
	established(&f);
	for (uint32_t i = 0; i < 64; i++) {
		assert_int_equal(paste_conn_send(f.conn, &piece, 1), 0);
		script_turn(&f);
		f.now += 5000000; /* sent again: only a timestamp can tell now */
		script_turn(&f);
		while (out(&f, &s))
			;
		f.ack += 5;
		f.ts++;
		script_put(&f, (struct tcp_segment){.flags = TCP_ACK,
						    .seq = f.seq,
						    .ack = f.ack,
						    .window = 60000,
						    .ts_echo = s.ts_value +
							       (i & 1 ? i * 0x04000000u : 0x80000000u - i)});
		assert_int_equal(paste_conn_info(f.conn, &info), 0);
		assert_in_range(info.rto_us, 200000, 60000000);
	}
	script_end(&f);
}

/* Acknowledging each byte by itself, or again and again, opens the congestion window by what was
 * acknowledged. */
static void many_small_acknowledgments_do_not_open_the_congestion_window(void **state)
{
	static const uint8_t bytes[14000];
	struct paste_send piece = {.inline_bytes = bytes, .inline_length = sizeof(bytes)};
	struct paste_conn_info before, after;
	struct tcp_segment s;
	struct script f;

	script_begin(&f);
	established(&f);
	assert_int_equal(paste_conn_info(f.conn, &before), 0);
	assert_int_equal(paste_conn_send(f.conn, &piece, 1), 0);
	script_turn(&f);
	for (uint32_t i = 0; i < 500; i++) {
		in(&f, TCP_ACK, f.seq, f.ack + i, 0);
		while (out(&f, &s))
			;
	}
	assert_int_equal(paste_conn_info(f.conn, &after), 0);
	assert_in_range(after.cwnd, before.cwnd, before.cwnd + 500);
	script_end(&f);
}

/* --- who takes what there is, and gives nothing */

/* A handshake from `from(i)`; its first acknowledgment, or 0 if it was not answered. */
static uint32_t shake_hands(struct script *f, uint32_t i, uint16_t window)
{
	struct tcp_segment s;

	from(f, i);
	script_put(f,
		   (struct tcp_segment){
		       .flags = TCP_SYN, .seq = i, .window = window, .mss = 1460, .scale = TCP_SCALE_NONE});
	if (!out(f, &s))
		return 0;
	assert_int_equal(s.flags & (TCP_SYN | TCP_ACK), TCP_SYN | TCP_ACK);
	script_put(f,
		   (struct tcp_segment){.flags = TCP_ACK, .seq = i + 1, .ack = s.seq + 1, .window = window});
	return s.seq + 1;
}

static void silent_connections_hold_nothing_and_are_bounded(void **state)
{
	enum { MANY = 65536 };
	struct paste_stack_stats stats;
	struct paste_tcp_stats counters;
	struct script f;

	script_begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 1, .limits.connections = MANY});
	established(&f);
	struct packet_path path = f.path;
	uint32_t buffers = fake_region_out(f.region);
	for (uint32_t i = 0; i < MANY - 1; i++)
		assert_true(shake_hands(&f, i, 60000) != 0);
	paste_stack_stats(f.stack, &stats);
	assert_int_equal(stats.connections, MANY);
	assert_true(fake_region_out(f.region) <= buffers + 8);
	for (uint32_t i = 0; i < 100; i++) /* no more than that */
		assert_int_equal(shake_hands(&f, MANY + i, 60000), 0);
	paste_tcp_stats(f.stack, &counters);
	paste_stack_stats(f.stack, &stats);
	assert_int_equal(counters.syns_dropped, 100);
	assert_int_equal(stats.connections, MANY);
	assert_int_equal(counters.held_pieces, 0);
	assert_int_equal(counters.send_blocks, 0);
	back_to_the_victim(&f, &path);
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 10);
	script_end(&f);
}

/* They ask for much and let nothing through. Each queues what the limit says; once the application has closed
 * them they are dead after a quarter of the user time-out, though they answer each probe. */
static void closed_windows_cost_what_the_limit_says_and_not_for_ever(void **state)
{
	enum { MANY = 40, LIMIT = 16384, SECONDS = 15 + 7 }; /* probes are up to 6.4 s apart by then */
	static const uint8_t bytes[4000];
	struct paste_send piece = {.inline_bytes = bytes, .inline_length = sizeof(bytes)};
	struct paste_stack_stats stats;
	struct paste_tcp_stats counters;
	struct tcp_segment s;
	struct paste_conn *conn[MANY];
	uint32_t ack[MANY], probes = 0;
	struct script f;

	script_begin_with(
	    &f, (struct paste_tcp_options){.delayed_ack_us = 1,
					   .limits = {.connections = CONNECTIONS, .send_bytes = LIMIT},
					   .user_timeout_us = 60000000});
	established(&f);
	struct packet_path path = f.path;
	for (uint32_t i = 0; i < MANY; i++) {
		ack[i] = shake_hands(&f, i, 0);
		conn[i] = f.conn;
		uint32_t queued = 0;
		while (paste_conn_send(conn[i], &piece, 1) == 0)
			queued += sizeof(bytes);
		assert_in_range(queued, LIMIT, LIMIT + sizeof(bytes));
		assert_int_equal(paste_conn_unsent(conn[i]), queued);
	}
	for (uint32_t i = 0; i < MANY; i++)
		paste_conn_close(conn[i]);
	for (uint32_t second = 0; second < SECONDS; second++) {
		f.now += 1000000;
		script_turn(&f);
		while (out(&f, &s))
			probes += s.length == 0 && !(s.flags & TCP_RST);
		for (uint32_t i = 0; i < MANY && second < SECONDS - 1; i++) {
			from(&f, i);
			script_put(&f, (struct tcp_segment){
					   .flags = TCP_ACK, .seq = i + 1, .ack = ack[i], .window = 0});
		}
		back_to_the_victim(&f, &path);
		in(&f, TCP_ACK, f.seq, f.ack, 10);
		f.seq += 10;
	}
	assert_in_range(probes, MANY, SECONDS * MANY);
	paste_tcp_stats(f.stack, &counters);
	paste_stack_stats(f.stack, &stats);
	assert_int_equal(stats.connections, 1);
	assert_int_equal(counters.send_blocks, 0);
	assert_int_equal(f.data, SECONDS * 10);
	script_end(&f);
}

/* Everybody sends beyond a gap that is never filled, as much as is taken. Bytes in order find room. */
static void gaps_that_are_never_filled_leave_room_for_what_comes_in_order(void **state)
{
	enum { MANY = 60 };
	struct paste_tcp_stats counters;
	struct tcp_segment s;
	uint32_t ack[MANY];
	struct script f;

	script_begin_with(&f,
			  (struct paste_tcp_options){.delayed_ack_us = 1, .limits.connections = CONNECTIONS});
	established(&f);
	struct packet_path path = f.path;
	for (uint32_t i = 0; i < MANY; i++)
		ack[i] = shake_hands(&f, i, 60000);
	for (uint32_t k = 0; k < 200; k++) {
		for (uint32_t i = 0; i < MANY; i++) {
			from(&f, i);
			/* a byte, a hole, a byte ...: each holds a buffer */
			script_put(&f, (struct tcp_segment){.flags = TCP_ACK,
							    .seq = i + 3 + k * 2,
							    .ack = ack[i],
							    .length = 1,
							    .window = 60000});
			while (out(&f, &s))
				;
		}
	}
	paste_tcp_stats(f.stack, &counters);
	assert_true(counters.refused_room > 1000);
	/* of 1024, less what the rings hold, twice the reserve of 64 stays free */
	assert_true(paste_buffer_free(f.region) >= 64);
	back_to_the_victim(&f, &path);
	for (int i = 0; i < 100; i++) {
		in(&f, TCP_ACK, f.seq, f.ack, 1000);
		f.seq += 1000;
		assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	}
	assert_int_equal(f.data, 100000);
	script_end(&f);
}

/* What is stored, or others, have all buffers but the rings': requests still come in and are acknowledged. */
static void a_full_region_is_still_served(void **state)
{
	uint32_t taken[1024], n = 0;
	struct script f;

	script_begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 1});
	while (paste_buffer_alloc(f.region, &taken[n]) == 0)
		n++;
	assert_true(n > 500);
	established(&f);
	for (int i = 0; i < 300; i++) {
		in(&f, TCP_ACK, f.seq, f.ack, 1000);
		f.seq += 1000;
		assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	}
	assert_int_equal(f.data, 300000);
	while (n > 0)
		paste_buffer_put(f.region, taken[--n]);
	script_end(&f);
}

static uint32_t posted_of[3];

static uint32_t posted(struct paste_port *port, uint32_t queue)
{
	assert_true(queue < port->info.queues);
	return posted_of[queue];
}

/* A queue that is down to half of its ring may lose no more buffers, however many the others have: it would go deaf, and with
 * it whoever could make room. */
static void no_queue_goes_deaf_because_others_have_buffers(void **state)
{
	struct paste_ring ring[3] = {{.size = 512}, {.size = 512}, {.size = 512}};
	struct paste_port_ops ops = {.posted = posted};
	struct paste_port port = {.info.queues = 3, .receive = ring, .ops = &ops};
	static const uint32_t rows[][4] = {{512, 512, 512, 768}, {256, 512, 512, 0}, {512, 512, 0, 0},
					   {512, 260, 512, 12},	 {0, 0, 0, 0},	     {100, 512, 257, 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(posted_of, rows[i], sizeof(posted_of));
		assert_int_equal(tcp_rings_spare(&port), rows[i][3]);
	}
}

/* A byte a segment while the application does not read: they share buffers. */
static void a_dribble_does_not_hold_a_buffer_a_byte(void **state)
{
	struct paste_tcp_stats counters;
	struct paste_conn_info info;
	struct tcp_segment s;
	struct script f;

	script_begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 1});
	established(&f);
	paste_conn_pause(f.conn);
	for (int i = 0; i < 20000; i++) {
		in(&f, TCP_ACK, f.seq, f.ack, 1);
		f.seq++;
		while (out(&f, &s))
			;
	}
	assert_int_equal(paste_conn_info(f.conn, &info), 0);
	assert_in_range(info.buffers, 10, 50);
	paste_tcp_stats(f.stack, &counters);
	assert_in_range(counters.copied, 19000, 20000);
	paste_conn_resume(f.conn);
	script_turn(&f);
	assert_int_equal(f.data, 20000);
	script_end(&f);
}

/* Open, have it closed by us, acknowledge: TIME-WAIT, thousands of times. */
static void connections_in_time_wait_are_bounded(void **state)
{
	struct paste_tcp_stats counters;
	struct tcp_segment s;
	struct script f;

	script_begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 1, .time_wait = 32});
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t ack = shake_hands(&f, i, 60000);
		assert_true(ack != 0);
		paste_conn_close(f.conn);
		script_turn(&f);
		expect(&f, TCP_FIN | TCP_ACK);
		script_put(&f,
			   (struct tcp_segment){
			       .flags = TCP_FIN | TCP_ACK, .seq = i + 1, .ack = ack + 1, .window = 60000});
		while (out(&f, &s))
			;
	}
	paste_tcp_stats(f.stack, &counters);
	assert_int_equal(counters.waiting_time, 32);
	assert_int_equal(counters.time_wait_evicted, 3000 - 32);
	script_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(guesses_change_nothing_and_are_counted),
	    cmocka_unit_test(of_bytes_that_come_twice_the_first_ones_stay),
	    cmocka_unit_test(a_timestamp_of_the_future_with_a_wrong_acknowledgment_is_not_believed),
	    cmocka_unit_test(an_echo_that_was_never_sent_does_not_spoil_the_round_trip_time),
	    cmocka_unit_test(many_small_acknowledgments_do_not_open_the_congestion_window),
	    cmocka_unit_test(silent_connections_hold_nothing_and_are_bounded),
	    cmocka_unit_test(closed_windows_cost_what_the_limit_says_and_not_for_ever),
	    cmocka_unit_test(gaps_that_are_never_filled_leave_room_for_what_comes_in_order),
	    cmocka_unit_test(a_full_region_is_still_served),
	    cmocka_unit_test(no_queue_goes_deaf_because_others_have_buffers),
	    cmocka_unit_test(a_dribble_does_not_hold_a_buffer_a_byte),
	    cmocka_unit_test(connections_in_time_wait_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
