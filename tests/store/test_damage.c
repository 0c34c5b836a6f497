/* SPDX-License-Identifier: BSD-2-Clause */
/* Damage is found, named and never served; what is beside it is. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

struct found {
	uint32_t n;
	char last[256];
};

static void note(void *arg, const struct paste_damage *d)
{
	struct found *found = arg;

	found->n++;
	snprintf(found->last, sizeof(found->last), "%s", d->what);
}

static const struct entry *entry_of(struct fixture *f, const char *key)
{
	const struct entry *e = tree_find(&f->s->keys, key, strlen(key));

	assert_non_null(e);
	return e;
}

/* Where the key's first slice is, in the region. */
static uint64_t place_of(struct fixture *f, const char *key)
{
	const struct entry *e = entry_of(f, key);

	assert_true(e->refs > 0);
	return region_ref_offset(f->r, e->extent[0].ref);
}

/* The record of the log that change `number` is in, in the region. */
static uint64_t record_with(struct fixture *f, uint64_t number)
{
	for (uint32_t i = 0; i < f->s->log[0].n; i++) {
		uint8_t *p = region_segment_data(f->r, f->s->log[0].segments[i].segment);
		for (uint32_t at = 64; at + 40 <= f->r->segment_size; at += 8) {
			const struct record *rec = (const struct record *)(p + at);
			if (number >= rec->sequence && number <= record_last(rec) && rec->meta <= RECORD_META_MAX &&
			    rec->meta >= 40 && at + rec->meta <= f->r->segment_size &&
			    record_crc(f->r, rec, rec->meta) == rec->crc)
				return (uint64_t)((uint8_t *)(uintptr_t)rec - f->m->base);
		}
	}
	fail_msg("no record of change %llu", (unsigned long long)number);
	return 0;
}

static uint64_t record_of(struct fixture *f, const char *key)
{
	return record_with(f, entry_of(f, key)->version);
}

static void append_text(struct fixture *f, const char *name, uint64_t seed, size_t length)
{
	struct paste_result result;

	assert_int_equal(append_value(f, name, seed, length, 0, &result), 0);
}

static void populate(struct fixture *f)
{
	put_text(f, "a", 1, 10);
	put_text(f, "b", 2, 300);
	put_text(f, "c", 3, 20000);
	assert_int_equal(put_value(f, "d", 1, 4, 100000, 300, NULL), 0);
	assert_int_equal(append_value(f, "s", 5, 5000, 0, NULL), 0);
	assert_int_equal(append_value(f, "s", 6, 5000, 0, NULL), 0);
	settle(f);
}

static void a_bit_of_a_value_is_found_named_and_its_neighbours_are_served(void **state)
{
	static const char *const keys[] = {"b", "c", "d"};

	for (int i = 0; i < 3; i++) {
		struct fixture f;
		struct found found = {0};
		char expected[16];
		fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
		populate(&f);
		uint64_t at = place_of(&f, keys[i]);
		if (entry_of(&f, keys[i])->flags & OP_INDIRECT) {
			struct extent first; /* of the list */
			memcpy(&first, f.m->base + at, sizeof(first));
			at = region_ref_offset(f.r, first.ref);
		}
		f.m->base[at + 5] ^= 2;
		assert_int_equal(get_status(&f, keys[i]), -EBADMSG);
		assert_int_equal(paste_store_check(f.s, note, &found), 1);
		snprintf(expected, sizeof(expected), "key %s", keys[i]);
		assert_non_null(strstr(found.last, expected));
		expect_text(&f, "a", 1, 10);
		expect_entry(&f, "s", 1, 5, 5000);
		/* Found again after a clean close, and not held against the new value. */
		fixture_close(&f);
		fixture_open(&f);
		assert_int_equal(get_status(&f, keys[i]), -EBADMSG);
		assert_int_equal(check_quietly(&f), 1);
		put_text(&f, keys[i], 9, 3000);
		settle(&f);
		fixture_close(&f);
		fixture_open(&f);
		expect_text(&f, keys[i], 9, 3000);
		fixture_end(&f);
	}
}

