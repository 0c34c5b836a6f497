/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What single RFCs ask of a connection, as scripts: what is offered, how much is sent, when it is
 * acknowledged, what the application's calls do in each state. test_tcp_states has the table of segments.
 */
#include <errno.h>

#include "tcp_script.h"

#define SECOND 1000000ull
#define MSS 1000u

static uint8_t bytes[100000];

/* A SYN with these options, and the handshake. */
static void opened(struct script *f, struct tcp_segment syn)
{
	syn.flags = TCP_SYN;
	syn.seq = f->seq++;
	syn.window = syn.window ? syn.window : 60000;
	if (!syn.scale)
		syn.scale = TCP_SCALE_NONE;
	script_put(f, syn);
	f->ack = expect(f, TCP_SYN | TCP_ACK).seq + 1;
	in(f, TCP_ACK, f->seq, f->ack, 0);
	assert_int_equal(f->accepts, 1);
}

static void queue(struct script *f, uint32_t length)
{
	struct paste_send piece = {.inline_bytes = bytes, .inline_length = length};

	assert_int_equal(paste_conn_send(f->conn, &piece, 1), 0);
	script_turn(f);
}

/* Segments that have come, each of `length` but the last one; how many. */
static uint32_t segments(struct script *f, uint32_t length)
{
	struct tcp_segment s;
	uint32_t n = 0, last = length;

	for (; out(f, &s); n++) {
		assert_int_equal(last, length);
		last = s.length;
	}
	return n;
}

/* RFC 9293, section 3.7.1; RFC 7323, sections 2.2 and 3.2; RFC 2018, section 2 */
static void what_is_offered_is_what_the_peer_offers(void **state)
{
	for (uint32_t offers = 0; offers < 8; offers++) {
		struct tcp_segment syn = {
		    .flags = TCP_SYN, .seq = 1, .window = 60000, .mss = 1460, .scale = TCP_SCALE_NONE};
		struct script f;
		script_begin(&f);
		if (offers & 1)
			syn.scale = 7;
		syn.sack_permitted = offers & 2;
		f.timestamps = offers & 4;
		f.ts = 77;
		script_put(&f, syn);
		struct tcp_segment s = expect(&f, TCP_SYN | TCP_ACK);
		assert_true(s.mss >= 1400);
		assert_int_equal(s.scale != TCP_SCALE_NONE, offers & 1);
		assert_int_equal(s.sack_permitted, !!(offers & 2));
		assert_int_equal(s.timestamps, !!(offers & 4));
		if (s.timestamps)
			assert_int_equal(s.ts_echo, 77);
		script_end(&f);
	}
}

/* RFC 6691: the MSS counts no options, segments make room for them. */
static void segments_are_shorter_by_their_options(void **state)
{
	for (int timestamps = 0; timestamps < 2; timestamps++) {
		struct script f;
		script_begin(&f);
		f.timestamps = timestamps;
		f.ts = 1;
		opened(&f, (struct tcp_segment){.mss = MSS});
		queue(&f, 5000);
		struct tcp_segment s = expect(&f, TCP_ACK);
		assert_int_equal(s.length, timestamps ? MSS - 12 : MSS);
		while (out(&f, &s))
			;
		script_end(&f);
	}
}

/* RFC 6928: min(10 MSS, max(2 MSS, 14600)); one segment if the SYN was lost. */
static void ten_segments_are_sent_at_first(void **state)
{
	static const struct {
		uint16_t mss;
		uint32_t segments;
	} rows[] = {{536, 10}, {1000, 10}, {1448, 10}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct script f;
		script_begin(&f);
		opened(&f, (struct tcp_segment){.mss = rows[i].mss});
		queue(&f, 30000);
		assert_int_equal(segments(&f, rows[i].mss), rows[i].segments);
		script_end(&f);
	}
}

