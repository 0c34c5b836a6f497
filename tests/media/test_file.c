/* SPDX-License-Identifier: BSD-2-Clause */
/* The `file` medium over a real io_uring and a real file: content, tickets by descriptor, faults from a
 * wrapper. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "media/file.h"
#include "scratch.h"

#define SIZE (8u << 20)

static struct paste_error err;

static struct media *create(const struct scratch *s, bool hugepages)
{
	struct media_options options = {.path = s->file, .size = SIZE, .hugepages = hugepages, .force = true};
	struct media *m;

	if (media_create(&options, &m, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(media_publish(m, &err), 0);
	return m;
}

static struct media *reopen(const struct scratch *s, bool read_only)
{
	struct media_options options = {.path = s->file, .kind = MEDIA_FILE, .read_only = read_only};
	struct media *m;

	if (media_open(&options, &m, &err) < 0)
		fail_msg("%s", err.text);
	return m;
}

static void content_is_there_after_reopening(void **state)
{
	struct scratch s;
	const char *why;
	uint8_t *copy = calloc(1, SIZE);

	SCRATCH_OR_SKIP(scratch_disk(&s, &why));
	struct media *m = create(&s, false);
	assert_string_equal(m->instruction, "O_DIRECT + fdatasync");
	assert_string_equal(m->survives, "power loss");
	srandom(1);
	for (unsigned group = 0; group < 300; group++) {
		for (unsigned range = 0; range < 1 + group % 5; range++) {
			uint64_t offset = (uint64_t)random() % SIZE, bytes = 1 + (uint64_t)random() % 30000;
			if (offset + bytes > SIZE)
				bytes = SIZE - offset;
			memset(m->base + offset, (int)(group + range), bytes);
			memset(copy + offset, (int)(group + range), bytes);
			media_write_back(m, offset, bytes);
		}
		assert_int_equal(media_commit(m), group + 1);
		assert_true(media_poll(m) >= 0);
	}
	assert_int_equal(media_wait(m, 300), 300);
	media_close(m);
	m = reopen(&s, false);
	assert_memory_equal(m->base, copy, SIZE);
	media_close(m);
	m = reopen(&s, true);
	assert_memory_equal(m->base, copy, SIZE);
	assert_int_equal(m->wait_fd, -1);
	media_close(m);
	scratch_remove(&s);
	free(copy);
}

/* How the process has the file open; -1: it has not. */
static int flags_of_file(const struct scratch *s)
{
	struct stat named, open;

	assert_int_equal(stat(s->file, &named), 0);
	for (int fd = 0; fd < 256; fd++) {
		if (fstat(fd, &open) == 0 && open.st_ino == named.st_ino && open.st_dev == named.st_dev)
			return fcntl(fd, F_GETFL);
	}
	return -1;
}

/* With O_NONBLOCK, io_uring never gets done on a device that cannot tell whether it will wait. */
static void the_kernel_may_wait_for_the_device(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_disk(&s, &why));
	media_close(create(&s, false));
	for (int read_only = 0; read_only <= 1; read_only++) {
		struct media *m = reopen(&s, read_only);
		int flags = flags_of_file(&s);
		assert_int_not_equal(flags, -1);
		assert_int_equal(flags & O_NONBLOCK, 0);
		assert_int_equal(flags & O_DIRECT, O_DIRECT);
		media_close(m);
	}
	scratch_remove(&s);
}

static void what_was_not_written_back_is_not_there(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_disk(&s, &why));
	struct media *m = create(&s, false);
	memset(m->base, 1, 3 * 4096);
	media_write_back(m, 4096 + 17, 1);
	assert_int_equal(media_wait(m, media_commit(m)), 1);
	media_write_back(m, 0, 4096); /* never committed */
	media_close(m);
	m = reopen(&s, true);
	assert_int_equal(m->base[0], 0);
	assert_int_equal(m->base[4096], 1);
	assert_int_equal(m->base[8191], 1);
	assert_int_equal(m->base[8192], 0);
	media_close(m);
	scratch_remove(&s);
}

