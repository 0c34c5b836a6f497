/* SPDX-License-Identifier: BSD-2-Clause */
/* Closing, dying and opening again: for writing, for reading, with several logs. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

static void populate(struct fixture *f, uint32_t n)
{
	char key[16];

	for (uint32_t i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		assert_int_equal(put_value(f, key, strlen(key), i, i * 37 % 3000, 700, NULL), 0);
		if (i % 5 == 0)
			assert_int_equal(append_value(f, "s", i, i % 900, 0, NULL), 0);
		if (i % 50 == 0)
			turn(f);
	}
}

static void expect_populated(struct fixture *f, uint32_t n)
{
	char key[16];

	for (uint32_t i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		expect_text(f, key, i, i * 37 % 3000);
		if (i % 5 == 0)
			expect_entry(f, "s", i / 5 + 1, i, i % 900);
	}
	assert_int_equal(f->s->live_keys, n);
}

static bool was_clean(struct fixture *f)
{
	struct paste_store_stats st;

	paste_store_stats(f->s, &st);
	return st.clean;
}

static void a_clean_close_is_told_from_a_crash(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
	assert_true(was_clean(&f)); /* new */
	populate(&f, 300);
	fixture_close(&f);
	fixture_open(&f);
	assert_true(was_clean(&f));
	assert_int_equal(f.s->c.recovered_records, 0); /* the checkpoint has it all */
	expect_populated(&f, 300);
	settle(&f);
	fixture_crash(&f);
	fixture_open(&f);
	assert_false(was_clean(&f));
	expect_populated(&f, 300);
	fixture_end(&f);
}

static void each_opening_raises_the_epoch_and_versions_go_on_rising(void **state)
{
	struct fixture f;
	struct paste_result result;
	uint64_t version = 0;
	uint32_t epoch = 0;

	fixture_begin(&f, SIM_FILE, 4 * MIB, 4096, 1);
	for (int life = 0; life < 10; life++) {
		assert_true(f.r->sb.epoch > epoch);
		epoch = f.r->sb.epoch;
		assert_int_equal(put_value(&f, "k", 1, (uint64_t)life, 10, 0, &result), 0);
		assert_true(result.version > version);
		version = result.version;
		settle(&f);
		if (life % 2)
			fixture_close(&f);
		else
			fixture_crash(&f);
		fixture_open(&f);
		expect_text(&f, "k", (uint64_t)life, 10);
	}
	fixture_end(&f);
}

static void what_was_not_committed_is_gone_or_whole_after_a_crash(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_FILE, 4 * MIB, 4096, 1);
	put_text(&f, "durable", 1, 100);
	settle(&f);
	put_text(&f, "pending", 2, 100);
	delete_text(&f, "durable");
	fixture_crash(&f);
	fixture_open(&f);
	expect_text(&f, "durable", 1, 100);
	assert_int_equal(get_status(&f, "pending"), -ENOENT);
	fixture_end(&f);
}

static void reading_only_recovers_in_memory_and_changes_nothing(void **state)
{
	static const enum sim_kind kinds[] = {SIM_SHM, SIM_FILE};

	for (int k = 0; k < 2; k++) {
		for (int clean = 0; clean < 2; clean++) {
			struct fixture f;
			struct paste_result result;
			fixture_begin(&f, kinds[k], 8 * MIB, 4096, 1);
			populate(&f, 400);
			settle(&f);
			if (clean)
				fixture_close(&f);
			else
				fixture_crash(&f);
			uint8_t *before = malloc(f.size);
			memcpy(before, f.image, f.size);
			assert_int_equal(fixture_try_open(&f, true), 0);
			expect_populated(&f, 400);
			assert_int_equal(put_value(&f, "k", 1, 1, 0, 0, &result), -EROFS);
			assert_int_equal(paste_store_delete(f.s, "k1", 2, &result), -EROFS);
			assert_int_equal(paste_store_append(f.s, "s", 1, NULL, 0, &result), -EROFS);
			assert_int_equal(paste_store_trim(f.s, "s", 1, 5, &result), -EROFS);
			assert_int_equal(paste_store_maintain(f.s, true), 0);
			assert_int_equal(paste_store_commit(f.s), 0);
			assert_int_equal(check_quietly(&f), 0);
			fixture_close(&f);
			assert_memory_equal(before, f.image, f.size);
			free(before);
			fixture_open(&f);
			expect_populated(&f, 400);
			fixture_end(&f);
		}
	}
}

static void several_logs_each_recover_and_stay_apart(void **state)
{
	static const uint32_t logs[] = {2, 3, 8};

	for (int i = 0; i < 3; i++) {
		struct fixture f;
		struct paste_result result;
		fixture_begin(&f, SIM_FILE, 16 * MIB, 4096, logs[i]);
		assert_int_equal(f.s->logs, logs[i]);
		for (uint32_t life = 0; life < 4; life++) {
			populate(&f, 300);
			for (uint32_t l = 0; l < logs[i]; l++)
				assert_true(f.s->log[l].records > 5); /* each has its share */
			delete_text(&f, "k7");
			assert_int_equal(put_value(&f, "k7", 2, 7, 7 * 37, 0, &result), 0);
			settle(&f);
			if (life % 2)
				fixture_close(&f);
			else
				fixture_crash(&f);
			fixture_open(&f);
			expect_text(&f, "k299", 299, 299 * 37 % 3000);
			expect_populated(&f, 300);
			for (uint32_t l = 1; l < logs[i]; l++)
				assert_int_equal(f.s->log[l].next,
						 f.s->log[0].next); /* comparable across logs */
		}
		fixture_end(&f);
	}
}

static void too_many_logs_for_the_size_are_refused(void **state)
{
	struct sim_options o = {.kind = SIM_SHM, .size = MIB, .seed = 1};
	struct media *m = sim_open(&o);
	struct paste_error err = {{0}};

	assert_int_equal(store_create_on(m, "x", MIB, 0, 8, &err), -EINVAL);
	assert_true(err.text[0] != 0);
	assert_int_equal(store_create_on(m, "x", MIB, 0, LOGS_MAX + 1, &err), -EINVAL);
	assert_int_equal(store_create_on(m, "x", MIB, 0, 1, &err), 0);
	media_close(m);
}

static void opening_that_fails_says_why_and_leaks_nothing(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 2048, 1);
	populate(&f, 50);
	fixture_close(&f);
	memset(f.image, 0, 4096);
	memset(f.image + SUPERBLOCK_B_OFFSET, 0, 4096);
	assert_int_equal(fixture_try_open(&f, false), -EBADMSG);
	assert_int_equal(fixture_try_open(&f, true), -EBADMSG);
	free(f.image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_clean_close_is_told_from_a_crash),
	    cmocka_unit_test(each_opening_raises_the_epoch_and_versions_go_on_rising),
	    cmocka_unit_test(what_was_not_committed_is_gone_or_whole_after_a_crash),
	    cmocka_unit_test(reading_only_recovers_in_memory_and_changes_nothing),
	    cmocka_unit_test(several_logs_each_recover_and_stay_apart),
	    cmocka_unit_test(too_many_logs_for_the_size_are_refused),
	    cmocka_unit_test(opening_that_fails_says_why_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
