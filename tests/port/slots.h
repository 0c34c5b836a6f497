/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slots.h - for tests: packets of made-up bytes into a transmit ring and out of a receive ring, and the proof
 * at the end that no buffer is left behind.
 */
#ifndef TESTS_SLOTS_H
#define TESTS_SLOTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_region.h"
#include "paste/port.h"

#define PACKET_BYTES 16384

/* The bytes that packet number `seed` of that length has. */
void packet_bytes(uint64_t seed, uint8_t *bytes, uint32_t length);

/* Fill transmit slots with them, `piece` bytes each at most (0: one slot), and move head; no sync. False: not
 * enough slots are free, none was filled. */
bool packet_put(struct paste_port *p, const void *bytes, uint32_t length, uint32_t piece);
bool packet_put_seed(struct paste_port *p, uint64_t seed, uint32_t length, uint32_t piece);

/* The packet whose first slot is at cur: copies it out and moves cur behind it, and head too. 0: there is
 * none. */
uint32_t packet_take(struct paste_port *p, uint8_t *bytes, uint32_t *slots);
void packet_expect(struct paste_port *p, uint64_t seed, uint32_t length);

/* Everything is given back. Frees the region. */
void region_proved(struct paste_region *r);

#endif
