/* SPDX-License-Identifier: BSD-2-Clause */
/* Appending: where records go, what is handed to the medium, when segments come and go. */
#include "rig.h"

#include <errno.h>

static void records_of_a_commit_follow_one_another_and_commits_begin_new_units(void **state)
{
	static const enum sim_kind kinds[] = {SIM_SHM, SIM_FILE};

	for (int k = 0; k < 2; k++) {
		struct rig g;
		rig_begin(&g, kinds[k], MIB);
		uint32_t unit = g.b.r->unit;
		assert_int_equal(unit, kinds[k] == SIM_FILE ? 4096 : 64);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(g.l.tail % unit, 0);
			uint32_t before = g.l.tail;
			rig_put(&g, 10, 0);
			uint32_t middle = g.l.tail;
			rig_put(&g, 10, 0);
			assert_int_equal(g.l.tail - middle, middle - before); /* nothing between the two */
			assert_true(log_dirty(&g.l));
			rig_commit(&g);
			assert_false(log_dirty(&g.l));
			assert_int_equal(g.l.tail, (2 * middle - before + unit - 1) / unit * unit);
		}
		rig_end(&g);
	}
}

static void no_unit_is_written_by_two_commits(void **state)
{
	struct rig g;
	uint8_t before[4096];

	rig_begin(&g, SIM_FILE, MIB);
	for (int i = 0; i < 20; i++) {
		uint32_t at = g.l.tail & ~4095u;
		rig_put(&g, (uint32_t)i % 60, 0);
		rig_commit(&g);
		memcpy(before, region_segment_data(g.b.r, g.l.segment) + at, sizeof(before));
		uint32_t segment = g.l.segment;
		rig_put(&g, 5, 0);
		rig_commit(&g);
		assert_memory_equal(region_segment_data(g.b.r, segment) + at, before, sizeof(before));
	}
	rig_end(&g);
}

static void a_record_says_what_was_durable_when_it_was_written(void **state)
{
	struct rig g;

	rig_begin(&g, SIM_SHM, MIB);
	uint64_t open = g.l.next - 1;
	assert_int_equal(g.l.durable, open);
	uint64_t a = rig_put(&g, 1, 0), b = rig_put(&g, 1, 0);
	assert_int_equal(a, open + 1);
	assert_int_equal(b, open + 2);
	assert_int_equal(g.l.stated, open); /* a is not durable when b is written */
	rig_commit(&g);
	assert_int_equal(g.l.durable, b);
	assert_int_equal(g.l.marked, open);
	rig_put(&g, 1, 0);
	assert_int_equal(g.l.stated, b);
	assert_int_equal(g.l.marked, open); /* stated, but that is not durable yet */
	rig_commit(&g);
	assert_int_equal(g.l.marked, b);
	assert_int_equal(log_write_seal(&g.l), 0);
	rig_commit(&g);
	assert_int_equal(g.l.marked, b + 1);
	rig_end(&g);
}