static void a_bit_of_a_stream_entry_is_found_and_named(void **state)
{
	struct fixture f;
	struct found found = {0};
	struct paste_value v;

	fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
	populate(&f);
	const struct stream *st = tree_find(&f.s->streams, "s", 1);
	f.m->base[region_ref_offset(f.r, stream_get(st, 1)->extent[0].ref)] ^= 0x80;
	assert_int_equal(paste_store_read(f.s, "s", 1, 1, &v), -EBADMSG);
	expect_entry(&f, "s", 2, 6, 5000);
	assert_int_equal(paste_store_check(f.s, note, &found), 1);
	assert_non_null(strstr(found.last, "stream s entry 1"));
	struct paste_result result;
	assert_int_equal(paste_store_trim(f.s, "s", 1, 2, &result), 0);
	settle(&f);
	fixture_close(&f);
	fixture_open(&f);
	fixture_end(&f);
}

static void a_bit_of_a_reference_list_loses_that_value_only(void **state)
{
	for (int reopen = 0; reopen < 2; reopen++) {
		struct fixture f;
		struct found found = {0};
		fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
		populate(&f);
		assert_true(entry_of(&f, "d")->flags & OP_INDIRECT);
		if (reopen) {
			uint64_t at = place_of(&f, "d");
			fixture_close(&f);
			f.image[at + 20] ^= 1;
			fixture_open(&f);
			assert_true(entry_of(&f, "d")->flags & OP_LOST);
			assert_true(check_quietly(&f) >= 1);
		} else {
			f.m->base[place_of(&f, "d") + 20] ^= 1;
			assert_int_equal(paste_store_check(f.s, note, &found), 1);
			assert_non_null(strstr(found.last, "key d"));
		}
		assert_int_equal(get_status(&f, "d"), -EBADMSG);
		expect_text(&f, "c", 3, 20000);
		/* Replaced, deleted: it goes as any other, and what it held is free after the next opening.
		 */
		delete_text(&f, "d");
		settle(&f);
		check_quietly(&f);
		fixture_close(&f);
		fixture_open(&f);
		assert_int_equal(get_status(&f, "d"), -ENOENT);
		fixture_end(&f);
	}
}

static void a_lost_entry_on_its_way_out_is_not_counted_as_an_owner(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
	populate(&f);
	uint64_t at = place_of(&f, "d");
	fixture_close(&f);
	f.image[at + 20] ^= 1;
	fixture_open(&f);
	int64_t before = check_quietly(&f);
	f.m->base[at + 20] ^= 1; /* the list can be read again: still nothing is owned through it */
	delete_text(&f, "d");
	assert_int_equal(check_quietly(&f), before);
	settle(&f);
	fixture_close(&f);
	fixture_open(&f);
	fixture_end(&f);
}

static void a_flipped_bit_in_a_record_is_mended_at_opening(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
	populate(&f);
	put_text(&f, "e", 7, 50);
	settle(&f);
	uint64_t at = record_of(&f, "b");
	fixture_crash(&f);
	for (uint32_t byte = 0; byte < 40 + 24 + 12 + 1; byte += 3) {
		f.image[at + byte] ^= 0x20;
		assert_int_equal(fixture_try_open(&f, true), 0);
		expect_text(&f, "b", 2, 300);
		expect_text(&f, "e", 7, 50);
		assert_int_equal(f.s->damage_count, 1);
		assert_true(f.s->damage[0].repaired);
		assert_int_equal(f.s->damage[0].offset, at);
		fixture_close(&f);
		f.image[at + byte] ^= 0x20;
	}
	fixture_end(&f);
}

/* A key's newest record is lost: an error, never the older value, until it is put or deleted. */
static void an_older_value_is_not_served_for_a_lost_newer_one(void **state)
{
	static const char *const what[] = {"replaced", "deleted", "new"};

	for (int i = 0; i < 3; i++) {
		struct fixture f;
		fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
		if (i != 2)
			put_text(&f, "k", 1, 30);
		put_text(&f, "other", 1, 30);
		settle(&f);
		uint64_t at;
		if (i == 1) {
			delete_text(&f, "k");
			assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) > 0);
			at = record_with(&f, f.s->log[0].next - 1);
		} else {
			put_text(&f, "k", 2, 40);
			assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) > 0);
			at = record_of(&f, "k");
		}
		settle(&f);
		put_text(&f, "other", 2, 30);
		settle(&f);
		fixture_crash(&f);
		f.image[at + 44] ^= 0x3c;
		fixture_open(&f);
		if (get_status(&f, "k") != -EBADMSG)
			fail_msg("%s: %d", what[i], get_status(&f, "k"));
		expect_text(&f, "other", 2, 30);
		assert_true(check_quietly(&f) > 0);
		/* It stays so over a checkpoint. */
		fixture_close(&f);
		fixture_open(&f);
		assert_int_equal(get_status(&f, "k"), -EBADMSG);
		assert_true(check_quietly(&f) > 0);
		put_text(&f, "k", 3, 50);
		expect_text(&f, "k", 3, 50);
		settle(&f);
		fixture_close(&f);
		fixture_open(&f);
		expect_text(&f, "k", 3, 50);
		assert_int_equal(check_quietly(&f), 0); /* settled */
		fixture_crash(&f);
		free(f.image);
	}
}

