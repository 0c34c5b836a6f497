/* SPDX-License-Identifier: BSD-2-Clause */
/* The store as it was at one moment, while changes go on; and putting that back elsewhere. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "paste/backup.h"
#include "paste/change.h"

#define KEYS 200
#define STREAMS 6
#define ENTRIES 4096

struct value {
	uint64_t seed; /* 0: absent */
	uint32_t length;
	uint64_t version, expires;
};

struct model {
	struct value key[KEYS];
	struct {
		uint64_t first, next;
		struct value entry[ENTRIES];
	} stream[STREAMS];
};

struct work {
	struct fixture f;
	struct model now, then; /* then: when the snapshot began */
	struct sim_random random;
	uint64_t step, time_then;
	/* How far the walk is. */
	int key, stream;
	uint64_t sequence;
	uint64_t shown;
};

static const char *key_name(int i)
{
	static char name[32];

	snprintf(name, sizeof(name), "key%05d", i);
	return name;
}

static const char *stream_name(int i)
{
	static char name[32];

	snprintf(name, sizeof(name), "stream%d", i);
	return name;
}

static uint32_t draw_length(struct work *w)
{
	static const uint32_t most[] = {64, 500, 3000, 9000};

	return 1 + (uint32_t)sim_below(&w->random, most[sim_below(&w->random, 4)]);
}

static void put(struct work *w, int i, uint64_t expires)
{
	struct value *v = &w->now.key[i];
	uint32_t length = draw_length(w);
	uint8_t *bytes = malloc(length);
	struct landing l;
	struct paste_result r;
	const char *name = key_name(i);

	assert_non_null(bytes);
	fill_bytes(w->step, bytes, length);
	bool landed = land(&w->f, bytes, length, 1000, &l);
	free(bytes);
	if (!landed)
		return;
	struct paste_change c = {.type = PASTE_PUT,
				 .key = name,
				 .key_length = strlen(name),
				 .slices = l.slices,
				 .n = l.n,
				 .expires = expires};
	int ret = paste_store_apply(w->f.s, &c, 1, NULL, &r);
	land_put(&w->f, &l);
	if (ret == -ENOSPC)
		return;
	assert_int_equal(ret, 0);
	*v = (struct value){w->step, length, r.version, expires};
}

static void append(struct work *w, int i)
{
	struct paste_result r;
	uint32_t length = draw_length(w);

	if (w->now.stream[i].next - w->now.stream[i].first == ENTRIES)
		return;
	if (append_value(&w->f, stream_name(i), w->step, length, 1000, &r) < 0)
		return;
	assert_int_equal(r.version, w->now.stream[i].next);
	w->now.stream[i].entry[w->now.stream[i].next++ % ENTRIES] = (struct value){w->step, length, 0, 0};
}

static void trim(struct work *w, int i)
{
	struct paste_result r;
	uint64_t first = w->now.stream[i].first, n = w->now.stream[i].next - first;

	if (w->now.stream[i].next == 1)
		return;
	first += sim_below(&w->random, n / 4 + 2);
	if (first > w->now.stream[i].next)
		first = w->now.stream[i].next;
	assert_int_equal(paste_store_trim(w->f.s, stream_name(i), strlen(stream_name(i)), first, &r), 0);
	w->now.stream[i].first = first;
}

static void change(struct work *w)
{
	uint64_t what = sim_below(&w->random, 20);
	int key = (int)sim_below(&w->random, KEYS), stream = (int)sim_below(&w->random, STREAMS);

	w->step++;
	if (what < 9) {
		put(w, key, what == 0 ? 1000 + w->step * 10 : 0);
	} else if (what < 12) {
		delete_text(&w->f, key_name(key));
		w->now.key[key].seed = 0;
	} else if (what < 18) {
		append(w, stream);
	} else {
		trim(w, stream);
	}
}

