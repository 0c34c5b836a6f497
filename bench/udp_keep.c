/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs to receive datagrams over AF_XDP and keep each durably in a stream (shm), beside a bare
 * AF_XDP receive loop with the same options, and the same loop with what any log has to do: CRC of the bytes,
 * a record, both written back, one fence a batch. CPU time of the receiving thread a packet, draining bursts
 * that a sender at the other end of a veth pair has put there before.
 *
 *	udp_keep [--json] [--rounds N] [--bytes N]	frames of so many bytes alone
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/crc.h"
#include "media/flush.h"
#include "net/udp_datagrams.h"
#include "paste/port.h"
#include "port/steer.h"
#include "port/xdp.h"
#include "serve/udp_service.h"
#include "support.h"
#include "xdp_sender.h"

#define SLOTS 2048
#define BATCH 64
#define BURST 1024
#define BURSTS 12 /* of each round */
#define ROUNDS 5 /* at most, and unless told otherwise */
#define FULL_RATE 100000
#define LOG_BYTES (8u << 20)
#define RECORD 96 /* bytes beside a value, about what ours has */
#define HEADERS 42

static struct veth veth;
static unsigned rounds = ROUNDS;
static const struct paste_xdp_rule rule = {
    .address = {[10] = 0xff, 0xff, 10, 1, 1, 1}, .port = SENDER_PORT, .protocol = IPPROTO_UDP};

static double thread_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct receiver {
	uint32_t (*receive)(struct receiver *r);
	/* bare */
	struct steer *steer;
	struct xdp_socket socket;
	uint8_t *memory, *log;
	uint32_t log_at;
	struct flush flush;
	bool floor;
	uint64_t seen;
	/* ours */
	char path[4096];
	struct paste_store *store;
	struct paste_port *port;
	struct paste_datagrams *datagrams;
	struct rounds rounds;
};

/* --- bare, and with the floor */

static void write_back(const struct receiver *r, const uint8_t *p, uint32_t n)
{
	r->flush.lines((const uint8_t *)((uintptr_t)p & ~(uintptr_t)(FLUSH_LINE - 1)), p + n);
}

/* Small ones into the record, large ones where they are; a header with references and checksums. */
static void keep_by_hand(struct receiver *r, const uint8_t *payload, uint32_t n)
{
	uint32_t crc = paste_crc(0, payload, n), body = n <= 256 ? n : 0;
	uint8_t *record = r->log + r->log_at;

	memset(record, 0x11, RECORD);
	memcpy(record + 8, &crc, sizeof(crc));
	if (body)
		memcpy(record + RECORD, payload, body);
	else
		write_back(r, payload, n);
	crc = paste_crc(0, record, RECORD);
	memcpy(record, &crc, sizeof(crc));
	uint32_t bytes = (RECORD + body + 7) & ~7u;
	write_back(r, record, bytes);
	r->log_at = (r->log_at + bytes) % (LOG_BYTES - 4096);
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
		const uint8_t *packet = r->memory + d->addr;
		uint64_t a;
		memcpy(&a, packet + 34, 8);
		r->seen ^= a;
		if (r->floor)
			keep_by_hand(r, packet + HEADERS, d->len - HEADERS);
		fill->address[fill->mine++ & fill->mask] = d->addr & ~2047ull;
	}
	if (r->floor)
		r->flush.fence();
	xdp_ring_consumed(in);
	xdp_ring_produced(fill);
	return n;
}

