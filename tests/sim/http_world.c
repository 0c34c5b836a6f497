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

int http_world_open(struct http_world *w, struct media *m, const struct http_world_options *options,
		    struct paste_error *err)
{
	struct paste_open_options store = {.released = options->released,
					   .released_arg = options->released_arg};

	*w = (struct http_world){.options = *options, .m = m, .now = options->now};
	int rc = store_open_with(m, &store, &w->store, err);

	if (rc)
		return rc;
	w->region = paste_store_region(w->store);
	if (options->small_max)
		w->store->small_max = options->small_max;
	if (!w->options.transport)
		w->options.transport = &http_fake;
	w->options.transport->open(w);
	struct service_options service = {.stack = w->stack,
					  .store = w->store,
					  .rounds = &w->rounds,
					  .max_body = 20000,
					  .idle_us = SERVICE_NEVER,
					  .request_us = SERVICE_NEVER};
	if (rounds_init(&w->rounds, w->store, err) || service_open(&service, &w->service, err))
		abort();
	w->rounds.take_time = options->take_time;
	return 0;
}

int http_world_turn(struct http_world *w)
{
	struct paste_event events[64];

	w->options.transport->pass(w);
	int n = paste_stack_poll(w->stack, events, 64, 0);
	int rc = service_turn(w->service, w->now, events, n);

	int upkeep = rc < 0 ? 0 : paste_store_maintain(w->store, n == 0);
	if (rc < 0 || upkeep < 0)
		w->error = rc < 0 ? rc : upkeep;
	return n ? n : rc > 0;
}

uint32_t http_world_crash(struct http_world *w)
{
	uint32_t held = 0;

	service_close(w->service);
	w->options.transport->close(w);
	for (uint32_t b = 0; b < w->region->buffers; b++)
		held += w->region->buffer[b].users > 0;
	store_abandon(w->store);
	return held;
}