static void expect_item(struct work *w, const struct paste_snapshot_item *item, const struct value *v)
{
	uint8_t *bytes = malloc(v->length);
	size_t done = 0;

	assert_non_null(bytes);
	fill_bytes(v->seed, bytes, v->length);
	assert_int_equal(item->value.length, v->length);
	if (item->value.bytes)
		assert_memory_equal(item->value.bytes, bytes, v->length);
	for (uint32_t i = 0; i < item->value.n; i++) {
		struct paste_ref ref = item->value.slices[i];
		assert_memory_equal(paste_ref_data(w->f.r, ref), bytes + done, ref.length);
		done += ref.length;
	}
	free(bytes);
	paste_value_put(w->f.s, &item->value);
}

static bool there(const struct work *w, int i)
{
	const struct value *v = &w->then.key[i];

	return v->seed && !(v->expires && v->expires <= w->time_then);
}

static void begin(struct work *w)
{
	uint64_t round;

	assert_int_equal(paste_store_snapshot_begin(w->f.s, &round), 0);
	assert_int_equal(paste_store_snapshot_begin(w->f.s, &round), -EBUSY);
	w->then = w->now;
	w->time_then = paste_store_time(w->f.s);
	w->key = 0;
	w->stream = -1;
}

static bool next_stream(struct work *w)
{
	while (++w->stream < STREAMS) {
		if (w->then.stream[w->stream].next > 1)
			return true;
	}
	return false;
}

/* One item is as it should be; false at the end. */
static bool show(struct work *w)
{
	struct paste_snapshot_item item;
	int ret = paste_store_snapshot_next(w->f.s, &item);

	if (ret == -EAGAIN)
		return true;
	w->shown++;
	while (w->key < KEYS && !there(w, w->key))
		w->key++;
	if (w->key < KEYS) {
		assert_int_equal(ret, 0);
		assert_int_equal(item.kind, PASTE_SNAPSHOT_KEY);
		assert_memory_equal(item.name, key_name(w->key), item.name_length);
		assert_int_equal(item.value.version, w->then.key[w->key].version);
		assert_int_equal(item.expires, w->then.key[w->key].expires);
		expect_item(w, &item, &w->then.key[w->key++]);
		return true;
	}
	if (w->stream < 0 || w->sequence == w->then.stream[w->stream].next) {
		if (!next_stream(w)) {
			assert_int_equal(ret, -ENOENT);
			return false;
		}
		assert_int_equal(ret, 0);
		assert_int_equal(item.kind, PASTE_SNAPSHOT_STREAM);
		assert_memory_equal(item.name, stream_name(w->stream), item.name_length);
		assert_int_equal(item.first, w->then.stream[w->stream].first);
		assert_int_equal(item.next, w->then.stream[w->stream].next);
		w->sequence = item.first;
		return true;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(item.kind, PASTE_SNAPSHOT_ENTRY);
	assert_int_equal(item.sequence, w->sequence);
	expect_item(w, &item, &w->then.stream[w->stream].entry[w->sequence++ % ENTRIES]);
	return true;
}

static struct work *work_new(enum sim_kind kind, uint64_t size, uint64_t seed)
{
	struct work *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->random = sim_random(seed);
	for (int i = 0; i < STREAMS; i++)
		w->now.stream[i].first = w->now.stream[i].next = 1;
	fixture_begin(&w->f, kind, size, 0, 0);
	return w;
}

static void a_snapshot_shows_one_moment_while_changes_go_on(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct work *w = work_new(seed % 2 ? SIM_SHM : SIM_FILE, 16 * MIB, seed);
		for (int i = 0; i < 1500; i++) {
			change(w);
			turn(&w->f);
		}
		for (int pass = 0; pass < 3; pass++) {
			begin(w);
			/* Between two items nothing, or a lot. */
			do {
				uint64_t n = sim_chance(&w->random, 4) ? sim_below(&w->random, 30) : 0;
				while (n--)
					change(w);
				paste_store_set_time(w->f.s, 1000 + w->step * 9);
				turn(&w->f);
				if (sim_chance(&w->random, 64))
					fixture_prove(&w->f);
			} while (show(w));
			struct paste_store_stats stats;
			paste_store_stats(w->f.s, &stats);
			assert_int_equal(stats.snapshots_given_up, 0);
			paste_store_snapshot_end(w->f.s);
			assert_int_equal(w->f.s->snapshot.kept_bytes, 0);
			settle(&w->f);
			fixture_prove(&w->f);
		}
		assert_true(w->shown > 300);
		fixture_end(&w->f);
		free(w);
	}
}

