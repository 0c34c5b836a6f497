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
	uint64_t copied;       /* packets that a pipe or the simulated wire copied from one buffer to another */
	uint64_t copied_bytes;
};

struct paste_port_info {
	char name[64];
	const char *mode;       /* "zero-copy", "copy", "generic", "pipe", "simulated" */
	uint32_t queues;        /* of receive and of transmit rings */
	uint32_t mtu;           /* bytes of an IP packet; 0: unlimited */
	uint32_t fragments;     /* slots a packet may have, 1: no scatter-gather */
	uint32_t gather_bytes;  /* a payload elsewhere of up to so many bytes is sent faster copied behind its headers
				   than as a fragment of its own, as bench/transmit.c measures it: what transports do */
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
	uint32_t (*posted)(struct paste_port *p, uint32_t queue); /* buffers that wait for packets */
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

/* Two ports back to back: what one transmits the other receives, in order and without loss; a transmit ring whose packets the
 * other side has no slots for stays full. Buffers are exchanged, not copied, when both are of the same region and nobody keeps
 * the sent one; a REFERENCE is copied, as a device would. CHECKSUM goes along as it is: the receiver finds the flag. Both
 * belong to one thread. When one is closed the other's syncs say -ENETDOWN once it has received what it had slots for.
 * `slots`: of each ring, a power of two. */
int paste_pipe_open(struct paste_region *a, struct paste_region *b, uint32_t slots, struct paste_port *port[2],
		    struct paste_error *err);

/*
 * AF_XDP: the ports of a network interface, whose packets land in the region's buffers. Packets that a rule names come
 * here, everything else on the interface stays with the kernel. Each queue has its rings; the hardware (or the
 * kernel's hash) spreads flows over all queues, so a port that does not open all of them misses flows, and what is ours on a
 * queue that is not open is dropped. Needs root, or CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF.
 *
 * One thread at a time uses the port: the region's buffers are shared by all rings.
 */
enum paste_xdp_mode {
	PASTE_XDP_AUTO,      /* the first of these that can be had; info.mode says which it was */
	PASTE_XDP_ZERO_COPY, /* the device writes into the buffers */
	PASTE_XDP_COPY,      /* the driver runs the program, the kernel copies */
	PASTE_XDP_GENERIC,   /* any interface; the kernel has made a socket buffer first. The sender on a veth must have
				segmentation off, or large segments arrive in one piece, or not */
};

enum paste_xdp_fragments {
	PASTE_XDP_FRAGMENTS_AUTO, /* where it costs no better mode */
	PASTE_XDP_FRAGMENTS_NO,
	PASTE_XDP_FRAGMENTS_YES, /* or fail: frames larger than a buffer (info.mtu is then the interface's) */
};

/* A destination that is ours. */
struct paste_xdp_rule {
	uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d. ::ffff:0.0.0.0 and :: are all unicast addresses of the family:
				also those of other machines, if this one forwards */
	uint16_t port;       /* host byte order */
	uint8_t protocol;    /* IPPROTO_UDP, IPPROTO_TCP */
};

struct paste_xdp_options {
	const char *ifname;
	uint32_t first_queue, queues; /* queues 0: all */
	enum paste_xdp_mode mode;
	enum paste_xdp_fragments fragments;
	uint32_t slots;        /* of each ring, a power of two, 64 to 32768; 0: 2048, or less in a small region */
	uint32_t busy_poll_us; /* let this thread's calls do the interface's work, and poll spin so long; 0: interrupts */
	bool checksum;         /* let the kernel or device compute transmit checksums (info.transmit_checksum says whether
				  it does); slots that begin within 16 bytes of their buffer are then copied */
	bool no_gather;        /* send packets of several slots as fragments also where copying them together is faster */
	const struct paste_xdp_rule *rules; /* taken from the first packet on */
	uint32_t rules_n;
};

/* -EPERM, -ENODEV, -EBUSY (the queue or the interface is another's, also after some retries), -EOPNOTSUPP, -EMSGSIZE
 * (the MTU), -EFBIG (the region), -ENOBUFS, ...: the sentence says what to do. */
int paste_xdp_open(struct paste_region *region, const struct paste_xdp_options *options, struct paste_port **port,
		   struct paste_error *err);

/*
 * For paste_open_options.released: has this interface taken the buffers of a dead owner back? Waits some seconds for its queues
 * to be free. The region names the interface from before it gets buffers until the port is closed. -EBUSY: not yet, or it is
 * another network namespace's, or this process may not ask. `arg` is not used.
 */
int paste_xdp_released(void *arg, const struct paste_landing *landing, struct paste_error *err);

/* More rules, or fewer, while it runs. -ENOSPC: too many, -ENOENT: there is none such. */
int paste_xdp_take(struct paste_port *p, const struct paste_xdp_rule *rule);
int paste_xdp_leave(struct paste_port *p, const struct paste_xdp_rule *rule);

/* What the kernel counted for a queue; where a number cannot be had it is 0. */
struct paste_xdp_stats {
	uint64_t steered;           /* packets that a rule named, given to the socket */
	uint64_t absent;            /* ..., dropped because the socket was not there */
	uint64_t ip_fragments;      /* ..., dropped because they were first fragments of an IP packet */
	uint64_t passed;            /* left to the kernel */
	uint64_t no_room;           /* dropped: no buffer was posted, or the packet did not fit */
	uint64_t ring_full;         /* dropped: the receive ring was full */
	uint64_t fill_empty;        /* times the kernel found nothing to receive into */
	uint64_t invalid;           /* descriptors that the kernel refused; a bug if not 0 */
	uint32_t posted;            /* buffers that wait for packets now */
};
void paste_xdp_stats(struct paste_port *p, uint32_t queue, struct paste_xdp_stats *stats);

#endif
