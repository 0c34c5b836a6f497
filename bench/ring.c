/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.c - what rings, headers and checksums cost a packet, with no device behind them.
 *
 *	ring [--json] [--turns N]
 *
 * A pipe of two ports over a region in /dev/shm: one side fills 32 slots and syncs, the other syncs, goes
 *over the 32 packets and gives them back, or keeps them. All of both sides is in the figure, but nothing
 *reads or writes the packets' bytes, except where UDP is parsed. Parsing and summing alone are of packets in
 *the first-level cache. Figures are the middle of many short turns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/checksum.h"
#include "net/udp.h"
#include "support.h"

#define BATCH 32u
#define SLOTS 256u
#define BATCHES 2000u /* a turn */
#define MOST_TURNS 99u

struct bench {
	struct paste_region *r;
	struct paste_port *port[2];
	struct udp *server;
	struct udp_datagram datagram[BATCH];
	uint32_t kept[BATCH];
	uint32_t frame; /* bytes */
	unsigned turns;
	volatile uint64_t seen; /* so that nothing is left out */
};

/* Seconds of this thread, so that others on the machine are seen as little as may be. */
static double thread_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int ret, const char *what)
{
	if (ret < 0)
		bench_die(what, ret, NULL);
}

static void send_batch(struct bench *b, uint32_t n)
{
	struct paste_ring *r = b->port[0]->transmit;

	for (uint32_t i = 0; i < n; i++) {
		struct paste_slot *slot = paste_ring_slot(r, r->head++);
		slot->offset = 64;
		slot->length = (uint16_t)b->frame;
		slot->flags = 0;
	}
	r->cur = r->head;
	must(paste_port_sync_transmit(b->port[0], 0), "transmit");
}

static void receive_batch(struct bench *b)
{
	struct paste_ring *r = b->port[1]->receive;
	uint64_t seen = 0;

	must(paste_port_sync_receive(b->port[1], 0), "receive");
	for (; r->head != r->tail; r->head++)
		seen += paste_ring_slot(r, r->head)->length;
	r->cur = r->head;
	b->seen += seen;
}

static void give_back(struct bench *b)
{
	send_batch(b, BATCH);
	receive_batch(b);
}

/* `every`: how many packets there are to one that is kept. */
static void keep(struct bench *b, uint32_t every, bool swap)
{
	struct paste_ring *r = b->port[1]->receive;
	uint32_t n = 0;

	send_batch(b, BATCH);
	must(paste_port_sync_receive(b->port[1], 0), "receive");
	for (uint32_t i = 0; r->head != r->tail; r->head++, i++) {
		struct paste_slot *slot = paste_ring_slot(r, r->head);
		uint32_t fresh;
		if (i % every)
			continue;
		if (swap) {
			must(paste_buffer_alloc(b->r, &fresh), "no buffer");
			b->kept[n++] = paste_port_swap(slot, fresh);
		} else {
			paste_buffer_get(b->r, b->kept[n++] = slot->buffer);
		}
	}
	r->cur = r->head;
	must(paste_port_sync_receive(b->port[1], 0), "receive"); /* notices which were kept */
	while (n > 0)
		paste_buffer_put(b->r, b->kept[--n]);
}

static void keep_swapped(struct bench *b)
{
	keep(b, 1, true);
}

static void keep_counted(struct bench *b)
{
	keep(b, 1, false);
}

static void keep_some(struct bench *b)
{
	keep(b, 8, false);
}

static void udp_only(struct bench *b)
{
	send_batch(b, BATCH);
	int n = udp_receive(b->server, b->datagram, BATCH);
	if (n != (int)BATCH)
		bench_die("datagrams are missing", -EIO, NULL);
	b->seen += b->datagram[0].length;
}

