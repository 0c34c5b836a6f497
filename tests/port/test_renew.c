/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A receive ring over the real region and store, on a medium of lines and on one of blocks: what the store
 * keeps is not received into again, what it let go may be, and what then arrives in it is written back anew.
 */
#include "../store/fixture.h"

#include <stdio.h>

#include "base/site.h"
#include "port/ring.h"

#define SIZE 8u
#define LENGTH 3800u
#define SMALL 512u /* what is longer stays where it arrived, on both media (fixture_begin() leaves more on blocks) */

static const enum sim_kind kinds[] = {SIM_ADR, SIM_FILE};

struct receiver {
	struct paste_ring ring;
	struct ring x;
};

/* A packet arrives; its slot is the application's. */
static struct paste_slot *arrive(struct fixture *f, struct receiver *v, uint64_t seed)
{
	struct paste_slot *slot = paste_ring_slot(&v->ring, v->x.arrived++);

	slot->offset = 256;
	slot->length = LENGTH;
	fill_bytes(seed, paste_buffer_data(f->r, slot->buffer) + 256, LENGTH);
	ring_show(&v->x);
	return slot;
}

static void give_back(struct receiver *v)
{
	v->ring.head = v->ring.cur = v->ring.tail;
	ring_give_back(&v->x);
}

static void put_slot(struct fixture *f, const char *key, const struct paste_slot *slot)
{
	struct paste_ref slice = {slot->buffer, slot->offset, slot->length};
	struct paste_result result;

	assert_int_equal(paste_store_put(f->s, key, strlen(key), &slice, 1, &result), 0);
}

static void open_ring(struct fixture *f, struct receiver *v)
{
	assert_int_equal(ring_open(&v->x, &v->ring, f->r, RING_RECEIVE, SIZE, 1, NULL), 0);
}

/* The store's slices are the only hold on the packets. */
static void what_the_store_keeps_is_not_received_into_again(void **state)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct fixture f;
		struct receiver v;
		char key[16];
		fixture_begin(&f, kinds[k], 4 * MIB, 4096, 0);
		f.s->small_max = SMALL;
		open_ring(&f, &v);
		for (uint64_t i = 0; i < 40; i++) {
			snprintf(key, sizeof(key), "key %u", (unsigned)i);
			put_slot(&f, key, arrive(&f, &v, i));
			if (i % 3 == 0)
				turn(&f);
			give_back(&v);
		}
		assert_int_equal(v.x.stats.replaced, 40);
		settle(&f);
		ring_close(&v.x);
		fixture_crash(&f);
		fixture_open(&f);
		for (uint64_t i = 0; i < 40; i++) {
			snprintf(key, sizeof(key), "key %u", (unsigned)i);
			expect_text(&f, key, i, LENGTH);
		}
		fixture_end(&f);
	}
}

/* The application holds on to its slots until the store has let go of what was in them. */
static void what_the_store_let_go_is_received_into_and_written_back_anew(void **state)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct fixture f;
		struct receiver v;
		fixture_begin(&f, kinds[k], 4 * MIB, 4096, 0);
		f.s->small_max = SMALL;
		open_ring(&f, &v);
		for (uint64_t i = 0; i < SIZE; i++)
			put_slot(&f, "once", arrive(&f, &v, i));
		settle(&f);
		delete_text(&f, "once");
		settle(&f);
		give_back(&v);
		assert_int_equal(v.x.stats.replaced, 0);
		put_slot(&f, "again", arrive(&f, &v, 77));
		settle(&f);
		ring_close(&v.x);
		fixture_crash(&f);
		fixture_open(&f);
		expect_text(&f, "again", 77, LENGTH);
		fixture_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_the_store_keeps_is_not_received_into_again),
	    cmocka_unit_test(what_the_store_let_go_is_received_into_and_written_back_anew),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
