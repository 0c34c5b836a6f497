/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLAB_REPLIES 128

struct reply_slab {
	struct reply_slab *next;
	struct reply replies[SLAB_REPLIES];
};

struct reply *reply_new(struct reply_pool *pool)
{
	if (!pool->free) {
		struct reply_slab *slab = malloc(sizeof(*slab));

		if (!slab)
			return NULL;
		slab->next = pool->slabs;
		pool->slabs = slab;
		for (int i = SLAB_REPLIES - 1; i >= 0; i--) {
			slab->replies[i].next = pool->free;
			pool->free = &slab->replies[i];
		}
	}
	struct reply *r = pool->free;
	pool->free = r->next;
	memset(r, 0, offsetof(struct reply, inside));
	return r;
}

void reply_free(struct reply_pool *pool, struct reply *r)
{
	if (r->on_heap)
		free(r->heap);
	r->next = pool->free;
	pool->free = r;
}

void reply_pool_close(struct reply_pool *pool)
{
	while (pool->slabs) {
		struct reply_slab *slab = pool->slabs;

		pool->slabs = slab->next;
		free(slab);
	}
	pool->free = NULL;
}

const uint8_t *reply_bytes(const struct reply *r)
{
	return r->on_heap ? r->heap : r->inside;
}

const struct paste_ref *reply_slices(const struct reply *r)
{
	return r->on_heap ? r->heap : r->inside_slices;
}

void reply_date_set(struct reply_date *date, int64_t unix_seconds)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t t = (time_t)unix_seconds;
	struct tm tm;

	if (date->second == unix_seconds && date->line[0])
		return;
	date->second = unix_seconds;
	gmtime_r(&t, &tm);
	/* The moduli tell the compiler that the widths are what the format says. */
	snprintf(date->line, sizeof(date->line), "Date: %s, %02u %s %04u %02u:%02u:%02u GMT\r\n",
		 days[tm.tm_wday % 7u], tm.tm_mday % 100u, months[tm.tm_mon % 12u],
		 (tm.tm_year + 1900u) % 10000u, tm.tm_hour % 100u, tm.tm_min % 100u, tm.tm_sec % 100u);
}

/* A constant string is written with its length known to the compiler. */
#define PUT(at, literal) put_bytes(at, literal, sizeof(literal) - 1)

static char *put_bytes(char *at, const char *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

static char *put_string(char *at, const char *s)
{
	return put_bytes(at, s, strlen(s));
}

static char *put_decimal(char *at, uint64_t value)
{
	char digits[20];
	int n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n)
		*at++ = digits[--n];
	return at;
}

