/* SPDX-License-Identifier: BSD-2-Clause */
/* examples.h - what the examples share: one round of each, which the tests run over ports in memory, and
 * opening a port. */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include "paste/port.h"
#include "paste/store.h"

int receiver_round(struct paste_port *port, struct paste_store *store);
int reflector_round(struct paste_port *port);
int forwarder_round(struct paste_port *a, struct paste_port *b);

/* The first queue of an interface, and all packets to a UDP port, given as text. */
int example_port(struct paste_region *region, const char *interface, const char *udp_port,
		 struct paste_port **port, struct paste_error *err);

#endif
