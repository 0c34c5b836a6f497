/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port.h - packets in and out of region buffers, through rings in netmap's shape.
 *
 * A port has receive and transmit rings. A ring is an array of slots; a slot names a buffer of the region and where in
 * it the packet is. Who owns a slot is said by three indices that run around the ring:
 *
 *	        head            cur             tail
 *	  ───────┬───────────────┬───────────────┬───────────
 *	   port  │  application  │  application  │  port
 *	  ───────┴───────────────┴───────────────┴───────────
 *	           done with       not looked at
 *
 * Slots head .. tail-1 are the application's, the others the port's. The application works on its slots, moves `head` over
 * those it is done with and `cur` to where it wants to be woken, and calls a sync: the port takes what is before head
 * and moves tail. Only the application writes head and cur, only a sync writes tail.
 *
 * Receive: a slot of the application's holds a packet (or a fragment: MORE is set on all slots of a packet but the
 * last). To *keep* it, put another buffer into the slot (paste_port_swap) and have the old one for yourself; otherwise
 * the buffer goes back to receive again. A buffer that somebody else came to hold meanwhile (users > 1, or a live slice of the
 * store) is not received into again: the port notices at the sync and takes a fresh one itself.
 *
 * Transmit: the application fills slots (buffer, offset, length), sets MORE on all fragments of a packet but the last,
 * advances head and syncs. With REFERENCE the slot's buffer stays whose it is: the port takes a user count until the
 * device is done with it, and the slot gets its own buffer back. Without it the slot's own buffer is sent, and may be
 * written again when the slot is the application's again.
 *
 * Nothing is allocated after open. A port belongs to one thread at a time, but rings of one port may be used by different threads
 * where the back end says so. No call blocks but paste_port_poll().
 */
#ifndef PASTE_PORT_H
#define PASTE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "paste/error.h"
#include "paste/region.h"

enum paste_slot_flags {
	PASTE_SLOT_MORE = 1,      /* the packet goes on in the next slot */
	PASTE_SLOT_REFERENCE = 2, /* transmit: the buffer is somebody else's */
	PASTE_SLOT_CHECKSUM = 4,  /* transmit: the port computes the transport checksum (info.transmit_checksum);
				     receive: only a pseudo-header sum stands in the packet */
};

struct paste_slot {
	uint32_t buffer;
	uint16_t offset; /* bytes into the buffer */
	uint16_t length; /* bytes */
	uint16_t flags;
	uint16_t checksum_start;  /* CHECKSUM: from the packet's start, where the sum begins */
	uint16_t checksum_offset; /* ... and where it goes, from checksum_start */
	uint16_t zero;
};

struct paste_ring {
	struct paste_slot *slot;
	uint32_t size; /* slots, a power of two; indices run freely, slot[i & (size - 1)] */
	uint32_t head, cur, tail;
};

struct paste_ring_stats {
	uint64_t packets, bytes, slots;
	uint64_t dropped;      /* by the port: no slot, too large */
	uint64_t starved;      /* syncs that found no buffer to receive into */
	uint64_t replaced;     /* buffers replaced because somebody kept them */
	uint64_t gathered;     /* packets copied together for want of scatter-gather, */
	uint64_t gathered_bytes;
};

struct paste_port_info {
	char name[64];
	const char *mode;       /* "zero-copy", "copy", "generic", "pipe", "simulated" */
	uint32_t queues;        /* of receive and of transmit rings */
	uint32_t mtu;           /* bytes of an IP packet; 0: unlimited */
	uint32_t fragments;     /* slots a packet may have, 1: no scatter-gather */
	bool transmit_checksum; /* PASTE_SLOT_CHECKSUM works */
	uint8_t mac[6];
	uint32_t headroom;      /* free bytes before a received packet in its buffer */
};

struct paste_port;

struct paste_port_ops {
	int (*sync_receive)(struct paste_port *p, uint32_t queue);
	int (*sync_transmit)(struct paste_port *p, uint32_t queue);
	int (*poll)(struct paste_port *p, int64_t timeout_us);
	int (*fd)(struct paste_port *p);
	void (*stats)(struct paste_port *p, uint32_t queue, struct paste_ring_stats *receive,
		      struct paste_ring_stats *transmit);
	void (*close)(struct paste_port *p);
};

/* Back ends embed it first. */
struct paste_port {
	const struct paste_port_ops *ops;
	struct paste_region *region;
	struct paste_port_info info;
	struct paste_ring *receive, *transmit; /* info.queues each */
};

static inline struct paste_slot *paste_ring_slot(const struct paste_ring *r, uint32_t i)
{
	return &r->slot[i & (r->size - 1)];
}

static inline uint32_t paste_ring_available(const struct paste_ring *r)
{
	return r->tail - r->head;
}

/* Give done slots back and learn of new ones. The number of slots that are the application's now, or a negative errno
 * (-ENETDOWN: the interface is gone). */
static inline int paste_port_sync_receive(struct paste_port *p, uint32_t queue)
{
	return p->ops->sync_receive(p, queue);
}

static inline int paste_port_sync_transmit(struct paste_port *p, uint32_t queue)
{
	return p->ops->sync_transmit(p, queue);
}

/* Wait until a receive ring has something behind cur, or timeout_us passed (0: do not wait, -1: for ever). 1, 0 on
 * time-out, or a negative errno. Syncs nothing. */
static inline int paste_port_poll(struct paste_port *p, int64_t timeout_us)
{
	return p->ops->poll(p, timeout_us);
}

/* Keep a received packet: the slot gets `fresh` (one user count goes with it), the caller the slot's buffer with one. */
static inline uint32_t paste_port_swap(struct paste_slot *slot, uint32_t fresh)
{
	uint32_t kept = slot->buffer;

	slot->buffer = fresh;
	return kept;
}

/* Put every buffer the rings hold, detach from the device, free. */
static inline void paste_port_close(struct paste_port *p)
{
	if (p)
		p->ops->close(p);
}

/* Two ports back to back: what one transmits the other receives. Buffers are exchanged, not copied, when both are of the
 * same region. `slots`: of each ring, a power of two. */
int paste_pipe_open(struct paste_region *a, struct paste_region *b, uint32_t slots, struct paste_port *port[2],
		    struct paste_error *err);

#endif