static void after_a_lost_syn_one_segment_is_sent_at_first(void **state)
{
	struct script f;

	script_begin(&f);
	reach(&f, "SYN-SENT");
	f.now += 2 * SECOND;
	script_turn(&f);
	expect(&f, TCP_SYN);
	script_put(&f, (struct tcp_segment){.flags = TCP_SYN | TCP_ACK,
					    .seq = f.seq++,
					    .ack = f.ack,
					    .window = 60000,
					    .mss = MSS,
					    .scale = TCP_SCALE_NONE});
	expect(&f, TCP_ACK);
	queue(&f, 30000);
	assert_int_equal(segments(&f, MSS), 1);
	paste_conn_abort(f.conn);
	script_end(&f);
}

/* RFC 3042: the first two duplicates let a new segment out each, the third one the lost one. */
static void duplicates_let_new_segments_out(void **state)
{
	struct script f;

	script_begin(&f);
	opened(&f, (struct tcp_segment){.mss = MSS});
	queue(&f, 30000);
	assert_int_equal(segments(&f, MSS), 10);
	for (uint32_t i = 0; i < 2; i++) {
		in(&f, TCP_ACK, f.seq, f.ack, 0);
		struct tcp_segment s = expect(&f, TCP_ACK);
		assert_int_equal(s.seq, f.ack + (10 + i) * MSS);
		assert_int_equal(s.length, MSS);
		expect_nothing(&f);
	}
	in(&f, TCP_ACK, f.seq, f.ack, 0);
	assert_int_equal(expect(&f, TCP_ACK).seq, f.ack);
	expect_nothing(&f);
	script_end(&f);
}

/* --- sooner than the time-out: 200 ms */

static void reporting(struct script *f, bool timestamps)
{
	script_begin(f);
	f->timestamps = timestamps;
	f->ts = 1;
	opened(f, (struct tcp_segment){.mss = timestamps ? MSS + 12 : MSS, .sack_permitted = true});
}

static void report(struct script *f, uint32_t segment)
{
	struct tcp_segment s = {.flags = TCP_ACK, .seq = f->seq, .ack = f->ack, .window = 60000, .sacks = 1};

	s.sack[0] = (struct tcp_range){f->ack + segment * MSS, f->ack + (segment + 1) * MSS};
	script_put(f, s);
}

static uint32_t milliseconds_until_a_segment(struct script *f, struct tcp_segment *s)
{
	uint32_t ms = 0;

	for (; ms < 1000 && !out(f, s); ms++) {
		f->now += 1000;
		script_turn(f);
	}
	return ms;
}

/* RFC 8985, section 7, and RFC 5827: the probe's report shows the gap, and a moment later it is filled. */
static void when_nothing_comes_the_last_segment_asks(void **state)
{
	struct tcp_segment s;
	struct script f;

	reporting(&f, false);
	queue(&f, 3 * MSS);
	assert_int_equal(segments(&f, MSS), 3);
	assert_in_range(milliseconds_until_a_segment(&f, &s), 2, 4);
	assert_int_equal(s.seq, f.ack + 2 * MSS);
	assert_int_equal(s.length, MSS);
	report(&f, 2);
	expect_nothing(&f);
	assert_in_range(milliseconds_until_a_segment(&f, &s), 1, 3);
	assert_int_equal(s.seq, f.ack);
	script_end(&f);
}

/* It asks once; then it is the time-out's turn. */
static void a_probe_that_is_not_answered_is_the_only_one(void **state)
{
	struct paste_tcp_stats stats;
	struct tcp_segment s;
	struct script f;

	reporting(&f, false);
	queue(&f, 3 * MSS);
	assert_int_equal(segments(&f, MSS), 3);
	milliseconds_until_a_segment(&f, &s);
	assert_in_range(milliseconds_until_a_segment(&f, &s), 199, 203);
	assert_int_equal(s.seq, f.ack);
	paste_tcp_stats(f.stack, &stats);
	assert_int_equal(stats.tail_probes, 1);
	assert_int_equal(stats.timeouts, 1);
	script_end(&f);
}

/* It is new data if there is some, whatever the congestion window says. One segment alone waits for the
 * time-out: its acknowledgment may be delayed. */
