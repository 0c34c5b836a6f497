/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_input.c - what a received TCP segment costs: 64 bytes in order on a random one of N established connections.
 *
 *	tcp_input [--json] [--turns N]
 *
 * One stack over a pipe, whose other end is this program: it makes the segments beforehand and throws the answers
 * away. Measured are the stack's turns alone: parsing, checksums both ways, looking the connection up, a DATA event
 * for each segment, the application that drops its slice, and an acknowledgment. A turn has 256 segments; as in any
 * turn, several segments of one connection get one acknowledgment, so with one connection there are few; "acks" says
 * how many there are a segment. 256 connections with a segment each in every turn do the same work as 50,000, and
 * stay in the cache: what is above that is the price of many connections alone. Time of the thread, the middle of many blocks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/tcp_segment.h"
#include "net/tcp_stack.h"
#include "support.h"

#define SLOTS 512u
#define PAYLOAD 64u
#define MOST_TURNS 99u
#define SERVER_PORT 8080

struct peer {
	struct packet_path path;
	uint16_t port;
	uint32_t seq, ack, ts;
};

struct bench {
	struct paste_region *r;
	struct paste_port *port[2]; /* ours, the stack's */
	struct paste_stack *stack;
	struct peer *peer;
	uint32_t peers;
	uint64_t now, random;
	uint32_t acks;
	struct paste_event events[SLOTS];
};

static uint64_t fake_clock(void *arg)
{
	return ((struct bench *)arg)->now;
}

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

/* --- the other end */

static void put_segment(struct bench *b, struct peer *p, uint8_t flags, uint32_t length)
{
	static const uint8_t bytes[PAYLOAD] = "sixty-four bytes";
	struct paste_ring *ring = b->port[0]->transmit;
	struct paste_slot *slot = paste_ring_slot(ring, ring->head++);
	uint8_t *frame = paste_buffer_data(b->r, slot->buffer) + 64;
	struct tcp_segment s = {.seq = p->seq,
				.ack = p->ack,
				.length = length,
				.source_port = p->port,
				.destination_port = SERVER_PORT,
				.window = 65000,
				.flags = flags,
				.scale = flags & TCP_SYN ? 7 : TCP_SCALE_NONE,
				.mss = flags & TCP_SYN ? 1460 : 0,
				.sack_permitted = flags & TCP_SYN,
				.timestamps = true,
				.ts_value = (uint32_t)(b->now / 1000)};
	struct packet_piece piece = {bytes, length};

	s.ts_echo = p->ts;
	uint32_t header = tcp_segment_build(frame, &p->path, &s, &piece, 1, false);
	memcpy(frame + header, bytes, length);
	slot->offset = 64;
	slot->length = (uint16_t)(header + length);
	slot->flags = 0;
	ring->cur = ring->head;
	p->seq += tcp_segment_span(&s);
}

/* Answers come back: the number of them; the last one that is a SYN is looked at for `p`. */
static uint32_t take_answers(struct bench *b, struct peer *p)
{
	struct paste_ring *ring = b->port[0]->receive;
	uint32_t n = 0;

	must(paste_port_sync_receive(b->port[0], 0), "receive");
	for (; ring->head != ring->tail; ring->head++, n++) {
		const struct paste_slot *slot = paste_ring_slot(ring, ring->head);
		struct packet_piece piece = {paste_buffer_data(b->r, slot->buffer) + slot->offset, slot->length};
		struct packet_options o = {.vlan = 0};
		struct packet packet;
		struct tcp_segment s;
		if (!p)
			continue;
		if (packet_parse(&piece, 1, &o, &packet) || tcp_segment_parse(&piece, 1, false, &packet, &s))
			bench_die("an answer is no segment", -EBADMSG, NULL);
		p->ack = s.seq + tcp_segment_span(&s);
		p->ts = s.ts_value;
	}
	ring->cur = ring->head;
	return n;
}

static void turn(struct bench *b)
{
	int n = tcp_turn(b->stack, b->now, b->events, SLOTS);

	must(n, "turn");
	for (int i = 0; i < n; i++) {
		if (b->events[i].type == PASTE_EVENT_DATA)
			paste_ref_put(b->r, b->events[i].slice);
	}
}

static void open_peer(struct bench *b, uint32_t i)
{
	struct peer *p = &b->peer[i];
	uint8_t address[4] = {10, 1, (uint8_t)(i >> 8), (uint8_t)i};

	memcpy(p->path.mac_source, b->port[0]->info.mac, 6);
	memcpy(p->path.mac_destination, b->port[1]->info.mac, 6);
	p->path.source = net_address4(address);
	net_address_parse("10.0.0.2", &p->path.destination);
	p->port = (uint16_t)(20000 + i % 1000);
	p->seq = i * 977;
	put_segment(b, p, TCP_SYN, 0);
	must(paste_port_sync_transmit(b->port[0], 0), "transmit");
	turn(b);
	turn(b);
	if (take_answers(b, p) != 1)
		bench_die("no SYN was answered", -EPROTO, NULL);
	put_segment(b, p, TCP_ACK, 0);
	must(paste_port_sync_transmit(b->port[0], 0), "transmit");
	turn(b);
}

