/* SPDX-License-Identifier: BSD-2-Clause */
/* Who owns a slot and its buffer when, over a region in memory that aborts on misuse. */
#include <errno.h>

#include "port/ring.h"
#include "slots.h"

#define SIZE 8u

struct fixture {
	struct paste_region *region;
	struct paste_ring ring;
	struct ring x;
};

static void begin(struct fixture *f, enum ring_kind kind, uint32_t buffers)
{
	f->region = fake_region_new(buffers, 2048);
	assert_int_equal(ring_open(&f->x, &f->ring, f->region, kind, SIZE, 4, NULL), 0);
}

static void end(struct fixture *f)
{
	ring_close(&f->x);
	region_proved(f->region);
}

static struct paste_slot *fill(struct fixture *f, uint16_t flags)
{
	struct paste_slot *slot = paste_ring_slot(&f->ring, f->ring.head++);

	slot->length = 100;
	slot->flags = flags;
	return slot;
}

static void opening_takes_a_buffer_a_slot(void **state)
{
	struct fixture f;

	begin(&f, RING_RECEIVE, SIZE);
	assert_int_equal(fake_region_out(f.region), SIZE);
	assert_int_equal(paste_ring_available(&f.ring), 0);
	end(&f);
	begin(&f, RING_TRANSMIT, SIZE);
	assert_int_equal(fake_region_out(f.region), SIZE);
	assert_int_equal(paste_ring_available(&f.ring), SIZE);
	end(&f);
	begin(&f, RING_RECEIVE_EMPTY, SIZE);
	assert_int_equal(fake_region_out(f.region), 0);
	end(&f);
}

static void opening_that_fails_holds_nothing(void **state)
{
	static const struct {
		uint32_t buffers, size;
		int result;
	} table[] = {
	    {SIZE - 1, SIZE, -ENOBUFS}, {64, 0, -EINVAL}, {64, 12, -EINVAL}, {64, 1u << 21, -EINVAL}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct paste_region *r = fake_region_new(table[i].buffers, 2048);
		struct paste_error err = {{0}};
		struct paste_ring ring;
		struct ring x;
		for (int kind = RING_RECEIVE; kind <= RING_TRANSMIT; kind++) {
			int want =
			    kind == RING_RECEIVE_EMPTY && table[i].result == -ENOBUFS ? 0 : table[i].result;
			assert_int_equal(
			    ring_open(&x, &ring, r, (enum ring_kind)kind, table[i].size, 4, &err), want);
			if (want == 0)
				ring_close(&x);
			else
				assert_true(err.text[0] != 0);
		}
		region_proved(r);
	}
}

/* Three slots hold packets; the application has done with the first two. What it did to each buffer decides.
 */
