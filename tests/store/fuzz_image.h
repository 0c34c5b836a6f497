/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_image.h - what the fuzzers of the format share: a small valid region to be spoilt, and what is done
 * with it then.
 */
#ifndef TESTS_FUZZ_IMAGE_H
#define TESTS_FUZZ_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "store/store_internal.h"

#define FUZZ_SIZE (1024 * 1024)

/* A region of FUZZ_SIZE bytes with keys, streams, lists, a checkpoint, and a log behind it, as a crash left
 * it. Made once. */
const uint8_t *fuzz_image(void);

/* Open a spoilt copy: read only, read everything, check; if it opens and `write`, go on writing in it, too.
 * The copy is changed. */
void fuzz_use(uint8_t *image, bool write);

/* The checksum as whoever wrote it would have made it. */
void fuzz_seal_superblock(struct superblock *sb);

/* Bytes of the input, zeroes behind its end. */
struct fuzz_input {
	const uint8_t *p;
	size_t n;
};

static inline uint64_t fuzz_take(struct fuzz_input *in, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++) {
		value = value << 8 | (in->n ? *in->p : 0);
		in->p += in->n > 0;
		in->n -= in->n > 0;
	}
	return value;
}

#endif
