/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_script.h - a stack on one end of a pipe, and the test as its peer on the other, segment by segment.
 *
 *	script_begin(&f);
 *	established(&f);
 *	in(&f, TCP_ACK, f.seq, f.ack, 10);
 *	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 10);
 *	script_end(&f);
 *
 * The peer is 10.0.0.1:2000, the stack listens on 10.0.0.2:8080. f.seq is the peer's next sequence number
 * once it is established, f.ack what it acknowledges; in() and its like leave both to the test.
 */
#ifndef TESTS_TCP_SCRIPT_H
#define TESTS_TCP_SCRIPT_H

#include "net/tcp_segment.h"
#include "net/tcp_stack.h"
#include "slots.h"

struct script {
	struct paste_region *region;
	struct paste_port *port[2]; /* the test's, the stack's */
	struct paste_stack *stack;
	struct paste_conn *conn;
	struct packet_path path; /* to the stack */
	uint64_t now;
	uint32_t seq, ack;           /* the peer's next; what it acknowledges */
	uint16_t peer_port, stack_port, window; /* window: the stack's, as it stands in its last segment */
	uint32_t data, eofs, accepts, connects;
	int error;
	int neighbour; /* what it says */
	uint32_t asked;
	bool timestamps;
	uint32_t ts;
	uint8_t fill;       /* what the peer's bytes are */
	uint8_t got[256];   /* the first ones that were delivered */
};

void script_begin_with(struct script *f, struct paste_tcp_options o);
void script_begin(struct script *f); /* acknowledgments are not delayed */
void script_end(struct script *f);   /* every buffer is home */

/* Two turns: the second one sends what the first one calls forth. */
void script_turn(struct script *f);
/* A segment to the stack, and two turns. Ports, timestamps and bytes are the script's. */
void script_put(struct script *f, struct tcp_segment s);
void in(struct script *f, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t length);

/* The next segment from the stack. False: there is none. */
bool out(struct script *f, struct tcp_segment *s);
struct tcp_segment expect(struct script *f, uint8_t flags);
void expect_nothing(struct script *f);

/* Of the stack's first connection. */
const char *state_of(const struct script *f);

/* Ways to a state. */
void syn_received(struct script *f);
void established(struct script *f);
void fin_in(struct script *f, uint32_t ack);
void fin_out(struct script *f);
void reach(struct script *f, const char *state);

#endif
