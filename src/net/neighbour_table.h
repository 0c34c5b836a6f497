/* SPDX-License-Identifier: BSD-2-Clause */
/* neighbour_table.h - what is known of neighbours, by interface and address. */
#ifndef NET_NEIGHBOUR_TABLE_H
#define NET_NEIGHBOUR_TABLE_H

#include "net/address.h"

enum neighbour_state {
	NEIGHBOUR_ASKED,  /* the kernel was asked and has not said anything */
	NEIGHBOUR_KNOWN,  /* there is a MAC */
	NEIGHBOUR_STALE,  /* there is one that the kernel would make sure of when it is used */
	NEIGHBOUR_FAILED, /* nobody has answered */
};

struct neighbour {
	struct net_address address;
	unsigned ifindex;
	uint8_t mac[6];
	uint8_t state;    /* enum neighbour_state */
	bool used;        /* the slot is taken */
	int64_t asked_us; /* when the kernel was asked about it last; INT64_MIN: never */
	int64_t told_us;  /* when somebody was told that it was not found; INT64_MIN: since then, nobody */
};

struct neighbour_table {
	struct neighbour *slot;
	uint32_t size; /* a power of two; less than three quarters are used */
	uint32_t n;
};

void neighbour_table_free(struct neighbour_table *t);
/* Forget all, keep the memory. */
void neighbour_table_clear(struct neighbour_table *t);
/* Valid until the next add or remove. NULL: not there. */
struct neighbour *neighbour_table_find(const struct neighbour_table *t, const struct net_address *a,
				       unsigned ifindex);
/* The one that is there, or a new one (ASKED, never). NULL: out of memory. */
struct neighbour *neighbour_table_add(struct neighbour_table *t, const struct net_address *a,
				      unsigned ifindex);
void neighbour_table_remove(struct neighbour_table *t, const struct net_address *a, unsigned ifindex);

#endif
