/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp.h - the AF_XDP back end from inside; paste/port.h is its contract.
 *
 * The UMEM is the region's area 0, so a descriptor's address is an offset into the area: its upper part is
 *the buffer's number, its lower part the offset in it. Of each buffer, who holds it:
 *
 *	receive   posted: in the fill ring, the kernel's or the device's hands, or the receive ring (a bit in
 *`posted`) or in a slot of the application's transmit  in a slot
 *
 * posted + slots of the application's + owed = slots of the receive ring: `owed` are those for which there
 *was no buffer; each sync tries again. So neither ring of the kernel's can overflow: each has as many entries
 *as the ring has slots.
 *
 * A completion names an address, and they need not come in order: each slot under way has its address until
 *it is completed, and slots go back to the application in order.
 */
#ifndef PORT_XDP_H
#define PORT_XDP_H

#include "port/ring.h"
#include "port/steer.h"
#include "port/xdp_interface.h"
#include "port/xdp_socket.h"

#define XDP_KERNEL_HEADROOM 256
/* So that after a header of 66 bytes (Ethernet 14, IPv4 20, TCP with timestamps 32) the payload begins at
 * 384, a line. */
#define XDP_HEADROOM 62
#define XDP_METADATA 16
#define XDP_FRAGMENTS_MOST 17 /* slots a packet may have where a socket buffer carries it: MAX_SKB_FRAGS */
#define XDP_SENT UINT32_MAX

struct xdp_queue {
	struct xdp_socket socket;
	uint32_t number; /* of the interface's */
	struct ring receive, transmit;
	uint32_t posted, owed;
	uint32_t *sending; /* buffer of each transmit slot under way, or XDP_SENT */
	uint32_t produced; /* transmit slots given to the kernel */
	uint32_t idle;     /* syncs since something was received */
};

struct xdp_port {
	struct paste_port port;
	struct xdp_interface interface;
	struct paste_landing landing; /* noted in the region if queues > 0 */
	struct steer *steer;
	struct xdp_queue *queue;
	uint8_t *posted; /* of each buffer of the region: it is posted */
	struct pollfd *polled;
	int epoll; /* of several queues; -1 */
	uint32_t metadata;
	uint32_t bytes_most; /* of a frame */
	bool zero_copy, busy_poll;
	uint32_t bound; /* sockets whose queue the kernel has given us: of the others no device has anything */
	bool released; /* closed, and the device is known to have stopped */
	uint32_t kept; /* buffers that a device may have still that did not */
	bool gathers; /* packets that fit into one buffer are sent from one, also where fragments could be
			 sent */
	int error;    /* the interface is gone, or its socket failed */
};

static inline struct xdp_port *xdp_port_of(struct paste_port *p)
{
	return (struct xdp_port *)p;
}

/* xdp_receive.c */
int xdp_sync_receive(struct paste_port *p, uint32_t queue);
/* The first buffers for the fill ring, before the socket is bound. -ENOBUFS: fewer than half could be had. */
int xdp_receive_begin(struct xdp_port *x, struct xdp_queue *q);
/* After the socket is closed: put what was posted, or keep it for good where the device may still write into it. Returns how
 * many were kept. */
uint32_t xdp_receive_end(struct xdp_port *x, bool keep);
int xdp_poll(struct paste_port *p, int64_t timeout_us);

/* xdp_transmit.c */
int xdp_sync_transmit(struct paste_port *p, uint32_t queue);
/* After the socket is closed: keep for good what a device may still send from. Returns how many. */
uint32_t xdp_transmit_keep(struct xdp_port *x);

#endif
