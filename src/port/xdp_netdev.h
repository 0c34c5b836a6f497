/* SPDX-License-Identifier: BSD-2-Clause */
/* xdp_netdev.h - questions to the kernel's generic netlink family `netdev`; the answers belong to
 * xdp_interface.h. */
#ifndef PORT_XDP_NETDEV_H
#define PORT_XDP_NETDEV_H

#include "port/xdp_interface.h"

/* Fill in what is behind features_known; leaves it false if the kernel does not tell. */
void xdp_netdev_features(struct xdp_interface *i);

int xdp_netdev_queue_taken(unsigned index, uint32_t queue);

#endif
