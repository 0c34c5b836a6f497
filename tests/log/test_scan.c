/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding the end of a log after a crash: what is there counts, what is torn or of an earlier life does not.
 */
#include <stdlib.h>

#include "base/site.h"
#include "rig.h"

static const enum sim_kind kinds[] = {SIM_SHM, SIM_FILE};

static void an_empty_log_has_only_its_opening(void **state)
{
	for (int k = 0; k < 2; k++) {
		struct rig g;
		rig_begin(&g, kinds[k], MIB);
		assert_int_equal(g.s.n, 0); /* a new region: not even that */
		assert_int_equal(g.s.last, 0);
		uint64_t open = g.l.next - 1;
		rig_crash(&g);
		rig_expect(&g, 1, open);
		assert_int_equal(g.s.records[0].record->type, RECORD_OPEN);
		rig_begin_life(&g);
		rig_end(&g);
	}
}

static void everything_committed_is_found_over_one_segment_and_many(void **state)
{
	static const struct {
		uint32_t records, inline_bytes, body, per_commit;
	} table[] = {{1, 0, 0, 1},      {10, 60, 0, 1},   {10, 60, 0, 3},  {200, 60, 0, 7},
		     {1000, 30, 0, 50}, {20, 0, 4000, 2}, {3, 0, 15000, 1}};

	for (int k = 0; k < 2; k++) {
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
			struct rig g;
			rig_begin(&g, kinds[k], 2 * MIB);
			uint64_t last = 0;
			for (uint32_t n = 0; n < table[i].records; n++) {
				last = rig_put(&g, table[i].inline_bytes, table[i].body);
				assert_true(last > 0);
				if (n % table[i].per_commit == table[i].per_commit - 1)
					rig_commit(&g);
			}
			rig_commit(&g);
			uint32_t segments = g.l.n;
			rig_crash(&g);
			rig_expect(&g, table[i].records + 1, last);
			assert_int_equal(g.s.segment_count, segments);
			assert_int_equal(g.s.gap_count, 0);
			assert_int_equal(g.s.torn, 0);
			rig_begin_life(&g);
			rig_end(&g);
		}
	}
}

static void a_segment_whose_header_came_without_a_record_ends_the_log_before_it(void **state)
{
	for (int k = 0; k < 2; k++) {
		struct rig g;
		rig_begin(&g, kinds[k], MIB);
		uint64_t last = rig_put(&g, 5, 0);
		rig_commit(&g);
		/* The record that the segment was begun for is never ended. */
		assert_non_null(log_begin(&g.l, log_record_max(g.b.r)));
		rig_commit(&g);
		rig_crash(&g);
		rig_expect(&g, 2, last);
		rig_begin_life(&g);
		/* The next life goes on, and is read back. */
		uint64_t after = rig_put(&g, 5, 0);
		rig_commit(&g);
		rig_crash(&g);
		rig_expect(&g, 4, after);
		rig_begin_life(&g);
		rig_end(&g);

		/* The same, but the life goes on with a shorter one. */
		rig_begin(&g, kinds[k], MIB);
		assert_non_null(log_begin(&g.l, log_record_max(g.b.r)));
		rig_commit(&g);
		last = rig_put(&g, 5, 0);
		rig_put(&g, 5, 0);
		rig_commit(&g);
		rig_crash(&g);
		rig_expect(&g, 3, last + 1);
		rig_begin_life(&g);
		rig_end(&g);
	}
}

static void a_torn_record_and_all_behind_it_never_happened(void **state)
{
	/* Of five records in the last commit the third is torn; each of its bytes may be what is missing. */
	for (uint32_t byte = 0; byte < 80; byte += 3) {
		struct rig g;
		rig_begin(&g, SIM_SHM, MIB);
		rig_put(&g, 8, 0);
		rig_commit(&g);
		uint64_t first = rig_put(&g, 8, 0);
		for (int i = 0; i < 4; i++)
			rig_put(&g, 8, 0);
		rig_commit(&g);
		rig_crash(&g);
		rig_expect(&g, 7, first + 4);
		const struct record *rec = g.s.records[4].record;
		if (byte >= rec->meta) {
			rig_begin_life(&g);
			rig_end(&g);
			break;
		}
		rig_flip(&g, rig_record(&g, 4) + byte, 0x5a);
		rig_crash(&g);
		rig_expect(&g, 4, first + 1);
		assert_int_equal(g.s.gap_count, 0);
		rig_begin_life(&g);
		/* What stood behind it does not come back. */
		uint64_t next = rig_put(&g, 8, 0);
		rig_commit(&g);
		rig_crash(&g);
		rig_expect(&g, 6, next);
		rig_begin_life(&g);
		rig_end(&g);
	}
}

static void a_torn_value_ends_the_log_where_it_might_not_be_durable(void **state)
{
	struct rig g;

	rig_begin(&g, SIM_SHM, MIB);
	for (int i = 0; i < 3; i++) {
		rig_put(&g, 0, 1000);
		rig_commit(&g);
	}
	uint64_t last = g.l.next - 1;
	rig_crash(&g);
	rig_expect(&g, 4, last);
	assert_int_equal(g.s.stable, last - 1);
	/* In the last record, above what any record says to be stable: torn. */
	rig_flip(&g, rig_record(&g, 3) + g.s.records[3].record->meta + 500, 1);
	rig_crash(&g);
	rig_expect(&g, 3, last - 1);
	assert_int_equal(g.s.torn, 1);
	/* In the one before: damage, found when it is read. */
	rig_flip(&g, rig_record(&g, 1) + g.s.records[1].record->meta + 500, 1);
	rig_crash(&g);
	rig_expect(&g, 3, last - 1);
	rig_begin_life(&g);
	rig_end(&g);
}

