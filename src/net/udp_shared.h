/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_shared.h - several UDP ports over one net, which other transports may share (net.h): each of them as
 * paste/datagram.h.
 *
 * Packets come when the net is asked for them. Whoever shares it asks (the stack's poll, for TCP), and they
 * wait here in a queue a port; where nobody else does (`alone`), receiving asks.
 *
 * A datagram that was taken is valid until the next receive or, if that is sooner, until the net is asked
 * again. One that waits longer than a turn of the net keeps its buffers by user counts. A full queue drops
 * what comes, and counts it as lost.
 */
#ifndef NET_UDP_SHARED_H
#define NET_UDP_SHARED_H

#include "net/net.h"
#include "paste/datagram.h"

#define UDP_SHARED_PORTS 8

struct udp_shared;

/* The net stays the caller's and open as long as this. -ENOMEM; -EEXIST: it has UDP already. */
int udp_shared_open(struct net *net, bool alone, struct udp_shared **shared, struct paste_error *err);
void udp_shared_close(struct udp_shared *u); /* after its ports */

/* Datagrams that wait to be taken, of all ports. */
uint32_t udp_shared_waiting(const struct udp_shared *u);

/* NULL: any address. -ENOSPC, -ENOMEM, -EEXIST: another one has it. */
int udp_shared_port(struct udp_shared *u, const struct net_address *address, uint16_t port,
		    struct paste_datagrams **datagrams, struct paste_error *err);

#endif
