/* SPDX-License-Identifier: BSD-2-Clause */
/* A checkpoint is written while changes go on, and what is read back is what was there. */
#include <stdlib.h>

#include "base/site.h"
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#define KEYS 800

/* One op of the checkpoint at a time, changes in between, a crash at a step that moves on from case to case.
 */
struct walk {
	struct fixture f;
	struct sim_random random;
	uint64_t seed[KEYS]; /* of the key's value; 0: absent */
	uint64_t next_seed;
	uint64_t appended, trimmed;
};

static void change(struct walk *w)
{
	char key[16];
	uint32_t i = (uint32_t)sim_below(&w->random, KEYS);
	struct paste_result result;

	snprintf(key, sizeof(key), "k%u", i);
	switch (sim_below(&w->random, 8)) {
	case 0:
		delete_text(&w->f, key);
		w->seed[i] = 0;
		break;
	case 1:
		assert_int_equal(
		    append_value(&w->f, "s", w->appended + 1, 40 + w->appended % 700, 0, &result), 0);
		assert_int_equal(result.version, ++w->appended);
		break;
	case 2:
		if (w->appended == 0)
			break;
		w->trimmed += sim_below(&w->random, w->appended + 2 - w->trimmed) / 3;
		if (w->trimmed < 1)
			w->trimmed = 1;
		assert_int_equal(paste_store_trim(w->f.s, "s", 1, w->trimmed, &result), 0);
		break;
	default:
		w->seed[i] = w->next_seed++;
		put_text(&w->f, key, w->seed[i], w->seed[i] % 1000);
	}
}

static void expect_walk(struct walk *w)
{
	char key[16];
	uint64_t first, next, round;

	for (uint32_t i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		if (w->seed[i])
			expect_text(&w->f, key, w->seed[i], w->seed[i] % 1000);
		else
			assert_int_equal(get_status(&w->f, key), -ENOENT);
	}
	if (w->appended == 0)
		return;
	assert_int_equal(paste_store_stream(w->f.s, "s", 1, &first, &next, &round), 0);
	assert_int_equal(next, w->appended + 1);
	assert_int_equal(first, w->trimmed > 1 ? w->trimmed : 1);
	for (uint64_t i = first; i < next; i++)
		expect_entry(&w->f, "s", i, i, 40 + (i - 1) % 700);
}

static void walk_until(struct walk *w, uint32_t steps, uint32_t changes)
{
	assert_int_equal(checkpoint_begin(w->f.s, false), 0);
	for (uint32_t i = 0; i < steps; i++) {
		int ret = checkpoint_step(w->f.s, 1 + (uint32_t)sim_below(&w->random, 20));
		assert_true(ret >= 0);
		for (uint32_t c = 0; c < changes; c++)
			change(w);
		assert_true(paste_store_commit(w->f.s) >= 0);
		assert_true(paste_store_poll(w->f.s) >= 0);
		if (ret == 0)
			break;
	}
}

static void changes_under_way_and_a_crash_at_any_step_lose_nothing(void **state)
{
	static const enum sim_kind kinds[] = {SIM_SHM, SIM_FILE};

	for (int k = 0; k < 2; k++) {
		struct walk w = {.random = sim_random(11), .next_seed = 1};
		fixture_begin(&w.f, kinds[k], 16 * MIB, 4096, 1);
		for (int i = 0; i < 2000; i++)
			change(&w);
		for (uint32_t steps = 1; steps < 160; steps += 4) {
			walk_until(&w, steps, steps % 3);
			if (steps % 5 == 0)
				settle(&w.f);
			else
				assert_true(paste_store_wait(w.f.s, (uint64_t)paste_store_commit(w.f.s)) >=
					    0);
			if (steps % 20 == 1)
				fixture_close(&w.f); /* one is under way */
			else
				fixture_crash(&w.f);
			fixture_open(&w.f);
			expect_walk(&w);
			fixture_prove(&w.f);
		}
		fixture_end(&w.f);
	}
}

