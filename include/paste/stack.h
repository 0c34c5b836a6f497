/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack.h - connections whose received bytes stay in region buffers, and their events.
 *
 * One interface over kernel sockets (src/sock, io_uring) and over our own TCP: the application polls and gets
 * a batch of events across all connections; it works on the batch, commits once, and sends. A transport is a
 * table of functions, struct paste_stack_ops; the functions below call through it.
 *
 * Ownership. A DATA event hands over a slice of a region buffer together with one user count on each buffer it touches
 * (region.h): the application ends with paste_ref_put() for it, once, whether it kept bytes of it (the store then holds
 * live slices) or not. A buffer of a DATA event is filled once and never written again while it has a user or a live slice.
 * Sending by reference hands a user count on each touched buffer to the stack, which puts it when the last byte is
 * released: taken by the kernel or, over our own TCP, acknowledged by the peer. Inline bytes are copied before it returns.
 *
 * Who asks for it (limits.released) is told by RELEASED events how many of a connection's bytes, all sends together, are
 * released: at most one a poll, paused or not. Before an ERROR event all are; after close or abort nothing is told.
 *
 * A connection stays valid until the application has called paste_conn_close() or paste_conn_abort(), also after an EOF or
 * ERROR event. No later poll names it. Events of the batch under work may still do so: they were handed over already, and
 * the slices of DATA events among them are put by the application like any other.
 *
 * When buffers run short the stack stops reading (the peer's window closes) and goes on by itself when there
 * are some again; it keeps what it needs to send.
 * A stack is used by one thread, the one that opened it; struct paste_stack_guard says how several share a region.
 */
#ifndef PASTE_STACK_H
#define PASTE_STACK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "paste/error.h"
#include "paste/ref.h"
#include "paste/region.h"

enum paste_event_type {
	PASTE_EVENT_ACCEPT,   /* conn: a new passive connection. Set its user pointer now if wanted. */
	PASTE_EVENT_DATA,     /* conn, slice: received, in order */
	PASTE_EVENT_WRITABLE, /* conn: its queue of unsent bytes fell below half of the limit, after -EAGAIN */
	PASTE_EVENT_EOF,      /* conn: the peer will send no more (half-close) */
	PASTE_EVENT_ERROR,    /* conn, error: the connection is dead (reset, timed out). Close it. */
	PASTE_EVENT_FD,       /* cookie: a descriptor of paste_stack_watch() is readable */
	PASTE_EVENT_CONNECT,  /* conn: of paste_stack_connect(), established */
	PASTE_EVENT_RELEASED, /* conn, released: the stack needs so many bytes of what was sent no more */
};

struct paste_conn;
struct paste_stack;
struct paste_stack_guard; /* paste/guard.h */

struct paste_event {
	enum paste_event_type type;
	int error; /* ERROR: negative errno */
	struct paste_conn *conn;
	struct paste_ref slice; /* DATA */
	union {
		uint64_t cookie;   /* FD */
		uint64_t released; /* RELEASED: bytes, since the connection began */
	};
};

/* What to send: a slice of the region if inline_bytes is NULL, else bytes that are copied at once. */
struct paste_send {
	const void *inline_bytes;
	uint32_t inline_length;
	struct paste_ref ref;
};

struct paste_stack_limits {
	uint32_t connections;     /* at most so many at once; further ones are closed at accept. 0: 16384 */
	uint32_t receive_buffers; /* posted for receiving, all connections together; power of two. 0: by region size */
	/* Queued and unsent, a connection, before -EAGAIN; one send is always admitted below it. 0: 256 KiB. What a connection
	 * may hold of received bytes: receive_window of paste/tcp.h. */
	uint32_t send_bytes;
	bool released; /* tell it: RELEASED events */
	const struct paste_stack_guard *guard; /* kernel sockets only; NULL: the stack is alone. It stays the caller's */
};

struct paste_stack_stats {
	uint64_t accepted, closed, refused;
	uint64_t received_slices, received_bytes, sent_bytes, sends;
	uint64_t starved;     /* times reading stopped for want of buffers */
	uint32_t connections; /* now, those in the course of closing included until the peer has everything */
	uint32_t waiting;     /* of them, now stopped for want of buffers */
	uint32_t posted;      /* buffers now posted for receiving */
};

struct paste_conn_info {
	const char *state; /* "ESTABLISHED", ... (RFC 9293) */
	char local[64], peer[64];
	uint32_t rtt_us, rtt_variation_us, rto_us, mss;
	uint32_t cwnd, ssthresh, peer_window, window; /* bytes; window: ours, advertised */
	uint32_t unsent, unacknowledged;              /* bytes */
	uint32_t buffers;                             /* held: received, not handed over; over kernel sockets slices */
	uint32_t retransmitted;                       /* segments */
	uint64_t received_bytes, sent_bytes;
};

struct paste_stack_ops {
	void (*close)(struct paste_stack *s);
	int (*listen)(struct paste_stack *s, const char *address, char *bound, size_t bound_size,
		      struct paste_error *err);
	void (*unlisten)(struct paste_stack *s);
	int (*watch)(struct paste_stack *s, int fd, uint64_t cookie);
	int (*poll)(struct paste_stack *s, struct paste_event *events, int max, int64_t timeout_us);
	void (*stats)(const struct paste_stack *s, struct paste_stack_stats *stats);
	int (*send)(struct paste_conn *c, const struct paste_send *pieces, int n);
	uint32_t (*unsent)(const struct paste_conn *c);
	void (*pause)(struct paste_conn *c);
	void (*resume)(struct paste_conn *c);
	void (*finish)(struct paste_conn *c);
	void (*abort)(struct paste_conn *c);
	void (*peer)(const struct paste_conn *c, char *text, size_t size);

	/* NULL where a transport cannot. */
	int (*connect)(struct paste_stack *s, const char *address, struct paste_conn **conn, struct paste_error *err);
	int (*shut)(struct paste_conn *c);
	void (*info)(const struct paste_conn *c, struct paste_conn_info *info);
	struct paste_conn *(*next)(const struct paste_stack *s, uint32_t *cursor);
};

/* A transport's own structs begin with these. */
struct paste_stack {
	const struct paste_stack_ops *ops;
};

struct paste_conn {
	const struct paste_stack_ops *ops;
	void *user; /* the application's; NULL at ACCEPT */
};

/* Over kernel sockets. -EPERM with a sentence that says how to allow io_uring where it is forbidden. */
int paste_sock_open(struct paste_region *region, const struct paste_stack_limits *limits,
		    struct paste_stack **stack, struct paste_error *err);

/* Reset what is still connected, and put every buffer: posted, received and not handed over, queued to be sent. */
static inline void paste_stack_close(struct paste_stack *s)
{
	s->ops->close(s);
}

/* Listen on HOST:PORT ("127.0.0.1:8080", "[::1]:0", "localhost:80"); port 0 lets the kernel choose. The bound address is
 * written to `bound`. Over kernel sockets also on "unix:/PATH": a file of mode 0660, removed when listening ends. */
static inline int paste_stack_listen(struct paste_stack *s, const char *address, char *bound,
				     size_t bound_size, struct paste_error *err)
{
	return s->ops->listen(s, address, bound, bound_size, err);
}

/* Open a connection to HOST:PORT. *conn is valid at once and may be sent on; CONNECT follows, or ERROR. -EOPNOTSUPP:
 * this transport does not. */
static inline int paste_stack_connect(struct paste_stack *s, const char *address, struct paste_conn **conn,
				      struct paste_error *err)
{
	return s->ops->connect ? s->ops->connect(s, address, conn, err) : -EOPNOTSUPP;
}

/* Stop listening on all addresses. What is connected stays; an ACCEPT that was under way may still come. */
static inline void paste_stack_unlisten(struct paste_stack *s)
{
	s->ops->unlisten(s);
}

/* Also report when `fd` is readable (level-triggered, each poll while it is). */
static inline int paste_stack_watch(struct paste_stack *s, int fd, uint64_t cookie)
{
	return s->ops->watch(s, fd, cookie);
}

/* Submit what is queued, collect up to `max` events; wait at most timeout_us for the first (0: do not wait,
 * -1: for ever). The number of events, 0 on time-out or signal, or a negative errno. */
static inline int paste_stack_poll(struct paste_stack *s, struct paste_event *events, int max,
				   int64_t timeout_us)
{
	return s->ops->poll(s, events, max, timeout_us);
}

static inline void paste_stack_stats(const struct paste_stack *s, struct paste_stack_stats *stats)
{
	s->ops->stats(s, stats);
}

static inline void paste_conn_set_user(struct paste_conn *c, void *user)
{
	c->user = user;
}

/* Queue n pieces in order, all or none. -EAGAIN: over the limit, nothing was taken, a WRITABLE event follows.
 * -EPIPE: the connection is dead, nothing was taken. -ENOMEM: nothing was taken. */
static inline int paste_conn_send(struct paste_conn *c, const struct paste_send *pieces, int n)
{
	return c->ops->send(c, pieces, n);
}

/* Bytes queued and not yet sent. */
static inline uint32_t paste_conn_unsent(const struct paste_conn *c)
{
	return c->ops->unsent(c);
}

/* Stop and go on reading from this connection (back-pressure). While paused it gets no DATA and no EOF event,
 * except those of the batch under work. */
static inline void paste_conn_pause(struct paste_conn *c)
{
	c->ops->pause(c);
}
static inline void paste_conn_resume(struct paste_conn *c)
{
	c->ops->resume(c);
}

/* Send what is queued, then say that no more comes (half-close); receiving goes on. -EOPNOTSUPP. */
static inline int paste_conn_shut(struct paste_conn *c)
{
	return c->ops->shut ? c->ops->shut(c) : -EOPNOTSUPP;
}

/* Send what is queued, then close. / Reset now. The connection is the stack's again; what arrives is dropped. */
static inline void paste_conn_close(struct paste_conn *c)
{
	c->ops->finish(c);
}
static inline void paste_conn_abort(struct paste_conn *c)
{
	c->ops->abort(c);
}

/* "ADDRESS:PORT" of the peer. */
static inline void paste_conn_peer(const struct paste_conn *c, char *text, size_t size)
{
	c->ops->peer(c, text, size);
}

/* Every connection, also those that are being closed and that no event names any more: the next one from *cursor on,
 * which is 0 at first; NULL: that was the last. What comes and goes between two calls may be left out. */
static inline struct paste_conn *paste_stack_next(const struct paste_stack *s, uint32_t *cursor)
{
	return s->ops->next ? s->ops->next(s, cursor) : NULL;
}

/* What a transport does not know is 0. -EOPNOTSUPP. */
static inline int paste_conn_info(const struct paste_conn *c, struct paste_conn_info *info)
{
	return c->ops->info ? c->ops->info(c, info), 0 : -EOPNOTSUPP;
}

#endif
