/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys that have their time. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "paste/change.h"
#include "paste/list.h"

static struct paste_result put_until(struct fixture *f, const char *key, uint64_t seed, size_t length,
				     uint64_t expires)
{
	struct paste_change change = {
	    .type = PASTE_PUT, .key = key, .key_length = strlen(key), .expires = expires};
	struct paste_result result;
	struct landing l;
	uint8_t *bytes = malloc(length + 1);

	assert_non_null(bytes);
	fill_bytes(seed, bytes, length);
	assert_true(land(f, bytes, length, 0, &l));
	free(bytes);
	change.slices = l.slices;
	change.n = l.n;
	int ret = paste_store_apply(f->s, &change, 1, NULL, &result);
	land_put(f, &l);
	assert_int_equal(ret, 0);
	return result;
}

static void reopen(struct fixture *f)
{
	assert_true(paste_store_wait(f->s, (uint64_t)paste_store_commit(f->s)) >= 0);
	fixture_crash(f);
	fixture_open(f);
}

static void a_key_is_there_until_its_time(void **state)
{
	struct fixture f;
	struct paste_value v;
	struct paste_listed item;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	put_until(&f, "k", 1, 3000, 5000); /* no time was told yet: nothing expires */
	expect_text(&f, "k", 1, 3000);
	paste_store_set_time(f.s, 4999);
	for (int how = 0; how < 4; how++) {
		expect_text(&f, "k", 1, 3000);
		assert_int_equal(paste_store_get(f.s, "k", 1, &v), 0);
		assert_int_equal(v.expires, 5000);
		paste_value_put(f.s, &v);
		assert_int_equal(paste_store_look(f.s, "k", 1, &item), 0);
		assert_int_equal(item.expires, 5000);
		assert_int_equal(paste_store_list(f.s, NULL, 0, NULL, 0, &item), 0);
		assert_int_equal(item.expires, 5000);
		if (how == 1) {
			reopen(&f);
		} else {
			fixture_close(&f);
			fixture_open(&f);
		}
		assert_int_equal(paste_store_time(f.s), 0); /* nobody was shown any */
		paste_store_set_time(f.s, 4999);
	}
	paste_store_set_time(f.s, 5000);
	assert_int_equal(get_status(&f, "k"), -ENOENT);
	assert_int_equal(paste_store_look(f.s, "k", 1, &item), -ENOENT);
	assert_int_equal(paste_store_list(f.s, NULL, 0, NULL, 0, &item), -ENOENT);
	paste_store_set_time(f.s, 10); /* it does not go back */
	assert_int_equal(paste_store_time(f.s), 5000);
	assert_int_equal(get_status(&f, "k"), -ENOENT);
	fixture_end(&f);
}

static void a_time_that_was_shown_is_durable(void **state)
{
	struct fixture f;
	struct paste_value v;
	struct paste_listed item;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	put_until(&f, "a", 1, 100, 1000);
	put_until(&f, "b", 1, 100, 1001);
	put_until(&f, "c", 1, 100, 2000);
	settle(&f);
	paste_store_set_time(f.s, 1500);
	assert_int_equal(paste_store_get(f.s, "a", 1, &v), -ENOENT);
	uint64_t round = v.round, records = f.s->log[0].records;
	assert_true(round > 0);
	/* One record says it for all. */
	assert_int_equal(paste_store_look(f.s, "b", 1, &item), -ENOENT);
	assert_int_equal(item.round, round);
	assert_int_equal(paste_store_list(f.s, NULL, 0, NULL, 0, &item), 0);
	assert_memory_equal(item.name, "c", 1);
	assert_int_equal(item.round, round);
	assert_int_equal(f.s->log[0].records, records);
	assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) >= 0);
	assert_int_equal(paste_store_get(f.s, "a", 1, &v), -ENOENT);
	assert_int_equal(v.round, 0);
	for (int how = 0; how < 4; how++) {
		if (how % 2) {
			fixture_close(&f);
			fixture_open(&f);
		} else {
			fixture_crash(&f);
			fixture_open(&f);
		}
		/* The clock has gone back: the store has not. */
		paste_store_set_time(f.s, 20);
		assert_int_equal(paste_store_time(f.s), 1500);
		assert_int_equal(paste_store_get(f.s, "a", 1, &v), -ENOENT);
		assert_int_equal(v.round, 0);
		assert_int_equal(get_status(&f, "b"), -ENOENT);
		assert_int_equal(get_status(&f, "c"), 0);
	}
	fixture_end(&f);
}

