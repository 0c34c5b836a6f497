/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chunk.h - the framing of a chunked body (RFC 9112, 7.1), taken apart as it arrives, in pieces of any size.
 *
 *	n = chunk_scan(&chunk, bytes, length);      n bytes are framing; negative: a broken rule, then close
 *	if (chunk_is_done(&chunk))                  the body ended with the n-th byte
 *	if (chunk_has_data(&chunk))                 what stands behind them, up to chunk.left bytes, is the body's
 *		chunk_took(&chunk, taken);          say how much of it was taken, and go on
 *
 * Extensions and trailer fields are read over, but they must be well-formed: a lenient reading of a line's
 * end is what request smuggling lives on. Both are bounded, so that they cannot be sent for ever in front of
 * an empty body.
 */
#ifndef SERVE_CHUNK_H
#define SERVE_CHUNK_H

#include <stdbool.h>
#include <stdint.h>

#define CHUNK_EXTENSIONS_MAX 16384 /* bytes of all extensions of a body, else 400 */
#define CHUNK_TRAILER_MAX 16384    /* bytes of the trailer section, else 431 */

/* Zeroed: before the first byte of a body. */
struct chunk_scan {
	uint64_t left;     /* bytes of data in this chunk that were not taken */
	uint16_t overhead; /* bytes of extensions, then of trailer fields */
	uint8_t digits;    /* of the size */
	uint8_t state;
};

int chunk_scan(struct chunk_scan *chunk, const char *bytes, uint32_t length);
void chunk_took(struct chunk_scan *chunk, uint32_t n);
bool chunk_has_data(const struct chunk_scan *chunk); /* behind what was looked at; else all was framing */
bool chunk_is_done(const struct chunk_scan *chunk);

#endif
