/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random work beside a model in memory: every answer must be the model's, before and after each reopening.
 * From a seed; a failure prints the step, so that it can be run again.
 */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "paste/change.h"

#define KEYS 600
#define STREAMS 8
#define ENTRIES 4096

struct model_value {
	uint64_t seed; /* 0: absent */
	uint32_t length;
	uint64_t version;
	uint64_t expires; /* in steps, which are the time; 0: never */
};

struct model_stream {
	uint64_t first, next;
	struct model_value entry[ENTRIES]; /* by number modulo ENTRIES */
};

struct model {
	struct model_value key[KEYS];
	struct model_stream stream[STREAMS];
	uint64_t entries;
	uint64_t together, repeated, stopped; /* calls: of several changes, made again, that a condition stopped */
	uint64_t refused, checkpoints, cleaned;
};

struct work {
	struct fixture f;
	struct model *m;
	struct sim_random random;
	uint32_t length_max;
	uint64_t step;
};

static size_t key_name(char *to, uint32_t i)
{
	/* Some long, so that the index in a checkpoint is larger than its pages like. */
	if (i % 97 == 0) {
		memset(to, 'a' + (int)(i % 26), 1000);
		return 1000 + (size_t)snprintf(to + 1000, 16, "%u", i);
	}
	return (size_t)snprintf(to, 16, "key/%u", i);
}

static uint32_t draw_length(struct work *w)
{
	static const uint32_t most[] = {8, 64, 80, 512, 600, 3000, 12000};
	uint32_t class = (uint32_t)sim_below(&w->random, 8);

	return (uint32_t)sim_below(&w->random, 1 + (class < 7 ? most[class] : w->length_max));
}

static uint32_t draw_piece(struct work *w)
{
	static const uint32_t pieces[] = {0, 0, 1448, 700, 100};

	return pieces[sim_below(&w->random, 5)];
}

static bool there(const struct work *w, const struct model_value *v)
{
	return v->seed && !(v->expires && v->expires <= w->step);
}

static void work_put(struct work *w)
{
	char key[1100];
	uint32_t i = (uint32_t)sim_below(&w->random, KEYS), length = draw_length(w);
	struct model_value *v = &w->m->key[i];
	struct paste_result result;
	size_t n = key_name(key, i);

	int ret = put_value(&w->f, key, n, w->step, length, draw_piece(w), &result);
	if (ret == -ENOSPC || ret == -ENOBUFS) {
		w->m->refused++;
		return;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(result.existed, there(w, v));
	assert_true(result.version > v->version);
	*v = (struct model_value){w->step, length, result.version, 0};
}

static void work_delete(struct work *w)
{
	char key[1100];
	uint32_t i = (uint32_t)sim_below(&w->random, KEYS);
	struct model_value *v = &w->m->key[i];
	struct paste_result result;

	assert_int_equal(paste_store_delete(w->f.s, key, key_name(key, i), &result), 0);
	assert_int_equal(result.existed, there(w, v));
	v->seed = 0;
	if (result.version > v->version)
		v->version = result.version;
}

static void check_key(struct work *w, uint32_t i)
{
	char key[1100];
	const struct model_value *v = &w->m->key[i];
	struct paste_value found;
	size_t n = key_name(key, i);

	if (there(w, v))
		expect_key(&w->f, key, n, v->seed, v->length);
	else
		assert_int_equal(paste_store_get(w->f.s, key, n, &found), -ENOENT);
}

static void work_append(struct work *w)
{
	uint32_t i = (uint32_t)sim_below(&w->random, STREAMS), length = draw_length(w) / 4;
	struct model_stream *st = &w->m->stream[i];
	struct paste_result result;
	char name[16];

	if (st->next - st->first >= ENTRIES)
		return;
	snprintf(name, sizeof(name), "stream%u", i);
	int ret = append_value(&w->f, name, w->step, length, draw_piece(w), &result);
	if (ret == -ENOSPC || ret == -ENOBUFS) {
		w->m->refused++;
		return;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(result.version, st->next);
	st->entry[st->next++ % ENTRIES] = (struct model_value){w->step, length, 0, 0};
	w->m->entries++;
}

#define TOGETHER 50

/* Changes of one call: what they are to change, and what they found. */
struct together {
	struct paste_change change[TOGETHER];
	struct paste_result result[TOGETHER];
	struct landing landing[TOGETHER];
	char name[TOGETHER][1100];
	uint32_t index[TOGETHER], length[TOGETHER], n;
};

static bool named_already(const struct together *t, uint32_t key)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->change[i].type != PASTE_APPEND && t->index[i] == key)
			return true;
	return false;
}

