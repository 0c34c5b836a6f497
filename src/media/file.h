/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * file.h - the `file` medium: a region that is resident in memory, with a file or block device behind it.
 *
 * Writing back collects 4096-byte blocks; a commit closes them into a group. A group is durable when all its
 * writes have completed and then a data sync that was issued after the last of them (or, if it is a single
 * contiguous run, when its one durable write has completed). Up to FILE_GROUPS groups are under way at once.
 * What is committed while that many are busy waits, merged into one group whose ticket is the last one's:
 * nothing blocks, nothing is lost, and nothing is allocated, because a set of blocks cannot outgrow the
 * region. So a slow device sees fewer, larger groups.
 *
 * The same block is never in two writes at once: the device could do them in either order. The later write is
 * held back until the earlier one has completed.
 */
#ifndef MEDIA_FILE_H
#define MEDIA_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "media/file_io.h"
#include "media/media.h"

#define FILE_BLOCK 4096u
#define FILE_WRITES 62u /* under way at once */
#define FILE_SYNCS 2u
#define FILE_DEPTH (FILE_WRITES + FILE_SYNCS)
#define FILE_GROUPS 8u
#define FILE_WRITE_MAX (1u << 20) /* bytes in one request */

struct file_setup {
	int fd; /* stays the caller's */
	uint64_t length;
	bool read_only;
	bool hugepages;
	bool fresh;       /* write zeroes over the file instead of reading it */
	const char *path; /* for messages */
};

/* Make fd an O_DIRECT one, have the memory, read the file into it. */
int file_medium_open(const struct file_setup *setup, struct media **medium, struct paste_error *err);

/* The same over given memory and io, which become the medium's, also if this fails. Nothing is read. */
int file_medium_new(struct file_io *io, void *memory, uint64_t length, uint64_t mapped, const char *backing,
		    struct media **medium);

/* Write all of the memory to the file and wait: a new file's zeroes. Counters and tickets start after it. */
int file_medium_fill(struct media *m);

/* Make it read-only: it was read, the file is not needed any more. */
void file_medium_seal(struct media *m);

/* For tests of every layer: put `wrapper(io, context)` in the place of an open medium's io. */
void file_medium_wrap_io(struct media *m, struct file_io *(*wrapper)(struct file_io *io, void *context),
			 void *context);

/* Sync, blocking, with nothing else under way. What the last owner wrote before it died may stand in the device's cache
 * only. Whoever reads it to build on it settles it first: later syncs need not cover it, a durable write covers no
 * more than itself. */
int file_settle(struct file_io *io);

/* Read the first `length` bytes into memory, several requests at a time. -EIO also if the file is shorter. */
int file_load(struct file_io *io, void *memory, uint64_t length);

#endif