static void a_kept_buffer_is_not_received_into_again(void **state)
{
	static const struct {
		const char *what;
		bool user, live, swapped, replaced;
	} table[] = {
	    {"nothing", false, false, false, false},    {"a user count", true, false, false, true},
	    {"a live slice", false, true, false, true}, {"both", true, true, false, true},
	    {"swapped", false, false, true, false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fixture f;
		begin(&f, RING_RECEIVE, 32);
		f.x.arrived = 3;
		assert_int_equal(ring_show(&f.x), 3);
		struct paste_slot *slot = paste_ring_slot(&f.ring, 0);
		struct paste_ref slice = {slot->buffer, 100, 60};
		uint32_t before = slot->buffer, fresh = before,
			 untouched = paste_ring_slot(&f.ring, 2)->buffer;
		if (table[i].user)
			paste_buffer_get(f.region, before);
		if (table[i].live)
			fake_region_keep(f.region, slice);
		if (table[i].swapped) {
			assert_int_equal(paste_buffer_alloc(f.region, &fresh), 0);
			assert_int_equal(paste_port_swap(slot, fresh), before);
		}
		f.ring.head = f.ring.cur = 2;
		assert_true(ring_head_valid(&f.x));
		ring_give_back(&f.x);
		if (table[i].replaced)
			assert_int_not_equal(slot->buffer, before);
		else
			assert_int_equal(slot->buffer, fresh);
		assert_int_equal(f.x.stats.replaced, table[i].replaced);
		assert_int_equal(paste_ring_slot(&f.ring, 2)->buffer, untouched);
		assert_int_equal(ring_show(&f.x), 1);
		if (table[i].user || table[i].swapped)
			paste_buffer_put(f.region, before);
		if (table[i].live)
			fake_region_release(f.region, slice);
		end(&f);
	}
}

static void a_slot_without_a_buffer_gets_one_when_there_is_one(void **state)
{
	struct fixture f;

	begin(&f, RING_RECEIVE, SIZE);
	struct paste_slot *slot = paste_ring_slot(&f.ring, 0);
	uint32_t kept = slot->buffer;
	f.x.arrived = 1;
	ring_show(&f.x);
	paste_buffer_get(f.region, kept);
	f.ring.head = f.ring.cur = 1;
	ring_give_back(&f.x);
	assert_int_equal(slot->buffer, RING_NO_BUFFER);
	assert_false(ring_slot_fill(&f.x, slot));
	paste_buffer_put(f.region, kept);
	assert_true(ring_slot_fill(&f.x, slot));
	assert_int_not_equal(slot->buffer, RING_NO_BUFFER);
	assert_int_equal(f.x.stats.replaced, 1);
	end(&f);
}

static void head_stays_within_the_applications_slots(void **state)
{
	static const struct {
		uint32_t head;
		bool valid;
	} table[] = {{0, true}, {1, true}, {3, true}, {4, false}, {SIZE, false}, {UINT32_MAX, false}};
	struct fixture f;

	begin(&f, RING_RECEIVE, 32);
	f.x.arrived = 3;
	ring_show(&f.x);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		f.ring.head = table[i].head;
		assert_int_equal(ring_head_valid(&f.x), table[i].valid);
	}
	end(&f);
}

static void a_reference_is_held_until_it_is_sent_and_the_slot_gets_its_own_back(void **state)
{
	struct fixture f;
	uint32_t value;

	begin(&f, RING_TRANSMIT, 32);
	assert_int_equal(paste_buffer_alloc(f.region, &value), 0);
	uint32_t own = paste_ring_slot(&f.ring, 1)->buffer;
	fill(&f, PASTE_SLOT_MORE);
	fill(&f, PASTE_SLOT_REFERENCE)->buffer = value;
	ring_take(&f.x);
	paste_buffer_put(f.region, value); /* its owner lets go: the port still holds it */
	assert_int_equal(fake_region_out(f.region), SIZE + 1);
	ring_complete(&f.x, 2);
	assert_int_equal(fake_region_out(f.region), SIZE);
	assert_int_equal(paste_ring_slot(&f.ring, 1)->buffer, own);
	assert_int_equal(ring_return(&f.x), SIZE);
	end(&f);
}

static void closing_puts_what_is_under_way_and_what_was_only_filled(void **state)
{
	struct fixture f;
	uint32_t value[3];

	begin(&f, RING_TRANSMIT, 32);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(paste_buffer_alloc(f.region, &value[i]), 0);
		fill(&f, PASTE_SLOT_REFERENCE)->buffer = value[i];
		if (i == 1)
			ring_take(&f.x); /* two are under way, the third was never seen */
	}
	ring_complete(&f.x, 1);
	for (int i = 0; i < 3; i++)
		paste_buffer_put(f.region, value[i]);
	end(&f);
}

static void an_own_buffer_that_was_exchanged_is_the_slots_from_then_on(void **state)
{
	struct fixture f;
	uint32_t mine, value;

	begin(&f, RING_TRANSMIT, 32);
	assert_int_equal(paste_buffer_alloc(f.region, &mine), 0);
	assert_int_equal(paste_buffer_alloc(f.region, &value), 0);
	struct paste_slot *slot = fill(&f, 0);
	uint32_t taken = paste_port_swap(slot, mine);
	ring_take(&f.x);
	ring_complete(&f.x, 1);
	ring_return(&f.x);
	while (f.ring.head < SIZE)
		fill(&f, 0);
	assert_ptr_equal(fill(&f, PASTE_SLOT_REFERENCE), slot);
	slot->buffer = value;
	ring_take(&f.x);
	ring_complete(&f.x, SIZE);
	assert_int_equal(slot->buffer, mine);
	paste_buffer_put(f.region, taken);
	paste_buffer_put(f.region, value);
	end(&f);
}

