/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/sim_block.h"

#include <stdlib.h>

#include "base/poison.h"

#define KEPT 8

static struct {
	uint8_t *block;
	size_t n;
} kept[KEPT];

uint8_t *sim_block(size_t n)
{
	for (int i = 0; i < KEPT; i++) {
		uint8_t *block = kept[i].block;
		if (!block || kept[i].n != n)
			continue;
		kept[i].block = NULL;
		unpoison(block, n);
		return block;
	}
	uint8_t *block = aligned_alloc(4096, (n + 4095) & ~(size_t)4095);
	if (!block)
		abort(); /* a test machine without memory has nothing to say about crashes */
	return block;
}

void sim_block_put(uint8_t *block, size_t n)
{
	static unsigned int oldest;
	int i = 0;

	if (!block)
		return;
	while (i < KEPT && kept[i].block)
		i++;
	if (i == KEPT) { /* other sizes are in use now */
		i = (int)(oldest++ % KEPT);
		unpoison(kept[i].block, kept[i].n);
		free(kept[i].block);
	}
	kept[i].block = block;
	kept[i].n = n;
	poison(block, n);
}
