/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_request.h"

#include <string.h>

/* The longest head: 11 + 40 + 21 + 9 + 8 + 272 + 18 + 10 + 4 bytes, and the stamp. */
_Static_assert(CLIENT_HEAD_MAX >= 400 + BODY_STAMP, "a request's head fits");

static char *add(char *p, const char *text)
{
	size_t length = strlen(text);

	memcpy(p, text, length);
	return p + length;
}

static char *end_line(char *p, const char *authority)
{
	p = add(p, " HTTP/1.1\r\nHost: ");
	p = add(p, authority);
	return add(p, "\r\n");
}

/* The first bytes of the body go with the head, the rest is sent from where the pattern is. */
static char *add_body(char *p, struct client_request *q, const struct bench_body *body, uint64_t number,
		      uint64_t length)
{
	uint8_t stamp[BODY_STAMP];
	size_t stamped = length < BODY_STAMP ? (size_t)length : BODY_STAMP;

	p = add(p, "Content-Length: ");
	p += decimal_write(length, p);
	p = add(p, "\r\n\r\n");
	body_stamp(body, number, stamp);
	memcpy(p, stamp, stamped);
	q->body = body_rest(body, number);
	q->body_length = length - stamped;
	return p + stamped;
}

void request_write(struct client_request *q, const char *authority, enum bench_kind kind, const char *name,
		   const struct bench_body *body, uint64_t number, uint64_t length)
{
	static const char *const starts[BENCH_KINDS] = {"PUT /kv/", "GET /kv/", "POST /log/", "DELETE /kv/"};
	char *p = add(q->head, starts[kind]);

	p = add(p, name);
	p = end_line(p, authority);
	if (kind == BENCH_PUT || kind == BENCH_APPEND)
		p = add_body(p, q, body, number, length);
	else
		p = add(p, "\r\n");
	q->head_length = (uint32_t)(p - q->head);
}

void request_write_read(struct client_request *q, const char *authority, const char *name, uint64_t sequence)
{
	char *p = add(q->head, "GET /log/");

	p = add(p, name);
	p = add(p, "/");
	p += decimal_write(sequence, p);
	p = end_line(p, authority);
	p = add(p, "\r\n");
	q->head_length = (uint32_t)(p - q->head);
}
