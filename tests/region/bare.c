/* SPDX-License-Identifier: BSD-2-Clause */
#include "bare.h"

static struct media *medium(struct bare *b)
{
	struct sim_options o = {
	    .kind = b->kind, .size = b->size, .seed = b->seed++, .image = b->image, .left = b->image};
	struct media *m = sim_open(&o);

	assert_non_null(m);
	return m;
}

void bare_begin(struct bare *b, enum sim_kind kind, uint64_t size, uint32_t buffer_size, uint32_t logs)
{
	struct paste_error err = {{0}};

	*b = (struct bare){.kind = kind, .size = size, .seed = 1, .image = calloc(1, size)};
	assert_non_null(b->image);
	struct media *m = medium(b);
	if (region_format(m, "bare", size, buffer_size, logs, &err) < 0)
		fail_msg("%s", err.text);
	media_close(m);
	b->m = medium(b);
	assert_int_equal(region_open(b->m, &b->r, &err), 0);
	region_settle(b->r);
}

void bare_close(struct bare *b)
{
	region_close(b->r);
	b->r = NULL;
	b->m = NULL;
}

void bare_reopen(struct bare *b)
{
	struct paste_error err = {{0}};

	bare_close(b);
	b->m = medium(b);
	if (region_open(b->m, &b->r, &err) < 0)
		fail_msg("%s", err.text);
}

int bare_try_open(struct bare *b, struct superblock *sb, struct superblock_health *health)
{
	struct paste_error err = {{0}};
	struct media *m = medium(b);
	int ret = superblock_load(m, sb, health, &err);

	assert_true(ret == 0 || err.text[0] != 0); /* what failed, in words */
	media_close(m);
	return ret;
}

void bare_end(struct bare *b)
{
	if (b->r) {
		region_cache_drain(b->r);
		for (uint32_t i = 0; i < b->r->buffers; i++) {
			assert_int_equal(b->r->buffer[i].users, 0);
			assert_int_equal(b->r->buffer[i].live, 0);
		}
		assert_int_equal(b->r->free_segments, b->r->segments);
		assert_int_equal(b->r->free_buffers, 0);
		assert_int_equal(b->r->live_bytes, 0);
		bare_close(b);
	}
	free(b->image);
}
