/* SPDX-License-Identifier: BSD-2-Clause */
/* udp_datagrams.h - paste/datagram.h over all queues of a port. An answer leaves by the queue that the
 * question came by. */
#ifndef NET_UDP_DATAGRAMS_H
#define NET_UDP_DATAGRAMS_H

#include "net/udp.h"
#include "paste/datagram.h"

/* `options` as for udp_open(), its queue is ignored. The port stays the caller's and open as long as the
 * datagrams. */
int udp_datagrams_open(const struct udp_options *options, struct paste_datagrams **datagrams,
		       struct paste_error *err);

#endif
