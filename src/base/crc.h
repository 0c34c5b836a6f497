/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crc.h - CRC32C (Castagnoli; RFC 3720 appendix B.4), by ISA-L.
 *
 * `paste_crc(0, p, n)` is the CRC of n bytes, and `paste_crc(paste_crc(0, a, n), b, m)` that of a followed by b.
 */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

#include <isa-l/crc.h>

/* Below this the processor's own instruction is faster than ISA-L, which is made for long runs: 92 bytes, a record with
 * its op, take 37 cycles instead of 69, a key 7 instead of 33. */
#define CRC_SHORT 160

uint32_t paste_crc_short(uint32_t crc, const void *data, size_t length);

static inline uint32_t paste_crc_long(uint32_t crc, const void *data, size_t length)
{
	/* ISA-L takes an int length and neither inverts its input nor its output. */
	crc = ~crc;
	const uint8_t *p = data;
	while (length > (1u << 30)) {
		crc = crc32_iscsi((unsigned char *)(uintptr_t)p, 1 << 30, crc);
		p += 1u << 30;
		length -= 1u << 30;
	}
	return ~crc32_iscsi((unsigned char *)(uintptr_t)p, (int)length, crc);
}

static inline uint32_t paste_crc(uint32_t crc, const void *data, size_t length)
{
	return length < CRC_SHORT ? paste_crc_short(crc, data, length) : paste_crc_long(crc, data, length);
}

#endif
