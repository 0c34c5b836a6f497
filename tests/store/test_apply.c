/* SPDX-License-Identifier: BSD-2-Clause */
/* Conditions, several changes at once, retry keys. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "base/site.h"
#include "paste/change.h"
#include "paste/list.h"

/* Changes of one call, with values made from seeds. */
struct call {
	struct paste_change change[600];
	struct paste_result result[600];
	struct landing landing[600];
	char name[600][24];
	uint32_t n;
};

static struct paste_change *add(struct fixture *f, struct call *c, enum paste_change_type type,
				const char *key, uint64_t seed, size_t length)
{
	struct paste_change *change = &c->change[c->n];

	*change = (struct paste_change){.type = type};
	snprintf(c->name[c->n], sizeof(c->name[0]), "%s", key);
	change->key = c->name[c->n];
	change->key_length = strlen(key);
	if (type != PASTE_DELETE) {
		uint8_t *bytes = malloc(length + 1);
		assert_non_null(bytes);
		fill_bytes(seed, bytes, length);
		assert_true(land(f, bytes, length, 700, &c->landing[c->n]));
		free(bytes);
		change->slices = c->landing[c->n].slices;
		change->n = c->landing[c->n].n;
	}
	c->n++;
	return change;
}

static void call_end(struct fixture *f, struct call *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		land_put(f, &c->landing[i]);
	*c = (struct call){0};
}

static int apply(struct fixture *f, struct call *c, const char *retry)
{
	struct paste_retry key = {.key = retry, .length = retry ? strlen(retry) : 0};

	memset(c->result, 0xee, sizeof(c->result));
	return paste_store_apply(f->s, c->change, c->n, retry ? &key : NULL, c->result);
}

static struct call call; /* large */

static int apply_one(struct fixture *f, enum paste_change_type type, const char *key,
		     enum paste_condition condition, uint64_t expected, struct paste_result *result)
{
	struct paste_change *change = add(f, &call, type, key, 1, 20);

	change->condition = condition;
	change->expected = expected;
	int ret = apply(f, &call, NULL);
	*result = call.result[0];
	call_end(f, &call);
	return ret;
}

static void reopen(struct fixture *f)
{
	assert_true(paste_store_wait(f->s, (uint64_t)paste_store_commit(f->s)) >= 0);
	fixture_crash(f);
	fixture_open(f);
}

static void a_condition_that_does_not_hold_changes_nothing(void **state)
{
	struct fixture f;
	struct paste_result r;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_IF_PRESENT, 0, &r), -ENOENT);
	assert_int_equal(r.error, -ENOENT);
	assert_int_equal(r.round, 0);
	assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_IF_VERSION, 7, &r), -ENOENT);
	assert_int_equal(apply_one(&f, PASTE_DELETE, "k", PASTE_IF_PRESENT, 0, &r), -ENOENT);
	assert_int_equal(get_status(&f, "k"), -ENOENT);
	assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_IF_ABSENT, 0, &r), 0);
	uint64_t version = r.version, round = r.round;
	assert_true(version > 0 && round > 0);
	assert_false(r.existed);
	assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_IF_ABSENT, 0, &r), -EEXIST);
	assert_int_equal(r.version, version);
	assert_int_equal(r.round, round); /* the answer shows what is not durable yet */
	settle(&f);
	assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_IF_VERSION, version + 1, &r), -ESTALE);
	assert_int_equal(r.version, version);
	assert_int_equal(r.round, 0);
	assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_IF_NOT_VERSION, version, &r), -ESTALE);
	assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_IF_NOT_VERSION, version + 1, &r), 0);
	assert_true(r.existed && r.version > version);
	version = r.version;
	assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_IF_VERSION, version, &r), 0);
	version = r.version;
	assert_int_equal(apply_one(&f, PASTE_DELETE, "k", PASTE_IF_VERSION, version - 1, &r), -ESTALE);
	assert_int_equal(apply_one(&f, PASTE_DELETE, "k", PASTE_IF_VERSION, version, &r), 0);
	assert_true(r.existed);
	round = r.round;
	assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_IF_PRESENT, 0, &r), -ENOENT);
	assert_int_equal(r.round, round); /* its absence is not durable yet */
	assert_int_equal(r.version, 0);
	assert_int_equal(apply_one(&f, PASTE_APPEND, "k", PASTE_IF_NOT_VERSION, 1, &r), -EINVAL);
	fixture_end(&f);
}