static void changes_without_a_body_share_records_a_few_to_each(void **state)
{
	struct rig g;

	rig_begin(&g, SIM_SHM, MIB);
	uint64_t open = g.l.next - 1, bytes = g.l.bytes;
	for (uint32_t i = 1; i <= 20; i++)
		assert_int_equal(rig_add(&g, 8, i > 10), open + i);
	assert_int_equal(g.l.stated, open);
	rig_commit(&g);
	/* Three headers, eight digests in the second and the third, ops of 24 + 8 + "k" and 7 digits, two names. */
	assert_int_equal(g.l.bytes - bytes, 3 * 40 + 2 * 32 + 10 * 40 + 2 * 40 + 8 * 32);
	rig_add(&g, 8, true); /* of another commit: it is named again, and begins a unit */
	rig_commit(&g);
	rig_crash(&g);
	rig_expect(&g, 5, open + 21);
	uint64_t number = open;
	for (size_t i = 1; i < g.s.n; i++) {
		const struct record *rec = g.s.records[i].record;
		struct record_walk w;
		struct op_view v;
		int more;
		assert_int_equal(rec->sequence, number + 1);
		assert_int_equal(rec->digests, i == 1 ? 0 : i < 4 ? 8 : 4);
		assert_int_equal(rec->sequence - rec->lag, i < 4 ? open : open + 20);
		record_walk_start(&w, rec);
		while ((more = record_walk_next(&w, &v)) > 0) {
			uint32_t said;
			number++;
			assert_int_equal(w.number, number);
			assert_int_equal(v.op.version, number);
			assert_int_equal(v.op.type, number > open + 10 ? OP_APPEND : OP_PUT);
			if (v.op.type == OP_APPEND)
				assert_memory_equal(v.key, "a-stream", v.op.key_length);
			if (i + 1 < g.s.n) {
				assert_true(record_names(g.s.records[i + 1].record, number, &said));
				assert_int_equal(said, op_digest(&v));
			}
		}
		assert_int_equal(more, 0);
		assert_int_equal(record_last(rec), number);
	}
	rig_begin_life(&g);
	rig_end(&g);
}

static void a_place_that_no_op_came_to_leaves_nothing(void **state)
{
	struct rig g;

	rig_begin(&g, SIM_SHM, MIB);
	uint64_t last = rig_add(&g, 8, false);
	rig_commit(&g);
	uint32_t tail = g.l.tail;
	assert_non_null(log_add(&g.l, 56));
	log_commit(&g.l);
	assert_int_equal(g.l.tail, tail);
	assert_false(log_dirty(&g.l));
	assert_non_null(log_add(&g.l, 56));
	assert_int_equal(log_write_seal(&g.l), 0); /* takes the place */
	rig_commit(&g);
	rig_crash(&g);
	rig_expect(&g, 2, last + 1);
	rig_begin_life(&g);
	rig_end(&g);
}

static void a_segment_that_has_no_room_is_followed_by_another(void **state)
{
	struct rig g;
	uint64_t first[4] = {0};

	rig_begin(&g, SIM_SHM, MIB);
	uint32_t before = g.b.r->free_segments;
	while (g.l.n < 4) {
		uint64_t sequence = rig_put(&g, 60, 0);
		if (!first[g.l.n - 1])
			first[g.l.n - 1] = sequence;
	}
	rig_commit(&g);
	assert_int_equal(before - g.b.r->free_segments, 3);
	for (uint32_t i = 1; i < 4; i++) {
		const struct header *h =
		    (const struct header *)region_segment_data(g.b.r, g.l.segments[i].segment);
		assert_int_equal(g.l.segments[i].first, first[i]);
		assert_int_equal(h->magic, HEADER_MAGIC);
		assert_int_equal(h->kind, HEADER_LOG);
		assert_int_equal(h->id, first[i]);
		assert_int_equal(h->index, first[i] - 1);
		assert_int_equal(h->crc, header_crc(g.b.r, h));
	}
	rig_end(&g);
}

static void the_longest_record_fills_a_segment(void **state)
{
	struct rig g;

	rig_begin(&g, SIM_SHM, MIB);
	uint32_t most = log_record_max(g.b.r);
	assert_int_equal(most, g.b.r->segment_size - sizeof(struct header) - sizeof(struct record));
	/* 24 op, 12 reference, 4 or more of key, padded. */
	uint64_t sequence = rig_put(&g, 0, most - 48);
	assert_true(sequence > 0);
	rig_commit(&g);
	rig_put(&g, 1, 0);
	rig_commit(&g);
	rig_crash(&g);
	rig_expect(&g, 3, sequence + 1);
	rig_begin_life(&g);
	rig_end(&g);
}

