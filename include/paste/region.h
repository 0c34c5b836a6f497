/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * region.h - a named region of durable memory, cut into buffers.
 *
 * A region is a file or device with a superblock and areas of buffers (docs/format.md). Buffers receive packets,
 * hold values, and make up the log; a buffer is free, or owned by
 *   - durable slices: references in records or a checkpoint. The store counts them (live).
 *   - users: whoever holds it in this process: a receive ring, a request being parsed, a send under way.
 * It goes back to the free list when both counts are zero and, if a durable slice was in it, when its removal can
 * no longer be undone by recovery. So "keep" is: the store took a slice of it; "drop" is: paste_buffer_put().
 *
 * One process writes a region at a time, one thread at a time. Nothing here blocks except open and close.
 */
#ifndef PASTE_REGION_H
#define PASTE_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "paste/error.h"
#include "paste/ref.h"

struct paste_region;

/* A device that was given the region's buffers to receive into. What the numbers mean is the device's business. */
struct paste_landing {
	uint64_t boot, space;
	uint32_t interface, first_queue, queues;
	char name[32]; /* for people */
};

/* The owner of a region died while this device had buffers of it. Wait until it is known to have stopped: 0; or a negative errno
 * (-EBUSY: it may still write) and a sentence. */
typedef int paste_landing_released(void *arg, const struct paste_landing *landing, struct paste_error *err);

/* Take a free buffer for the caller's use, users = 1. Fresh buffers come in ascending order. -ENOBUFS: none is left
 * above the reserve that the store keeps to answer and to reclaim. The content is undefined. */
int paste_buffer_alloc(struct paste_region *r, uint32_t *buffer);

/* One more user of a buffer; the caller must hold one already, or the store a live slice of it. */
void paste_buffer_get(struct paste_region *r, uint32_t buffer);

/* One user less. At zero users and zero live slices the buffer is free. */
void paste_buffer_put(struct paste_region *r, uint32_t buffer);

/* Nobody but the caller holds the buffer, who holds it once, and no live slice is in it: it may be received into again, as if
 * it had been put and taken anew (the bytes in it stay). False: somebody keeps it; put it and take another one. */
bool paste_buffer_renew(struct paste_region *r, uint32_t buffer);

/* paste_buffer_get and paste_buffer_put for every buffer that the slice touches. */
void paste_ref_get(struct paste_region *r, struct paste_ref ref);
void paste_ref_put(struct paste_region *r, struct paste_ref ref);

/* Where the bytes are in this process. */
uint8_t *paste_buffer_data(struct paste_region *r, uint32_t buffer);
uint8_t *paste_ref_data(struct paste_region *r, struct paste_ref ref);

/* Buffer + 1 follows it in memory and in the same segment: a slice may run on from the one into the other. */
bool paste_buffer_adjoins_next(const struct paste_region *r, uint32_t buffer);

uint32_t paste_buffer_size(const struct paste_region *r);  /* bytes: 2048 or 4096 */
uint32_t paste_buffer_count(const struct paste_region *r); /* in all areas */
uint32_t paste_buffer_free(const struct paste_region *r);  /* that paste_buffer_alloc could still hand out */

/* `more` buffers (negative: fewer) are held from now on for as long as their holder lives, as those of rings are: what is
 * stored leaves room beside them. */
void paste_buffer_standing(struct paste_region *r, int32_t more);

#endif