static void versions_never_come_back(void **state)
{
	struct fixture f;
	struct paste_result r;
	uint64_t last = 0;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	for (int i = 0; i < 60; i++) {
		assert_int_equal(apply_one(&f, PASTE_PUT, "k", PASTE_ALWAYS, 0, &r), 0);
		assert_true(r.version > last);
		last = r.version;
		assert_int_equal(apply_one(&f, PASTE_DELETE, "k", PASTE_ALWAYS, 0, &r), 0);
		if (i % 3 == 0)
			turn(&f);
		if (i % 5 ==
		    0) { /* the last ones may be lost: their versions are not used again all the same */
			fixture_crash(&f);
			fixture_open(&f);
		}
	}
	fixture_end(&f);
}

static void an_append_can_name_the_number_it_must_get(void **state)
{
	struct fixture f;
	struct paste_result r;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 0);
	assert_int_equal(apply_one(&f, PASTE_APPEND, "s", PASTE_IF_VERSION, 2, &r), -ESTALE);
	assert_int_equal(r.version, 1);
	assert_int_equal(apply_one(&f, PASTE_APPEND, "s", PASTE_IF_PRESENT, 0, &r), -ENOENT);
	assert_int_equal(apply_one(&f, PASTE_APPEND, "s", PASTE_IF_VERSION, 1, &r), 0);
	assert_int_equal(r.version, 1);
	assert_int_equal(apply_one(&f, PASTE_APPEND, "s", PASTE_IF_VERSION, 1, &r), -ESTALE);
	assert_int_equal(r.version, 2);
	assert_true(r.round > 0);
	assert_int_equal(apply_one(&f, PASTE_APPEND, "s", PASTE_IF_ABSENT, 0, &r), -EEXIST);
	assert_int_equal(apply_one(&f, PASTE_APPEND, "s", PASTE_IF_VERSION, 2, &r), 0);
	fixture_end(&f);
}

static void several_changes_take_effect_together(void **state)
{
	static const uint32_t sizes[] = {0, 10, 64, 65, 500, 3000, 40000};
	struct fixture f;

	for (int kind = 0; kind < 2; kind++) {
		fixture_begin(&f, kind ? SIM_FILE : SIM_SHM, 8 * MIB, 0, 0);
		put_text(&f, "gone", 1, 3000);
		put_text(&f, "kept", 2, 3000);
		for (uint64_t i = 0; i < 7; i++) {
			char key[24];
			snprintf(key, sizeof(key), "k%d", (int)i);
			add(&f, &call, PASTE_PUT, key, 100 + i, sizes[i]);
			add(&f, &call, PASTE_APPEND, "stream", 200 + i, sizes[i]);
		}
		add(&f, &call, PASTE_DELETE, "gone", 0, 0);
		add(&f, &call, PASTE_DELETE, "never", 0, 0);
		add(&f, &call, PASTE_PUT, "kept", 3, 90);
		assert_true(paste_store_commit(f.s) > 0); /* those before share a record, which ends here */
		uint64_t records = f.s->log[0].records;
		assert_int_equal(apply(&f, &call, NULL), 0);
		assert_int_equal(f.s->log[0].records, records + 1);
		for (uint32_t i = 0; i < 14; i++) {
			assert_int_equal(call.result[i].error, 0);
			assert_int_equal(call.result[i].round, call.result[0].round);
			assert_true(i % 2 ? call.result[i].version == i / 2 + 1 : call.result[i].version > 0);
		}
		assert_true(call.result[14].existed);
		assert_false(call.result[15].existed);
		assert_true(call.result[16].existed);
		call_end(&f, &call);
		for (int again = 0; again < 3; again++) {
			for (uint64_t i = 0; i < 7; i++) {
				char key[24];
				snprintf(key, sizeof(key), "k%d", (int)i);
				expect_text(&f, key, 100 + i, sizes[i]);
				expect_entry(&f, "stream", i + 1, 200 + i, sizes[i]);
			}
			assert_int_equal(get_status(&f, "gone"), -ENOENT);
			expect_text(&f, "kept", 3, 90);
			fixture_prove(&f);
			if (again == 0) {
				reopen(&f);
			} else {
				fixture_close(&f);
				fixture_open(&f);
			}
		}
		fixture_end(&f);
	}
}

