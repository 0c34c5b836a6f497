/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "media/sim_block.h"

int fixture_try_open(struct fixture *f, bool read_only)
{
	struct paste_error err = {{0}};
	struct sim_options o = {
	    .kind = f->kind,
	    .size = f->size,
	    .seed = f->seed++,
	    .image = f->image,
	    .floor = f->floor,
	    .left = f->image,
	    .read_only = read_only,
	};

	f->m = sim_open(&o);
	assert_non_null(f->m);
	int ret = store_open_with(f->m, &f->options, &f->s, &err);
	if (ret < 0) {
		assert_true(err.text[0] != 0);
		f->s = NULL;
		f->m = NULL;
		return ret;
	}
	f->r = paste_store_region(f->s);
	return 0;
}

void fixture_open(struct fixture *f)
{
	assert_int_equal(fixture_try_open(f, false), 0);
}

void fixture_begin(struct fixture *f, enum sim_kind kind, uint64_t size, uint32_t buffer_size, uint32_t logs)
{
	struct paste_error err = {{0}};

	*f = (struct fixture){.kind = kind, .size = size, .seed = 1};
	f->image = memset(sim_block(size), 0, size);
	struct sim_options o = {.kind = kind, .size = size, .seed = f->seed++, .left = f->image};
	struct media *m = sim_open(&o);
	assert_non_null(m);
	int ret = store_create_on(m, "test", size, buffer_size, logs, &err);
	if (ret < 0)
		fail_msg("create: %s", err.text);
	media_close(m);
	fixture_open(f);
}

void fixture_close(struct fixture *f)
{
	assert_int_equal(paste_store_close(f->s), 0);
	f->s = NULL;
}

void fixture_crash(struct fixture *f)
{
	store_abandon(f->s);
	f->s = NULL;
}

static void print_damage(void *arg, const struct paste_damage *d)
{
	if (!d->repaired)
		print_message("at %llu: %s\n", (unsigned long long)d->offset, d->what);
}

int64_t check_quietly(struct fixture *f)
{
	return paste_store_check(f->s, NULL, NULL);
}

void fixture_prove(struct fixture *f)
{
	int64_t bad = paste_store_check(f->s, f->damage_expected ? NULL : print_damage, NULL);
	assert_int_equal(bad, f->damage_expected);
	for (uint32_t b = 0; b < f->r->buffers; b++)
		assert_int_equal(f->r->buffer[b].users, 0);
}

void fixture_end(struct fixture *f)
{
	if (!f->s)
		fixture_open(f);
	settle(f);
	fixture_prove(f);
	uint64_t keys = f->s->live_keys, entries = f->s->entries, bytes = f->s->live_bytes;
	fixture_close(f);
	fixture_open(f);
	fixture_prove(f);
	assert_int_equal(f->s->live_keys, keys);
	assert_int_equal(f->s->entries, entries);
	assert_int_equal(f->s->live_bytes, bytes);
	fixture_crash(f);
	sim_block_put(f->image, f->size);
}

void settle(struct fixture *f)
{
	for (int i = 0; i < 8; i++) {
		int64_t round = paste_store_commit(f->s);
		assert_true(round >= 0);
		assert_true(paste_store_wait(f->s, (uint64_t)round) >= round);
		int more = paste_store_maintain(f->s, true);
		assert_true(more >= 0);
	}
}

void turn(struct fixture *f)
{
	assert_true(paste_store_maintain(f->s, false) >= 0);
	assert_true(paste_store_commit(f->s) >= 0);
	assert_true(paste_store_poll(f->s) >= 0);
}

void fill_bytes(uint64_t seed, uint8_t *bytes, size_t n)
{
	struct sim_random random = sim_random(seed * 2654435761u + n);

	sim_fill(&random, bytes, n);
}

/* A receive ring does not wait for ever: upkeep has many rounds to make room. */
static bool buffer_take(struct fixture *f, uint32_t *buffer)
{
	for (int i = 0; i < 1000; i++) {
		if (paste_buffer_alloc(f->r, buffer) == 0)
			return true;
		turn(f);
	}
	return false;
}

