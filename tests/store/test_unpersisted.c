/* SPDX-License-Identifier: BSD-2-Clause */
/* A store that makes nothing durable until it is closed: what the next opening finds, and is told. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "base/site.h"

#define VALUES 300

static void fill(struct fixture *f, uint32_t from, uint32_t to)
{
	char key[16];

	for (uint32_t i = from; i < to; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		put_text(f, key, i, 100 + i * 37 % 3000);
		if (i % 20 == 0)
			turn(f);
	}
	settle(f);
}

static void expect_all(struct fixture *f, uint32_t from, uint32_t to)
{
	char key[16];

	for (uint32_t i = from; i < to; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		expect_text(f, key, i, 100 + i * 37 % 3000);
	}
}

static struct paste_store_stats stats_of(struct fixture *f)
{
	struct paste_store_stats st;

	paste_store_stats(f->s, &st);
	return st;
}

/* A region with VALUES values, closed, and open again without persistence. */
static void begin(struct fixture *f, enum sim_kind kind)
{
	fixture_begin(f, kind, 8 * MIB, 4096, 1);
	fill(f, 0, VALUES);
	fixture_close(f);
	f->options.no_persist = true;
	fixture_open(f);
	assert_true(stats_of(f).no_persist);
	assert_false(stats_of(f).was_no_persist);
}

static const enum sim_kind kinds[] = {SIM_ADR, SIM_FILE};

static void nothing_is_written_and_every_round_counts_as_durable(void **state)
{
	for (int k = 0; k < 2; k++) {
		struct fixture f;
		begin(&f, kinds[k]);
		uint64_t before = stats_of(&f).media_units, commits = stats_of(&f).media_commits;
		put_text(&f, "new", 1, 3000);
		int64_t round = paste_store_commit(f.s);
		assert_true(round > 0);
		assert_int_equal(paste_store_poll(f.s), round);
		fill(&f, VALUES, 2 * VALUES); /* checkpoints, too */
		assert_int_equal(stats_of(&f).media_units, before);
		assert_int_equal(stats_of(&f).media_commits, commits);
		assert_true(paste_store_wait_fd(f.s) < 0);
		assert_non_null(strstr(stats_of(&f).survives, "nothing"));
		expect_all(&f, 0, 2 * VALUES);
		f.options.no_persist = false;
		fixture_end(&f);
	}
}

/* Also where the close is the last thing that happened, and the caches are lost after it. */
static void a_close_makes_all_of_it_durable_and_takes_the_mark_off(void **state)
{
	for (int k = 0; k < 2; k++) {
		struct fixture f;
		begin(&f, kinds[k]);
		fill(&f, VALUES, 2 * VALUES);
		fixture_close(&f); /* what is left is what the medium is certain to hold */
		f.options.no_persist = false;
		fixture_open(&f);
		assert_true(stats_of(&f).clean);
		assert_false(stats_of(&f).no_persist);
		assert_false(stats_of(&f).was_no_persist);
		assert_int_equal(f.r->sb.features_incompat & FEATURE_INCOMPAT_UNPERSISTED, 0);
		expect_all(&f, 0, 2 * VALUES);
		fixture_end(&f);
	}
}

static void after_a_crash_the_next_opening_is_told_and_only_that_one(void **state)
{
	for (int k = 0; k < 2; k++) {
		struct fixture f;
		begin(&f, kinds[k]);
		fill(&f, VALUES, 2 * VALUES);
		fixture_crash(&f);
		f.options.no_persist = false;
		assert_int_equal(fixture_try_open(&f, true), 0); /* reading only changes nothing of it */
		assert_true(stats_of(&f).was_no_persist);
		assert_false(stats_of(&f).clean);
		fixture_close(&f);
		fixture_open(&f);
		assert_true(stats_of(&f).was_no_persist);
		expect_all(&f, 0, VALUES); /* nothing reached the medium since */
		assert_int_equal(get_status(&f, "k301"), -ENOENT);
		fill(&f, VALUES, VALUES + 50);
		fixture_crash(&f);
		fixture_open(&f);
		assert_false(stats_of(&f).was_no_persist);
		expect_all(&f, 0, VALUES + 50);
		fixture_end(&f);
	}
}

/* The process died, not the machine: the caches have it all, and who opens it next makes it durable before
 * the mark goes. */
static void what_a_dead_process_left_in_caches_is_durable_once_it_is_open(void **state)
{
	struct fixture f;

	begin(&f, SIM_ADR);
	fill(&f, VALUES, 2 * VALUES);
	uint8_t *seen = malloc(f.size);
	memcpy(seen, f.m->base, f.size);
	fixture_crash(&f);
	uint8_t *held = malloc(f.size);
	memcpy(held, f.image, f.size); /* the medium has less */
	memcpy(f.image, seen, f.size);
	f.floor = held;
	f.options.no_persist = false;
	fixture_open(&f);
	f.floor = NULL;
	assert_true(stats_of(&f).was_no_persist);
	expect_all(&f, 0, 2 * VALUES);
	fixture_crash(&f); /* power fails */
	fixture_open(&f);
	assert_false(stats_of(&f).was_no_persist);
	expect_all(&f, 0, 2 * VALUES);
	fixture_end(&f);
	free(seen);
	free(held);
}

/* A cache may let go of any word at any time: whatever reached the medium, what is served is what was stored
 * once. */
static void whatever_reached_the_medium_nothing_wrong_is_served(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct fixture f;
		struct sim_random random = sim_random(seed);
		begin(&f, SIM_ADR);
		uint8_t *before = malloc(f.size);
		memcpy(before, f.m->base, f.size);
		fill(&f, VALUES, 2 * VALUES);
		uint8_t *seen = malloc(f.size);
		memcpy(seen, f.m->base, f.size);
		fixture_crash(&f);
		/* Of each line the old or the new one. The superblock: what the opening wrote. */
		for (uint64_t at = AREA_START; at < f.size; at += 64)
			memcpy(f.image + at, (sim_below(&random, 2) ? seen : before) + at, 64);
		f.options.no_persist = false;
		if (fixture_try_open(&f, false) == 0) {
			assert_true(stats_of(&f).was_no_persist);
			for (uint32_t i = 0; i < 2 * VALUES; i++) {
				char key[16];
				snprintf(key, sizeof(key), "k%u", i);
				if (get_status(&f, key) == 0)
					expect_text(&f, key, i, 100 + i * 37 % 3000);
			}
			fixture_crash(&f);
		}
		free(before);
		free(seen);
		free(f.image);
	}
}

static void asked_for_again_after_a_crash_it_stays_marked(void **state)
{
	struct fixture f;

	begin(&f, SIM_ADR);
	fixture_crash(&f);
	fixture_open(&f);
	assert_true(stats_of(&f).was_no_persist);
	fixture_crash(&f);
	f.options.no_persist = false;
	fixture_open(&f);
	assert_true(stats_of(&f).was_no_persist);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_written_and_every_round_counts_as_durable),
	    cmocka_unit_test(a_close_makes_all_of_it_durable_and_takes_the_mark_off),
	    cmocka_unit_test(after_a_crash_the_next_opening_is_told_and_only_that_one),
	    cmocka_unit_test(what_a_dead_process_left_in_caches_is_durable_once_it_is_open),
	    cmocka_unit_test(whatever_reached_the_medium_nothing_wrong_is_served),
	    cmocka_unit_test(asked_for_again_after_a_crash_it_stays_marked),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
