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
 *	serve_workers.c    --workers: more threads with sockets and connections of their own; whose turn it is
 *	serve_run.c        the loop, one a worker: for all transports and services of it, one commit a turn
 */
#ifndef CLI_SERVE_RUN_H
#define CLI_SERVE_RUN_H

#include <pthread.h>

#include "cli/control.h"
#include "cli/notify.h"
#include "cli/serve_options.h"
#include "paste/guard.h"
#include "paste/store.h"
#include "port/capture.h"
#include "serve/service.h"

#define SERVE_SIGNAL_COOKIE 2 /* the store's is SERVICE_STORE_COOKIE */
#define SERVE_CONTROL_COOKIE 3
#define SERVE_UDP_COOKIE 4
#define SERVE_WAKE_COOKIE 5

/*
 * Who serves: a thread with a transport and the connections on it. The first one is the thread that began; it alone accepts,
 * and looks after signals, the control socket, scrubbing and datagrams.
 *
 * Of several, one at a time has its turn, which is everything but the system calls on its sockets (docs/workers.md). What
 * is in this file, the store and the services included, is touched only by the one whose turn it is.
 */
struct serve_worker {
	struct serve *serve;
	struct paste_stack *stack;
	struct service *service;
	bool draining;
	unsigned empty; /* polls in a row that brought nothing */

	/* Where there are several: */
	struct paste_stack_guard guard;
	pthread_t thread;
	int wake;         /* an eventfd that its loop watches */
	bool woken;       /* that was written since its loop looked */
	bool opened, confined, closed;
	int error;        /* why it could not be opened, or ended before it was told to */
	struct paste_error said;
	int64_t began_ns; /* its turn, monotonic */
	uint64_t turn_ns, waited_ns; /* all its turns; how long it waited for them */
};

struct serve {
	struct serve_options options;
	struct paste_store *store;
	struct serve_worker worker[SERVE_WORKERS_MOST];
	pthread_mutex_t turn;    /* held by the worker whose turn it is */
	pthread_cond_t changed;  /* opened, released, confined, closed, done */
	bool released;           /* all is open: give up what that took, and serve */
	bool ended;              /* serve no more */
	bool done;               /* the store is closed: threads may end */
	uint32_t threads;        /* that were started, workers 1 to `threads` */
	uint32_t place;          /* the worker that got the last connection */
	struct paste_port *tcp_port; /* below the stack, if that is our own TCP */
	struct paste_port *tcp_tap;  /* between the two, with a trace */
	struct capture *trace;         /* NULL: none */
	struct rounds rounds;
	int64_t asked_us; /* when something was asked for last, monotonic */
	const struct serve_worker *asked; /* of whom */
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
int serve_open_sockets(struct serve_worker *w, struct paste_error *err);
int serve_open_transports(struct serve *o, struct paste_error *err); /* of the first worker */
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

/* serve_confine.c: give up what only opening took. Of the other workers each does it for itself: the first part when it
 * has opened what it needs, the second when the process is its user's. */
int serve_confine(struct serve *o, struct paste_error *err);
int serve_confine_thread_early(struct serve *o, struct paste_error *err);
int serve_confine_thread(struct serve *o, struct paste_error *err);

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

/* serve.c: the service of a worker whose stack is open. */
int serve_open_service(struct serve_worker *w, struct paste_error *err);

/*
 * serve_workers.c. All of it does nothing where there is one worker.
 *
 *	serve_begin_turns ── open the first worker ── serve_start_workers ── open the rest ── serve_release_workers
 *	── serve_run of each ── serve_end_workers (their services and stacks are closed) ── close the rest, and the store
 *	── serve_join_workers
 */
int serve_begin_turns(struct serve *o, struct paste_error *err); /* it is the caller's turn from here on */
/* What a worker's stack needs to know of the others, NULL: there are none. */
const struct paste_stack_guard *serve_guard(struct serve_worker *w);
int serve_start_workers(struct serve *o, struct paste_error *err);
int serve_release_workers(struct serve *o, struct paste_error *err);
void serve_end_workers(struct serve *o);
void serve_join_workers(struct serve *o);
/* It is nobody's turn while this worker waits for something; and again the worker's. */
void serve_leave_turn(struct serve_worker *w);
void serve_enter_turn(struct serve_worker *w);
/* Those of the others for whom this turn has brought something. */
void serve_wake_for_news(const struct serve_worker *w);
void serve_wake_all(struct serve *o);
void serve_woken(struct serve_worker *w);
void serve_workers_metrics(const struct serve *o, FILE *out);

/* serve_run.c */
struct service_time serve_clocks(void);
/* Until it is told to end; the first one, until all have drained. 0, or the errno of what stopped it. */
int serve_run(struct serve_worker *w);

#endif
