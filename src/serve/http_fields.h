/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_fields.h - values of single fields: entity tags, ranges, numbers.
 *
 * Our entity tags are versions in hexadecimal: "1f". A tag of any other form is well-formed and matches
 * nothing.
 */
#ifndef SERVE_HTTP_FIELDS_H
#define SERVE_HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_TAGS_MAX 16 /* tags of ours in one field, else 400 */

struct http_text {
	const char *at; /* NULL: absent */
	uint32_t length;
};

/* If-Match or If-None-Match, all lines of it together (RFC 9110, 13.1). */
struct http_tags {
	bool present;
	bool any;  /* "*" */
	uint8_t n; /* further ones were not ours, or weak where only a strong one can match */
	uint64_t versions[HTTP_TAGS_MAX];
};

enum http_range_kind {
	HTTP_RANGE_NONE,
	HTTP_RANGE_FIRST, /* bytes first to last, both with; last may be UINT64_MAX */
	HTTP_RANGE_LAST,  /* the last `last` bytes */
};

struct http_range {
	uint64_t first, last;
	uint8_t kind; /* enum http_range_kind */
};

/* Add a line's tags. weak: W/"x" matches like "x" (If-None-Match), else never. 0 or a negative rule
 * (http_rule.h). */
int http_add_tags(struct http_tags *tags, struct http_text line, bool weak);
/* Does a representation with this version (0: there is none) match? */
bool http_tags_match(const struct http_tags *tags, uint64_t version);
/* A version as we write it, without quotes: small letters, no leading zero. 0: it is none. */
uint64_t http_version(struct http_text text);
/* A single strong tag of ours. 0: it is something else. */
uint64_t http_strong_tag(struct http_text value);

/* One range of bytes. Several, other units and what is not well-formed ask for nothing: the whole is sent, as
 * RFC 9110, 14.2 allows. */
struct http_range http_parse_range(struct http_text value);
/* Which bytes of `length` these are. 1: *first and *count; 0: none of them exist (416). */
int http_range_of(const struct http_range *range, uint64_t length, uint64_t *first, uint64_t *count);

/* Decimal digits and nothing else. -EINVAL, -ERANGE beyond 2^64 - 1. */
int http_parse_decimal(struct http_text text, uint64_t *value);

#endif
