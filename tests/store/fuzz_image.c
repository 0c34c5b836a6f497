/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fuzz/need.h"
#include "base/crc.h"
#include "media/sim.h"

/* Bounds on what one input may cost, however many keys it forges. */
#define KEYS_READ 3000
#define ENTRIES_READ 3000

static struct media *medium(uint8_t *image, bool read_only)
{
	struct sim_options o = {
	    .kind = SIM_SHM, .size = FUZZ_SIZE, .seed = 1, .memory = image, .read_only = read_only};
	struct media *m = sim_open(&o);

	NEED(m);
	return m;
}

/* In pieces, so that it is scattered. */
static int put(struct paste_store *s, const char *key, bool stream, uint32_t length, uint32_t piece)
{
	struct paste_region *r = paste_store_region(s);
	struct paste_ref slices[400];
	struct paste_result result;
	uint32_t n = 0;
	int ret = 0;

	while (length > 0 && n < 400) {
		uint32_t buffer, now = piece < length ? piece : length;
		ret = paste_buffer_alloc(r, &buffer);
		if (ret < 0)
			break;
		memset(paste_buffer_data(r, buffer), key[0], r->buffer_size);
		slices[n++] = (struct paste_ref){buffer, 0, (uint16_t)now};
		length -= now;
	}
	if (ret == 0)
		ret = stream ? paste_store_append(s, key, strlen(key), slices, n, &result)
			     : paste_store_put(s, key, strlen(key), slices, n, &result);
	for (uint32_t i = 0; i < n; i++)
		paste_ref_put(r, slices[i]);
	return ret;
}

static void turn(struct paste_store *s)
{
	int64_t round = paste_store_commit(s);

	if (round > 0)
		paste_store_wait(s, (uint64_t)round);
	paste_store_maintain(s, true);
}

static void work(struct paste_store *s, uint32_t from)
{
	struct paste_result result;
	char key[16];

	for (uint32_t i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "%c%u", 'a' + (char)(i % 7), from + i % 25);
		put(s, key, i % 5 == 0, i % 9 * 90, 200);
		if (i % 8 == 7)
			paste_store_delete(s, key, strlen(key), &result);
		if (i % 4 == 0)
			turn(s);
	}
	put(s, "scattered", false, 14000, 70);
	paste_store_trim(s, "a0", 2, 2, &result);
	turn(s);
}

const uint8_t *fuzz_image(void)
{
	static uint8_t *image;
	struct paste_store *s;

	if (image)
		return image;
	uint8_t *memory = aligned_alloc(4096, FUZZ_SIZE);
	NEED(memory);
	memset(memory, 0, FUZZ_SIZE);
	struct media *m = medium(memory, false);
	NEED(store_create_on(m, "fuzz", FUZZ_SIZE, 2048, 1, NULL) == 0);
	media_close(m);
	NEED(store_open_on(medium(memory, false), &s, NULL) == 0);
	work(s, 0);
	NEED(paste_store_close(s) == 0);
	NEED(store_open_on(medium(memory, false), &s, NULL) == 0);
	work(s, 10);
	store_abandon(s);
	image = memory;
	return image;
}

static void read_value(struct paste_store *s, const struct paste_value *v)
{
	volatile uint8_t sum = 0; /* the sanitizer looks on */

	for (uint64_t i = 0; v->bytes && i < v->length; i++)
		sum ^= ((const uint8_t *)v->bytes)[i];
	for (uint32_t i = 0; i < v->n; i++) {
		const uint8_t *p = paste_ref_data(paste_store_region(s), v->slices[i]);
		for (uint32_t k = 0; k < v->slices[i].length; k += 64)
			sum ^= p[k];
	}
	(void)sum;
	paste_value_put(s, v);
}

static void read_all(struct paste_store *s)
{
	uint8_t after[PASTE_KEY_MAX];
	struct paste_value v;
	const void *key;
	size_t n = 0;
	uint64_t length;

	for (int i = 0; i < KEYS_READ && paste_store_next(s, i ? after : NULL, n, &key, &n, &length) == 0;
	     i++) {
		memcpy(after, key, n);
		if (paste_store_get(s, after, n, &v) == 0)
			read_value(s, &v);
	}
	struct tree_cursor cursor;
	struct stream *st;
	int left = ENTRIES_READ;
	tree_cursor_start(&cursor, &s->streams, NULL, 0);
	while ((st = tree_cursor_next(&cursor))) {
		for (uint64_t i = stream_seek(st, 1); i < st->next && left-- > 0;
		     i = stream_seek(st, i + 1)) {
			if (paste_store_read(s, st->name, st->name_length, i, &v) == 0)
				read_value(s, &v);
		}
	}
}

static void write_some(uint8_t *image)
{
	struct paste_store *s;

	for (int life = 0; life < 2; life++) {
		if (store_open_on(medium(image, false), &s, NULL) < 0)
			return;
		work(s, 20);
		read_all(s);
		if (life == 0) {
			int ret = paste_store_close(s);
			NEED(ret <= 0);
			continue;
		}
		NEED(paste_store_check(s, NULL, NULL) >= 0);
		/* What was put last is there, whatever else is not. */
		struct paste_result result;
		struct paste_value v;
		uint32_t buffer;
		if (paste_buffer_alloc(s->r, &buffer) == 0) {
			struct paste_ref slice = {buffer, 0, 1000};
			memset(paste_buffer_data(s->r, buffer), 7, 2048);
			if (paste_store_put(s, "last", 4, &slice, 1, &result) == 0) {
				NEED(paste_store_get(s, "last", 4, &v) == 0 && v.length == 1000);
				paste_value_put(s, &v);
			}
			paste_buffer_put(s->r, buffer);
		}
		store_abandon(s);
	}
}

void fuzz_use(uint8_t *image, bool write)
{
	struct paste_store *s;

	if (store_open_on(medium(image, true), &s, NULL) == 0) {
		read_all(s);
		NEED(paste_store_check(s, NULL, NULL) >= 0);
		NEED(paste_store_close(s) == 0);
	}
	if (write)
		write_some(image);
}

void fuzz_seal_superblock(struct superblock *sb)
{
	sb->crc = 0;
	sb->crc = paste_crc(0, sb, sizeof(*sb));
}