static void a_snapshot_waits_for_what_it_shows(void **state)
{
	struct fixture f;
	uint64_t round;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	put_text(&f, "a", 1, 10);
	settle(&f);
	assert_int_equal(paste_store_snapshot_begin(f.s, &round), 0);
	assert_int_equal(round, 0);
	paste_store_snapshot_end(f.s);
	put_text(&f, "a", 2, 10);
	assert_int_equal(paste_store_snapshot_begin(f.s, &round), 0);
	assert_int_equal(round, paste_store_commit(f.s));
	paste_store_snapshot_end(f.s);
	assert_int_equal(paste_store_snapshot_begin(f.s, &round), 0);
	assert_true((int64_t)round == paste_store_commit(f.s) || round == 0);
	paste_store_snapshot_end(f.s);
	struct paste_snapshot_item item;
	assert_int_equal(paste_store_snapshot_next(f.s, &item), -EINVAL);
	fixture_end(&f);
}

static void a_full_region_gives_the_snapshot_up_before_it_refuses_anything(void **state)
{
	struct fixture f;
	uint64_t round;
	struct paste_snapshot_item item;
	char key[32];
	int n = 0;

	fixture_begin(&f, SIM_SHM, 4 * MIB, 0, 0);
	struct paste_store_stats stats;
	do {
		snprintf(key, sizeof(key), "key%d", n++);
		put_text(&f, key, 1, 3000);
		turn(&f);
		paste_store_stats(f.s, &stats);
	} while (stats.live_bytes + 200000 < stats.capacity_bytes);
	settle(&f);
	assert_int_equal(paste_store_snapshot_begin(f.s, &round), 0);
	assert_int_equal(paste_store_snapshot_next(f.s, &item), 0);
	paste_value_put(f.s, &item.value);
	for (int i = 0; i < 4 * n; i++) { /* each put anew: the same bytes over and over */
		snprintf(key, sizeof(key), "key%d", i % n);
		put_text(&f, key, (uint64_t)i, 3000);
		turn(&f);
	}
	paste_store_stats(f.s, &stats);
	assert_int_equal(stats.snapshots_given_up, 1);
	assert_int_equal(paste_store_snapshot_next(f.s, &item), -ESTALE);
	assert_int_equal(stats.rejected_full, 0);
	paste_store_snapshot_end(f.s);
	assert_int_equal(paste_store_snapshot_begin(f.s, &round), 0);
	assert_int_equal(paste_store_snapshot_next(f.s, &item), 0);
	paste_value_put(f.s, &item.value);
	/* Not ended: it goes with the store. */
	put_text(&f, "key1", 77, 3000);
	settle(&f);
	fixture_prove(&f);
	fixture_end(&f);
}

static void a_damaged_value_is_named_and_the_walk_goes_on(void **state)
{
	struct fixture f;
	uint64_t round;
	struct paste_snapshot_item item;
	struct paste_value v;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 0);
	put_text(&f, "a", 1, 3000);
	put_text(&f, "b", 2, 3000);
	put_text(&f, "c", 3, 3000);
	settle(&f);
	assert_int_equal(paste_store_get(f.s, "b", 1, &v), 0);
	uint8_t *byte = paste_ref_data(f.r, v.slices[0]);
	paste_value_put(f.s, &v);
	*byte ^= 1;
	assert_int_equal(paste_store_snapshot_begin(f.s, &round), 0);
	assert_int_equal(paste_store_snapshot_next(f.s, &item), 0);
	paste_value_put(f.s, &item.value);
	assert_int_equal(paste_store_snapshot_next(f.s, &item), -EBADMSG);
	assert_memory_equal(item.name, "b", 1);
	assert_int_equal(paste_store_snapshot_next(f.s, &item), 0);
	assert_memory_equal(item.name, "c", 1);
	paste_value_put(f.s, &item.value);
	assert_int_equal(paste_store_snapshot_next(f.s, &item), -ENOENT);
	paste_store_snapshot_end(f.s);
	*byte ^= 1;
	fixture_end(&f);
}

