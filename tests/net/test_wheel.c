/* SPDX-License-Identifier: BSD-2-Clause */
/* The timer wheel beside a list that is searched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/wheel.h"

#define TIMERS 300

static uint64_t random_of(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return *x >> 20;
}

static void each_fires_when_its_tick_has_come_and_never_before(void **state)
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct wheel w;
		struct wheel_timer timer[TIMERS], *due;
		uint64_t x = seed, now = random_of(&x), at[TIMERS] = {0};
		wheel_init(&w, now);
		for (int i = 0; i < TIMERS; i++)
			link_init(&timer[i].link);
		for (int step = 0; step < 2000; step++) {
			int i = (int)(random_of(&x) % TIMERS);
			if (random_of(&x) % 8 == 0) {
				wheel_clear(&timer[i]);
				at[i] = 0;
			} else {
				/* from the next tick to years away */
				at[i] = now + 1 + random_of(&x) % (1ull << random_of(&x) % 40);
				wheel_set(&w, &timer[i], at[i]);
			}
			uint64_t earliest = UINT64_MAX, next = wheel_next(&w);
			for (i = 0; i < TIMERS; i++)
				earliest = at[i] && at[i] < earliest ? at[i] : earliest;
			assert_true(next <= earliest && (next > now || earliest == UINT64_MAX));
			if (random_of(&x) % 4 == 0)
				now = next == WHEEL_NEVER ? now + 1 : next;
			else
				now += random_of(&x) % (1ull << random_of(&x) % 36);
			wheel_advance(&w, now);
			while ((due = wheel_due(&w))) {
				i = (int)(due - timer);
				assert_true(at[i] && at[i] <= now);
				at[i] = 0;
			}
			for (i = 0; i < TIMERS; i++)
				assert_true(!at[i] || at[i] > now);
		}
	}
}

static void one_that_is_set_to_the_past_fires_at_once(void **state)
{
	struct wheel w;
	struct wheel_timer t;

	wheel_init(&w, 100);
	link_init(&t.link);
	assert_false(wheel_is_set(&t));
	assert_true(wheel_next(&w) == WHEEL_NEVER);
	wheel_set(&w, &t, 50);
	assert_true(wheel_is_set(&t));
	assert_ptr_equal(wheel_due(&w), &t);
	assert_null(wheel_due(&w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_fires_when_its_tick_has_come_and_never_before),
	    cmocka_unit_test(one_that_is_set_to_the_past_fires_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
