/* SPDX-License-Identifier: BSD-2-Clause */
/* text.h - a text on the heap that grows: the body of a reply that is written piece by piece. */
#ifndef SERVE_TEXT_H
#define SERVE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *at; /* the caller's in the end; NULL before the first byte */
	size_t n, room;
	bool failed; /* out of memory: what was added since is missing */
};

void text_bytes(struct text *t, const void *bytes, size_t n);
void text_string(struct text *t, const char *s);
void text_decimal(struct text *t, uint64_t value);
void text_hex(struct text *t, uint64_t value);
/* As it can stand in a target's path or query, and in a JSON string: unreserved characters (RFC 3986, 2.3) as
 * they are, %XX else. `slash`: '/' as it is, too. */
void text_name(struct text *t, const uint8_t *name, size_t length, bool slash);

#endif
