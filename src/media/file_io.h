/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * file_io.h - the few requests that the `file` medium makes, as a table of functions.
 *
 * The real one is an io_uring. Tests put another in its place, or around it, that fails, delays or reorders
 * (file_medium_wrap_io in file.h).
 *
 * Requests carry a tag that comes back with their result: the number of bytes, 0 for a sync, or a negative
 * errno. The memory must stay until then. The user keeps at most `depth` requests under way. Completions come
 * in any order.
 */
#ifndef MEDIA_FILE_IO_H
#define MEDIA_FILE_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "paste/error.h"

struct file_io;

struct file_io_done {
	uint64_t tag;
	int result;
};

struct file_io_ops {
	/* Queue a request; nothing is sent before submit. `durable`: write and sync of it in one. */
	void (*read)(struct file_io *io, void *memory, uint32_t bytes, uint64_t offset, uint64_t tag);
	void (*write)(struct file_io *io, const void *memory, uint32_t bytes, uint64_t offset, bool durable,
		      uint64_t tag);
	/* Everything that completed before this was queued is durable when it completes with 0. */
	void (*sync)(struct file_io *io, uint64_t tag);
	/* Send what is queued. 0 also if the kernel takes only a part for now; call again with time. */
	int (*submit)(struct file_io *io);
	/* Collect up to `max` results. `wait`: send what is queued and block until there is at least one, or
	 * a signal came (0). Returns how many, or a negative errno if the interface itself failed. */
	int (*complete)(struct file_io *io, struct file_io_done *done, unsigned max, bool wait);
	void (*close)(struct file_io *io);
};

struct file_io {
	const struct file_io_ops *ops;
	unsigned depth; /* requests that may be under way at once */
	int wait_fd;    /* readable when there is something to complete */
};

/* An io_uring for fd, which stays the caller's. A refusal is explained: what forbids it, what allows it. */
int file_io_uring(int fd, unsigned depth, const char *path, struct file_io **io, struct paste_error *err);

#endif