/* An attempt that a crash ended has the number of the next one. Its pages are whole, and still there. */
static void pages_of_an_attempt_in_an_earlier_life_are_not_taken_for_this_ones(void **state)
{
	struct fixture f;
	char key[16];

	for (int stop = 1; stop < 12; stop++) {
		fixture_begin(&f, SIM_SHM, 4 * MIB, 2048, 1);
		for (int i = 0; i < 400; i++) {
			snprintf(key, sizeof(key), "k%03d", i);
			put_text(&f, key, (uint64_t)i, 60);
		}
		assert_int_equal(checkpoint_begin(f.s, false), 0);
		for (int i = 0; i < stop && f.s->checkpoint.state < CHECKPOINT_PAGES; i++)
			checkpoint_step(f.s, 40);
		assert_true(f.s->checkpoint.state < CHECKPOINT_ROOT);
		assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) >= 0);
		fixture_crash(&f);
		fixture_open(&f);
		/* In segments above the old ones. */
		uint32_t taken[64];
		for (int i = 0; i < 64; i++)
			taken[i] = region_segment_take(f.r, SEGMENT_PACK);
		for (int i = 0; i < 400; i++) {
			snprintf(key, sizeof(key), "k%03d", i);
			put_text(&f, key, (uint64_t)i + 1000, 60);
		}
		assert_int_equal(checkpoint_begin(f.s, false), 0);
		while (checkpoint_step(f.s, 1000) == 1)
			;
		for (int i = 0; i < 64; i++)
			region_segment_retire(f.r, taken[i]);
		settle(&f);
		fixture_crash(&f);
		fixture_open(&f);
		for (int i = 0; i < 400; i++) {
			snprintf(key, sizeof(key), "k%03d", i);
			expect_text(&f, key, (uint64_t)i + 1000, 60);
		}
		fixture_end(&f);
	}
}

static void the_log_before_a_checkpoint_is_given_back(void **state)
{
	struct fixture f;
	struct paste_result result;

	fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
	for (uint64_t i = 0; i < 20000; i++) {
		assert_int_equal(put_value(&f, "k", 1, i, 20, 0, &result), 0);
		turn(&f);
	}
	assert_true(f.s->c.checkpoints > 2);
	assert_true(space_log_bytes(f.s) <= space_log_limit(f.s) * 2);
	expect_text(&f, "k", 19999, 20);
	fixture_end(&f);
}

static void without_room_a_checkpoint_waits_and_the_log_goes_on(void **state)
{
	struct fixture f;
	uint32_t taken[512], n = 0;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 2048, 1);
	for (int i = 0; i < 300; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%d", i);
		put_text(&f, key, (uint64_t)i, 60);
	}
	while (f.r->free_segments > 1)
		taken[n++] = region_segment_take(f.r, SEGMENT_PACK);
	assert_int_equal(checkpoint_begin(f.s, false), -ENOSPC);
	delete_text(&f, "k299"); /* always possible */
	while (n > 0)
		region_segment_retire(f.r, taken[--n]);
	assert_int_equal(checkpoint_begin(f.s, false), 0);
	/* It begins, and then the room is taken from under it. */
	while (f.r->free_segments > 0)
		taken[n++] = region_segment_take(f.r, SEGMENT_PACK);
	int ret;
	while ((ret = checkpoint_step(f.s, 50)) == 1)
		;
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(f.s->checkpoint.state, CHECKPOINT_IDLE);
	while (n > 0)
		region_segment_retire(f.r, taken[--n]);
	settle(&f);
	fixture_crash(&f);
	fixture_open(&f);
	assert_int_equal(get_status(&f, "k299"), -ENOENT);
	for (int i = 0; i < 299; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%d", i);
		expect_text(&f, key, (uint64_t)i, 60);
	}
	fixture_end(&f);
}

static void a_flipped_bit_in_any_byte_of_a_page_is_mended(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, MIB, 2048, 1);
	for (int i = 0; i < 30; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%d", i);
		put_text(&f, key, (uint64_t)i, 60);
	}
	fixture_close(&f);
	uint64_t page = 0;
	for (uint64_t at = AREA_START; at < f.size; at += PAGE_SIZE_CHECKPOINT) {
		const struct header *h = (const struct header *)(f.image + at);
		if (h->magic == HEADER_MAGIC && h->kind == HEADER_CHECKPOINT && h->index == 0 &&
		    h->body_length > 100)
			page = at;
	}
	assert_true(page > 0);
	const struct header *h = (const struct header *)(f.image + page);
	uint32_t end = (uint32_t)sizeof(*h) + h->body_length;
	for (uint32_t byte = 0; byte < end; byte += byte < 64 ? 1 : 13) {
		uint8_t bit = (uint8_t)(1u << byte % 8);
		f.image[page + byte] ^= bit;
		assert_int_equal(fixture_try_open(&f, true), 0);
		for (int i = 0; i < 30; i++) {
			char key[16];
			snprintf(key, sizeof(key), "k%d", i);
			expect_text(&f, key, (uint64_t)i, 60);
		}
		assert_int_equal(f.s->damage_count, 1);
		assert_true(f.s->damage[0].repaired);
		assert_int_equal(check_quietly(&f), 0);
		fixture_close(&f);
		f.image[page + byte] ^= bit;
	}
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(changes_under_way_and_a_crash_at_any_step_lose_nothing),
	    cmocka_unit_test(pages_of_an_attempt_in_an_earlier_life_are_not_taken_for_this_ones),
	    cmocka_unit_test(the_log_before_a_checkpoint_is_given_back),
	    cmocka_unit_test(without_room_a_checkpoint_waits_and_the_log_goes_on),
	    cmocka_unit_test(a_flipped_bit_in_any_byte_of_a_page_is_mended),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