static void an_event_loop_needs_only_the_descriptor(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_disk(&s, &why));
	struct media *m = create(&s, false);
	for (unsigned i = 0; i < 20; i++) {
		for (unsigned k = 0; k <= i % 3; k++)
			media_write_back(m, (i + 10 * k) * 4096, 4096);
		media_ticket ticket = media_commit(m);
		while (media_poll(m) < ticket) {
			struct pollfd p = {.fd = m->wait_fd, .events = POLLIN};
			assert_int_equal(poll(&p, 1, 10000), 1);
		}
	}
	assert_int_equal(m->error, 0);
	media_close(m);
	scratch_remove(&s);
}

/* Two letters of "VmFlags:" in /proc/self/smaps, proc_pid_smaps(5), of the mapping that begins at `start`. */
static bool mapping_has(const void *start, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	unsigned long from, to;
	bool here = false, has = false;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from == (uintptr_t)start;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			has = strstr(line, flag) != NULL;
	}
	fclose(f);
	return has;
}

/* What opening, and every miss in the TLB after it, hangs on; and that fork() does not copy what a NIC has pinned. */
static void memory_may_be_huge_pages_and_no_child_has_it(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_disk(&s, &why));
	struct media *m = create(&s, false);
	assert_string_equal(m->backing, "memory");
	assert_int_equal((uintptr_t)m->base % (2 << 20), 0);
	assert_true(mapping_has(m->base, " dc"));
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0)
		assert_true(mapping_has(m->base, " hg"));
	media_close(m);
	scratch_remove(&s);
}

static void huge_pages_are_used_or_missed_aloud(void **state)
{
	struct scratch s;
	const char *why;

	SCRATCH_OR_SKIP(scratch_disk(&s, &why));
	struct media *m = create(&s, true);
	if (strcmp(m->backing, "memory (2 MiB huge pages)") != 0)
		assert_string_equal(m->backing, "memory (too few free huge pages)");
	m->base[SIZE - 1] = 4;
	media_write_back(m, SIZE - 1, 1);
	assert_int_equal(media_wait(m, media_commit(m)), 1);
	media_close(m);
	m = reopen(&s, true);
	assert_int_equal(m->base[SIZE - 1], 4);
	media_close(m);
	scratch_remove(&s);
}

/* A wrapper around the real io: results of writes are held back, or replaced by an error. */
struct wrapper {
	struct file_io io;
	struct file_io *inner;
	bool hold;
	int fail;
	struct file_io_done held[FILE_DEPTH];
	unsigned n_held;
};

static void wrapper_read(struct file_io *io, void *memory, uint32_t bytes, uint64_t offset, uint64_t tag)
{
	struct file_io *inner = ((struct wrapper *)io)->inner;

	inner->ops->read(inner, memory, bytes, offset, tag);
}

static void wrapper_write(struct file_io *io, const void *memory, uint32_t bytes, uint64_t offset,
			  bool durable, uint64_t tag)
{
	struct file_io *inner = ((struct wrapper *)io)->inner;

	inner->ops->write(inner, memory, bytes, offset, durable, tag);
}

static void wrapper_sync(struct file_io *io, uint64_t tag)
{
	struct file_io *inner = ((struct wrapper *)io)->inner;

	inner->ops->sync(inner, tag);
}

static int wrapper_submit(struct file_io *io)
{
	struct file_io *inner = ((struct wrapper *)io)->inner;

	return inner->ops->submit(inner);
}

static int wrapper_complete(struct file_io *io, struct file_io_done *done, unsigned max, bool wait)
{
	struct wrapper *w = (struct wrapper *)io;

	if (!w->hold && w->n_held) {
		done[0] = w->held[--w->n_held];
		if (w->fail)
			done[0].result = w->fail;
		return 1;
	}
	int n = w->inner->ops->complete(w->inner, done, max, wait);
	if (!w->hold)
		return n;
	for (int i = 0; i < n; i++)
		w->held[w->n_held++] = done[i];
	return 0;
}

