/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated medium loses what it may lose, and nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "media/sim.h"

#define SIZE (64 * 1024u)
#define IMAGES 256

static struct media *medium(enum sim_kind kind, uint64_t seed)
{
	struct media *m = sim_open(&(struct sim_options){.kind = kind, .size = SIZE, .seed = seed});

	assert_non_null(m);
	return m;
}

/* In how many of the planned images (of several plans) do the bytes at `offset` equal `bytes`? */
struct tally {
	uint32_t images, equal;
};

static struct tally tally(struct media *m, uint64_t offset, const void *bytes, uint64_t n)
{
	static uint8_t out[SIZE];
	struct sim_image images[IMAGES];
	struct sim_random r = sim_random(offset + n);
	struct sim_crash *c = sim_crash_begin(m);
	struct tally t = {0};

	for (int plan = 0; plan < 8; plan++) {
		uint32_t planned = sim_crash_plan(c, &r, images, IMAGES);

		for (uint32_t i = 0; i < planned; i++) {
			sim_crash_image(c, &images[i], out);
			t.equal += memcmp(out + offset, bytes, n) == 0;
		}
		t.images += planned;
	}
	sim_crash_end(c);
	return t;
}

#define assert_certain(m, offset, bytes, n)                                                                  \
	do {                                                                                                 \
		struct tally t_ = tally(m, offset, bytes, n);                                                \
		assert_int_equal(t_.equal, t_.images);                                                       \
	} while (0)

#define assert_uncertain(m, offset, bytes, n)                                                                \
	do {                                                                                                 \
		struct tally t_ = tally(m, offset, bytes, n);                                                \
		assert_in_range(t_.equal, 1, t_.images - 1);                                                 \
	} while (0)

#define assert_never(m, offset, bytes, n)                                                                    \
	do {                                                                                                 \
		struct tally t_ = tally(m, offset, bytes, n);                                                \
		assert_int_equal(t_.equal, 0);                                                               \
	} while (0)

static const char hello[16] = "hello, medium!!", other[16] = "other bytes ...";
static const char zeroes[4096];

static void adr_may_lose_what_was_not_written_back(void **state)
{
	struct media *m = medium(SIM_ADR, 1);

	memcpy(m->base + 100, hello, 16);
	assert_uncertain(m, 100, hello, 16);
	media_commit(m); /* a fence alone moves nothing */
	assert_uncertain(m, 100, hello, 16);
	media_close(m);
}

static void adr_may_lose_what_was_not_fenced(void **state)
{
	struct media *m = medium(SIM_ADR, 1);

	memcpy(m->base + 100, hello, 16);
	media_write_back(m, 100, 16);
	assert_uncertain(m, 100, hello, 16);
	media_close(m);
}

static void adr_keeps_what_was_fenced(void **state)
{
	struct media *m = medium(SIM_ADR, 1);

	memcpy(m->base + 120, hello, 16); /* over the border of two lines */
	media_write_back(m, 120, 16);
	assert_int_equal(media_commit(m), 1);
	assert_int_equal(media_poll(m), 1);
	assert_certain(m, 120, hello, 16);
	memcpy(m->base + 1024, other, 16);
	assert_certain(m, 120, hello, 16);
	assert_uncertain(m, 1024, other, 16);
	assert_int_equal(m->stats.units, 2);
	media_close(m);
}

static void adr_line_changed_after_write_back_is_uncertain_again(void **state)
{
	struct media *m = medium(SIM_ADR, 1);

	memcpy(m->base + 64, hello, 16);
	media_write_back(m, 64, 16);
	memcpy(m->base + 64, other, 16);
	assert_uncertain(m, 64, zeroes, 16);
	assert_uncertain(m, 64, hello, 16);
	assert_uncertain(m, 64, other, 16);
	media_commit(m);
	assert_never(m, 64, zeroes, 16);
	assert_uncertain(m, 64, hello, 16);
	assert_uncertain(m, 64, other, 16);
	media_close(m);
}

static void adr_words_of_a_line_arrive_each_by_itself(void **state)
{
	struct media *m = medium(SIM_ADR, 1);
	uint8_t second_only[16] = {0};

	memcpy(m->base, hello, 16);
	memcpy(second_only + 8, hello + 8, 8);
	assert_uncertain(m, 0, second_only, 16);
	media_close(m);
}

