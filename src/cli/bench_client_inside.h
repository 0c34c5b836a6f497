/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_client_inside.h - what the load generator's loop and its transports know of each other.
 *
 *	bench_client.c         the loop: rounds, requests, answers that come in pieces, losses
 *	bench_client_socket.c  kernel sockets, TCP and UDP
 *	bench_client_xdp.c     our own TCP over AF_XDP
 */
#ifndef CLI_BENCH_CLIENT_INSIDE_H
#define CLI_BENCH_CLIENT_INSIDE_H

#include "cli/bench_client.h"

struct client_transport {
	int (*open)(struct client *c, struct paste_error *err);
	/* Begin to make connection `index` (not open). A negative errno. */
	int (*connect)(struct client *c, uint32_t index);
	/* Wait until those that were begun are made; NULL: connect does. */
	int (*settle)(struct client *c);
	/* Send what has not left of the request; the transport goes on by itself when it can. */
	void (*send)(struct client *c, uint32_t index);
	/* Take what there is, wait at most wait_ms for the first. How many events there were. */
	int (*wait)(struct client *c, int wait_ms);
	void (*drop)(struct client *c, struct client_connection *k);
	void (*close)(struct client *c);
};

/* The first reason is the one that tells; the others are its consequences. `error`: an errno, or 0. */
void client_lose(struct client *c, uint32_t index, const char *what, int error);
void client_interrupt(struct client *c); /* the signal descriptor is readable */

/* Bytes of the answer to what is under way, from its start. True: it was whole and is delivered, or all is
 * lost. */
bool client_take(struct client *c, uint32_t index, const char *data, size_t length);
/* Received bytes that continue what is in the stash; they are copied if they do not complete an answer. */
void client_received(struct client *c, uint32_t index, const char *data, size_t length);
/* Room in the stash. 0 or -ENOMEM. */
int client_stash_reserve(struct client_connection *k, size_t room);
/* The peer sends no more. */
void client_ended(struct client *c, uint32_t index);

#endif
