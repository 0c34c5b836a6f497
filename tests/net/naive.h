/* SPDX-License-Identifier: BSD-2-Clause */
/* naive.h - the Internet checksum as RFC 1071 tells it, byte by byte, for tests to hold others against. */
#ifndef TESTS_NAIVE_H
#define TESTS_NAIVE_H

#include <stddef.h>
#include <stdint.h>

/* One's complement sum of big-endian words, going on from `sum`; an odd last byte is the upper half of a
 * word. */
static inline uint16_t naive_sum(uint16_t sum, const uint8_t *bytes, size_t n)
{
	uint32_t s = sum;

	for (size_t i = 0; i < n; i++) {
		s += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		s = (s & 0xffff) + (s >> 16);
	}
	return (uint16_t)s;
}

#endif
