/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/fifo.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int fifo_grow(struct fifo *f, size_t n)
{
	size_t room = f->room ? f->room * 2 : 1024;
	while (room - f->count < n)
		room *= 2;
	struct fifo_item *item = malloc(room * sizeof(*item));
	if (!item)
		return -ENOMEM;
	for (size_t i = 0; i < f->count; i++)
		item[i] = f->item[(f->head + i) & (f->room - 1)];
	free(f->item);
	f->item = item;
	f->head = 0;
	f->room = room;
	return 0;
}

void fifo_push(struct fifo *f, struct entry *entry, uint64_t until)
{
	assert(f->count < f->room);
	f->item[(f->head + f->count++) & (f->room - 1)] = (struct fifo_item){entry, until};
}

void fifo_free(struct fifo *f)
{
	free(f->item);
	*f = (struct fifo){0};
}
