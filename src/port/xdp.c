/* SPDX-License-Identifier: BSD-2-Clause */
/* AF_XDP: opening a port in the best mode that can be had, and closing it. */
#include "port/xdp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/site.h"
#include "port/xdp_landing.h"
#include "port/xdp_memory.h"
#include "region/landing.h"
#include "region/region.h"

#define SLOTS_DEFAULT 2048
#define SLOTS_LEAST 64
#define SLOTS_MOST 32768
#define BUSY_BUDGET 64
#define RELEASE_MS 2000
#define FRAME_HEADER 18 /* Ethernet's and a VLAN tag */

static int xdp_fd(struct paste_port *p)
{
	struct xdp_port *x = xdp_port_of(p);

	return x->epoll >= 0 ? x->epoll : x->queue[0].socket.fd;
}

static void xdp_stats(struct paste_port *p, uint32_t queue, struct paste_ring_stats *receive,
		      struct paste_ring_stats *transmit)
{
	const struct xdp_queue *q = &xdp_port_of(p)->queue[queue];
	struct paste_xdp_stats kernel;

	paste_xdp_stats(p, queue, &kernel);
	*receive = q->receive.stats;
	receive->dropped += kernel.no_room + kernel.ring_full;
	*transmit = q->transmit.stats;
}

void paste_xdp_stats(struct paste_port *p, uint32_t queue, struct paste_xdp_stats *stats)
{
	struct xdp_port *x = xdp_port_of(p);
	const struct xdp_queue *q = &x->queue[queue];
	struct xdp_statistics kernel = {0};
	socklen_t size = sizeof(kernel);
	struct steer_counts steered;

	getsockopt(q->socket.fd, SOL_XDP, XDP_STATISTICS, &kernel, &size);
	steer_counts(x->steer, q->number, &steered);
	*stats = (struct paste_xdp_stats){
	    .steered = steered.taken,
	    .absent = steered.absent,
	    .ip_fragments = steered.fragments,
	    .passed = steered.passed,
	    .no_room = kernel.rx_dropped,
	    .ring_full = kernel.rx_ring_full,
	    .fill_empty = kernel.rx_fill_ring_empty_descs,
	    .invalid = kernel.rx_invalid_descs + kernel.tx_invalid_descs,
	    .posted = q->posted,
	};
}

int paste_xdp_take(struct paste_port *p, const struct paste_xdp_rule *rule)
{
	return steer_take(xdp_port_of(p)->steer, rule);
}

int paste_xdp_leave(struct paste_port *p, const struct paste_xdp_rule *rule)
{
	return steer_leave(xdp_port_of(p)->steer, rule);
}

/* Sockets first, while the program still drops what is ours: the kernel must not answer for us before it has
 * to. */
static void detach(struct xdp_port *x)
{
	for (uint32_t i = 0; x->queue && i < x->port.info.queues; i++)
		xdp_socket_close(&x->queue[i].socket);
	/* The device may write into posted buffers until the kernel has told it to stop, which is after
	 * close() returned. */
	x->released = true;
	for (uint32_t i = 0; x->zero_copy && i < x->bound; i++)
		x->released &= xdp_queue_wait_released(x->interface.index, x->queue[i].number, RELEASE_MS);
	x->bound = 0;
	steer_close(x->steer);
	x->steer = NULL;
}

/* The sockets are closed: their buffers come back. Those of a device that is not known to have stopped stay out of use as long as
 * the region is open, and count as standing, for what is stored to leave room beside them. Its note stays as well: who opens the
 * region next asks. (A socket that can be bound to the queue later on says that it did stop, but nobody looks for them then.) */
static void let_go(struct xdp_port *x)
{
	uint32_t kept = xdp_receive_end(x, !x->released && SITE(port_unreleased_kept));

	if (!x->released && SITE(port_unreleased_sending_kept))
		kept += xdp_transmit_keep(x);
	paste_buffer_standing(x->port.region, (int32_t)kept);
	x->kept += kept;
}

static uint32_t xdp_posted(struct paste_port *p, uint32_t queue)
{
	return xdp_port_of(p)->queue[queue].posted;
}

