/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve_run.h - a running `pst serve`: what it has open, and its loop.
 *
 *	serve.c            opening, what is told of it, closing
 *	serve_options.c    the command line
 *	serve_transport.c  what it is reached by: limits, sockets, listening
 *	serve_tcp.c        --xdp with --http: our own TCP on an interface
 *	serve_control.c    what it answers on its control socket
 *	serve_udp.c        --udp
 *	serve_tokens.c     who may ask
 *	serve_confine.c    rights and system calls that are given up
 *	serve_scrub.c      looking for damage, in the background or for `pst check`
 *	serve_run.c        the loop: one for all transports and services, one commit a turn
 */
#ifndef CLI_SERVE_RUN_H
#define CLI_SERVE_RUN_H

#include "cli/control.h"
#include "cli/notify.h"
#include "cli/serve_options.h"
#include "paste/stack.h"
#include "paste/store.h"
#include "port/capture.h"
#include "serve/service.h"

#define SERVE_SIGNAL_COOKIE 2 /* the store's is SERVICE_STORE_COOKIE */
#define SERVE_CONTROL_COOKIE 3
#define SERVE_UDP_COOKIE 4

struct serve {
	struct serve_options options;
	struct paste_store *store;
	struct paste_stack *stack;
	struct paste_port *tcp_port; /* below the stack, if that is our own TCP */
	struct paste_port *tcp_tap;  /* between the two, with a trace */
	struct capture *trace;         /* NULL: none */
	struct rounds rounds;
	struct service *service;
	char *full_path;         /* for those who ask from another folder */
	struct control *control; /* NULL: there is no place for its socket */
	struct serve_udp udp;
	char bound[128]; /* where HTTP is served, "HOST:PORT" */
	int signals;     /* a signalfd */
	struct tokens *tokens; /* NULL: everybody may */
	struct notify notify;
	bool draining, failure_told;
	int64_t started_us, drain_until; /* monotonic */
	int64_t scrub_at, watchdog_at;   /* when the next step, the next sign of life is due */
	size_t damage_told;
};

/* serve_transport.c */
void serve_choose_connections(struct serve_options *o);
int serve_open_transports(struct serve *o, struct paste_error *err);
int serve_listen(struct serve *o, struct paste_error *err); /* from here on clients get in */
void serve_close_transports(struct serve *o);

/* serve_tcp.c: the stack is our own TCP on the interface. */
int serve_tcp_open(struct serve *o, const struct paste_stack_limits *limits, struct paste_error *err);

/* serve_control.c: opened when the stack is; other sections are registered with o->control, if there is one.
 * No socket is no failure: it is told, and the service runs without. */
void serve_open_control(struct serve *o);

/* serve_tokens.c: read the file; at SIGHUP, keep the old ones if it is no good. */
int serve_load_tokens(const char *file, struct tokens **tokens, struct paste_error *err);
void serve_reload_tokens(struct serve *o);

/* serve_confine.c: give up what only opening took. */
int serve_confine(struct serve *o, struct paste_error *err);

/* serve_scrub.c: a bounded step of reading and verifying all values, if one is due. When the next one is. */
int64_t serve_scrub(struct serve *o, int64_t now);
/* The same because somebody wants to know now: control requests "check". */
void serve_register_check(struct serve *o);

/* serve_port.c: the section "port", counters of every ring. */
void serve_port_control(struct serve *o);

/* serve_connections.c: control requests "connections". */
void serve_register_connections(struct serve *o);

/* serve_dump.c: control requests "dump". */
void serve_register_dump(struct serve *o);

/* serve_run.c */
struct service_time serve_clocks(void);
/* Until it is told to end and has drained. 0, or the errno of what stopped it. */
int serve_run(struct serve *o);

#endif
