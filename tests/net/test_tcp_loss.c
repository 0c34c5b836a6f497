/* SPDX-License-Identifier: BSD-2-Clause */
/* Scoreboard, loss detection, round-trip times, congestion window, initial sequence numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/tcp_cc.h"
#include "net/tcp_isn.h"
#include "net/tcp_loss.h"
#include "net/tcp_rtt.h"

#define MSS 1000u
#define BASE 0xfffff000u /* numbers wrap in every test */
#define SPAN 20000u

static void the_scoreboard_is_a_set_of_bytes(void **state)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		static uint8_t has[SPAN];
		struct tcp_sack s;
		uint32_t una = 0, bytes = 0;
		uint64_t x = seed;
		for (uint32_t i = 0; i < SPAN; i++)
			has[i] = 0;
		sack_clear(&s);
		for (int step = 0; step < 60; step++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			uint32_t a = (uint32_t)(x >> 33) % SPAN, b = a + 1 + (uint32_t)(x >> 20) % 700,
				 news = 0;
			if (b <= SPAN && a > una) {
				for (uint32_t i = a; i < b; i++)
					news += !has[i], has[i] = 1;
				bytes += news;
			}
			assert_int_equal(
			    sack_add(&s, (struct tcp_range){BASE + a, BASE + b}, BASE + una, BASE + SPAN),
			    news);
			if (step % 10 == 9) {
				for (; una < step * 150u; una++)
					bytes -= has[una];
				sack_acked(&s, BASE + una);
			}
			assert_int_equal(s.bytes, bytes);
			assert_int_equal(sack_bytes(&s, BASE + una, BASE + SPAN), bytes);
		}
		/* Holes and reports together are everything. */
		struct tcp_range hole;
		uint32_t at = una, holes = 0;
		while (sack_hole(&s, BASE + at, BASE + SPAN, &hole)) {
			for (uint32_t i = hole.start; i != hole.end; i++)
				assert_int_equal(has[i - BASE], 0);
			holes += hole.end - hole.start;
			at = hole.end - BASE;
		}
		assert_int_equal(holes + bytes, SPAN - una);
	}
}

static void reports_of_what_cannot_be_are_refused(void **state)
{
	struct tcp_sack s;

	sack_clear(&s);
	assert_int_equal(sack_add(&s, (struct tcp_range){BASE + 10, BASE + 10}, BASE, BASE + 100), 0);
	assert_int_equal(sack_add(&s, (struct tcp_range){BASE + 20, BASE + 10}, BASE, BASE + 100), 0);
	assert_int_equal(sack_add(&s, (struct tcp_range){BASE + 20, BASE + 101}, BASE, BASE + 100), 0);
	assert_int_equal(sack_add(&s, (struct tcp_range){BASE, BASE + 10}, BASE, BASE + 100), 0);
	assert_int_equal(sack_add(&s, (struct tcp_range){BASE + 20, BASE + 100}, BASE, BASE + 100), 80);
	assert_int_equal(s.n, 1);
}

static struct tcp_loss_ack ack(uint32_t una, uint32_t acked, uint32_t news, bool duplicate)
{
	return (struct tcp_loss_ack){.una = BASE + una,
				     .nxt = BASE + 10 * MSS,
				     .mss = MSS,
				     .acked = acked,
				     .news = news,
				     .duplicate = duplicate};
}

