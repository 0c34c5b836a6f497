/* SPDX-License-Identifier: BSD-2-Clause */
/* landing.h - an open region on tmpfs with nothing above it, for packets to land in; for cmocka. */
#ifndef TESTS_PORT_LANDING_H
#define TESTS_PORT_LANDING_H

#include "region/region.h"

struct paste_region *landing_open(uint64_t bytes, uint32_t buffer_size);

/* Every buffer is free; close it. */
void landing_close(struct paste_region *r);

#endif
