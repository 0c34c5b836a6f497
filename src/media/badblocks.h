/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * badblocks.h - the bytes of persistent memory that the kernel knows to be lost: a load from them would be answered
 * with SIGBUS. What it does not know yet is not found here.
 */
#ifndef MEDIA_BADBLOCKS_H
#define MEDIA_BADBLOCKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "media/media.h"

/*
 * The bad ranges among the bytes [start, start + length) of a device, added to *bad as if the first of them were at
 * `at`. sysfs (mounted at `sys`) has them in `badblocks` of the block device, or of the nd region that a device-DAX one
 * is a part of. 0 (also when nobody says anything) or -ENOMEM.
 */
int badblocks_device(const char *sys, bool block, dev_t device, uint64_t start, uint64_t length, uint64_t at,
		     struct media_bad *bad);

/* The same for the first `length` bytes of a file: its extents say where they are on the device. */
int badblocks_file(const char *sys, int fd, dev_t device, uint64_t length, struct media_bad *bad);

#endif
