/* SPDX-License-Identifier: BSD-2-Clause */
/* Values in more pieces than an op has references: their references stand in lists. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

static const struct entry *entry_of(struct fixture *f, const char *key)
{
	const struct entry *e = tree_find(&f->s->keys, key, strlen(key));

	assert_non_null(e);
	return e;
}

/* Pieces at the limit of one op and of one list, and beyond. */
static void lists_begin_where_an_op_has_no_more_references(void **state)
{
	static const struct {
		uint32_t pieces, piece;
		bool indirect;
		uint32_t lists;
	} table[] = {
	    {OP_REFS_MAX, 100, false, OP_REFS_MAX},
	    {OP_REFS_MAX + 1, 100, true, 1},
	    {5461, 100, true, 1},
	    {5462, 100, true, 2},
	    {9000, 100, true, 2},
	};
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 80 * MIB, 2048, 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t length = (size_t)table[i].pieces * table[i].piece;
		assert_int_equal(put_value(&f, "k", 1, i, length, table[i].piece, NULL), 0);
		const struct entry *e = entry_of(&f, "k");
		assert_int_equal((e->flags & OP_INDIRECT) != 0, table[i].indirect);
		/* A list may be cut where a segment of lists ends. */
		assert_true(e->refs == table[i].lists ||
			    (table[i].indirect && e->refs == table[i].lists + 1));
		expect_text(&f, "k", i, length);
		settle(&f);
		fixture_crash(&f);
		fixture_open(&f);
		expect_text(&f, "k", i, length);
		fixture_close(&f);
		fixture_open(&f);
		expect_text(&f, "k", i, length);
	}
	delete_text(&f, "k");
	settle(&f);
	assert_int_equal(f.r->live_bytes, 0); /* the lists are gone, too */
	fixture_end(&f);
}

static void the_cleaner_moves_scattered_values_and_their_lists(void **state)
{
	static const enum sim_kind kinds[] = {SIM_SHM, SIM_FILE};

	for (int k = 0; k < 2; k++) {
		struct fixture f;
		char key[16];
		fixture_begin(&f, kinds[k], 11 * MIB, 4096, 1);
		for (int i = 0; i < 6; i++) {
			snprintf(key, sizeof(key), "s%d", i);
			assert_int_equal(put_value(&f, key, strlen(key), (uint64_t)i, 200000, 500, NULL), 0);
			assert_true(entry_of(&f, key)->flags & OP_INDIRECT);
			turn(&f);
		}
		delete_text(&f, "s0");
		/* What lies in a buffer a piece must be packed to make room for this. */
		for (uint64_t i = 0; i < 60; i++) {
			assert_int_equal(put_value(&f, "churn", 5, i, 2 * MIB, 0, NULL), 0);
			turn(&f);
		}
		assert_true(f.s->c.cleaned_bytes > 0);
		for (int life = 0; life < 3; life++) {
			for (int i = 1; i < 6; i++) {
				snprintf(key, sizeof(key), "s%d", i);
				expect_text(&f, key, (uint64_t)i, 200000);
			}
			expect_text(&f, "churn", 59, 2 * MIB);
			settle(&f);
			if (life == 0)
				fixture_crash(&f);
			else
				fixture_close(&f);
			fixture_open(&f);
		}
		/* Packed, they need no lists any more. */
		uint32_t direct = 0;
		for (int i = 1; i < 6; i++) {
			snprintf(key, sizeof(key), "s%d", i);
			direct += !(entry_of(&f, key)->flags & OP_INDIRECT);
			delete_text(&f, key);
		}
		assert_true(direct > 0);
		delete_text(&f, "churn");
		settle(&f);
		assert_int_equal(f.r->live_bytes, 0);
		fixture_end(&f);
	}
}

/* Moved in parts of 256 KiB: every cut in between must read back whole. */
static void a_value_that_is_moved_in_parts_is_whole_at_every_step(void **state)
{
	struct fixture f;
	char key[16];
	uint32_t steps = 0;

	fixture_begin(&f, SIM_SHM, 32 * MIB, 2048, 1);
	assert_int_equal(put_value(&f, "big", 3, 1, MIB, 150, NULL), 0);
	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "e%d", i);
		put_text(&f, key, (uint64_t)i, 3000);
	}
	settle(&f);
	assert_true(cleaner_begin(f.s, CLEANER_SPARE));
	int ret = 1;
	while (ret > 0) {
		ret = cleaner_step(f.s, 1, 1);
		assert_true(ret >= 0);
		steps++;
		expect_text(&f, "big", 1, MIB);
		assert_true(paste_store_commit(f.s) >= 0);
		if (steps % 8 == 0) {
			fixture_crash(&f);
			fixture_open(&f);
			expect_text(&f, "big", 1, MIB);
			fixture_prove(&f);
			ret = cleaner_begin(f.s, CLEANER_SPARE) && steps < 100;
		}
	}
	assert_true(steps > 4);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lists_begin_where_an_op_has_no_more_references),
	    cmocka_unit_test(the_cleaner_moves_scattered_values_and_their_lists),
	    cmocka_unit_test(a_value_that_is_moved_in_parts_is_whole_at_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
