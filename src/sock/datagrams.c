/* SPDX-License-Identifier: BSD-2-Clause */
/* UDP over a kernel socket: io_uring receives into buffers of the region. */
#include "sock/datagrams.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUP 0
#define RECEIVE_TAG 1
#define SOCKET_BUFFER (4 << 20) /* bytes that the kernel may hold for us: a burst while a round is closed */

/* --- buffers */

static void post(struct sock_datagrams *d, uint32_t buffer, int at)
{
	uint16_t id = d->free_id[--d->free_ids];

	d->buffer[id] = buffer;
	io_uring_buf_ring_add(d->posted_ring, paste_buffer_data(d->base.region, buffer),
			      paste_buffer_size(d->base.region), id, io_uring_buf_ring_mask(d->entries), at);
	d->posted++;
}

/* Buffers of the last batch that nobody kept, and fresh ones in place of those that were. */
static void refill(struct sock_datagrams *d)
{
	int added = 0;
	uint32_t fresh;

	for (uint32_t i = 0; i < d->shown_n; i++) {
		if (paste_buffer_renew(d->base.region, d->shown[i]))
			post(d, d->shown[i], added++);
		else
			paste_buffer_put(d->base.region, d->shown[i]);
	}
	d->shown_n = 0;
	while (d->posted < d->entries && paste_buffer_alloc(d->base.region, &fresh) == 0)
		post(d, fresh, added++);
	if (added)
		io_uring_buf_ring_advance(d->posted_ring, added);
}

static void arm(struct sock_datagrams *d)
{
	struct io_uring_sqe *sqe = d->posted ? io_uring_get_sqe(&d->ring) : NULL;

	if (!sqe)
		return;
	io_uring_prep_recvmsg_multishot(sqe, d->fd, &d->shape, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	io_uring_sqe_set_data64(sqe, RECEIVE_TAG);
	d->armed = true;
	io_uring_submit(&d->ring);
}

/* --- receiving */

static void read_control(struct sock_datagrams *d, struct io_uring_recvmsg_out *out, struct sock_peer *peer)
{
	for (struct cmsghdr *c = io_uring_recvmsg_cmsg_firsthdr(out, &d->shape); c;
	     c = io_uring_recvmsg_cmsg_nexthdr(out, &d->shape, c)) {
		struct in6_pktinfo info;

		if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		peer->from = info.ipi6_addr;
		peer->ifindex = (uint32_t)info.ipi6_ifindex;
	}
}

/* What a completion brought. False: nothing that can be shown. */
static bool show(struct sock_datagrams *d, uint32_t buffer, int bytes, struct paste_datagram *to)
{
	uint8_t *start = paste_buffer_data(d->base.region, buffer);
	struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(start, bytes, &d->shape);
	struct sock_peer peer = {.ifindex = 0};

	if (!out || out->namelen > sizeof(peer.to))
		return false;
	memcpy(&peer.to, io_uring_recvmsg_name(out), out->namelen);
	read_control(d, out, &peer);
	*to = (struct paste_datagram){.cut = out->flags & MSG_TRUNC};
	memcpy(to->peer.opaque, &peer, sizeof(peer));
	if (!to->cut)
		to->length = (uint32_t)bytes - DATAGRAMS_BEFORE;
	if (to->length > 0)
		to->slice[to->n++] = (struct paste_ref){buffer, DATAGRAMS_BEFORE, (uint16_t)to->length};
	return true;
}

static bool complete(struct sock_datagrams *d, const struct io_uring_cqe *cqe, struct paste_datagram *to)
{
	bool shown = false;

	if (!(cqe->flags & IORING_CQE_F_MORE))
		d->armed = false;
	if (cqe->flags & IORING_CQE_F_BUFFER) {
		uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
		uint32_t buffer = d->buffer[id];

		d->free_id[d->free_ids++] = id;
		d->posted--;
		d->shown[d->shown_n++] = buffer;
		shown = cqe->res >= 0 && show(d, buffer, cqe->res, to);
		d->stats.refused += !shown;
	}
	return shown;
}

static int datagrams_receive(struct paste_datagrams *base, struct paste_datagram *batch, int max)
{
	struct sock_datagrams *d = (struct sock_datagrams *)base;
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;
	int n = 0;

	refill(d);
	if (!d->armed)
		arm(d);
	if (!io_uring_cq_ready(&d->ring))
		io_uring_get_events(&d->ring);
	if (max > DATAGRAMS_BATCH)
		max = DATAGRAMS_BATCH;
	io_uring_for_each_cqe(&d->ring, head, cqe)
	{
		if (n == max || d->shown_n == DATAGRAMS_BATCH)
			break;
		seen++;
		if (complete(d, cqe, &batch[n])) {
			d->stats.received++;
			d->stats.received_bytes += batch[n].length;
			n++;
		}
	}
	io_uring_cq_advance(&d->ring, seen);
	return n;
}

static int datagrams_fd(struct paste_datagrams *base)
{
	return ((struct sock_datagrams *)base)->fd;
}

static void datagrams_stats(struct paste_datagrams *base, struct paste_datagrams_stats *stats)
{
	struct sock_datagrams *d = (struct sock_datagrams *)base;
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t size = sizeof(memory);

	*stats = d->stats;
	stats->posted = d->posted;
	if (getsockopt(d->fd, SOL_SOCKET, SO_MEMINFO, memory, &size) == 0)
		stats->lost = memory[SK_MEMINFO_DROPS];
}

/* --- opening and closing */

/* The receive must be out of the kernel before a buffer is put: it could still write into one. */
static void stop_receiving(struct sock_datagrams *d)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe = d->armed ? io_uring_get_sqe(&d->ring) : NULL;

	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, RECEIVE_TAG, 0);
	io_uring_sqe_set_data64(sqe, 0);
	io_uring_submit(&d->ring);
	while (d->armed && io_uring_wait_cqe(&d->ring, &cqe) == 0) {
		if (cqe->user_data == RECEIVE_TAG && !(cqe->flags & IORING_CQE_F_MORE))
			d->armed = false;
		io_uring_cqe_seen(&d->ring, cqe);
	}
}

