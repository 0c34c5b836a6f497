/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve_udp.h - `pst serve --udp`: what is listened to, over kernel sockets or, with --xdp, over a port of an
 * interface.
 */
#ifndef CLI_SERVE_UDP_H
#define CLI_SERVE_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "paste/datagram.h"
#include "paste/port.h"
#include "paste/stack.h"
#include "net/udp_shared.h"
#include "port/capture.h"
#include "serve/rounds.h"
#include "serve/udp_service.h"

#define SERVE_UDP_MOST 8
#define SERVE_UDP_STREAM "udp" /* where no other is named */

/* --udp [HOST:]PORT[:STREAM] */
struct serve_udp_options {
	const char *text; /* as given */
	char host[256];   /* "": not given */
	uint16_t port;
	const char *stream;
};

struct serve_udp {
	struct paste_port *port; /* --xdp; NULL: the stack's */
	struct paste_port *tap;  /* in front of that, with a trace */
	struct net *net;         /* of that port, if it has several services */
	struct udp_shared *shared; /* NULL: one service with the rings to itself, or kernel sockets */
	bool with_stack;           /* whose poll receives */
	uint32_t n;
	struct {
		struct paste_datagrams *datagrams;
		struct udp_service *service;
	} of[2 * SERVE_UDP_MOST]; /* loopback is two addresses */
	char bound[256];          /* "127.0.0.1:9000,[::1]:9000" */
};

/* False: not of that form. */
bool serve_udp_parse(const char *text, struct serve_udp_options *o);

struct serve_udp_open {
	const struct serve_udp_options *services;
	uint32_t n;
	const char *interface; /* NULL: kernel sockets */
	bool is_public;
	bool bare_sums; /* with an interface that is no veth */
	struct paste_port *stack_port; /* the interface's, if the stack has it open: shared with that, */
	struct net *stack_net;         /* through this. NULL */
	struct paste_region *region;
	struct capture *trace; /* NULL: none */
	struct rounds *rounds;
};

/* What failed is closed by serve_udp_close(), too. */
int serve_udp_open(struct serve_udp *u, const struct serve_udp_open *o, struct paste_error *err);
void serve_udp_close(struct serve_udp *u);

/* Let the stack's poll end when there is something to take. */
int serve_udp_watch(struct serve_udp *u, struct paste_stack *stack, uint64_t cookie);

/* Of all: datagrams taken, or a negative errno; 1: come again soon, 0, or a negative errno. */
int serve_udp_take(struct serve_udp *u);
int serve_udp_answer(struct serve_udp *u);

/* Datagrams were received and could not be taken yet: come again without being woken. */
bool serve_udp_waits(const struct serve_udp *u);

void serve_udp_drain(struct serve_udp *u);
bool serve_udp_is_drained(const struct serve_udp *u);

/* Sums of all. */
void serve_udp_stats(const struct serve_udp *u, struct udp_service_stats *service, struct paste_datagrams_stats *wire);
/* `arg` is the struct serve_udp; nothing without services. */
void serve_udp_metrics(void *arg, FILE *out);

#endif
