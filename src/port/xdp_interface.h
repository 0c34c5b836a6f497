/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_interface.h - what a network interface is and can do, asked without touching it.
 *
 * Nothing here attaches, binds or sets anything, and nothing needs a privilege. What the kernel is too old to
 * tell is marked as not known.
 */
#ifndef PORT_XDP_INTERFACE_H
#define PORT_XDP_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#include "paste/error.h"

struct xdp_interface {
	unsigned index;
	char driver[32]; /* "" if it does not say */
	uint32_t queues; /* receive queues in use */
	uint32_t transmit_queues;
	uint32_t mtu;
	uint8_t mac[6];
	bool ethernet, up;
	bool carrier; /* up, and there is somebody at the other end */
	bool receive_checksum, transmit_checksum; /* the kernel's offloads, not AF_XDP's */
	bool vlan_stripping; /* tags are taken out of the frame before the program sees it */
	bool segmentation;   /* it would send frames larger than the MTU to a veth peer */

	bool features_known;   /* the following; Linux 6.3 */
	bool native, redirect; /* the driver runs XDP programs, and gives packets to sockets */
	bool zero_copy;
	bool receive_fragments;
	uint32_t zero_copy_segments; /* slots a packet may have in zero-copy mode; 0: not known */
	bool device_checksum;        /* the device computes transmit checksums for AF_XDP */
};

/* -ENODEV, ... */
int xdp_interface_find(const char *name, struct xdp_interface *i, struct paste_error *err);

/* Does an AF_XDP socket have this receive queue? 1, 0 (also from kernels before 6.14, which do not tell), or
 * a negative errno. */
int xdp_interface_queue_taken(unsigned index, uint32_t queue);

/* Is this one of the addresses of this network namespace, or "any"? IPv4 mapped. An address of a link (fe80::) passes: it is
 * told only together with its interface. */
bool xdp_interface_is_local(const uint8_t address[16]);

/* Largest MTU whose frames fit into one buffer of `chunk` bytes of which `headroom` come before the packet.
 */
uint32_t xdp_interface_mtu_for(uint32_t chunk, uint32_t headroom);

#endif