static void what_nobody_saw_expire_may_come_back(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	put_until(&f, "a", 1, 100, 1000);
	settle(&f);
	paste_store_set_time(f.s, 1500);
	assert_int_equal(get_status(&f, "a"), -ENOENT); /* the answer waits, and is never sent */
	fixture_crash(&f);
	fixture_open(&f);
	paste_store_set_time(f.s, 500);
	assert_int_equal(get_status(&f, "a"), 0);
	fixture_end(&f);
}

static void changes_find_an_expired_key_absent(void **state)
{
	struct fixture f;
	struct paste_result r;
	struct paste_change change = {.type = PASTE_DELETE, .key = "a", .key_length = 1};

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	uint64_t version = put_until(&f, "a", 1, 3000, 1000).version;
	put_until(&f, "b", 1, 3000, 1000);
	put_until(&f, "c", 1, 3000, 1000);
	put_until(&f, "d", 1, 3000, 1000);
	settle(&f);
	paste_store_set_time(f.s, 1000);
	change.condition = PASTE_IF_VERSION;
	change.expected = version;
	assert_int_equal(paste_store_apply(f.s, &change, 1, NULL, &r), -ENOENT);
	assert_true(r.round > 0); /* shows that its time has come */
	change.condition = PASTE_IF_NOT_VERSION;
	assert_int_equal(paste_store_apply(f.s, &change, 1, NULL, &r), 0);
	assert_false(r.existed);
	change = (struct paste_change){
	    .type = PASTE_PUT, .key = "b", .key_length = 1, .condition = PASTE_IF_ABSENT};
	assert_int_equal(paste_store_apply(f.s, &change, 1, NULL, &r), 0);
	assert_false(r.existed);
	assert_int_equal(put_value(&f, "c", 1, 2, 10, 0, &r), 0);
	assert_false(r.existed);
	assert_true(r.version > version);
	assert_int_equal(paste_store_delete(f.s, "d", 1, &r), 0);
	assert_false(r.existed);
	/* A new value has a time of its own, or none. */
	reopen(&f);
	paste_store_set_time(f.s, 5000);
	expect_text(&f, "c", 2, 10);
	assert_int_equal(get_status(&f, "b"), 0);
	assert_int_equal(get_status(&f, "a"), -ENOENT);
	put_until(&f, "c", 3, 10, 6000);
	put_text(&f, "b", 3, 10);
	paste_store_set_time(f.s, 6000);
	assert_int_equal(get_status(&f, "c"), -ENOENT);
	assert_int_equal(get_status(&f, "b"), 0);
	fixture_end(&f);
}

static void room_of_the_expired_is_used_again(void **state)
{
	struct fixture f;
	struct paste_store_stats stats;
	char key[32];

	fixture_begin(&f, SIM_SHM, 4 * MIB, 0, 0);
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "key%d", i);
		put_until(&f, key, 1, 3000, 1000 + (uint64_t)(i % 2) * 1000000);
	}
	put_text(&f, "stays", 1, 3000);
	settle(&f);
	paste_store_stats(f.s, &stats);
	assert_int_equal(stats.expiring, 500);
	uint64_t live = stats.live_bytes;
	/* A step does a bounded part, spread over about ten seconds of the caller's time. */
	uint64_t now = 1000, most = 0;
	for (; stats.expired < 250; now += 20) {
		uint64_t before = stats.expired;
		paste_store_set_time(f.s, now);
		turn(&f);
		paste_store_stats(f.s, &stats);
		most = now > 1000 && stats.expired - before > most ? stats.expired - before : most;
	}
	assert_true(most <= 2);
	assert_true(now < 1000 + 25000);
	assert_int_equal(stats.expiring, 250);
	assert_true(stats.live_bytes < live / 2 + 5000);
	assert_int_equal(stats.deletes, 0);
	/* Looking again costs nothing before the next one's time. */
	for (int i = 0; i < 2000; i++) {
		paste_store_set_time(f.s, now += 20);
		turn(&f);
	}
	assert_false(f.s->expiry.active);
	paste_store_set_time(f.s, 1001000);
	settle(&f); /* idle: at once */
	paste_store_stats(f.s, &stats);
	assert_int_equal(stats.expired, 500);
	assert_int_equal(stats.keys, 1);
	/* After an opening nothing is known: it looks once. */
	put_until(&f, "last", 1, 100, 2000000);
	reopen(&f);
	paste_store_set_time(f.s, 2000000);
	settle(&f);
	paste_store_stats(f.s, &stats);
	assert_int_equal(stats.keys, 1);
	fixture_end(&f);
}

