/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ref.h - references: where bytes of a region are.
 *
 * A reference names a slice: `length` bytes that start `offset` bytes into buffer `buffer`. Buffers are numbered
 * over all areas of a region, from 0, and mean the same place for ever. A slice may run on into the buffers that
 * follow in the same segment (they are adjacent in memory): offset + length may exceed the buffer size.
 */
#ifndef PASTE_REF_H
#define PASTE_REF_H

#include <stdint.h>

struct paste_ref {
	uint32_t buffer;
	uint16_t offset; /* bytes, below the buffer size */
	uint16_t length; /* bytes, at least 1 */
};

_Static_assert(sizeof(struct paste_ref) == 8, "a reference is 8 bytes on the medium");

#endif