static void three_duplicates_begin_a_recovery_and_partial_acknowledgments_go_on_with_it(void **state)
{
	struct tcp_loss l;
	struct tcp_range r;
	struct tcp_loss_ack duplicate = ack(0, 0, 0, true), a;

	tcp_loss_init(&l, BASE);
	assert_int_equal(tcp_loss_on_ack(&l, &duplicate), LOSS_NOTHING);
	assert_int_equal(tcp_loss_on_ack(&l, &duplicate), LOSS_NOTHING);
	/* Limited transmit: two segments have left. */
	assert_int_equal(tcp_loss_pipe(&l, BASE, BASE + 10 * MSS, MSS), 8 * MSS);
	assert_false(tcp_loss_next(&l, BASE, BASE + 10 * MSS, MSS, &r));
	assert_int_equal(tcp_loss_on_ack(&l, &duplicate), LOSS_ENTERED);
	assert_true(tcp_loss_next(&l, BASE, BASE + 10 * MSS, MSS, &r));
	assert_true(r.start == BASE && r.end == BASE + MSS);
	tcp_loss_sent(&l, BASE, BASE + 10 * MSS, r);
	assert_false(tcp_loss_next(&l, BASE, BASE + 10 * MSS, MSS, &r));
	a = ack(4 * MSS, 4 * MSS, 0, false); /* the next hole */
	assert_int_equal(tcp_loss_on_ack(&l, &a), LOSS_NOTHING);
	assert_true(tcp_loss_next(&l, BASE + 4 * MSS, BASE + 10 * MSS, MSS, &r));
	assert_true(r.start == BASE + 4 * MSS);
	tcp_loss_sent(&l, BASE, BASE + 10 * MSS, r);
	a = ack(10 * MSS, 6 * MSS, 0, false);
	assert_int_equal(tcp_loss_on_ack(&l, &a), LOSS_LEFT);
	assert_int_equal(tcp_loss_pipe(&l, BASE + 10 * MSS, BASE + 10 * MSS, MSS), 0);
}

static void reports_say_what_is_lost_and_only_that_is_sent_again(void **state)
{
	struct tcp_sack board;
	struct tcp_loss l;
	struct tcp_range r;
	struct tcp_loss_ack a = ack(0, 0, 3 * MSS, false);

	/* Segments 0, 2 and 9 are lost; 1, 3, 4, 5 to 8 are reported. */
	sack_clear(&board);
	tcp_loss_init(&l, BASE);
	l.board = &board;
	sack_add(&board, (struct tcp_range){BASE + MSS, BASE + 2 * MSS}, BASE, BASE + 10 * MSS);
	sack_add(&board, (struct tcp_range){BASE + 3 * MSS, BASE + 9 * MSS}, BASE, BASE + 10 * MSS);
	assert_int_equal(tcp_loss_on_ack(&l, &a), LOSS_ENTERED);
	assert_int_equal(tcp_loss_pipe(&l, BASE, BASE + 10 * MSS, MSS), MSS);
	for (uint32_t segment = 0; segment <= 2; segment += 2) {
		assert_true(tcp_loss_next(&l, BASE, BASE + 10 * MSS, MSS, &r));
		assert_true(r.start == BASE + segment * MSS && r.end == r.start + MSS);
		tcp_loss_sent(&l, BASE, BASE + 10 * MSS, r);
	}
	assert_int_equal(tcp_loss_pipe(&l, BASE, BASE + 10 * MSS, MSS), 3 * MSS);
	assert_false(tcp_loss_next(&l, BASE, BASE + 10 * MSS, MSS, &r));
	/* The last one is not known to be lost: once, by way of rescue. */
	assert_true(tcp_loss_guess(&l, BASE, BASE + 10 * MSS, MSS, &r));
	assert_true(r.start == BASE + 9 * MSS && r.end == BASE + 10 * MSS);
	assert_false(tcp_loss_guess(&l, BASE, BASE + 10 * MSS, MSS, &r));
}

