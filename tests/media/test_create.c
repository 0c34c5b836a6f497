/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and opening what is under a region: names, replacing, room, locks, and what is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "media/media.h"
#include "scratch.h"

#define SIZE (2u << 20)

static struct paste_error err;

static struct media *create(const char *path, uint64_t size, bool force)
{
	struct media_options options = {.path = path, .size = size, .force = force};
	struct media *m;

	if (media_create(&options, &m, &err) < 0)
		fail_msg("%s", err.text);
	return m;
}

static void mark(struct media *m, int byte)
{
	memset(m->base, byte, 4096);
	media_write_back(m, 0, 4096);
	assert_true(media_wait(m, media_commit(m)) > 0);
}

static int refused(const char *path, uint64_t size, bool force)
{
	struct media_options options = {.path = path, .size = size, .force = force};
	struct media *m;
	int rc = media_create(&options, &m, &err);

	if (rc == 0)
		media_close(m);
	return rc;
}

static struct media *reopen(const char *path, bool read_only)
{
	struct media_options options = {.path = path, .read_only = read_only};
	struct media *m;

	if (media_open(&options, &m, &err) < 0)
		fail_msg("%s", err.text);
	return m;
}

static int refused_open(const char *path, bool read_only)
{
	struct media_options options = {.path = path, .read_only = read_only};
	struct media *m;
	int rc = media_open(&options, &m, &err);

	if (rc == 0)
		media_close(m);
	return rc;
}

/* Each of these runs on tmpfs and on a disk. */
static void appears_when_published(const struct scratch *s)
{
	struct media *m = create(s->file, SIZE, false);

	assert_int_equal(m->length, SIZE);
	mark(m, 5);
	assert_int_equal(scratch_entries(s), 0);
	assert_int_equal(media_publish(m, &err), 0);
	assert_int_equal(media_publish(m, &err), 0);
	assert_int_equal(scratch_entries(s), 1);
	mark(m, 6);
	media_close(m);
	m = reopen(s->file, false);
	assert_int_equal(m->length, SIZE);
	assert_int_equal(m->base[4095], 6);
	assert_int_equal(m->base[4096], 0);
	media_close(m);
}

static void unpublished_leaves_nothing(const struct scratch *s)
{
	struct media *m = create(s->file, SIZE, false);

	mark(m, 1);
	media_close(m);
	assert_int_equal(scratch_entries(s), 0);
	assert_int_equal(refused_open(s->file, false), -ENOENT);
}

