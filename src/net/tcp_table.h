/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_table.h - from addresses and ports to a connection's number, at the same cost for ten and for a hundred
 * thousand.
 *
 * Open addressing: places of 8 bytes {hash, number}, at most half of them used, searched one after the other
 * from the hash's own place on. A search touches one line, seldom two, and looks at a connection only where
 * all 32 bits of the hash agree. The hash is keyed, so that nobody outside can choose connections that
 * collide. Removing moves later places of the run back, so there are no graves to be searched over.
 *
 * Nothing is allocated after tcp_table_open().
 */
#ifndef NET_TCP_TABLE_H
#define NET_TCP_TABLE_H

#include "net/address.h"

#define TCP_TABLE_END UINT32_MAX

struct tcp_place {
	uint32_t hash, number; /* number + 1; 0: free */
};

struct tcp_table {
	struct tcp_place *place;
	uint32_t mask, used, most;
	uint64_t key[5];
};

/* For at most `most` connections. -ENOMEM. */
int tcp_table_open(struct tcp_table *t, uint32_t most, const uint64_t key[5]);
void tcp_table_close(struct tcp_table *t);

uint32_t tcp_table_hash(const struct tcp_table *t, const struct net_address *local, uint16_t local_port,
			const struct net_address *peer, uint16_t peer_port);

/* Have the hash's place in the cache when it is searched. */
static inline void tcp_table_prefetch(const struct tcp_table *t, uint32_t hash)
{
	__builtin_prefetch(&t->place[hash & t->mask]);
}

/* The numbers that were put under the hash, one after the other: begin with *at = hash. TCP_TABLE_END: no
 * more. */
static inline uint32_t tcp_table_next(const struct tcp_table *t, uint32_t hash, uint32_t *at)
{
	for (;;) {
		const struct tcp_place *p = &t->place[(*at)++ & t->mask];
		if (p->number == 0)
			return TCP_TABLE_END;
		if (p->hash == hash)
			return p->number - 1;
	}
}

void tcp_table_put(struct tcp_table *t, uint32_t hash, uint32_t number);
void tcp_table_remove(struct tcp_table *t, uint32_t hash, uint32_t number);

#endif
