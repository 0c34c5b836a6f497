/* SPDX-License-Identifier: BSD-2-Clause */
/* A region is made larger: on files, and at each moment of it on a medium that loses what was not durable. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../media/scratch.h"
#include "paste/backup.h"

#define SMALL (1 * MIB)
#define LARGE (3 * MIB)

/* ------------------------------------------------------------------ crashes */

struct watch {
	uint8_t *image;
	enum sim_kind kind;
	uint32_t old, new, bad;
};

static void fill(struct fixture *f)
{
	char key[16];

	for (uint64_t i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "key%d", (int)i);
		put_text(f, key, i, 3000);
		assert_int_equal(append_value(f, "stream", i, 50, 0, NULL), 0);
	}
}

static void expect_filled(struct fixture *f)
{
	char key[16];

	for (uint64_t i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "key%d", (int)i);
		expect_text(f, key, i, 3000);
		expect_entry(f, "stream", i + 1, i, 50);
	}
}

static void look(void *arg, struct media *m, enum sim_event event)
{
	struct watch *w = arg;
	struct sim_crash *c = sim_crash_begin(m);
	struct sim_random random = sim_random(w->old + w->new);
	struct sim_image images[16];
	uint32_t n = sim_crash_plan(c, &random, images, 16);

	for (uint32_t i = 0; i < n; i++) {
		struct fixture f = {.kind = w->kind, .size = LARGE, .image = w->image};
		struct paste_store_stats stats;
		sim_crash_image(c, &images[i], w->image);
		fixture_open(&f);
		paste_store_stats(f.s, &stats);
		w->old += stats.size == SMALL;
		w->new += stats.size == LARGE;
		w->bad += stats.damage > 0; /* the copy that was being written */
		assert_true(stats.damage <= 1);
		assert_int_equal(stats.segments, (stats.size - AREA_START) / stats.segment_size);
		expect_filled(&f);
		fixture_crash(&f);
	}
	sim_crash_end(c);
}

static void at_each_moment_it_is_as_it_was_or_grown(void **state)
{
	static const enum sim_kind kinds[] = {SIM_ADR, SIM_FILE};

	for (int k = 0; k < 2; k++) {
		struct fixture f = {.kind = kinds[k], .size = LARGE, .seed = 1, .image = calloc(1, LARGE)};
		struct watch w = {.image = malloc(LARGE), .kind = kinds[k]};
		struct sim_options o = {.kind = kinds[k], .size = LARGE, .left = f.image};
		struct paste_error err = {{0}};
		assert_non_null(f.image);
		assert_non_null(w.image);
		struct media *m = sim_open(&o);
		assert_int_equal(store_create_on(m, "test", SMALL, 4096, 1, &err), 0);
		media_close(m);
		fixture_open(&f);
		fill(&f);
		settle(&f);
		if (k)
			fixture_close(&f);
		else
			fixture_crash(&f); /* it need not have been closed */
		o.image = f.image;
		m = sim_open(&o);
		sim_set_hook(m, look, &w);
		assert_int_equal(superblock_grow(m, SMALL, LARGE, &err), 0);
		look(&w, m, 0);
		sim_set_hook(m, NULL, NULL);
		assert_int_equal(superblock_grow(m, SMALL, LARGE + MIB, &err), -EAGAIN);
		media_close(m);
		assert_true(w.old > 2 && w.new > 2);
		assert_true(k == 0 || w.bad > 0);
		free(w.image);
		fixture_open(&f);
		expect_filled(&f);
		fixture_end(&f);
	}
}

/* ------------------------------------------------------------------ files */

static int put_bytes(struct paste_store *s, const char *key, size_t length)
{
	struct paste_region *r = paste_store_region(s);
	struct paste_ref ref[16];
	struct paste_result result;
	uint32_t n = 0;

	for (; length > 0 && n < 16; n++) {
		uint32_t buffer,
		    now = length < paste_buffer_size(r) ? (uint32_t)length : paste_buffer_size(r);
		if (paste_buffer_alloc(r, &buffer) < 0)
			break;
		memset(paste_buffer_data(r, buffer), key[0], now);
		ref[n] = (struct paste_ref){.buffer = buffer, .length = (uint16_t)now};
		length -= now;
	}
	int ret = length ? -ENOSPC : paste_store_put(s, key, strlen(key), ref, n, &result);
	while (n > 0)
		paste_ref_put(r, ref[--n]);
	return ret;
}