static void killed_leaves_nothing(const struct scratch *s)
{
	pid_t child = fork();

	if (child == 0) {
		struct media_options options = {.path = s->file, .size = 8 * SIZE};
		struct media *m;
		if (media_create(&options, &m, NULL) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(scratch_entries(s), 0);
}

static void existing_needs_force(const struct scratch *s)
{
	struct media *m = create(s->file, SIZE, false);

	mark(m, 1);
	media_publish(m, &err);
	media_close(m);
	assert_int_equal(refused(s->file, SIZE, false), -EEXIST);
	assert_non_null(strstr(err.text, "--force"));

	/* Up to the publishing the old one is there, and nobody can begin to write it. */
	m = create(s->file, 2 * SIZE, true);
	assert_int_equal(m->base[0], 0);
	mark(m, 2);
	struct media *old = reopen(s->file, true);
	assert_int_equal(old->length, SIZE);
	assert_int_equal(old->base[0], 1);
	media_close(old);
	assert_int_equal(refused_open(s->file, false), -EBUSY);
	assert_int_equal(media_publish(m, &err), 0);
	assert_int_equal(scratch_entries(s), 1);
	assert_int_equal(refused_open(s->file, false), -EBUSY);
	media_close(m);
	m = reopen(s->file, false);
	assert_int_equal(m->length, 2 * SIZE);
	assert_int_equal(m->base[0], 2);
	media_close(m);
	/* A forced one that is given up leaves the old one. */
	m = create(s->file, SIZE, true);
	media_close(m);
	m = reopen(s->file, false);
	assert_int_equal(m->base[0], 2);
	media_close(m);
}

static void name_taken_meanwhile(const struct scratch *s)
{
	struct media *m = create(s->file, SIZE, false);
	int fd = open(s->file, O_CREAT | O_EXCL | O_WRONLY, 0600);

	assert_true(fd >= 0 && write(fd, "mine", 4) == 4);
	assert_int_equal(media_publish(m, &err), -EEXIST);
	media_close(m);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	close(fd);
	assert_int_equal(scratch_entries(s), 1);
}

static void a_link_is_followed(const struct scratch *s)
{
	char link[200];
	struct media *m = create(s->file, SIZE, false);

	media_publish(m, &err);
	media_close(m);
	snprintf(link, sizeof(link), "%s/link", s->directory);
	assert_int_equal(symlink("region", link), 0);
	m = create(link, 2 * SIZE, true);
	mark(m, 9);
	media_publish(m, &err);
	media_close(m);
	m = reopen(s->file, true);
	assert_int_equal(m->base[0], 9);
	media_close(m);
	unlink(link);
}

static void one_writer_many_readers(const struct scratch *s)
{
	struct media *m = create(s->file, SIZE, false);

	mark(m, 3);
	media_publish(m, &err);
	media_close(m);
	m = reopen(s->file, false);
	assert_int_equal(refused_open(s->file, false), -EBUSY);
	assert_non_null(strstr(err.text, s->file));
	assert_int_equal(refused(s->file, SIZE, true), -EBUSY);
	struct media *reader = reopen(s->file, true);
	assert_true(reader->read_only);
	assert_int_equal(reader->base[0], 3);
	media_close(m);
	m = reopen(s->file, false); /* readers hold nothing */
	media_close(reader);
	media_close(m);
}

static void the_lock_dies_with_the_process(const struct scratch *s)
{
	int ready[2];
	char byte;
	struct media *m = create(s->file, SIZE, false);

	media_publish(m, &err);
	media_close(m);
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		m = reopen(s->file, false);
		for (unsigned i = 0; i < 100; i++) { /* with writes under way when it dies */
			media_write_back(m, i % 7 * 8192, SIZE / 2);
			media_commit(m);
			if (i == 50 && write(ready[1], "x", 1) != 1)
				_exit(1);
		}
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(refused_open(s->file, false), -EBUSY);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	/* The last of its requests may hold the lock a moment longer. */
	int rc = refused_open(s->file, false);
	for (unsigned i = 0; rc == -EBUSY && i < 2000; i++) {
		usleep(1000);
		rc = refused_open(s->file, false);
	}
	assert_int_equal(rc, 0);
	close(ready[0]);
	close(ready[1]);
}

static void what_is_no_region_is_refused(const struct scratch *s)
{
	int fd = open(s->file, O_CREAT | O_EXCL | O_RDWR, 0600);

	assert_true(fd >= 0);
	assert_int_equal(refused_open(s->file, false), -EINVAL);
	assert_non_null(strstr(err.text, "empty"));
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(refused_open(s->file, true), -EINVAL);
	assert_non_null(strstr(err.text, "10 bytes"));
	close(fd);
	assert_int_equal(refused_open(s->directory, false), -EISDIR);
	unlink(s->file);
	assert_int_equal(refused(s->file, 0, false), -EINVAL);
	assert_int_equal(refused(s->file, 5000, false), -EINVAL);
	assert_non_null(strstr(err.text, "4 KiB"));
	assert_int_equal(scratch_entries(s), 0);
}

static void too_large_is_told_before_anything_is_made(const struct scratch *s)
{
	assert_int_equal(refused(s->file, 1ull << 50, false), -ENOSPC);
	assert_non_null(strstr(err.text, "needs 1 PiB, the file system has "));
	assert_int_equal(scratch_entries(s), 0);
}

static void on(bool (*have)(struct scratch *, const char **), void (*test)(const struct scratch *))
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(have(&s, &why));
	test(&s);
	scratch_remove(&s);
}

#define ON_BOTH(test)                                                                                        \
	static void test##_tmpfs(void **state)                                                               \
	{                                                                                                    \
		on(scratch_tmpfs, test);                                                                     \
	}                                                                                                    \
	static void test##_disk(void **state)                                                                \
	{                                                                                                    \
		on(scratch_disk, test);                                                                      \
	}

ON_BOTH(appears_when_published)
ON_BOTH(unpublished_leaves_nothing)
ON_BOTH(killed_leaves_nothing)
ON_BOTH(existing_needs_force)
ON_BOTH(name_taken_meanwhile)
ON_BOTH(a_link_is_followed)
ON_BOTH(one_writer_many_readers)
ON_BOTH(the_lock_dies_with_the_process)
ON_BOTH(what_is_no_region_is_refused)
ON_BOTH(too_large_is_told_before_anything_is_made)

static void a_small_tmpfs_says_how_small(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_mount(&s, "tmpfs", "size=3m", &why));
	assert_int_equal(refused(s.file, 4u << 20, false), -ENOSPC);
	assert_non_null(strstr(err.text, "needs 4 MiB, the file system has 3 MiB free"));
	struct media *m = create(s.file, 2u << 20, false);
	media_publish(m, &err);
	media_close(m);
	assert_int_equal(refused(s.file, 2u << 20, true), -ENOSPC);
	assert_non_null(strstr(err.text, "1 MiB free (the file to be replaced"));
	media_close(reopen(s.file, false));
	assert_int_equal(scratch_entries(&s), 1);
	scratch_remove(&s);
}

