/* SPDX-License-Identifier: BSD-2-Clause */
/* Groups of the `file` medium over a disk that completes in any order: when a ticket is done, its blocks are
 * durable. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/site.h"
#include "fake_io.h"

#define BLOCKS 200u
#define LENGTH (BLOCKS * FILE_BLOCK)

/* A medium on a new disk; it must end without two writes of one block at once. */
static struct fake_io *begin(uint64_t seed, struct media **m)
{
	struct fake_io *fake = fake_new(LENGTH, NULL, seed);

	*m = fake_medium(fake);
	return fake;
}

static void end(struct fake_io *fake, struct media *m)
{
	int left = -1;

	fake->closed_with = &left;
	media_close(m);
	assert_int_equal(left, 0);
	assert_int_equal(fake->overlaps, 0);
	fake_free(fake);
}

static void touching_ranges_become_one_durable_write(void **state)
{
	struct media *m;
	struct fake_io *fake = begin(1, &m);

	media_write_back(m, 2 * FILE_BLOCK + 4000, 200); /* blocks 2 and 3 */
	media_write_back(m, 5 * FILE_BLOCK - 1, 1);      /* 4 */
	media_write_back(m, 3 * FILE_BLOCK, FILE_BLOCK); /* 3 again */
	media_write_back(m, 7 * FILE_BLOCK, 0);          /* nothing */
	assert_int_equal(media_commit(m), 1);
	assert_int_equal(media_wait(m, 1), 1);
	assert_int_equal(fake->writes, 1);
	assert_int_equal(fake->syncs, 0);
	assert_int_equal(m->stats.write_backs, 3);
	assert_int_equal(m->stats.units, 3);
	assert_int_equal(m->stats.bytes_written, 3 * FILE_BLOCK);
	end(fake, m);
}

static void separate_ranges_share_one_sync(void **state)
{
	struct media *m;
	struct fake_io *fake = begin(2, &m);

	for (unsigned i = 0; i < 20; i++)
		media_write_back(m, 3 * i * FILE_BLOCK, 10);
	assert_int_equal(media_wait(m, media_commit(m)), 1);
	assert_int_equal(fake->writes, 20);
	assert_int_equal(fake->syncs, 1);
	end(fake, m);
}

static void nothing_to_commit_is_the_last_ticket(void **state)
{
	struct media *m;
	struct fake_io *fake = begin(3, &m);

	assert_int_equal(media_commit(m), 0);
	media_write_back(m, 0, 1);
	assert_int_equal(media_commit(m), 1);
	assert_int_equal(media_commit(m), 1);
	assert_int_equal(media_wait(m, 2), -EINVAL);
	assert_int_equal(media_wait(m, 1), 1);
	assert_int_equal(m->stats.commits, 1);
	end(fake, m);
}

static void a_run_longer_than_a_request_is_cut(void **state)
{
	uint64_t length = 2 * FILE_WRITE_MAX + 5 * FILE_BLOCK;
	struct fake_io *fake = fake_new(length, NULL, 4);
	struct media *m = fake_medium(fake);

	memset(m->base, 7, length);
	media_write_back(m, 0, length);
	assert_int_equal(media_wait(m, media_commit(m)), 1);
	assert_int_equal(fake->writes, 3);
	assert_int_equal(fake->syncs, 1);
	assert_memory_equal(fake->medium, m->base, length);
	end(fake, m);
}

static void a_stalled_disk_finishes_no_ticket_and_blocks_nobody(void **state)
{
	struct media *m;
	struct fake_io *fake = begin(5, &m);

	fake->stalled = true;
	for (unsigned i = 0; i < 1000; i++) {
		memset(m->base + i % BLOCKS * FILE_BLOCK, (int)i, FILE_BLOCK);
		media_write_back(m, i % BLOCKS * FILE_BLOCK, FILE_BLOCK);
		assert_int_equal(media_commit(m), i + 1);
		assert_int_equal(media_poll(m), 0);
	}
	/* The first groups are under way, the rest waits as one. */
	assert_int_equal(fake_under_way(fake), FILE_GROUPS);
	fake->stalled = false;
	assert_int_equal(media_wait(m, 1000), 1000);
	assert_int_equal(media_poll(m), 1000);
	assert_true(fake->writes <= FILE_GROUPS + BLOCKS);
	assert_memory_equal(fake->medium, m->base, LENGTH);
	end(fake, m);
}

