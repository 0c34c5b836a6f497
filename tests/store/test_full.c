/* SPDX-License-Identifier: BSD-2-Clause */
/* A full region says so, loses nothing, and has room again after deleting, without being opened again. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

struct case_full {
	const char *name;
	enum sim_kind kind;
	uint64_t size;
	uint32_t buffer_size, logs, length, piece;
};

static const struct case_full cases[] = {
    {"tiny", SIM_SHM, 1 * MIB, 2048, 1, 16, 0},
    {"small", SIM_SHM, 2 * MIB, 2048, 1, 300, 0},
    {"a buffer", SIM_SHM, 4 * MIB, 2048, 1, 1500, 0},
    {"scattered", SIM_SHM, 4 * MIB, 2048, 1, 20000, 300},
    {"blocks", SIM_FILE, 4 * MIB, 4096, 1, 2000, 0},
    {"large on blocks", SIM_FILE, 8 * MIB, 4096, 1, 100000, 1448},
    {"two logs", SIM_SHM, 4 * MIB, 2048, 2, 1000, 0},
    {"empty values", SIM_SHM, 1 * MIB, 2048, 1, 0, 0},
};

static size_t key_name(char *to, uint32_t i)
{
	return (size_t)snprintf(to, 24, "key number %08u", i);
}

/* Puts until it is refused. The number of keys then. */
static uint32_t fill(struct fixture *f, const struct case_full *c, uint32_t from)
{
	char key[24];

	for (uint32_t i = from; i < 200000; i++) {
		size_t n = key_name(key, i);
		int ret = put_value(f, key, n, i, c->length, c->piece, NULL);
		if (ret == -ENOSPC || ret == -ENOBUFS) {
			assert_int_equal(get_status(f, key), -ENOENT);
			return i;
		}
		assert_int_equal(ret, 0);
		if (i % 16 == 0)
			turn(f);
	}
	fail_msg("never full");
	return 0;
}

static void expect_all(struct fixture *f, const struct case_full *c, uint32_t from, uint32_t to)
{
	char key[24];

	for (uint32_t i = from; i < to; i++)
		expect_key(f, key, key_name(key, i), i, c->length);
}

static void delete_all(struct fixture *f, uint32_t from, uint32_t to)
{
	struct paste_result result;
	char key[24];

	for (uint32_t i = from; i < to; i++) {
		assert_int_equal(paste_store_delete(f->s, key, key_name(key, i), &result), 0);
		assert_true(result.existed);
		if (i % 64 == 0)
			turn(f);
	}
}

static void fill_and_empty(const struct case_full *c)
{
	struct fixture f;
	uint32_t first_fill = 0, low = 0;

	fixture_begin(&f, c->kind, c->size, c->buffer_size, c->logs);
	for (int cycle = 0; cycle < 12; cycle++) {
		uint32_t high = fill(&f, c, low);
		assert_true(f.s->c.rejected_full > 0 || c->length > 2000);
		if (cycle == 0)
			first_fill = high;
		assert_true(high - low > first_fill * 7 / 10); /* nothing is lost from cycle to cycle */
		expect_all(&f, c, low, high);
		assert_int_equal(check_quietly(&f), 0);
		if (cycle % 4 == 1) {
			settle(&f);
			fixture_crash(&f);
			fixture_open(&f);
			expect_all(&f, c, low, high);
		}
		if (cycle % 4 == 3) {
			fixture_close(&f);
			fixture_open(&f);
			expect_all(&f, c, low, high);
		}
		/* All but one in ten, or half of it, or all. */
		uint32_t keep = cycle % 3 == 0 ? (high - low) / 10 : cycle % 3 == 1 ? (high - low) / 2 : 0;
		delete_all(&f, low + keep, high);
		expect_all(&f, c, low, low + keep);
		delete_all(&f, low, low + keep);
		low = high;
	}
	fixture_end(&f);
}

static void filling_up_and_deleting_goes_on_for_ever(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].name);
		fill_and_empty(&cases[i]);
	}
}

static void a_full_region_still_replaces_values_of_the_same_size(void **state)
{
	struct fixture f;
	const struct case_full *c = &cases[2];
	char key[24];

	fixture_begin(&f, c->kind, c->size, c->buffer_size, c->logs);
	uint32_t n = fill(&f, c, 0), refused = 0;
	for (uint32_t i = 0; i < n; i++) {
		int ret = put_value(&f, key, key_name(key, i), i, c->length, 0, NULL);
		assert_true(ret == 0 || ret == -ENOSPC || ret == -ENOBUFS);
		refused += ret != 0;
		turn(&f);
	}
	assert_true(refused < n / 10);
	expect_all(&f, c, 0, n);
	fixture_end(&f);
}

/* What rings hold as long as there are rings takes nothing from what arrives and from the cleaner. */
static void a_full_region_has_room_beside_what_rings_hold(void **state)
{
	struct fixture f;
	const struct case_full *c = &cases[2];
	uint32_t held[512], n = 0;

	fixture_begin(&f, c->kind, c->size, c->buffer_size, c->logs);
	while (n < paste_buffer_count(f.r) / 8)
		assert_int_equal(paste_buffer_alloc(f.r, &held[n++]), 0);
	paste_buffer_standing(f.r, (int32_t)n);
	uint32_t keys = fill(&f, c, 0);
	while (paste_store_maintain(f.s, true) > 0)
		settle(&f);
	settle(&f);
	print_message("%u keys, %u buffers free of %u\n", keys, paste_buffer_free(f.r), paste_buffer_count(f.r));
	assert_true(paste_buffer_free(f.r) > paste_buffer_count(f.r) / 32);
	expect_all(&f, c, 0, keys);
	paste_buffer_standing(f.r, -(int32_t)n);
	while (n > 0)
		paste_buffer_put(f.r, held[--n]);
	fixture_end(&f);
}

static void a_refused_append_does_not_make_a_stream(void **state)
{
	struct fixture f;
	struct paste_result result;
	uint64_t first, next, round;

	fixture_begin(&f, SIM_SHM, 1 * MIB, 2048, 1);
	while (append_value(&f, "s", 1, 3000, 0, &result) == 0)
		turn(&f);
	uint64_t index = f.s->index_bytes;
	for (int i = 0; i < 10; i++) {
		int ret = append_value(&f, "new", 1, 3000, 0, &result);
		assert_true(ret == -ENOSPC || ret == -ENOBUFS);
	}
	assert_int_equal(paste_store_stream(f.s, "new", 3, &first, &next, &round), -ENOENT);
	assert_int_equal(f.s->index_bytes, index);
	assert_int_equal(paste_store_trim(f.s, "s", 1, UINT64_MAX, &result), 0);
	settle(&f);
	assert_int_equal(append_value(&f, "new", 1, 3000, 0, &result), 0);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(filling_up_and_deleting_goes_on_for_ever),
	    cmocka_unit_test(a_full_region_still_replaces_values_of_the_same_size),
	    cmocka_unit_test(a_full_region_has_room_beside_what_rings_hold),
	    cmocka_unit_test(a_refused_append_does_not_make_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
