/* SPDX-License-Identifier: BSD-2-Clause */
/* Alarms against a plain array of times: each is told once, not before its time, and when it is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "serve/alarms.h"

#define N 300

struct rig {
	struct alarms alarms;
	struct alarm alarm[N];
	int64_t at[N]; /* 0: not set */
	int64_t now;
	uint32_t random;
};

static uint32_t draw(struct rig *r, uint32_t below)
{
	r->random = r->random * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)r->random * below >> 32);
}

static void rig_init(struct rig *r, uint32_t seed)
{
	*r = (struct rig){.random = seed, .now = INT64_C(1000000) * seed};
	alarms_init(&r->alarms);
	for (int i = 0; i < N; i++)
		alarm_init(&r->alarm[i]);
}

static void look(struct rig *r)
{
	struct alarm *due;
	int64_t first = INT64_MAX;

	while ((due = alarms_due(&r->alarms, r->now))) {
		int i = (int)(due - r->alarm);

		assert_int_not_equal(r->at[i], 0);
		assert_true(r->at[i] <= r->now);
		r->at[i] = 0;
	}
	for (int i = 0; i < N; i++) {
		if (!r->at[i])
			continue;
		assert_true(r->at[i] > r->now - ALARM_SLOT_US);
		first = r->at[i] < first ? r->at[i] : first;
	}
	int64_t next = alarms_next(&r->alarms);
	if (first == INT64_MAX)
		return;
	assert_true(next < first + ALARM_SLOT_US);
	assert_true(next > r->now);
}

static void each_alarm_is_told_in_time_and_once(void **state)
{
	static const int64_t spans[] = {1, ALARM_SLOT_US, 100000, 3000000, 5000000, 40000000};

	for (uint32_t seed = 1; seed <= 20; seed++) {
		struct rig *r = malloc(sizeof(*r));

		rig_init(r, seed);
		for (int step = 0; step < 2000; step++) {
			int i = (int)draw(r, N);

			if (draw(r, 4) == 0) {
				alarm_clear(&r->alarm[i]);
				r->at[i] = 0;
			} else {
				r->at[i] = r->now + 1 + draw(r, (uint32_t)spans[draw(r, 6)]);
				alarm_set(&r->alarms, &r->alarm[i], r->at[i]);
			}
			if (draw(r, 3))
				continue;
			/* Wait as told, or something else happens first, or the loop was away for long. */
			int64_t next = alarms_next(&r->alarms);
			if (draw(r, 2) && next != INT64_MAX && next > r->now)
				r->now = next;
			else
				r->now += draw(r, (uint32_t)spans[draw(r, 6)]);
			look(r);
		}
		free(r);
	}
}

static void none_set_none_due(void **state)
{
	struct rig *r = malloc(sizeof(*r));

	rig_init(r, 7);
	assert_null(alarms_due(&r->alarms, r->now));
	assert_true(alarms_next(&r->alarms) == INT64_MAX);
	alarm_set(&r->alarms, &r->alarm[0], r->now + 50000);
	assert_true(alarms_next(&r->alarms) >= r->now + 50000);
	assert_true(alarms_next(&r->alarms) < r->now + 50000 + ALARM_SLOT_US);
	alarm_clear(&r->alarm[0]);
	r->now += 100000;
	assert_null(alarms_due(&r->alarms, r->now));
	assert_true(alarms_next(&r->alarms) == INT64_MAX);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_alarm_is_told_in_time_and_once),
	    cmocka_unit_test(none_set_none_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
