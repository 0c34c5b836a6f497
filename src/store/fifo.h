/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fifo.h - entries that wait for a number (a round, a sequence number) to be reached, in ascending order.
 */
#ifndef STORE_FIFO_H
#define STORE_FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entry;

struct fifo_item {
	struct entry *entry;
	uint64_t until;
};

struct fifo {
	struct fifo_item *item;
	size_t head, count, room; /* room: a power of two */
};

int fifo_grow(struct fifo *f, size_t n);

/* Make sure that the next n pushes cannot fail. -ENOMEM. */
static inline int fifo_reserve(struct fifo *f, size_t n)
{
	return f->room - f->count >= n ? 0 : fifo_grow(f, n);
}

void fifo_push(struct fifo *f, struct entry *entry, uint64_t until);

static inline struct fifo_item *fifo_first(struct fifo *f)
{
	return f->count ? &f->item[f->head] : NULL;
}

/* The nth behind the first: n < count. */
static inline const struct fifo_item *fifo_at(const struct fifo *f, size_t n)
{
	return &f->item[(f->head + n) & (f->room - 1)];
}

static inline void fifo_pop(struct fifo *f)
{
	f->head = (f->head + 1) & (f->room - 1);
	f->count--;
}

void fifo_free(struct fifo *f);

#endif