static void udp_answer(struct bench *b)
{
	struct paste_ring *r = b->port[0]->receive;

	udp_only(b);
	for (uint32_t i = 0; i < BATCH; i++)
		must(udp_send(b->server, &b->datagram[i].peer, "sequence", 8, NULL, 0), "send");
	must(udp_flush(b->server), "flush");
	must(paste_port_sync_receive(b->port[0], 0), "receive");
	r->head = r->cur = r->tail;
}

static double turn_ns(struct bench *b, void (*batch)(struct bench *), unsigned batches)
{
	double start = thread_now();

	for (unsigned i = 0; i < batches; i++)
		batch(b);
	return (thread_now() - start) * 1e9 / batches / BATCH;
}

/* --- packets */

static struct udp_peer peer(struct bench *b, bool six)
{
	struct udp_peer p = {.port = 8080, .local_port = 5000};

	memcpy(p.path.mac_source, b->port[0]->info.mac, 6);
	memcpy(p.path.mac_destination, b->port[1]->info.mac, 6);
	net_address_parse(six ? "fd00::2" : "10.0.0.2", &p.path.source);
	net_address_parse(six ? "fd00::1" : "10.0.0.1", &p.path.destination);
	return p;
}

/* A frame with `length` bytes of payload. Its length. */
static uint32_t build(struct bench *b, uint8_t *frame, bool six, uint32_t length)
{
	struct udp_peer p = peer(b, six);
	uint8_t payload[1500];

	memset(payload, 0xa5, length);
	struct packet_piece piece = {payload, length};
	uint32_t header = packet_build_udp(frame, &p.path, 5000, 8080, &piece, 1, false);
	memcpy(frame + header, payload, length);
	return header + length;
}

/* The same frame in every buffer of all rings: whichever is sent next is right. */
static void fill_rings(struct bench *b, bool six, uint32_t length)
{
	for (int side = 0; side < 2; side++) {
		for (int way = 0; way < 2; way++) {
			const struct paste_ring *r = way ? b->port[side]->transmit : b->port[side]->receive;
			for (uint32_t i = 0; i < r->size; i++)
				b->frame =
				    build(b, paste_buffer_data(b->r, r->slot[i].buffer) + 64, six, length);
		}
	}
}

static void open_pipe(struct bench *b)
{
	struct paste_error err = {{0}};
	int ret = paste_pipe_open(b->r, b->r, SLOTS, b->port, &err);

	if (ret < 0)
		bench_die("pipe", ret, &err);
	struct udp_options options = {.port = b->port[1], .udp_port = 8080};
	must(udp_open(&options, &b->server, NULL), "udp");
}

static void close_pipe(struct bench *b)
{
	udp_close(b->server);
	paste_port_close(b->port[0]);
	paste_port_close(b->port[1]);
}

struct ring_case {
	const char *name;
	void (*batch)(struct bench *);
	bool six;
	uint32_t length; /* of payload */
};

