/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire_inside.h - what the simulated wire's two files share: wire.c has time, cables and the switch,
 * wire_port.c the rings.
 */
#ifndef PORT_WIRE_INSIDE_H
#define PORT_WIRE_INSIDE_H

#include "media/sim_random.h"
#include "port/ring.h"
#include "port/wire.h"

#define WIRE_PORTS 16
#define WIRE_AT_SWITCH UINT32_MAX

struct wire_frame {
	uint64_t due, order; /* frames that are due together come in the order in which they set out */
	uint32_t to;         /* port, or WIRE_AT_SWITCH */
	uint32_t from;
	uint16_t flags, checksum_start, checksum_offset; /* as in struct paste_slot */
	uint32_t length;
	uint8_t bytes[WIRE_FRAME_MAX];
};

struct wire_cable {
	struct wire_link link;
	uint64_t busy_until; /* down: when all that waits has gone in */
	uint64_t last_due;
	uint32_t losing; /* so many more of a run */
	struct sim_random random;
};

struct wire_port {
	struct paste_port port;
	struct paste_ring receive, transmit;
	struct ring in, out;
	struct wire *wire;
	struct wire_port_options options;
	uint32_t number;
	struct wire_cable up, down;
	uint64_t
	    finish; /* when the first frame of the transmit ring has gone in; WIRE_NEVER: there is none */
};

struct wire {
	struct wire_options options;
	struct sim_random random;
	uint64_t now, order;
	struct wire_port *port[WIRE_PORTS];
	uint32_t ports;
	struct wire_frame *memory, **idle, **due; /* due: a heap, the earliest first */
	uint32_t idles, dues;
	uint64_t count[WIRE_FATES];
};

void wire_tell(struct wire *w, uint32_t port, enum wire_fate fate, const uint8_t *frame, uint32_t length);

/* NULL: the wire is full. */
struct wire_frame *wire_frame_take(struct wire *w);
void wire_frame_put(struct wire *w, struct wire_frame *f);

/* Into a cable at w->now. Takes the frame over. */
void wire_cable_send(struct wire *w, struct wire_cable *c, struct wire_frame *f, uint32_t port, bool up);

/* What is due now. */
void wire_run(struct wire *w, uint64_t until);

uint64_t wire_nanoseconds(const struct wire_link *l, uint64_t bytes);

/* Of wire_port.c: the first frame of the transmit ring leaves it at w->now; a frame arrives. */
void wire_port_send(struct wire_port *p);
void wire_port_deliver(struct wire_port *p, const struct wire_frame *f);

#endif
