/* SPDX-License-Identifier: BSD-2-Clause */
/* Open addressing with linear probing; removal moves those behind it up, so there are no tombstones. */
#include "net/neighbour_table.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_AT_FIRST 64

static uint32_t digest(const struct net_address *a, unsigned ifindex)
{
	uint64_t high, low;

	memcpy(&high, a->byte, 8);
	memcpy(&low, a->byte + 8, 8);
	uint64_t x = (high ^ ifindex) * 0x9e3779b97f4a7c15ull ^ low;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
	return (uint32_t)(x >> 32);
}

static bool is(const struct neighbour *s, const struct net_address *a, unsigned ifindex)
{
	return s->ifindex == ifindex && net_address_equal(&s->address, a);
}

static struct neighbour *place(const struct neighbour_table *t, const struct net_address *a, unsigned ifindex)
{
	uint32_t i = digest(a, ifindex);

	while (t->slot[i & (t->size - 1)].used && !is(&t->slot[i & (t->size - 1)], a, ifindex))
		i++;
	return &t->slot[i & (t->size - 1)];
}

void neighbour_table_free(struct neighbour_table *t)
{
	free(t->slot);
	*t = (struct neighbour_table){.slot = NULL};
}

void neighbour_table_clear(struct neighbour_table *t)
{
	if (t->size)
		memset(t->slot, 0, t->size * sizeof(*t->slot));
	t->n = 0;
}

struct neighbour *neighbour_table_find(const struct neighbour_table *t, const struct net_address *a,
				       unsigned ifindex)
{
	if (!t->size)
		return NULL;
	struct neighbour *s = place(t, a, ifindex);
	return s->used ? s : NULL;
}

static bool grow(struct neighbour_table *t)
{
	struct neighbour_table more = {.size = t->size ? 2 * t->size : SIZE_AT_FIRST, .n = t->n};

	more.slot = calloc(more.size, sizeof(*more.slot));
	if (!more.slot)
		return false;
	for (uint32_t i = 0; i < t->size; i++)
		if (t->slot[i].used)
			*place(&more, &t->slot[i].address, t->slot[i].ifindex) = t->slot[i];
	free(t->slot);
	*t = more;
	return true;
}

struct neighbour *neighbour_table_add(struct neighbour_table *t, const struct net_address *a,
				      unsigned ifindex)
{
	if (4 * (t->n + 1) > 3 * t->size && !grow(t))
		return NULL;
	struct neighbour *s = place(t, a, ifindex);
	if (!s->used) {
		*s = (struct neighbour){.address = *a,
					.ifindex = ifindex,
					.used = true,
					.asked_us = INT64_MIN,
					.told_us = INT64_MIN};
		t->n++;
	}
	return s;
}

void neighbour_table_remove(struct neighbour_table *t, const struct net_address *a, unsigned ifindex)
{
	struct neighbour *hole = neighbour_table_find(t, a, ifindex);

	if (!hole)
		return;
	uint32_t mask = t->size - 1, at = (uint32_t)(hole - t->slot);
	for (uint32_t i = (at + 1) & mask; t->slot[i].used; i = (i + 1) & mask) {
		uint32_t home = digest(&t->slot[i].address, t->slot[i].ifindex) & mask;
		/* It may move into the hole if that is not before its home. */
		if (((i - home) & mask) < ((i - at) & mask))
			continue;
		t->slot[at] = t->slot[i];
		at = i;
	}
	t->slot[at].used = false;
	t->n--;
}
