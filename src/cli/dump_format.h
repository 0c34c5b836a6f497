/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump_format.h - what `pst dump` writes: a header, records one behind the other, an end. docs/dump.md draws
 * it. All integers little-endian. Nothing depends on the medium, sizes or places of the region that it was
 * taken from.
 */
#ifndef CLI_DUMP_FORMAT_H
#define CLI_DUMP_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define DUMP_MAGIC "PASTEDMP"
#define DUMP_FORMAT 1

struct dump_header {
	char magic[8];
	uint32_t format;
	uint32_t crc;                                /* CRC32C of the header, this field being 0 */
	uint64_t created;                            /* seconds since 1970 */
	uint64_t version;                            /* no key's is higher */
	uint64_t keys, streams, entries, live_bytes; /* about, for who watches */
	char uuid[40];                               /* of the region, as text, padded with zeroes */
	char name[64];
};

static_assert(sizeof(struct dump_header) == 168, "dump header layout");

enum dump_type {
	DUMP_KEY = 1,    /* number: its version, more: when it expires (ms since 1970, 0: never) */
	DUMP_STREAM = 2, /* number: its first entry's, more: the next entry's; no value. Its entries follow */
	DUMP_ENTRY = 3,  /* number: its sequence number; no name: it is of the last stream */
	DUMP_END = 4,    /* number: how many records were before, more: how many of them are DUMP_DAMAGED */
};

#define DUMP_DAMAGED 1 /* flag: the value was damaged; it is not here, and its length is 0 */

/* Behind it stand the name and the value. */
struct dump_record {
	uint32_t crc; /* CRC32C of this struct, this field being 0, and the name */
	uint8_t type, flags;
	uint16_t name_length;
	uint64_t length; /* of the value */
	uint64_t number, more;
	uint32_t value_crc; /* CRC32C of the value */
	uint32_t zero;
};

static_assert(sizeof(struct dump_record) == 40, "dump record layout");

#endif
