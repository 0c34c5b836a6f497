/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_parse.h - the head of an HTTP/1.1 request (RFC 9112), parsed where it lies.
 *
 * Two steps. http_scan() finds the end of a head that may arrive in pieces, looking at each byte once:
 *
 *	struct http_scan scan = { 0 };
 *	n = http_scan(&scan, bytes, length);     0: incomplete, call again with more bytes behind these
 *	n = http_parse(&request, bytes + scan.start, n - scan.start);
 *
 * The texts of a request point into those bytes. Both return the rule that is broken (http_rule.h), negative,
 * when the bytes are no acceptable head: the connection must be closed after that answer, because where the
 * next request begins is not known (RFC 9112, 2.2 and 11.2). Where a lenient reading could differ from another
 * server's, there is none: bare CR or LF, obs-fold, space before a colon, two lengths, a length beside a
 * transfer coding are all refused.
 */
#ifndef SERVE_HTTP_PARSE_H
#define SERVE_HTTP_PARSE_H

#include "serve/http_fields.h"
#include "serve/http_rule.h"

#define HTTP_LINE_MAX 8192  /* bytes of the request line, else 414 */
#define HTTP_HEAD_MAX 16384 /* bytes of a head, else 431 */
#define HTTP_FIELD_MAX 100  /* field lines, else 431 */

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_PUT,
	HTTP_POST,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_OTHER, /* known to RFC 9110 or 5789, used by nothing here */
};

/* Fields that somebody here asks for. Add a line to the table in http_parse.c with a new one. */
enum http_field {
	HTTP_HOST,
	HTTP_CONTENT_LENGTH,
	HTTP_TRANSFER_ENCODING,
	HTTP_CONNECTION,
	HTTP_EXPECT,
	HTTP_RANGE,
	HTTP_IF_RANGE,
	HTTP_IF_MATCH,
	HTTP_IF_NONE_MATCH,
	HTTP_TTL,
	HTTP_IDEMPOTENCY_KEY,
	HTTP_AUTHORIZATION,
	HTTP_FIELDS,
};

struct http_request {
	enum http_method method;
	bool http_1_0;
	bool keep_alive;      /* the client lets us keep the connection */
	bool expect_continue; /* it waits for 100 before it sends the body */
	bool chunked;         /* the body ends where chunk.h says; else it has content_length bytes */
	uint64_t content_length;
	struct http_text path;                /* begins with '/', percent-encoded as sent; "*" of OPTIONS */
	struct http_text query;               /* what stands behind '?' */
	struct http_text fields[HTTP_FIELDS]; /* without white space around; the first line of several */
	struct http_tags if_match, if_none_match;
};

struct http_scan {
	uint32_t start; /* where the head begins: behind empty lines that a client may send before it */
	uint32_t at;    /* bytes looked at */
	uint32_t line;  /* where the current line begins */
	uint32_t lines; /* complete ones, empty ones not counted */
	uint32_t empty;
};

/* The number of bytes up to and with the empty line that ends the head, 0 if it is not there yet, or a
 * negative rule. Call again with the same bytes at the front and more behind. */
int http_scan(struct http_scan *scan, const char *bytes, uint32_t length);

/* Parse a complete head. 0 or a negative rule. */
int http_parse(struct http_request *request, const char *head, uint32_t length);

/* Decode %XX. Returns the number of bytes written, or -EINVAL for a bad escape, -EMSGSIZE if there are more
 * than `room`.
 */
int http_percent_decode(struct http_text text, uint8_t *out, uint32_t room);

/* Characters of a token, and of a field's value (RFC 9110, 5.5 and 5.6.2). */
bool http_is_token(uint8_t c);
bool http_is_value(uint8_t c);
int http_hex_digit(uint8_t c); /* its value, or -1 */

#endif
