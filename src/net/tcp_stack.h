/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_stack.h - TCP for who drives it with a clock of his own; paste/tcp.h is the public way.
 */
#ifndef NET_TCP_STACK_H
#define NET_TCP_STACK_H

#include "net/net.h"
#include "paste/tcp.h"

/* One turn at the time `now_us`, which never goes back: timers, output, received packets. Nothing waits.
 * Events, or a negative errno of the port. */
int tcp_turn(struct paste_stack *s, uint64_t now_us, struct paste_event *events, int max);

/* When a turn has something to do without a packet: a time that has come already if there is output,
 * UINT64_MAX if never. */
uint64_t tcp_next(const struct paste_stack *s);

/* The packets below it, for another transport to share. A poll also ends, without an event, when something came
 * for that one. */
struct net *tcp_net(struct paste_stack *s);

/* Of the buffers that wait for packets, those that may be taken while there are no others: half of them always go on to
 * receive. */
uint32_t tcp_rings_spare(struct paste_port *port);

#endif
