/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes of the medium that are lost, as the kernel tells of persistent memory: whatever page it is, the region opens,
 * what was in it is named and refused, everything else is served, and nobody loads from it or stores to it: here it is
 * a page without any rights.
 */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE (1 * MIB)
#define LOST 4096u
#define KEYS 60u

struct lost_page {
	uint8_t *memory, *image;
	struct media *m;
	struct paste_store *s;
};

/* -errno of the opening. page: 0 to SIZE / LOST - 1, or UINT32_MAX for none. */
static int lost_open(struct lost_page *l, uint32_t page)
{
	struct sim_options o = {.kind = SIM_ADR, .size = SIZE, .memory = l->memory, .image = l->image, .left = l->image};
	struct paste_error err;

	l->m = sim_open(&o);
	assert_non_null(l->m);
	if (page != UINT32_MAX) {
		l->m->bad.range = malloc(sizeof(struct media_range));
		l->m->bad.range[0] = (struct media_range){(uint64_t)page * LOST, LOST};
		l->m->bad.n = 1;
		assert_int_equal(mprotect(l->memory + (size_t)page * LOST, LOST, PROT_NONE), 0);
	}
	struct paste_open_options options = {0};
	return store_open_with(l->m, &options, &l->s, &err);
}

static void lost_close(struct lost_page *l)
{
	assert_int_equal(paste_store_close(l->s), 0);
	assert_int_equal(mprotect(l->memory, SIZE, PROT_READ | PROT_WRITE), 0);
}

static void value_of(uint32_t key, uint8_t *bytes, size_t *n)
{
	*n = key % 3 == 0 ? 40 : key % 3 == 1 ? 300 : 5000;
	fill_bytes(key, bytes, *n);
}

static int put(struct paste_store *s, uint32_t key)
{
	struct paste_region *r = paste_store_region(s);
	struct paste_ref slice[4];
	struct paste_result result;
	uint8_t bytes[5000];
	char name[16];
	size_t n;
	uint32_t k = 0;

	value_of(key, bytes, &n);
	for (size_t done = 0; done < n; k++) {
		uint32_t buffer, part = n - done < 2048 ? (uint32_t)(n - done) : 2048;
		assert_int_equal(paste_buffer_alloc(r, &buffer), 0);
		memcpy(paste_buffer_data(r, buffer), bytes + done, part);
		slice[k] = (struct paste_ref){buffer, 0, (uint16_t)part};
		done += part;
	}
	int ret = paste_store_put(s, name, (size_t)sprintf(name, "key %u", key), slice, k, &result);
	while (k > 0)
		paste_ref_put(r, slice[--k]);
	assert_true(paste_store_commit(s) >= 0 && paste_store_poll(s) >= 0);
	return ret;
}

/* The right bytes (0), or what reading it says. */
static int get(struct paste_store *s, uint32_t key)
{
	struct paste_value value;
	uint8_t bytes[5000];
	char name[16];
	size_t n, done = 0;

	int ret = paste_store_get(s, name, (size_t)sprintf(name, "key %u", key), &value);
	if (ret < 0)
		return ret;
	value_of(key, bytes, &n);
	assert_int_equal(value.length, n);
	if (value.bytes)
		assert_memory_equal(value.bytes, bytes, n);
	for (uint32_t i = 0; i < value.n; i++) {
		assert_memory_equal(paste_ref_data(paste_store_region(s), value.slices[i]), bytes + done,
				    value.slices[i].length);
		done += value.slices[i].length;
	}
	paste_value_put(s, &value);
	return 0;
}

static void count_lost(void *arg, const struct paste_damage *d)
{
	*(unsigned *)arg += strstr(d->what, "cannot be read") != NULL;
}

static void expect_rest(struct lost_page *l, uint32_t page, bool crashed, unsigned *refused)
{
	unsigned named = 0, bad = 0;

	for (uint32_t key = 0; key < KEYS; key++) {
		int ret = get(l->s, key);
		/* What is torn off with the end of the log cannot be told from what never was. */
		if (ret && ret != -EBADMSG && !(crashed && ret == -ENOENT))
			fail_msg("page %u: key %u: %d", page, key, ret);
		bad += ret != 0;
	}
	*refused = bad;
	int64_t damage = paste_store_check(l->s, count_lost, &named);
	assert_int_equal(named, 1);
	/* The page and what was in it, and no more than that. */
	assert_in_range(damage, 1, 40);
}

/* Nobody is given a buffer of the page, also when the log and the checkpoint that were there are superseded. */
static void expect_not_handed_out(struct lost_page *l, uint32_t page)
{
	struct paste_region *r = paste_store_region(l->s);
	uint32_t *buffer = calloc(r->buffers, sizeof(*buffer)), n = 0;
	uint64_t from = (uint64_t)page * LOST, to = from + LOST;

	assert_int_equal(space_checkpoint(l->s), 0);
	for (int i = 0; i < 20; i++) {
		assert_true(paste_store_maintain(l->s, true) >= 0);
		assert_true(paste_store_commit(l->s) >= 0 && paste_store_poll(l->s) >= 0);
	}
	while (paste_buffer_alloc(r, &buffer[n]) == 0) {
		uint64_t offset = AREA_START + (uint64_t)buffer[n] * r->buffer_size;
		assert_true(offset + r->buffer_size <= from || offset >= to);
		n++;
	}
	assert_true(n > r->buffers / 4);
	while (n > 0)
		paste_buffer_put(r, buffer[--n]);
	free(buffer);
}

