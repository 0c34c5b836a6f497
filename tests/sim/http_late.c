/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_late.h"

#define PACKET 1500

void http_late_begin(struct http_late *d, const struct http_world *w, struct sim_random *r)
{
	if (w) {
		*d = (struct http_late){.room = paste_buffer_size(w->region)};
		d->n = http_tcp_posted(w, d->offset);
	}
	d->random = sim_split(r);
}

static uint64_t draw_write(struct http_late *d, uint32_t i, uint8_t bytes[PACKET], uint32_t *n)
{
	*n = (uint32_t)sim_between(&d->random, 1, PACKET);
	sim_fill(&d->random, bytes, *n);
	return d->offset[i] + sim_below(&d->random, d->room - *n + 1);
}

void http_late_hold(struct http_late *d, struct media *m)
{
	uint8_t bytes[PACKET];
	uint32_t n;

	for (uint32_t i = 0; i < d->n && !d->stopped; i++) {
		if (!sim_chance(&d->random, 3))
			continue;
		uint64_t at = draw_write(d, i, bytes, &n);
		sim_device_hold(m, at, bytes, n);
	}
}

static void write_some(struct http_late *d, uint32_t one_of)
{
	uint8_t bytes[PACKET];
	uint32_t n;

	for (uint32_t i = 0; i < d->n; i++) {
		if (!sim_chance(&d->random, one_of))
			continue;
		uint64_t at = draw_write(d, i, bytes, &n);
		sim_device_write(d->m, at, bytes, n);
	}
}

void http_late_writes(struct http_late *d)
{
	if (!d->stopped)
		write_some(d, 8);
}

int http_late_released(void *arg, const struct paste_landing *l, struct paste_error *err)
{
	struct http_late *d = arg;

	if (!d->stopped)
		write_some(d, 1);
	d->stopped = true;
	return 0;
}
