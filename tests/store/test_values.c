/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of every size come back as they were, from wherever their bytes landed. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

struct medium {
	enum sim_kind kind;
	uint32_t buffer_size;
};

static const struct medium media[] = {{SIM_SHM, 2048}, {SIM_ADR, 4096}, {SIM_FILE, 4096}};
#define MEDIA (sizeof(media) / sizeof(media[0]))

static const size_t sizes[] = {0,    1,    63,   64,   65,    66,    511,   512,   513,   2047,
			       2048, 2049, 4095, 4096, 16384, 16385, 65535, 65536, 65537, MIB};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))
static const uint32_t pieces[] = {0, 1448, 100};

static void every_size_comes_back_from_scattered_slices(void **state)
{
	for (size_t m = 0; m < MEDIA; m++) {
		struct fixture f;
		char key[32];
		fixture_begin(&f, media[m].kind, 48 * MIB, media[m].buffer_size, 1);
		for (int pass = 0; pass < 3; pass++) {
			for (size_t i = 0; i < SIZES; i++) {
				for (size_t k = 0; k < 3; k++) {
					uint32_t piece =
					    sizes[i] > 70000 && pieces[k] == 100 ? 1000 : pieces[k];
					snprintf(key, sizeof(key), "%zu in %u", sizes[i], piece);
					if (pass == 0)
						assert_int_equal(put_value(&f, key, strlen(key), i * 10 + k,
									   sizes[i], piece, NULL),
								 0);
					expect_text(&f, key, i * 10 + k, sizes[i]);
				}
			}
			/* The third pass reads what a checkpoint says. */
			settle(&f);
			if (pass == 0)
				fixture_crash(&f);
			else if (pass == 1)
				fixture_close(&f);
			if (!f.s)
				fixture_open(&f);
		}
		fixture_end(&f);
	}
}

static void a_sixteen_megabyte_value_comes_back_and_one_too_large_is_refused(void **state)
{
	struct fixture f;
	struct paste_ref slice = {.buffer = 0, .offset = 0, .length = UINT16_MAX};
	struct paste_result result;

	fixture_begin(&f, SIM_SHM, 96 * MIB, 2048, 1);
	assert_int_equal(put_value(&f, "big", 3, 1, 16 * MIB, 0, NULL), 0);
	assert_int_equal(put_value(&f, "scattered", 9, 2, 16 * MIB, 1448, NULL), 0);
	settle(&f);
	expect_text(&f, "big", 1, 16 * MIB);
	fixture_crash(&f);
	fixture_open(&f);
	expect_text(&f, "scattered", 2, 16 * MIB);

	uint32_t n = (uint32_t)(paste_store_value_max(f.s) / UINT16_MAX) + 1;
	struct paste_ref *many = malloc(n * sizeof(*many));
	for (uint32_t i = 0; i < n; i++)
		many[i] = slice;
	assert_int_equal(paste_store_put(f.s, "huge", 4, many, n, &result), -EFBIG);
	assert_int_equal(get_status(&f, "huge"), -ENOENT);
	free(many);
	fixture_end(&f);
}

static void a_value_may_change_its_size_class_and_back(void **state)
{
	static const size_t steps[] = {10, 100000, 10, 300, 100000, 300, 0, 5000, 64, 65, 64, 512, 513, 0};

	for (size_t m = 0; m < MEDIA; m++) {
		struct fixture f;
		struct paste_result result;
		fixture_begin(&f, media[m].kind, 8 * MIB, media[m].buffer_size, 1);
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			assert_int_equal(put_value(&f, "k", 1, i, steps[i], 700, &result), 0);
			assert_int_equal(result.existed, i > 0);
			expect_text(&f, "k", i, steps[i]);
			if (i % 3 == 0)
				settle(&f);
			if (i % 5 == 4) {
				fixture_crash(&f);
				fixture_open(&f);
				if (i % 3 == 0)
					expect_text(&f, "k", i, steps[i]);
			}
		}
		settle(&f);
		expect_text(&f, "k", 13, 0);
		delete_text(&f, "k");
		settle(&f);
		assert_int_equal(f.r->live_bytes, 0);
		fixture_end(&f);
	}
}

static void keys_are_any_bytes_up_to_1024_of_them(void **state)
{
	struct fixture f;
	uint8_t key[PASTE_KEY_MAX + 1];
	struct paste_value v;
	struct paste_result result;

	fixture_begin(&f, SIM_SHM, 4 * MIB, 2048, 1);
	memset(key, 'x', sizeof(key));
	for (size_t n = 1; n <= PASTE_KEY_MAX; n += n < 20 ? 1 : 251)
		assert_int_equal(put_value(&f, key, n, n, n % 7 * 100, 0, NULL), 0);
	assert_int_equal(put_value(&f, key, PASTE_KEY_MAX, 7, 3000, 10, NULL), 0);
	/* NUL is a byte like others. */
	assert_int_equal(put_value(&f, "a", 1, 101, 5, 0, NULL), 0);
	assert_int_equal(put_value(&f, "a\0", 2, 102, 6, 0, NULL), 0);
	assert_int_equal(put_value(&f, "a\0b", 3, 103, 7, 0, NULL), 0);
	assert_int_equal(put_value(&f, "\0", 1, 104, 8, 0, NULL), 0);
	assert_int_equal(put_value(&f, "\xff\0\xff", 3, 105, 9, 0, NULL), 0);

	assert_int_equal(put_value(&f, key, 0, 1, 1, 0, NULL), -EINVAL);
	assert_int_equal(put_value(&f, key, PASTE_KEY_MAX + 1, 1, 1, 0, NULL), -EINVAL);
	assert_int_equal(paste_store_get(f.s, key, PASTE_KEY_MAX + 1, &v), -EINVAL);
	assert_int_equal(paste_store_delete(f.s, key, 0, &result), -EINVAL);
	for (int life = 0; life < 3; life++) {
		for (size_t n = 1; n < PASTE_KEY_MAX; n += n < 20 ? 1 : 251)
			expect_key(&f, key, n, n, n % 7 * 100);
		expect_key(&f, key, PASTE_KEY_MAX, 7, 3000);
		expect_key(&f, "a", 1, 101, 5);
		expect_key(&f, "a\0", 2, 102, 6);
		expect_key(&f, "a\0b", 3, 103, 7);
		expect_key(&f, "\0", 1, 104, 8);
		expect_key(&f, "\xff\0\xff", 3, 105, 9);
		settle(&f);
		if (life == 0)
			fixture_crash(&f);
		else
			fixture_close(&f);
		fixture_open(&f);
	}
	fixture_end(&f);
}