static void a_group_with_many_ranges_keeps_to_the_depth(void **state)
{
	struct media *m;
	struct fake_io *fake = begin(6, &m);

	fake->stalled = true;
	for (unsigned i = 0; i < BLOCKS; i += 2)
		media_write_back(m, i * FILE_BLOCK, 1);
	media_commit(m);
	assert_int_equal(fake_under_way(fake), FILE_WRITES);
	fake->stalled = false;
	assert_int_equal(media_wait(m, 1), 1);
	assert_int_equal(fake->writes, BLOCKS / 2);
	assert_true(fake->most_under_way <= FILE_DEPTH);
	end(fake, m);
}

static void the_same_block_is_written_in_order(void **state)
{
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct media *m;
		struct fake_io *fake = begin(seed, &m);

		for (unsigned version = 1; version <= 6; version++) {
			memset(m->base + 3 * FILE_BLOCK, (int)version, FILE_BLOCK);
			media_write_back(m, 3 * FILE_BLOCK, FILE_BLOCK);
			media_write_back(m, (10 + 2 * version) * FILE_BLOCK, FILE_BLOCK);
			assert_int_equal(media_commit(m), version);
			if (seed % 3 == 0)
				media_poll(m);
		}
		assert_int_equal(media_wait(m, 6), 6);
		assert_int_equal(fake->medium[3 * FILE_BLOCK], 6);
		end(fake, m);
	}
}

/* What the disk must hold by when: a block's version, and the ticket that promises it. */
struct promise {
	uint32_t version;
	media_ticket ticket;
};

struct history {
	uint32_t version;                    /* the newest in memory, of any block */
	struct promise promises[BLOCKS][64]; /* a ring a block */
	unsigned n[BLOCKS];
};

static void change(struct media *m, struct history *h, unsigned block)
{
	uint32_t *words = (uint32_t *)(void *)(m->base + block * FILE_BLOCK);

	h->version++;
	for (unsigned i = 0; i < FILE_BLOCK / 4; i++)
		words[i] = h->version;
}

/* Each block that a ticket up to `done` promises is on the medium, whole, in that version or a later one. */
static void check(const struct fake_io *fake, const struct history *h, media_ticket done)
{
	for (unsigned b = 0; b < BLOCKS; b++) {
		uint32_t promised = 0;
		for (unsigned i = 0; i < h->n[b] && i < 64; i++) {
			const struct promise *p = &h->promises[b][i];
			if (p->ticket <= done && p->version > promised)
				promised = p->version;
		}
		const uint32_t *words = (const uint32_t *)(const void *)(fake->medium + b * FILE_BLOCK);
		for (unsigned i = 0; promised && i < FILE_BLOCK / 4; i += 128)
			assert_true(words[i] >= promised);
	}
}

static void random_group(struct media *m, struct fake_io *fake, struct history *h)
{
	unsigned ranges = 1 + (unsigned)fake_random(fake, 6);
	bool touched[BLOCKS] = {false};

	for (unsigned i = 0; i < ranges; i++) {
		unsigned first = (unsigned)fake_random(fake, BLOCKS);
		unsigned count = 1 + (unsigned)fake_random(fake, 5);
		if (first + count > BLOCKS)
			count = BLOCKS - first;
		for (unsigned b = first; b < first + count; b++) {
			change(m, h, b);
			touched[b] = true;
		}
		uint64_t inset = fake_random(fake, FILE_BLOCK / 2);
		media_write_back(m, first * FILE_BLOCK + inset, count * FILE_BLOCK - 2 * inset);
	}
	media_ticket ticket = media_commit(m);
	assert_true(ticket > 0);
	for (unsigned b = 0; b < BLOCKS; b++) {
		const uint32_t *version = (const uint32_t *)(const void *)(m->base + b * FILE_BLOCK);
		if (touched[b])
			h->promises[b][h->n[b]++ % 64] = (struct promise){*version, ticket};
	}
}

