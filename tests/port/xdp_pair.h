/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_pair.h - an AF_XDP port on one end of a veth pair (veth.h has the picture), a peer with AF_PACKET on
 * the other, and frames whose every byte is known, for cmocka.
 */
#ifndef TESTS_PORT_XDP_PAIR_H
#define TESTS_PORT_XDP_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include "landing.h"
#include "paste/port.h"
#include "veth.h"

#define REGION_BYTES (16 << 20)
#define UDP_PORT 7000
#define HEADERS 42 /* Ethernet, IPv4, UDP */

struct pair {
	const struct veth *veth;
	struct paste_region *r;
	struct paste_port *port;
	int peer;
};

/* A UDP frame of `bytes` bytes with a number and a pattern; without a checksum, which IPv4 allows. */
void build(uint8_t *frame, uint32_t bytes, uint32_t number, bool to_here);
uint32_t number_of(const uint8_t *frame);
void assert_frame(const uint8_t *frame, uint32_t bytes, uint32_t number, bool to_here);

/* A region and a port on it that takes UDP_PORT at 10.1.1.1. Closing proves that every buffer is back. */
void pair_open(struct pair *p, const struct veth *veth, struct paste_xdp_options options,
	       uint32_t buffer_size);
void pair_close(struct pair *p);

void peer_send(struct pair *p, const uint8_t *frame, uint32_t bytes);
/* The next frame of ours that the peer got; -1: none. */
ssize_t peer_receive(struct pair *p, uint8_t *frame, size_t most);

/* Sync until `n` slots are there. / Give the first `n` back. */
struct paste_ring *await(struct pair *p, uint32_t queue, uint32_t n);
void release(struct pair *p, uint32_t queue, uint32_t n);
uint8_t *slot_data(struct pair *p, const struct paste_slot *slot);

/* Put a frame into the next transmit slot, in its own buffer; wait for a slot if there is none. */
void send_own(struct pair *p, uint32_t bytes, uint32_t number, uint16_t offset);
/* Sync until all transmit slots are the application's again. */
void all_sent(struct pair *p);

#endif
