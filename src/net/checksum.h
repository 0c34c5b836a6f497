/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checksum.h - the Internet checksum (RFC 1071).
 *
 * A sum does not mind byte order: words are added as they stand in memory, and what checksum_fold() returns
 * is stored and compared as it stands in memory. Sums of parts add up; at most 16 GiB may go into one.
 */
#ifndef NET_CHECKSUM_H
#define NET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `sum` and n bytes that begin at an even place of what is summed. */
uint64_t checksum_add(uint64_t sum, const void *bytes, size_t n);

/* The same for 16 bytes: addresses and headers come in such pieces. */
static inline uint64_t checksum_add16(uint64_t sum, const void *bytes)
{
	uint32_t w[4];

	memcpy(w, bytes, sizeof(w));
	return sum + w[0] + w[1] + w[2] + w[3];
}

/* The folded 16 bits: 0xffff over what contains its own checksum. Not complemented. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	/* The upper half of a number and its halves exchanged: their sum, the carry out of the lower one added. */
	uint32_t s = (uint32_t)((sum + (sum >> 32 | sum << 32)) >> 32);

	return (uint16_t)((s + (s >> 16 | s << 16)) >> 16);
}

/* The same for bytes that begin at place `at`. Behind a part of odd length each byte counts for the other
 * half of a word. */
static inline uint64_t checksum_add_at(uint64_t sum, size_t at, const void *bytes, size_t n)
{
	if (at % 2 == 0)
		return checksum_add(sum, bytes, n);
	return sum + __builtin_bswap16(checksum_fold(checksum_add(0, bytes, n)));
}

#endif