/* A block of the medium goes, and with it many records: none of their keys has its older value served, no other key
 * suffers, and the numbers of lost appends are not given again. */
static void no_key_of_many_lost_records_is_served_with_an_older_value(void **state)
{
	for (int shared = 0; shared < 2; shared++) {
		struct fixture f;
		char key[16];
		uint64_t number[200], lost = 0, kept = 0, first, next, round;
		fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
		for (uint32_t i = 0; i < 200; i++) {
			snprintf(key, sizeof(key), "k%03u", i);
			put_text(&f, key, 1, 30);
		}
		append_text(&f, "s", 1, 30);
		settle(&f);
		fixture_close(&f);
		fixture_open(&f);
		for (uint32_t i = 0; i < 200; i++) {
			snprintf(key, sizeof(key), "k%03u", i);
			put_text(&f, key, 2, 40);
			number[i] = entry_of(&f, key)->version;
			if (i % 10 == 0)
				append_text(&f, "s", 2 + i / 10, 30);
			if (!shared || i % 50 == 49)
				assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) > 0);
		}
		uint64_t block = (record_with(&f, number[20]) + 511) & ~511ull;
		bool hit[200];
		for (uint32_t i = 0; i < 200; i++) {
			uint64_t at = record_with(&f, number[i]);
			const struct record *rec = (const struct record *)(f.m->base + at);
			hit[i] = at < block + 4096 && at + rec->meta > block;
		}
		settle(&f);
		fixture_crash(&f);
		memset(f.image + block, 0x69, 4096);
		fixture_open(&f);
		for (uint32_t i = 0; i < 200; i++) {
			snprintf(key, sizeof(key), "k%03u", i);
			if (hit[i])
				assert_int_equal(get_status(&f, key), -EBADMSG);
			else
				expect_text(&f, key, 2, 40);
			lost += hit[i];
			kept += !hit[i];
		}
		assert_true(lost >= 25 && kept >= 75);
		assert_int_equal(paste_store_stream(f.s, "s", 1, &first, &next, &round), 0);
		assert_int_equal(next, 22);
		assert_true(check_quietly(&f) > 0);
		fixture_crash(&f);
		free(f.image);
	}
}

static void
the_last_change_before_a_crash_is_not_forgotten_when_it_is_damaged_after_the_next_opening(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
	put_text(&f, "k", 1, 30);
	assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) > 0);
	put_text(&f, "k", 2, 30);
	assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) > 0);
	uint64_t at = record_of(&f, "k");
	fixture_crash(&f);
	fixture_open(&f);
	expect_text(&f, "k", 2, 30);
	fixture_crash(&f);
	f.image[at + 44] ^= 0x3c;
	fixture_open(&f);
	assert_int_equal(get_status(&f, "k"), -EBADMSG);
	fixture_crash(&f);
	free(f.image);
}

static void records_lost_at_the_end_are_missed_also_when_the_next_opening_left_nothing_else(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
	put_text(&f, "k", 1, 30);
	assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) > 0);
	put_text(&f, "k", 2, 30);
	assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) > 0);
	uint64_t at = record_of(&f, "k");
	fixture_crash(&f);
	fixture_open(&f);
	expect_text(&f, "k", 2, 30);
	uint64_t opening = region_segment_offset(f.r, f.s->log[0].segment) + f.s->log[0].committed - 64;
	fixture_crash(&f);
	f.image[at + 44] ^= 0x3c;
	memset(f.image + opening, 0, 64); /* only the superblock knows that the log had got so far */
	fixture_open(&f);
	assert_true(check_quietly(&f) > 0);
	fixture_crash(&f);
	free(f.image);
}

