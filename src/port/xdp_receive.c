/* SPDX-License-Identifier: BSD-2-Clause */
/* AF_XDP: posting buffers, receiving, waiting. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "port/xdp.h"
#include "region/region.h"

/* An idle socket is asked so seldom whether its interface is still there ... */
#define IDLE_LOOK 256
/* ... and a sleeping one so often, in ms: poll() does not tell. */
#define ASLEEP_LOOK 500

/* Slots that one sync shows at most: while the application works on the first, the rest should not have gone cold. */
#define SHOWN_MOST 128

static void post(struct xdp_port *x, struct xdp_queue *q, uint32_t buffer)
{
	struct xdp_ring *fill = &q->socket.fill;

	x->posted[buffer] = 1;
	q->posted++;
	fill->address[fill->mine++ & fill->mask] = (uint64_t)buffer << x->port.region->buffer_shift;
}

/* Post buffers for those that could not be had earlier. */
static void post_owed(struct xdp_port *x, struct xdp_queue *q)
{
	uint32_t buffer;

	while (q->owed > 0 && paste_buffer_alloc(x->port.region, &buffer) == 0) {
		post(x, q, buffer);
		q->owed--;
	}
	if (q->posted == 0)
		q->receive.stats.starved++;
}

int xdp_receive_begin(struct xdp_port *x, struct xdp_queue *q)
{
	uint32_t slots = q->receive.ring->size;

	q->owed = slots;
	post_owed(x, q);
	xdp_ring_produced(&q->socket.fill);
	return q->owed > slots / 2 ? -ENOBUFS : 0;
}

uint32_t xdp_receive_end(struct xdp_port *x, bool keep)
{
	struct paste_region *r = x->port.region;
	uint32_t kept = 0;

	for (uint32_t b = 0; b < r->buffers; b++) {
		if (x->posted[b] && keep)
			kept++;
		else if (x->posted[b])
			paste_buffer_put(r, b);
		x->posted[b] = 0;
	}
	return kept;
}

/* paste_buffer_renew() for the usual case, without a call for each packet: nobody else has it. */
static inline bool nobody_keeps(struct paste_region *r, uint32_t b)
{
	struct buffer *buffer = &r->buffer[b];

	return buffer->users == 1 && buffer->live == 0 && !buffer->written;
}

/* Slots that the application is done with: their buffers are posted again, or others in their place. */
static void give_back(struct xdp_port *x, struct xdp_queue *q)
{
	struct ring *ring = &q->receive;

	for (; ring->done != ring->ring->head; ring->done++) {
		struct paste_slot *slot = paste_ring_slot(ring->ring, ring->done);
		uint32_t buffer = slot->buffer;
		slot->buffer = RING_NO_BUFFER;
		if (buffer != RING_NO_BUFFER && !nobody_keeps(x->port.region, buffer))
			buffer = ring_renew(ring, buffer);
		if (buffer == RING_NO_BUFFER)
			q->owed++;
		else
			post(x, q, buffer);
	}
	if (q->owed > 0)
		post_owed(x, q);
}

static void fill_slot(struct xdp_port *x, struct xdp_queue *q, struct paste_slot *slot,
		      const struct xdp_desc *d)
{
	const struct paste_region *r = x->port.region;
	uint32_t buffer = (uint32_t)(d->addr >> r->buffer_shift);

	/* The kernel gives only what was posted to this socket. */
	assert(buffer < r->buffers && x->posted[buffer]);
	x->posted[buffer] = 0;
	q->posted--;
	/* The kernel or the device has just written them: the first bytes of the receiver's MAC, which stand alone in their
	 * line (XDP_HEADROOM), the headers, and where a payload begins after 66 bytes. */
	__builtin_prefetch(r->area + d->addr);
	__builtin_prefetch(r->area + d->addr + 2);
	if (d->len > 66)
		__builtin_prefetch(r->area + d->addr + 66);
	*slot = (struct paste_slot){
	    .buffer = buffer,
	    .offset = (uint16_t)(d->addr & (r->buffer_size - 1)),
	    .length = (uint16_t)d->len,
	    .flags = d->options & XDP_PKT_CONTD ? PASTE_SLOT_MORE : 0,
	};
}