static void rotating_begins_a_segment_and_truncating_gives_back_those_before(void **state)
{
	struct rig g;

	rig_begin(&g, SIM_SHM, MIB);
	for (int i = 0; i < 400; i++)
		rig_put(&g, 60, 0);
	uint32_t n = g.l.n;
	assert_true(n > 2);
	uint64_t start = log_rotate(&g.l);
	assert_int_equal(start, g.l.next);
	assert_true(log_dirty(&g.l)); /* handed over, but no commit covers it */
	rig_commit(&g);
	assert_false(log_dirty(&g.l));
	assert_int_equal(g.l.n, n); /* no segment before there is a record */
	assert_int_equal(rig_put(&g, 1, 0), start);
	assert_int_equal(g.l.n, n + 1);
	rig_commit(&g);
	uint32_t before = g.b.r->free_segments;
	log_truncate(&g.l, start);
	assert_int_equal(g.l.n, 1);
	assert_int_equal(g.l.segments[0].first, start);
	assert_int_equal(g.b.r->free_segments, before + n);
	rig_end(&g);
}

static void without_a_free_segment_a_record_has_no_place_and_nothing_changed(void **state)
{
	struct rig g;
	uint32_t taken[256], n = 0;

	rig_begin(&g, SIM_SHM, MIB);
	while (g.b.r->free_segments > 0)
		taken[n++] = region_segment_take(g.b.r, SEGMENT_PACK);
	uint64_t last = 0, sequence;
	while ((sequence = rig_put(&g, 60, 0)) > 0)
		last = sequence;
	assert_int_equal(g.l.next, last + 1);
	rig_commit(&g);
	assert_true(log_begin(&g.l, 8000) == NULL);
	log_rotate(&g.l);
	assert_int_equal(log_write_seal(&g.l), -ENOSPC);
	region_segment_retire(g.b.r, taken[--n]);
	assert_int_equal(rig_put(&g, 60, 0), last + 1);
	rig_commit(&g);
	while (n > 0)
		region_segment_retire(g.b.r, taken[--n]);
	rig_crash(&g);
	assert_int_equal(g.s.last, last + 1);
	assert_int_equal(g.s.gap_count, 0);
	rig_begin_life(&g);
	rig_end(&g);
}

static void each_record_carries_the_digest_of_the_one_before(void **state)
{
	struct rig g;

	rig_begin(&g, SIM_SHM, MIB);
	for (int i = 0; i < 5; i++)
		rig_put(&g, 8, 0);
	log_write_seal(&g.l);
	rig_put(&g, 8, 0);
	rig_commit(&g);
	rig_crash(&g);
	rig_begin_life(&g);
	rig_commit(&g);
	rig_crash(&g);
	uint32_t expected = DIGEST_NONE;
	for (size_t i = 0; i < g.s.n; i++) {
		const struct record *rec = g.s.records[i].record;
		assert_int_equal(rec->digest, expected);
		struct op_view v;
		expected = DIGEST_NONE;
		if (rec->type == RECORD_CHANGE) {
			assert_true(op_decode((const uint8_t *)(rec + 1), rec->meta - sizeof(*rec), &v) > 0);
			expected = op_digest(&v);
		}
	}
	assert_int_equal(g.s.n, 9); /* OPEN, five, SEAL, one, OPEN of the next life */
	rig_begin_life(&g);
	rig_end(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_of_a_commit_follow_one_another_and_commits_begin_new_units),
	    cmocka_unit_test(no_unit_is_written_by_two_commits),
	    cmocka_unit_test(a_record_says_what_was_durable_when_it_was_written),
	    cmocka_unit_test(changes_without_a_body_share_records_a_few_to_each),
	    cmocka_unit_test(a_place_that_no_op_came_to_leaves_nothing),
	    cmocka_unit_test(a_segment_that_has_no_room_is_followed_by_another),
	    cmocka_unit_test(the_longest_record_fills_a_segment),
	    cmocka_unit_test(rotating_begins_a_segment_and_truncating_gives_back_those_before),
	    cmocka_unit_test(without_a_free_segment_a_record_has_no_place_and_nothing_changed),
	    cmocka_unit_test(each_record_carries_the_digest_of_the_one_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
