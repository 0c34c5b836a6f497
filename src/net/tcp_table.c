/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tcp_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int tcp_table_open(struct tcp_table *t, uint32_t most, const uint64_t key[5])
{
	uint64_t size = 16;

	while (size < 2ull * most)
		size *= 2;
	*t = (struct tcp_table){.mask = (uint32_t)(size - 1), .most = most};
	memcpy(t->key, key, sizeof(t->key));
	t->place = calloc(size, sizeof(*t->place));
	return t->place ? 0 : -ENOMEM;
}

void tcp_table_close(struct tcp_table *t)
{
	free(t->place);
	t->place = NULL;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint32_t tcp_table_hash(const struct tcp_table *t, const struct net_address *local, uint16_t local_port,
			const struct net_address *peer, uint16_t peer_port)
{
	uint64_t a[2], b[2];

	memcpy(a, peer, sizeof(a));
	memcpy(b, local, sizeof(b));
	uint64_t h = mix(a[0] ^ t->key[0], a[1] ^ t->key[1]);
	h = mix(h ^ b[0] ^ t->key[2], b[1] ^ t->key[3]);
	h = mix(h ^ ((uint64_t)peer_port << 16 | local_port), t->key[4]);
	return (uint32_t)(h >> 32);
}

void tcp_table_put(struct tcp_table *t, uint32_t hash, uint32_t number)
{
	uint32_t at = hash;

	assert(t->used < t->most);
	while (t->place[at & t->mask].number)
		at++;
	t->place[at & t->mask] = (struct tcp_place){hash, number + 1};
	t->used++;
}

void tcp_table_remove(struct tcp_table *t, uint32_t hash, uint32_t number)
{
	uint32_t hole = hash;

	while (t->place[hole & t->mask].number != number + 1) {
		assert(t->place[hole & t->mask].number);
		hole++;
	}
	/* What stands behind the hole moves into it unless its own place lies behind the hole, too. */
	for (uint32_t at = hole + 1; t->place[at & t->mask].number; at++) {
		uint32_t home = t->place[at & t->mask].hash;
		if (((at - home) & t->mask) < ((at - hole) & t->mask))
			continue;
		t->place[hole & t->mask] = t->place[at & t->mask];
		hole = at;
	}
	t->place[hole & t->mask].number = 0;
	t->used--;
}