static void adr_can_evict(void **state)
{
	struct sim_options o = {.kind = SIM_ADR, .size = 4096, .seed = 3, .evict = true};
	struct media *m = sim_open(&o);

	memset(m->base + 64, 0xff, 4096 - 64);
	for (int i = 0; i < 200; i++) {
		media_write_back(m, 0, 1);
		media_commit(m);
	}
	struct sim_crash *c = sim_crash_begin(m);
	uint8_t *out = malloc(4096);
	sim_crash_image(c, &(struct sim_image){.kind = SIM_IMAGE_FLOOR}, out);
	assert_memory_equal(out + 64, m->base + 64, 4096 - 64);
	sim_crash_end(c);
	free(out);
	media_close(m);
}

static void eadr_and_process_death_keep_every_store(void **state)
{
	for (enum sim_kind kind = SIM_EADR; kind <= SIM_SHM; kind++) {
		struct media *m = medium(kind, 1);

		memcpy(m->base + 100, hello, 16);
		assert_certain(m, 100, hello, 16);
		assert_int_equal(media_commit(m), 0);
		media_write_back(m, 100, 16);
		assert_int_equal(media_commit(m), 1);
		media_close(m);
	}
}

static void file_never_holds_a_block_that_nobody_wrote_back(void **state)
{
	struct media *m = medium(SIM_FILE, 1);

	memcpy(m->base + 100, hello, 16);
	media_write_back(m, 8192, 1);
	media_wait(m, media_commit(m));
	assert_certain(m, 100, zeroes, 16);
	media_close(m);
}

static void file_blocks_under_way_may_be_old_or_new_or_torn(void **state)
{
	struct media *m = medium(SIM_FILE, 1);

	memset(m->base + 4096, 0x11, 4096);
	media_write_back(m, 4096, 4096);
	media_wait(m, media_commit(m));
	assert_certain(m, 4096, m->base + 4096, 4096);

	/* The first half is written again as it was: even those bytes are not safe. */
	memset(m->base + 4096 + 2048, 0x22, 2048);
	media_write_back(m, 4096 + 2048, 1);
	uint8_t old[4096];
	memset(old, 0x11, 4096);
	media_ticket ticket = media_commit(m);
	assert_uncertain(m, 4096, old, 4096);
	assert_uncertain(m, 4096, m->base + 4096, 4096);
	assert_uncertain(m, 4096, old, 2048);
	assert_int_equal(media_wait(m, ticket), ticket);
	assert_certain(m, 4096, m->base + 4096, 4096);
	media_close(m);
}

static void file_groups_complete_in_order_and_take_their_time(void **state)
{
	bool late = false, several = false;

	for (uint64_t seed = 0; seed < 20; seed++) {
		struct media *m = medium(SIM_FILE, seed);
		media_ticket done = 0, last = 0;

		for (int i = 0; i < 10; i++) {
			media_write_back(m, i * 4096, 1);
			last = media_commit(m);
			assert_int_equal(last, i + 1);
			media_ticket now = media_poll(m);
			assert_true(now >= done && now <= last);
			late |= now < last;
			several |= now + 1 < last;
			done = now;
		}
		for (int i = 0; i < 100; i++)
			done = media_poll(m);
		assert_int_equal(done, last);
		media_close(m);
	}
	assert_true(late && several);
}

static void file_may_write_what_memory_held_later(void **state)
{
	bool captured = false, later = false;

	for (uint64_t seed = 0; seed < 20; seed++) {
		struct media *m = medium(SIM_FILE, seed);
		uint8_t *out = malloc(SIZE);

		memcpy(m->base, hello, 16);
		media_write_back(m, 0, 1);
		media_ticket t = media_commit(m);
		memcpy(m->base, other, 16);
		media_wait(m, t);
		struct sim_crash *c = sim_crash_begin(m);
		sim_crash_image(c, &(struct sim_image){.kind = SIM_IMAGE_ALL}, out);
		captured |= memcmp(out, hello, 16) == 0;
		later |= memcmp(out, other, 16) == 0;
		sim_crash_end(c);
		free(out);
		media_close(m);
	}
	assert_true(captured && later);
}

static void device_writes_are_as_uncertain_as_stores(void **state)
{
	struct media *m = medium(SIM_ADR, 1);

	sim_device_write(m, 200, hello, 16);
	assert_memory_equal(m->base + 200, hello, 16);
	assert_uncertain(m, 200, hello, 16);
	media_write_back(m, 200, 16);
	media_commit(m);
	assert_certain(m, 200, hello, 16);
	media_close(m);
}

