/* SPDX-License-Identifier: BSD-2-Clause */
/* When a buffer may be used again: not while a record names it, its removal can be undone, or somebody holds
 * it. */
#include "fixture.h"

#include <errno.h>

/* The buffer that the value of `key` begins in. */
static uint32_t buffer_of(struct fixture *f, const char *key)
{
	const struct entry *e = tree_find(&f->s->keys, key, strlen(key));

	assert_non_null(e);
	assert_true(e->refs > 0);
	return e->extent[0].ref.buffer;
}

static bool owned(const struct fixture *f, uint32_t buffer)
{
	return f->r->buffer[buffer].live > 0 || f->r->buffer[buffer].users > 0;
}

static void commit_and_wait(struct fixture *f)
{
	int64_t round = paste_store_commit(f->s);

	assert_true(paste_store_wait(f->s, (uint64_t)round) >= round);
}

static void a_deleted_values_buffers_wait_for_the_mark_not_only_for_the_delete(void **state)
{
	static const enum sim_kind kinds[] = {SIM_SHM, SIM_FILE};

	for (int k = 0; k < 2; k++) {
		struct fixture f;
		fixture_begin(&f, kinds[k], 8 * MIB, 4096, 1);
		put_text(&f, "k", 1, 20000);
		settle(&f);
		uint32_t buffer = buffer_of(&f, "k");
		delete_text(&f, "k");
		assert_true(owned(&f, buffer));
		commit_and_wait(&f);
		/* The delete is durable, but no durable record says so: the put could be taken for a torn
		 * tail. */
		assert_true(owned(&f, buffer));
		put_text(&f, "other", 2, 10);
		assert_true(owned(&f, buffer));
		commit_and_wait(&f);
		assert_false(owned(&f, buffer));
		fixture_end(&f);
	}
}

static void a_seal_frees_what_was_deleted_when_nothing_else_is_written(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 8 * MIB, 2048, 1);
	put_text(&f, "k", 1, 5000);
	settle(&f);
	uint32_t buffer = buffer_of(&f, "k");
	delete_text(&f, "k");
	commit_and_wait(&f);
	assert_true(owned(&f, buffer));
	assert_int_equal(paste_store_maintain(f.s, false), 0);
	commit_and_wait(&f);
	assert_true(owned(&f, buffer)); /* not idle: the next change will do */
	paste_store_maintain(f.s, true);
	commit_and_wait(&f);
	assert_false(owned(&f, buffer));
	fixture_end(&f);
}

static void a_value_that_is_being_sent_keeps_its_bytes_after_it_was_replaced_or_deleted(void **state)
{
	static const size_t sizes[] = {300, 3000, 200000};

	for (size_t i = 0; i < 3; i++) {
		struct fixture f;
		struct paste_value v;
		fixture_begin(&f, SIM_SHM, 2 * MIB, 2048, 1);
		put_text(&f, "k", 7, sizes[i]);
		settle(&f);
		assert_int_equal(paste_store_get(f.s, "k", 1, &v), 0);
		struct paste_ref *slices = malloc(v.n * sizeof(*slices));
		uint32_t n = v.n;
		memcpy(slices, v.slices, n * sizeof(*slices));
		if (i == 1)
			delete_text(&f, "k");
		else
			put_text(&f, "k", 8, sizes[i]);
		/* Enough to go through the whole region several times. */
		for (uint64_t round = 0; round < 1000; round++) {
			assert_int_equal(put_value(&f, "churn", 5, round, 10000, 0, NULL), 0);
			turn(&f);
		}
		uint8_t *expected = malloc(sizes[i]);
		fill_bytes(7, expected, sizes[i]);
		size_t done = 0;
		for (uint32_t s = 0; s < n; s++) {
			assert_memory_equal(paste_ref_data(f.r, slices[s]), expected + done,
					    slices[s].length);
			done += slices[s].length;
			paste_ref_put(f.r, slices[s]);
		}
		assert_int_equal(done, sizes[i]);
		free(expected);
		free(slices);
		fixture_end(&f);
	}
}

static void a_buffer_that_holds_two_values_lives_as_long_as_either(void **state)
{
	struct fixture f;
	struct paste_result result;
	uint32_t buffer;

	fixture_begin(&f, SIM_FILE, 64 * MIB, 4096, 1);
	f.s->small_max = 512; /* so that values of a buffer's size stay in place on blocks, too */
	assert_int_equal(paste_buffer_alloc(f.r, &buffer), 0);
	fill_bytes(1, paste_buffer_data(f.r, buffer), 2000);
	fill_bytes(2, paste_buffer_data(f.r, buffer) + 2000, 1000);
	struct paste_ref one = {buffer, 0, 2000}, two = {buffer, 2000, 1000};
	assert_int_equal(paste_store_put(f.s, "one", 3, &one, 1, &result), 0);
	assert_int_equal(paste_store_put(f.s, "two", 3, &two, 1, &result), 0);
	paste_buffer_put(f.r, buffer);
	settle(&f);
	assert_int_equal(f.r->buffer[buffer].live, 2);
	delete_text(&f, "one");
	settle(&f);
	assert_int_equal(f.r->buffer[buffer].live, 1);
	expect_text(&f, "two", 2, 1000);
	fixture_crash(&f);
	fixture_open(&f);
	assert_int_equal(f.r->buffer[buffer].live, 1);
	expect_text(&f, "two", 2, 1000);
	delete_text(&f, "two");
	settle(&f);
	assert_int_equal(f.r->buffer[buffer].live, 0);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_deleted_values_buffers_wait_for_the_mark_not_only_for_the_delete),
	    cmocka_unit_test(a_seal_frees_what_was_deleted_when_nothing_else_is_written),
	    cmocka_unit_test(a_value_that_is_being_sent_keeps_its_bytes_after_it_was_replaced_or_deleted),
	    cmocka_unit_test(a_buffer_that_holds_two_values_lives_as_long_as_either),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
