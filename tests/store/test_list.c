/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "paste/list.h"

static int list_text(struct fixture *f, const char *prefix, const char *after, struct paste_listed *item)
{
	return paste_store_list(f->s, prefix, strlen(prefix), after, after ? strlen(after) : 0, item);
}

/* The names with the prefix after `after`, joined by spaces. */
static const char *names(struct fixture *f, const char *prefix, const char *after)
{
	static char text[4096];
	char last[PASTE_KEY_MAX + 1];
	struct paste_listed item;

	text[0] = 0;
	while (list_text(f, prefix, after, &item) == 0) {
		snprintf(last, sizeof(last), "%.*s", (int)item.name_length, (const char *)item.name);
		after = last;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", text[0] ? " " : "", last);
	}
	return text;
}

static void a_prefix_lists_what_begins_with_it(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 0);
	static const char *const keys[] = {"a", "b", "ba", "bb", "bb/1", "bb/2", "bc", "c", "\xff"};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		put_text(&f, keys[i], i, 10 * i);
	assert_string_equal(names(&f, "", NULL), "a b ba bb bb/1 bb/2 bc c \xff");
	assert_string_equal(names(&f, "b", NULL), "b ba bb bb/1 bb/2 bc");
	assert_string_equal(names(&f, "bb", NULL), "bb bb/1 bb/2");
	assert_string_equal(names(&f, "bb/", NULL), "bb/1 bb/2");
	assert_string_equal(names(&f, "b", "bb"), "bb/1 bb/2 bc");
	assert_string_equal(names(&f, "bb", "a"), "bb bb/1 bb/2"); /* `after` stands before the prefix */
	assert_string_equal(names(&f, "bb", "b"), "bb bb/1 bb/2"); /* and is a part of it */
	assert_string_equal(names(&f, "bb", "bc"), "");            /* behind it */
	assert_string_equal(names(&f, "x", NULL), "");
	assert_string_equal(names(&f, "bb/1/long", NULL), "");
	struct paste_listed item;
	assert_int_equal(list_text(&f, "bb/2", NULL, &item), 0);
	assert_int_equal(item.length, 50);
	assert_true(item.version > 0);
	struct paste_listed same;
	assert_int_equal(paste_store_look(f.s, "bb/2", 4, &same), 0);
	assert_int_equal(same.version, item.version);
	assert_int_equal(same.length, item.length);
	assert_int_equal(paste_store_look(f.s, "bb/3", 4, &same), -ENOENT);
	fixture_end(&f);
}

static void a_list_waits_for_what_it_shows_and_for_what_it_leaves_out(void **state)
{
	struct fixture f;
	struct paste_listed item;
	struct paste_result result;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	put_text(&f, "a", 1, 10);
	put_text(&f, "b", 1, 10);
	settle(&f);
	assert_int_equal(list_text(&f, "", NULL, &item), 0);
	assert_int_equal(item.round, 0);
	assert_int_equal(paste_store_delete(f.s, "a", 1, &result), 0);
	assert_int_equal(list_text(&f, "", NULL, &item), 0);
	assert_memory_equal(item.name, "b", 1);
	assert_int_equal(item.round, result.round); /* "a" is missing */
	assert_int_equal(list_text(&f, "a", NULL, &item), -ENOENT);
	assert_int_equal(item.round, result.round);
	put_text(&f, "c", 1, 10);
	assert_int_equal(list_text(&f, "c", NULL, &item), 0);
	assert_int_equal(item.round, result.round);
	settle(&f);
	assert_int_equal(list_text(&f, "", NULL, &item), 0);
	assert_int_equal(item.round, 0);
	fixture_end(&f);
}

static void streams_are_listed(void **state)
{
	struct fixture f;
	struct paste_listed item;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(append_value(&f, "log/b", 1, 10, 0, NULL), 0);
	assert_int_equal(append_value(&f, "log/a", 1, 10, 0, NULL), 0);
	assert_int_equal(append_value(&f, "other", 1, 10, 0, NULL), 0);
	assert_int_equal(paste_store_list_streams(f.s, "log/", 4, NULL, 0, &item), 0);
	assert_memory_equal(item.name, "log/a", 5);
	assert_int_equal(item.next, 2);
	assert_true(item.round > 0);
	assert_int_equal(paste_store_list_streams(f.s, "log/", 4, "log/a", 5, &item), 0);
	assert_memory_equal(item.name, "log/b", 5);
	assert_int_equal(item.first, 1);
	assert_int_equal(item.next, 4);
	assert_int_equal(paste_store_list_streams(f.s, "log/", 4, "log/b", 5, &item), -ENOENT);
	fixture_end(&f);
}