/* --- measuring */

static void begin(struct bench *b, uint32_t peers)
{
	struct paste_error err = {{0}};
	struct paste_tcp_options o = {.limits.connections = peers, .delayed_ack_us = 1, .any_mac = true, .seed = 1};

	int ret = paste_pipe_open(b->r, b->r, SLOTS, b->port, &err);
	if (ret < 0)
		bench_die("pipe", ret, &err);
	o.port = b->port[1];
	o.clock = fake_clock;
	o.arg = b;
	b->now = 1000000;
	ret = paste_tcp_open(b->r, &o, &b->stack, &err);
	if (ret < 0 || (ret = paste_stack_listen(b->stack, "10.0.0.2:8080", NULL, 0, &err)) < 0)
		bench_die("stack", ret, &err);
	b->peers = peers;
	b->peer = calloc(peers, sizeof(*b->peer));
	if (!b->peer)
		bench_die("memory", -ENOMEM, NULL);
	for (uint32_t i = 0; i < peers; i++)
		open_peer(b, i);
}

static void end(struct bench *b)
{
	paste_stack_close(b->stack);
	paste_port_close(b->port[0]);
	paste_port_close(b->port[1]);
	free(b->peer);
}

/* ns a segment over a block of turns with `batch` segments each. */
static double block(struct bench *b, uint32_t batch, uint32_t turns)
{
	double spent = 0;
	bool each = b->peers == batch; /* has its turn */

	for (uint32_t i = 0; i < turns; i++) {
		for (uint32_t k = 0; k < batch; k++)
			{
			uint32_t at = each ? k : (uint32_t)(bench_random(&b->random) % b->peers);
			put_segment(b, &b->peer[at], TCP_ACK | TCP_PSH, PAYLOAD);
		}
		must(paste_port_sync_transmit(b->port[0], 0), "transmit");
		b->now += 100;
		double start = thread_now();
		turn(b); /* and the acknowledgments of the turn before */
		spent += thread_now() - start;
		b->acks += take_answers(b, NULL);
	}
	return spent * 1e9 / turns / batch;
}

/* What reading the clock costs, to be taken off. */
static double clock_ns(void)
{
	double start = thread_now();

	for (int i = 0; i < 999; i++)
		thread_now();
	return (thread_now() - start) * 1e6;
}

static double measure(struct bench *b, const char *name, uint32_t peers, uint32_t batch, unsigned turns)
{
	double ns[MOST_TURNS];
	uint32_t blocks = 100;

	begin(b, peers);
	/* Every connection past its first acknowledgments, every line of it written. */
	block(b, 256, 400);
	b->acks = 0;
	for (unsigned i = 0; i < turns; i++)
		ns[i] = block(b, batch, blocks) - clock_ns() / batch;
	report_row(name);
	double middle = bench_middle(ns, turns);
	report_number("ns a segment", middle);
	report_number("acks", (double)b->acks / turns / blocks / batch);
	end(b);
	return middle;
}

int main(int argc, char **argv)
{
	static struct bench b = {.random = 88172645463325252ull};
	unsigned turns = 21;
	bool json = false;
	char path[4096];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--turns") == 0 && atoi(argv[i + 1]) > 0 &&
			   atoi(argv[i + 1]) <= (int)MOST_TURNS) {
			turns = (unsigned)atoi(argv[++i]);
		} else {
			fprintf(stderr, "usage: tcp_input [--json] [--turns N]\n");
			return 2;
		}
	}
	bench_region_create("/dev/shm", 64 << 20, path);
	struct paste_store *store = bench_open(path);
	b.r = paste_store_region(store);
	report_begin("TCP: segments of 64 bytes received", json);
	double one = measure(&b, "1 connection", 1, 256, turns);
	double each = measure(&b, "256 connections in turn", 256, 256, turns);
	measure(&b, "1,000 connections", 1000, 256, turns);
	double many = measure(&b, "50,000 connections", 50000, 256, turns);
	report_at_most("ns a segment, 1 connection", one, 150);
	report_at_most("50,000 connections / 1 connection", many / one, 2);
	report_at_most("50,000 connections / 256 in turn, as many acks", many / each, 2);
	report_end();
	paste_store_close(store);
	bench_region_remove(path);
	return 0;
}