/* ------------------------------------------------------------------ putting back */

static void copy_item(struct fixture *to, struct fixture *from, const struct paste_snapshot_item *item)
{
	uint8_t *bytes = malloc(item->value.length + 1);
	struct paste_result r;
	struct landing l;
	size_t n = 0;

	assert_non_null(bytes);
	if (item->value.bytes)
		memcpy(bytes, item->value.bytes, n = item->value.length);
	for (uint32_t i = 0; i < item->value.n; i++) {
		memcpy(bytes + n, paste_ref_data(from->r, item->value.slices[i]),
		       item->value.slices[i].length);
		n += item->value.slices[i].length;
	}
	assert_int_equal(n, item->value.length);
	assert_true(land(to, bytes, n, 0, &l));
	free(bytes);
	if (item->kind == PASTE_SNAPSHOT_KEY) {
		assert_int_equal(paste_store_restore_key(to->s, item->name, item->name_length, l.slices, l.n,
							 item->value.version, item->expires, &r),
				 0);
		assert_int_equal(r.version, item->value.version);
		assert_int_equal(paste_store_restore_key(to->s, item->name, item->name_length, l.slices, l.n,
							 item->value.version, item->expires, &r),
				 -EEXIST);
	} else {
		assert_int_equal(paste_store_append(to->s, item->name, item->name_length, l.slices, l.n, &r),
				 0);
		assert_int_equal(r.version, item->sequence);
	}
	land_put(to, &l);
	paste_value_put(from->s, &item->value);
}

static void copy_all(struct fixture *to, struct fixture *from)
{
	struct paste_snapshot_item item;
	struct paste_result r;
	uint64_t round;
	int ret;

	assert_int_equal(paste_store_snapshot_begin(from->s, &round), 0);
	while ((ret = paste_store_snapshot_next(from->s, &item)) != -ENOENT) {
		if (ret == -EAGAIN)
			continue;
		assert_int_equal(ret, 0);
		if (item.kind == PASTE_SNAPSHOT_STREAM)
			assert_int_equal(
			    paste_store_restore_stream(to->s, item.name, item.name_length, item.first, &r),
			    0);
		else
			copy_item(to, from, &item);
		turn(to);
	}
	paste_store_snapshot_end(from->s);
}

static void expect_model(struct work *w, struct fixture *f)
{
	for (int i = 0; i < KEYS; i++) {
		struct paste_value v;
		if (!w->now.key[i].seed) {
			assert_int_equal(get_status(f, key_name(i)), -ENOENT);
			continue;
		}
		expect_text(f, key_name(i), w->now.key[i].seed, w->now.key[i].length);
		assert_int_equal(paste_store_get(f->s, key_name(i), strlen(key_name(i)), &v), 0);
		assert_int_equal(v.version, w->now.key[i].version);
		assert_int_equal(v.expires, w->now.key[i].expires);
		paste_value_put(f->s, &v);
	}
	for (int i = 0; i < STREAMS; i++) {
		uint64_t first, next, round;
		if (w->now.stream[i].next == 1)
			continue;
		assert_int_equal(
		    paste_store_stream(f->s, stream_name(i), strlen(stream_name(i)), &first, &next, &round),
		    0);
		assert_int_equal(first, w->now.stream[i].first);
		assert_int_equal(next, w->now.stream[i].next);
		for (uint64_t n = first; n < next; n++)
			expect_entry(f, stream_name(i), n, w->now.stream[i].entry[n % ENTRIES].seed,
				     w->now.stream[i].entry[n % ENTRIES].length);
	}
}

