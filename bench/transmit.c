/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transmit.c - both ways to send headers and a payload that lies elsewhere: copied together into one frame,
 *and as fragments (headers in an own buffer, the payload by reference).
 *
 *	transmit [--json]
 *
 * Over a pipe, and over a veth pair in both of its modes. Measured is the time of the thread from filling the
 *slots to having them back, bursts of 32 packets, both ways in turns, the middle of many rounds: over a veth
 *the receiving kernel's work is in it, the same for both. The way that a port's info.gather_bytes chooses
 *must be the faster one. No device here takes fragments without the kernel's copy: for zero-copy mode nothing
 *is measured.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../tests/port/veth.h"
#include "paste/port.h"
#include "support.h"

#define HEADERS 66u /* Ethernet, IPv4, TCP with timestamps */
#define BURST 32u
#define BURSTS 300u
#define ROUNDS 15u
#define SLOTS 512u
#define PAYLOADS 1024u /* buffers that payloads lie in: more than a cache has */

static const uint32_t sizes[] = {64, 256, 512, 1024, 1448};

enum way { GATHERED, FRAGMENTS, WAYS };

struct bench {
	struct paste_region *r;
	uint32_t payload[PAYLOADS], next;
};

static double thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Not for us: the other end drops it where it reads the type (IEEE 802, local experimental). */
static void put_headers(uint8_t *at, const struct paste_port *port)
{
	memset(at, 0, HEADERS);
	memcpy(at, VETH_THERE_MAC, 6);
	memcpy(at + 6, port->info.mac, 6);
	at[12] = 0x88;
	at[13] = 0xb5;
}

static void put_packet(struct bench *b, struct paste_port *port, enum way way, uint32_t bytes)
{
	struct paste_ring *ring = &port->transmit[0];
	struct paste_slot *slot = paste_ring_slot(ring, ring->head++);
	uint32_t payload = b->payload[b->next++ % PAYLOADS];
	uint8_t *frame = paste_buffer_data(b->r, slot->buffer) + 64;

	put_headers(frame, port);
	slot->offset = 64;
	slot->length = HEADERS;
	if (way == GATHERED) {
		memcpy(frame + HEADERS, paste_buffer_data(b->r, payload) + 384, bytes);
		slot->length = (uint16_t)(HEADERS + bytes);
		slot->flags = 0;
		return;
	}
	slot->flags = PASTE_SLOT_MORE;
	slot = paste_ring_slot(ring, ring->head++);
	slot->buffer = payload;
	slot->offset = 384;
	slot->length = (uint16_t)bytes;
	slot->flags = PASTE_SLOT_REFERENCE;
}

/* What came over a pipe goes back at once. */
static void take_all(struct paste_port *to)
{
	if (!to)
		return;
	int rc = paste_port_sync_receive(to, 0);
	if (rc < 0)
		bench_die("receive", rc, NULL);
	to->receive[0].head = to->receive[0].cur = to->receive[0].tail;
}

static double round_ns(struct bench *b, struct paste_port *port, struct paste_port *to, enum way way,
		       uint32_t bytes)
{
	double spent = 0;

	for (uint32_t i = 0; i < BURSTS; i++) {
		double start = thread_ns();
		for (uint32_t k = 0; k < BURST; k++)
			put_packet(b, port, way, bytes);
		int rc = paste_port_sync_transmit(port, 0);
		while (rc >= 0 && paste_ring_available(&port->transmit[0]) < SLOTS)
			rc = paste_port_sync_transmit(port, 0);
		if (rc < 0)
			bench_die("transmit", rc, NULL);
		take_all(to);
		spent += thread_ns() - start;
	}
	return spent / BURSTS / BURST;
}

/* --- ports */

struct link {
	struct paste_port *port, *to; /* to: NULL, the other end is a kernel */
};

static struct link open_pipe(struct bench *b, enum way way)
{
	struct paste_error err = {{0}};
	struct paste_port *end[2];
	int rc = paste_pipe_open(b->r, b->r, SLOTS, end, &err);