static void put_buffers(struct sock_datagrams *d)
{
	bool is_free[DATAGRAMS_POSTED_MOST] = {false};

	for (uint32_t i = 0; i < d->free_ids; i++)
		is_free[d->free_id[i]] = true;
	for (uint32_t id = 0; id < d->entries; id++)
		if (!is_free[id])
			paste_buffer_put(d->base.region, d->buffer[id]);
	for (uint32_t i = 0; i < d->shown_n; i++)
		paste_buffer_put(d->base.region, d->shown[i]);
}

static void datagrams_close(struct paste_datagrams *base)
{
	struct sock_datagrams *d = (struct sock_datagrams *)base;

	if (d->posted_ring) {
		stop_receiving(d);
		io_uring_unregister_buf_ring(&d->ring, GROUP);
		put_buffers(d);
		munmap(d->posted_ring, d->entries * sizeof(struct io_uring_buf));
	}
	if (d->ring.ring_fd >= 0)
		io_uring_queue_exit(&d->ring);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

static const struct paste_datagrams_ops datagrams_ops = {
    .receive = datagrams_receive,
    .send = datagrams_send,
    .flush = datagrams_flush,
    .fd = datagrams_fd,
    .stats = datagrams_stats,
    .close = datagrams_close,
};

static int open_ring(struct sock_datagrams *d, struct paste_error *err)
{
	static const unsigned flags[] = {
	    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	    IORING_SETUP_COOP_TASKRUN,
	    0,
	};
	int rc = -EINVAL;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && rc == -EINVAL; i++) {
		struct io_uring_params p = {.flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
					    .cq_entries = 4 * DATAGRAMS_POSTED_MOST};

		rc = io_uring_queue_init_params(8, &d->ring, &p);
	}
	if (rc < 0) {
		d->ring.ring_fd = -1;
		return paste_fail(err, rc, "io_uring for datagrams: %s", strerror(-rc));
	}
	return 0;
}