static void what_was_shown_is_put_back_with_its_versions(void **state)
{
	struct work *w = work_new(SIM_SHM, 16 * MIB, 11);
	struct paste_result r;
	struct fixture g;

	for (int i = 0; i < 2000; i++) {
		change(w);
		turn(&w->f);
	}
	uint64_t highest = w->f.s->log[0].next;
	for (uint32_t logs = 1; logs < 4; logs++) {
		fixture_begin(&g, logs == 2 ? SIM_FILE : SIM_SHM, 24 * MIB, 4096, logs);
		/* It was used before: what was deleted then must not stand in the way. */
		for (int i = 0; i < KEYS; i++) {
			put_text(&g, key_name(i), 1, 10);
			turn(&g);
			delete_text(&g, key_name(i));
		}
		assert_int_equal(paste_store_restore_key(g.s, "k", 1, NULL, 0, 5, 0, &r), -ERANGE);
		assert_int_equal(paste_store_restore_begin(g.s, UINT64_MAX), -ERANGE);
		assert_int_equal(paste_store_restore_begin(g.s, highest), 0);
		copy_all(&g, &w->f);
		expect_model(w, &g);
		for (int again = 0; again < 4; again++) {
			if (again % 2) {
				fixture_close(&g);
			} else {
				assert_true(paste_store_wait(g.s, (uint64_t)paste_store_commit(g.s)) >= 0);
				fixture_crash(&g);
			}
			fixture_open(&g);
			expect_model(w, &g);
			fixture_prove(&g);
		}
		/* Later versions are higher, so that they count. */
		for (int i = 0; i < KEYS; i++) {
			assert_int_equal(put_value(&g, key_name(i), strlen(key_name(i)), 9, 100, 0, &r), 0);
			assert_true(r.version > highest);
		}
		assert_true(paste_store_wait(g.s, (uint64_t)paste_store_commit(g.s)) >= 0);
		fixture_crash(&g);
		fixture_open(&g);
		for (int i = 0; i < KEYS; i++)
			expect_text(&g, key_name(i), 9, 100);
		fixture_end(&g);
	}
	fixture_end(&w->f);
	free(w);
}

static void a_restore_that_is_cut_short_leaves_a_region_that_opens(void **state)
{
	struct fixture f;
	struct paste_result r;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 2);
	assert_int_equal(paste_store_restore_begin(f.s, 1u << 30), 0);
	for (uint64_t i = 0; i < 10; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%d", (int)i);
		assert_int_equal(paste_store_restore_key(f.s, key, strlen(key), NULL, 0, 1000 + i, 0, &r), 0);
		assert_int_equal(paste_store_restore_stream(f.s, key, strlen(key), 50 + i, &r), 0);
		assert_int_equal(paste_store_restore_stream(f.s, key, strlen(key), 50 + i, &r), -EEXIST);
		if (i == 5)
			assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) >= 0);
	}
	fixture_crash(&f);
	fixture_open(&f);
	struct paste_value v;
	assert_int_equal(paste_store_get(f.s, "k5", 2, &v), 0);
	assert_int_equal(v.version, 1005);
	assert_int_equal(get_status(&f, "k6"), -ENOENT);
	assert_int_equal(append_value(&f, "k5", 1, 10, 0, &r), 0);
	assert_int_equal(r.version, 55);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_snapshot_shows_one_moment_while_changes_go_on),
	    cmocka_unit_test(a_snapshot_waits_for_what_it_shows),
	    cmocka_unit_test(a_full_region_gives_the_snapshot_up_before_it_refuses_anything),
	    cmocka_unit_test(a_damaged_value_is_named_and_the_walk_goes_on),
	    cmocka_unit_test(what_was_shown_is_put_back_with_its_versions),
	    cmocka_unit_test(a_restore_that_is_cut_short_leaves_a_region_that_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