static void a_probe_is_new_data_if_there_is_some(void **state)
{
	struct tcp_segment s;
	struct script f;

	reporting(&f, false);
	queue(&f, 30 * MSS);
	assert_int_equal(segments(&f, MSS), 10);
	assert_in_range(milliseconds_until_a_segment(&f, &s), 2, 4);
	assert_int_equal(s.seq, f.ack + 10 * MSS);
	script_end(&f);
	reporting(&f, false);
	queue(&f, MSS);
	assert_int_equal(segments(&f, MSS), 1);
	assert_in_range(milliseconds_until_a_segment(&f, &s), 199, 203);
	script_end(&f);
}

/* RFC 8985, section 7.4: if it was the probe that filled the gap, there was a loss. */
static void a_probe_that_was_needed_is_a_sign_of_congestion(void **state)
{
	for (int needed = 0; needed < 2; needed++) {
		struct paste_conn_info before, after;
		struct tcp_segment first, probe, s;
		struct script f;
		reporting(&f, true);
		queue(&f, 8 * MSS);
		first = expect(&f, TCP_ACK);
		assert_int_equal(segments(&f, MSS), 7);
		assert_int_equal(paste_conn_info(f.conn, &before), 0);
		milliseconds_until_a_segment(&f, &probe);
		assert_int_not_equal(probe.ts_value, first.ts_value);
		s = (struct tcp_segment){
		    .flags = TCP_ACK, .seq = f.seq, .ack = f.ack + 8 * MSS, .window = 60000};
		s.ts_echo = needed ? probe.ts_value : first.ts_value;
		script_put(&f, s);
		assert_int_equal(paste_conn_info(f.conn, &after), 0);
		assert_int_equal(after.unacknowledged, 0);
		if (needed)
			assert_int_equal(after.ssthresh, 4 * MSS);
		else
			assert_int_equal(after.ssthresh, before.ssthresh);
		script_end(&f);
	}
}

/* Two reported segments are not enough to call the first one lost; when a quarter of a round trip has passed,
 * they are. */
static void a_short_flight_does_not_wait_for_three_duplicates(void **state)
{
	struct tcp_segment s;
	struct script f;

	reporting(&f, false);
	queue(&f, 3 * MSS);
	assert_int_equal(segments(&f, MSS), 3);
	report(&f, 1);
	report(&f, 2);
	expect_nothing(&f);
	assert_in_range(milliseconds_until_a_segment(&f, &s), 1, 2);
	assert_int_equal(s.seq, f.ack);
	/* That was lost, too, and nothing comes: once more, before the time-out. */
	assert_in_range(milliseconds_until_a_segment(&f, &s), 2, 4);
	assert_int_equal(s.seq, f.ack);
	assert_in_range(milliseconds_until_a_segment(&f, &s), 199, 203);
	/* Late, but in order: no harm is done. */
	in(&f, TCP_ACK, f.seq, f.ack + 3 * MSS, 0);
	struct paste_conn_info info;
	assert_int_equal(paste_conn_info(f.conn, &info), 0);
	assert_int_equal(info.unacknowledged, 0);
	script_end(&f);
}

/* RFC 9293, section 3.8.6.3; RFC 5681, section 4.2 */
static void acknowledgments_wait_for_a_second_segment_or_40_ms(void **state)
{
	struct script f;
	uint32_t ms = 0;

	script_begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 0});
	opened(&f, (struct tcp_segment){.mss = MSS});
	for (int i = 0; i < 16; i++) { /* at first each is acknowledged: the peer is in slow start */
		in(&f, TCP_ACK, f.seq, f.ack, MSS);
		f.seq += MSS;
		assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	}
	in(&f, TCP_ACK, f.seq, f.ack, MSS);
	f.seq += MSS;
	expect_nothing(&f);
	in(&f, TCP_ACK, f.seq, f.ack, MSS);
	f.seq += MSS;
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	in(&f, TCP_ACK, f.seq, f.ack, MSS);
	f.seq += MSS;
	for (struct tcp_segment s; !out(&f, &s); ms++) {
		assert_true(ms < 60);
		f.now += 1000;
		script_turn(&f);
	}
	assert_in_range(ms, 39, 42);
	script_end(&f);
}