static char *put_hex(char *at, uint64_t value)
{
	int shift = value ? (63 - __builtin_clzll(value)) / 4 * 4 : 0;

	for (; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[value >> shift & 15];
	return at;
}

static char *put_status(char *at, uint16_t status)
{
	switch (status) {
	case 100:
		return PUT(at, "HTTP/1.1 100 Continue\r\n");
	case 200:
		return PUT(at, "HTTP/1.1 200 OK\r\n");
	case 201:
		return PUT(at, "HTTP/1.1 201 Created\r\n");
	case 204:
		return PUT(at, "HTTP/1.1 204 No Content\r\n");
	case 206:
		return PUT(at, "HTTP/1.1 206 Partial Content\r\n");
	case 304:
		return PUT(at, "HTTP/1.1 304 Not Modified\r\n");
	case 400:
		return PUT(at, "HTTP/1.1 400 Bad Request\r\n");
	case 401:
		return PUT(at, "HTTP/1.1 401 Unauthorized\r\n");
	case 403:
		return PUT(at, "HTTP/1.1 403 Forbidden\r\n");
	case 404:
		return PUT(at, "HTTP/1.1 404 Not Found\r\n");
	case 405:
		return PUT(at, "HTTP/1.1 405 Method Not Allowed\r\n");
	case 408:
		return PUT(at, "HTTP/1.1 408 Request Timeout\r\n");
	case 412:
		return PUT(at, "HTTP/1.1 412 Precondition Failed\r\n");
	case 413:
		return PUT(at, "HTTP/1.1 413 Content Too Large\r\n");
	case 414:
		return PUT(at, "HTTP/1.1 414 URI Too Long\r\n");
	case 416:
		return PUT(at, "HTTP/1.1 416 Range Not Satisfiable\r\n");
	case 417:
		return PUT(at, "HTTP/1.1 417 Expectation Failed\r\n");
	case 422:
		return PUT(at, "HTTP/1.1 422 Unprocessable Content\r\n");
	case 431:
		return PUT(at, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
	case 501:
		return PUT(at, "HTTP/1.1 501 Not Implemented\r\n");
	case 503:
		return PUT(at, "HTTP/1.1 503 Service Unavailable\r\n");
	case 505:
		return PUT(at, "HTTP/1.1 505 HTTP Version Not Supported\r\n");
	case 507:
		return PUT(at, "HTTP/1.1 507 Insufficient Storage\r\n");
	default:
		return PUT(at, "HTTP/1.1 500 Internal Server Error\r\n");
	}
}

/* Digits of {"seq":N} and its line feed. */
static uint64_t sequence_length(uint64_t sequence)
{
	uint64_t n = 9;

	do
		n++;
	while (sequence /= 10);
	return n;
}

static uint64_t body_length(const struct reply *r)
{
	switch (r->body) {
	case REPLY_TEXT:
		return strlen(r->text);
	case REPLY_SEQUENCE:
		return sequence_length(r->version);
	case REPLY_EMPTY:
		return 0;
	default:
		return r->length;
	}
}

static char *put_length(char *at, const struct reply *r)
{
	if (r->chunked)
		return PUT(at, "Transfer-Encoding: chunked\r\n");
	if (r->body == REPLY_ENTRIES)
		return at; /* to HTTP/1.0: until the connection ends */
	at = PUT(at, "Content-Length: ");
	at = put_decimal(at, body_length(r));
	return PUT(at, "\r\n");
}

static char *put_content(char *at, const struct reply *r)
{
	const char *type = r->body == REPLY_TEXT ? "text/plain" : r->type;

	if (type && r->body != REPLY_EMPTY) {
		at = PUT(at, "Content-Type: ");
		at = put_string(at, type);
		at = PUT(at, "\r\n");
	}
	return put_length(at, r);
}

static char *put_stream(char *at, const struct reply *r)
{
	if (r->first_entry) {
		at = PUT(at, "PST-First: ");
		at = put_decimal(at, r->first_entry);
		at = PUT(at, "\r\n");
	}
	at = PUT(at, "PST-Next: ");
	at = put_decimal(at, r->next_entry);
	return PUT(at, "\r\n");
}

static char *put_content_range(char *at, const struct reply *r)
{
	at = PUT(at, "Content-Range: bytes ");
	if (r->status == 206) {
		at = put_decimal(at, r->first);
		at = PUT(at, "-");
		at = put_decimal(at, r->first + r->length - 1);
	} else {
		at = PUT(at, "*");
	}
	at = PUT(at, "/");
	at = put_decimal(at, r->total);
	return PUT(at, "\r\n");
}

static char *put_allow(char *at, const struct reply *r)
{
	at = PUT(at, "Allow: ");
	at = put_string(at, r->allow);
	return PUT(at, "\r\n");
}

uint32_t reply_format(const struct reply *r, const struct reply_date *date, char out[REPLY_HEAD_MAX])
{
	char *at = put_status(out, r->status);

	if (r->status == 100) /* RFC 9110, 15.2: an interim response ends here */
		return (uint32_t)(PUT(at, "\r\n") - out);
	at = put_bytes(at, date->line, REPLY_DATE_LENGTH);
	if (r->status != 204 && r->status != 304) /* RFC 9110, 8.6 and 15.4.5: no Content-Length in it */
		at = put_content(at, r);
	if (r->status == 206 || r->status == 416)
		at = put_content_range(at, r);
	if (r->ttl) {
		at = PUT(at, "PST-TTL: ");
		at = put_decimal(at, r->ttl);
		at = PUT(at, "\r\n");
	}
	if (r->repeated)
		at = PUT(at, "PST-Repeated: true\r\n");
	if (r->next_entry)
		at = put_stream(at, r);
	if (r->allow)
		at = put_allow(at, r);
	if (r->challenge) {
		at = PUT(at, "WWW-Authenticate: ");
		at = put_string(at, r->challenge);
		at = PUT(at, "\r\n");
	}
	if (r->version && r->body != REPLY_SEQUENCE) {
		at = PUT(at, "ETag: \"");
		at = put_hex(at, r->version);
		at = PUT(at, "\"\r\n");
	}
	if (r->retry)
		at = PUT(at, "Retry-After: 1\r\n");
	if (r->close)
		at = PUT(at, "Connection: close\r\n");
	else if (r->keep_1_0)
		at = PUT(at, "Connection: keep-alive\r\n");
	at = PUT(at, "\r\n");
	if (r->head_only)
		return (uint32_t)(at - out);
	if (r->body == REPLY_TEXT) {
		at = put_string(at, r->text);
	} else if (r->body == REPLY_SEQUENCE) {
		at = PUT(at, "{\"seq\":");
		at = put_decimal(at, r->version);
		at = PUT(at, "}\n");
	}
	return (uint32_t)(at - out);
}