static void xdp_close(struct paste_port *p)
{
	struct xdp_port *x = xdp_port_of(p);

	detach(x);
	if (x->posted)
		let_go(x);
	if (x->landing.queues && ((x->released && !x->kept) || !SITE(port_unreleased_noted)))
		region_landing_remove(p->region, &x->landing);
	if (x->epoll >= 0)
		close(x->epoll);
	for (uint32_t i = 0; x->queue && i < p->info.queues; i++) {
		if (x->queue[i].receive.ring)
			ring_close(&x->queue[i].receive);
		if (x->queue[i].transmit.ring)
			ring_close(&x->queue[i].transmit);
		free(x->queue[i].sending);
	}
	free(x->queue);
	free(x->posted);
	free(x->polled);
	free(p->receive);
	free(p->transmit);
	free(x);
}

static const struct paste_port_ops xdp_ops = {
    .sync_receive = xdp_sync_receive,
    .sync_transmit = xdp_sync_transmit,
    .poll = xdp_poll,
    .fd = xdp_fd,
    .stats = xdp_stats,
    .posted = xdp_posted,
    .close = xdp_close,
};

/* --- what is asked for, against what there is --- */

static int choose_queues(struct xdp_port *x, const struct paste_xdp_options *o, struct paste_error *err)
{
	uint32_t there = x->interface.queues;

	if (o->first_queue >= there || o->queues > there - o->first_queue)
		return paste_fail(
		    err, -EINVAL, "%s has %u queue%s, from 0: %u from queue %u on cannot be opened",
		    o->ifname, there, there == 1 ? "" : "s", o->queues ? o->queues : 1, o->first_queue);
	x->port.info.queues = o->queues ? o->queues : there - o->first_queue;
	return 0;
}

static int check_mtu(const struct xdp_port *x, const struct paste_xdp_options *o, struct paste_error *err)
{
	uint32_t most = xdp_interface_mtu_for(x->port.region->buffer_size, x->port.info.headroom);

	if (x->interface.mtu <= most || o->fragments != PASTE_XDP_FRAGMENTS_NO)
		return 0;
	return paste_fail(err, -EMSGSIZE,
			  "%s: packets of its MTU, %u, do not fit into a buffer of %u bytes: `ip link set "
			  "dev %s mtu %u` (or less), "
			  "a region with larger buffers, or allow packets over several buffers",
			  o->ifname, x->interface.mtu, x->port.region->buffer_size, o->ifname, most);
}

/* Unless told otherwise, an eighth of the region at most. */
static uint32_t choose_slots(const struct xdp_port *x, const struct paste_xdp_options *o)
{
	uint64_t slots = SLOTS_DEFAULT;

	if (o->slots)
		return o->slots;
	while (slots > SLOTS_LEAST && slots * 2 * x->port.info.queues > x->port.region->buffers / 8)
		slots /= 2;
	return (uint32_t)slots;
}

static int check(struct xdp_port *x, const struct paste_xdp_options *o, struct paste_error *err)
{
	const struct paste_region *r = x->port.region;
	int ret =
	    xdp_memory_check(r->m, r->area, (uint64_t)r->buffers << r->buffer_shift, r->buffer_size, err);

	if (ret < 0)
		return ret;
	if (o->slots && (o->slots < SLOTS_LEAST || o->slots > SLOTS_MOST || (o->slots & (o->slots - 1))))
		return paste_fail(err, -EINVAL,
				  "a ring of an interface has a power of two of slots, %d to %d, not %u",
				  SLOTS_LEAST, SLOTS_MOST, o->slots);
	ret = xdp_interface_find(o->ifname, &x->interface, err);
	if (ret < 0)
		return ret;
	if (!x->interface.ethernet)
		return paste_fail(err, -EOPNOTSUPP, "%s: is no Ethernet interface", o->ifname);
	ret = choose_queues(x, o, err);
	return ret < 0 ? ret : check_mtu(x, o, err);
}

/* --- memory of our own --- */

static int make_queue(struct xdp_port *x, uint32_t i, const struct paste_xdp_options *o, uint32_t slots,
		      struct paste_error *err)
{
	struct xdp_queue *q = &x->queue[i];
	struct paste_region *r = x->port.region;