/* RFC 9293, section 3.8.6.2.1: no small segment because the window is small, but after a while what fits. */
static void a_small_window_is_not_used_at_once(void **state)
{
	struct tcp_segment s;
	struct script f;

	script_begin(&f);
	opened(&f, (struct tcp_segment){.mss = MSS});
	script_put(&f, (struct tcp_segment){.flags = TCP_ACK, .seq = f.seq, .ack = f.ack, .window = 100});
	queue(&f, 5000);
	expect_nothing(&f);
	f.now += 10 * SECOND;
	script_turn(&f);
	uint32_t sent = 0;
	while (out(&f, &s))
		sent += s.length;
	assert_int_equal(sent, 100);
	/* A window of a segment is used at once. */
	f.ack += 100;
	script_put(&f,
		   (struct tcp_segment){.flags = TCP_ACK, .seq = f.seq, .ack = f.ack, .window = MSS + 50});
	assert_int_equal(expect(&f, TCP_ACK).length, MSS);
	expect_nothing(&f);
	script_end(&f);
}

/* RFC 896 */
static void with_nagle_a_small_segment_waits_for_the_one_before(void **state)
{
	for (int nagle = 0; nagle < 2; nagle++) {
		struct script f;
		script_begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 1, .nagle = nagle});
		opened(&f, (struct tcp_segment){.mss = MSS});
		queue(&f, 10);
		queue(&f, 20);
		assert_int_equal(expect(&f, TCP_ACK).length, 10);
		if (nagle) {
			expect_nothing(&f);
			in(&f, TCP_ACK, f.seq, f.ack + 10, 0);
		}
		assert_int_equal(expect(&f, TCP_ACK).length, 20);
		script_end(&f);
	}
}

/* RFC 9293, section 3.10.7.4, fifth: SND.WL1 and SND.WL2 */
static void an_old_segment_does_not_change_the_window(void **state)
{
	struct paste_conn_info info;
	struct tcp_segment s;
	struct script f;

	script_begin(&f);
	opened(&f, (struct tcp_segment){.mss = MSS});
	script_put(&f, (struct tcp_segment){
			   .flags = TCP_ACK, .seq = f.seq + 10, .ack = f.ack, .window = 500, .length = 10});
	in(&f, TCP_ACK, f.seq, f.ack, 10); /* sent before it, with a window of 60000 */
	assert_int_equal(paste_conn_info(f.conn, &info), 0);
	assert_int_equal(info.peer_window, 500);
	script_put(&f,
		   (struct tcp_segment){.flags = TCP_ACK, .seq = f.seq + 20, .ack = f.ack, .window = 700});
	assert_int_equal(paste_conn_info(f.conn, &info), 0);
	assert_int_equal(info.peer_window, 700);
	while (out(&f, &s))
		;
	script_end(&f);
}

/* RFC 7323, section 5.5: after 24 days a timestamp says nothing any more. */
static void timestamps_grow_old(void **state)
{
	for (int days = 23; days <= 25; days += 2) {
		struct script f;
		script_begin(&f);
		f.timestamps = true;
		f.ts = 1000;
		opened(&f, (struct tcp_segment){.mss = MSS});
		f.now += (uint64_t)days * 86400 * SECOND;
		f.ts = 900;
		in(&f, TCP_ACK, f.seq, f.ack, 10);
		assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + (days > 24 ? 10 : 0));
		script_end(&f);
	}
}