static void after_a_timeout_everything_unreported_is_sent_again(void **state)
{
	struct tcp_sack board;
	struct tcp_loss l;
	struct tcp_range r;

	sack_clear(&board);
	tcp_loss_init(&l, BASE);
	l.board = &board;
	sack_add(&board, (struct tcp_range){BASE + MSS, BASE + 2 * MSS}, BASE, BASE + 4 * MSS);
	tcp_loss_on_timeout(&l, BASE, BASE + 4 * MSS, false);
	assert_int_equal(tcp_loss_pipe(&l, BASE, BASE + 4 * MSS, MSS), 0);
	assert_true(tcp_loss_next(&l, BASE, BASE + 4 * MSS, MSS, &r) && r.start == BASE);
	tcp_loss_sent(&l, BASE, BASE + 10 * MSS, r);
	assert_true(tcp_loss_next(&l, BASE, BASE + 4 * MSS, MSS, &r) && r.start == BASE + 2 * MSS);
	/* Once more: the peer may have thrown away what it reported. */
	tcp_loss_on_timeout(&l, BASE, BASE + 4 * MSS, true);
	assert_int_equal(board.n, 0);
	struct tcp_loss_ack a = {.una = BASE + 4 * MSS, .nxt = BASE + 4 * MSS, .mss = MSS, .acked = 4 * MSS};
	assert_int_equal(tcp_loss_on_ack(&l, &a), LOSS_OVER);
}

/* `n` segments from `first` on are reported. */
static struct tcp_loss_ack reported(struct tcp_loss *l, uint32_t first, uint32_t n, uint32_t nxt)
{
	struct tcp_range r = {BASE + first * MSS, BASE + (first + n) * MSS};
	struct tcp_loss_ack a = ack(0, 0, sack_add(l->board, r, BASE, BASE + nxt * MSS), false);

	a.nxt = BASE + nxt * MSS;
	return a;
}

/* What left behind it says so: three segments, new ones or sent again. */
static void a_retransmission_that_is_lost_is_noticed(void **state)
{
	for (int timeout = 0; timeout < 2; timeout++) {
		struct tcp_sack board;
		struct tcp_loss l;
		struct tcp_range r;
		struct tcp_loss_ack a;
		uint32_t nxt = 10, later = 1;

		sack_clear(&board);
		tcp_loss_init(&l, BASE);
		l.board = &board;
		if (timeout) {
			tcp_loss_on_timeout(&l, BASE, BASE + nxt * MSS, false);
		} else {
			a = reported(&l, 1, 9, nxt);
			assert_int_equal(tcp_loss_on_ack(&l, &a), LOSS_ENTERED);
		}
		/* Again: the first one and, after the time-out, those behind it; else new ones follow. */
		for (uint32_t i = 0; i < (timeout ? 6u : 1u); i++) {
			assert_true(tcp_loss_next(&l, BASE, BASE + nxt * MSS, MSS, &r));
			assert_true(r.start == BASE + i * MSS);
			tcp_loss_sent(&l, BASE, BASE + nxt * MSS, r);
		}
		if (!timeout) {
			later = nxt;
			nxt += 6;
		}
		for (uint32_t i = 0; i < 2; i++) {
			a = reported(&l, later + i, 1, nxt);
			assert_int_equal(tcp_loss_on_ack(&l, &a), LOSS_NOTHING);
			assert_false(tcp_loss_next(&l, BASE, BASE + nxt * MSS, MSS, &r) && r.start == BASE);
		}
		a = reported(&l, later + 2, 1, nxt);
		assert_int_equal(tcp_loss_on_ack(&l, &a), LOSS_AGAIN);
		assert_true(tcp_loss_next(&l, BASE, BASE + nxt * MSS, MSS, &r));
		assert_true(r.start == BASE && r.end == BASE + MSS);
		tcp_loss_sent(&l, BASE, BASE + nxt * MSS, r);
		/* That one, too, is given the time of three. */
		for (uint32_t i = 3; i < 5; i++) {
			a = reported(&l, later + i, 1, nxt);
			assert_int_equal(tcp_loss_on_ack(&l, &a), LOSS_NOTHING);
		}
	}
}

