/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * place.h - what stands at a path, and which kind of medium that makes it.
 */
#ifndef MEDIA_PLACE_H
#define MEDIA_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "media/media.h"

enum place_type {
	PLACE_FREE,  /* no such name; its directory exists */
	PLACE_FILE,  /* a regular file */
	PLACE_DAX,   /* a device-DAX character device */
	PLACE_BLOCK, /* a block device */
};

enum place_fs {
	PLACE_FS_OTHER, /* also: a device, which has none */
	PLACE_FS_TMPFS,
	PLACE_FS_HUGETLBFS,
};

struct place {
	enum place_type type;
	enum place_fs fs;
	uint64_t granule;         /* sizes are multiples of it: 4096, a huge page, the device's alignment */
	uint64_t size;            /* bytes there are: the file's or the device's; 0 for PLACE_FREE */
	dev_t device;             /* the device itself, or the one that the file (or directory) is on */
	char directory[PATH_MAX]; /* files: where the name stands, links resolved ... */
	char name[NAME_MAX + 1];  /* ... and the name */
};

/* Look at `path`, opening nothing. -EISDIR, -ENOENT (a directory on the way, a dangling link), -EINVAL
 * (neither a file nor a usable device), ... */
int place_find(const char *path, struct place *place, struct paste_error *err);

/* Can this file be mapped with MAP_SYNC, so that written-back lines are all that durability needs? */
bool place_maps_sync(int fd);

/*
 * The kind of medium for `place`, given what the user asked for; fd is open on it (for PLACE_FREE on the new,
 * unnamed file). -EOPNOTSUPP: it cannot be had here; the error says what to do.
 */
int place_kind(const struct place *place, const char *path, int fd, enum media_kind asked,
	       enum media_kind *kind, struct paste_error *err);

/* "device DAX", "DAX file", "tmpfs", ...: what a mapping of this place is. */
const char *place_backing(const struct place *place);

#endif
