/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_block.h - the memory of simulated media, used again by the next one.
 *
 * A test opens thousands of media one after the other, and to fault fresh pages in for each takes longer than what it
 * does with them, above all where memory is virtual twice. Of one thread.
 */
#ifndef MEDIA_SIM_BLOCK_H
#define MEDIA_SIM_BLOCK_H

#include <stddef.h>
#include <stdint.h>

/* n bytes on a page boundary, their content undefined. Aborts without memory. */
uint8_t *sim_block(size_t n);
/* Of the same n. NULL: nothing. */
void sim_block_put(uint8_t *block, size_t n);

#endif