static void a_sparse_file_on_a_full_tmpfs_is_an_error_and_no_signal(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_mount(&s, "tmpfs", "size=1m", &why));
	int fd = open(s.file, O_CREAT | O_RDWR, 0600);
	assert_int_equal(ftruncate(fd, 4 << 20), 0);
	close(fd);
	assert_int_equal(refused_open(s.file, false), -ENOSPC);
	scratch_remove(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(appears_when_published_tmpfs),
	    cmocka_unit_test(appears_when_published_disk),
	    cmocka_unit_test(unpublished_leaves_nothing_tmpfs),
	    cmocka_unit_test(unpublished_leaves_nothing_disk),
	    cmocka_unit_test(killed_leaves_nothing_tmpfs),
	    cmocka_unit_test(killed_leaves_nothing_disk),
	    cmocka_unit_test(existing_needs_force_tmpfs),
	    cmocka_unit_test(existing_needs_force_disk),
	    cmocka_unit_test(name_taken_meanwhile_tmpfs),
	    cmocka_unit_test(name_taken_meanwhile_disk),
	    cmocka_unit_test(a_link_is_followed_tmpfs),
	    cmocka_unit_test(a_link_is_followed_disk),
	    cmocka_unit_test(one_writer_many_readers_tmpfs),
	    cmocka_unit_test(one_writer_many_readers_disk),
	    cmocka_unit_test(the_lock_dies_with_the_process_tmpfs),
	    cmocka_unit_test(the_lock_dies_with_the_process_disk),
	    cmocka_unit_test(what_is_no_region_is_refused_tmpfs),
	    cmocka_unit_test(what_is_no_region_is_refused_disk),
	    cmocka_unit_test(too_large_is_told_before_anything_is_made_tmpfs),
	    cmocka_unit_test(too_large_is_told_before_anything_is_made_disk),
	    cmocka_unit_test(a_small_tmpfs_says_how_small),
	    cmocka_unit_test(a_sparse_file_on_a_full_tmpfs_is_an_error_and_no_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
