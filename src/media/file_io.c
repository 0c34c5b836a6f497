/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/file_io.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct uring {
	struct file_io io;
	struct io_uring ring;
	int fd;
};

static struct uring *uring_of(struct file_io *io)
{
	return (struct uring *)io; /* io is the first member */
}

/* There is always a free entry: the ring has at least `depth` of them, and no more requests are under way. */
static struct io_uring_sqe *entry(struct file_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring_of(io)->ring);

	assert(sqe);
	return sqe;
}

static void uring_read(struct file_io *io, void *memory, uint32_t bytes, uint64_t offset, uint64_t tag)
{
	struct io_uring_sqe *sqe = entry(io);

	io_uring_prep_read(sqe, uring_of(io)->fd, memory, bytes, offset);
	io_uring_sqe_set_data64(sqe, tag);
}

static void uring_write(struct file_io *io, const void *memory, uint32_t bytes, uint64_t offset, bool durable,
			uint64_t tag)
{
	struct io_uring_sqe *sqe = entry(io);

	io_uring_prep_write(sqe, uring_of(io)->fd, memory, bytes, offset);
	if (durable)
		sqe->rw_flags = RWF_DSYNC;
	io_uring_sqe_set_data64(sqe, tag);
}

static void uring_sync(struct file_io *io, uint64_t tag)
{
	struct io_uring_sqe *sqe = entry(io);

	io_uring_prep_fsync(sqe, uring_of(io)->fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data64(sqe, tag);
}

/* The kernel is short of something for a moment, or a signal came: what was not taken stays in the ring. */
static bool passing(int code)
{
	return code == -EAGAIN || code == -EBUSY || code == -EINTR;
}

static int uring_submit(struct file_io *io)
{
	struct io_uring *ring = &uring_of(io)->ring;

	if (!io_uring_sq_ready(ring))
		return 0;
	int rc = io_uring_submit(ring);
	return rc >= 0 || passing(rc) ? 0 : rc;
}

static int uring_complete(struct file_io *io, struct file_io_done *done, unsigned max, bool wait)
{
	struct io_uring *ring = &uring_of(io)->ring;
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	if (wait && !io_uring_cq_ready(ring)) {
		int rc = io_uring_submit_and_wait(ring, 1);
		if (rc < 0 && !passing(rc))
			return rc;
	}
	io_uring_for_each_cqe(ring, head, cqe)
	{
		if (n == max)
			break;
		done[n].tag = io_uring_cqe_get_data64(cqe);
		done[n++].result = cqe->res;
	}
	io_uring_cq_advance(ring, n);
	return (int)n;
}

static void uring_close(struct file_io *io)
{
	io_uring_queue_exit(&uring_of(io)->ring);
	free(io);
}

static const struct file_io_ops uring_ops = {uring_read,   uring_write,    uring_sync,
					     uring_submit, uring_complete, uring_close};

static int read_sysctl(const char *path)
{
	FILE *f = fopen(path, "re");
	int value = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%d", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

static int explain_refusal(const char *path, int code, struct paste_error *err)
{
	int disabled = read_sysctl("/proc/sys/kernel/io_uring_disabled");

	if (code == -EPERM && disabled > 0)
		return paste_fail(
		    err, code,
		    "%s: io_uring is switched off on this machine (sysctl kernel.io_uring_disabled is %d); "
		    "allow it with: sysctl -w kernel.io_uring_disabled=0",
		    path, disabled);
	if (code == -EPERM || code == -EACCES)
		return paste_fail(
		    err, code,
		    "%s: io_uring is forbidden here, most likely by a container's seccomp profile: allow "
		    "io_uring_setup, io_uring_enter and io_uring_register in it (Docker, Podman: "
		    "--security-opt seccomp=PROFILE), or ask for a region on shm",
		    path);
	if (code == -ENOSYS)
		return paste_fail(
		    err, code,
		    "%s: this kernel has no io_uring, or a sandbox hides it; the file medium needs it "
		    "(Linux 6.1 or newer, CONFIG_IO_URING)",
		    path);
	if (code == -ENOMEM)
		return paste_fail(
		    err, code,
		    "%s: no memory for an io_uring; if a limit on locked memory is set, raise it (ulimit "
		    "-l)",
		    path);
	return paste_fail(err, code, "%s: cannot set up io_uring: %s", path, strerror(-code));
}

int file_io_uring(int fd, unsigned depth, const char *path, struct file_io **io, struct paste_error *err)
{
	struct uring *u = calloc(1, sizeof(*u));

	if (!u)
		return paste_fail(err, -ENOMEM, "%s: out of memory", path);
	int rc = io_uring_queue_init(depth, &u->ring, 0);
	if (rc < 0) {
		free(u);
		return explain_refusal(path, rc, err);
	}
	u->fd = fd;
	u->io = (struct file_io){.ops = &uring_ops, .depth = depth, .wait_fd = u->ring.ring_fd};
	*io = &u->io;
	return 0;
}