static int open_buffers(struct sock_datagrams *d, struct paste_error *err)
{
	uint32_t most = paste_buffer_count(d->base.region) / 16;

	d->entries = 16;
	while (d->entries * 2 <= most && d->entries < DATAGRAMS_POSTED_MOST)
		d->entries *= 2;
	for (uint32_t i = 0; i < d->entries; i++)
		d->free_id[d->free_ids++] = (uint16_t)(d->entries - 1 - i);
	void *ring = mmap(NULL, d->entries * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (ring == MAP_FAILED)
		return paste_fail(err, -ENOMEM, "no memory for %u receive buffer entries", d->entries);
	struct io_uring_buf_reg reg = {
	    .ring_addr = (uintptr_t)ring, .ring_entries = d->entries, .bgid = GROUP};
	int rc = io_uring_register_buf_ring(&d->ring, &reg, 0);
	if (rc < 0) {
		munmap(ring, d->entries * sizeof(struct io_uring_buf));
		return paste_fail(err, rc, "io_uring buffer ring: %s (Linux 6.1 or newer is needed)",
				  strerror(-rc));
	}
	d->posted_ring = ring;
	io_uring_buf_ring_init(d->posted_ring);
	refill(d);
	if (d->posted == 0)
		return paste_fail(err, -ENOBUFS, "the region has no free buffers to receive datagrams into");
	return 0;
}

static int bind_socket(struct sock_datagrams *d, const struct sockaddr *address, socklen_t length)
{
	int one = 1, zero = 0, bytes = SOCKET_BUFFER;

	d->family = address->sa_family;
	d->fd = socket(d->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0)
		return -errno;
	/* As far as the limits allow. */
	if (setsockopt(d->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(d->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (d->family == AF_INET6 && (setsockopt(d->fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) ||
				      setsockopt(d->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one))))
		return -errno;
	return bind(d->fd, address, length) ? -errno : 0;
}

static int open_socket(struct sock_datagrams *d, const char *address, char *bound, size_t bound_size,
		       struct paste_error *err)
{
	struct addrinfo *found = NULL;
	char all[16];
	struct sockaddr_storage at;
	socklen_t size = sizeof(at);

	/* Both families through one socket; a machine without IPv6 has the other. */
	bool any = !strchr(address, ':');
	snprintf(all, sizeof(all), "[::]:%.5s", address);
	int rc = resolve_address(any ? all : address, SOCK_DGRAM, &found, err);
	if (rc < 0)
		return rc;
	rc = bind_socket(d, found->ai_addr, found->ai_addrlen);
	if (rc == -EAFNOSUPPORT && any) {
		struct sockaddr_in v4 = {.sin_family = AF_INET,
					 .sin_port = ((struct sockaddr_in6 *)found->ai_addr)->sin6_port};
		rc = bind_socket(d, (struct sockaddr *)&v4, sizeof(v4));
	}
	freeaddrinfo(found);
	if (rc < 0)
		return paste_fail(err, rc, "%s: cannot receive datagrams: %s", address, strerror(-rc));
	if (getsockname(d->fd, (struct sockaddr *)&at, &size))
		return paste_fail(err, -errno, "%s: %s", address, strerror(errno));
	address_format(&at, bound, bound_size);
	return 0;
}

int paste_sock_datagrams_open(struct paste_region *region, const char *address,
			      struct paste_datagrams **datagrams, char *bound, size_t bound_size,
			      struct paste_error *err)
{
	struct sock_datagrams *d = calloc(1, sizeof(*d));

	if (!d)
		return paste_fail(err, -ENOMEM, "no memory for datagrams");
	d->base = (struct paste_datagrams){.ops = &datagrams_ops, .region = region};
	d->fd = d->ring.ring_fd = -1;
	d->shape = (struct msghdr){.msg_namelen = DATAGRAMS_NAME, .msg_controllen = DATAGRAMS_CONTROL};
	int rc = open_ring(d, err);
	if (rc == 0)
		rc = open_socket(d, address, bound, bound_size, err);
	if (rc == 0)
		rc = open_buffers(d, err);
	if (rc < 0) {
		datagrams_close(&d->base);
		return rc;
	}
	arm(d);
	*datagrams = &d->base;
	return 0;
}
