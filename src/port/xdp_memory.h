/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_memory.h - may the memory of a region be an AF_XDP UMEM, and what does it cost the kernel.
 *
 * The kernel pins all of it for as long as a socket has it, and keeps some bytes a chunk for each queue. What
 * it accepts by itself is not enough: some versions pin mappings whose bytes never reach the file. So it is
 * decided by what is mapped.
 */
#ifndef PORT_XDP_MEMORY_H
#define PORT_XDP_MEMORY_H

#include <stdint.h>

#include "media/media.h"
#include "paste/error.h"

#define XDP_MEMORY_PER_CHUNK 128   /* bytes, for each queue */
#define XDP_MEMORY_MOST 0x7fffffff /* bytes of one allocation in the kernel */

/* 0, -EOPNOTSUPP (the kind of mapping), -EFBIG (too many buffers), -EINVAL (where it lies). `bytes`: of the
 * area; `start`: where it is mapped, NULL if it is not yet. */
int xdp_memory_check(const struct media *m, const void *start, uint64_t bytes, uint32_t chunk,
		     struct paste_error *err);

/* Bytes of kernel memory for one queue: the chunks' states and four rings of `slots` entries. */
uint64_t xdp_memory_per_queue(uint64_t bytes, uint32_t chunk, uint32_t slots);

#endif