/* All keys in a new region, and it is open. */
static void lost_fill(struct lost_page *l)
{
	struct paste_error err;

	l->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(l->memory != MAP_FAILED);
	struct sim_options o = {.kind = SIM_ADR, .size = SIZE, .memory = l->memory, .left = l->image};
	struct media *m = sim_open(&o);
	assert_int_equal(store_create_on(m, "test", SIZE, 2048, 1, &err), 0);
	media_close(m);
	assert_int_equal(lost_open(l, UINT32_MAX), 0);
	for (uint32_t key = 0; key < KEYS; key++)
		assert_int_equal(put(l->s, key), 0);
}

static void lose_each_page(bool crashed)
{
	struct lost_page l = {.image = calloc(1, SIZE)};
	unsigned unhurt = 0;

	lost_fill(&l);
	if (crashed)
		store_abandon(l.s);
	else
		lost_close(&l);
	uint8_t *before = malloc(SIZE);
	memcpy(before, l.image, SIZE);
	for (uint32_t page = 0; page < SIZE / LOST; page++) {
		unsigned refused, again;
		memcpy(l.image, before, SIZE);
		assert_int_equal(lost_open(&l, page), 0);
		expect_rest(&l, page, crashed, &refused);
		unhurt += refused == 0;
		/* Writing goes on, around it. */
		for (uint32_t key = KEYS; key < KEYS + 30; key++)
			assert_int_equal(put(l.s, key), 0);
		expect_not_handed_out(&l, page);
		lost_close(&l);
		assert_int_equal(lost_open(&l, page), 0);
		expect_rest(&l, page, crashed, &again);
		assert_int_equal(again, refused);
		for (uint32_t key = KEYS; key < KEYS + 30; key++)
			assert_int_equal(get(l.s, key), 0);
		lost_close(&l);
	}
	/* Most of the region is free, or holds other things. */
	assert_in_range(unhurt, SIZE / LOST / 2, SIZE / LOST - 1);
	free(before);
	free(l.image);
	munmap(l.memory, SIZE);
}

static void whatever_page_is_lost_the_rest_is_served(void **state)
{
	lose_each_page(false);
}

static void the_same_after_a_crash(void **state)
{
	lose_each_page(true);
}

/* A page goes while the region is open, and nobody has said so: a load from it is answered with SIGBUS. Here it is a page
 * of a file that has none. */
static void lose_now(struct lost_page *l, uint32_t page, uint8_t *kept)
{
	uint8_t *at = l->memory + (size_t)page * LOST;
	int nothing = memfd_create("nothing", MFD_CLOEXEC);

	memcpy(kept, at, LOST);
	assert_true(nothing >= 0);
	assert_true(mmap(at, LOST, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, nothing, 0) == at);
	close(nothing);
}

static void find_again(struct lost_page *l, uint32_t page, const uint8_t *kept)
{
	uint8_t *at = l->memory + (size_t)page * LOST;

	assert_true(mmap(at, LOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	memcpy(at, kept, LOST);
}

static void what_is_lost_while_it_is_open_is_refused_and_named(void **state)
{
	struct lost_page l = {.image = calloc(1, SIZE)};
	uint8_t kept[LOST];
	unsigned refused = 0, named = 0;

	lost_fill(&l);
	assert_int_equal(probe_install(), 0);
	l.m->mapped = true;
	for (uint32_t page = 0; page < SIZE / LOST; page++) {
		unsigned ignored = 0, bad = 0;
		lose_now(&l, page, kept);
		for (uint32_t key = 0; key < KEYS; key++) {
			int ret = get(l.s, key);
			assert_true(ret == 0 || ret == -EBADMSG);
			bad += ret != 0;
		}
		int64_t damage = paste_store_check(l.s, count_lost, &ignored);
		assert_true(damage >= bad); /* each of them, and the records around them */
		refused += bad;
		named += damage > 0;
		find_again(&l, page, kept);
	}
	assert_in_range(refused, KEYS, 3 * KEYS); /* each once at least; large values lie in a few pages */
	assert_in_range(named, 10, SIZE / LOST - 1);
	for (uint32_t key = 0; key < KEYS; key++)
		assert_int_equal(get(l.s, key), 0);
	l.m->mapped = false;
	lost_close(&l);
	free(l.image);
	munmap(l.memory, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whatever_page_is_lost_the_rest_is_served),
	    cmocka_unit_test(the_same_after_a_crash),
	    cmocka_unit_test(what_is_lost_while_it_is_open_is_refused_and_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