bool land(struct fixture *f, const uint8_t *bytes, size_t n, uint32_t piece, struct landing *l)
{
	uint32_t size = f->r->buffer_size, room = 0;
	uint64_t turns = n;

	*l = (struct landing){0};
	for (size_t done = 0; done < n;) {
		uint32_t buffer, now = piece ? piece : size;
		if (now > n - done)
			now = (uint32_t)(n - done);
		uint32_t offset = (uint32_t)(turns++ * 61 % (size - now + 1));
		if (!buffer_take(f, &buffer)) {
			land_put(f, l);
			return false;
		}
		uint8_t *p = paste_buffer_data(f->r, buffer);
		memset(p, 0xee, size); /* headers and whatever else a packet has */
		memcpy(p + offset, bytes + done, now);
		if (l->n == room) {
			room = room ? 2 * room : 64;
			l->slices = realloc(l->slices, room * sizeof(*l->slices));
			assert_non_null(l->slices);
		}
		l->slices[l->n++] =
		    (struct paste_ref){.buffer = buffer, .offset = (uint16_t)offset, .length = (uint16_t)now};
		done += now;
	}
	return true;
}

void land_put(struct fixture *f, struct landing *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		paste_ref_put(f->r, l->slices[i]);
	free(l->slices);
	*l = (struct landing){0};
}

int put_value(struct fixture *f, const void *key, size_t key_length, uint64_t seed, size_t length,
	      uint32_t piece, struct paste_result *result)
{
	uint8_t *bytes = malloc(length + 1);
	struct paste_result unused;
	struct landing l;

	assert_non_null(bytes);
	fill_bytes(seed, bytes, length);
	bool landed = land(f, bytes, length, piece, &l);
	free(bytes);
	if (!landed)
		return -ENOBUFS;
	int ret = paste_store_put(f->s, key, key_length, l.slices, l.n, result ? result : &unused);
	land_put(f, &l);
	return ret;
}

int append_value(struct fixture *f, const char *name, uint64_t seed, size_t length, uint32_t piece,
		 struct paste_result *result)
{
	uint8_t *bytes = malloc(length + 1);
	struct paste_result unused;
	struct landing l;

	assert_non_null(bytes);
	fill_bytes(seed, bytes, length);
	bool landed = land(f, bytes, length, piece, &l);
	free(bytes);
	if (!landed)
		return -ENOBUFS;
	int ret = paste_store_append(f->s, name, strlen(name), l.slices, l.n, result ? result : &unused);
	land_put(f, &l);
	return ret;
}

void put_text(struct fixture *f, const char *key, uint64_t seed, size_t length)
{
	assert_int_equal(put_value(f, key, strlen(key), seed, length, 0, NULL), 0);
}

void delete_text(struct fixture *f, const char *key)
{
	struct paste_result result;

	assert_int_equal(paste_store_delete(f->s, key, strlen(key), &result), 0);
}

static void expect_bytes(struct fixture *f, const struct paste_value *v, uint64_t seed, size_t length)
{
	uint8_t *bytes = malloc(length + 1);
	size_t done = 0;

	assert_non_null(bytes);
	fill_bytes(seed, bytes, length);
	assert_int_equal(v->length, length);
	if (v->bytes) {
		assert_memory_equal(v->bytes, bytes, length);
		done = length;
	}
	for (uint32_t i = 0; i < v->n; i++) {
		assert_true(v->slices[i].length <= length - done);
		assert_true(memcmp(paste_ref_data(f->r, v->slices[i]), bytes + done, v->slices[i].length) ==
			    0);
		done += v->slices[i].length;
	}
	assert_int_equal(done, length);
	free(bytes);
	paste_value_put(f->s, v);
}

void expect_key(struct fixture *f, const void *key, size_t key_length, uint64_t seed, size_t length)
{
	struct paste_value v;

	assert_int_equal(paste_store_get(f->s, key, key_length, &v), 0);
	expect_bytes(f, &v, seed, length);
}

void expect_text(struct fixture *f, const char *key, uint64_t seed, size_t length)
{
	expect_key(f, key, strlen(key), seed, length);
}

int get_status(struct fixture *f, const char *key)
{
	struct paste_value v;
	int ret = paste_store_get(f->s, key, strlen(key), &v);

	if (ret == 0)
		paste_value_put(f->s, &v);
	return ret;
}

void expect_entry(struct fixture *f, const char *name, uint64_t sequence, uint64_t seed, size_t length)
{
	struct paste_value v;

	assert_int_equal(paste_store_read(f->s, name, strlen(name), sequence, &v), 0);
	assert_int_equal(v.version, sequence);
	expect_bytes(f, &v, seed, length);
}
