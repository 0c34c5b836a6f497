/* SPDX-License-Identifier: BSD-2-Clause */
/* Segments and buffers: who has what, and when it is free again. */
#include "bare.h"

#include <errno.h>

static uint32_t take(struct bare *b)
{
	uint32_t buffer;

	assert_int_equal(paste_buffer_alloc(b->r, &buffer), 0);
	return buffer;
}

static void fresh_buffers_come_in_ascending_order_across_segments(void **state)
{
	struct bare b;

	bare_begin(&b, SIM_SHM, 2 * MIB, 2048, 1);
	uint32_t n = b.r->per_segment * 3 + 2;
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(take(&b), i);
	for (uint32_t i = 0; i < n; i++)
		paste_buffer_put(b.r, i);
	bare_end(&b);
}

static void a_dropped_buffer_is_used_again_before_a_fresh_one(void **state)
{
	struct bare b;

	bare_begin(&b, SIM_SHM, 4 * MIB, 2048, 1);
	for (uint32_t i = 0; i < 10; i++)
		take(&b);
	for (uint32_t i = 0; i < 5; i++)
		paste_buffer_put(b.r, i);
	/* The oldest first, so that they are still in ascending order. */
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(take(&b), i);
	assert_int_equal(take(&b), 10);
	for (uint32_t i = 0; i < 11; i++)
		paste_buffer_put(b.r, i);
	bare_end(&b);
}

static void a_buffer_is_free_when_its_last_user_and_its_last_live_slice_are_gone(void **state)
{
	struct bare b;

	bare_begin(&b, SIM_SHM, MIB, 2048, 1);
	uint32_t free_before = paste_buffer_free(b.r);
	uint32_t buffer = take(&b);
	struct paste_ref one = {buffer, 0, 100}, two = {buffer, 100, 1948};
	region_live_add(b.r, one);
	paste_buffer_get(b.r, buffer);
	region_live_add(b.r, two);
	assert_int_equal(paste_buffer_free(b.r), free_before - 1);
	paste_buffer_put(b.r, buffer);
	region_live_drop(b.r, one);
	paste_buffer_put(b.r, buffer);
	assert_int_equal(paste_buffer_free(b.r), free_before - 1); /* `two` is still there */
	assert_int_equal(b.r->live_bytes, 1948);
	region_live_drop(b.r, two);
	assert_int_equal(paste_buffer_free(b.r), free_before);
	bare_end(&b);
}

static void a_slice_that_runs_on_counts_in_every_buffer_that_it_touches(void **state)
{
	static const struct {
		uint16_t offset, length;
		uint32_t buffers;
	} table[] = {{0, 1, 1},    {0, 2048, 1},   {0, 2049, 2}, {2047, 1, 1},
		     {2047, 2, 2}, {100, 6044, 3}, {1, 6144, 4}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct bare b;
		bare_begin(&b, SIM_SHM, MIB, 2048, 1);
		for (int k = 0; k < 5; k++)
			take(&b);
		struct paste_ref ref = {0, table[i].offset, table[i].length};
		assert_true(region_ref_valid(b.r, ref));
		paste_ref_get(b.r, ref);
		region_live_add(b.r, ref);
		for (uint32_t k = 0; k < 5; k++) {
			assert_int_equal(b.r->buffer[k].live, k < table[i].buffers);
			assert_int_equal(b.r->buffer[k].users, k < table[i].buffers ? 2 : 1);
		}
		paste_ref_put(b.r, ref);
		region_live_drop(b.r, ref);
		for (uint32_t k = 0; k < 5; k++)
			paste_buffer_put(b.r, k);
		bare_end(&b);
	}
}