static void keys_are_walked_in_order_without_those_deleted(void **state)
{
	struct fixture f;
	const void *key = NULL;
	size_t length = 0;
	uint64_t bytes;
	char last[16] = "", text[16];
	int n = 0;

	fixture_begin(&f, SIM_SHM, 4 * MIB, 2048, 1);
	assert_int_equal(paste_store_next(f.s, NULL, 0, &key, &length, &bytes), -ENOENT);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%03d", i * 7 % 1000);
		put_text(&f, text, 1, (size_t)i % 100);
	}
	for (int i = 0; i < 1000; i += 3) {
		snprintf(text, sizeof(text), "%03d", i);
		delete_text(&f, text); /* not durable yet: still in the index as absent */
	}
	while (paste_store_next(f.s, n ? last : NULL, strlen(last), &key, &length, &bytes) == 0) {
		assert_int_equal(length, 3);
		assert_true(n == 0 || memcmp(last, key, 3) < 0);
		memcpy(last, key, 3);
		last[3] = 0;
		assert_int_not_equal(atoi(last) % 3, 0);
		n++;
	}
	assert_int_equal(n, 666);
	fixture_end(&f);
}

static void stream_entries_are_numbered_from_one_and_trimmed_from_the_front(void **state)
{
	struct fixture f;
	struct paste_result result;
	struct paste_value v;
	uint64_t first, next, round;

	fixture_begin(&f, SIM_SHM, 16 * MIB, 2048, 1);
	assert_int_equal(paste_store_stream(f.s, "s", 1, &first, &next, &round), -ENOENT);
	assert_int_equal(paste_store_trim(f.s, "s", 1, 5, &result), -ENOENT);
	for (uint64_t i = 1; i <= 2000; i++) {
		assert_int_equal(append_value(&f, "s", i, i % 50 * 40, 500, &result), 0);
		assert_int_equal(result.version, i);
		assert_int_equal(result.existed, i > 1);
	}
	assert_int_equal(paste_store_trim(f.s, "s", 1, 700, &result), 0);
	for (int life = 0; life < 3; life++) {
		assert_int_equal(paste_store_stream(f.s, "s", 1, &first, &next, &round), 0);
		assert_int_equal(first, 700);
		assert_int_equal(next, 2001);
		assert_int_equal(paste_store_read(f.s, "s", 1, 699, &v), -ENOENT);
		assert_int_equal(paste_store_read(f.s, "s", 1, 2001, &v), -ENOENT);
		assert_int_equal(paste_store_read(f.s, "s", 1, 0, &v), -ENOENT);
		assert_int_equal(paste_store_read(f.s, "s", 1, UINT64_MAX, &v), -ENOENT);
		for (uint64_t i = 700; i <= 2000; i++)
			expect_entry(&f, "s", i, i, i % 50 * 40);
		settle(&f);
		if (life == 0)
			fixture_crash(&f);
		else
			fixture_close(&f);
		fixture_open(&f);
	}
	/* Trimmed to nothing, the numbers go on. */
	assert_int_equal(paste_store_trim(f.s, "s", 1, UINT64_MAX, &result), 0);
	settle(&f);
	fixture_close(&f);
	fixture_open(&f);
	assert_int_equal(append_value(&f, "s", 1, 10, 0, &result), 0);
	assert_int_equal(result.version, 2001);
	assert_int_equal(f.s->entries, 1);
	fixture_end(&f);
}

static void a_key_and_a_stream_of_the_same_name_are_two_things(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 4 * MIB, 2048, 2);
	put_text(&f, "name", 1, 100);
	assert_int_equal(append_value(&f, "name", 2, 3000, 0, NULL), 0);
	delete_text(&f, "name");
	settle(&f);
	fixture_crash(&f);
	fixture_open(&f);
	assert_int_equal(get_status(&f, "name"), -ENOENT);
	expect_entry(&f, "name", 1, 2, 3000);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_size_comes_back_from_scattered_slices),
	    cmocka_unit_test(a_sixteen_megabyte_value_comes_back_and_one_too_large_is_refused),
	    cmocka_unit_test(a_value_may_change_its_size_class_and_back),
	    cmocka_unit_test(keys_are_any_bytes_up_to_1024_of_them),
	    cmocka_unit_test(keys_are_walked_in_order_without_those_deleted),
	    cmocka_unit_test(stream_entries_are_numbered_from_one_and_trimmed_from_the_front),
	    cmocka_unit_test(a_key_and_a_stream_of_the_same_name_are_two_things),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
