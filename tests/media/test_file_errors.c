/* SPDX-License-Identifier: BSD-2-Clause */
/* A failure to make something durable is final: no ticket is done after it, and it is told again and again.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_io.h"

#define LENGTH (64u * FILE_BLOCK)

static void group(struct media *m, unsigned first, unsigned ranges)
{
	for (unsigned i = 0; i < ranges; i++)
		media_write_back(m, (first + 2 * i) * FILE_BLOCK, 100);
}

static void expect_poisoned(struct media *m, int code)
{
	assert_int_equal(m->error, code);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(media_poll(m), code);
		assert_int_equal(media_wait(m, 1), code);
		group(m, 8, 2);
		assert_int_equal(media_commit(m), code);
	}
	assert_int_equal(media_wait(m, 1000), code);
}

static void a_failed_write_poisons(void **state)
{
	const int codes[] = {-EIO, -ENOSPC, -EINVAL};

	for (unsigned i = 0; i < 3; i++) {
		struct fake_io *fake = fake_new(LENGTH, NULL, i);
		struct media *m = fake_medium(fake);

		group(m, 0, 1 + i);
		assert_int_equal(media_wait(m, media_commit(m)), 1);
		fake->fail_write = codes[i];
		group(m, 0, 1 + i);
		assert_int_equal(media_wait(m, media_commit(m)), codes[i]);
		expect_poisoned(m, codes[i]);
		media_close(m);
		assert_int_equal(fake_under_way(fake), 0);
		fake_free(fake);
	}
}

static void a_failed_sync_poisons_though_the_next_would_succeed(void **state)
{
	struct fake_io *fake = fake_new(LENGTH, NULL, 1);
	struct media *m = fake_medium(fake);

	fake->fail_sync = -EIO;
	group(m, 0, 2);
	assert_int_equal(media_wait(m, media_commit(m)), -EIO);
	assert_int_equal(fake->fail_sync, 0); /* it would succeed now */
	expect_poisoned(m, -EIO);
	assert_int_equal(fake->syncs, 1);
	media_close(m);
	fake_free(fake);
}

static void a_failure_is_noticed_by_polling_and_by_committing(void **state)
{
	struct fake_io *fake = fake_new(LENGTH, NULL, 1);
	struct media *m = fake_medium(fake);

	fake->in_order = true;
	fake->stalled = true;
	group(m, 0, 1);
	assert_int_equal(media_commit(m), 1);
	assert_int_equal(media_poll(m), 0);
	fake->fail_write = -EIO;
	fake->stalled = false;
	group(m, 2, 1);
	assert_int_equal(media_commit(m), -EIO);
	expect_poisoned(m, -EIO);
	media_close(m);
	fake_free(fake);
}

static void later_groups_that_succeed_are_not_claimed(void **state)
{
	/* Of eight groups under way one fails; the others complete in any order around it. */
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct fake_io *fake = fake_new(LENGTH, NULL, seed);
		struct media *m = fake_medium(fake);

		fake->stalled = true;
		for (unsigned i = 0; i < 8; i++) {
			group(m, 4 * i, 1 + i % 2);
			assert_int_equal(media_commit(m), i + 1);
		}
		fake->stalled = false;
		fake->fail_write = -EIO;
		while (!m->error)
			media_poll(m);
		expect_poisoned(m, -EIO);
		media_close(m);
		assert_int_equal(fake_under_way(fake), 0);
		fake_free(fake);
	}
}

static void a_ring_that_refuses_poisons(void **state)
{
	struct fake_io *fake = fake_new(LENGTH, NULL, 1);
	struct media *m = fake_medium(fake);

	fake->fail_submit = -EBADF;
	group(m, 0, 1);
	assert_int_equal(media_commit(m), -EBADF);
	expect_poisoned(m, -EBADF);
	fake->fail_submit = 0;
	media_close(m);
	assert_int_equal(fake_under_way(fake), 0);
	fake_free(fake);
}

static void a_write_that_makes_no_progress_is_an_error(void **state)
{
	struct fake_io *fake = fake_new(LENGTH, NULL, 1);
	struct media *m = fake_medium(fake);

	fake->fail_write = 100; /* "100 bytes written": less than a sector */
	group(m, 0, 1);
	assert_int_equal(media_wait(m, media_commit(m)), -EIO);
	media_close(m);
	fake_free(fake);
}

static void closing_waits_for_what_is_under_way(void **state)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct fake_io *fake = fake_new(LENGTH, NULL, seed);
		struct media *m = fake_medium(fake);
		int left = -1;

		for (unsigned i = 0; i < 12; i++) {
			group(m, i, 4);
			media_commit(m);
		}
		fake->closed_with = &left;
		media_close(m);
		assert_int_equal(left, 0);
		fake_free(fake);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_failed_write_poisons),
	    cmocka_unit_test(a_failed_sync_poisons_though_the_next_would_succeed),
	    cmocka_unit_test(a_failure_is_noticed_by_polling_and_by_committing),
	    cmocka_unit_test(later_groups_that_succeed_are_not_claimed),
	    cmocka_unit_test(a_ring_that_refuses_poisons),
	    cmocka_unit_test(a_write_that_makes_no_progress_is_an_error),
	    cmocka_unit_test(closing_waits_for_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
