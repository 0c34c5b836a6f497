/* SPDX-License-Identifier: BSD-2-Clause */
#include "landing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

struct paste_region *landing_open(uint64_t bytes, uint32_t buffer_size)
{
	char path[64];
	struct media_options o = {.path = path, .size = bytes};
	struct paste_error err = {{0}};
	struct paste_region *r = NULL;
	struct media *m;

	snprintf(path, sizeof(path), "/dev/shm/landing-%d", (int)getpid());
	/* Never published: it has no name, and vanishes with the process. */
	if (media_create(&o, &m, &err) < 0 || region_format(m, "landing", bytes, buffer_size, 1, &err) < 0 ||
	    region_open(m, &r, &err) < 0)
		fail_msg("%s", err.text);
	region_settle(r);
	return r;
}

void landing_close(struct paste_region *r)
{
	region_cache_drain(r);
	for (uint32_t b = 0; b < r->buffers; b++) {
		if (r->buffer[b].users || r->buffer[b].live)
			fail_msg("buffer %u has %u users, %u live slices", b, r->buffer[b].users,
				 r->buffer[b].live);
	}
	assert_int_equal(r->free_segments, r->segments);
	region_close(r);
}