/* One more change with a value; false: no buffers. */
static bool together_add(struct work *w, struct together *t)
{
	struct paste_change *c = &t->change[t->n];
	uint32_t what = (uint32_t)sim_below(&w->random, 8), length = draw_length(w) / 4;
	bool stream = what < 2;
	uint32_t i = (uint32_t)sim_below(&w->random, stream ? STREAMS : KEYS);
	uint8_t *bytes = malloc(length + 1);

	assert_non_null(bytes);
	fill_bytes(w->step + 1000000ull * (t->n + 1), bytes, length);
	bool landed = land(&w->f, bytes, length, draw_piece(w), &t->landing[t->n]);
	free(bytes);
	if (!landed)
		return false;
	if (stream && w->m->stream[i].next + TOGETHER - w->m->stream[i].first >= ENTRIES)
		stream = false;
	if (!stream && named_already(t, i)) {
		land_put(&w->f, &t->landing[t->n]);
		return true;
	}
	*c = (struct paste_change){.type = stream ? PASTE_APPEND : what == 2 ? PASTE_DELETE : PASTE_PUT, .key = t->name[t->n]};
	c->key_length = stream ? (size_t)snprintf(t->name[t->n], 16, "stream%u", i) : key_name(t->name[t->n], i);
	if (c->type == PASTE_PUT && sim_chance(&w->random, 3))
		c->expires = w->step + sim_below(&w->random, 5000);
	c->slices = t->landing[t->n].slices;
	c->n = t->landing[t->n].n;
	t->index[t->n] = i;
	t->length[t->n++] = length;
	return true;
}

/* Sometimes a condition on one of them; what it makes of the call. */
static int draw_condition(struct work *w, struct together *t)
{
	struct paste_change *c = &t->change[sim_below(&w->random, t->n)];
	const struct model_value *v = &w->m->key[t->index[c - t->change]];
	uint64_t next = w->m->stream[t->index[c - t->change] % STREAMS].next;
	bool append = c->type == PASTE_APPEND, present = append ? next > 1 : there(w, v);

	c->condition = (enum paste_condition)sim_below(&w->random, append ? 4 : 5);
	c->expected = append ? next : v->version;
	if (c->condition == PASTE_IF_ABSENT)
		return present ? -EEXIST : 0;
	if (c->condition == PASTE_IF_PRESENT || (c->condition == PASTE_IF_VERSION && !append))
		return present ? 0 : -ENOENT;
	return c->condition == PASTE_IF_NOT_VERSION && present ? -ESTALE : 0;
}

static void together_done(struct work *w, const struct together *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		const struct paste_result *r = &t->result[i];
		struct model_value value = {w->step + 1000000ull * (i + 1), t->length[i], r->version, t->change[i].expires};
		if (t->change[i].type == PASTE_APPEND) {
			struct model_stream *st = &w->m->stream[t->index[i]];
			assert_int_equal(r->version, st->next);
			st->entry[st->next++ % ENTRIES] = value;
			w->m->entries++;
			continue;
		}
		struct model_value *v = &w->m->key[t->index[i]];
		assert_int_equal(r->existed, there(w, v));
		if (t->change[i].type == PASTE_DELETE) {
			v->seed = 0;
			continue;
		}
		assert_true(r->version > v->version);
		*v = value;
	}
}

/* Several changes at once, sometimes with a retry key, and then made again. */
static void work_together(struct work *w)
{
	struct together *t = calloc(1, sizeof(*t));
	uint32_t wanted = (uint32_t)(sim_chance(&w->random, 4) ? sim_between(&w->random, 33, TOGETHER)
							       : sim_between(&w->random, 1, 8));
	struct paste_retry retry = {.key = &w->step, .length = sizeof(w->step)};
	bool again = sim_chance(&w->random, 3);

	assert_non_null(t);
	while (t->n < wanted && together_add(w, t))
		;
	int expected = t->n && sim_chance(&w->random, 2) ? draw_condition(w, t) : 0;
	/* A call of one change is known by its name, too, which is not to be too long with it. */
	again = again && (t->n > 1 || (t->n && t->change[0].key_length < 1000));
	int ret = t->n ? paste_store_apply(w->f.s, t->change, t->n, again ? &retry : NULL, t->result) : -ENOSPC;
	if (ret == 0) {
		assert_int_equal(expected, 0);
		together_done(w, t);
		w->m->together += t->n > 1;
	} else if (ret == -ENOSPC || ret == -EXDEV || ret == -EFBIG) {
		w->m->refused += ret == -ENOSPC;
	} else {
		assert_int_equal(ret, expected);
		w->m->stopped++;
	}
	if (ret == 0 && again) {
		struct paste_result first = t->result[t->n - 1];
		assert_int_equal(paste_store_apply(w->f.s, t->change, t->n, &retry, t->result), 0);
		assert_true(t->result[t->n - 1].repeated && t->result[t->n - 1].version == first.version);
		w->m->repeated++;
	}
	for (uint32_t i = 0; i <= t->n && i < TOGETHER; i++)
		land_put(&w->f, &t->landing[i]);
	free(t);
}


static void work_trim(struct work *w)
{
	uint32_t i = (uint32_t)sim_below(&w->random, STREAMS);
	struct model_stream *st = &w->m->stream[i];
	struct paste_result result;
	char name[16];

	snprintf(name, sizeof(name), "stream%u", i);
	uint64_t before = st->first + sim_below(&w->random, st->next - st->first + 3);
	int ret = paste_store_trim(w->f.s, name, strlen(name), before, &result);
	if (st->next == 1) {
		assert_int_equal(ret, -ENOENT);
		return;
	}
	assert_int_equal(ret, 0);
	if (before > st->next)
		before = st->next;
	w->m->entries -= before - st->first;
	st->first = before;
}