static uint32_t fill_file(struct paste_store *s, uint32_t from)
{
	char key[16];

	for (uint32_t i = from;; i++) {
		snprintf(key, sizeof(key), "%c%u", 'a' + i % 26, i);
		if (put_bytes(s, key, 20000) < 0)
			return i;
		assert_true(paste_store_maintain(s, true) >= 0);
		assert_true(paste_store_wait(s, (uint64_t)paste_store_commit(s)) >= 0);
	}
}

static void grow_on(const struct scratch *place)
{
	struct paste_create_options create = {.path = place->file, .size = 2 * MIB};
	struct paste_open_options open_options = {.path = place->file};
	struct paste_store_stats stats;
	struct paste_error err = {{0}};
	struct paste_store *s;

	assert_int_equal(paste_store_grow(place->file, 4 * MIB, &err), -ENOENT);
	assert_int_equal(paste_store_create(&create, &err), 0);
	assert_int_equal(paste_store_open(&open_options, &s, &err), 0);
	uint32_t before = fill_file(s, 0);
	assert_int_equal(paste_store_grow(place->file, 8 * MIB, &err), -EBUSY);
	assert_int_equal(paste_store_close(s), 0);
	assert_int_equal(paste_store_grow(place->file, 2 * MIB, &err), -EINVAL);
	assert_non_null(strstr(err.text, "can not shrink"));
	assert_int_equal(paste_store_grow(place->file, 2 * MIB + 4096, &err),
			 -EINVAL); /* not a segment more */
	/* The attempt left the file longer: no harm, and the next goes on. */
	assert_int_equal(paste_store_open(&open_options, &s, &err), 0);
	assert_int_equal(paste_store_close(s), 0);
	/* As if one was cut short in the middle, with anything in the new part. */
	int fd = open(place->file, O_WRONLY);
	assert_int_equal(ftruncate(fd, 5 * MIB), 0);
	assert_int_equal(pwrite(fd, "garbage", 7, 2 * MIB + 64 * KIB), 7);
	close(fd);
	assert_int_equal(paste_store_grow(place->file, 8 * MIB, &err), 0);
	struct stat st;
	assert_int_equal(stat(place->file, &st), 0);
	assert_int_equal(st.st_size, 8 * MIB);
	assert_true((uint64_t)st.st_blocks * 512 >= 8 * MIB);
	assert_int_equal(paste_store_open(&open_options, &s, &err), 0);
	paste_store_stats(s, &stats);
	assert_int_equal(stats.size, 8 * MIB);
	assert_int_equal(stats.damage, 0);
	assert_int_equal(stats.keys, before);
	assert_true(stats.clean);
	uint32_t after = fill_file(s, before);
	assert_true(after > 3 * before);
	assert_int_equal(paste_store_check(s, NULL, NULL), 0);
	assert_int_equal(paste_store_close(s), 0);
	assert_int_equal(paste_store_open(&open_options, &s, &err), 0);
	paste_store_stats(s, &stats);
	assert_int_equal(stats.keys, after);
	assert_int_equal(paste_store_check(s, NULL, NULL), 0);
	assert_int_equal(paste_store_close(s), 0);
}

static void a_region_on_tmpfs_grows(void **state)
{
	struct scratch place;
	const char *why = NULL;

	SCRATCH_OR_SKIP(scratch_tmpfs(&place, &why));
	grow_on(&place);
	scratch_remove(&place);
}

static void a_region_on_a_disk_grows(void **state)
{
	struct scratch place;
	const char *why = NULL;

	SCRATCH_OR_SKIP(scratch_disk(&place, &why));
	grow_on(&place);
	scratch_remove(&place);
}

static void a_full_file_system_leaves_the_region_as_it_was(void **state)
{
	struct scratch place;
	const char *why = NULL;
	struct paste_store *s;
	struct paste_error err = {{0}};

	SCRATCH_OR_SKIP(scratch_mount(&place, "tmpfs", "size=4m", &why));
	struct paste_create_options create = {.path = place.file, .size = 2 * MIB};
	struct paste_open_options open_options = {.path = place.file};
	assert_int_equal(paste_store_create(&create, &err), 0);
	assert_int_equal(paste_store_grow(place.file, 8 * MIB, &err), -ENOSPC);
	assert_int_equal(paste_store_open(&open_options, &s, &err), 0);
	assert_int_equal(paste_store_close(s), 0);
	assert_int_equal(paste_store_grow(place.file, 3 * MIB, &err), 0);
	scratch_remove(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(at_each_moment_it_is_as_it_was_or_grown),
	    cmocka_unit_test(a_region_on_tmpfs_grows),
	    cmocka_unit_test(a_region_on_a_disk_grows),
	    cmocka_unit_test(a_full_file_system_leaves_the_region_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