static void a_reference_must_lie_within_one_segment_of_the_region(void **state)
{
	struct bare b;

	bare_begin(&b, SIM_SHM, MIB, 2048, 1);
	uint32_t last = b.r->per_segment - 1, end = b.r->buffers;
	const struct {
		struct paste_ref ref;
		bool valid;
	} table[] = {
	    {{0, 0, 1}, true},           {{0, 0, 0}, false},
	    {{0, 2047, 1}, true},        {{0, 2048, 1}, false},
	    {{0, 0, 16384}, true},       {{0, 1, 16384}, false},
	    {{last, 0, 2048}, true},     {{last, 0, 2049}, false},
	    {{last, 2047, 2}, false},    {{end - 1, 0, 2048}, true},
	    {{end - 1, 0, 2049}, false}, {{end, 0, 1}, false},
	    {{UINT32_MAX, 0, 1}, false}, {{UINT32_MAX, UINT16_MAX, UINT16_MAX}, false},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(region_ref_valid(b.r, table[i].ref), table[i].valid);
	for (uint32_t offset = 0; offset < b.r->segment_size; offset += 777) {
		struct paste_ref ref = region_ref_at(b.r, 3, offset, 10);
		assert_ptr_equal(region_ref_data(b.r, ref), region_segment_data(b.r, 3) + offset);
		assert_int_equal(region_ref_offset(b.r, ref), region_segment_offset(b.r, 3) + offset);
		assert_int_equal(region_ref_segment(b.r, ref), 3);
	}
	bare_end(&b);
}

static void the_reserve_is_left_alone_and_full_is_said(void **state)
{
	struct bare b;
	uint32_t buffer, n = 0;

	bare_begin(&b, SIM_SHM, MIB, 2048, 1);
	b.r->landing_reserve = 5;
	assert_int_equal(paste_buffer_free(b.r), (b.r->segments - 5) * b.r->per_segment);
	while (paste_buffer_alloc(b.r, &buffer) == 0)
		n++;
	assert_int_equal(n, (b.r->segments - 5) * b.r->per_segment);
	assert_int_equal(b.r->free_segments, 5);
	assert_int_equal(paste_buffer_free(b.r), 0);
	assert_int_equal(paste_buffer_alloc(b.r, &buffer), -ENOBUFS);
	/* Whoever keeps the reserve may use it. */
	uint32_t s = region_segment_take(b.r, SEGMENT_LOG);
	assert_int_not_equal(s, SEGMENT_NONE);
	/* Room again, without anything else. */
	paste_buffer_put(b.r, 7);
	assert_int_equal(paste_buffer_alloc(b.r, &buffer), 0);
	assert_int_equal(buffer, 7);
	region_segment_retire(b.r, s);
	for (uint32_t i = 0; i < b.r->buffers; i++)
		if (b.r->buffer[i].users)
			paste_buffer_put(b.r, i);
	bare_end(&b);
}

static void holes_are_filled_when_fresh_segments_are_scarce(void **state)
{
	struct bare b;
	uint32_t buffer, n = 0;

	bare_begin(&b, SIM_SHM, MIB, 2048, 1);
	while (paste_buffer_alloc(b.r, &buffer) == 0)
		n++;
	/* Every second buffer is given back: no segment becomes free. */
	for (uint32_t i = 0; i < n; i += 2)
		paste_buffer_put(b.r, i);
	assert_int_equal(b.r->free_segments, 0);
	for (uint32_t i = 0; i < n; i += 2) {
		assert_int_equal(paste_buffer_alloc(b.r, &buffer), 0);
		assert_int_equal(buffer % 2, 0);
	}
	assert_int_equal(paste_buffer_alloc(b.r, &buffer), -ENOBUFS);
	for (uint32_t i = 0; i < n; i++)
		paste_buffer_put(b.r, i);
	bare_end(&b);
}

static void nothing_new_goes_into_a_victim(void **state)
{
	struct bare b;
	uint32_t buffer, n = 0;

	bare_begin(&b, SIM_SHM, MIB, 2048, 1);
	while (paste_buffer_alloc(b.r, &buffer) == 0)
		n++;
	b.r->segment[2].victim = true;
	for (uint32_t i = 0; i < n; i += 4)
		paste_buffer_put(b.r, i);
	while (paste_buffer_alloc(b.r, &buffer) == 0)
		assert_int_not_equal(buffer / b.r->per_segment, 2);
	assert_int_equal(b.r->segment[2].free, b.r->per_segment / 4);
	/* Emptied, it is free and no victim any more. */
	for (uint32_t i = 2 * b.r->per_segment; i < 3 * b.r->per_segment; i++)
		if (b.r->buffer[i].users)
			paste_buffer_put(b.r, i);
	assert_int_equal(b.r->segment[2].role, SEGMENT_FREE);
	assert_false(b.r->segment[2].victim);
	for (uint32_t i = 0; i < n; i++)
		if (b.r->buffer[i].users)
			paste_buffer_put(b.r, i);
	bare_end(&b);
}

static void a_retired_segment_keeps_what_is_live_and_frees_the_rest(void **state)
{
	static const enum segment_role roles[] = {SEGMENT_LOG, SEGMENT_CHECKPOINT, SEGMENT_PACK};

	for (int i = 0; i < 3; i++) {
		struct bare b;
		bare_begin(&b, SIM_SHM, MIB, 2048, 1);
		uint32_t s = region_segment_take(b.r, roles[i]);
		struct paste_ref live = region_ref_at(b.r, s, 2048 + 100, 3000);
		region_live_add(b.r, live);
		paste_buffer_get(b.r, live.buffer); /* somebody sends it */
		region_live_add(b.r, region_ref_at(b.r, s, 0, 10));
		region_live_drop(b.r, region_ref_at(b.r, s, 0, 10)); /* settled when the role is over */
		assert_int_equal(b.r->segment[s].role, roles[i]);
		region_segment_retire(b.r, s);
		assert_int_equal(b.r->segment[s].role, SEGMENT_DATA);
		assert_int_equal(b.r->segment[s].free, b.r->per_segment - 2);
		region_live_drop(b.r, live);
		assert_int_equal(b.r->segment[s].free, b.r->per_segment - 1);
		paste_buffer_put(b.r, live.buffer);
		region_cache_drain(b.r);
		assert_int_equal(b.r->segment[s].role, SEGMENT_FREE);
		/* Nothing live: free at once. */
		s = region_segment_take(b.r, roles[i]);
		region_segment_retire(b.r, s);
		assert_int_equal(b.r->segment[s].role, SEGMENT_FREE);
		bare_end(&b);
	}
}

static void settling_sorts_segments_by_what_is_live_in_them(void **state)
{
	struct bare b;

	bare_begin(&b, SIM_SHM, MIB, 2048, 1);
	bare_reopen(&b);
	struct paste_ref one = region_ref_at(b.r, 4, 5000, 100), two = region_ref_at(b.r, 9, 0, 10000);
	region_segment_assign(b.r, 1, SEGMENT_LOG);
	region_live_add(b.r, one);
	region_live_add(b.r, two);
	region_settle(b.r);
	assert_int_equal(b.r->segment[1].role, SEGMENT_LOG);
	assert_int_equal(b.r->segment[4].role, SEGMENT_DATA);
	assert_int_equal(b.r->segment[4].free, b.r->per_segment - 1);
	assert_int_equal(b.r->segment[9].free, b.r->per_segment - 5);
	assert_int_equal(b.r->free_segments, b.r->segments - 3);
	/* The lowest first. */
	assert_int_equal(region_segment_take(b.r, SEGMENT_PACK), 0);
	assert_int_equal(region_segment_take(b.r, SEGMENT_PACK), 2);
	region_segment_retire(b.r, 0);
	region_segment_retire(b.r, 2);
	region_segment_retire(b.r, 1);
	region_live_drop(b.r, one);
	region_live_drop(b.r, two);
	bare_end(&b);
}

static void on_blocks_a_buffer_is_written_once_however_many_slices_it_has(void **state)
{
	struct bare b;

	bare_begin(&b, SIM_FILE, MIB, 4096, 1);
	uint32_t buffer = take(&b);
	uint64_t before = b.m->stats.write_backs;
	region_write_back(b.r, (struct paste_ref){buffer, 0, 10});
	assert_int_equal(b.m->stats.write_backs, before + 1);
	region_write_back(b.r, (struct paste_ref){buffer, 2000, 1000});
	assert_int_equal(b.m->stats.write_backs, before + 1);
	paste_buffer_put(b.r, buffer);
	/* Handed out again, it holds other bytes. */
	assert_int_equal(take(&b), buffer);
	region_write_back(b.r, (struct paste_ref){buffer, 0, 10});
	assert_int_equal(b.m->stats.write_backs, before + 2);
	paste_buffer_put(b.r, buffer);
	bare_end(&b);
}

/* Random users and live slices beside a count of our own. */
static void random_work_adds_up(void **state)
{
	struct bare b;
	struct sim_random random = sim_random(3);
	struct paste_ref live[300];
	uint32_t held[300], n_live = 0, n_held = 0, segments[8], n_segments = 0;

	bare_begin(&b, SIM_SHM, 2 * MIB, 2048, 1);
	b.r->landing_reserve = 4;
	for (int step = 0; step < 200000; step++) {
		switch (sim_below(&random, 7)) {
		case 0:
		case 1:
			if (n_held < 300 && paste_buffer_alloc(b.r, &held[n_held]) == 0)
				n_held++;
			break;
		case 2:
			if (n_held > 0) {
				uint32_t i = (uint32_t)sim_below(&random, n_held);
				paste_buffer_put(b.r, held[i]);
				held[i] = held[--n_held];
			}
			break;
		case 3:
			if (n_held > 0 && n_live < 300) {
				uint32_t offset = (uint32_t)sim_below(&random, 2048);
				live[n_live] =
				    (struct paste_ref){held[sim_below(&random, n_held)], (uint16_t)offset,
						       (uint16_t)sim_between(&random, 1, 2048 - offset)};
				region_live_add(b.r, live[n_live++]);
			}
			break;
		case 4:
			if (n_live > 0) {
				uint32_t i = (uint32_t)sim_below(&random, n_live);
				region_live_drop(b.r, live[i]);
				live[i] = live[--n_live];
			}
			break;
		case 5:
			if (n_segments < 8) {
				segments[n_segments] = region_segment_take(b.r, SEGMENT_PACK);
				n_segments += segments[n_segments] != SEGMENT_NONE;
			}
			break;
		default:
			if (n_segments > 0)
				region_segment_retire(b.r, segments[--n_segments]);
		}
		uint32_t free_buffers = 0, free_segments = 0;
		for (uint32_t s = 0; step % 64 == 0 && s < b.r->segments; s++) {
			free_segments += b.r->segment[s].role == SEGMENT_FREE;
			free_buffers += b.r->segment[s].role == SEGMENT_DATA ? b.r->segment[s].free : 0;
		}
		if (step % 64 == 0) {
			assert_int_equal(free_segments, b.r->free_segments);
			assert_int_equal(free_buffers, b.r->free_buffers);
		}
	}
	while (n_live > 0)
		region_live_drop(b.r, live[--n_live]);
	while (n_held > 0)
		paste_buffer_put(b.r, held[--n_held]);
	while (n_segments > 0)
		region_segment_retire(b.r, segments[--n_segments]);
	bare_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fresh_buffers_come_in_ascending_order_across_segments),
	    cmocka_unit_test(a_dropped_buffer_is_used_again_before_a_fresh_one),
	    cmocka_unit_test(a_buffer_is_free_when_its_last_user_and_its_last_live_slice_are_gone),
	    cmocka_unit_test(a_slice_that_runs_on_counts_in_every_buffer_that_it_touches),
	    cmocka_unit_test(a_reference_must_lie_within_one_segment_of_the_region),
	    cmocka_unit_test(the_reserve_is_left_alone_and_full_is_said),
	    cmocka_unit_test(holes_are_filled_when_fresh_segments_are_scarce),
	    cmocka_unit_test(nothing_new_goes_into_a_victim),
	    cmocka_unit_test(a_retired_segment_keeps_what_is_live_and_frees_the_rest),
	    cmocka_unit_test(settling_sorts_segments_by_what_is_live_in_them),
	    cmocka_unit_test(on_blocks_a_buffer_is_written_once_however_many_slices_it_has),
	    cmocka_unit_test(random_work_adds_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
