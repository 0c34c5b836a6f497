/* SPDX-License-Identifier: BSD-2-Clause */
/* When a round is closed where durability takes time: one at a time, and with all who are about to ask again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_region.h"
#include "fake_store.h"
#include "serve/rounds.h"

#define TAKES 1600 /* microseconds until a round is durable */

struct loop {
	struct paste_region *region;
	struct paste_store *store;
	struct rounds r;
};

static struct loop begin(void)
{
	struct loop l = {.region = fake_region_new(8, 2048)};
	struct paste_error error;

	l.store = fake_store_new(l.region);
	fake_store_hold_rounds(l.store, true);
	assert_int_equal(rounds_init(&l.r, l.store, &error), 0);
	l.r.take_time = true;
	l.r.now_us = 1000000;
	return l;
}

static void end(struct loop *l)
{
	fake_store_free(l->store);
	fake_region_free(l->region);
}

/* So many changes arrive. */
static void change(struct loop *l, int n)
{
	struct paste_result result;

	for (int i = 0; i < n; i++) {
		assert_true(paste_store_put(l->store, "k", 1, NULL, 0, &result) >= 0);
		rounds_saw(&l->r, result.round);
	}
}

/* A turn, so much later. True: it closed a round. */
static bool turn(struct loop *l, int64_t later_us)
{
	uint64_t before = l->r.committed;

	l->r.now_us += later_us;
	do
		rounds_step(&l->r);
	while (rounds_may_commit(&l->r));
	return l->r.committed > before;
}

/* What is under way is durable. True: the next round was closed at once. */
static bool finish(struct loop *l)
{
	fake_store_make_durable(l->store, l->r.committed);
	return turn(l, TAKES);
}

static void the_first_does_not_wait(void **state)
{
	struct loop l = begin();

	change(&l, 1);
	assert_true(turn(&l, 0));
	assert_false(rounds_idle(&l.r));
	finish(&l);
	assert_true(rounds_idle(&l.r));
	end(&l);
}

static void one_at_a_time(void **state)
{
	struct loop l = begin();

	change(&l, 1);
	assert_true(turn(&l, 0));
	for (int i = 0; i < 5; i++) {
		change(&l, 10);
		assert_false(turn(&l, TAKES));
	}
	end(&l);
}

/* Upkeep may be who finds out that the round is durable: no descriptor wakes a loop that sleeps after that. */
static void what_became_durable_between_two_steps_is_news(void **state)
{
	struct loop l = begin();

	change(&l, 1);
	assert_true(turn(&l, 0));
	assert_false(rounds_news(&l.r));
	fake_store_make_durable(l.store, l.r.committed);
	assert_true(rounds_news(&l.r));
	turn(&l, TAKES);
	assert_false(rounds_news(&l.r));
	end(&l);
}

static void one_client_alone_never_waits(void **state)
{
	struct loop l = begin();

	for (int i = 0; i < 20; i++) {
		change(&l, 1);
		assert_true(turn(&l, 30));
		assert_int_equal(rounds_rest_us(&l.r), 0); /* nobody else is there to be taken later */
		assert_false(finish(&l));
	}
	end(&l);
}

static void the_next_one_waits_for_those_who_were_answered(void **state)
{
	struct loop l = begin();

	change(&l, 20);
	assert_true(turn(&l, 0));
	change(&l, 30);
	assert_false(turn(&l, 100));
	assert_int_equal(rounds_rest_us(&l.r), 0); /* how long it takes is not known */
	assert_false(finish(&l));
	/* All 50 are in it. Answering the 20 took longer than the medium did: some of them are back by then, and the wait for
	 * the others begins only now. */
	assert_int_equal(rounds_gather_us(&l.r), 0);
	change(&l, 1);
	assert_false(turn(&l, 2 * TAKES));
	for (int i = 0; i < 4; i++) {
		assert_in_range(rounds_gather_us(&l.r), 1, TAKES / 2);
		assert_false(turn(&l, 50));
		change(&l, i < 3 ? 5 : 4);
	}
	assert_true(turn(&l, 50));
	change(&l, 1);
	assert_in_range(rounds_rest_us(&l.r), 1, (TAKES + 100) / 8);
	end(&l);
}

/* Those who think before they ask again cost the others little, and mostly nothing. */
static void nobody_waits_long_for_those_who_do_not_come(void **state)
{
	struct loop l = begin();

	change(&l, 20);
	assert_true(turn(&l, 0));
	change(&l, 1);
	assert_false(finish(&l));
	assert_false(turn(&l, 1));
	assert_in_range(rounds_gather_us(&l.r), 1, TAKES / 16);
	assert_true(turn(&l, rounds_gather_us(&l.r)));
	for (int i = 0; i < 10; i++) {
		change(&l, 20);
		assert_true(finish(&l)); /* the next one at once */
	}
	end(&l);
}

static void a_trickle_does_not_hold_a_round_open(void **state)
{
	struct loop l = begin();
	int64_t waited = 0;

	change(&l, 1000);
	assert_true(turn(&l, 0));
	change(&l, 1);
	assert_false(finish(&l));
	assert_false(turn(&l, 1));
	do {
		change(&l, 1);
		waited += 50;
	} while (!turn(&l, 50));
	assert_in_range(waited, TAKES / 4, TAKES / 2 + 50);
	end(&l);
}

static void a_failed_medium_ends_all_waiting(void **state)
{
	struct loop l = begin();

	change(&l, 1);
	assert_true(turn(&l, 0));
	change(&l, 1);
	fake_store_break(l.store, -5);
	turn(&l, 0);
	assert_int_equal(l.r.error, -5);
	assert_true(rounds_idle(&l.r));
	assert_int_equal(rounds_rest_us(&l.r), 0);
	assert_true(rounds_gather_us(&l.r) == INT64_MAX);
	end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_does_not_wait),
	    cmocka_unit_test(one_at_a_time),
	    cmocka_unit_test(what_became_durable_between_two_steps_is_news),
	    cmocka_unit_test(one_client_alone_never_waits),
	    cmocka_unit_test(the_next_one_waits_for_those_who_were_answered),
	    cmocka_unit_test(nobody_waits_long_for_those_who_do_not_come),
	    cmocka_unit_test(a_trickle_does_not_hold_a_round_open),
	    cmocka_unit_test(a_failed_medium_ends_all_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
