/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_region.h - region.h over plain memory, for tests of the layers above it: the number of buffers can be
 * cut at any time, every misuse of a user count aborts, and a test ends by asking how many buffers are out.
 *
 * Live slices are counted too (fake_region_keep), so that a store double can keep what it stores in place.
 */
#ifndef TESTS_FAKE_REGION_H
#define TESTS_FAKE_REGION_H

#include "paste/region.h"

struct paste_region *fake_region_new(uint32_t buffers, uint32_t buffer_size);
void fake_region_free(struct paste_region *r);

/* Buffers that are not free. */
uint32_t fake_region_out(const struct paste_region *r);

/* Answer -ENOBUFS while fewer than `reserve` are free. */
void fake_region_set_reserve(struct paste_region *r, uint32_t reserve);

/* One live slice more or less. */
void fake_region_keep(struct paste_region *r, struct paste_ref ref);
void fake_region_release(struct paste_region *r, struct paste_ref ref);

#endif