/* Take what has arrived, whole packets only. The number of slots. */
static uint32_t collect(struct xdp_port *x, struct xdp_queue *q)
{
	struct xdp_ring *in = &q->socket.receive;
	struct ring *ring = &q->receive;
	uint32_t n = xdp_ring_ready(in), room = ring->done + ring->ring->size - ring->arrived;
	uint64_t bytes = 0, packets = 0;

	if (n > room)
		n = room;
	if (n > SHOWN_MOST)
		n = SHOWN_MOST;
	while (n > 0 && (in->desc[(in->mine + n - 1) & in->mask].options & XDP_PKT_CONTD))
		n--;
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = &in->desc[in->mine++ & in->mask];
		fill_slot(x, q, paste_ring_slot(ring->ring, ring->arrived++), d);
		bytes += d->len;
		packets += !(d->options & XDP_PKT_CONTD);
	}
	if (n > 0) {
		xdp_ring_consumed(in);
		ring->stats.slots += n;
		ring->stats.packets += packets;
		ring->stats.bytes += bytes;
	}
	return n;
}

/* The interface was removed: the kernel leaves an error at the socket and nothing else. */
static void look_for_error(struct xdp_port *x, const struct xdp_queue *q)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(q->socket.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error)
		x->error = -error;
}

/* Nothing was there. Do what the kernel would do sooner or later, or would not without a call. */
static void nothing_received(struct xdp_port *x, struct xdp_queue *q)
{
	if (x->busy_poll || xdp_ring_wants_call(&q->socket.fill))
		recvfrom(q->socket.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	if (++q->idle % IDLE_LOOK == 0)
		look_for_error(x, q);
}

int xdp_sync_receive(struct paste_port *p, uint32_t queue)
{
	struct xdp_port *x = xdp_port_of(p);
	struct xdp_queue *q = &x->queue[queue];
	uint32_t posted = q->socket.fill.mine;

	if (!ring_head_valid(&q->receive))
		return -EINVAL;
	give_back(x, q);
	if (q->socket.fill.mine != posted)
		xdp_ring_produced(&q->socket.fill);
	if (collect(x, q) > 0)
		q->idle = 0;
	else if (ring_show(&q->receive) == 0)
		nothing_received(x, q);
	if (x->error)
		return x->error;
	return ring_show(&q->receive);
}

static bool something_there(struct xdp_port *x)
{
	for (uint32_t i = 0; i < x->port.info.queues; i++) {
		const struct paste_ring *r = x->queue[i].receive.ring;
		if (r->tail != r->cur || xdp_ring_ready(&x->queue[i].socket.receive) > 0)
			return true;
	}
	return false;
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Sleep for at most `us`; < 0: for long. 1: woken, 0, or a negative errno. */
static int sleep_us(struct xdp_port *x, int64_t us)
{
	if (us < 0 || us > ASLEEP_LOOK * 1000)
		us = ASLEEP_LOOK * 1000;
	struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
	int n = ppoll(x->polled, x->port.info.queues, &t, NULL);
	if (n > 0)
		return 1;
	for (uint32_t i = 0; i < x->port.info.queues; i++)
		look_for_error(x, &x->queue[i]);
	return n < 0 ? -errno : x->error;
}

int xdp_poll(struct paste_port *p, int64_t timeout_us)
{
	struct xdp_port *x = xdp_port_of(p);
	int64_t end = timeout_us > 0 ? now_us() + timeout_us : 0, left = timeout_us;

	if (x->error)
		return x->error;
	if (something_there(x))
		return 1;
	if (timeout_us == 0)
		return 0;
	do {
		int ret = sleep_us(x, left);
		if (something_there(x))
			return 1;
		if (ret != 0)
			return ret == -EINTR || ret > 0 ? 0 : ret;
		if (timeout_us > 0)
			left = end - now_us();
	} while (timeout_us < 0 || left > 0);
	return 0;
}