static void open_bare(struct receiver *r, bool floor)
{
	struct steer_options o = {.ifname = VETH_HERE,
				  .ifindex = (int)if_nametoindex(VETH_HERE),
				  .queues = 1,
				  .fragments = true,
				  .native = true};
	struct paste_error err = {{0}};

	*r = (struct receiver){.receive = receive_bare, .floor = floor};
	if (flush_choose(flush_cpu_detect(), false, &r->flush) < 0)
		bench_die("no instruction writes lines back here", -ENOTSUP, NULL);
	r->memory =
	    mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	r->log =
	    mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct xdp_memory_area area = {
	    .start = r->memory, .bytes = 64 << 20, .chunk = 2048, .headroom = XDP_HEADROOM};
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

/* --- ours */

static uint32_t receive_kept(struct receiver *r)
{
	static struct paste_datagram batch[BATCH];
	int n = paste_datagrams_receive(r->datagrams, batch, BATCH);
	struct paste_result result;

	if (n < 0)
		bench_die("receive", n, NULL);
	for (int i = 0; i < n; i++) {
		int ret = paste_store_append(r->store, "udp", 3, batch[i].slice, batch[i].n, &result);
		if (ret < 0)
			bench_die("append", ret, NULL);
		rounds_saw(&r->rounds, result.round);
	}
	rounds_step(&r->rounds);
	return (uint32_t)n;
}

/* Checked and given back: what of keeping is not the store's. */
static uint32_t receive_dropped(struct receiver *r)
{
	static struct paste_datagram batch[BATCH];
	int n = paste_datagrams_receive(r->datagrams, batch, BATCH);

	if (n < 0)
		bench_die("receive", n, NULL);
	return (uint32_t)n;
}

static void open_ours(struct receiver *r, bool kept)
{
	struct paste_xdp_options o = {
	    .ifname = VETH_HERE, .mode = PASTE_XDP_COPY, .slots = SLOTS, .rules = &rule, .rules_n = 1};
	struct paste_error err = {{0}};

	*r = (struct receiver){.receive = kept ? receive_kept : receive_dropped};
	bench_region_create("/dev/shm", kept ? 512u << 20 : 64u << 20, r->path);
	r->store = bench_open(r->path);
	int ret = paste_xdp_open(paste_store_region(r->store), &o, &r->port, &err);
	struct udp_options udp = {.port = r->port, .udp_port = SENDER_PORT, .bare_sums = true};
	if (ret == 0)
		ret = udp_datagrams_open(&udp, &r->datagrams, &err);
	if (ret == 0)
		ret = rounds_init(&r->rounds, r->store, &err);
	if (ret < 0)
		bench_die("port", ret, &err);
}

static void close_receiver(struct receiver *r)
{
	if (r->port) {
		paste_datagrams_close(r->datagrams);
		paste_port_close(r->port);
		paste_store_close(r->store);
		bench_region_remove(r->path);
		return;
	}
	xdp_socket_close(&r->socket);
	steer_close(r->steer);
	munmap(r->memory, 64 << 20);
	munmap(r->log, LOG_BYTES);
}

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

static double drain(struct receiver *r, const struct sending *s, uint32_t bytes, unsigned bursts)
{
	double spent = 0;

	for (unsigned b = 0; b < bursts; b++) {
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
	return spent / (bursts * BURST) * 1e9;
}

static void full_rate(struct receiver *r, const struct sending *s, uint32_t bytes, double *rate, double *lost,
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
	*rate = (double)got / (bench_now() - start) / 1e6;
	*lost += (double)(FULL_RATE - got);
	*unexplained += (double)(FULL_RATE - got) - (double)(kernel_drops(r) - before);
}

enum { BARE, FLOOR, DROPPED, KEPT, WAYS };

static void measure(const struct sending *s, uint32_t bytes)
{
	static const char *const names[] = {"bare loop", "bare loop, CRC, record, flush",
					    "received, checked and dropped", "received and kept in a stream"};
	double ns[WAYS][ROUNDS], rate[WAYS][ROUNDS], lost[WAYS] = {0}, unexplained[WAYS] = {0};
	char name[96];

	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct receiver r;
			if (way == KEPT || way == DROPPED)
				open_ours(&r, way == KEPT);
			else
				open_bare(&r, way == FLOOR);
			drain(&r, s, bytes, 2); /* pages, caches, the log's first segment */
			ns[way][round] = drain(&r, s, bytes, BURSTS);
			full_rate(&r, s, bytes, &rate[way][round], &lost[way], &unexplained[way]);
			close_receiver(&r);
		}
	}
	double middle[WAYS];
	for (unsigned way = 0; way < WAYS; way++) {
		snprintf(name, sizeof(name), "%u B, %s", bytes, names[way]);
		report_row(name);
		middle[way] = bench_middle(ns[way], rounds);
		report_number("ns", middle[way]);
		report_number("Mpps", bench_middle(rate[way], rounds));
		report_number("lost_%", lost[way] / rounds / FULL_RATE * 100);
		report_number("unexplained", unexplained[way]);
	}
	double floor = middle[FLOOR] - middle[BARE];
	snprintf(name, sizeof(name), "%u B: kept, beyond the bare loop / CRC, record and flush", bytes);
	report_at_most(name, (middle[KEPT] - middle[BARE]) / floor, 1.3);
	snprintf(name, sizeof(name), "%u B: unexplained losses", bytes);
	report_at_most(name, unexplained[KEPT], 0);
}

int main(int argc, char **argv)
{
	bool json = false;
	uint32_t bytes = 0;
	struct sending s;
	const char *why;

	for (int i = 1; i < argc; i++) {
		unsigned long n = i + 1 < argc ? strtoul(argv[i + 1], NULL, 10) : 0;
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (strcmp(argv[i], "--rounds") == 0 && n >= 1 && n <= ROUNDS)
			rounds = (unsigned)n, i++;
		else if (strcmp(argv[i], "--bytes") == 0 && n >= 64 && n <= 1514)
			bytes = (uint32_t)n, i++;
		else
			return 2;
	}
	report_begin(
	    "AF_XDP over veth: datagrams received and kept durably (shm), beside a bare loop and the floor",
	    json);
	if (!veth_namespaces(&veth, &why)) {
		report_note("not measured: %s", why);
		report_end();
		return 0;
	}
	veth_make(&veth, 1, 1500);
	sender_start(&s, &veth);
	if (bytes)
		measure(&s, bytes);
	else {
		measure(&s, 64);
		measure(&s, 1514);
	}
	sender_order(&s, 0, 0);
	waitpid(s.pid, NULL, 0);
	report_note("ns: CPU time of the receiving thread a packet, draining bursts of %d in batches of %d; "
		    "median of %d rounds",
		    BURST, BATCH, rounds);
	report_end();
	return 0;
}