/* RFC 7323, sections 2.2 and 2.3 */
static void windows_are_scaled_but_not_in_syns(void **state)
{
	struct paste_conn_info info;
	struct script f;

	script_begin(&f);
	opened(&f, (struct tcp_segment){.mss = MSS, .scale = 3, .window = 5000});
	assert_int_equal(paste_conn_info(f.conn, &info), 0);
	assert_int_equal(info.peer_window, 60000 << 3);
	script_end(&f);
	script_begin(&f);
	f.seq = 100;
	script_put(&f, (struct tcp_segment){
			   .flags = TCP_SYN, .seq = f.seq++, .window = 5000, .mss = MSS, .scale = 15});
	f.ack = expect(&f, TCP_SYN | TCP_ACK).seq + 1;
	script_put(&f,
		   (struct tcp_segment){
		       .flags = TCP_ACK, .seq = f.seq, .ack = f.ack, .window = 2, .scale = TCP_SCALE_NONE});
	assert_int_equal(paste_conn_info(f.conn, &info), 0);
	assert_int_equal(info.peer_window, 2 << 14); /* no more than 14 */
	script_end(&f);
}

/* RFC 2018, section 4: the block that the last segment is in comes first. */
static void reports_begin_with_the_latest(void **state)
{
	struct script f;

	script_begin(&f);
	opened(&f, (struct tcp_segment){.mss = MSS, .sack_permitted = true});
	for (uint32_t i = 1; i <= 5; i++) {
		in(&f, TCP_ACK, f.seq + i * 100, f.ack, 10);
		struct tcp_segment s = expect(&f, TCP_ACK);
		assert_int_equal(s.ack, f.seq);
		assert_int_equal(s.sacks, i < 4 ? i : 4);
		assert_int_equal(s.sack[0].start, f.seq + i * 100);
		assert_int_equal(s.sack[0].end, f.seq + i * 100 + 10);
		for (uint32_t k = 1; k < s.sacks; k++)
			assert_int_equal(s.sack[k].start, f.seq + k * 100);
	}
	script_end(&f);
}

/* RFC 9293, section 3.10.8; a FIN again begins it anew (section 3.10.7.4, eighth). */
static void time_wait_lasts_60_s_from_the_last_fin(void **state)
{
	struct script f;

	script_begin(&f);
	reach(&f, "TIME-WAIT");
	f.now += 59 * SECOND;
	script_turn(&f);
	assert_string_equal(state_of(&f), "TIME-WAIT");
	in(&f, TCP_FIN | TCP_ACK, f.seq - 1, f.ack, 0);
	expect(&f, TCP_ACK);
	f.now += 59 * SECOND;
	script_turn(&f);
	assert_string_equal(state_of(&f), "TIME-WAIT");
	f.now += 2 * SECOND;
	script_turn(&f);
	assert_int_equal(f.error, 0);
	assert_string_equal(state_of(&f), "LISTEN");
	script_end(&f);
}

/* --- calls: RFC 9293, sections 3.10.2, 3.10.4 and 3.10.5 */

enum call { SEND, SHUT, CLOSE, ABORT };

