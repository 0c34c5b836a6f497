/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_world.h - the service over a real store on a simulated medium; clients are a script (fake_stack.h).
 */
#ifndef TESTS_HTTP_WORLD_H
#define TESTS_HTTP_WORLD_H

#include "fake_stack.h"
#include "media/sim.h"
#include "serve/service.h"
#include "store/store_internal.h"

struct http_world {
	struct media *m;
	struct paste_store *store;
	struct paste_region *region;
	struct paste_stack *stack;
	struct service *service;
	struct rounds rounds; /* the service's: the world stays where it is */
	struct service_time now;
	int error; /* what service_turn() said of the medium */
};

/* Make a region on an empty medium. Ends the process if that fails. */
void http_world_create(struct media *m, uint64_t size, uint32_t buffer_size);

/* Take over the medium. 0, or the negative errno with which the store could not be opened (its sentence is in
 * *err). */
int http_world_open(struct http_world *w, struct media *m, struct service_time now, bool take_time,
		    struct paste_error *err);

/* A turn of the loop: events, requests, a round, replies, upkeep. The number of events. */
int http_world_turn(struct http_world *w);

/* As a process that died: what is durable stays on the medium. Closes the connections first. */
void http_world_crash(struct http_world *w);

#endif