static void many_changes_stand_in_one_record_too(void **state)
{
	struct fixture f;
	char key[24];

	fixture_begin(&f, SIM_SHM, 64 * MIB, 0, 0);
	for (uint64_t i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "key/%d", (int)i);
		add(&f, &call, i % 3 == 2 ? PASTE_APPEND : PASTE_PUT, i % 3 == 2 ? "s" : key, i, i % 100);
	}
	uint64_t records = f.s->log[0].records;
	assert_int_equal(apply(&f, &call, NULL), 0);
	assert_int_equal(f.s->log[0].records, records + 1);
	call_end(&f, &call);
	for (int again = 0; again < 2; again++) {
		for (uint64_t i = 0; i < 300; i++) {
			snprintf(key, sizeof(key), "key/%d", (int)i);
			if (i % 3 == 2)
				expect_entry(&f, "s", i / 3 + 1, i, i % 100);
			else
				expect_text(&f, key, i, i % 100);
		}
		reopen(&f);
	}
	fixture_end(&f);
}

static void one_condition_stops_them_all(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 0);
	put_text(&f, "b", 1, 100);
	uint64_t records = f.s->log[0].records, streams = tree_count(&f.s->streams);
	add(&f, &call, PASTE_PUT, "a", 1, 100);
	add(&f, &call, PASTE_PUT, "b", 1, 5000)->condition = PASTE_IF_ABSENT;
	add(&f, &call, PASTE_APPEND, "s", 1, 100);
	add(&f, &call, PASTE_DELETE, "c", 1, 100)->condition = PASTE_IF_PRESENT;
	assert_int_equal(apply(&f, &call, NULL), -EEXIST);
	assert_int_equal(call.result[0].error, 0);
	assert_int_equal(call.result[1].error, -EEXIST);
	assert_true(call.result[1].version > 0);
	assert_int_equal(call.result[2].error, 0);
	assert_int_equal(call.result[3].error, -ENOENT);
	assert_int_equal(f.s->log[0].records, records);
	assert_int_equal(tree_count(&f.s->streams), streams);
	assert_int_equal(get_status(&f, "a"), -ENOENT);
	call_end(&f, &call);
	fixture_end(&f);
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 0);
	assert_int_equal(paste_store_apply(f.s, call.change, 0, NULL, call.result), -EINVAL);
	add(&f, &call, PASTE_PUT, "a", 1, 100);
	add(&f, &call, PASTE_PUT, "b", 1, 100);
	add(&f, &call, PASTE_DELETE, "a", 1, 100);
	assert_int_equal(apply(&f, &call, NULL), -EINVAL); /* twice */
	assert_int_equal(call.result[0].error | call.result[1].error, 0);
	assert_int_equal(call.result[2].error, -EINVAL);
	call.n = 2;
	call.change[1].key_length = 0;
	assert_int_equal(apply(&f, &call, NULL), -EINVAL);
	call.change[1].key_length = 1;
	call.change[1].type = PASTE_APPEND;
	call.change[1].expires = 5;
	assert_int_equal(apply(&f, &call, NULL), -EINVAL);
	call.n = 3;
	call_end(&f, &call);
	/* More ops than half a segment holds: all of it is given back. */
	for (int i = 0; i < 200; i++) {
		char key[24];
		snprintf(key, sizeof(key), "key%d", i);
		add(&f, &call, PASTE_PUT, key, 1, 60);
	}
	assert_true(200 * 24 < paste_store_batch_max(f.s) && 200 * 84 > paste_store_batch_max(f.s));
	assert_int_equal(apply(&f, &call, NULL), -EFBIG);
	uint32_t n = call.n;
	call.n = 80;
	assert_int_equal(apply(&f, &call, NULL), 0);
	call.n = n;
	call_end(&f, &call);
	fixture_end(&f);
}

