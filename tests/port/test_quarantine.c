/* SPDX-License-Identifier: BSD-2-Clause */
/* A device goes on writing into the buffers that a dead owner gave it, until it is stopped: a successor is
 * not harmed. */
#include "../store/fixture.h"

#include <errno.h>
#include <stdio.h>

#include "base/site.h"
#include "region/landing.h"

#define POSTED 96u
#define LENGTH 3000u
#define SMALL 512u /* what is longer stays where it arrived, on blocks as well */

static const enum sim_kind kinds[] = {SIM_ADR, SIM_FILE, SIM_SHM};

static const struct paste_landing eth0 = {
    .boot = 7, .space = 8, .interface = 2, .first_queue = 0, .queues = 4, .name = "eth0"};

/* It has buffers of a life, and writes into them whenever it likes. */
struct device {
	struct fixture *f;
	uint64_t offset[POSTED];
	bool stopped;
	int asked, refuse;
	uint64_t seed;
};

static void device_writes(struct device *d)
{
	uint8_t bytes[1500];

	for (uint32_t i = 0; i < POSTED && !d->stopped; i++) {
		fill_bytes(d->seed++, bytes, sizeof(bytes));
		sim_device_write(d->f->m, d->offset[i] + 256, bytes, sizeof(bytes));
	}
}

/* What was under way lands, then no more comes. */
static int device_released(void *arg, const struct paste_landing *l, struct paste_error *err)
{
	struct device *d = arg;

	assert_string_equal(l->name, "eth0");
	assert_int_equal(l->boot, 7);
	assert_int_equal(l->space, 8);
	assert_int_equal(l->interface, 2);
	assert_int_equal(l->queues, 4);
	d->asked++;
	if (d->refuse)
		return paste_fail(err, -EBUSY, "not yet");
	device_writes(d);
	d->stopped = true;
	return 0;
}

static void begin(struct fixture *f, struct device *d, enum sim_kind kind, uint64_t seed)
{
	fixture_begin(f, kind, 4 * MIB, 4096, 1);
	*d = (struct device){.f = f, .seed = seed};
	f->options.released = device_released;
	f->options.released_arg = d;
}

/* A life that gives the device buffers, puts values meanwhile, and dies. */
static void live_and_die(struct fixture *f, struct device *d)
{
	f->s->small_max = SMALL;
	assert_int_equal(region_landing_add(f->r, &eth0), 0);
	for (uint32_t i = 0; i < POSTED; i++) {
		uint32_t buffer;

		assert_int_equal(paste_buffer_alloc(f->r, &buffer), 0);
		d->offset[i] = (uint64_t)(paste_buffer_data(f->r, buffer) - f->m->base);
	}
	put_text(f, "of the first life", d->seed, LENGTH);
	settle(f);
	device_writes(d);
	fixture_crash(f);
}

static void packets_for_a_dead_life_land_in_nothing_of_the_next(void **state)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (uint64_t seed = 1; seed <= 3; seed++) {
			struct fixture f;
			struct device d;
			char key[16];

			begin(&f, &d, kinds[k], seed);
			uint64_t first = d.seed;
			live_and_die(&f, &d);
			fixture_open(&f);
			f.s->small_max = SMALL;
			for (uint64_t i = 0; i < 120; i++) {
				snprintf(key, sizeof(key), "%u", (unsigned)i);
				put_text(&f, key, i, LENGTH);
				turn(&f);
				device_writes(&d);
			}
			settle(&f);
			for (int again = 0; again < 2; again++) {
				expect_text(&f, "of the first life", first, LENGTH);
				for (uint64_t i = 0; i < 120; i++) {
					snprintf(key, sizeof(key), "%u", (unsigned)i);
					expect_text(&f, key, i, LENGTH);
				}
				fixture_close(&f);
				fixture_open(&f);
			}
			assert_int_equal(d.asked, 1);
			fixture_end(&f);
		}
	}
}

static void who_cannot_ask_may_read_only(void **state)
{
	struct fixture f;
	struct device d;

	begin(&f, &d, SIM_ADR, 1);
	uint64_t first = d.seed;
	live_and_die(&f, &d);
	f.options.released = NULL;
	assert_int_equal(fixture_try_open(&f, false), -EBUSY);
	assert_int_equal(fixture_try_open(&f, true), 0);
	expect_text(&f, "of the first life", first, LENGTH);
	fixture_crash(&f);
	f.options.released = device_released;
	fixture_open(&f);
	assert_int_equal(d.asked, 1);
	fixture_end(&f);
}

static void a_device_that_has_not_stopped_keeps_writers_out(void **state)
{
	struct fixture f;
	struct device d;

	begin(&f, &d, SIM_ADR, 1);
	live_and_die(&f, &d);
	d.refuse = 1;
	assert_int_equal(fixture_try_open(&f, false), -EBUSY);
	assert_int_equal(fixture_try_open(&f, false), -EBUSY);
	d.refuse = 0;
	fixture_open(&f);
	assert_int_equal(d.asked, 3);
	/* It is forgotten, durably. */
	fixture_crash(&f);
	fixture_open(&f);
	assert_int_equal(d.asked, 3);
	fixture_end(&f);
}

static void a_device_that_was_stopped_in_time_is_not_asked_for(void **state)
{
	struct fixture f;
	struct device d;

	begin(&f, &d, SIM_ADR, 1);
	assert_int_equal(region_landing_add(f.r, &eth0), 0);
	region_landing_remove(f.r, &eth0);
	fixture_close(&f);
	fixture_open(&f);
	assert_int_equal(d.asked, 0);
	/* Stopped, and nothing written since: asking does no harm. */
	assert_int_equal(region_landing_add(f.r, &eth0), 0);
	region_landing_remove(f.r, &eth0);
	fixture_crash(&f);
	fixture_open(&f);
	assert_int_equal(d.asked, 1);
	fixture_end(&f);
}

static void there_is_room_for_eight_each_once(void **state)
{
	struct paste_landing l = eth0;
	struct fixture f;
	struct device d;

	begin(&f, &d, SIM_ADR, 1);
	for (uint32_t i = 0; i < LANDINGS_MAX; i++) {
		l.first_queue = 4 * i;
		assert_int_equal(region_landing_add(f.r, &l), 0);
		assert_int_equal(region_landing_add(f.r, &l), 0);
	}
	l.first_queue = 1000;
	assert_int_equal(region_landing_add(f.r, &l), -ENOSPC);
	fixture_crash(&f);
	fixture_open(&f);
	assert_int_equal(d.asked, LANDINGS_MAX);
	fixture_end(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(packets_for_a_dead_life_land_in_nothing_of_the_next),
	    cmocka_unit_test(who_cannot_ask_may_read_only),
	    cmocka_unit_test(a_device_that_has_not_stopped_keeps_writers_out),
	    cmocka_unit_test(a_device_that_was_stopped_in_time_is_not_asked_for),
	    cmocka_unit_test(there_is_room_for_eight_each_once),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
