/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_clients.h - clients of the service that ask for all it has, some requests at a time on a connection,
 * and note what they are answered (http_history.h).
 */
#ifndef TESTS_HTTP_CLIENTS_H
#define TESTS_HTTP_CLIENTS_H

#include "http_history.h"
#include "http_world.h"
#include "media/sim_random.h"

#define CLIENTS_MAX 6
#define PIPELINE 4
#define DYING_MAX 16

struct http_client {
	struct http_line line;
	size_t parsed;           /* bytes of what it got */
	int32_t asked[PIPELINE]; /* operations without a reply, oldest first */
	uint32_t n;
};

struct http_clients {
	struct http_client client[CLIENTS_MAX];
	uint32_t n;
	struct http_client gone[DYING_MAX]; /* clients that reset, or were; the service need not know it yet */
	uint32_t gone_n;
	struct sim_random random;
	int16_t last[CLIENTS_MAX]; /* operation on its connection */
	/* Requests with a retry key whose outcome nobody knows, to be made again. */
	int32_t lost[8];
	uint32_t lost_n;
	const char *broken; /* an answer that no client can make sense of */
	char broken_text[400];
};

void http_clients_begin(struct http_clients *c, struct sim_random random, uint32_t n);

/* Some of them ask for something. */
void http_clients_ask(struct http_clients *c, struct http_history *h, struct http_world *w);
/* One asks for everything that there is, on a connection of its own, and waits; for what a crash left. */
void http_clients_read_all(struct http_clients *c, struct http_history *h, struct http_world *w);
/* Note the replies that have left. It changes only *c and *h, so that a crash can be judged on copies. */
void http_clients_hear(struct http_clients *c, struct http_history *h);
/* The life ends: what has no answer yet never gets one. */
void http_clients_end(struct http_clients *c, struct http_history *h);

/* What was reached. */
struct http_coverage {
	uint64_t by_kind[ASK_KINDS], answered, refused, repeated, failed_conditions, absent, open, followed,
	    unchanged, pieces;
};

void http_coverage_add(struct http_coverage *c, const struct http_history *h);

#endif
