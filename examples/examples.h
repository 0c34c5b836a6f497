/* SPDX-License-Identifier: BSD-2-Clause */
/* examples.h - what the examples share: one round of each, which the tests run over ports in memory, and
 * opening ports and stacks. */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include "paste/port.h"
#include "paste/store.h"
#include "paste/tcp.h"

/* Packets */
int receiver_round(struct paste_port *port, struct paste_store *store);
int reflector_round(struct paste_port *port);
int forwarder_round(struct paste_port *a, struct paste_port *b);

/* The first queue of an interface, and all packets to a UDP port, given as text. */
int example_port(struct paste_region *region, const char *interface, const char *udp_port,
		 struct paste_port **port, struct paste_error *err);

/* Connections. A round waits at most timeout_us for something to do, and returns a negative errno if the
 * stack or the store fails. */
int echo_round(struct paste_stack *stack, struct paste_store *store, int64_t timeout_us);
int append_round(struct paste_stack *stack, struct paste_store *store, int64_t timeout_us);

struct client {
	struct paste_stack *stack;
	struct paste_region *region;
	struct paste_conn *conn;
	char line[1024]; /* the answer, without its line feed, when a round returns 1 */
	uint32_t length;
};

int client_connect(struct client *c, const char *address, struct paste_error *err);
int client_send(struct client *c, const char *line); /* with its line feed */
int client_round(struct client *c, int64_t timeout_us);

/* Our TCP on all queues of an interface. */
struct example_link {
	struct paste_port *port;
	struct paste_stack *stack;
	uint8_t address[16], mac[6]; /* to connect: our address, the MAC to send to; set before opening */
};

int example_link_open(struct paste_region *region, const char *interface, struct example_link *l,
		      struct paste_error *err);
void example_link_close(struct example_link *l);

/* main() of a server: REGION INTERFACE HOST:PORT [spin]. */
int example_serve(int argc, char **argv,
		  int (*round)(struct paste_stack *stack, struct paste_store *store, int64_t timeout_us));

#endif
