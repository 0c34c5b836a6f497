/* SPDX-License-Identifier: BSD-2-Clause */
/* Damage in a log is told from a torn end: by later records, and by the superblock. */
#include "rig.h"

/* n records of one commit each; the scan after a crash. */
static void begin_with(struct rig *g, enum sim_kind kind, uint64_t size, uint32_t n, uint32_t inline_bytes)
{
	rig_begin(g, kind, size);
	for (uint32_t i = 0; i < n; i++) {
		rig_put(g, inline_bytes, 0);
		rig_commit(g);
	}
	rig_crash(g);
	assert_int_equal(rig_records(g), n + 1);
}

static void a_flipped_bit_is_mended_when_a_later_record_proves_it(void **state)
{
	static const enum sim_kind kinds[] = {SIM_SHM, SIM_FILE};

	for (int k = 0; k < 2; k++) {
		struct rig g;
		begin_with(&g, kinds[k], MIB, 6, 20);
		uint64_t last = g.s.last, offset = rig_record(&g, 3),
			 sequence = g.s.records[3].record->sequence;
		uint32_t meta = g.s.records[3].record->meta;
		uint8_t *copy = malloc(meta);
		memcpy(copy, g.b.m->base + offset, meta);
		for (uint32_t bit = 0; bit < meta * 8; bit++) {
			g.b.m->base[offset + bit / 8] ^= (uint8_t)(1u << bit % 8);
			rig_scan(&g);
			rig_expect(&g, 7, last);
			assert_int_equal(g.s.gap_count, 0);
			assert_int_equal(g.s.copy_count, 1);
			assert_int_equal(g.s.copy_offset[0], offset);
			assert_int_equal(g.s.copies[0]->sequence, sequence);
			assert_memory_equal(g.s.copies[0], copy, meta);
			g.b.m->base[offset + bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		free(copy);
		rig_scan(&g);
		rig_begin_life(&g);
		rig_end(&g);
	}
}

static void a_flipped_bit_in_the_last_record_is_a_torn_end(void **state)
{
	struct rig g;

	begin_with(&g, SIM_SHM, MIB, 6, 20);
	uint64_t last = g.s.last, offset = rig_record(&g, 6);
	uint32_t meta = g.s.records[6].record->meta;
	for (uint32_t bit = 0; bit < meta * 8; bit++) {
		g.b.m->base[offset + bit / 8] ^= (uint8_t)(1u << bit % 8);
		rig_scan(&g);
		rig_expect(&g, 6, last - 1);
		assert_int_equal(g.s.gap_count, 0);
		g.b.m->base[offset + bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	rig_scan(&g);
	rig_begin_life(&g);
	rig_end(&g);
}

static void a_seal_makes_a_flipped_bit_in_the_last_change_provable(void **state)
{
	struct rig g;

	rig_begin(&g, SIM_SHM, MIB);
	rig_put(&g, 20, 0);
	rig_commit(&g);
	log_write_seal(&g.l);
	rig_commit(&g);
	rig_crash(&g);
	rig_flip(&g, rig_record(&g, 1) + 50, 4);
	rig_crash(&g);
	assert_int_equal(g.s.n, 3);
	assert_int_equal(g.s.copy_count, 1);
	rig_begin_life(&g);
	rig_end(&g);
}

static void a_record_beyond_mending_is_a_gap_with_its_keys_digest(void **state)
{
	static const uint32_t at[] = {0, 4, 9, 16, 20, 24, 28, 32, 36, 44, 64};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct rig g;
		begin_with(&g, SIM_SHM, MIB, 6, 20);
		uint64_t last = g.s.last, lost = g.s.records[3].record->sequence;
		uint32_t digest = g.s.records[4].record->digest;
		rig_flip(&g, rig_record(&g, 3) + at[i], 0x7e);
		rig_crash(&g);
		rig_expect(&g, 6, last);
		assert_int_equal(g.s.gap_count, 1);
		assert_int_equal(g.s.gaps[0].after, lost - 1);
		assert_int_equal(g.s.gaps[0].before, lost + 1);
		uint32_t said;
		assert_true(scan_lost_digest(&g.s, &g.s.gaps[0], lost, &said));
		assert_int_equal(said, digest);
		assert_true(digest != DIGEST_NONE && digest != DIGEST_MANY);
		rig_begin_life(&g);
		rig_end(&g);
	}
}

static void several_lost_records_in_a_row_are_one_gap(void **state)
{
	struct rig g;

	begin_with(&g, SIM_SHM, MIB, 8, 20);
	uint64_t first = g.s.records[3].record->sequence;
	for (size_t i = 3; i < 6; i++)
		rig_flip(&g, rig_record(&g, i) + 8, 0x7e);
	rig_crash(&g);
	assert_int_equal(g.s.n, 6);
	assert_int_equal(g.s.gap_count, 1);
	assert_int_equal(g.s.gaps[0].after, first - 1);
	assert_int_equal(g.s.gaps[0].before, first + 3);
	rig_begin_life(&g);
	rig_end(&g);
}

/* As many changes as a block of the medium holds: behind it, a list says whose keys they were. */
static void lists_name_the_changes_of_records_lost_in_a_row(void **state)
{
	for (int shared = 0; shared < 2; shared++) {
		for (uint32_t bytes = 512; bytes <= 4096; bytes *= 8) {
			struct rig g;
			rig_begin(&g, SIM_SHM, MIB);
			for (int i = 0; i < 400; i++) {
				if (shared)
					rig_add(&g, 10, false);
				else
					rig_put(&g, 10, 0);
				if (i % 20 == 19)
					rig_commit(&g);
			}
			rig_crash(&g);
			struct scan whole = g.s;
			g.s = (struct scan){0};
			/* Blocks of the medium, wherever they are in the log's first segment. */
			uint64_t start = region_segment_offset(g.b.r, whole.segments[0].segment);
			uint8_t *kept = malloc(bytes);
			uint64_t most = 0;
			for (uint64_t at = start + 4096; at + bytes <= start + 3 * 4096; at += bytes) {
				memcpy(kept, g.b.m->base + at, bytes);
				memset(g.b.m->base + at, 0x5a, bytes);
				rig_scan(&g);
				assert_int_equal(g.s.last, whole.last);
				assert_int_equal(g.s.gap_count, 1);
				const struct scan_gap *gap = &g.s.gaps[0];
				if (gap->before - gap->after > most)
					most = gap->before - gap->after;
				memcpy(g.b.m->base + at, kept, bytes);
				for (size_t i = 0; i < whole.n; i++) {
					struct record_walk w;
					struct op_view v;
					record_walk_start(&w, whole.records[i].record);
					while (record_walk_next(&w, &v) > 0) {
						uint32_t said;
						if (w.number <= gap->after || w.number >= gap->before)
							continue;
						memset(g.b.m->base + at, 0x5a, bytes);
						bool named = scan_lost_digest(&g.s, gap, w.number, &said);
						memcpy(g.b.m->base + at, kept, bytes);
						assert_true(named);
						assert_int_equal(said, op_digest(&v));
					}
				}
			}
			assert_true(most > bytes / 100);
			free(kept);
			scan_free(&whole);
			rig_scan(&g);
			rig_begin_life(&g);
			rig_end(&g);
		}
	}
}

static void a_damaged_segment_header_is_mended_or_done_without(void **state)
{
	/* One bit; all of it, so that only its first record tells that the segment is this log's. */
	for (int much = 0; much < 2; much++) {
		struct rig g;
		begin_with(&g, SIM_SHM, MIB, 900, 20);
		assert_true(g.s.segment_count >= 3);
		uint64_t last = g.s.last;
		for (uint32_t i = 0; i < g.s.segment_count; i++) {
			uint64_t at = region_segment_offset(g.b.r, g.s.segments[i].segment);
			for (uint32_t byte = 0; byte < sizeof(struct header);
			     byte += much ? 1 : sizeof(struct header))
				g.b.m->base[at + byte + (much ? 0 : i * 9)] ^= much ? 0xff : 0x10;
		}
		uint32_t segments = g.s.segment_count;
		rig_scan(&g);
		rig_expect(&g, 901, last);
		assert_int_equal(g.s.segment_count, segments);
		assert_int_equal(g.s.gap_count, 0);
		for (uint32_t i = 0; i < segments; i++)
			assert_int_equal(g.h.mended[g.s.segments[i].segment], !much);
		rig_begin_life(&g);
		rig_end(&g);
	}
}

static void a_lost_segment_is_a_gap_and_what_follows_is_read(void **state)
{
	struct rig g;

	begin_with(&g, SIM_SHM, MIB, 900, 20);
	uint64_t last = g.s.last, first = g.s.segments[1].first, next = g.s.segments[2].first;
	memset(region_segment_data(g.b.r, g.s.segments[1].segment), 0xa5, g.b.r->segment_size);
	rig_scan(&g);
	assert_int_equal(g.s.last, last);
	assert_int_equal(g.s.gap_count, 1);
	assert_int_equal(g.s.gaps[0].after, first - 1);
	assert_int_equal(g.s.gaps[0].before, next);
	rig_begin_life(&g);
	rig_end(&g);
}

/* After a life has begun, the superblock says what was durable: no later record is needed to see that some is
 * missing. */
static void lost_records_at_the_end_are_seen_by_the_superblocks_end(void **state)
{
	for (int lost = 1; lost <= 3; lost++) {
		struct rig g;
		begin_with(&g, SIM_SHM, MIB, 6, 20);
		uint64_t last = g.s.last;
		/* The next life dies before it wrote anything but the superblock. */
		g.b.r->sb.epoch++;
		g.b.r->sb.log[0].end = last;
		assert_int_equal(superblock_rewrite(&g.b.r->sb, g.b.m, 0), 0);
		for (int i = 0; i < lost; i++)
			rig_flip(&g, rig_record(&g, 6 - (size_t)i) + 12, 0x7e);
		rig_crash(&g);
		assert_true(g.s.lost_end);
		assert_int_equal(g.s.n, 7 - (size_t)lost);
		assert_int_equal(g.s.last, last); /* numbers that were given are not given again */
		assert_int_equal(g.s.gap_count, 1);
		assert_int_equal(g.s.gaps[0].after, last - (uint64_t)lost);
		assert_int_equal(g.s.gaps[0].before, last + 1);
		uint32_t said;
		assert_false(scan_lost_digest(&g.s, &g.s.gaps[0], last, &said));
		/* Work goes on, elsewhere, and the gap is still seen. */
		rig_begin_life(&g);
		uint64_t mine = rig_put(&g, 20, 0);
		rig_commit(&g);
		rig_crash(&g);
		assert_int_equal(g.s.last, mine);
		assert_int_equal(g.s.gap_count, 1);
		assert_false(scan_lost_digest(&g.s, &g.s.gaps[0], last, &said));
		rig_begin_life(&g);
		rig_end(&g);
	}
}

static void the_last_record_before_a_new_life_is_named_by_its_opening(void **state)
{
	struct rig g;

	begin_with(&g, SIM_SHM, MIB, 6, 20);
	const struct record *rec = g.s.records[6].record;
	struct op_view v;
	assert_true(op_decode((const uint8_t *)(rec + 1), rec->meta - sizeof(*rec), &v) > 0);
	uint32_t digest = op_digest(&v);
	uint64_t sequence = rec->sequence, offset = rig_record(&g, 6);
	rig_begin_life(&g);
	rig_crash(&g);
	rig_flip(&g, offset + 44, 0x7e);
	rig_crash(&g);
	assert_int_equal(g.s.gap_count, 1);
	assert_int_equal(g.s.gaps[0].after, sequence - 1);
	assert_int_equal(g.s.gaps[0].before, sequence + 1); /* not the OPEN record's own number */
	uint32_t said;
	assert_true(scan_lost_digest(&g.s, &g.s.gaps[0], sequence, &said));
	assert_int_equal(said, digest);
	rig_begin_life(&g);
	rig_end(&g);
}

static void random_damage_never_breaks_the_scan(void **state)
{
	struct sim_random random = sim_random(9);

	for (int round = 0; round < 150; round++) {
		struct rig g;
		rig_begin(&g, SIM_SHM, MIB);
		for (int i = 0; i < 200; i++) {
			rig_put(&g, (uint32_t)sim_below(&random, 64),
				(uint32_t)(sim_chance(&random, 4) ? sim_below(&random, 2000) : 0));
			if (sim_chance(&random, 3))
				rig_commit(&g);
		}
		rig_commit(&g);
		rig_crash(&g);
		uint64_t most = g.s.last;
		for (int i = 0; i < 1 + round % 40; i++) {
			uint32_t s = g.s.segments[sim_below(&random, g.s.segment_count)].segment;
			uint64_t at =
			    region_segment_offset(g.b.r, s) + sim_below(&random, g.b.r->segment_size);
			uint64_t n = sim_chance(&random, 4) ? sim_between(&random, 1, 300) : 1;
			for (uint64_t k = 0; k < n && at + k < g.b.size; k++)
				g.b.m->base[at + k] ^= (uint8_t)sim_draw(&random);
		}
		rig_scan(&g);
		assert_true(g.s.last <= most);
		for (size_t i = 1; i < g.s.n; i++)
			assert_true(g.s.records[i].record->sequence > g.s.records[i - 1].record->sequence);
		rig_begin_life(&g);
		rig_put(&g, 8, 0);
		rig_commit(&g);
		uint64_t last = g.l.next - 1;
		rig_crash(&g);
		assert_int_equal(g.s.last, last);
		rig_begin_life(&g);
		rig_end(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_flipped_bit_is_mended_when_a_later_record_proves_it),
	    cmocka_unit_test(a_flipped_bit_in_the_last_record_is_a_torn_end),
	    cmocka_unit_test(a_seal_makes_a_flipped_bit_in_the_last_change_provable),
	    cmocka_unit_test(a_record_beyond_mending_is_a_gap_with_its_keys_digest),
	    cmocka_unit_test(several_lost_records_in_a_row_are_one_gap),
	    cmocka_unit_test(lists_name_the_changes_of_records_lost_in_a_row),
	    cmocka_unit_test(a_damaged_segment_header_is_mended_or_done_without),
	    cmocka_unit_test(a_lost_segment_is_a_gap_and_what_follows_is_read),
	    cmocka_unit_test(lost_records_at_the_end_are_seen_by_the_superblocks_end),
	    cmocka_unit_test(the_last_record_before_a_new_life_is_named_by_its_opening),
	    cmocka_unit_test(random_damage_never_breaks_the_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
