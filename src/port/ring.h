/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.h - what every back end does with the slots of its rings; the application's side is paste/port.h.
 *
 * Receive. Beside the application's head and tail there is `done`: the slots before it were given back and
 *looked at.
 *
 *	 done ──────── head ──────── tail ──────── arrived ──────── done + size
 *	  given back,   the           packets that   the port's, each with
 *	  not looked    application's the next sync  a buffer to receive into
 *	  at                          shows          (or RING_NO_BUFFER for want of one)
 *
 * Transmit:
 *
 *	 done ──────── taken ──────── head ──────── tail = done + size
 *	  under way     filled, not    the
 *	                seen by a sync application's
 *
 * A slot under way with REFERENCE has a user count of the port's on its buffer; the slot's own buffer waits
 *in `own`. A back end whose received packets do not come in the buffers that it gave back (AF_XDP) opens the
 *ring without buffers and passes them through ring_renew() itself.
 */
#ifndef PORT_RING_H
#define PORT_RING_H

#include "paste/port.h"

/* Where nothing is measured, and for short payloads anywhere: a slot, its reference and its release cost as much as
 * to copy so much. */
#define PORT_GATHER_BYTES 256

#define RING_NO_BUFFER UINT32_MAX

struct ring {
	struct paste_ring *ring;
	struct paste_region *region;
	uint32_t *own; /* transmit: a slot's own buffer as it was when the application got the slot */
	uint32_t done;
	uint32_t arrived; /* receive */
	uint32_t taken;   /* transmit */
	uint32_t most;    /* transmit: slots that a packet may have */
	struct paste_ring_stats stats;
};

enum ring_kind {
	RING_RECEIVE,       /* every slot gets a buffer */
	RING_RECEIVE_EMPTY, /* none does */
	RING_TRANSMIT,      /* every slot gets a buffer, and all slots are the application's */
};

/* `size`: a power of two. `fragments`: slots that a packet may have at most. -EINVAL, -ENOMEM, -ENOBUFS;
 * nothing is held then. */
int ring_open(struct ring *x, struct paste_ring *ring, struct paste_region *region, enum ring_kind kind,
	      uint32_t size, uint32_t fragments, struct paste_error *err);

/* Put every buffer that the slots hold, the application's slots included, and the port's counts of what is
 * under way. */
void ring_close(struct ring *x);

/* A buffer to receive into, in place of one that was given back: the same if nobody else holds it, else
 * another one (counted). RING_NO_BUFFER: there is none now. */
uint32_t ring_renew(struct ring *x, uint32_t buffer);

/* Receive: slots of the port's that have a buffer to receive into. */
uint32_t ring_posted(const struct ring *x);

/* A buffer for the slot if it has none. False: there is none now. */
bool ring_slot_fill(struct ring *x, struct paste_slot *slot);

/* The application moved head to where it may: within its slots. Else sync is -EINVAL, and nothing was
 * touched. */
bool ring_head_valid(const struct ring *x);

/* Receive: look at what was given back. */
void ring_give_back(struct ring *x);

/* Receive: show what has arrived. The number of slots that are the application's. */
int ring_show(struct ring *x);

/* Transmit: take what is before head, up to the last whole packet, and a user count for each reference. */
void ring_take(struct ring *x);

/* A packet that was taken, first slot `at`: its slots (at least 1) and bytes; 0 bytes if it must not be sent,
 * because a slot is empty or leaves its buffer, or there are too many. */
uint32_t ring_packet(const struct ring *x, uint32_t at, uint32_t *bytes);

/* Transmit: the first `slots` slots under way are the application's again at the next ring_return(). */
void ring_complete(struct ring *x, uint32_t slots);
int ring_return(struct ring *x);

#endif
