/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usage.h - which bytes of a region's image are in use: a second reader of docs/format.md, for sound images
 * only.
 *
 * It knows nothing of the library's code but the structures in region/format.h, so that it agrees with the
 * library where both agree with the document.
 */
#ifndef TESTS_USAGE_H
#define TESTS_USAGE_H

#include <stdint.h>

enum use {
	USE_NONE,
	USE_SUPERBLOCK,
	USE_HEADER, /* of a log segment */
	USE_RECORD, /* header and ops */
	USE_OPEN,   /* the same of an OPEN record */
	USE_TAIL,   /* the same of the last commit, which cannot be told from a torn one */
	USE_PAGE,   /* of the checkpoint */
	USE_VALUE,  /* bytes of a live slice */
	USE_LIST,   /* of slices */
	USES,
};

/* In the map, set in the first byte of each record. */
#define USE_BEGINS 0x80
/* In each byte of a log's last record, which proves the others, and whose key nobody names. */
#define USE_LAST 0x40
/* In the first byte of the first record in the last segment, which finds that segment if its header cannot.
 */
#define USE_FIRST 0x20

static inline enum use use_of(uint8_t mapped)
{
	return mapped & 0x0f;
}

const char *use_name(enum use use);

/* Fill map (a byte per byte of the image) and count the bytes of each use. Ends the process if the image is
 * not as the document says. */
void usage_map(const uint8_t *image, uint64_t size, uint8_t *map, uint64_t counts[USES]);

#endif