static void a_prefix_is_deleted_in_pieces(void **state)
{
	struct fixture f;
	char key[32];

	fixture_begin(&f, SIM_FILE, 4 * MIB, 0, 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "gone/%04d", i);
		put_text(&f, key, (uint64_t)i, 20);
	}
	put_text(&f, "gone", 1, 10);
	put_text(&f, "stays", 1, 10);
	struct paste_delete_prefix d = {0};
	int pieces = 0, ret;
	while ((ret = paste_store_delete_prefix(f.s, "gone/", 5, 100, &d)) == 1) {
		assert_true(d.deleted <= 100u * (unsigned)++pieces);
		/* Never durable before the next piece: it does not look at deleted ones again. */
		assert_true(paste_store_commit(f.s) > 0);
	}
	assert_int_equal(ret, 0);
	assert_int_equal(d.deleted, 3000);
	assert_true(pieces <= 31);
	assert_string_equal(names(&f, "", NULL),
			    "gone"); /* 3000 dead ones stand in the way: not in one call */
	struct paste_listed item;
	assert_int_equal(list_text(&f, "gone/", NULL, &item), -EAGAIN);
	assert_true(item.name_length > 0);
	assert_int_equal(list_text(&f, "gone/", "gone/2500", &item), -ENOENT);
	assert_int_equal(item.round, d.round);
	settle(&f);
	assert_string_equal(names(&f, "", NULL), "gone stays");
	fixture_end(&f);
}

static int scrub_pass(struct fixture *f, uint64_t bytes)
{
	int steps = 1;

	while (paste_store_scrub_step(f->s, bytes) == 1)
		steps++;
	return steps;
}

static void scrubbing_reads_all_in_pieces_and_names_what_is_damaged(void **state)
{
	struct fixture f;
	struct paste_store_stats stats;

	fixture_begin(&f, SIM_SHM, 4 * MIB, 0, 0);
	put_text(&f, "tiny", 1, 10);
	put_text(&f, "small", 2, 300);
	put_text(&f, "large", 3, 200000);
	for (int i = 0; i < 4; i++)
		assert_int_equal(append_value(&f, "stream", 4, 3000, 700, NULL), 0);
	settle(&f);
	int steps = scrub_pass(&f, 16 * KIB);
	assert_true(steps > 3 && steps < 40);
	paste_store_stats(f.s, &stats);
	assert_int_equal(stats.scrub_passes, 1);
	assert_int_equal(stats.scrub_entries, 7);
	assert_int_equal(stats.scrub_total, 7);
	assert_int_equal(stats.scrub_bytes, 300 + 200000 + 4 * 3000);
	assert_int_equal(stats.damage, 0);

	struct paste_value v;
	assert_int_equal(paste_store_get(f.s, "large", 5, &v), 0);
	uint8_t *byte = paste_ref_data(f.r, v.slices[v.n - 1]);
	paste_value_put(f.s, &v);
	assert_int_equal(paste_store_read(f.s, "stream", 6, 3, &v), 0);
	uint8_t *other = paste_ref_data(f.r, v.slices[0]);
	paste_value_put(f.s, &v);
	*byte ^= 4;
	*other ^= 1;
	scrub_pass(&f, 16 * KIB);
	scrub_pass(&f, UINT64_MAX); /* known already */
	paste_store_stats(f.s, &stats);
	assert_int_equal(stats.scrub_damage, 2);
	assert_int_equal(stats.damage, 2);
	assert_non_null(strstr(f.s->damage[0].what, "key large"));
	assert_non_null(strstr(f.s->damage[1].what, "stream stream entry 3"));
	*byte ^= 4;
	*other ^= 1;
	f.damage_expected = 2;
	fixture_crash(&f);
	f.damage_expected = 0;
	fixture_open(&f);
	fixture_end(&f);
}

static void scrubbing_goes_on_beside_changes(void **state)
{
	struct fixture f;
	char key[32];

	fixture_begin(&f, SIM_SHM, 4 * MIB, 0, 0);
	for (uint64_t i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "key%d", (int)(i * 7 % 50));
		if (i % 5 == 4)
			delete_text(&f, key);
		else
			put_text(&f, key, i, i * 13 % 20000);
		assert_true(paste_store_scrub_step(f.s, 1000) >= 0);
		turn(&f);
	}
	struct paste_store_stats stats;
	paste_store_stats(f.s, &stats);
	assert_true(stats.scrub_passes > 0);
	assert_int_equal(stats.scrub_damage, 0);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_prefix_lists_what_begins_with_it),
	    cmocka_unit_test(a_list_waits_for_what_it_shows_and_for_what_it_leaves_out),
	    cmocka_unit_test(streams_are_listed),
	    cmocka_unit_test(a_prefix_is_deleted_in_pieces),
	    cmocka_unit_test(scrubbing_reads_all_in_pieces_and_names_what_is_damaged),
	    cmocka_unit_test(scrubbing_goes_on_beside_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
