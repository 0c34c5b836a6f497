/* SPDX-License-Identifier: BSD-2-Clause */
/* bare.h - an open region on a simulated medium, with nothing above it. */
#ifndef TESTS_REGION_BARE_H
#define TESTS_REGION_BARE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "media/sim.h"
#include "region/region.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

struct bare {
	enum sim_kind kind;
	uint64_t size, seed;
	uint8_t *image; /* what the medium holds while it is closed */
	struct media *m;
	struct paste_region *r;
};

/* Formatted, opened and settled: all segments are free. */
void bare_begin(struct bare *b, enum sim_kind kind, uint64_t size, uint32_t buffer_size, uint32_t logs);
/* Closed as by a crash, and opened again (not settled: the roles are for the test to give). */
void bare_reopen(struct bare *b);
int bare_try_open(struct bare *b, struct superblock *sb, struct superblock_health *health);
void bare_close(struct bare *b);
/* No buffer has a user, every segment is free. */
void bare_end(struct bare *b);

#endif
