/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the port layer adds to a bare AF_XDP receive loop, over a veth pair (tests/port/veth.h has the
 * picture).
 *
 * Both have the same program, socket options and ring sizes, look at the same bytes of each packet, and give
 * the buffer back. "ns": CPU time of the receiving thread per packet, while it drains bursts that a sender
 * (another process, at the other end, on AF_XDP too) has put there before: no waiting is in it. "full rate":
 * the sender goes on as fast as it can and the receiver spins; what did not arrive must be in the kernel's
 * counters.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <net/if.h>

#include "paste/port.h"
#include "port/steer.h"
#include "port/xdp.h"
#include "region/region.h"
#include "support.h"
#include "xdp_sender.h"

#define SLOTS 2048
#define BATCH 64
#define BURST 1024
#define BURSTS 20 /* of each round */
#define ROUNDS 5
#define FULL_RATE 150000

static struct veth veth;

/* --- the two receivers --- */

struct receiver {
	/* Takes what is there, at most a batch or so; the number of packets. */
	uint32_t (*receive)(struct receiver *r);
	struct paste_port *port;
	struct steer *steer;
	struct xdp_socket socket;
	uint8_t *memory;
	uint64_t seen; /* of the packets' bytes, so that they are read */
};

static uint64_t look(const uint8_t *packet)
{
	uint64_t a, b;

	memcpy(&a, packet + 26, 8);
	memcpy(&b, packet + 42, 8);
	return a ^ b;
}

static uint32_t receive_bare(struct receiver *r)
{
	struct xdp_ring *in = &r->socket.receive, *fill = &r->socket.fill;
	uint32_t n = xdp_ring_ready(in);

	if (n > BATCH)
		n = BATCH;
	if (n == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = &in->desc[in->mine++ & in->mask];
		r->seen ^= look(r->memory + d->addr);
		fill->address[fill->mine++ & fill->mask] = d->addr & ~2047ull;
	}
	xdp_ring_consumed(in);
	xdp_ring_produced(fill);
	return n;
}

static uint32_t receive_port(struct receiver *r)
{
	struct paste_ring *ring = &r->port->receive[0];
	int n = paste_port_sync_receive(r->port, 0);

	if (n < 0)
		bench_die("receive", n, NULL);
	for (int i = 0; i < n; i++) {
		const struct paste_slot *slot = paste_ring_slot(ring, ring->head++);
		r->seen ^= look(paste_buffer_data(r->port->region, slot->buffer) + slot->offset);
	}
	ring->cur = ring->head;
	return (uint32_t)n;
}

static const struct paste_xdp_rule rule = {
    .address = {[10] = 0xff, 0xff, 10, 1, 1, 1}, .port = SENDER_PORT, .protocol = IPPROTO_UDP};

static void open_bare(struct receiver *r, bool generic, struct paste_region *region)
{
	struct steer_options o = {.ifname = VETH_HERE,
				  .ifindex = (int)if_nametoindex(VETH_HERE),
				  .queues = 1,
				  .fragments = true,
				  .native = !generic,
				  .generic = generic};
	struct xdp_memory_area area = {.start = region->area,
				       .bytes = (uint64_t)region->buffers * 2048,
				       .chunk = 2048,
				       .headroom = XDP_HEADROOM};
	struct paste_error err = {{0}};

	*r = (struct receiver){.receive = receive_bare, .memory = region->area};
	if (steer_open(&o, &r->steer, &err) < 0 || steer_take(r->steer, &rule) < 0 ||
	    xdp_socket_open(&r->socket, SLOTS, &err) < 0 || xdp_socket_register(&r->socket, &area, &err) < 0)
		bench_die("bare loop", -EINVAL, &err);
	struct xdp_ring *fill = &r->socket.fill;
	for (uint32_t i = 0; i < SLOTS; i++)
		fill->address[fill->mine++ & fill->mask] = (uint64_t)i * 2048;
	xdp_ring_produced(fill);
	int ret = xdp_socket_bind(&r->socket, &r->socket, (unsigned)o.ifindex, 0,
				  XDP_COPY | XDP_USE_NEED_WAKEUP | XDP_USE_SG);
	if (ret < 0 || (ret = steer_socket(r->steer, 0, r->socket.fd)) < 0)
		bench_die("bare loop: bind", ret, NULL);
}

static void open_port(struct receiver *r, bool generic, struct paste_region *region)
{
	struct paste_xdp_options o = {.ifname = VETH_HERE,
				      .mode = generic ? PASTE_XDP_GENERIC : PASTE_XDP_COPY,
				      .slots = SLOTS,
				      .rules = &rule,
				      .rules_n = 1};
	struct paste_error err = {{0}};

	*r = (struct receiver){.receive = receive_port};
	int ret = paste_xdp_open(region, &o, &r->port, &err);
	if (ret < 0)
		bench_die("port", ret, &err);
}

static void close_receiver(struct receiver *r)
{
	if (r->port) {
		paste_port_close(r->port);
		return;
	}
	xdp_socket_close(&r->socket);
	steer_close(r->steer);
}

