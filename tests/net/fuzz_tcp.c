/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_tcp.c - a listening stack under libFuzzer: the input is a list of segments and calls, each taken with
 * the connection's sequence numbers, so that most of them are near what is acceptable.
 *
 * After each step: sequence numbers are in order, the advertised window has not shrunk, nothing beyond it was
 * taken, and what is held is within bounds. At the end every buffer is home.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fake_region.h"
#include "net/tcp_conn.h"
#include "net/tcp_stack.h"

#define EVENTS 16
#define PORT 8080

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct paste_region *region;
	struct paste_port *port[2];
	struct paste_stack *stack;
	struct paste_conn *conn;
	uint32_t theirs, edge; /* the peer's first sequence number; the edge as it was last */
	uint64_t now;
	bool edge_known;
};

static void check(bool good)
{
	if (!good)
		abort();
}

static uint64_t clock_of(void *arg)
{
	return ((struct fuzz *)arg)->now;
}

static struct tcp_conn *any(struct fuzz *f)
{
	uint32_t cursor = 0;

	return (struct tcp_conn *)paste_stack_next(f->stack, &cursor);
}

static void invariants(struct fuzz *f)
{
	const struct tcp *t = (const struct tcp *)f->stack;
	const struct tcp_conn *c = any(f);

	check(t->half_open_n <= t->options.half_open && t->time_wait_n <= t->options.time_wait);
	check(t->full_n <= t->options.limits.connections);
	if (!c) {
		f->edge_known = false;
		return;
	}
	check(seq_upto(c->una, c->nxt) && seq_upto(c->next, c->edge) && seq_upto(c->acked, c->next));
	check(c->edge - c->next <= t->window_max + 65536);
	if (f->edge_known)
		check(seq_upto(f->edge, c->edge));
	f->edge = c->edge;
	f->edge_known = c->state >= TCP_ESTABLISHED;
	check(c->hold.early_buffers <= t->buffers_max);
	check(c->state == TCP_TIME_WAIT || seq_upto(c->una, tcp_conn_end(c) + c->shut));
	check(!c->loss.board || c->loss.board->bytes <= c->nxt - c->una);
}

static void turn(struct fuzz *f)
{
	struct paste_event e[EVENTS];
	int n = tcp_turn(f->stack, f->now, e, EVENTS);

	check(n >= 0);
	for (int i = 0; i < n; i++) {
		if (e[i].type == PASTE_EVENT_ACCEPT) {
			if (f->conn)
				paste_conn_abort(e[i].conn);
			else
				f->conn = e[i].conn;
		} else if (e[i].type == PASTE_EVENT_DATA) {
			paste_ref_put(f->region, e[i].slice);
		} else if (e[i].type == PASTE_EVENT_ERROR) {
			if (e[i].conn == f->conn)
				f->conn = NULL;
			paste_conn_close(e[i].conn);
		}
	}
	struct paste_ring *r = f->port[0]->receive;
	check(paste_port_sync_receive(f->port[0], 0) >= 0);
	r->head = r->cur = r->tail;
	invariants(f);
}