static void a_full_region_takes_from_the_expired_first(void **state)
{
	struct fixture f;
	char key[32];
	int ret = 0, n = 0;

	fixture_begin(&f, SIM_SHM, 4 * MIB, 0, 0);
	struct paste_store_stats stats;
	do {
		snprintf(key, sizeof(key), "key%d", n++);
		put_until(&f, key, 1, 3000, 1000);
		turn(&f);
		paste_store_stats(f.s, &stats);
	} while (stats.live_bytes + 8000 < stats.capacity_bytes);
	while (ret == 0) {
		snprintf(key, sizeof(key), "more%d", n++);
		ret = put_value(&f, key, strlen(key), 1, 3000, 0, NULL);
		turn(&f);
	}
	assert_true(ret == -ENOSPC || ret == -ENOBUFS);
	paste_store_set_time(f.s, 1000);
	/* No upkeep in between: the change itself makes the room that it is refused otherwise. */
	struct paste_result r;
	assert_int_equal(paste_store_commit(f.s) > 0, 1);
	for (int i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "after%d", i);
		ret = put_value(&f, key, strlen(key), 1, 3000, 0, &r);
		assert_int_equal(ret, 0);
	}
	paste_store_stats(f.s, &stats);
	assert_true(stats.expired > 0);
	fixture_end(&f);
}

static void the_cleaner_keeps_times(void **state)
{
	struct fixture f;
	struct paste_store_stats stats;
	char key[32];

	fixture_begin(&f, SIM_SHM, 4 * MIB, 0, 0);
	for (int i = 0; i < 60; i++) {
		snprintf(key, sizeof(key), "timed%d", i);
		put_until(&f, key, (uint64_t)i, 900, 1000);
		snprintf(key, sizeof(key), "filler%d", i);
		put_text(&f, key, 1, 3000);
	}
	for (uint64_t i = 0; i < 6000; i++) {
		snprintf(key, sizeof(key), "filler%d", (int)(i * 7919 % 2500));
		put_value(&f, key, strlen(key), i, 900, 0, NULL);
		turn(&f);
	}
	paste_store_stats(f.s, &stats);
	assert_true(stats.cleaned_bytes > 0);
	reopen(&f);
	paste_store_set_time(f.s, 999);
	for (int i = 0; i < 60; i++) {
		snprintf(key, sizeof(key), "timed%d", i);
		expect_text(&f, key, (uint64_t)i, 900);
	}
	paste_store_set_time(f.s, 1000);
	for (int i = 0; i < 60; i++) {
		snprintf(key, sizeof(key), "timed%d", i);
		assert_int_equal(get_status(&f, key), -ENOENT);
	}
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_key_is_there_until_its_time),
	    cmocka_unit_test(a_time_that_was_shown_is_durable),
	    cmocka_unit_test(what_nobody_saw_expire_may_come_back),
	    cmocka_unit_test(changes_find_an_expired_key_absent),
	    cmocka_unit_test(room_of_the_expired_is_used_again),
	    cmocka_unit_test(a_full_region_takes_from_the_expired_first),
	    cmocka_unit_test(the_cleaner_keeps_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