static void names_of_different_logs_are_refused(void **state)
{
	struct fixture f;
	uint32_t crossed = 0;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 2);
	for (int i = 0; i < 16; i++) {
		char key[24];
		snprintf(key, sizeof(key), "key%d", i);
		add(&f, &call, PASTE_PUT, key, 1, 30);
		add(&f, &call, PASTE_APPEND, "s", 1, 30);
		int ret = apply(&f, &call, NULL);
		bool same = home_log(f.s, false, key, strlen(key)) == home_log(f.s, true, "s", 1);
		assert_int_equal(ret, same ? 0 : -EXDEV);
		crossed += !same;
		call_end(&f, &call);
	}
	assert_true(crossed > 0 && crossed < 16);
	fixture_end(&f);
}

static void a_full_region_refuses_the_whole_call(void **state)
{
	struct fixture f;
	struct paste_store_stats before, after;
	char key[24];
	int ret = 0;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 0);
	for (int i = 0; ret == 0; i++) {
		paste_store_stats(f.s, &before);
		for (int k = 0; k < 8; k++) {
			snprintf(key, sizeof(key), "key%d", i * 8 + k);
			add(&f, &call, PASTE_PUT, key, 1, 3000);
		}
		add(&f, &call, PASTE_APPEND, "s", 1, 3000);
		ret = apply(&f, &call, NULL);
		call_end(&f, &call);
		turn(&f);
		turn(&f);
	}
	assert_int_equal(ret, -ENOSPC);
	paste_store_stats(f.s, &after);
	assert_int_equal(after.keys, before.keys);
	assert_int_equal(after.entries, before.entries);
	for (uint64_t i = 0; i < before.keys; i++) {
		snprintf(key, sizeof(key), "key%d", (int)i);
		add(&f, &call, PASTE_DELETE, key, 1, 3000);
		if (call.n == 50 || i + 1 == before.keys) {
			assert_int_equal(apply(&f, &call, NULL), 0);
			call_end(&f, &call);
		}
	}
	settle(&f);
	add(&f, &call, PASTE_PUT, "again", 1, 30000);
	add(&f, &call, PASTE_PUT, "and again", 1, 30000);
	assert_int_equal(apply(&f, &call, NULL), 0);
	call_end(&f, &call);
	fixture_end(&f);
}

/* ------------------------------------------------------------------ crashes */

struct watch {
	uint8_t *image;
	enum sim_kind kind;
	uint32_t n, none, all;
};

/* The i-th change of the call: values of all ways to be kept. */
static size_t nth_length(uint32_t i)
{
	return i % 5 == 4 ? 5000 : i % 5 == 3 ? 300 : 20;
}

static void look(void *arg, struct media *m, enum sim_event event)
{
	struct watch *w = arg;
	struct sim_crash *c = sim_crash_begin(m);
	struct sim_random random = sim_random(w->none + w->all);
	struct sim_image images[16];
	uint32_t n = sim_crash_plan(c, &random, images, 4), units = sim_crash_units(c);

	/* All but a line or block of a value: what must tell is the value's checksum. */
	for (int i = 0; units > 0 && i < 4; i++)
		images[n++] =
		    (struct sim_image){SIM_IMAGE_ONE_LOST, (uint32_t)sim_below(&random, units), 0, false};

	for (uint32_t i = 0; i < n; i++) {
		struct fixture f = {.kind = w->kind, .size = 2 * MIB, .image = w->image};
		char key[24];
		sim_crash_image(c, &images[i], w->image);
		fixture_open(&f);
		bool there = get_status(&f, "key0") == 0;
		for (uint32_t k = 0; k < w->n; k++) {
			snprintf(key, sizeof(key), "key%u", k);
			if (there)
				expect_text(&f, key, k, nth_length(k));
			else
				assert_int_equal(get_status(&f, key), -ENOENT);
		}
		assert_int_equal(get_status(&f, "old"), there ? -ENOENT : 0);
		w->all += there;
		w->none += !there;
		fixture_crash(&f);
	}
	sim_crash_end(c);
}

