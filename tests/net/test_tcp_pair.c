/* SPDX-License-Identifier: BSD-2-Clause */
/* Stack against stack over the simulated wire: every byte once, in order, every buffer home. */
#include "tcp_rig.h"

#include <errno.h>

#define MS 1000000ull
/* TCP_SEEDS in the environment asks for more. */
static uint64_t seeds(void)
{
	const char *more = getenv("TCP_SEEDS");

	return more ? strtoull(more, NULL, 10) : 25;
}

static void run(const struct rig_options *o, uint64_t seconds)
{
	static struct rig r;

	rig_begin(&r, o);
	rig_run(&r, seconds);
	rig_end(&r);
}

static void a_request_and_a_reply_over_both_families(void **state)
{
	for (int six = 0; six < 2; six++) {
		struct rig_options o = {.seed = 1, .six = six, .flows = 1, .bytes = {100, 200}};
		o.up.delay_ns = 10000;
		run(&o, 10);
	}
}

static void streams_in_both_directions(void **state)
{
	struct rig_options o = {
	    .seed = 2, .flows = 8, .bytes = {300000, 200000}, .reference_percent = 50, .server_closes = true};

	o.up.delay_ns = 50000;
	run(&o, 30);
}

static void streams_with_loss_reordering_duplication_and_damage(void **state)
{
	for (uint64_t seed = 1; seed <= 8 * seeds(); seed++) {
		struct rig_options o = {.seed = seed,
					.flows = 1 + (uint32_t)seed % 4,
					.bytes = {60000, 40000},
					.six = seed & 1,
					.reference_percent = 40,
					.pause_percent = seed % 3 ? 0 : 5,
					.hold_percent = 20,
					.server_closes = seed & 2};
		o.tcp.limits.released = seed & 4;
		o.up = (struct wire_link){.delay_ns = MS,
					  .jitter_ns = 100000,
					  .lose = (uint32_t)(seed % 7) * 50000,
					  .duplicate = 20000,
					  .reorder = 50000,
					  .reorder_ns = 2 * MS,
					  .corrupt = 10000};
		run(&o, 3600);
	}
}

static struct wire_link bad_link(uint64_t seed)
{
	return (struct wire_link){.delay_ns = seed % 5 * MS,
				  .jitter_ns = 200000,
				  .lose = (uint32_t)(seed % 7) * 50000,
				  .lose_run = 1 + (uint32_t)seed % 3,
				  .duplicate = 30000,
				  .reorder = 100000,
				  .reorder_ns = 3 * MS,
				  .corrupt = 10000};
}

static void tiny_windows_small_rings_and_few_events_a_turn(void **state)
{
	for (uint64_t seed = 1; seed <= seeds(); seed++) {
		struct rig_options o = {.seed = seed,
					.flows = 1 + (uint32_t)seed % 5,
					.bytes = {30000, 20000},
					.slots = 16,
					.fragments = 1 + (uint32_t)seed % 3,
					.max_events = 1 + (uint32_t)seed % 4,
					.piece_most = 1 + (uint32_t)(seed * 37) % 4000,
					.reference_percent = 50,
					.pause_percent = 10,
					.up = bad_link(seed)};
		o.tcp.receive_window = 2048 + (uint32_t)seed % 3 * 1000;
		o.tcp.limits.send_bytes = 3000;
		o.tcp.limits.released = seed & 2;
		o.tcp.nagle = seed & 1;
		run(&o, 7200);
	}
}

static void few_buffers_and_an_application_that_keeps_them(void **state)
{
	for (uint64_t seed = 1; seed <= seeds(); seed++) {
		struct rig_options o = {.seed = seed,
					.flows = 4,
					.bytes = {40000, 40000},
					.slots = 32,
					.buffers = 256,
					.piece_most = 2000,
					.reference_percent = 20,
					.pause_percent = 5,
					.hold_percent = 60,
					.hold_most = 30,
					.up = bad_link(seed)};
		run(&o, 7200);
	}
}

static bool all_is_lost(void *arg, uint64_t now_ns, uint32_t port, uint8_t *frame, uint32_t length)
{
	return now_ns > 8 * MS;
}

/* Of a connection that dies everything counts as released, what was never sent as well, before it is told. */
static void all_is_released_before_an_error(void **state)
{
	static struct rig r;
	struct rig_options o = {
	    .seed = 3, .flows = 3, .bytes = {400000, 0}, .reference_percent = 50, .lose = all_is_lost};

	o.up.delay_ns = MS;
	o.tcp.limits.released = true;
	o.tcp.user_timeout_us = 3000000;
	rig_begin(&r, &o);
	for (uint32_t i = 0; i < o.flows; i++) {
		struct rig_stream *s = &r.stream[RIG_CLIENT][i];
		uint64_t acknowledged = 0;
		while (!s->error) {
			acknowledged = s->released;
			rig_step(&r);
			assert_true(r.now_ns < 100000 * MS);
		}
		assert_true(i > 0 || (acknowledged > 0 && acknowledged < s->sent));
		assert_int_equal(s->error, -ETIMEDOUT);
		assert_true(s->sent > 100000);
		assert_int_equal(s->released, s->sent);
	}
	rig_end(&r);
}

static void a_clock_that_jumps(void **state)
{
	for (uint64_t seed = 1; seed <= seeds(); seed++) {
		struct rig_options o = {.seed = seed,
					.flows = 2,
					.bytes = {50000, 30000},
					.jump_us = 30000000,
					.reference_percent = 30,
					.up = bad_link(seed)};
		run(&o, 200000);
	}
}

static void dribbles_are_copied_together_while_the_application_does_not_read(void **state)
{
	struct rig_options o = {
	    .seed = 5, .flows = 1, .bytes = {6000, 0}, .piece_most = 1, .pause_percent = 20};
	static struct rig r;

	o.up.delay_ns = 100000;
	o.tcp.limits.send_bytes = 1; /* a byte a segment */
	rig_begin(&r, &o);
	uint32_t most = 0;
	while (!rig_done(&r)) {
		rig_step(&r);
		uint32_t held = rig_stats(&r, RIG_SERVER).held_pieces;
		most = held > most ? held : most;
	}
	assert_true(rig_stats(&r, RIG_SERVER).copied > 100);
	assert_true(most < 20);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_and_a_reply_over_both_families),
	    cmocka_unit_test(streams_in_both_directions),
	    cmocka_unit_test(streams_with_loss_reordering_duplication_and_damage),
	    cmocka_unit_test(tiny_windows_small_rings_and_few_events_a_turn),
	    cmocka_unit_test(few_buffers_and_an_application_that_keeps_them),
	    cmocka_unit_test(all_is_released_before_an_error),
	    cmocka_unit_test(a_clock_that_jumps),
	    cmocka_unit_test(dribbles_are_copied_together_while_the_application_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
