/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair.h - find a single flipped bit from a CRC32C.
 *
 * CRC32C is linear: flipping bit i of a message changes its CRC by a value that depends only on how far bit i is from
 * the end. For messages below 2^31 bits these values differ for all i (Hamming distance >= 3), so that the
 * difference between the stored and the computed CRC names the bit. Only used where a mistake in metadata is known
 * to be damage and not a torn write; the odds that other damage looks like one bit are bits / 2^32.
 */
#ifndef REGION_REPAIR_H
#define REGION_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bit of a message of `length` bytes whose flip changes its CRC by `syndrome` (stored XOR computed), counted from
 * bit 0 of byte 0; -1 if there is none. */
int64_t repair_find_bit(size_t length, uint32_t syndrome);

/* The flipped bit is in the stored CRC itself. */
static inline bool repair_in_checksum(uint32_t syndrome)
{
	return syndrome && (syndrome & (syndrome - 1)) == 0;
}

#endif
