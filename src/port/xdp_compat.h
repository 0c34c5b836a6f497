/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_compat.h - kernel interfaces newer than the headers that we are built with (Debian 12: 6.1).
 *
 * Only numbers are here. That they are known to the compiler says nothing of the kernel: each user asks the
 * kernel at run time and goes on without. The version is the kernel's that first had it.
 */
#ifndef PORT_XDP_COMPAT_H
#define PORT_XDP_COMPAT_H

#include <linux/if_xdp.h>
#include <linux/types.h>
#include <sys/socket.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

/* 5.11 */
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif

/* 6.6: packets over several buffers; EINVAL from bind() before. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

/* 6.8: what the kernel or device shall do with a packet, in front of it; EINVAL from setsockopt() before. */
#ifndef XDP_TX_METADATA
#define XDP_TX_METADATA (1 << 1)
#define XDP_TXMD_FLAGS_CHECKSUM (1 << 1)
#endif
/* 6.11 wants it said that the length is meant. */
#ifndef XDP_UMEM_TX_METADATA_LEN
#define XDP_UMEM_TX_METADATA_LEN (1 << 2)
#endif

/* 6.17: frames that one call sends in copy mode, 32 before; ENOPROTOOPT from setsockopt() before. */
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

/* struct xdp_umem_reg as of 6.8; before, the last field was padding. */
struct xdp_compat_umem {
	__u64 address, length;
	__u32 chunk_size, headroom, flags, metadata;
};

/* struct xsk_tx_metadata as of 6.8, as far as it is used. */
struct xdp_compat_metadata {
	__u64 flags;
	__u16 checksum_start, checksum_offset;
	__u32 zero;
};

_Static_assert(sizeof(struct xdp_compat_umem) == 32, "as the kernel has it");
_Static_assert(sizeof(struct xdp_compat_metadata) == 16, "as the kernel has it");

/* The generic netlink family `netdev`, 6.3; segments 6.6, transmit features 6.8, queues 6.8, their
 * sockets 6.14. */
#define NETDEV_FAMILY "netdev"
enum {
	NETDEV_GET_DEVICE = 1,
	NETDEV_DEVICE_IFINDEX = 1,
	NETDEV_DEVICE_XDP_FEATURES = 3,
	NETDEV_DEVICE_ZERO_COPY_SEGMENTS = 4,
	NETDEV_DEVICE_XSK_FEATURES = 6,

	NETDEV_FEATURE_BASIC = 1,
	NETDEV_FEATURE_REDIRECT = 2,
	NETDEV_FEATURE_ZERO_COPY = 8,
	NETDEV_FEATURE_RECEIVE_FRAGMENTS = 32,
	NETDEV_XSK_TRANSMIT_CHECKSUM = 2,

	NETDEV_GET_QUEUE = 10,
	NETDEV_QUEUE_ID = 1,
	NETDEV_QUEUE_IFINDEX = 2,
	NETDEV_QUEUE_TYPE = 3,
	NETDEV_QUEUE_SOCKET = 7,
	NETDEV_QUEUE_TYPE_RECEIVE = 0,
};

#endif
