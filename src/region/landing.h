/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * landing.h - devices that were given buffers to write into, noted in the superblock.
 *
 * When their owner dies, the kernel takes the buffers from the device some time later: until then packets may
 * land in buffers that nothing owns any more, as far as a successor can see. So the device is noted, durably,
 * before it gets its first buffer, and a successor opens for writing only when it knows that each noted
 * device was stopped. Until then every buffer without a live slice is in quarantine: nothing is handed out,
 * nothing is written. That costs no time unless somebody died, and then about as long as the kernel takes to
 * clean up behind him.
 *
 * The region does not know devices; who opens it hands in how to ask (paste_open_options.released).
 */
#ifndef REGION_LANDING_H
#define REGION_LANDING_H

#include "region/region.h"

/* Note the device; durable on return. What is noted already is noted once. -ENOSPC: too many. */
int region_landing_add(struct paste_region *r, const struct paste_landing *landing);

/* It was stopped. Forgotten durably with the next superblock: a successor that still finds it is told at once
 * that it was. */
void region_landing_remove(struct paste_region *r, const struct paste_landing *landing);

/* At opening for writing, before anything is written: wait for all that are noted, and forget them. -EBUSY:
 * one may still write, or nobody can tell. */
int region_landings_wait(struct paste_region *r, paste_landing_released *released, void *arg,
			 struct paste_error *err);

#endif
