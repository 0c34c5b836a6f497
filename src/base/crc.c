/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/crc.h"

#include <string.h>

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_instruction(uint32_t crc, const uint8_t *p, size_t length)
{
	uint64_t c = ~crc, word;

	for (; length >= sizeof(word); p += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		c = _mm_crc32_u64(c, word);
	}
	if (length & 4) {
		uint32_t half;
		memcpy(&half, p, sizeof(half));
		c = _mm_crc32_u32((uint32_t)c, half);
		p += sizeof(half);
	}
	for (length &= 3; length > 0; length--)
		c = _mm_crc32_u8((uint32_t)c, *p++);
	return ~(uint32_t)c;
}

uint32_t paste_crc_short(uint32_t crc, const void *data, size_t length)
{
	if (__builtin_cpu_supports("sse4.2"))
		return crc_instruction(crc, data, length);
	return paste_crc_long(crc, data, length);
}
#else
uint32_t paste_crc_short(uint32_t crc, const void *data, size_t length)
{
	return paste_crc_long(crc, data, length);
}
#endif
