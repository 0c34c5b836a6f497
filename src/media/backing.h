/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backing.h - the file or device under a medium: making it, its writer's lock, its name.
 *
 * A new file has no name until backing_publish() (O_TMPFILE), or, on a file system that cannot make one, a
 * temporary name beside the target that backing_close() removes. The lock is flock() on the descriptor of the
 * medium itself: it belongs to the open file description, so it lasts as long as the process or the last
 * request to the kernel that refers to it.
 */
#ifndef MEDIA_BACKING_H
#define MEDIA_BACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "media/media.h"
#include "media/place.h"

struct backing {
	int fd;             /* what the medium maps, reads and writes */
	int directory;      /* a new file: where publish puts it; else -1 */
	int replaced;       /* a new file under force: the one it replaces, locked; else -1 */
	bool unnamed;       /* a new file that has no name yet, or only `temporary` */
	char temporary[32]; /* "" for O_TMPFILE */
	char name[NAME_MAX + 1];
	char path[PATH_MAX]; /* for messages */
};

/* Make a new file for (or open the device at) `place`, locked. Nothing is allocated yet. */
int backing_create(const struct media_options *options, const struct place *place, struct backing **backing,
		   struct paste_error *err);

/* Open what is at the path, locked unless read_only; `place` is found anew. */
int backing_open(const struct media_options *options, struct place *place, struct backing **backing,
		 struct paste_error *err);

/* Give a file its size and all its blocks or pages from `from` on, where a new one's begins with 0; their content
 * reads as zero. -ENOSPC */
int backing_allocate(struct backing *b, const struct place *place, uint64_t from, uint64_t size, struct paste_error *err);

/* Write zeroes over the file from `from` on with write(2), so that its extents are written ones, and sync it. */
int backing_write_zeroes(struct backing *b, uint64_t from, uint64_t size, struct paste_error *err);

/* Link a new file into place and make the name durable. */
int backing_publish(struct backing *b, struct paste_error *err);

void backing_close(struct backing *b);

#endif
