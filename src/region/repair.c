/* SPDX-License-Identifier: BSD-2-Clause */
#include "region/repair.h"

#include <isa-l/crc.h>

int64_t repair_find_bit(size_t length, uint32_t syndrome)
{
	uint32_t change[8];
	unsigned char byte;

	if (!syndrome || !length)
		return -1;
	/* The change made by each bit of the last byte, then carried backwards one zero byte at a time. */
	for (int b = 0; b < 8; b++) {
		byte = (unsigned char)(1u << b);
		change[b] = crc32_iscsi(&byte, 1, 0);
	}
	byte = 0;
	for (size_t i = length; i-- > 0;) {
		for (int b = 0; b < 8; b++) {
			if (change[b] == syndrome)
				return (int64_t)(i * 8) + b;
			change[b] = crc32_iscsi(&byte, 1, change[b]);
		}
	}
	return -1;
}
