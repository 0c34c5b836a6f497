/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock.h - the kernel-socket transport, inside: what its files share.
 *
 *	sock.c     the stack: ring set-up, poll, watch, close
 *	listen.c   addresses, listening, accepting
 *	conn.c     one connection from accept to close
 *	send.c     its queue of unsent bytes
 *	receive.c  buffers of the region as io_uring's provided buffers
 *
 * All requests to the kernel are made in one place: sock_poll() walks the list of connections that need
 *attention
 * (`work`), each of which turns its state into io_uring requests (conn_work), and submits them together with
 * the wait. Completions only change state and put connections on that list. So a connection's functions can
 *be called at any time and in any order, and every poll costs one system call.
 *
 * A connection's struct is reused only when no request of it is in the kernel any more. Completions therefore
 * carry its address as user_data, and need no look-up and no generation.
 */
#ifndef SOCK_SOCK_H
#define SOCK_SOCK_H

#include <liburing.h>
#include <sys/types.h>

#include "base/link.h"
#include "paste/guard.h"

#define SOCK_SQ_ENTRIES 1024
#define SOCK_CQ_ENTRIES 8192
#define SOCK_MESSAGES 256 /* sendmsg headers that can wait for one submission */
#define SOCK_IOVECS 2048  /* and their vectors */
#define SOCK_IOVECS_PER_SEND 128
#define SOCK_LISTENERS 8
#define SOCK_WATCHES 32
#define SOCK_LINGER_US 2000000      /* how long a closed connection waits for the peer's FIN */
#define SOCK_FINISH_US 30000000     /* how long it may make no progress with its last bytes */
#define SOCK_STARVED_WAIT_US 1000   /* a poll's longest wait while connections wait for buffers */
#define SOCK_ACCEPT_RETRY_US 100000 /* after running out of descriptors */

/* The low bits of a completion's user_data; the rest is the address of what it belongs to. */
enum sock_op {
	SOCK_OP_RECEIVE,
	SOCK_OP_SEND,
	SOCK_OP_CANCEL, /* of a connection */
	SOCK_OP_ACCEPT, /* of a listener */
	SOCK_OP_WATCH,  /* of a watch */
	SOCK_OP_IGNORE, /* cancellations of listeners and watches */
};
#define SOCK_OP_MASK 7u

/* A page of a connection's unsent bytes. Inline bytes grow from the start of `space`, piece descriptions from
 * its end downwards. */
struct tx_piece {
	uint32_t length; /* bytes, > 0 */
	uint32_t at;     /* inline: where in space; TX_BY_REFERENCE: ref */
	struct paste_ref ref;
};

#define TX_BY_REFERENCE UINT32_MAX
#define TX_BLOCK_BYTES 1024
#define TX_BLOCK_SPACE (TX_BLOCK_BYTES - 16)

struct tx_block {
	struct tx_block *next;
	uint16_t first, count; /* pieces [first, count) are unsent */
	uint16_t bytes;        /* of space, used by inline bytes */
	uint16_t unused;
	_Alignas(struct tx_piece) uint8_t space[TX_BLOCK_SPACE];
};

_Static_assert(sizeof(struct tx_block) == TX_BLOCK_BYTES, "no padding");

struct tx_pool {
	struct tx_block *free;
	uint32_t free_count;
	struct tx_slab *slabs;
};

/* Received while the connection was paused. */
struct held {
	struct held *next;
	struct paste_ref slice;
};

struct sock;

struct sock_conn {
	struct paste_conn base;
	struct sock *sock;
	struct sock_conn *work_next; /* in sock.work; in the free list */
	struct sock_conn *ready_next;
	struct link starved_link; /* in sock.starved */
	struct link closing_link; /* in sock.finishing or .lingering */
	int64_t deadline;         /* of closing, monotonic us */

	struct tx_block *tx_head, *tx_tail;
	struct held *held_head, *held_tail;
	uint32_t tx_sent; /* bytes of the first piece that are sent */
	uint32_t unsent;  /* bytes queued */
	uint64_t released; /* bytes of the queue that are needed no more, since it began */
	int fd;
	int error; /* why it is dead */

	bool in_work : 1, in_ready : 1;
	bool receiving : 1; /* the multishot receive is in the kernel */
	bool sending : 1;
	uint8_t cancelling : 2; /* cancels that are under way */
	bool paused : 1;  /* by the application */
	bool starved : 1; /* on sock.starved */
	bool eof : 1;     /* the peer's FIN was seen */
	bool eof_reported : 1;
	bool dead : 1; /* error, abort or deadline: no more requests */
	bool error_reported : 1;
	bool closed : 1; /* by the application: no more events */
	bool shut : 1;   /* our FIN is sent, waiting for the peer's */
	bool want_writable : 1;
	bool announce : 1; /* another stack accepted it: the ACCEPT event is due */
	bool tell_released : 1; /* RELEASED is due */
	bool tell_error : 1;    /* ERROR is due, when all is released */
};

struct sock_listener {
	struct sock *sock;
	int fd;
	bool accepting, closing;
	int64_t retry_at; /* 0, or when to accept again after running out of descriptors */
	char path[108];   /* of a unix-domain socket; "": none */
	dev_t device;     /* of that file */
	ino_t inode;
};

struct sock_watch {
	struct sock *sock;
	int fd;
	bool armed;
	uint64_t cookie;
};

/* Newer than Debian 12's headers (6.10): one receive fills several provided buffers. Found by the ring's
 * features. */
