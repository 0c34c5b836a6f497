/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_reply.h - one HTTP/1.1 response out of received bytes: as much as a client needs that chose the
 * requests itself (RFC 9112). Status, Content-Length, Connection: close, body. No chunked coding, no answers
 * that end with the connection, no 1xx: this client asks for nothing that brings them.
 */
#ifndef CLI_HTTP_REPLY_H
#define CLI_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_REPLY_HEAD_MAX 16384

struct http_reply {
	unsigned int status;  /* 200..599 */
	bool close;           /* the server will close the connection */
	const char *body;     /* in the bytes that were parsed */
	uint64_t body_length; /* what the head says; it may not be there yet */
};

/* The length of the whole response, which may be more than `length`, as soon as its head is there; 0: the
 * head is not there yet. -EPROTO: it is none that we understand. */
int64_t http_reply_parse(const char *data, size_t length, struct http_reply *reply);

#endif