static void a_call_happened_whole_or_not_at_all(void **state)
{
	static const uint32_t sizes[] = {6, 40};

	for (int i = 0; i < 4; i++) {
		struct fixture f;
		struct watch w = {
		    .image = malloc(2 * MIB), .kind = i < 2 ? SIM_ADR : SIM_FILE, .n = sizes[i % 2]};
		char key[24];
		assert_non_null(w.image);
		fixture_begin(&f, w.kind, 2 * MIB, 4096, 1);
		put_text(&f, "old", 1, 10);
		settle(&f);
		for (uint32_t k = 0; k < w.n; k++) {
			snprintf(key, sizeof(key), "key%u", k);
			add(&f, &call, PASTE_PUT, key, k, nth_length(k));
		}
		add(&f, &call, PASTE_DELETE, "old", 0, 0);
		sim_set_hook(f.m, look, &w);
		assert_int_equal(apply(&f, &call, NULL), 0);
		assert_true(paste_store_wait(f.s, (uint64_t)paste_store_commit(f.s)) >= 0);
		look(&w, f.m, 0);
		sim_set_hook(f.m, NULL, NULL);
		call_end(&f, &call);
		assert_true(w.none > 0 && w.all > 0);
		free(w.image);
		fixture_end(&f);
	}
}

/* ------------------------------------------------------------------ retry keys */

static struct paste_result append_once(struct fixture *f, const char *stream, const char *retry)
{
	add(f, &call, PASTE_APPEND, stream, 5, 80);
	assert_int_equal(apply(f, &call, retry), 0);
	struct paste_result r = call.result[0];
	call_end(f, &call);
	return r;
}

static void a_repeated_append_is_answered_like_the_first(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	struct paste_result r = append_once(&f, "s", "request 1");
	assert_int_equal(r.version, 1);
	assert_false(r.repeated);
	uint64_t round = r.round;
	r = append_once(&f, "s", "request 1");
	assert_true(r.repeated);
	assert_int_equal(r.version, 1);
	assert_int_equal(r.round, round);      /* not durable yet, nor is the answer */
	r = append_once(&f, "t", "request 1"); /* another stream: another request */
	assert_false(r.repeated);
	r = append_once(&f, "s", "request 2");
	assert_int_equal(r.version, 2);
	settle(&f);
	r = append_once(&f, "s", "request 1");
	assert_true(r.repeated);
	assert_int_equal(r.round, 0);
	for (int how = 0; how < 4; how++) {
		if (how % 2) {
			reopen(&f);
		} else {
			fixture_close(&f); /* with a checkpoint */
			fixture_open(&f);
		}
		r = append_once(&f, "s", "request 1");
		assert_true(r.repeated);
		assert_int_equal(r.version, 1);
		assert_int_equal(append_once(&f, "s", "request 2").version, 2);
		fixture_prove(&f);
	}
	struct paste_store_stats stats;
	paste_store_stats(f.s, &stats);
	assert_int_equal(stats.entries, 3);
	assert_int_equal(stats.retry_keys, 3);
	/* Also when the entry itself is gone. */
	assert_int_equal(paste_store_trim(f.s, "s", 1, 3, &r), 0);
	assert_true(append_once(&f, "s", "request 2").repeated);
	fixture_end(&f);
}

static int append_as(struct fixture *f, const char *retry, uint32_t fingerprint, struct paste_result *result)
{
	struct paste_retry key = {.key = retry, .length = strlen(retry), .fingerprint = fingerprint};

	add(f, &call, PASTE_APPEND, "s", 5, 80);
	int ret = paste_store_apply(f->s, call.change, call.n, &key, call.result);
	*result = call.result[0];
	call_end(f, &call);
	return ret;
}

