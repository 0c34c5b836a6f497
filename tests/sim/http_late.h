/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_late.h - the device of a dead life: it still has the buffers that stood in its receive ring, and
 * writes into them until it is asked to stop (paste_open_options.released).
 */
#ifndef TESTS_HTTP_LATE_H
#define TESTS_HTTP_LATE_H

#include "http_tcp.h"

struct http_late {
	uint64_t offset[HTTP_TCP_POSTED];
	uint32_t n, room; /* buffers, bytes of each */
	bool stopped;
	struct media *m; /* of the next life */
	struct sim_random random;
};

/* The world dies now. NULL: it was not open yet, and the device is that of the life before it. */
void http_late_begin(struct http_late *d, const struct http_world *w, struct sim_random *r);
/* Writes that are under way into the medium of the dying life now: a crash may bring them. */
void http_late_hold(struct http_late *d, struct media *m);
/* Some of the buffers are written into, unless it was stopped. */
void http_late_writes(struct http_late *d);
/* paste_landing_released: what is under way lands, then no more comes. */
int http_late_released(void *arg, const struct paste_landing *l, struct paste_error *err);

#endif