	if (rc < 0)
		bench_die("pipe", rc, &err);
	return (struct link){end[0], end[1]};
}

static struct link open_veth(struct bench *b, enum way way, enum paste_xdp_mode mode)
{
	struct paste_error err = {{0}};
	struct paste_xdp_options o = {
	    .ifname = VETH_HERE, .mode = mode, .slots = SLOTS, .no_gather = way == FRAGMENTS};
	struct link l = {NULL, NULL};
	int rc = paste_xdp_open(b->r, &o, &l.port, &err);

	if (rc < 0)
		bench_die("AF_XDP", rc, &err);
	return l;
}

static struct link open_copy(struct bench *b, enum way way)
{
	return open_veth(b, way, PASTE_XDP_COPY);
}

static struct link open_generic(struct bench *b, enum way way)
{
	return open_veth(b, way, PASTE_XDP_GENERIC);
}

static void close_link(struct link l)
{
	paste_port_close(l.port);
	if (l.to)
		paste_port_close(l.to);
}

/* --- measuring */

#define SIZES (sizeof(sizes) / sizeof(*sizes))

static void tell(const char *name, double ns[WAYS][SIZES][ROUNDS], uint32_t gather_bytes)
{
	char text[96];

	for (uint32_t s = 0; s < SIZES; s++) {
		double gathered = bench_middle(ns[GATHERED][s], ROUNDS);
		double fragments = bench_middle(ns[FRAGMENTS][s], ROUNDS);
		bool gathers = sizes[s] <= gather_bytes;
		snprintf(text, sizeof(text), "%s, %u B", name, sizes[s]);
		report_row(text);
		report_number("gathered ns", gathered);
		report_number("fragments ns", fragments);
		report_number("gathers", gathers);
		snprintf(text, sizeof(text), "%s, %u B: the way used / the other", name, sizes[s]);
		report_at_most(text, gathers ? gathered / fragments : fragments / gathered, 1.1);
	}
}

static void measure(struct bench *b, const char *name, struct link (*open)(struct bench *b, enum way way))
{
	static double ns[WAYS][SIZES][ROUNDS];
	uint32_t gather_bytes = 0;

	for (uint32_t i = 0; i < 2 * ROUNDS; i++) {
		enum way way = (i + i / 2) % 2 ? FRAGMENTS : GATHERED;
		struct link l = open(b, way); /* an interface has one port at a time */
		if (l.port->info.fragments < 2)
			bench_die("the port has no fragments", -EOPNOTSUPP, NULL);
		if (way == GATHERED)
			gather_bytes = l.port->info.gather_bytes;
		for (uint32_t s = 0; s < SIZES; s++)
			ns[way][s][i / 2] = round_ns(b, l.port, l.to, way, sizes[s]);
		close_link(l);
	}
	tell(name, ns, gather_bytes);
}

int main(int argc, char **argv)
{
	struct bench b = {NULL};
	struct veth veth;
	char path[4096];
	const char *why;

	report_begin("Sending a payload by reference: copied behind its headers, and as fragments",
		     argc > 1 && strcmp(argv[1], "--json") == 0);
	bool root = veth_namespaces(&veth, &why);
	bench_region_create("/dev/shm", 64 << 20, path);
	struct paste_store *store = bench_open(path);
	b.r = paste_store_region(store);
	for (uint32_t i = 0; i < PAYLOADS; i++) {
		if (paste_buffer_alloc(b.r, &b.payload[i]) < 0)
			bench_die("buffers", -ENOMEM, NULL);
		memset(paste_buffer_data(b.r, b.payload[i]), (int)i, paste_buffer_size(b.r));
	}
	measure(&b, "pipe", open_pipe);
	if (root) {
		veth_make(&veth, 1, 1500);
		measure(&b, "veth, copy", open_copy);
		measure(&b, "veth, generic", open_generic);
	} else {
		report_note("veth not measured: %s", why);
	}
	report_end();
	for (uint32_t i = 0; i < PAYLOADS; i++)
		paste_buffer_put(b.r, b.payload[i]);
	paste_store_close(store);
	bench_region_remove(path);
	return 0;
}