static void a_lost_checkpoint_page_makes_its_keys_errors_and_leaves_the_others(void **state)
{
	struct fixture f;
	char key[16];
	uint32_t served = 0, refused = 0;

	fixture_begin(&f, SIM_SHM, 4 * MIB, 2048, 1);
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "k%03d", i);
		put_text(&f, key, (uint64_t)i, 60);
	}
	fixture_close(&f);
	bool done = false;
	for (uint64_t at = AREA_START; !done && at < f.size; at += PAGE_SIZE_CHECKPOINT) {
		struct header *h = (struct header *)(f.image + at);
		if (h->magic == HEADER_MAGIC && h->kind == HEADER_CHECKPOINT && h->index == 3 &&
		    h->body_length > 100) {
			memset(f.image + at + 100, 0xa5, 500);
			done = true;
		}
	}
	assert_true(done);
	for (int life = 0; life < 2; life++) {
		fixture_open(&f);
		served = refused = 0;
		for (int i = 0; i < 500; i++) {
			snprintf(key, sizeof(key), "k%03d", i);
			int status = get_status(&f, key);
			assert_true(status == 0 || status == -EBADMSG);
			served += status == 0;
			refused += status == -EBADMSG;
		}
		assert_true(refused > 20 && refused < 60);
		assert_int_equal(get_status(&f, "elsewhere"), -ENOENT);
		if (life == 0)
			assert_true(check_quietly(&f) > 0);
		fixture_close(&f);
	}
	assert_int_equal(served + refused, 500);
	free(f.image);
}

static void a_damaged_superblock_copy_is_reported_and_rewritten(void **state)
{
	for (int which = 0; which < 2; which++) {
		struct fixture f;
		struct found found = {0};
		fixture_begin(&f, SIM_FILE, 4 * MIB, 4096, 1);
		put_text(&f, "k", 1, 5000);
		fixture_close(&f);
		memset(f.image + (which ? SUPERBLOCK_B_OFFSET : 0), 0xa5, 4096);
		fixture_open(&f);
		expect_text(&f, "k", 1, 5000);
		assert_int_equal(paste_store_check(f.s, note, &found), 1);
		assert_non_null(strstr(found.last, which ? "superblock copy B" : "superblock copy A"));
		fixture_crash(&f);
		assert_memory_equal(f.image, f.image + SUPERBLOCK_B_OFFSET, 4096);
		fixture_end(&f);
	}
}

static void check_finds_planted_faults_of_ownership(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
	populate(&f);
	assert_int_equal(check_quietly(&f), 0);
	uint32_t buffer = entry_of(&f, "c")->extent[0].ref.buffer;
	int64_t found = 0;

	f.r->buffer[buffer].live++; /* counted for a slice that nobody has */
	assert_true(check_quietly(&f) > found);
	found = check_quietly(&f);
	f.r->buffer[buffer].live--;

	uint32_t segment = buffer / f.r->per_segment, i = buffer % f.r->per_segment;
	f.r->free_bits[(uint64_t)segment * f.r->words + i / 64] |= 1ull << (i % 64); /* free and owned */
	assert_true(check_quietly(&f) > found);
	found = check_quietly(&f);
	f.r->free_bits[(uint64_t)segment * f.r->words + i / 64] &= ~(1ull << (i % 64));

	f.r->free_buffers++; /* the sum is wrong */
	assert_true(check_quietly(&f) > found);
	found = check_quietly(&f);
	f.r->free_buffers--;

	/* Two keys name the same bytes. */
	struct entry *b = (struct entry *)(uintptr_t)entry_of(&f, "b");
	struct extent own = b->extent[0];
	b->extent[0] = entry_of(&f, "c")->extent[0];
	assert_true(check_quietly(&f) > found);
	b->extent[0] = own;
	f.damage_expected = check_quietly(&f); /* reports stay */
	fixture_crash(&f);
	f.damage_expected = 0;
	fixture_open(&f);
	fixture_end(&f);
}