static void check_stream(struct work *w, uint32_t i)
{
	const struct model_stream *st = &w->m->stream[i];
	uint64_t first, next, round;
	char name[16];

	snprintf(name, sizeof(name), "stream%u", i);
	int ret = paste_store_stream(w->f.s, name, strlen(name), &first, &next, &round);
	assert_int_equal(ret, st->next > 1 ? 0 : -ENOENT);
	if (ret < 0)
		return;
	assert_int_equal(first, st->first);
	assert_int_equal(next, st->next);
	for (uint64_t e = first; e < next; e++)
		expect_entry(&w->f, name, e, st->entry[e % ENTRIES].seed, st->entry[e % ENTRIES].length);
}

static void check_all(struct work *w)
{
	for (uint32_t i = 0; i < KEYS; i++)
		check_key(w, i);
	for (uint32_t i = 0; i < STREAMS; i++)
		check_stream(w, i);
	/* What has expired is deleted in time. */
	while (expiry_due(w->f.s) || w->f.s->expiry.active)
		assert_true(paste_store_maintain(w->f.s, true) >= 0);
	uint64_t keys = 0;
	for (uint32_t i = 0; i < KEYS; i++)
		keys += there(w, &w->m->key[i]);
	assert_int_equal(w->f.s->live_keys, keys);
	assert_int_equal(w->f.s->entries, w->m->entries);
	fixture_prove(&w->f);
}

static void reopen(struct work *w)
{
	w->m->checkpoints += w->f.s->c.checkpoints;
	w->m->cleaned += w->f.s->c.cleaned_bytes;
	if (sim_chance(&w->random, 2)) {
		fixture_close(&w->f);
	} else {
		assert_true(paste_store_wait(w->f.s, (uint64_t)paste_store_commit(w->f.s)) >= 0);
		fixture_crash(&w->f);
	}
	fixture_open(&w->f);
	paste_store_set_time(w->f.s, w->step);
	check_all(w);
}

static void one_step(struct work *w)
{
	uint64_t what = sim_below(&w->random, 64);

	w->step++;
	paste_store_set_time(w->f.s, w->step);
	if (what < 20)
		work_put(w);
	else if (what < 24)
		work_together(w);
	else if (what < 30)
		work_delete(w);
	else if (what < 40)
		check_key(w, (uint32_t)sim_below(&w->random, KEYS));
	else if (what < 50)
		work_append(w);
	else if (what < 52)
		work_trim(w);
	else if (what < 62)
		turn(&w->f);
	else
		assert_true(paste_store_maintain(w->f.s, true) >= 0);
}

struct course {
	enum sim_kind kind;
	uint64_t size;
	uint32_t buffer_size, logs, length_max, steps, reopen_every;
};

static void run_course(const struct course *c, uint64_t seed)
{
	struct work w = {
	    .m = calloc(1, sizeof(*w.m)), .random = sim_random(seed), .length_max = c->length_max};

	for (uint32_t i = 0; i < STREAMS; i++)
		w.m->stream[i].first = w.m->stream[i].next = 1;
	fixture_begin(&w.f, c->kind, c->size, c->buffer_size, c->logs);
	while (w.step < c->steps) {
		one_step(&w);
		if (w.step % c->reopen_every == 0)
			reopen(&w);
	}
	print_message("%s, %llu MiB, %u logs: %u steps, %llu refused, %llu checkpoints, %llu bytes cleaned\n",
		      sim_kind_name(c->kind), (unsigned long long)(c->size / MIB), c->logs, c->steps,
		      (unsigned long long)w.m->refused, (unsigned long long)w.m->checkpoints,
		      (unsigned long long)w.m->cleaned);
	assert_true(w.m->together > 0 && w.m->repeated > 0 && w.m->stopped > 0);
	check_all(&w);
	fixture_end(&w.f);
	free(w.m);
}

static void random_work_agrees_with_the_model(void **state)
{
	static const struct course courses[] = {
	    {SIM_SHM, 16 * MIB, 2048, 1, 40000, 100000, 10000},
	    {SIM_SHM, 4 * MIB, 2048, 1, 50000, 60000, 6000}, /* mostly full */
	    {SIM_SHM, 1 * MIB, 2048, 1, 20000, 20000, 2000}, /* the smallest */
	    {SIM_FILE, 16 * MIB, 4096, 1, 40000, 40000, 5000},
	    {SIM_FILE, 2 * MIB, 4096, 1, 20000, 20000, 5000},
	    {SIM_ADR, 8 * MIB, 4096, 2, 90000, 30000, 5000},
	    {SIM_FILE, 8 * MIB, 4096, 3, 60000, 20000, 5000},
	};
	const char *more = getenv("MODEL_SEED");

	for (size_t i = 0; i < sizeof(courses) / sizeof(courses[0]); i++)
		run_course(&courses[i], more ? strtoull(more, NULL, 0) : 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_work_agrees_with_the_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
