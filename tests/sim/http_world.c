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

static void open_worker(struct http_world *w, struct http_worker *worker)
{
	w->options.transport->open(w);
	worker->stack = w->stack;
	struct service_options service = {.stack = w->stack,
					  .store = w->store,
					  .rounds = &w->rounds,
					  .max_body = 20000,
					  .idle_us = SERVICE_NEVER,
					  .request_us = SERVICE_NEVER};
	if (service_open(&service, &worker->service, NULL))
		abort();
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
	if (!w->options.workers)
		w->options.workers = 1;
	if (rounds_init(&w->rounds, w->store, err))
		abort();
	w->rounds.take_time = options->take_time;
	for (uint32_t i = 0; i < w->options.workers; i++)
		open_worker(w, &w->worker[i]);
	return 0;
}

void *http_world_connect(struct http_world *w)
{
	w->stack = w->worker[w->connected++ % w->options.workers].stack;
	return w->options.transport->connect(w);
}

static int turn_of(struct http_world *w, struct http_worker *worker)
{
	struct paste_event events[64];
	int n = paste_stack_poll(worker->stack, events, 64, 0);
	int rc = service_turn(worker->service, w->now, events, n);

	int upkeep = rc < 0 ? 0 : paste_store_maintain(w->store, n == 0);
	if (rc < 0 || upkeep < 0)
		w->error = rc < 0 ? rc : upkeep;
	return n ? n : rc > 0;
}

int http_world_turn(struct http_world *w)
{
	struct http_worker *whose = &w->worker[(w->turns++ * 2654435761u >> 16) % w->options.workers];

	w->options.transport->pass(w);
	int n = turn_of(w, whose);
	for (uint32_t i = 0; i < w->options.workers; i++)
		if (&w->worker[i] != whose && service_has_news(w->worker[i].service))
			n += turn_of(w, &w->worker[i]);
	return n;
}

uint32_t http_world_crash(struct http_world *w)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < w->options.workers; i++) {
		w->stack = w->worker[i].stack;
		service_close(w->worker[i].service);
		w->options.transport->close(w);
	}
	for (uint32_t b = 0; b < w->region->buffers; b++)
		held += w->region->buffer[b].users > 0;
	store_abandon(w->store);
	return held;
}
