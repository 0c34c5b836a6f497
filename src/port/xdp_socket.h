/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_socket.h - one AF_XDP socket: its four rings, its binding to a queue.
 *
 * The rings are shared with the kernel. Of each, one side writes `producer` and the entries, the other
 *`consumer`:
 *
 *	fill         we produce   addresses of free buffers to receive into
 *	receive      we consume   descriptors of packets (the buffer is ours again)
 *	transmit     we produce   descriptors of packets to send
 *	completion   we consume   addresses of what was sent (the buffer is ours again)
 *
 * Indices run freely. A store to an index that hands entries over is a release, and the load that learns of
 *them an acquire, so that the entries are seen before the index says that they are there.
 */
#ifndef PORT_XDP_SOCKET_H
#define PORT_XDP_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "paste/error.h"
#include "port/xdp_compat.h"

struct xdp_ring {
	uint32_t *producer, *consumer, *flags;
	union {
		uint64_t *address;     /* fill, completion */
		struct xdp_desc *desc; /* receive, transmit */
	};
	uint32_t mask;
	uint32_t mine; /* our index: what we produced or consumed, published or not */
	void *map;
	size_t map_bytes;
};

struct xdp_socket {
	int fd;
	struct xdp_ring fill, receive, transmit, completion;
	uint32_t transmit_batch; /* frames that a call sends at most, in copy mode */
};

/* Entries that the kernel has handed over. */
static inline uint32_t xdp_ring_ready(const struct xdp_ring *r)
{
	return __atomic_load_n(r->producer, __ATOMIC_ACQUIRE) - r->mine;
}

/* We are done with the entries before `mine`: the kernel may overwrite them. */
static inline void xdp_ring_consumed(struct xdp_ring *r)
{
	__atomic_store_n(r->consumer, r->mine, __ATOMIC_RELEASE);
}

/* The entries before `mine` are filled in. */
static inline void xdp_ring_produced(struct xdp_ring *r)
{
	__atomic_store_n(r->producer, r->mine, __ATOMIC_RELEASE);
}

/* What we produced and the kernel has not taken. */
static inline uint32_t xdp_ring_waiting(const struct xdp_ring *r)
{
	return r->mine - __atomic_load_n(r->consumer, __ATOMIC_RELAXED);
}

/* The kernel sleeps on this ring and wants a system call. */
static inline bool xdp_ring_wants_call(const struct xdp_ring *r)
{
	return __atomic_load_n(r->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

struct xdp_memory_area {
	void *start;
	uint64_t bytes;
	uint32_t chunk, headroom, metadata; /* bytes */
};

/* Open it with rings of `slots` entries, unbound. -EPERM, -EAFNOSUPPORT, -ENOMEM, ... */
int xdp_socket_open(struct xdp_socket *s, uint32_t slots, struct paste_error *err);

/* Make this the socket that owns the memory; others share it. Area's metadata becomes 0 if the kernel has
 * none. -ENOBUFS (the limit of locked memory), -EFAULT, ...; */
int xdp_socket_register(struct xdp_socket *s, struct xdp_memory_area *area, struct paste_error *err);

/*
 * Bind to a queue, with the memory that `owner` registered if this is not the owner itself. flags: XDP_COPY,
 * XDP_ZEROCOPY, XDP_USE_SG, XDP_USE_NEED_WAKEUP; those of a sharing socket are its owner's. The fill ring
 * should hold buffers already: some drivers take them at once. A queue that is taken is tried again for about
 * two seconds, because the kernel lets go of a dead process' queues late. A negative errno, and everything is
 * as before.
 */
int xdp_socket_bind(struct xdp_socket *s, const struct xdp_socket *owner, unsigned ifindex, uint32_t queue,
		    uint16_t flags);

/* After binding: the device itself uses the buffers. */
bool xdp_socket_is_zero_copy(const struct xdp_socket *s);

/* Let this thread's calls do the queue's work. False: the kernel cannot, or does not let us. */
bool xdp_socket_busy_poll(const struct xdp_socket *s, uint32_t microseconds, uint32_t budget);

void xdp_socket_close(struct xdp_socket *s);

/* Wait until a queue whose sockets were closed is released, so that no device writes into their buffers any
 * more. False: it was not within `ms`. */
bool xdp_queue_wait_released(unsigned ifindex, uint32_t queue, uint32_t ms);

#endif
