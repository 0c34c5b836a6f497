/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_world.h"

#include <stdio.h>
#include <stdlib.h>

void http_world_create(struct media *m, uint64_t size, uint32_t buffer_size)
{
	struct paste_error err = {""};

	if (store_create_on(m, "simulated", size, buffer_size, 1, &err)) {
		fprintf(stderr, "creating fails: %s\n", err.text);
		abort();
	}
}

static void visible(void *arg)
{
	sim_event(arg);
}

int http_world_open(struct http_world *w, struct media *m, struct service_time now, bool take_time,
		    struct paste_error *err)
{
	*w = (struct http_world){.m = m, .now = now};
	int rc = store_open_on(m, &w->store, err);

	if (rc)
		return rc;
	w->region = paste_store_region(w->store);
	w->stack = fake_stack_new(w->region);
	fake_stack_on_send(w->stack, visible, m);
	struct service_options options = {.stack = w->stack,
					  .store = w->store,
					  .rounds = &w->rounds,
					  .max_body = 20000,
					  .idle_us = SERVICE_NEVER,
					  .request_us = SERVICE_NEVER};
	if (rounds_init(&w->rounds, w->store, err) || service_open(&options, &w->service, err))
		abort();
	w->rounds.take_time = take_time;
	return 0;
}

int http_world_turn(struct http_world *w)
{
	struct paste_event events[64];
	int n = paste_stack_poll(w->stack, events, 64, 0);
	int rc = service_turn(w->service, w->now, events, n);

	if (rc < 0)
		w->error = rc;
	else
		paste_store_maintain(w->store, n == 0);
	return n ? n : rc > 0;
}

void http_world_crash(struct http_world *w)
{
	service_close(w->service);
	fake_stack_free(w->stack);
	store_abandon(w->store);
}