static void a_damaged_value_below_the_superblocks_end_is_no_torn_one(void **state)
{
	struct rig g;

	rig_begin(&g, SIM_SHM, MIB);
	for (int i = 0; i < 3; i++)
		rig_put(&g, 0, 1000);
	rig_commit(&g); /* no record says that they are durable */
	uint64_t last = g.l.next - 1;
	rig_crash(&g);
	/* The next life saw them whole, wrote that into the superblock, and died. */
	g.b.r->sb.epoch++;
	g.b.r->sb.log[0].end = last;
	assert_int_equal(superblock_rewrite(&g.b.r->sb, g.b.m, 0), 0);
	rig_flip(&g, rig_record(&g, 2) + g.s.records[2].record->meta + 500, 1);
	rig_crash(&g);
	rig_expect(&g, 4, last); /* found when it is read; its neighbours are served */
	assert_int_equal(g.s.torn, 0);
	rig_begin_life(&g);
	rig_end(&g);
}

static void two_crashes_in_a_row_do_not_bring_back_what_the_first_cut_off(void **state)
{
	for (int k = 0; k < 2; k++) {
		struct rig g;
		rig_begin(&g, kinds[k], MIB);
		for (int i = 0; i < 6; i++) {
			rig_put(&g, 8, 0);
			if (i < 3)
				rig_commit(&g);
		}
		uint64_t kept = g.l.next - 4;
		rig_commit(&g);
		rig_crash(&g);
		/* Record 4 of 7 is torn, those behind it are whole. */
		uint64_t torn = rig_record(&g, 4);
		rig_flip(&g, torn + 20, 0xff);
		rig_crash(&g);
		assert_int_equal(g.s.last, kept);
		/* Life 2 dies before its OPEN: life 3 finds what life 2 found. */
		g.b.r->sb.epoch++;
		g.b.r->sb.log[0].end = g.s.last;
		assert_int_equal(superblock_rewrite(&g.b.r->sb, g.b.m, 0), 0);
		rig_crash(&g);
		assert_int_equal(g.s.last, kept);
		/* Even if the torn record is made whole after all (it came late): it did not happen. */
		rig_flip(&g, torn + 20, 0xff);
		rig_crash(&g);
		assert_int_equal(g.s.last, kept);
		rig_begin_life(&g);
		uint64_t mine = rig_put(&g, 30, 0);
		rig_commit(&g);
		for (int again = 0; again < 3; again++) {
			rig_crash(&g);
			assert_int_equal(g.s.last, mine);
			assert_int_equal(g.s.gap_count, 0);
		}
		rig_begin_life(&g);
		rig_end(&g);
	}
}

static void what_lies_beyond_the_end_from_other_uses_of_the_segment_is_not_read(void **state)
{
	struct rig g;

	/* Segments full of records of this very log, retired and used again. */
	rig_begin(&g, SIM_SHM, MIB);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 4000; i++) {
			assert_true(rig_put(&g, 8, 0) > 0);
			if (i % 300 == 299) {
				rig_commit(&g);
				uint64_t start = log_rotate(&g.l);
				g.b.r->sb.log[0].start = start;
				g.b.r->sb.log[0].end = start - 1;
				assert_int_equal(superblock_rewrite(&g.b.r->sb, g.b.m, 0), 0);
				log_truncate(&g.l, start);
			}
		}
		uint64_t last = rig_put(&g, 8, 0);
		rig_commit(&g);
		rig_crash(&g);
		assert_int_equal(g.s.last, last);
		assert_int_equal(g.s.gap_count, 0);
		rig_begin_life(&g);
	}
	rig_end(&g);
}

/* Clients could make bytes beyond the end look like the start of such a record at every eighth byte, and have
 * a checksum computed over the rest of the segment for each. */
static void a_record_with_more_metadata_than_any_has_is_not_looked_at(void **state)
{
	static const struct {
		uint32_t meta;
		size_t found;
	} table[] = {{RECORD_META_MAX, 3}, {RECORD_META_MAX + 8, 2}, {15000, 2}};

	for (size_t i = 0; i < 3; i++) {
		struct rig g;
		rig_begin(&g, SIM_SHM, MIB);
		rig_put(&g, 8, 0);
		rig_commit(&g);
		struct record *rec = log_begin(&g.l, 15000);
		*rec = (struct record){
		    .epoch = g.l.epoch,
		    .sequence = g.l.next,
		    .length = 15000,
		    .meta = table[i].meta,
		    .lag = 1,
		    .type = RECORD_SEAL,
		};
		rec->crc = record_crc(g.b.r, rec, table[i].meta);
		g.l.tail += 15000;
		rig_commit(&g);
		rig_crash(&g);
		assert_int_equal(g.s.n, table[i].found);
		rig_begin_life(&g);
		rig_end(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_log_has_only_its_opening),
	    cmocka_unit_test(everything_committed_is_found_over_one_segment_and_many),
	    cmocka_unit_test(a_segment_whose_header_came_without_a_record_ends_the_log_before_it),
	    cmocka_unit_test(a_torn_record_and_all_behind_it_never_happened),
	    cmocka_unit_test(a_torn_value_ends_the_log_where_it_might_not_be_durable),
	    cmocka_unit_test(a_damaged_value_below_the_superblocks_end_is_no_torn_one),
	    cmocka_unit_test(two_crashes_in_a_row_do_not_bring_back_what_the_first_cut_off),
	    cmocka_unit_test(what_lies_beyond_the_end_from_other_uses_of_the_segment_is_not_read),
	    cmocka_unit_test(a_record_with_more_metadata_than_any_has_is_not_looked_at),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
