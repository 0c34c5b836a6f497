/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_world.h - the service over a real store on a simulated medium, and a way for clients to reach it
 * (http_transport.h).
 */
#ifndef TESTS_HTTP_WORLD_H
#define TESTS_HTTP_WORLD_H

#include "http_transport.h"
#include "media/sim.h"
#include "serve/service.h"
#include "store/store_internal.h"

#define WORKERS_MAX 4

struct http_world_options {
	struct service_time now;
	uint32_t workers; /* so many services with a stack each, on the one store; 0: 1. Over http_fake */
	bool take_time;                         /* rounds wait for the medium (rounds.h) */
	const struct http_transport *transport; /* NULL: http_fake */
	uint64_t seed;                          /* of the transport's choices */
	uint32_t small_max; /* bytes that go into the record; more stay where they arrived. 0: the store's
			       choice */
	paste_landing_released *released; /* what a dead life's devices are asked with, or NULL */
	void *released_arg;
};

struct http_world {
	struct http_world_options options;
	struct media *m;
	struct paste_store *store;
	struct paste_region *region;
	struct paste_stack *stack; /* of several, the one that the transport is to look at */
	void *net; /* the transport's */
	struct http_worker {
		struct paste_stack *stack;
		struct service *service;
	} worker[WORKERS_MAX];
	uint32_t connected, turns;
	struct rounds rounds; /* the services': the world stays where it is */
	struct service_time now;
	int error; /* what service_turn() or upkeep said of the medium */
};

/* Make a region on an empty medium. Ends the process if that fails. */
void http_world_create(struct media *m, uint64_t size, uint32_t buffer_size);

/* Take over the medium. 0, or the negative errno with which the store could not be opened (its sentence is in
 * *err). */
int http_world_open(struct http_world *w, struct media *m, const struct http_world_options *options,
		    struct paste_error *err);

/* A connection of a client; the workers get them in turn. */
void *http_world_connect(struct http_world *w);

/* A turn of the loop: time passes, events, requests, a round, replies, upkeep. The number of events. Of several workers, as in
 * `pst serve --workers`, it is that of one, whichever, and then of those for whom it had news. */
int http_world_turn(struct http_world *w);

/* As a process that died: what is durable stays on the medium. Closes the connections first. Returns how many
 * buffers somebody still held when all that hold some were closed: 0, or they would never have come back. */
uint32_t http_world_crash(struct http_world *w);

#endif