	q->number = o->first_queue + i;
	q->sending = calloc(slots, sizeof(*q->sending));
	if (!q->sending)
		return paste_fail(err, -ENOMEM, "out of memory for a ring of %u slots", slots);
	int ret = ring_open(&q->receive, &x->port.receive[i], r, RING_RECEIVE_EMPTY, slots,
			    XDP_FRAGMENTS_MOST, err);
	if (ret < 0) {
		q->receive.ring = NULL;
		return ret;
	}
	ret = ring_open(&q->transmit, &x->port.transmit[i], r, RING_TRANSMIT, slots, XDP_FRAGMENTS_MOST, err);
	if (ret < 0)
		q->transmit.ring = NULL;
	return ret;
}

static int make(struct xdp_port *x, const struct paste_xdp_options *o, uint32_t slots,
		struct paste_error *err)
{
	uint32_t n = x->port.info.queues;
	int ret = 0;

	x->queue = calloc(n, sizeof(*x->queue));
	for (uint32_t i = 0; x->queue && i < n; i++)
		x->queue[i].socket.fd = -1;
	x->port.receive = calloc(n, sizeof(*x->port.receive));
	x->port.transmit = calloc(n, sizeof(*x->port.transmit));
	x->polled = calloc(n, sizeof(*x->polled));
	x->posted = calloc(x->port.region->buffers, sizeof(*x->posted));
	if (!x->queue || !x->port.receive || !x->port.transmit || !x->polled || !x->posted)
		return paste_fail(err, -ENOMEM, "out of memory for the port's rings");
	for (uint32_t i = 0; ret == 0 && i < n; i++)
		ret = make_queue(x, i, o, slots, err);
	return ret;
}

/* --- the kernel's part --- */

struct attempt {
	bool native, zero_copy, fragments;
};

static int open_sockets(struct xdp_port *x, const struct paste_xdp_options *o, uint32_t slots,
			struct paste_error *err)
{
	struct paste_region *r = x->port.region;
	struct xdp_memory_area area = {
	    .start = r->area,
	    .bytes = (uint64_t)r->buffers << r->buffer_shift,
	    .chunk = r->buffer_size,
	    .headroom = XDP_HEADROOM,
	    .metadata = o->checksum ? XDP_METADATA : 0,
	};
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < x->port.info.queues; i++) {
		struct xdp_queue *q = &x->queue[i];
		ret = xdp_socket_open(&q->socket, slots, err);
		if (ret == 0 && i == 0)
			ret = xdp_socket_register(&q->socket, &area, err);
		if (ret == 0 && xdp_receive_begin(x, q) < 0)
			ret = paste_fail(err, -ENOBUFS,
					 "%s: the region has no free buffers to receive into (%u are wanted "
					 "for each queue)",
					 o->ifname, slots);
	}
	x->metadata = area.metadata;
	return ret;
}

static int bind_sockets(struct xdp_port *x, const struct attempt *a, uint32_t *at)
{
	uint16_t flags = XDP_USE_NEED_WAKEUP;
	int ret = 0;

	flags |= a->zero_copy ? XDP_ZEROCOPY : XDP_COPY;
	if (a->fragments)
		flags |= XDP_USE_SG;
	for (uint32_t i = 0; ret == 0 && i < x->port.info.queues; i++) {
		*at = x->queue[i].number;
		ret = xdp_socket_bind(&x->queue[i].socket, &x->queue[0].socket, x->interface.index,
				      x->queue[i].number, flags);
		x->bound += ret == 0;
	}
	return ret;
}

/* Let go of everything that an attempt had; the rings stay. */
static void undo(struct xdp_port *x)
{
	detach(x);
	x->zero_copy = false;
	let_go(x);
	for (uint32_t i = 0; i < x->port.info.queues; i++)
		x->queue[i].posted = x->queue[i].owed = 0;
}

