/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * neighbour.h - who is next on the way to an address: the kernel's routing and neighbour tables, through
 * rtnetlink.
 *
 * Whoever answers a frame sends to the MAC that it came from; this is for the others, who begin to speak (an
 * active open). The kernel stays the one that does ARP and neighbour discovery: when it knows no MAC it is
 * asked to find out, and what it finds comes as a notification. Tables are kept here, so that a resolution
 * costs no system call but the first.
 *
 *	neighbour_resolve ──► 0: here it is
 *	                  ──► -EAGAIN: the kernel was asked; again when neighbours_fd() is readable
 *
 * One thread uses it. No call blocks but open. Memory grows with the kernel's tables, on notifications.
 * Asking the kernel to look for a neighbour needs CAP_NET_ADMIN, which an AF_XDP port needs as well; without
 * it only neighbours that the kernel knows are found.
 */
#ifndef NET_NEIGHBOUR_H
#define NET_NEIGHBOUR_H

#include "net/address.h"
#include "paste/error.h"

struct neighbours;

struct neighbour_way {
	uint8_t mac[6];            /* of the host itself, or of the gateway */
	struct net_address source; /* ours, that the kernel would send from; all zero if it names none */
	struct net_address next;   /* the host, or the gateway */
};

struct neighbour_stats {
	uint64_t routes_asked; /* of the kernel, because they were not known here */
	uint64_t probes;       /* times the kernel was asked to find a neighbour out, or to make sure of it */
	uint64_t notifications;
	uint64_t reloads; /* of the whole table, because notifications were lost */
	uint32_t known;   /* neighbours with a MAC */
};

/* Reads the neighbour table. -EPROTONOSUPPORT and the like: no netlink here. */
int neighbours_open(struct neighbours **neighbours, struct paste_error *err);
void neighbours_close(struct neighbours *n);

/* Readable when the tables have changed; then neighbours_work(). */
int neighbours_fd(const struct neighbours *n);
/* Take in what the kernel has told. 0, or a negative errno. */
int neighbours_work(struct neighbours *n);

/*
 * The way to `to` through the interface. `now_us` is monotonic.
 *   -EAGAIN        the kernel looks for it
 *   -EHOSTUNREACH  it looked and did not find it (asking again starts anew, once a second), or the route says
 * so -ENETUNREACH   no route -EINVAL        not one host's address: a group's, our own, unspecified -ENODEV
 * no such interface -EPERM         it is not known, and this process may not ask
 */
int neighbour_resolve(struct neighbours *n, const struct net_address *to, unsigned ifindex, int64_t now_us,
		      struct neighbour_way *way);

void neighbours_stats(const struct neighbours *n, struct neighbour_stats *stats);

#endif