static void a_retry_key_of_another_call_is_refused(void **state)
{
	struct fixture f;
	struct paste_result r;

	fixture_begin(&f, SIM_FILE, 2 * MIB, 0, 0);
	assert_int_equal(append_as(&f, "request 1", 7, &r), 0);
	assert_int_equal(append_as(&f, "request 2", 0, &r), 0); /* nobody said what it asks for */
	for (int how = 0; how < 4; how++) {
		assert_int_equal(append_as(&f, "request 1", 8, &r), -ENOTUNIQ);
		assert_int_equal(append_as(&f, "request 1", 7, &r), 0);
		assert_true(r.repeated && r.version == 1);
		assert_int_equal(append_as(&f, "request 1", 0, &r), 0);
		assert_true(r.repeated && r.version == 1);
		assert_int_equal(append_as(&f, "request 2", 9, &r), 0);
		assert_true(r.repeated && r.version == 2);
		settle(&f);
		if (how % 2) {
			reopen(&f);
		} else {
			fixture_close(&f); /* with a checkpoint */
			fixture_open(&f);
		}
	}
	struct paste_store_stats stats;
	paste_store_stats(f.s, &stats);
	assert_int_equal(stats.entries, 2);
	fixture_end(&f);
}

static void conditions_are_not_asked_again(void **state)
{
	struct fixture f;

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 0);
	for (int i = 0; i < 2; i++) {
		add(&f, &call, PASTE_PUT, "k", 5, 80)->condition = PASTE_IF_ABSENT;
		assert_int_equal(apply(&f, &call, "once"), 0);
		assert_int_equal(call.result[0].repeated, i);
		assert_false(call.result[0].existed);
		call_end(&f, &call);
	}
	/* What was refused is not remembered. */
	add(&f, &call, PASTE_PUT, "k", 5, 80)->condition = PASTE_IF_ABSENT;
	assert_int_equal(apply(&f, &call, "other"), -EEXIST);
	assert_int_equal(apply(&f, &call, "other"), -EEXIST);
	call.change[0].condition = PASTE_ALWAYS;
	assert_int_equal(apply(&f, &call, "other"), 0);
	assert_false(call.result[0].repeated);
	assert_true(call.result[0].existed);
	assert_int_equal(apply(&f, &call, "other"), 0);
	assert_true(call.result[0].repeated && call.result[0].existed);
	call_end(&f, &call);
	/* A delete of nothing is remembered as such. */
	add(&f, &call, PASTE_DELETE, "none", 0, 0);
	assert_int_equal(apply(&f, &call, "delete"), 0);
	call_end(&f, &call);
	put_text(&f, "none", 1, 10);
	add(&f, &call, PASTE_DELETE, "none", 0, 0);
	assert_int_equal(apply(&f, &call, "delete"), 0);
	assert_true(call.result[0].repeated);
	assert_false(call.result[0].existed);
	call_end(&f, &call);
	expect_text(&f, "none", 1, 10);
	fixture_end(&f);
}

static void a_repeated_batch_has_all_its_results(void **state)
{
	struct fixture f;
	struct paste_result first[PASTE_RETRY_CHANGES_MAX];
	char key[24];

	fixture_begin(&f, SIM_FILE, 64 * MIB, 0, 0);
	put_text(&f, "key3", 1, 10);
	for (int again = 0; again < 3; again++) {
		for (int i = 0; i < PASTE_RETRY_CHANGES_MAX; i++) {
			snprintf(key, sizeof(key), "key%d", i);
			add(&f, &call, i % 4 == 2 ? PASTE_APPEND : PASTE_PUT, i % 4 == 2 ? "s" : key, 1, 20);
		}
		assert_int_equal(apply(&f, &call, "batch"), 0);
		if (again == 0)
			memcpy(first, call.result, sizeof(first));
		for (int i = 0; i < PASTE_RETRY_CHANGES_MAX; i++) {
			assert_int_equal(call.result[i].version, first[i].version);
			assert_int_equal(call.result[i].existed, first[i].existed);
			assert_int_equal(call.result[i].repeated, again > 0);
		}
		assert_true(first[3].existed && !first[4].existed && first[6].version == 2);
		call_end(&f, &call);
		if (again)
			fixture_close(&f);
		else
			settle(&f), fixture_crash(&f);
		fixture_open(&f);
	}
	for (int i = 0; i <= PASTE_RETRY_CHANGES_MAX; i++)
		add(&f, &call, PASTE_APPEND, "s", 1, 20);
	assert_int_equal(apply(&f, &call, "too many"), -EINVAL);
	call_end(&f, &call);
	fixture_end(&f);
}