static const struct ring_case cases[] = {
    {"receive, give back", give_back, false, 18},
    {"receive, keep one in eight", keep_some, false, 18},
    {"receive, keep all by swapping", keep_swapped, false, 18},
    {"receive, keep all by a user count", keep_counted, false, 18},
    {"udp, 64 B frame", udp_only, false, 22},
    {"udp over ipv6, 84 B frame", udp_only, true, 22},
    {"udp, 1514 B frame", udp_only, false, 1472},
    {"udp, 64 B frame, answered by 8 bytes", udp_answer, false, 22},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* The cases take turns, so that a moment in which the machine is busy with others is not all that one of them
 * has. */
static void measure_rings(struct bench *b)
{
	static double ns[CASES][MOST_TURNS];

	for (unsigned turn = 0; turn < b->turns; turn++) {
		for (unsigned i = 0; i < CASES; i++) {
			open_pipe(b);
			fill_rings(b, cases[i].six, cases[i].length);
			turn_ns(b, cases[i].batch, BATCHES / 4);
			ns[i][turn] = turn_ns(b, cases[i].batch, BATCHES);
			close_pipe(b);
		}
	}
	for (unsigned i = 0; i < CASES; i++) {
		double middle = bench_middle(ns[i], b->turns);
		report_row(cases[i].name);
		report_number("ns a packet", middle);
		if (i == 0)
			report_at_most("receive and give back, batches of 32, ns a packet", middle, 15);
	}
}

/* --- without rings */

struct still {
	uint8_t frame[2048];
	uint32_t length;
};

static double parse_ns(struct bench *b, const struct still *s)
{
	struct packet_options o = {.mac = b->port[1]->info.mac};
	struct packet_piece piece = {s->frame, s->length};
	struct packet p;
	double start = thread_now();

	for (unsigned i = 0; i < BATCHES * 8; i++) {
		if (packet_parse(&piece, 1, &o, &p) || packet_udp(&piece, 1, &o, &p))
			bench_die("packet refused", -EBADMSG, NULL);
		b->seen += p.payload_length;
	}
	return (thread_now() - start) * 1e9 / (BATCHES * 8);
}

static double build_ns(struct bench *b, struct still *s)
{
	struct udp_peer p = peer(b, s->frame[12] == 0x86);
	uint32_t header = packet_header_bytes(&p.path) + 8;
	struct packet_piece payload = {s->frame + header, s->length - header};
	double start = thread_now();

	for (unsigned i = 0; i < BATCHES * 8; i++)
		b->seen += packet_build_udp(s->frame, &p.path, 5000, 8080, &payload, 1, false);
	return (thread_now() - start) * 1e9 / (BATCHES * 8);
}

static double sum_ns(struct bench *b, const struct still *s)
{
	double start = thread_now();

	for (unsigned i = 0; i < BATCHES * 8; i++)
		b->seen += checksum_fold(checksum_add(i, s->frame + 34, s->length - 34));
	return (thread_now() - start) * 1e9 / (BATCHES * 8);
}

static void measure_still(struct bench *b, const char *name, bool six, uint32_t length)
{
	double parse[MOST_TURNS], make[MOST_TURNS], sum[MOST_TURNS];
	struct still s;

	open_pipe(b);
	s.length = build(b, s.frame, six, length);
	for (unsigned i = 0; i < b->turns; i++) {
		parse[i] = parse_ns(b, &s);
		make[i] = build_ns(b, &s);
		sum[i] = sum_ns(b, &s);
	}
	report_row(name);
	report_number("parse ns", bench_middle(parse, b->turns));
	report_number("build ns", bench_middle(make, b->turns));
	report_number("sum ns", bench_middle(sum, b->turns));
	close_pipe(b);
}

int main(int argc, char **argv)
{
	struct bench b = {.turns = 31};
	bool json = false;
	char path[4096];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--turns") == 0 && atoi(argv[i + 1]) > 0 &&
			   atoi(argv[i + 1]) <= (int)MOST_TURNS) {
			b.turns = (unsigned)atoi(argv[++i]);
		} else {
			fprintf(stderr, "usage: ring [--json] [--turns N]\n");
			return 2;
		}
	}
	report_begin("Rings over a pipe, and UDP, with no device behind them", json);
	bench_region_create("/dev/shm", 64ull << 20, path);
	struct paste_store *s = bench_open(path);
	b.r = paste_store_region(s);
	measure_rings(&b);
	measure_still(&b, "64 B frame", false, 22);
	measure_still(&b, "ipv6, 84 B frame", true, 22);
	measure_still(&b, "1514 B frame", false, 1472);
	report_note("Both sides of the pipe are in the figures. Keeping includes taking a fresh buffer and "
		    "putting the "
		    "kept one in the end.");
	report_note("Thread time does not show a busy neighbour on the same core, who may double all of "
		    "this: the sum "
		    "of 30 bytes (64 B frame) takes 5 ns without one.");
	report_end();
	int ret = paste_store_close(s);
	if (ret < 0)
		bench_die("close", ret, NULL);
	bench_region_remove(path);
	return 0;
}
