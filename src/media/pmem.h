/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pmem.h - the media whose bytes are durable once their cache lines are written back and fenced: `pmem`, and
 * `shm`, where the same instructions run but the memory lasts no longer than the machine is up.
 */
#ifndef MEDIA_PMEM_H
#define MEDIA_PMEM_H

#include <stdbool.h>
#include <stdint.h>

#include "media/flush.h"
#include "media/media.h"

struct pmem_setup {
	enum media_kind kind; /* MEDIA_PMEM or MEDIA_SHM */
	const char *backing;
	bool read_only;
	struct flush flush;
};

/* A medium over an existing mapping of whole pages, which it unmaps at close. */
int pmem_medium_new(const struct pmem_setup *setup, void *memory, uint64_t length, struct media **medium);

#endif