static void wrapper_close(struct file_io *io)
{
	struct file_io *inner = ((struct wrapper *)io)->inner;

	inner->ops->close(inner);
}

static const struct file_io_ops wrapper_ops = {wrapper_read,   wrapper_write,    wrapper_sync,
					       wrapper_submit, wrapper_complete, wrapper_close};

static struct file_io *wrap(struct file_io *io, void *context)
{
	struct wrapper *w = context;

	*w = (struct wrapper){.io = *io, .inner = io};
	w->io.ops = &wrapper_ops;
	return &w->io;
}

static void a_slow_disk_is_not_claimed_and_a_bad_one_poisons(void **state)
{
	struct scratch s;
	const char *why;
	struct wrapper w;

	SCRATCH_OR_SKIP(scratch_disk(&s, &why));
	struct media *m = create(&s, false);
	file_medium_wrap_io(m, wrap, &w);
	media_write_back(m, 0, 10000);
	assert_int_equal(media_wait(m, media_commit(m)), 1);

	w.hold = true;
	media_write_back(m, 0, 4096);
	assert_int_equal(media_commit(m), 2);
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(media_poll(m), 1);
		usleep(1000);
	}
	w.hold = false;
	assert_int_equal(media_wait(m, 2), 2);

	w.hold = true;
	media_write_back(m, 0, 4096);
	assert_int_equal(media_commit(m), 3);
	while (!w.n_held)
		assert_int_equal(media_poll(m), 2);
	w.hold = false;
	w.fail = -EIO;
	assert_int_equal(media_poll(m), -EIO);
	assert_int_equal(media_wait(m, 2), -EIO);
	assert_int_equal(m->error, -EIO);
	media_close(m);
	scratch_remove(&s);
}

/* io_uring_setup answers `code`, as a container's filter makes it. */
static int forbid_io_uring(unsigned code)
{
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static int open_without_io_uring(const struct scratch *s, unsigned code, const char *advice)
{
	struct media_options options = {.path = s->file, .size = SIZE};
	struct media *m;

	if (forbid_io_uring(code) < 0)
		return 77;
	if (media_create(&options, &m, &err) != -(int)code)
		return 1;
	return strstr(err.text, advice) && scratch_entries(s) == 0 ? 0 : 2;
}

static void where_io_uring_is_forbidden_the_remedy_is_told(void **state)
{
	const struct {
		unsigned code;
		const char *advice;
	} table[] = {{EPERM, "seccomp"}, {ENOSYS, "CONFIG_IO_URING"}};
	struct scratch s;
	const char *why;
	int status;

	SCRATCH_OR_SKIP(scratch_disk(&s, &why));
	for (unsigned i = 0; i < 2; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(open_without_io_uring(&s, table[i].code, table[i].advice));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == 77)
			print_message("no seccomp filters on this kernel\n");
		else
			assert_int_equal(WEXITSTATUS(status), 0);
	}
	scratch_remove(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(content_is_there_after_reopening),
	    cmocka_unit_test(the_kernel_may_wait_for_the_device),
	    cmocka_unit_test(what_was_not_written_back_is_not_there),
	    cmocka_unit_test(an_event_loop_needs_only_the_descriptor),
	    cmocka_unit_test(memory_may_be_huge_pages_and_no_child_has_it),
	    cmocka_unit_test(huge_pages_are_used_or_missed_aloud),
	    cmocka_unit_test(a_slow_disk_is_not_claimed_and_a_bad_one_poisons),
	    cmocka_unit_test(where_io_uring_is_forbidden_the_remedy_is_told),
	};

	struct scratch s;
	const char *why;
	if (!scratch_disk(&s, &why)) {
		print_message("skipped: %s\n", why);
		return 77;
	}
	scratch_remove(&s);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