static int refuse_bind(const struct paste_xdp_options *o, const struct attempt *a, uint32_t queue, int code,
		       struct paste_error *err)
{
	if (code == -EBUSY)
		return paste_fail(err, code,
				  "%s: queue %u belongs to another AF_XDP socket (or to one of a process "
				  "that died a moment ago): stop "
				  "its owner, or use other queues",
				  o->ifname, queue);
	if (code == -EOPNOTSUPP && a->zero_copy)
		return paste_fail(err, code, "%s: its driver has no zero-copy mode%s: ask for the copy mode",
				  o->ifname, a->fragments ? " for packets over several buffers" : "");
	if (a->fragments && (code == -EOPNOTSUPP || code == -EINVAL))
		return paste_fail(err, code,
				  "%s: packets over several buffers need Linux 6.6 and a driver that knows "
				  "them: lower the MTU until a "
				  "packet fits into a buffer",
				  o->ifname);
	if (code == -ENOMEM)
		return paste_fail(
		    err, code,
		    "%s: the kernel has no memory for queue %u (128 bytes for each of the region's buffers)",
		    o->ifname, queue);
	if (code == -ENETDOWN)
		return paste_fail(err, code, "%s: is down: `ip link set dev %s up`", o->ifname, o->ifname);
	return paste_fail(err, code, "%s: cannot bind to queue %u: %s", o->ifname, queue, strerror(-code));
}

static int try(struct xdp_port *x, const struct paste_xdp_options *o, uint32_t slots, const struct attempt *a,
	       struct paste_error *err)
{
	struct steer_options steer = {
	    .ifname = o->ifname,
	    .ifindex = (int)x->interface.index,
	    .queues = o->first_queue + x->port.info.queues,
	    .fragments = a->fragments,
	    .native = a->native,
	    .generic = !a->native,
	};
	uint32_t at = 0;
	int ret = steer_open(&steer, &x->steer, err);

	if (ret < 0)
		return ret;
	for (uint32_t i = 0; ret == 0 && i < o->rules_n; i++)
		ret = steer_take(x->steer, &o->rules[i]);
	if (ret < 0)
		ret =
		    paste_fail(err, ret, "%s: cannot set the steering rules: %s", o->ifname, strerror(-ret));
	if (ret == 0)
		ret = open_sockets(x, o, slots, err);
	if (ret == 0) {
		x->zero_copy = a->zero_copy; /* some queues may get it, and others not */
		ret = bind_sockets(x, a, &at);
		if (ret < 0)
			refuse_bind(o, a, at, ret, err);
	}
	for (uint32_t i = 0; ret == 0 && i < x->port.info.queues; i++) {
		ret = steer_socket(x->steer, x->queue[i].number, x->queue[i].socket.fd);
		if (ret < 0)
			paste_fail(err, ret, "%s: cannot steer packets to the socket: %s", o->ifname,
				   strerror(-ret));
	}
	if (ret < 0)
		undo(x);
	return ret;
}

/* Another attempt may go where this one did not. */
static bool goes_on(int code)
{
	return code == -EOPNOTSUPP || code == -EINVAL || code == -ERANGE || code == -ENOTSUP;
}

static void note_mode(struct xdp_port *x, const struct paste_xdp_options *o, const struct attempt *a)
{
	struct paste_port_info *info = &x->port.info;

	x->zero_copy = xdp_socket_is_zero_copy(&x->queue[0].socket);
	info->mode = x->zero_copy ? "zero-copy" : steer_is_native(x->steer) ? "copy" : "generic";
	info->fragments = 1;
	if (a->fragments) {
		info->fragments = XDP_FRAGMENTS_MOST;
		if (x->zero_copy && x->interface.zero_copy_segments &&
		    x->interface.zero_copy_segments < info->fragments)
			info->fragments = x->interface.zero_copy_segments;
	}
	/* In copy mode the kernel allocates and copies for each fragment, which costs more than to copy them
	 * together (bench/transmit.c); a device takes them as they are. */
	x->gathers = !x->zero_copy && !o->no_gather;
	info->gather_bytes = x->gathers ? UINT32_MAX : PORT_GATHER_BYTES;
	/* In copy mode the kernel computes it, or the device that it knows how to ask. */
	info->transmit_checksum = x->metadata && (!x->zero_copy || x->interface.device_checksum);
}

/* Better modes first; a mode is better without fragments than a worse one with them, unless they are needed.
 */
static int open_best(struct xdp_port *x, const struct paste_xdp_options *o, uint32_t slots,
		     struct paste_error *err)
{
	static const struct {
		enum paste_xdp_mode mode;
		bool native, zero_copy;
	} modes[] = {{PASTE_XDP_ZERO_COPY, true, true},
		     {PASTE_XDP_COPY, true, false},
		     {PASTE_XDP_GENERIC, false, false}};
	bool needed =
	    o->fragments == PASTE_XDP_FRAGMENTS_YES ||
	    x->interface.mtu > xdp_interface_mtu_for(x->port.region->buffer_size, x->port.info.headroom);
	int ret = -EINVAL;