static void segment(struct fuzz *f, const uint8_t *d)
{
	static const uint8_t bytes[256];
	struct packet_path path = {.tags = 0};
	const struct tcp_conn *c = any(f);
	struct tcp_segment s = {.source_port = (uint16_t)(1000 + (d[7] & 1)),
				.destination_port = PORT,
				.flags = d[1] & 63,
				.window = (uint16_t)(d[2] << (d[2] & 7)),
				.length = d[3],
				.scale = TCP_SCALE_NONE};
	int8_t seq = (int8_t)d[4], ack = (int8_t)d[5];

	s.seq = (c ? c->next : f->theirs) + (uint32_t)(d[7] & 2 ? seq * 300 : seq);
	s.ack = (c ? c->nxt : 0) + (uint32_t)(d[7] & 4 ? ack * 1000000 : ack);
	if (d[6] & 1)
		s.sack_permitted = true;
	if (d[6] & 2) {
		s.timestamps = true;
		s.ts_value = (c ? c->ts_recent : 5) + (uint32_t)(int8_t)d[6] / 16;
		s.ts_echo = d[2];
	}
	if (d[6] & 4)
		s.mss = (uint16_t)(d[3] * 8);
	if (d[6] & 8)
		s.scale = d[3] & 15;
	if ((d[6] & 16) && !(d[6] & 13)) {
		s.sacks = 1 + (d[7] >> 3) % 3;
		for (uint32_t i = 0; i < s.sacks; i++)
			s.sack[i] = (struct tcp_range){(c ? c->una : 0) + d[3] * (i + 1),
						       (c ? c->una : 0) + d[4] * (i + 2)};
	}
	memcpy(path.mac_source, f->port[0]->info.mac, 6);
	memcpy(path.mac_destination, f->port[1]->info.mac, 6);
	path.source = net_address4((const uint8_t[]){10, 0, 0, 1});
	path.destination = net_address4((const uint8_t[]){10, 0, 0, 2});
	struct paste_ring *r = f->port[0]->transmit;
	struct paste_slot *slot = paste_ring_slot(r, r->head++);
	uint8_t *frame = paste_buffer_data(f->region, slot->buffer) + 64;
	struct packet_piece piece = {bytes, s.length};
	uint32_t header = tcp_segment_build(frame, &path, &s, &piece, 1, false);
	memset(frame + header, d[3], s.length);
	slot->offset = 64;
	slot->length = (uint16_t)(header + s.length);
	slot->flags = 0;
	r->cur = r->head;
	check(paste_port_sync_transmit(f->port[0], 0) >= 0);
}

static void call(struct fuzz *f, const uint8_t *d)
{
	uint8_t bytes[256];
	struct paste_send s = {.inline_bytes = bytes, .inline_length = 1u + d[3]};

	if (!f->conn)
		return;
	memset(bytes, d[3], sizeof(bytes));
	switch (d[1] % 8) {
	case 0:
	case 1:
	case 2:
		paste_conn_send(f->conn, &s, 1);
		break;
	case 3:
		paste_conn_pause(f->conn);
		break;
	case 4:
		paste_conn_resume(f->conn);
		break;
	case 5:
		paste_conn_shut(f->conn);
		break;
	case 6:
		paste_conn_close(f->conn);
		f->conn = NULL;
		break;
	case 7:
		paste_conn_abort(f->conn);
		f->conn = NULL;
		break;
	}
}

/* Region and pipe are opened once: making and clearing them costs more than a short input. What an input
 * leaves in the rings goes, and every other buffer must be home. */
static void clean(struct fuzz *f, uint32_t out)
{
	for (int i = 0; i < 2; i++) {
		check(paste_port_sync_transmit(f->port[i], 0) >= 0);
		for (;;) {
			struct paste_ring *r = f->port[i]->receive;
			check(paste_port_sync_receive(f->port[i], 0) >= 0);
			if (r->head == r->tail)
				break;
			r->head = r->cur = r->tail;
		}
	}
	for (int i = 0; i < 2; i++) /* references that the other end has seen by now */
		check(paste_port_sync_transmit(f->port[i], 0) >= 0);
	check(fake_region_out(f->region) == out);
}

static struct fuzz begin(void)
{
	static struct paste_region *region;
	static struct paste_port *port[2];

	if (!region) {
		region = fake_region_new(256, 2048);
		check(paste_pipe_open(region, region, 32, port, NULL) == 0);
	}
	return (struct fuzz){.region = region, .port = {port[0], port[1]}, .theirs = 1000, .now = 1000000};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = begin();
	uint32_t out = fake_region_out(f.region);
	struct paste_tcp_options o = {.limits.connections = 4,
				      .half_open = 2,
				      .time_wait = 2,
				      .receive_window = 4096,
				      .any_mac = true,
				      .clock = clock_of,
				      .arg = &f,
				      .seed = 1,
				      .port = f.port[1]};

	check(paste_tcp_open(f.region, &o, &f.stack, NULL) == 0);
	check(paste_stack_listen(f.stack, "10.0.0.2:8080", NULL, 0, NULL) == 0);
	for (; size >= 8; data += 8, size -= 8) {
		if (data[0] < 160)
			segment(&f, data);
		else if (data[0] < 220)
			call(&f, data);
		else
			f.now += (uint64_t)data[1] << (data[2] % 24);
		turn(&f);
	}
	paste_stack_close(f.stack);
	clean(&f, out);
	return 0;
}