static void packets_are_taken_whole_and_bad_ones_are_found(void **state)
{
	static const struct {
		const char *what;
		uint16_t offset[5], length[5];
		uint32_t slots, bytes;
	} table[] = {
	    {"one slot", {0}, {60}, 1, 60},
	    {"to the buffer's end", {48}, {2000}, 1, 2000},
	    {"over the buffer's end", {49}, {2000}, 1, 0},
	    {"empty", {0}, {0}, 1, 0},
	    {"four slots", {0, 1, 2, 3}, {10, 20, 30, 40}, 4, 100},
	    {"an empty one among them", {0}, {10, 0, 30}, 3, 0},
	    {"more slots than a packet may have", {0}, {10, 10, 10, 10, 10}, 5, 0},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fixture f;
		uint32_t bytes;
		begin(&f, RING_TRANSMIT, 32);
		for (uint32_t k = 0; k < table[i].slots; k++) {
			struct paste_slot *slot = fill(&f, k + 1 < table[i].slots ? PASTE_SLOT_MORE : 0);
			slot->offset = table[i].offset[k];
			slot->length = table[i].length[k];
			ring_take(&f.x);
			assert_int_equal(f.x.taken, k + 1 < table[i].slots ? 0 : table[i].slots);
		}
		assert_int_equal(ring_packet(&f.x, 0, &bytes), table[i].slots);
		assert_int_equal(bytes, table[i].bytes);
		end(&f);
	}
}

static void a_packet_that_fills_the_ring_and_does_not_end_is_taken_as_bad(void **state)
{
	struct fixture f;
	uint32_t bytes;

	begin(&f, RING_TRANSMIT, 32);
	for (uint32_t i = 0; i < SIZE; i++)
		fill(&f, PASTE_SLOT_MORE);
	ring_take(&f.x);
	assert_int_equal(ring_packet(&f.x, 0, &bytes), SIZE);
	assert_int_equal(bytes, 0);
	ring_complete(&f.x, SIZE);
	assert_int_equal(ring_return(&f.x), SIZE);
	end(&f);
}

static void indices_run_over_the_end_of_their_numbers(void **state)
{
	struct fixture f;
	uint32_t bytes;

	begin(&f, RING_TRANSMIT, 32);
	f.x.done = f.x.taken = f.ring.head = f.ring.cur = UINT32_MAX - 2;
	assert_int_equal(ring_return(&f.x), SIZE);
	for (uint32_t i = 0; i < 5; i++)
		fill(&f, i < 3 ? PASTE_SLOT_MORE : 0);
	assert_true(ring_head_valid(&f.x));
	ring_take(&f.x);
	assert_int_equal(f.x.taken, 2);
	assert_int_equal(ring_packet(&f.x, f.x.done, &bytes), 4);
	assert_int_equal(bytes, 400);
	ring_complete(&f.x, 4);
	assert_int_equal(ring_return(&f.x), SIZE - 1);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(opening_takes_a_buffer_a_slot),
	    cmocka_unit_test(opening_that_fails_holds_nothing),
	    cmocka_unit_test(a_kept_buffer_is_not_received_into_again),
	    cmocka_unit_test(a_slot_without_a_buffer_gets_one_when_there_is_one),
	    cmocka_unit_test(head_stays_within_the_applications_slots),
	    cmocka_unit_test(a_reference_is_held_until_it_is_sent_and_the_slot_gets_its_own_back),
	    cmocka_unit_test(closing_puts_what_is_under_way_and_what_was_only_filled),
	    cmocka_unit_test(an_own_buffer_that_was_exchanged_is_the_slots_from_then_on),
	    cmocka_unit_test(packets_are_taken_whole_and_bad_ones_are_found),
	    cmocka_unit_test(a_packet_that_fills_the_ring_and_does_not_end_is_taken_as_bad),
	    cmocka_unit_test(indices_run_over_the_end_of_their_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
