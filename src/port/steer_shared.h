/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer_shared.h - what the XDP program and the process share: keys and counters of its maps.
 *
 * Compiled twice, for the kernel's virtual machine and for the host: fixed-width types only, no padding.
 */
#ifndef PORT_STEER_SHARED_H
#define PORT_STEER_SHARED_H

#include <linux/types.h>

/* One transport address that is ours. IPv4 is mapped (::ffff:a.b.c.d); all zeroes behind the prefix of the
 * family means every unicast address. */
struct steer_key {
	__u8 address[16];
	__u8 port[2]; /* network byte order */
	__u8 protocol;
	__u8 zero;
};

/* What became of the packets of one receive queue, per CPU. Their sum is all packets of the queue. */
struct steer_counts {
	__u64 taken;     /* ours, handed to the socket */
	__u64 absent;    /* ours, dropped: no socket for this queue */
	__u64 fragments; /* ours, dropped: the first fragment of an IP packet */
	__u64 passed;    /* the kernel's */
};

#define STEER_RULES_MAX 65536

#endif
