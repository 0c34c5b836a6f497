/* SPDX-License-Identifier: BSD-2-Clause */
/* dump_read.h - reading a dump, every checksum verified before what it covers is handed on. */
#ifndef CLI_DUMP_READ_H
#define CLI_DUMP_READ_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/dump_format.h"
#include "paste/error.h"

struct dump_read {
	FILE *in;
	uint64_t offset; /* bytes read */
	struct dump_header header;
	struct dump_record record;
	uint8_t name[1025];
	uint64_t records, damaged; /* so far */
	bool in_stream;
	uint64_t next; /* entry of the stream that the records are in */
	/* The value of the record, as far as it has been read: dump_read_value() */
	uint64_t value_left;
	uint32_t value_crc;
};

/* -EBADMSG: no dump, or damaged; -EPROTO: of a newer version. */
int dump_read_begin(struct dump_read *r, FILE *in, struct paste_error *err);
/* The next record, and its name. What was not read of the last one's value is read over, and verified. 1:
 * one; 0: the end, and all that belongs before it was there. -EBADMSG: damaged, or cut off. */
int dump_read_next(struct dump_read *r, struct paste_error *err);
/* The next bytes of the value, at most `room`; 0 at its end, when its checksum has been found right. */
int64_t dump_read_value(struct dump_read *r, void *to, uint64_t room, struct paste_error *err);

#endif
