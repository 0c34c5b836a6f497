/* SPDX-License-Identifier: BSD-2-Clause */
#include "port/xdp_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BIND_PATIENCE_MS 2000
#define PROBE_BYTES 4096
#define TRANSMIT_BATCH 32

static int set(int fd, int option, const void *value, socklen_t size)
{
	return setsockopt(fd, SOL_XDP, option, value, size) < 0 ? -errno : 0;
}

static int map_ring(struct xdp_ring *r, int fd, const struct xdp_ring_offset *at, uint64_t page_offset,
		    uint32_t entries, size_t entry_bytes)
{
	size_t bytes = at->desc + entries * entry_bytes;
	uint8_t *map =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)page_offset);

	if (map == MAP_FAILED)
		return -errno;
	*r = (struct xdp_ring){
	    .producer = (uint32_t *)(map + at->producer),
	    .consumer = (uint32_t *)(map + at->consumer),
	    .flags = (uint32_t *)(map + at->flags),
	    .address = (uint64_t *)(map + at->desc),
	    .mask = entries - 1,
	    .map = map,
	    .map_bytes = bytes,
	};
	return 0;
}

#define CHARGE_A_FRAME 4096 /* bytes; the kernel allows twice what it is told */

static int make_rings(struct xdp_socket *s, uint32_t slots)
{
	static const int rings[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
	struct xdp_mmap_offsets at;
	socklen_t size = sizeof(at);
	int ret;

	for (unsigned i = 0; i < 4; i++) {
		ret = set(s->fd, rings[i], &slots, sizeof(slots));
		if (ret < 0)
			return ret;
	}
	if (getsockopt(s->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &size) < 0)
		return -errno;
	if (size < sizeof(at))
		return -EOPNOTSUPP; /* 5.3 and older: no word about wake-ups */
	ret = map_ring(&s->fill, s->fd, &at.fr, XDP_UMEM_PGOFF_FILL_RING, slots, sizeof(uint64_t));
	if (ret == 0)
		ret = map_ring(&s->completion, s->fd, &at.cr, XDP_UMEM_PGOFF_COMPLETION_RING, slots,
			       sizeof(uint64_t));
	if (ret == 0)
		ret = map_ring(&s->receive, s->fd, &at.rx, XDP_PGOFF_RX_RING, slots, sizeof(struct xdp_desc));
	if (ret == 0)
		ret =
		    map_ring(&s->transmit, s->fd, &at.tx, XDP_PGOFF_TX_RING, slots, sizeof(struct xdp_desc));
	return ret;
}

/*
 * In copy mode each frame is charged to the socket's send buffer until whoever receives it is done with it; over a
 * veth that is when the peer's application has read it. The default is full after some 90 frames of 1500 bytes, and
 * then nobody's frames leave. Allow as many as the ring has; without the privilege as many as may be asked for.
 */
static void let_ring_leave(int fd, uint32_t slots)
{
	int bytes = (int)slots * CHARGE_A_FRAME;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int xdp_socket_open(struct xdp_socket *s, uint32_t slots, struct paste_error *err)
{
	*s = (struct xdp_socket){.fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)};
	if (s->fd < 0) {
		int code = -errno;
		if (code == -EPERM)
			return paste_fail(
			    err, code,
			    "AF_XDP sockets are for root, or for processes with the capability CAP_NET_RAW");
		if (code == -EAFNOSUPPORT)
			return paste_fail(err, code, "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)");
		return paste_fail(err, code, "cannot open an AF_XDP socket: %s", strerror(-code));
	}
	int ret = make_rings(s, slots);
	if (ret < 0) {
		xdp_socket_close(s);
		return paste_fail(err, ret, "cannot make AF_XDP rings of %u slots: %s", slots,
				  strerror(-ret));
	}
	let_ring_leave(s->fd, slots);
	/* Send more than 32 frames a call where the kernel lets us; it goes on with 32 otherwise. */
	s->transmit_batch = TRANSMIT_BATCH;
	if (set(s->fd, XDP_MAX_TX_SKB_BUDGET, &slots, sizeof(slots)) == 0)
		s->transmit_batch = slots;
	return 0;
}

static int register_area(int fd, const struct xdp_memory_area *area, uint32_t flags)
{
	struct xdp_compat_umem umem = {
	    .address = (uint64_t)(uintptr_t)area->start,
	    .length = area->bytes,
	    .chunk_size = area->chunk,
	    .headroom = area->headroom,
	    .flags = flags,
	    .metadata = area->metadata,
	};

	return set(fd, XDP_UMEM_REG, &umem, sizeof(umem));
}

int xdp_socket_register(struct xdp_socket *s, struct xdp_memory_area *area, struct paste_error *err)
{
	int ret = -EINVAL;

	/* 6.8 to 6.10 know the length but not the flag: those go without, since there, 0 would not be sure to
	 * mean 0. */
	if (area->metadata)
		ret = register_area(s->fd, area, XDP_UMEM_TX_METADATA_LEN);
	if (ret == -EINVAL) {
		area->metadata = 0;
		ret = register_area(s->fd, area, 0);
	}
	if (ret == -ENOBUFS || ret == -EPERM)
		return paste_fail(err, ret,
				  "the region's %llu MiB cannot be pinned for AF_XDP: the limit of locked "
				  "memory is too low: raise it "
				  "(`ulimit -l`, LimitMEMLOCK=), or run with CAP_IPC_LOCK",
				  (unsigned long long)area->bytes >> 20);
	if (ret < 0)
		return paste_fail(err, ret, "the kernel does not take the region's memory for AF_XDP: %s",
				  strerror(-ret));
	return 0;
}

static void sleep_ms(uint32_t ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

/* A driver may have taken buffers from the fill ring before it refused. Nobody has them now: post them again.
 */
static void post_again(struct xdp_ring *fill, uint32_t posted)
{
	uint32_t taken = __atomic_load_n(fill->consumer, __ATOMIC_ACQUIRE);

	for (uint32_t i = fill->mine - posted; i != taken; i++)
		fill->address[fill->mine++ & fill->mask] = fill->address[i & fill->mask];
	xdp_ring_produced(fill);
}

int xdp_socket_bind(struct xdp_socket *s, const struct xdp_socket *owner, unsigned ifindex, uint32_t queue,
		    uint16_t flags)
{
	uint32_t posted = xdp_ring_waiting(&s->fill);
	struct sockaddr_xdp address = {
	    .sxdp_family = AF_XDP,
	    .sxdp_ifindex = ifindex,
	    .sxdp_queue_id = queue,
	    .sxdp_flags = owner == s ? flags : XDP_SHARED_UMEM,
	    .sxdp_shared_umem_fd = owner == s ? 0 : (uint32_t)owner->fd,
	};
	uint32_t waited = 0, pause = 1;

	while (bind(s->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int code = -errno;
		if (code != -EBUSY || waited >= BIND_PATIENCE_MS) {
			post_again(&s->fill, posted);
			return code;
		}
		sleep_ms(pause);
		waited += pause;
		pause = pause < 64 ? pause * 2 : 64;
	}
	return 0;
}

bool xdp_socket_is_zero_copy(const struct xdp_socket *s)
{
	struct xdp_options options = {0};
	socklen_t size = sizeof(options);

	return getsockopt(s->fd, SOL_XDP, XDP_OPTIONS, &options, &size) == 0 &&
	       (options.flags & XDP_OPTIONS_ZEROCOPY);
}

bool xdp_socket_busy_poll(const struct xdp_socket *s, uint32_t microseconds, uint32_t budget)
{
	int one = 1, time = (int)microseconds, most = (int)budget;

	return setsockopt(s->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &one, sizeof(one)) == 0 &&
	       setsockopt(s->fd, SOL_SOCKET, SO_BUSY_POLL, &time, sizeof(time)) == 0 &&
	       setsockopt(s->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &most, sizeof(most)) == 0;
}

void xdp_socket_close(struct xdp_socket *s)
{
	struct xdp_ring *rings[] = {&s->fill, &s->completion, &s->receive, &s->transmit};

	/* Mappings keep the socket's queue from being bound again. */
	for (unsigned i = 0; i < 4; i++) {
		if (rings[i]->map)
			munmap(rings[i]->map, rings[i]->map_bytes);
	}
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct xdp_socket){.fd = -1};
}

/* A socket with memory of its own, in copy mode: it asks nothing of the driver, but the queue has to be free.
 */
static int try_queue(unsigned ifindex, uint32_t queue)
{
	struct xdp_memory_area area = {.bytes = PROBE_BYTES, .chunk = PROBE_BYTES};
	struct xdp_socket s;
	int ret = xdp_socket_open(&s, 64, NULL);

	if (ret < 0)
		return ret;
	area.start = mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ret = area.start == MAP_FAILED ? -ENOMEM : xdp_socket_register(&s, &area, NULL);
	struct sockaddr_xdp address = {
	    .sxdp_family = AF_XDP, .sxdp_ifindex = ifindex, .sxdp_queue_id = queue, .sxdp_flags = XDP_COPY};
	if (ret == 0 && bind(s.fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		ret = -errno;
	xdp_socket_close(&s);
	if (area.start != MAP_FAILED)
		munmap(area.start, PROBE_BYTES);
	return ret;
}

bool xdp_queue_wait_released(unsigned ifindex, uint32_t queue, uint32_t ms)
{
	for (uint32_t waited = 0;; waited += 5) {
		int ret = try_queue(ifindex, queue);
		/* No such interface any more: nothing writes. */
		if (ret == 0 || ret == -ENODEV)
			return true;
		if (ret != -EBUSY || waited >= ms)
			return false;
		sleep_ms(5);
	}
}