static void done_means_durable_in_any_order_of_completion(void **state)
{
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct history *h = calloc(1, sizeof(*h));
		struct media *m;
		struct fake_io *fake = begin(seed, &m);
		media_ticket done = 0;

		fake->trouble = seed % 4 == 3 ? 5 : 0;
		for (unsigned round = 0; round < 100; round++) {
			random_group(m, fake, h);
			fake->stalled = fake_random(fake, 4) == 0;
			media_ticket now = media_poll(m);
			assert_true(now >= done);
			done = now;
			check(fake, h, done);
			fake->stalled = false;
			if (done < round + 1 && fake_random(fake, 10) == 0)
				assert_true(media_wait(m, done + 1) >= done + 1);
		}
		assert_int_equal(media_wait(m, 100), 100);
		assert_memory_equal(fake->medium, m->base, LENGTH);
		assert_true(m->stats.bytes_written == m->stats.units * FILE_BLOCK);
		end(fake, m);
		free(h);
	}
}

static void settling_makes_durable_what_a_dead_owner_left_in_the_cache(void **state)
{
	struct fake_io *fake = fake_new(LENGTH, NULL, 1);

	for (int trouble = 0; trouble < 2; trouble++) {
		fake->trouble = trouble ? 2 : 0;
		memset(fake->cache, 7 + trouble, LENGTH);
		for (uint64_t block = 0; block < LENGTH / FILE_BLOCK; block++)
			fake->first_write[block] = fake->last_write[block] = ++fake->clock;
		assert_int_equal(file_settle(&fake->io), 0);
		assert_memory_equal(fake->medium, fake->cache, LENGTH);
	}
	fake->fail_sync = -EIO;
	assert_int_equal(file_settle(&fake->io), -EIO);
	assert_int_equal(fake_under_way(fake), 0);
	fake_free(fake);
}

static void loading_survives_short_and_interrupted_reads(void **state)
{
	uint64_t length = 40 * (1u << 20) + FILE_BLOCK;
	uint8_t *content = malloc(length), *memory = malloc(length);

	for (uint64_t i = 0; i < length; i++)
		content[i] = (uint8_t)(i * 31 + i / 4096);
	for (uint64_t seed = 0; seed < 3; seed++) {
		struct fake_io *fake = fake_new(length, content, seed);
		fake->trouble = 3;
		memset(memory, 0, length);
		assert_int_equal(file_load(&fake->io, memory, length), 0);
		assert_memory_equal(memory, content, length);
		fake->length = length - FILE_BLOCK; /* the file was cut */
		assert_int_equal(file_load(&fake->io, memory, length), -EIO);
		fake_free(fake);
	}
	free(content);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(touching_ranges_become_one_durable_write),
	    cmocka_unit_test(separate_ranges_share_one_sync),
	    cmocka_unit_test(nothing_to_commit_is_the_last_ticket),
	    cmocka_unit_test(a_run_longer_than_a_request_is_cut),
	    cmocka_unit_test(a_stalled_disk_finishes_no_ticket_and_blocks_nobody),
	    cmocka_unit_test(a_group_with_many_ranges_keeps_to_the_depth),
	    cmocka_unit_test(the_same_block_is_written_in_order),
	    cmocka_unit_test(done_means_durable_in_any_order_of_completion),
	    cmocka_unit_test(settling_makes_durable_what_a_dead_owner_left_in_the_cache),
	    cmocka_unit_test(loading_survives_short_and_interrupted_reads),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