static void held_packets_may_land_after_the_crash(void **state)
{
	for (enum sim_kind kind = SIM_ADR; kind < SIM_KINDS; kind++) {
		struct media *m = medium(kind, 1);
		static uint8_t out[SIZE];
		bool landed = false, torn = false;

		/* Something else is uncertain too. */
		m->base[5000]++;
		sim_device_hold(m, 203, hello, 16);
		assert_memory_equal(m->base + 203, zeroes, 16);
		struct sim_crash *c = sim_crash_begin(m);
		for (uint64_t seed = 0; seed < 40; seed++) {
			struct sim_image image = {.kind = SIM_IMAGE_ALL, .seed = seed, .late = true};
			sim_crash_image(c, &image, out);
			landed |= memcmp(out + 203, hello, 16) == 0;
			torn |= memcmp(out + 203, hello, 5) != 0 && memcmp(out + 208, hello + 5, 8) == 0;
			assert_memory_equal(out, zeroes, 203);
			assert_memory_equal(out + 219, zeroes, 1000);
		}
		sim_crash_end(c);
		/* The memory of `file` is gone when a packet would land in it. */
		assert_int_equal(landed, kind != SIM_FILE);
		assert_int_equal(torn, kind != SIM_FILE);

		sim_device_release(m, 200, 4, true);
		assert_memory_equal(m->base + 203, hello, 16);
		sim_device_hold(m, 203, other, 16);
		sim_device_release(m, 203, 1, false);
		assert_memory_equal(m->base + 203, hello, 16);
		media_close(m);
	}
}

static void a_failed_medium_claims_nothing_more(void **state)
{
	struct media *m = medium(SIM_FILE, 1);

	sim_fail(m, 1, -EIO);
	memcpy(m->base, hello, 16);
	media_write_back(m, 0, 16);
	assert_int_equal(media_wait(m, media_commit(m)), 1);
	memcpy(m->base, other, 16);
	media_write_back(m, 0, 16);
	assert_int_equal(media_commit(m), -EIO);
	assert_int_equal(media_poll(m), -EIO);
	assert_int_equal(media_wait(m, 1), -EIO);
	assert_int_equal(m->error, -EIO);
	media_close(m);
}

static void one_seed_gives_the_same_images(void **state)
{
	static uint8_t a[SIZE], b[SIZE];

	for (int kind = 0; kind < SIM_KINDS; kind++) {
		for (int round = 0; round < 2; round++) {
			struct media *m = medium(kind, 7);
			struct sim_random r = sim_random(9);

			for (uint64_t at = 0; at < SIZE; at += 8)
				memcpy(m->base + at, &(uint64_t){sim_draw(&r)}, 8);
			for (uint64_t at = 0; at < SIZE; at += 3000) {
				media_write_back(m, at, 1000);
				media_commit(m);
				media_poll(m);
			}
			struct sim_crash *c = sim_crash_begin(m);
			sim_crash_image(c, &(struct sim_image){.kind = SIM_IMAGE_RANDOM, .seed = 11},
					round ? b : a);
			sim_crash_end(c);
			media_close(m);
		}
		assert_memory_equal(a, b, SIZE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(adr_may_lose_what_was_not_written_back),
	    cmocka_unit_test(adr_may_lose_what_was_not_fenced),
	    cmocka_unit_test(adr_keeps_what_was_fenced),
	    cmocka_unit_test(adr_line_changed_after_write_back_is_uncertain_again),
	    cmocka_unit_test(adr_words_of_a_line_arrive_each_by_itself),
	    cmocka_unit_test(adr_can_evict),
	    cmocka_unit_test(eadr_and_process_death_keep_every_store),
	    cmocka_unit_test(file_never_holds_a_block_that_nobody_wrote_back),
	    cmocka_unit_test(file_blocks_under_way_may_be_old_or_new_or_torn),
	    cmocka_unit_test(file_groups_complete_in_order_and_take_their_time),
	    cmocka_unit_test(file_may_write_what_memory_held_later),
	    cmocka_unit_test(device_writes_are_as_uncertain_as_stores),
	    cmocka_unit_test(held_packets_may_land_after_the_crash),
	    cmocka_unit_test(a_failed_medium_claims_nothing_more),
	    cmocka_unit_test(one_seed_gives_the_same_images),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
