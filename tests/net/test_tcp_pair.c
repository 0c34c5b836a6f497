/* SPDX-License-Identifier: BSD-2-Clause */
/* Stack against stack over the simulated wire: every byte once, in order, every buffer home. */
#include "tcp_rig.h"

#define MS 1000000ull

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
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct rig_options o = {.seed = seed,
					.flows = 1 + (uint32_t)seed % 4,
					.bytes = {60000, 40000},
					.six = seed & 1,
					.reference_percent = 40,
					.pause_percent = seed % 3 ? 0 : 5,
					.hold_percent = 20,
					.server_closes = seed & 2};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_and_a_reply_over_both_families),
	    cmocka_unit_test(streams_in_both_directions),
	    cmocka_unit_test(streams_with_loss_reordering_duplication_and_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
