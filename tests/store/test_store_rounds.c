/* SPDX-License-Identifier: BSD-2-Clause */
/* What a result says about the round to wait for, on a medium where rounds take their time. */
#include "fixture.h"

#include <errno.h>

static void a_change_is_durable_with_its_round_and_not_before(void **state)
{
	struct fixture f;
	struct paste_result result;
	struct paste_value v;

	fixture_begin(&f, SIM_FILE, 8 * MIB, 4096, 1);
	for (uint64_t i = 1; i <= 50; i++) {
		assert_int_equal(put_value(&f, "k", 1, i, 40, 0, &result), 0);
		assert_true(result.round > f.s->durable);
		assert_int_equal(paste_store_get(f.s, "k", 1, &v), 0);
		assert_int_equal(v.round,
				 result.round); /* the new value is seen, and what it hangs on is told */
		int64_t round = paste_store_commit(f.s);
		assert_int_equal(round, result.round);
		while (paste_store_poll(f.s) < round) {
			assert_int_equal(paste_store_get(f.s, "k", 1, &v), 0);
			assert_int_equal(v.round, result.round);
		}
		assert_int_equal(paste_store_get(f.s, "k", 1, &v), 0);
		assert_int_equal(v.round, 0);
	}
	fixture_end(&f);
}

static void absence_after_a_delete_waits_for_the_delete(void **state)
{
	struct fixture f;
	struct paste_result result, again;
	struct paste_value v;

	fixture_begin(&f, SIM_FILE, 8 * MIB, 4096, 1);
	put_text(&f, "k", 1, 9000);
	settle(&f);
	assert_int_equal(paste_store_delete(f.s, "k", 1, &result), 0);
	assert_true(result.existed);
	assert_int_equal(paste_store_get(f.s, "k", 1, &v), -ENOENT);
	assert_int_equal(v.round, result.round);
	assert_int_equal(paste_store_delete(f.s, "k", 1, &again), 0);
	assert_false(again.existed);
	assert_int_equal(again.round, result.round);
	assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) >= (int64_t)result.round);
	assert_int_equal(paste_store_get(f.s, "k", 1, &v), -ENOENT);
	assert_int_equal(v.round, 0);
	assert_int_equal(paste_store_get(f.s, "never", 5, &v), -ENOENT);
	assert_int_equal(v.round, 0);
	fixture_end(&f);
}

static void a_stream_that_is_read_says_the_round_of_its_newest_change(void **state)
{
	struct fixture f;
	struct paste_result result;
	struct paste_value v;
	uint64_t first, next, round;

	fixture_begin(&f, SIM_FILE, 8 * MIB, 4096, 1);
	assert_int_equal(append_value(&f, "s", 1, 20, 0, &result), 0);
	assert_int_equal(paste_store_stream(f.s, "s", 1, &first, &next, &round), 0);
	assert_int_equal(round, result.round);
	settle(&f);
	assert_int_equal(append_value(&f, "s", 2, 20, 0, &result), 0);
	assert_int_equal(paste_store_read(f.s, "s", 1, 1, &v), 0);
	assert_int_equal(v.round, 0); /* the first entry is durable */
	assert_int_equal(paste_store_read(f.s, "s", 1, 3, &v), -ENOENT);
	assert_int_equal(v.round,
			 result.round); /* that there is no third hangs on nothing older than the second */
	settle(&f);
	assert_int_equal(paste_store_trim(f.s, "s", 1, 2, &result), 0);
	assert_int_equal(paste_store_read(f.s, "s", 1, 1, &v), -ENOENT);
	assert_int_equal(v.round, result.round);
	settle(&f);
	assert_int_equal(paste_store_stream(f.s, "s", 1, &first, &next, &round), 0);
	assert_int_equal(round, 0);
	fixture_end(&f);
}

static void a_round_of_which_all_went_to_the_medium_early_is_still_closed(void **state)
{
	static const enum sim_kind kinds[] = {SIM_SHM, SIM_FILE};

	for (int i = 0; i < 2; i++) {
		struct fixture f;
		struct paste_result result;
		fixture_begin(&f, kinds[i], 8 * MIB, 4096, 1);
		assert_int_equal(put_value(&f, "k", 1, 1, 40, 0, &result), 0);
		/* A checkpoint begins: the log's segment is closed with the change in it. */
		assert_int_equal(checkpoint_begin(f.s, false), 0);
		assert_int_equal(paste_store_commit(f.s), result.round);
		assert_int_equal(paste_store_wait(f.s, result.round), result.round);
		fixture_crash(&f);
		fixture_open(&f);
		expect_text(&f, "k", 1, 40);
		fixture_end(&f);
	}
}

static void many_rounds_under_way_are_waited_for_together(void **state)
{
	struct fixture f;
	struct paste_result result;

	fixture_begin(&f, SIM_FILE, 16 * MIB, 4096, 1);
	for (uint64_t i = 0; i < 3 * ROUNDS_MAX; i++) {
		assert_int_equal(put_value(&f, "k", 1, i, 30, 0, &result), 0);
		assert_int_equal(paste_store_commit(f.s), result.round);
	}
	assert_int_equal(paste_store_wait(f.s, result.round), result.round);
	assert_int_equal(paste_store_commit(f.s), result.round); /* nothing changed */
	fixture_end(&f);
}

static void after_the_medium_failed_nothing_is_acknowledged(void **state)
{
	struct fixture f;
	struct paste_result result;
	struct paste_value v;

	fixture_begin(&f, SIM_FILE, 8 * MIB, 4096, 1);
	put_text(&f, "before", 1, 100);
	settle(&f);
	put_text(&f, "after", 2, 100);
	sim_fail(f.m, 0, -EIO);
	int64_t durable = (int64_t)f.s->durable;
	assert_int_equal(paste_store_commit(f.s), -EIO);
	assert_int_equal(paste_store_poll(f.s), -EIO);
	assert_int_equal(paste_store_wait(f.s, (uint64_t)durable + 1), -EIO);
	assert_int_equal(put_value(&f, "k", 1, 1, 0, 0, &result), -EIO);
	assert_int_equal(paste_store_delete(f.s, "before", 6, &result), -EIO);
	assert_int_equal(paste_store_get(f.s, "after", 5, &v), -EIO);
	expect_text(&f, "before", 1, 100);
	assert_int_equal(paste_store_maintain(f.s, false), -EIO);
	assert_int_equal(paste_store_close(f.s), -EIO);
	fixture_open(&f);
	expect_text(&f, "before", 1, 100);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_change_is_durable_with_its_round_and_not_before),
	    cmocka_unit_test(absence_after_a_delete_waits_for_the_delete),
	    cmocka_unit_test(a_stream_that_is_read_says_the_round_of_its_newest_change),
	    cmocka_unit_test(a_round_of_which_all_went_to_the_medium_early_is_still_closed),
	    cmocka_unit_test(many_rounds_under_way_are_waited_for_together),
	    cmocka_unit_test(after_the_medium_failed_nothing_is_acknowledged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