static void the_cleaner_leaves_damaged_values_where_they_are_and_moves_the_others(void **state)
{
	struct fixture f;
	char key[16];

	fixture_begin(&f, SIM_SHM, 4 * MIB, 2048, 1);
	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(put_value(&f, key, strlen(key), (uint64_t)i, 6000, 600, NULL), 0);
	}
	settle(&f);
	f.m->base[place_of(&f, "k17") + 3] ^= 1;
	uint64_t place = place_of(&f, "k17"), moved = place_of(&f, "k18");
	assert_true(cleaner_begin(f.s, CLEANER_SPARE));
	while (cleaner_step(f.s, UINT64_MAX, 100) == 1)
		;
	settle(&f);
	assert_true(f.s->cleaner.skipped > 0);
	assert_int_equal(place_of(&f, "k17"), place);
	assert_int_not_equal(place_of(&f, "k18"), moved);
	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		if (i == 17)
			assert_int_equal(get_status(&f, key), -EBADMSG);
		else
			expect_text(&f, key, (uint64_t)i, 6000);
	}
	delete_text(&f, "k17");
	settle(&f);
	fixture_crash(&f);
	fixture_open(&f);
	fixture_end(&f);
}

/* Whatever is flipped: no value that was never put, and the opening does not fail but for the superblocks. */
static void random_damage_is_never_served(void **state)
{
	struct sim_random random = sim_random(21);
	char key[16];

	for (int round = 0; round < 200; round++) {
		struct fixture f;
		fixture_begin(&f, SIM_SHM, MIB, 2048, 1);
		for (int i = 0; i < 150; i++) {
			snprintf(key, sizeof(key), "k%d", i % 60);
			assert_int_equal(put_value(&f, key, strlen(key), (uint64_t)(i % 60),
						   (size_t)(i % 60) * 40, 300, NULL),
					 0);
			if (i % 40 == 0)
				turn(&f);
		}
		settle(&f);
		if (round % 2)
			fixture_close(&f);
		else
			fixture_crash(&f);
		for (int i = 0; i < 1 + round % 50; i++) {
			uint64_t at = AREA_START + sim_below(&random, f.size - AREA_START);
			uint64_t n = sim_chance(&random, 3) ? sim_between(&random, 1, 5000) : 1;
			for (uint64_t k = 0; k < n && at + k < f.size; k++)
				f.image[at + k] ^= (uint8_t)(n > 1 ? sim_draw(&random) : 1u << (at % 8));
		}
		fixture_open(&f);
		for (int life = 0; life < 2; life++) {
			for (int i = 0; i < 60; i++) {
				snprintf(key, sizeof(key), "k%d", i);
				/* All versions of a key have the same value here. */
				if (get_status(&f, key) == 0)
					expect_text(&f, key, (uint64_t)i, (size_t)i * 40);
			}
			assert_true(check_quietly(&f) >= 0);
			for (int i = 0; i < 60; i++) {
				snprintf(key, sizeof(key), "k%d", i);
				int ret =
				    put_value(&f, key, strlen(key), (uint64_t)i, (size_t)i * 40, 300, NULL);
				assert_true(ret == 0 || ret == -ENOSPC);
				turn(&f);
			}
			settle(&f);
			fixture_close(&f);
			fixture_open(&f);
		}
		fixture_crash(&f);
		free(f.image);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_bit_of_a_value_is_found_named_and_its_neighbours_are_served),
	    cmocka_unit_test(a_bit_of_a_stream_entry_is_found_and_named),
	    cmocka_unit_test(a_bit_of_a_reference_list_loses_that_value_only),
	    cmocka_unit_test(a_lost_entry_on_its_way_out_is_not_counted_as_an_owner),
	    cmocka_unit_test(a_flipped_bit_in_a_record_is_mended_at_opening),
	    cmocka_unit_test(an_older_value_is_not_served_for_a_lost_newer_one),
	    cmocka_unit_test(
		the_last_change_before_a_crash_is_not_forgotten_when_it_is_damaged_after_the_next_opening),
	    cmocka_unit_test(no_key_of_many_lost_records_is_served_with_an_older_value),
	    cmocka_unit_test(records_lost_at_the_end_are_missed_also_when_the_next_opening_left_nothing_else),
	    cmocka_unit_test(a_lost_checkpoint_page_makes_its_keys_errors_and_leaves_the_others),
	    cmocka_unit_test(a_damaged_superblock_copy_is_reported_and_rewritten),
	    cmocka_unit_test(check_finds_planted_faults_of_ownership),
	    cmocka_unit_test(the_cleaner_leaves_damaged_values_where_they_are_and_moves_the_others),
	    cmocka_unit_test(random_damage_is_never_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
