/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service.h - the durable HTTP service: connections of a stack in front of a store.
 *
 * It is driven by its owner, who polls the stack and hands over each batch of events:
 *
 *	n = paste_stack_poll(stack, events, SERVICE_BATCH, wait);
 *	service_turn(service, now, events, n);
 *	more = paste_store_maintain(store, n == 0);
 *
 * A turn works on all requests of the batch, closes one round of the store for all of them, and sends every
 *reply whose round is durable. No byte of a reply leaves before that. Where rounds complete later (the medium
 *`file`), the owner lets the stack watch the store's descriptor with SERVICE_STORE_COOKIE; its events need no
 *further care, a turn looks for durable rounds by itself.
 *
 * Nothing here reads a clock, blocks, or prints. The service owns neither stack nor store; close it before
 *either, the stack next, the store last.
 */
#ifndef SERVE_SERVICE_H
#define SERVE_SERVICE_H

#include <stdio.h>

#include "paste/stack.h"
#include "paste/store.h"
#include "serve/http_rule.h"
#include "serve/latency.h"
#include "serve/rounds.h"
#include "serve/tokens.h"

#define SERVICE_BATCH 512 /* events a turn that make sense */
#define SERVICE_STORE_COOKIE 1
#define SERVICE_IDLE_US 75000000
#define SERVICE_REQUEST_US 30000000
#define SERVICE_NEVER INT64_MAX

struct service;

struct service_options {
	struct paste_stack *stack;
	struct paste_store *store;
	struct rounds *rounds; /* shared with other services of the loop; NULL: its own */
	void (*more_metrics)(void *arg, FILE *out); /* of others in this process, for GET /metrics; or NULL */
	void *more_arg;
	uint64_t max_body; /* bytes, larger ones get 413. 0: 16 MiB */
	/*
	 * Microseconds; 0: the defaults, SERVICE_NEVER: for ever. A connection on which nothing was asked for
	 * so long is closed; a request that does not arrive in time (its head; some KiB of its body; and
	 * taking its replies) is given up.
	 */
	int64_t idle_us, request_us;
	struct tokens *tokens; /* without one of them nothing is answered but /healthz and /readyz; NULL: everything is */
	int64_t started_us;    /* monotonic; for GET /metrics */
	const char *version;   /* of the program, the same; NULL: not told */
};

struct service_time {
	int64_t monotonic_us;
	int64_t unix_ms; /* since 1970: for Date and what expires */
};

/* Of all services that share the rounds, together. */
struct service_stats {
	uint64_t requests;
	uint64_t replies[6];  /* by the status code's first digit */
	uint64_t stalled;     /* times a connection was paused because its client did not take its replies */
	uint64_t waited_room; /* times a body waited for buffers */
	uint64_t timed_out;   /* connections ended because a request or its reply took too long */
	uint64_t broken[RULES]; /* requests refused because they broke this rule of HTTP */
	uint64_t denied[2];   /* requests without a token that we know; with one that may only read */
	uint32_t connections; /* now */
};

enum service_kind {
	SERVICE_READ, /* GET, HEAD */
	SERVICE_WRITE,
	SERVICE_KINDS,
};

int service_open(const struct service_options *options, struct service **service, struct paste_error *err);

/* Drop every connection (reset) and every reply that did not leave. */
void service_close(struct service *s);

/*
 * A turn in two halves, for an owner who drives several services with one store: work on n events (0 is
 * fine), then, when the owner has stepped the rounds, send what may leave. Replies that leave make room for
 * requests that were held back, which change the store again: step and answer again while
 * rounds_may_commit().
 *
 * service_answer(): 1: there is something to do again soon, without an event (poll for at most
 * SERVICE_SOON_US); SERVICE_AT_ONCE: without waiting; 0: not (but at least once a second, for what takes too
 * long); a negative errno: the medium has failed, what can still be answered is.
 */
#define SERVICE_SOON_US 10000
#define SERVICE_AT_ONCE 2
void service_take(struct service *s, struct service_time now, const struct paste_event *events, int n);
int service_answer(struct service *s);

/* When a turn is due for somebody who waits for entries, monotonic us; INT64_MAX: nobody does. Some 8 ms late at most. */
int64_t service_next(const struct service *s);

/* A whole turn, for an owner with this service alone. */
int service_turn(struct service *s, struct service_time now, const struct paste_event *events, int n);

/* The turn's replies are with the stack: for the times of requests, which are counted from when a request was complete until
 * then. It is one more look at the clock in a turn; an owner who does not call it has no times of what a turn answers itself. */
void service_turned(struct service *s, int64_t now_us);
/* Of all services that share the rounds. */
void service_latency(const struct service *s, enum service_kind kind, struct latency *sum);

/* Other tokens from now on. Those before are the owner's again. */
struct tokens *service_change_tokens(struct service *s, struct tokens *tokens);

/* Begin to end: close idle connections now, the others with their next reply. service_stats() tells when none
 * is left.
 */
void service_drain(struct service *s);

/* The errno with which the medium failed, 0 if it works. */
int service_error(const struct service *s);

void service_stats(const struct service *s, struct service_stats *stats);
void service_stack_stats(const struct service *s, struct paste_stack_stats *stats); /* of their stacks */

/* Of this one alone. */
struct service_share {
	uint64_t requests;
	uint32_t connections;
};
struct service_share service_share(const struct service *s);

/*
 * Where several loops share the rounds: one of the others stepped them, and there are replies of this service that may leave since, or
 * somebody who waits for the entries that came. To be asked after each turn of another; then its loop needs a turn.
 */
bool service_has_news(const struct service *s);

#endif