#define SOCK_FEAT_BUNDLE (1u << 14)
#define SOCK_RECV_BUNDLE (1u << 4)

/* The provided-buffer ring: io_uring takes the next posted buffers for each piece that it receives. */
struct receive_ring {
	struct io_uring_buf_ring *ring;
	uint32_t entries;
	uint32_t target; /* buffers to keep posted: grows when receiving starves, up to entries */
	uint32_t posted;
	bool bundles;      /* the kernel fills several for one completion */
	bool ran_empty;    /* since the last refill */
	bool short_of;     /* connections wait, and the region has no buffer for them */
	uint32_t *buffers; /* the region's, by place in the ring, which is the buffer's id */
};

/* What a completion has brought and receive_next() has not yet taken. */
struct received {
	uint32_t at;   /* place in the ring */
	uint32_t left; /* bytes */
};

static inline struct received received_of(const struct io_uring_cqe *cqe)
{
	return (struct received){cqe->flags >> IORING_CQE_BUFFER_SHIFT, (uint32_t)cqe->res};
}

struct sock {
	struct paste_stack base;
	struct paste_region *region;
	struct io_uring ring;
	struct receive_ring receive;
	struct paste_stack_limits limits;

	struct sock_conn *conns;
	uint32_t conns_used; /* conns[0..conns_used) were in use at some time */
	struct sock_conn *conns_free;

	struct sock_conn *work_head, *work_tail;
	struct sock_conn *ready_head, *ready_tail; /* with held events, not paused */
	struct link starved, finishing, lingering;

	struct tx_pool tx;
	struct held *held_free;
	struct held_slab *held_slabs;

	/* Scratch of the sendmsg requests that are not yet submitted. The kernel has read it when the
	 * submission returns (IORING_FEAT_SUBMIT_STABLE). */
	uint32_t messages_used, iovecs_used;
	struct msghdr messages[SOCK_MESSAGES];
	struct iovec iovecs[SOCK_IOVECS];

	struct sock_listener listeners[SOCK_LISTENERS];
	struct sock_watch watches[SOCK_WATCHES];
	uint32_t listener_count, watch_count;

	struct paste_stack_stats stats;
	bool shutting_down;
};

int64_t sock_clock_us(void);

/* A free submission entry; submits when the ring is full. */
struct io_uring_sqe *sock_sqe(struct sock *s);
int sock_submit(struct sock *s);

static inline uint64_t sock_tag(const void *owner, enum sock_op op)
{
	return (uint64_t)(uintptr_t)owner | op;
}

/* conn.c */
extern const struct paste_stack_ops sock_ops;
struct sock_conn *conn_new(struct sock *s, int fd);
void conn_announce(struct sock_conn *c); /* a new one, with the next poll */
void conn_attend(struct sock_conn *c); /* put it on the work list */
void conn_work(struct sock_conn *c);
int conn_received(struct sock_conn *c, const struct io_uring_cqe *cqe, struct paste_event *events, int max);
int conn_sent(struct sock_conn *c, int result, struct paste_event *event);
int conn_deliver_held(struct sock *s, struct paste_event *events, int max);
void conn_expire(struct sock *s, int64_t now);
void conn_pause(struct paste_conn *base);
void conn_resume(struct paste_conn *base);
void conn_finish(struct paste_conn *base);
void conn_abort(struct paste_conn *base);
void conn_peer(const struct paste_conn *base, char *text, size_t size);
void held_pool_close(struct sock *s);

/* info.c */
void conn_info(const struct paste_conn *base, struct paste_conn_info *info);
struct paste_conn *conn_next(const struct paste_stack *base, uint32_t *cursor);

/* send.c */
int tx_send(struct paste_conn *base, const struct paste_send *pieces, int n);
uint32_t tx_unsent(const struct paste_conn *base);
void tx_submit(struct sock_conn *c);
/* The unsent pieces from the first on, at most `max` of them. */
uint32_t tx_gather(struct sock_conn *c, struct iovec *iov, uint32_t max);
void tx_consume(struct sock_conn *c, uint32_t bytes);
void tx_drop(struct sock_conn *c);
void tx_pool_close(struct sock *s);

/* receive.c */
int receive_open(struct sock *s, uint32_t entries, struct paste_error *err);
void receive_close(struct sock *s);
void receive_refill(struct sock *s);
/* The next slice of a completion, with user counts that are the caller's now. False: that was all. */
bool receive_next(struct sock *s, struct received *d, struct paste_ref *slice);
void receive_drop(struct sock *s, uint32_t cqe_flags); /* a buffer that a completion took and left empty */
void receive_starved(struct sock *s);

/* listen_unix.c: the path of "unix:PATH", or NULL; listening there; its file is to go. */
const char *listen_unix_path(const char *address);
int listen_unix_open(struct sock_listener *l, const char *path, struct paste_error *err);
void listen_unix_remove(const struct sock_listener *l);

/* listen.c */
int listen_open(struct paste_stack *base, const char *address, char *bound, size_t bound_size,
		struct paste_error *err);
void listen_close_all(struct paste_stack *base);
void listen_work(struct sock *s, int64_t now);
int listen_accepted(struct sock_listener *l, const struct io_uring_cqe *cqe, struct paste_event *event);
/* What "HOST:PORT" stands for; freeaddrinfo() it. */
struct addrinfo;
int resolve_address(const char *address, int socktype, struct addrinfo **found, struct paste_error *err);
void address_format(const void *sockaddr, char *text, size_t size);

#endif
