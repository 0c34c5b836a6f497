/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_superblock.c - any content of the first 64 KiB over a small valid region.
 *
 * The first byte chooses: the rest is laid over the start as it is, or it is a list of changes to the
 * superblock (place, length, bytes), in copy A, B or both, sealed with a right checksum or not, and whether
 * the region is written to afterwards. Checked: no memory error, no endless work, no failed assertion.
 */
#include "fuzz_image.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum choice {
	CHOICE_RAW = 1,
	CHOICE_A = 2,
	CHOICE_B = 4,
	CHOICE_SEAL = 8,
	CHOICE_WRITE = 16,
};

static void change(struct superblock *sb, struct fuzz_input in, bool seal)
{
	uint8_t *bytes = (uint8_t *)sb;

	while (in.n > 0) {
		uint64_t at = fuzz_take(&in, 2) % sizeof(*sb), n = 1 + fuzz_take(&in, 1) % 8;
		for (uint64_t i = 0; i < n && at + i < sizeof(*sb); i++)
			bytes[at + i] = (uint8_t)fuzz_take(&in, 1);
	}
	if (seal)
		fuzz_seal_superblock(sb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *image = aligned_alloc(4096, FUZZ_SIZE);
	struct fuzz_input in = {data, size};
	uint64_t choice = fuzz_take(&in, 1);

	memcpy(image, fuzz_image(), FUZZ_SIZE);
	if (choice & CHOICE_RAW) {
		memcpy(image, in.p, in.n < AREA_START ? in.n : AREA_START);
	} else {
		if (choice & CHOICE_A)
			change((struct superblock *)image, in, choice & CHOICE_SEAL);
		if (choice & CHOICE_B)
			change((struct superblock *)(image + SUPERBLOCK_B_OFFSET), in, choice & CHOICE_SEAL);
	}
	fuzz_use(image, choice & CHOICE_WRITE);
	free(image);
	return 0;
}
