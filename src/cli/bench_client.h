/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_client.h - many HTTP connections, or ports to send datagrams from, in a closed loop, in one thread.
 *
 * Each connection has one request under way; its answer leads to the next. The loop goes in rounds:
 *
 *	wait ──► take all answers (`answer`), choose what follows (`next`) ──► `round` ──► send ──► wait ...
 *
 * so that whoever needs something written down before a request leaves does it in `round`, once for all.
 *
 * A connection that ends without having said so, cannot be made, or is silent for too long is *lost*. Then
 * nothing new is sent; answers that are still on their way are taken, and client_run() returns. A server may
 * close a connection after an answer that says so (Connection: close); a new one takes its place.
 */
#ifndef CLI_BENCH_CLIENT_H
#define CLI_BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/http_reply.h"
#include "paste/error.h"

#define CLIENT_HEAD_MAX 512

/* What to send: the head, then the body, which stays where it is until the answer has come. */
struct client_request {
	char head[CLIENT_HEAD_MAX];
	uint32_t head_length;
	const uint8_t *body;
	uint64_t body_length;
};

struct client_ops {
	/* Fill in the connection's next request (body is NULL on entry). False: it has none any more. */
	bool (*next)(void *arg, uint32_t connection, struct client_request *request);
	/* The answer to it; its bytes are valid during the call. */
	void (*answer)(void *arg, uint32_t connection, const struct http_reply *reply, uint64_t latency_ns);
	/* Before the round's requests are sent; `now` in ns. A negative errno ends the run: nothing is sent.
	 */
	int (*round)(void *arg, uint64_t now);
};

struct client_transport;                             /* bench_client_inside.h */
extern const struct client_transport client_sockets; /* the kernel's TCP and UDP */
extern const struct client_transport client_xdp;     /* our own TCP on an interface */

struct client_options {
	const struct client_transport *transport;
	const char *xdp; /* client_xdp: the interface */
	const char *host, *port;
	uint32_t connections;
	uint64_t timeout_ns; /* without any answer */
	bool spin;
	bool udp;  /* datagrams (bench_udp.h) */
	bool echo; /* the answer is the request's own bytes */
};

struct client_connection {
	bool open; /* not lost, not closed */
	bool busy;
	int fd;                  /* client_sockets */
	struct paste_conn *conn; /* client_xdp */
	uint32_t generation;     /* how often it was made anew */
	uint64_t sent_at;
	struct client_request request;
	uint64_t sent; /* bytes of head and body */
	char *stash;   /* an answer that came in pieces */
	size_t stash_length, stash_room;
	uint64_t wanted; /* its whole length, once known */
};

struct client {
	const struct client_ops *ops;
	void *arg;
	struct client_options options;
	void *link;  /* the transport's own */
	int signals; /* a descriptor */
	struct client_connection *connections;
	uint32_t *ready; /* connections that have something to send at the end of the round */
	uint32_t ready_count;
	uint32_t busy; /* connections that wait for an answer */
	bool stopping;
	bool interrupted;     /* by SIGINT or SIGTERM */
	uint32_t lost;        /* connections */
	uint64_t stop_at;     /* after a loss: when the wait for the others is over, ns */
	uint64_t answered_at; /* the last answer, ns */
	uint64_t looked_at;   /* for datagrams without an answer, ns */
	uint64_t sent_bytes, received_bytes;
	uint64_t handling_ns; /* inside the transport's waits: taking answers */
	uint64_t idle_ns;     /* in waits that found nothing to do, or slept */
	char *buffer;
	char why[256]; /* of the first loss */
};

/* Look up the host, raise the limit of open files, connect all. From now on SIGINT and SIGTERM
 * stop the run, and do nothing else. -ENOTCONN and the like: the service cannot be reached. */
int client_open(struct client *c, const struct client_options *options, const struct client_ops *ops,
		void *arg, struct paste_error *err);

/* Until every connection has nothing to do. 0, also after a loss (`lost`), or what `round` returned. */
int client_run(struct client *c);

/* From `answer` or `round`: send nothing new. */
void client_stop(struct client *c);

void client_close(struct client *c);

uint64_t client_now(void); /* monotonic, ns */

#endif