static void retry_keys_have_their_limits(void **state)
{
	static char long_name[1025], long_key[300];
	struct fixture f;
	struct paste_store_stats stats;
	char retry[32];

	fixture_begin(&f, SIM_SHM, 2 * MIB, 0, 0);
	memset(long_name, 'n', 1024);
	memset(long_key, 'k', 299);
	struct paste_change change = {.type = PASTE_APPEND, .key = long_name, .key_length = 1024};
	struct paste_retry key = {.key = long_key, .length = 0};
	struct paste_result r;
	assert_int_equal(paste_store_apply(f.s, &change, 1, &key, &r), -EINVAL);
	key.length = 256;
	change.key_length = 10;
	assert_int_equal(paste_store_apply(f.s, &change, 1, &key, &r), -EINVAL);
	key.length = 255;
	change.key_length = 766;
	assert_int_equal(paste_store_apply(f.s, &change, 1, &key, &r), -EINVAL);
	change.key_length = 765;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(paste_store_apply(f.s, &change, 1, &key, &r), 0);
		assert_int_equal(r.version, 1);
		reopen(&f);
	}
	/* By room: 1/64 of the region; the oldest are forgotten first. */
	for (int i = 0; i < 2000; i++) {
		snprintf(retry, sizeof(retry), "request %d", i);
		assert_int_equal(append_once(&f, "s", retry).version, i + 1);
		turn(&f);
	}
	paste_store_stats(f.s, &stats);
	assert_true(stats.retry_bytes <= 2 * MIB / 64 && stats.retry_keys > 400 && stats.retry_keys < 2000);
	snprintf(retry, sizeof(retry), "request %d", (int)(2000 - stats.retry_keys));
	assert_true(append_once(&f, "s", retry).repeated);
	assert_int_equal(append_once(&f, "s", "request 0").version, 2001);
	/* By time, but never the last few. */
	paste_store_set_time(f.s, 1000);
	append_once(&f, "s", "at 1000");
	paste_store_set_time(f.s, 1000 + PASTE_RETRY_MS - 1);
	append_once(&f, "s", "just before a day is over");
	paste_store_stats(f.s, &stats);
	assert_int_equal(stats.retry_keys, PASTE_RETRY_KEYS_LEAST);
	for (uint32_t i = 2; i < PASTE_RETRY_KEYS_LEAST; i++) {
		snprintf(retry, sizeof(retry), "later %u", i);
		append_once(&f, "s", retry);
	}
	assert_true(append_once(&f, "s", "at 1000").repeated);
	paste_store_set_time(f.s, 1000 + PASTE_RETRY_MS);
	append_once(&f, "s", "a day is over");
	assert_false(append_once(&f, "s", "at 1000").repeated);
	reopen(&f);
	paste_store_stats(f.s, &stats);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_condition_that_does_not_hold_changes_nothing),
	    cmocka_unit_test(versions_never_come_back),
	    cmocka_unit_test(an_append_can_name_the_number_it_must_get),
	    cmocka_unit_test(several_changes_take_effect_together),
	    cmocka_unit_test(many_changes_stand_in_one_record_too),
	    cmocka_unit_test(one_condition_stops_them_all),
	    cmocka_unit_test(what_makes_no_sense_is_refused),
	    cmocka_unit_test(names_of_different_logs_are_refused),
	    cmocka_unit_test(a_full_region_refuses_the_whole_call),
	    cmocka_unit_test(a_call_happened_whole_or_not_at_all),
	    cmocka_unit_test(a_repeated_append_is_answered_like_the_first),
	    cmocka_unit_test(a_retry_key_of_another_call_is_refused),
	    cmocka_unit_test(conditions_are_not_asked_again),
	    cmocka_unit_test(a_repeated_batch_has_all_its_results),
	    cmocka_unit_test(retry_keys_have_their_limits),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