static void timeouts_follow_rfc_6298(void **state)
{
	struct tcp_rtt r;

	tcp_rtt_init(&r);
	assert_int_equal(tcp_rtt_timeout(&r, 0), 1000000);
	assert_int_equal(tcp_rtt_timeout(&r, 2), 4000000);
	assert_int_equal(tcp_rtt_timeout(&r, 50), 60000000);
	tcp_rtt_sample(&r, 400000);
	assert_int_equal(r.smoothed_us, 400000);
	assert_int_equal(tcp_rtt_timeout(&r, 0), 400000 + 4 * 200000);
	tcp_rtt_sample(&r, 800000);
	assert_int_equal(r.variation_us, 200000 * 3 / 4 + 400000 / 4);
	assert_int_equal(r.smoothed_us, 400000 * 7 / 8 + 800000 / 8);
	for (int i = 0; i < 100; i++)
		tcp_rtt_sample(&r, 10);
	assert_int_equal(tcp_rtt_timeout(&r, 0), TCP_RTO_LEAST_US);
}

static void newreno_starts_slowly_and_halves(void **state)
{
	struct tcp_cc cc = {.ops = &tcp_newreno};

	cc.ops->init(&cc, 1460);
	assert_int_equal(cc.window, 14600);
	cc.ops->acked(&cc, 1460, 2920, true, 0);
	assert_int_equal(cc.window, 14600 + 2920);
	cc.ops->acked(&cc, 1460, 100000, true, 0); /* a stretched acknowledgment counts as two segments */
	assert_int_equal(cc.window, 14600 + 2 * 2920);
	cc.ops->acked(&cc, 1460, 2920, false, 0); /* it was not the window that held back */
	assert_int_equal(cc.window, 14600 + 2 * 2920);
	cc.ops->lost(&cc, 1460, 20000, 0);
	assert_int_equal(cc.window, 10000);
	assert_int_equal(cc.threshold, 10000);
	for (int i = 0; i < 7; i++)
		cc.ops->acked(&cc, 1460, 1460, true, 0);
	assert_int_equal(cc.window, 11460); /* a segment a window */
	cc.ops->timed_out(&cc, 1460, 11000, false);
	assert_int_equal(cc.window, 1460);
	assert_int_equal(cc.threshold, 5500);
	cc.ops->timed_out(&cc, 1460, 1460, true);
	assert_int_equal(cc.threshold, 5500);
}

static void initial_numbers_are_keyed_and_grow_with_time(void **state)
{
	/* SipHash-2-4's published vector: key 00 01 .. 0f, input 00 01 .. 0e. */
	const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
	uint8_t in[15];
	struct net_address a = {{1}}, b = {{2}};

	for (uint8_t i = 0; i < 15; i++)
		in[i] = i;
	assert_true(siphash(key, in, 15) == 0xa129ca6149be45e5u);
	uint32_t first = tcp_isn(key, 1000, &a, 1, &b, 2).sequence;
	assert_int_equal(tcp_isn(key, 1400, &a, 1, &b, 2).sequence - first, 100);
	assert_int_not_equal(tcp_isn(key, 1000, &a, 1, &b, 3).sequence, first);
	assert_int_not_equal(tcp_isn((uint64_t[2]){1, 2}, 1000, &a, 1, &b, 2).sequence, first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_scoreboard_is_a_set_of_bytes),
	    cmocka_unit_test(reports_of_what_cannot_be_are_refused),
	    cmocka_unit_test(three_duplicates_begin_a_recovery_and_partial_acknowledgments_go_on_with_it),
	    cmocka_unit_test(reports_say_what_is_lost_and_only_that_is_sent_again),
	    cmocka_unit_test(after_a_timeout_everything_unreported_is_sent_again),
	    cmocka_unit_test(a_retransmission_that_is_lost_is_noticed),
	    cmocka_unit_test(timeouts_follow_rfc_6298),
	    cmocka_unit_test(newreno_starts_slowly_and_halves),
	    cmocka_unit_test(initial_numbers_are_keyed_and_grow_with_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