static const struct {
	const char *state;
	enum call call;
	uint8_t sends; /* flags of the segment; 0: none */
	const char *then;
	int rc;
} calls[] = {
    {"SYN-SENT", SEND, 0, "SYN-SENT", 0}, /* queued */
    {"ESTABLISHED", SEND, TCP_ACK, "ESTABLISHED", 0},
    {"CLOSE-WAIT", SEND, TCP_ACK, "CLOSE-WAIT", 0},
    {"FIN-WAIT-1", SEND, 0, "FIN-WAIT-1", -EPIPE},
    {"FIN-WAIT-2", SEND, 0, "FIN-WAIT-2", -EPIPE},
    {"CLOSING", SEND, 0, "CLOSING", -EPIPE},
    {"LAST-ACK", SEND, 0, "LAST-ACK", -EPIPE},
    {"TIME-WAIT", SEND, 0, "TIME-WAIT", -EPIPE},

    {"ESTABLISHED", SHUT, TCP_FIN | TCP_ACK, "FIN-WAIT-1", 0},
    {"CLOSE-WAIT", SHUT, TCP_FIN | TCP_ACK, "LAST-ACK", 0},
    {"FIN-WAIT-1", SHUT, 0, "FIN-WAIT-1", -EPIPE},
    {"TIME-WAIT", SHUT, 0, "TIME-WAIT", -EPIPE},

    {"SYN-SENT", CLOSE, 0, "LISTEN", 0},
    {"ESTABLISHED", CLOSE, TCP_FIN | TCP_ACK, "FIN-WAIT-1", 0},
    {"CLOSE-WAIT", CLOSE, TCP_FIN | TCP_ACK, "LAST-ACK", 0},
    {"FIN-WAIT-1", CLOSE, 0, "FIN-WAIT-1", 0},
    {"FIN-WAIT-2", CLOSE, 0, "FIN-WAIT-2", 0},
    {"CLOSING", CLOSE, 0, "CLOSING", 0},
    {"LAST-ACK", CLOSE, 0, "LAST-ACK", 0},
    {"TIME-WAIT", CLOSE, 0, "TIME-WAIT", 0},

    {"SYN-SENT", ABORT, 0, "LISTEN", 0},
    {"ESTABLISHED", ABORT, TCP_RST | TCP_ACK, "LISTEN", 0},
    {"CLOSE-WAIT", ABORT, TCP_RST | TCP_ACK, "LISTEN", 0},
    {"FIN-WAIT-1", ABORT, TCP_RST | TCP_ACK, "LISTEN", 0},
    {"FIN-WAIT-2", ABORT, TCP_RST | TCP_ACK, "LISTEN", 0},
    {"TIME-WAIT", ABORT, 0, "LISTEN", 0},
};

static int do_call(struct script *f, enum call call)
{
	struct paste_send piece = {.inline_bytes = bytes, .inline_length = 10};

	if (call == SEND)
		return paste_conn_send(f->conn, &piece, 1);
	if (call == SHUT)
		return paste_conn_shut(f->conn);
	(call == CLOSE ? paste_conn_close : paste_conn_abort)(f->conn);
	return 0;
}

static void in_each_state_each_call_does_what_it_says(void **state)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct tcp_segment s = {.flags = 0};
		struct script f;
		script_begin(&f);
		reach(&f, calls[i].state);
		int rc = do_call(&f, calls[i].call);
		script_turn(&f);
		bool any = out(&f, &s);
		uint8_t sends = any ? s.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK) : 0;
		if (rc != calls[i].rc || sends != calls[i].sends || strcmp(state_of(&f), calls[i].then) != 0)
			fail_msg("row %zu, %s: %d, sends %x, then %s", i, calls[i].state, rc, sends,
				 state_of(&f));
		if (sends & TCP_RST)
			assert_int_equal(s.ack, f.seq);
		expect_nothing(&f);
		script_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_offered_is_what_the_peer_offers),
	    cmocka_unit_test(segments_are_shorter_by_their_options),
	    cmocka_unit_test(ten_segments_are_sent_at_first),
	    cmocka_unit_test(after_a_lost_syn_one_segment_is_sent_at_first),
	    cmocka_unit_test(duplicates_let_new_segments_out),
	    cmocka_unit_test(when_nothing_comes_the_last_segment_asks),
	    cmocka_unit_test(a_probe_that_is_not_answered_is_the_only_one),
	    cmocka_unit_test(a_probe_is_new_data_if_there_is_some),
	    cmocka_unit_test(a_probe_that_was_needed_is_a_sign_of_congestion),
	    cmocka_unit_test(a_short_flight_does_not_wait_for_three_duplicates),
	    cmocka_unit_test(acknowledgments_wait_for_a_second_segment_or_40_ms),
	    cmocka_unit_test(a_small_window_is_not_used_at_once),
	    cmocka_unit_test(with_nagle_a_small_segment_waits_for_the_one_before),
	    cmocka_unit_test(an_old_segment_does_not_change_the_window),
	    cmocka_unit_test(timestamps_grow_old),
	    cmocka_unit_test(windows_are_scaled_but_not_in_syns),
	    cmocka_unit_test(reports_begin_with_the_latest),
	    cmocka_unit_test(time_wait_lasts_60_s_from_the_last_fin),
	    cmocka_unit_test(in_each_state_each_call_does_what_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