	for (unsigned m = 0; m < 3; m++) {
		/* Do not take an interface down and up again to ask for what it said that it has not. */
		bool hopeless = modes[m].zero_copy && x->interface.features_known && !x->interface.zero_copy;
		if (o->mode != PASTE_XDP_AUTO ? o->mode != modes[m].mode : hopeless)
			continue;
		for (int fragments = o->fragments != PASTE_XDP_FRAGMENTS_NO; fragments >= (int)needed;
		     fragments--) {
			struct attempt a = {modes[m].native, modes[m].zero_copy, fragments};
			ret = try(x, o, slots, &a, err);
			if (ret == 0)
				note_mode(x, o, &a);
			if (ret == 0 || !goes_on(ret))
				return ret;
		}
	}
	return ret;
}

static int make_pollable(struct xdp_port *x)
{
	if (x->port.info.queues > 1) {
		x->epoll = epoll_create1(EPOLL_CLOEXEC);
		if (x->epoll < 0)
			return -errno;
	}
	for (uint32_t i = 0; i < x->port.info.queues; i++) {
		struct epoll_event event = {.events = EPOLLIN};
		x->polled[i] = (struct pollfd){.fd = x->queue[i].socket.fd, .events = POLLIN};
		if (x->epoll >= 0 && epoll_ctl(x->epoll, EPOLL_CTL_ADD, x->polled[i].fd, &event) < 0)
			return -errno;
	}
	return 0;
}

static void note_interface(struct xdp_port *x, const struct paste_xdp_options *o)
{
	struct paste_port_info *info = &x->port.info;

	snprintf(info->name, sizeof(info->name), "%s", o->ifname);
	info->mtu = x->interface.mtu;
	memcpy(info->mac, x->interface.mac, sizeof(info->mac));
	x->bytes_most = x->interface.mtu + FRAME_HEADER;
	x->busy_poll = o->busy_poll_us > 0;
	for (uint32_t i = 0; i < info->queues && x->busy_poll; i++)
		x->busy_poll = xdp_socket_busy_poll(&x->queue[i].socket, o->busy_poll_us, BUSY_BUDGET);
}

/* Before the first buffer is posted: a successor must know whom to wait for. */
static int note_landing(struct xdp_port *x, const struct paste_xdp_options *o, struct paste_error *err)
{
	struct paste_landing landing;
	int ret = xdp_landing_make(&landing, o->ifname, x->interface.index, o->first_queue, x->port.info.queues);

	if (ret == 0)
		ret = region_landing_add(x->port.region, &landing);
	if (ret < 0)
		return paste_fail(err, ret, "%s: cannot note in the region that it receives there: %s", o->ifname,
				  strerror(-ret));
	x->landing = landing;
	return 0;
}

int paste_xdp_open(struct paste_region *region, const struct paste_xdp_options *options,
		   struct paste_port **port, struct paste_error *err)
{
	struct xdp_port *x = calloc(1, sizeof(*x));
	uint32_t slots = 0;

	if (!x)
		return paste_fail(err, -ENOMEM, "out of memory");
	x->port.ops = &xdp_ops;
	x->port.region = region;
	x->port.info.headroom = XDP_KERNEL_HEADROOM + XDP_HEADROOM;
	x->epoll = -1;
	int ret = check(x, options, err);
	if (ret == 0)
		slots = choose_slots(x, options);
	if (ret == 0)
		ret = make(x, options, slots, err);
	if (ret == 0)
		ret = note_landing(x, options, err);
	if (ret == 0)
		ret = open_best(x, options, slots, err);
	if (ret == 0)
		note_interface(x, options);
	if (ret == 0 && (ret = make_pollable(x)) < 0)
		paste_fail(err, ret, "%s: cannot make a descriptor to poll: %s", options->ifname,
			   strerror(-ret));
	if (ret < 0) {
		xdp_close(&x->port);
		return ret;
	}
	*port = &x->port;
	return 0;
}
