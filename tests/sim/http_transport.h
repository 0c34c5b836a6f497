/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_transport.h - what lies between the clients and the service: a table of functions, so that the same
 * clients reach it through memory (http_fake.c) or over our own TCP and the simulated wire (http_tcp.h).
 */
#ifndef TESTS_HTTP_TRANSPORT_H
#define TESTS_HTTP_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_world;

struct http_transport {
	uint32_t turns; /* that a request and its reply take, about */

	/* Make w->stack, over w->region. It must be possible. */
	void (*open)(struct http_world *w);
	/* The service has closed its connections: close the stack and everything below it. */
	void (*close)(struct http_world *w);
	/* Let time pass: what was under way arrives. Before each poll. */
	void (*pass)(struct http_world *w);

	/* A client's connection. It stays until the world ends. */
	void *(*connect)(struct http_world *w);
	void (*send)(void *conn, const void *bytes, size_t n);
	void (*end)(void *conn);               /* half-close */
	void (*reset)(void *conn);             /* the client is gone; the service may not know it for long */
	void (*takes)(void *conn, bool takes); /* take no replies any more, or again */
	/* All that has left the service for it, whether it has arrived or not. */
	const char *(*got)(void *conn, size_t *n);
	bool (*is_over)(const void *conn); /* the service works on nothing more of what it asked */
	bool (*is_lost)(const void *conn); /* the client was told that it is over; the service may work on */
};

/* One of them, NULL inside: none. */
struct http_line {
	const struct http_transport *by;
	void *conn;
};

extern const struct http_transport http_fake; /* tests/serve/fake_stack.h: calls the world's `visible` */

#endif
