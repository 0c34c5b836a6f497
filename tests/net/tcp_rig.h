/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_rig.h - two stacks over the simulated wire under a virtual clock, and applications that send each other
 * streams of known bytes and check every one that arrives.
 *
 *	client ── stack 0 ── port 0 ══ wire ══ port 1 ── stack 1 ── server
 *
 * Everything follows from one seed. Each flow is a connection of the client's with a stream in each
 *direction.
 */
#ifndef TESTS_TCP_RIG_H
#define TESTS_TCP_RIG_H

#include "net/address.h"
#include "net/tcp_stack.h"
#include "port/wire.h"
#include "slots.h"

#define RIG_FLOWS 64
#define RIG_HELD 256

enum rig_ends { RIG_CLIENT, RIG_SERVER, RIG_ENDS };

struct rig_options {
	uint64_t seed;
	struct wire_link up, down; /* of both ports */
	uint32_t buffers;          /* of the region. 0: 4096 */
	uint32_t slots;            /* of each ring. 0: 256 */
	uint32_t fragments;        /* 0: 16 */
	uint32_t max_events;       /* a turn. 0: 64 */
	bool six;                  /* over IPv6 */
	struct paste_tcp_options tcp;
	/* The applications: */
	uint32_t flows;
	uint32_t bytes[RIG_ENDS];   /* each flow, by who sends */
	uint32_t piece_most;        /* bytes a send at most. 0: 3000 */
	uint32_t reference_percent; /* of the pieces */
	uint32_t pause_percent;     /* chance of pausing at a DATA event; resumed after a while */
	uint32_t hold_percent;      /* of the received slices, kept for a while */
	uint32_t hold_most;         /* so many are kept at most. 0: RIG_HELD */
	uint64_t jump_us;           /* the clock now and then jumps by up to so much */
	bool server_closes;         /* when it has sent and received everything, before the client does */
	bool (*lose)(void *arg, uint64_t now_ns, uint32_t port, uint8_t *frame, uint32_t length);
	void (*tap)(void *arg, uint64_t now_ns, uint32_t port, enum wire_fate fate, const uint8_t *frame,
		    uint32_t length);
	void *arg;
};

struct rig_stream {
	struct paste_conn *conn;
	uint64_t seed[2]; /* of what it sends and of what it receives */
	uint32_t sent, to_send, received, to_receive;
	uint64_t released;     /* of what it sent; where limits.released is set */
	uint64_t released_at;  /* ns: of the turn that told it */
	uint64_t paused_until; /* us; 0: it is not */
	bool blocked, shut, eof, closed, connected;
	int error;
};

struct rig {
	struct rig_options o;
	struct paste_region *region;
	struct wire *wire;
	struct paste_port *port[RIG_ENDS];
	struct paste_stack *stack[RIG_ENDS];
	struct rig_stream stream[RIG_ENDS][RIG_FLOWS];
	uint32_t accepted;
	uint64_t now_ns, random;
	struct paste_ref held[RIG_HELD];
	uint32_t held_n;
	char bound[64];
};

/* Opened and listening; the client has begun to connect. */
void rig_begin(struct rig *r, const struct rig_options *o);
/* One step of time and both stacks. */
void rig_step(struct rig *r);
/* Until all is sent, received and closed; fails after so many seconds of virtual time. */
void rig_run(struct rig *r, uint64_t seconds);
/* Whether every flow is closed at both ends. */
bool rig_done(const struct rig *r);
/* Close all; every buffer is home. */
void rig_end(struct rig *r);

struct paste_tcp_stats rig_stats(const struct rig *r, enum rig_ends end);
uint64_t rig_random(struct rig *r);
uint8_t rig_byte(uint64_t seed, uint32_t at);

#endif