/* Packets that the kernel dropped because there was no room, of either receiver. */
static uint64_t kernel_drops(struct receiver *r)
{
	struct xdp_statistics s = {0};
	socklen_t size = sizeof(s);
	struct paste_xdp_stats stats;

	if (r->port) {
		paste_xdp_stats(r->port, 0, &stats);
		return stats.no_room + stats.ring_full;
	}
	getsockopt(r->socket.fd, SOL_XDP, XDP_STATISTICS, &s, &size);
	return s.rx_dropped + s.rx_ring_full;
}

static double thread_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Nanoseconds a packet, draining bursts. */
static double drain(struct receiver *r, const struct sending *s, uint32_t bytes)
{
	double spent = 0;

	for (unsigned b = 0; b < BURSTS; b++) {
		sender_order(s, bytes, BURST);
		sender_await(s);
		double start = thread_seconds();
		uint32_t got = 0, n;
		do {
			n = r->receive(r);
			got += n;
		} while (n > 0);
		spent += thread_seconds() - start;
		if (got != BURST)
			bench_die("a burst did not arrive whole", -EIO, NULL);
	}
	return spent / (BURSTS * BURST) * 1e9;
}

/* Millions of packets a second; what got lost, and of that, what no counter of the kernel's has. */
static double full_rate(struct receiver *r, const struct sending *s, uint32_t bytes, double *lost,
			double *unexplained)
{
	uint64_t before = kernel_drops(r), got = 0;
	double start = bench_now();

	sender_order(s, bytes, FULL_RATE);
	while (!sender_done(s)) {
		for (unsigned i = 0; i < 256; i++)
			got += r->receive(r);
	}
	sender_await(s);
	for (uint32_t n; (n = r->receive(r)) > 0;)
		got += n;
	double rate = (double)got / (bench_now() - start) / 1e6;
	*lost += (double)(FULL_RATE - got);
	*unexplained += (double)(FULL_RATE - got) - (double)(kernel_drops(r) - before);
	return rate;
}

static struct paste_region *make_region(void)
{
	char path[64];
	struct media_options o = {.path = path, .size = 64 << 20};
	struct paste_error err = {{0}};
	struct paste_region *r = NULL;
	struct media *m;

	/* Without a name: it vanishes with the process. */
	snprintf(path, sizeof(path), "/dev/shm/paste-bench-%d", (int)getpid());
	if (media_create(&o, &m, &err) < 0 || region_format(m, "bench", o.size, 2048, 1, &err) < 0 ||
	    region_open(m, &r, &err) < 0)
		bench_die("region", -EINVAL, &err);
	region_settle(r);
	return r;
}

static void measure(const struct sending *s, struct paste_region *region, uint32_t bytes, bool generic)
{
	static void (*const opens[2])(struct receiver *, bool, struct paste_region *) = {open_bare,
											 open_port};
	double ns[2][ROUNDS], rate[2][ROUNDS], lost[2] = {0}, unexplained[2] = {0};
	static const char *const names[] = {"bare loop", "port"};
	char name[96];

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned which = 0; which < 2; which++) {
			struct receiver r;
			opens[which](&r, generic, region);
			ns[which][round] = drain(&r, s, bytes);
			rate[which][round] = full_rate(&r, s, bytes, &lost[which], &unexplained[which]);
			close_receiver(&r);
		}
	}
	for (unsigned which = 0; which < 2; which++) {
		snprintf(name, sizeof(name), "%u B, %s, %s", bytes, generic ? "generic" : "native",
			 names[which]);
		report_row(name);
		report_number("ns", bench_middle(ns[which], ROUNDS));
		report_number("Mpps", bench_middle(rate[which], ROUNDS));
		report_number("lost_%", lost[which] / ROUNDS / FULL_RATE * 100);
		report_number("unexplained", unexplained[which]);
	}
	snprintf(name, sizeof(name), "%u B, %s: port beyond the bare loop, ns a packet", bytes,
		 generic ? "generic" : "native");
	report_at_most(name, ns[1][ROUNDS / 2] - ns[0][ROUNDS / 2], 25);
	snprintf(name, sizeof(name), "%u B, %s: unexplained losses", bytes, generic ? "generic" : "native");
	report_at_most(name, unexplained[1], 0);
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	struct sending s;
	const char *why;

	report_begin("AF_XDP: receiving over veth, port layer beside a bare loop", json);
	if (!veth_namespaces(&veth, &why)) {
		report_note("not measured: %s", why);
		report_end();
		return 0;
	}
	veth_make(&veth, 1, 1500);
	sender_start(&s, &veth);
	struct paste_region *region = make_region();
	for (unsigned generic = 0; generic < 2; generic++) {
		measure(&s, region, 64, generic);
		measure(&s, region, 1514, generic);
	}
	sender_order(&s, 0, 0);
	waitpid(s.pid, NULL, 0);
	region_close(region);
	report_note("ns: CPU time of the receiving thread, draining bursts of %d; median of %d rounds", BURST,
		    ROUNDS);
	report_end();
	return 0;
}
