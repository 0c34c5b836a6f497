/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire.h - the simulated wire, for tests: ports joined by a switch over cables that lose, double, hold back,
 *damage and queue what goes over them.
 *
 *	port 0 ══up══►┌────────┐══down══► port 1
 *	      ◄═down══│ switch │◄══up════
 *	              └────────┘══down══► port 2 ...
 *
 * Time is the caller's: nothing moves but in wire_advance() and, at the time of the last of those, in a sync.
 *The same seed, calls and packets give the same run. A sent frame leaves its slots when its last byte goes
 *into the cable, and is read only then, so that who writes into a buffer too early spoils his own packet; a
 *slot given back is overwritten at once, so that who still reads it notices. The switch sends to the port
 *whose MAC it is, and to all others if it is nobody's.
 *
 * Everything is bounded: the transmit ring is the queue of the cable up, `queue_bytes` that of the cable
 *down, and the wire holds at most `packets` frames. Nothing is allocated after wire_open() and
 *wire_port_open().
 *
 * It is no part of the library.
 */
#ifndef PORT_WIRE_H
#define PORT_WIRE_H

#include "paste/port.h"

#define WIRE_NEVER UINT64_MAX
#define WIRE_MILLION 1000000u
#define WIRE_FRAME_MAX (9000 + 18 + 4) /* bytes: the largest MTU, Ethernet header and two tags */

/* One direction of a cable. All zero: perfect, with no delay. Chances are in a million, each drawn for
 * itself. */
struct wire_link {
	uint64_t delay_ns;
	uint64_t jitter_ns;        /* 0 .. jitter_ns more, in order */
	uint64_t bytes_per_second; /* 0: unlimited */
	uint64_t queue_bytes;      /* down: not gone in yet; more is lost. 0: 256 KiB */
	uint32_t mtu;              /* bytes of an IP packet; larger ones are lost. 0: 9000 */
	uint32_t lose;
	uint32_t lose_run;   /* a loss takes so many in a row. 0: 1 */
	uint32_t duplicate;  /* the second one up to 2 * reorder_ns later */
	uint32_t reorder;    /* held back by up to reorder_ns, so that others overtake */
	uint64_t reorder_ns; /* 0: 100 us */
	uint32_t corrupt;    /* one bit flipped, behind the Ethernet header (whose damage a frame's own check
				finds) */
};

enum wire_fate {
	WIRE_SENT,      /* went into the cable up */
	WIRE_DELIVERED, /* stands in a receive ring */
	WIRE_LOST,
	WIRE_DUPLICATED,
	WIRE_REORDERED,
	WIRE_CORRUPTED,
	WIRE_TOO_LARGE,  /* for the MTU, or for the slots that a packet may have at the receiver */
	WIRE_OVERFLOWED, /* no room in the queue down, or in the wire */
	WIRE_NO_SLOT,    /* the receiver had none */
	WIRE_BAD_SLOT,   /* the sender's slots make no packet */
	WIRE_FATES,
};

const char *wire_fate_name(enum wire_fate fate);

struct wire_options {
	uint64_t seed;
	uint32_t packets; /* in the wire at once. 0: 1024 */
	/* Sees everything that happens, in order. */
	void (*tap)(void *arg, uint64_t now_ns, uint32_t port, enum wire_fate fate, const uint8_t *frame,
		    uint32_t length);
	/* Asked for each frame that a port sends: true loses it. May change the bytes. */
	bool (*lose)(void *arg, uint64_t now_ns, uint32_t port, uint8_t *frame, uint32_t length);
	void *arg;
};

struct wire_port_options {
	struct paste_region *region;
	uint32_t slots;     /* of each ring, a power of two. 0: 256 */
	uint32_t fragments; /* slots a packet may have, both ways. 0: 16 */
	uint32_t headroom;  /* bytes; 256 + headroom is where a packet begins, as over AF_XDP */
	bool checksum; /* works out sums that are asked for (PASTE_SLOT_CHECKSUM); else they go on as they
			  are, and the receiver's slot has the flag */
	/* How received bytes get into a buffer. NULL: memcpy. */
	void (*receive)(void *arg, void *to, const void *from, size_t n);
	void *arg;
	struct wire_link up, down;
};

struct wire;

/* NULL: no memory. */
struct wire *wire_open(const struct wire_options *options);

/* Its number is how many were opened before it; its MAC is 02:77:69:72:65:NUMBER. Close it with
 * paste_port_close(). */
int wire_port_open(struct wire *w, const struct wire_port_options *options, struct paste_port **port,
		   struct paste_error *err);

/* From now on; what is in the cable stays as it is. */
void wire_set_links(struct wire *w, uint32_t port, const struct wire_link *up, const struct wire_link *down);

/* Let everything happen that is due up to now_ns, which never goes back. */
void wire_advance(struct wire *w, uint64_t now_ns);

/* When something happens next, WIRE_NEVER if nothing does. */
uint64_t wire_next(const struct wire *w);

/* How often what happened, over all ports. */
uint64_t wire_count(const struct wire *w, enum wire_fate fate);

/* All ports are closed. What is in the cables is gone. */
void wire_close(struct wire *w);

#endif
