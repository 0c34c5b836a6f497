/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets through an AF_XDP port over a veth pair (veth.h has the picture): what the peer sends with
 * AF_PACKET arrives byte by byte, and what the port sends the peer gets. Each test ends with all buffers
 * back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "landing.h"
#include "paste/port.h"
#include "veth.h"

#define REGION_BYTES (16 << 20)
#define UDP_PORT 7000
#define HEADERS 42 /* Ethernet, IPv4, UDP */

static struct veth veth;

/* --- frames --- */

static uint8_t pattern(uint32_t number, uint32_t i)
{
	return (uint8_t)(number * 131 + i * 7 + (i >> 8));
}

/* A UDP frame of `bytes` bytes with a number and a pattern; without a checksum, which IPv4 allows. */
static void build(uint8_t *f, uint32_t bytes, uint32_t number, bool to_here)
{
	uint32_t ip = bytes - 14, udp = bytes - 34, sum = 0;
	uint16_t headers[] = {0x4500,
			      (uint16_t)ip,
			      1,
			      0x4000,
			      0x4011,
			      0,
			      0x0a01,
			      to_here ? 0x0102 : 0x0101,
			      0x0a01,
			      to_here ? 0x0101 : 0x0102,
			      4000,
			      UDP_PORT,
			      (uint16_t)udp,
			      0};

	for (unsigned i = 0; i < 10; i++)
		sum += headers[i];
	sum = (sum & 0xffff) + (sum >> 16);
	headers[5] = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
	memcpy(f, to_here ? VETH_HERE_MAC : VETH_THERE_MAC, 6);
	memcpy(f + 6, to_here ? VETH_THERE_MAC : VETH_HERE_MAC, 6);
	memcpy(f + 12, "\x08\0", 2);
	for (unsigned i = 0; i < 14; i++) {
		f[14 + i * 2] = (uint8_t)(headers[i] >> 8);
		f[15 + i * 2] = (uint8_t)headers[i];
	}
	for (uint32_t i = HEADERS; i < bytes; i++)
		f[i] = pattern(number, i);
	memcpy(f + HEADERS, &number, 4);
}

static uint32_t number_of(const uint8_t *f)
{
	uint32_t number;

	memcpy(&number, f + HEADERS, 4);
	return number;
}

static void assert_frame(const uint8_t *f, uint32_t bytes, uint32_t number, bool to_here)
{
	static uint8_t expected[65536];

	build(expected, bytes, number, to_here);
	assert_memory_equal(f, expected, bytes);
}

static bool is_ours(const uint8_t *f, ssize_t n)
{
	return n > HEADERS && f[12] == 8 && f[13] == 0 && f[23] == 17 && f[36] == UDP_PORT >> 8 &&
	       f[37] == (UDP_PORT & 255);
}

/* --- a port and its peer --- */

struct pair {
	struct paste_region *r;
	struct paste_port *port;
	int peer;
};

static struct paste_xdp_rule our_rule(void)
{
	struct paste_xdp_rule rule = {.port = UDP_PORT, .protocol = IPPROTO_UDP};

	memcpy(rule.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x01\x01", 16);
	return rule;
}

static void pair_open(struct pair *p, struct paste_xdp_options options, uint32_t buffer_size)
{
	struct paste_xdp_rule rule = our_rule();
	struct paste_error err = {{0}};

	options.ifname = VETH_HERE;
	options.rules = &rule;
	options.rules_n = 1;
	p->r = landing_open(REGION_BYTES, buffer_size);
	if (paste_xdp_open(p->r, &options, &p->port, &err) < 0)
		fail_msg("%s", err.text);
	p->peer = veth_packet_socket(&veth, veth.there, VETH_THERE, 3);
}

static void pair_close(struct pair *p)
{
	close(p->peer);
	paste_port_close(p->port);
	landing_close(p->r);
}

static void peer_send(struct pair *p, const uint8_t *frame, uint32_t bytes)
{
	assert_int_equal(send(p->peer, frame, bytes, 0), bytes);
}

/* The next frame of ours that the peer got. */
static ssize_t peer_receive(struct pair *p, uint8_t *frame, size_t most)
{
	struct pollfd polled = {.fd = p->peer, .events = POLLIN};

	while (poll(&polled, 1, 2000) > 0) {
		ssize_t n = recv(p->peer, frame, most, 0);
		/* What the peer itself sent is seen here too. */
		if (is_ours(frame, n) && !memcmp(frame, VETH_THERE_MAC, 6))
			return n;
	}
	return -1;
}

/* Sync until `n` slots are there. */
static struct paste_ring *await(struct pair *p, uint32_t queue, uint32_t n)
{
	struct paste_ring *r = &p->port->receive[queue];

	for (int tries = 0; tries < 200; tries++) {
		int there = paste_port_sync_receive(p->port, queue);
		assert_true(there >= 0);
		if ((uint32_t)there >= n)
			return r;
		r->cur = r->tail;
		assert_true(paste_port_poll(p->port, 20000) >= 0);
	}
	fail_msg("%u of %u slots arrived", paste_ring_available(r), n);
	return r;
}

static void release(struct pair *p, uint32_t queue, uint32_t n)
{
	struct paste_ring *r = &p->port->receive[queue];

	r->head += n;
	if ((int32_t)(r->cur - r->head) < 0)
		r->cur = r->head;
	assert_true(paste_port_sync_receive(p->port, queue) >= 0);
}

static uint8_t *slot_data(struct pair *p, const struct paste_slot *slot)
{
	return paste_buffer_data(p->r, slot->buffer) + slot->offset;
}

/* --- receiving --- */

static void receive_many(const struct paste_xdp_options *options, uint32_t bytes, uint32_t n)
{
	static uint8_t frame[2048];
	struct paste_ring_stats receive, transmit;
	struct pair p;

	pair_open(&p, *options, 2048);
	for (uint32_t sent = 0, got = 0; got < n;) {
		while (sent < n && sent < got + 32) {
			build(frame, bytes, sent, true);
			peer_send(&p, frame, bytes);
			sent++;
		}
		struct paste_ring *r = await(&p, 0, 1);
		uint32_t there = paste_ring_available(r);
		for (uint32_t i = 0; i < there; i++, got++) {
			const struct paste_slot *slot = paste_ring_slot(r, r->head + i);
			assert_int_equal(slot->length, bytes);
			assert_int_equal(slot->flags, 0);
			assert_int_equal(slot->offset, p.port->info.headroom);
			assert_frame(slot_data(&p, slot), bytes, got, true);
		}
		release(&p, 0, there);
	}
	p.port->ops->stats(p.port, 0, &receive, &transmit);
	assert_int_equal(receive.packets, n);
	assert_int_equal(receive.bytes, (uint64_t)n * bytes);
	assert_int_equal(receive.dropped, 0);
	assert_int_equal(receive.starved, 0);
	struct paste_xdp_stats stats;
	paste_xdp_stats(p.port, 0, &stats);
	assert_int_equal(stats.steered, n);
	assert_int_equal(stats.absent, 0);
	assert_int_equal(stats.posted, p.port->receive[0].size);
	pair_close(&p);
}

static void frames_arrive_in_every_mode(void **state)
{
	static const struct {
		enum paste_xdp_mode mode;
		enum paste_xdp_fragments fragments;
		const char *name;
	} modes[] = {
	    {PASTE_XDP_AUTO, PASTE_XDP_FRAGMENTS_AUTO, "copy"},
	    {PASTE_XDP_COPY, PASTE_XDP_FRAGMENTS_NO, "copy"},
	    {PASTE_XDP_GENERIC, PASTE_XDP_FRAGMENTS_AUTO, "generic"},
	    {PASTE_XDP_GENERIC, PASTE_XDP_FRAGMENTS_NO, "generic"},
	};

	veth_make(&veth, 1, 1500);
	for (unsigned i = 0; i < 4; i++) {
		struct paste_xdp_options o = {
		    .mode = modes[i].mode, .fragments = modes[i].fragments, .slots = 64};
		struct pair p;
		pair_open(&p, o, 2048);
		assert_string_equal(p.port->info.mode, modes[i].name);
		assert_int_equal(p.port->info.queues, 1);
		assert_int_equal(p.port->info.mtu, 1500);
		assert_memory_equal(p.port->info.mac, VETH_HERE_MAC, 6);
		print_message("%s: fragments %u\n", p.port->info.mode, p.port->info.fragments);
		pair_close(&p);
		/* Several times around the ring. */
		receive_many(&o, 64, 1000);
		receive_many(&o, 1514, 300);
	}
	struct paste_xdp_options busy = {.slots = 64, .busy_poll_us = 20};
	receive_many(&busy, 64, 300);
}

static void payload_of_a_66_byte_header_begins_on_a_line(void **state)
{
	struct pair p;

	pair_open(&p, (struct paste_xdp_options){.slots = 64}, 2048);
	assert_int_equal((p.port->info.headroom + 66) % 64, 0);
	assert_int_equal(p.port->info.headroom + 66, 384);
	pair_close(&p);
}

static void a_kept_packet_is_not_written_again(void **state)
{
	enum { KEPT = 40 };
	static uint8_t frame[2048];
	uint32_t kept[KEPT], n = 0;
	uint16_t offset = 0;
	struct pair p;

	pair_open(&p, (struct paste_xdp_options){.slots = 64}, 2048);
	/* One of four is kept, by exchange or by holding a count beside the slot. */
	for (uint32_t i = 0; i < KEPT * 4; i++) {
		build(frame, 600, i, true);
		peer_send(&p, frame, 600);
		struct paste_ring *r = await(&p, 0, 1);
		struct paste_slot *slot = paste_ring_slot(r, r->head);
		assert_int_equal(number_of(slot_data(&p, slot)), i);
		if (i % 8 == 0) {
			uint32_t fresh;
			assert_int_equal(paste_buffer_alloc(p.r, &fresh), 0);
			offset = slot->offset;
			kept[n++] = paste_port_swap(slot, fresh);
		} else if (i % 8 == 4) {
			paste_buffer_get(p.r, slot->buffer);
			kept[n++] = slot->buffer;
		}
		release(&p, 0, 1);
	}
	assert_int_equal(n, KEPT);
	for (uint32_t i = 0; i < KEPT; i++) {
		assert_frame(paste_buffer_data(p.r, kept[i]) + offset, 600, i * 4, true);
		assert_int_equal(p.r->buffer[kept[i]].users, 1);
		paste_buffer_put(p.r, kept[i]);
	}
	struct paste_ring_stats receive, transmit;
	p.port->ops->stats(p.port, 0, &receive, &transmit);
	assert_int_equal(receive.replaced, KEPT / 2);
	pair_close(&p);
}

static void a_buffer_with_a_live_slice_is_replaced(void **state)
{
	static uint8_t frame[2048];
	struct pair p;

	pair_open(&p, (struct paste_xdp_options){.slots = 64}, 2048);
	build(frame, 200, 7, true);
	peer_send(&p, frame, 200);
	struct paste_ring *r = await(&p, 0, 1);
	struct paste_slot *slot = paste_ring_slot(r, r->head);
	struct paste_ref ref = {slot->buffer, slot->offset, 200};
	region_live_add(p.r, ref);
	release(&p, 0, 1);
	for (uint32_t i = 0; i < 200; i++) {
		build(frame, 200, 1000 + i, true);
		peer_send(&p, frame, 200);
		await(&p, 0, 1);
		release(&p, 0, 1);
	}
	assert_frame(paste_ref_data(p.r, ref), 200, 7, true);
	region_live_drop(p.r, ref);
	pair_close(&p);
}

static void want_of_buffers_is_seen_and_ends(void **state)
{
	static uint8_t frame[2048];
	struct paste_ring_stats receive, transmit;
	uint32_t *hoard = calloc(REGION_BYTES / 2048, sizeof(*hoard)), n = 0;
	struct pair p;

	pair_open(&p, (struct paste_xdp_options){.slots = 64}, 2048);
	while (paste_buffer_alloc(p.r, &hoard[n]) == 0)
		n++;
	/* Keep everything that comes until nothing is posted. */
	uint32_t kept[64];
	for (uint32_t i = 0; i < 64; i++) {
		build(frame, 100, i, true);
		peer_send(&p, frame, 100);
		struct paste_ring *r = await(&p, 0, 1);
		kept[i] = paste_ring_slot(r, r->head)->buffer;
		paste_buffer_get(p.r, kept[i]);
		release(&p, 0, 1);
	}
	build(frame, 100, 64, true);
	peer_send(&p, frame, 100);
	assert_int_equal(paste_port_sync_receive(p.port, 0), 0);
	p.port->ops->stats(p.port, 0, &receive, &transmit);
	assert_true(receive.starved > 0);
	struct paste_xdp_stats stats;
	paste_xdp_stats(p.port, 0, &stats);
	assert_int_equal(stats.posted, 0);
	assert_true(stats.fill_empty > 0 && stats.no_room > 0 && receive.dropped > 0);
	/* Buffers again: it goes on by itself. */
	while (n > 0)
		paste_buffer_put(p.r, hoard[--n]);
	assert_int_equal(paste_port_sync_receive(p.port, 0), 0);
	build(frame, 100, 65, true);
	peer_send(&p, frame, 100);
	struct paste_ring *r = await(&p, 0, 1);
	assert_frame(slot_data(&p, paste_ring_slot(r, r->head)), 100, 65, true);
	for (uint32_t i = 0; i < 64; i++)
		paste_buffer_put(p.r, kept[i]);
	free(hoard);
	pair_close(&p);
}

/* --- transmitting --- */

static uint32_t send_own(struct pair *p, uint32_t bytes, uint32_t number, uint16_t offset)
{
	struct paste_ring *r = &p->port->transmit[0];

	for (int tries = 0; paste_ring_available(r) == 0 && tries < 1000; tries++)
		assert_true(paste_port_sync_transmit(p->port, 0) >= 0);
	assert_true(paste_ring_available(r) > 0);
	struct paste_slot *slot = paste_ring_slot(r, r->head);
	slot->offset = offset;
	slot->length = (uint16_t)bytes;
	build(slot_data(p, slot), bytes, number, false);
	r->head++;
	return slot->buffer;
}

/* All slots are the application's again. */
static void all_sent(struct pair *p)
{
	for (int tries = 0; tries < 1000; tries++) {
		int n = paste_port_sync_transmit(p->port, 0);
		assert_true(n >= 0);
		if ((uint32_t)n == p->port->transmit[0].size)
			return;
		usleep(1000);
	}
	fail_msg("%u slots stay under way",
		 p->port->transmit[0].size - paste_ring_available(&p->port->transmit[0]));
}

static void frames_are_sent(void **state)
{
	static const uint32_t sizes[] = {64, 60, 1514, 777};
	static uint8_t frame[2048];
	enum { EACH = 200 };
	struct pair p;

	for (int mode = PASTE_XDP_COPY; mode <= PASTE_XDP_GENERIC; mode++) {
		pair_open(&p, (struct paste_xdp_options){.slots = 64, .mode = (enum paste_xdp_mode)mode},
			  2048);
		for (uint32_t i = 0; i < EACH * 4; i++) {
			send_own(&p, sizes[i / EACH], i, (uint16_t)(i % 500));
			if (i % 40 == 39) {
				assert_true(paste_port_sync_transmit(p.port, 0) >= 0);
				for (uint32_t k = i - 39; k <= i; k++) {
					assert_int_equal(peer_receive(&p, frame, sizeof(frame)),
							 sizes[k / EACH]);
					assert_frame(frame, sizes[k / EACH], k, false);
				}
			}
		}
		all_sent(&p);
		struct paste_ring_stats receive, transmit;
		p.port->ops->stats(p.port, 0, &receive, &transmit);
		assert_int_equal(transmit.packets, EACH * 4);
		assert_int_equal(transmit.dropped, 0);
		assert_int_equal(transmit.gathered, 0);
		pair_close(&p);
	}
}

/* A header of the slot's own, then slices of a buffer that is somebody else's. */
static void send_pieces(struct pair *p, uint32_t number, uint32_t buffer, uint32_t bytes, uint32_t pieces)
{
	static uint8_t frame[65536];
	struct paste_ring *r = &p->port->transmit[0];
	uint32_t at = 0;

	build(frame, bytes, number, false);
	memcpy(paste_buffer_data(p->r, buffer), frame + HEADERS, bytes - HEADERS);
	for (uint32_t i = 0; i <= pieces; i++) {
		struct paste_slot *slot = paste_ring_slot(r, r->head++);
		if (i == 0) {
			slot->offset = 100;
			slot->length = HEADERS;
			memcpy(slot_data(p, slot), frame, HEADERS);
		} else {
			uint32_t rest = bytes - HEADERS - at;
			*slot = (struct paste_slot){
			    .buffer = buffer,
			    .offset = (uint16_t)at,
			    .length = (uint16_t)(i == pieces ? rest : rest / (pieces + 1 - i)),
			    .flags = PASTE_SLOT_REFERENCE,
			};
			at += slot->length;
		}
		if (i < pieces)
			slot->flags |= PASTE_SLOT_MORE;
	}
}

static void references_are_sent_and_let_go(void **state)
{
	static uint8_t frame[2048];

	for (int fragments = PASTE_XDP_FRAGMENTS_AUTO; fragments <= PASTE_XDP_FRAGMENTS_NO; fragments++) {
		struct paste_ring_stats receive, transmit;
		struct pair p;
		uint32_t buffer, n = 0;
		pair_open(
		    &p,
		    (struct paste_xdp_options){.slots = 64, .fragments = (enum paste_xdp_fragments)fragments},
		    2048);
		assert_int_equal(paste_buffer_alloc(p.r, &buffer), 0);
		for (uint32_t i = 0; i < 60; i++, n++) {
			uint32_t bytes = 300 + i * 20, pieces = 1 + i % 4;
			send_pieces(&p, i, buffer, bytes, pieces);
			assert_true(paste_port_sync_transmit(p.port, 0) >= 0);
			assert_int_equal(peer_receive(&p, frame, sizeof(frame)), bytes);
			assert_frame(frame, bytes, i, false);
			all_sent(&p);
			assert_int_equal(p.r->buffer[buffer].users, 1);
		}
		p.port->ops->stats(p.port, 0, &receive, &transmit);
		assert_int_equal(transmit.packets, n);
		assert_int_equal(transmit.gathered, p.port->info.fragments > 1 ? 0 : n);
		paste_buffer_put(p.r, buffer);
		pair_close(&p);
	}
}

static void half_a_packet_waits_for_its_rest(void **state)
{
	static uint8_t frame[2048];
	struct pair p;
	uint32_t buffer;

	pair_open(&p, (struct paste_xdp_options){.slots = 64}, 2048);
	assert_int_equal(paste_buffer_alloc(p.r, &buffer), 0);
	send_pieces(&p, 3, buffer, 500, 3);
	p.port->transmit[0].head -= 2;
	assert_int_equal(paste_port_sync_transmit(p.port, 0), 62);
	p.port->transmit[0].head += 2;
	assert_true(paste_port_sync_transmit(p.port, 0) >= 0);
	assert_int_equal(peer_receive(&p, frame, sizeof(frame)), 500);
	assert_frame(frame, 500, 3, false);
	/* Closed with half a packet in the ring, references included. */
	all_sent(&p);
	send_pieces(&p, 4, buffer, 500, 3);
	p.port->transmit[0].head -= 1;
	assert_true(paste_port_sync_transmit(p.port, 0) >= 0);
	paste_buffer_put(p.r, buffer);
	pair_close(&p);
}

static void what_cannot_be_sent_is_counted(void **state)
{
	struct paste_ring_stats receive, transmit;
	struct pair p;

	pair_open(&p, (struct paste_xdp_options){.slots = 64}, 2048);
	struct paste_ring *r = &p.port->transmit[0];
	const struct paste_slot wrong[] = {{.offset = 0, .length = 0},
					   {.offset = 2000, .length = 100},
					   {.offset = 0, .length = 1600},
					   {.offset = 100, .length = 100, .flags = PASTE_SLOT_CHECKSUM}};
	for (unsigned i = 0; i < 4; i++) {
		struct paste_slot *slot = paste_ring_slot(r, r->head++);
		uint32_t own = slot->buffer;
		*slot = wrong[i];
		slot->buffer = own;
	}
	all_sent(&p);
	p.port->ops->stats(p.port, 0, &receive, &transmit);
	assert_int_equal(transmit.dropped, 4);
	assert_int_equal(transmit.packets, 0);
	pair_close(&p);
}

/* --- checksums --- */

static void the_kernel_computes_checksums_when_asked(void **state)
{
	static uint8_t got[2048];
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(UDP_PORT)};
	struct timeval patience = {.tv_sec = 2};
	struct pair p;

	pair_open(&p, (struct paste_xdp_options){.slots = 64, .checksum = true}, 2048);
	if (!p.port->info.transmit_checksum) {
		pair_close(&p);
		print_message("skipped: this kernel has no transmit metadata (Linux 6.11)\n");
		skip();
	}
	int sock = veth_socket(&veth, veth.there, AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&to, sizeof(to)), 0);
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (uint32_t i = 0; i < 40; i++) {
		/* The sum of the pseudo header stands where the checksum goes; near the buffer's start it is
		 * moved. */
		struct paste_ring *r = &p.port->transmit[0];
		send_own(&p, 200, i, (uint16_t)(i % 4 * 8));
		struct paste_slot *slot = paste_ring_slot(r, r->head - 1);
		uint32_t sum = 0x0a01 + 0x0101 + 0x0a01 + 0x0102 + 17 + (200 - 34);
		sum = (sum & 0xffff) + (sum >> 16);
		slot_data(&p, slot)[40] = (uint8_t)(sum >> 8);
		slot_data(&p, slot)[41] = (uint8_t)sum;
		slot->flags = PASTE_SLOT_CHECKSUM;
		slot->checksum_start = 34;
		slot->checksum_offset = 6;
		assert_true(paste_port_sync_transmit(p.port, 0) >= 0);
		assert_int_equal(recv(sock, got, sizeof(got), 0), 200 - HEADERS);
		uint32_t number;
		memcpy(&number, got, sizeof(number));
		assert_int_equal(number, i);
		all_sent(&p);
	}
	close(sock);
	pair_close(&p);
}

/* --- jumbo frames --- */

static void jumbo_frames_come_and_go_in_fragments(void **state)
{
	enum { BYTES = 9014, N = 200 };
	static uint8_t frame[16384], together[16384];
	struct pair p;

	veth_make(&veth, 1, 9000);
	for (uint32_t buffer_size = 2048; buffer_size <= 4096; buffer_size *= 2) {
		struct paste_region *r = landing_open(REGION_BYTES, buffer_size);
		struct paste_xdp_options without = {.ifname = VETH_HERE, .fragments = PASTE_XDP_FRAGMENTS_NO};
		struct paste_error err = {{0}};
		assert_int_equal(paste_xdp_open(r, &without, &p.port, &err), -EMSGSIZE);
		assert_non_null(strstr(err.text, "mtu"));
		landing_close(r);

		pair_open(&p, (struct paste_xdp_options){.slots = 64}, buffer_size);
		assert_true(p.port->info.fragments > 1);
		for (uint32_t i = 0; i < N; i++) {
			uint32_t bytes = i % 3 ? BYTES - i * 20 : 100, filled = 0, slots = 0;
			build(frame, bytes, i, true);
			peer_send(&p, frame, bytes);
			struct paste_ring *ring = await(&p, 0, 1);
			const struct paste_slot *slot;
			do {
				slot = paste_ring_slot(ring, ring->head + slots++);
				memcpy(together + filled, slot_data(&p, slot), slot->length);
				filled += slot->length;
			} while (slot->flags & PASTE_SLOT_MORE);
			assert_int_equal(filled, bytes);
			assert_int_equal(slots, paste_ring_available(ring));
			assert_frame(together, bytes, i, true);
			release(&p, 0, slots);
		}
		/* Out again: own buffers, one after the other. */
		for (uint32_t i = 0; i < N; i++) {
			struct paste_ring *ring = &p.port->transmit[0];
			uint32_t piece = 1500, bytes = BYTES - i * 20;
			build(frame, bytes, i, false);
			for (uint32_t at = 0; at < bytes; at += piece) {
				struct paste_slot *slot = paste_ring_slot(ring, ring->head++);
				slot->offset = 64;
				slot->length = (uint16_t)(bytes - at < piece ? bytes - at : piece);
				slot->flags = at + piece < bytes ? PASTE_SLOT_MORE : 0;
				memcpy(slot_data(&p, slot), frame + at, slot->length);
			}
			assert_true(paste_port_sync_transmit(p.port, 0) >= 0);
			assert_int_equal(peer_receive(&p, together, sizeof(together)), bytes);
			assert_frame(together, bytes, i, false);
			all_sent(&p);
		}
		struct paste_ring_stats receive, transmit;
		p.port->ops->stats(p.port, 0, &receive, &transmit);
		assert_int_equal(receive.packets, N);
		assert_int_equal(receive.dropped, 0);
		assert_int_equal(transmit.packets, N);
		assert_int_equal(transmit.gathered, 0);
		pair_close(&p);
	}
	veth_make(&veth, 1, 1500);
}

/* --- several queues --- */

static void every_queue_of_an_interface_is_heard(void **state)
{
	enum { FLOWS = 64, QUEUES = 4 };
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(UDP_PORT), .sin_addr = {htonl(0x0a010101)}};
	uint32_t got = 0, used = 0;
	int sock[FLOWS];
	struct pair p;

	veth_make(&veth, QUEUES, 1500);
	pair_open(&p, (struct paste_xdp_options){.slots = 64}, 2048);
	assert_int_equal(p.port->info.queues, QUEUES);
	for (unsigned i = 0; i < FLOWS; i++) {
		sock[i] = veth_socket(&veth, veth.there, AF_INET, SOCK_DGRAM, 0);
		assert_int_equal(sendto(sock[i], "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
	}
	for (int tries = 0; tries < 100 && got < FLOWS; tries++) {
		assert_true(paste_port_poll(p.port, 20000) >= 0);
		for (uint32_t q = 0; q < QUEUES; q++) {
			int n = paste_port_sync_receive(p.port, q);
			assert_true(n >= 0);
			used |= n > 0 ? 1u << q : 0;
			got += (uint32_t)n;
			p.port->receive[q].head = p.port->receive[q].cur = p.port->receive[q].tail;
		}
	}
	assert_int_equal(got, FLOWS);
	/* By chance some are not: the kernel's hash decides. */
	assert_true(__builtin_popcount(used) > 1);
	pair_close(&p);

	/* One queue alone misses flows, and says so; the kernel does not answer for us. */
	pair_open(&p, (struct paste_xdp_options){.slots = 64, .first_queue = 1, .queues = 1}, 2048);
	for (unsigned i = 0; i < FLOWS; i++)
		assert_int_equal(sendto(sock[i], "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
	usleep(50000);
	int n = paste_port_sync_receive(p.port, 0);
	assert_true(n >= 0 && n < FLOWS);
	for (unsigned i = 0; i < FLOWS; i++) {
		/* A port unreachable would show here. */
		assert_int_equal(sendto(sock[i], "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
		close(sock[i]);
	}
	pair_close(&p);
	veth_make(&veth, 1, 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_arrive_in_every_mode),
	    cmocka_unit_test(payload_of_a_66_byte_header_begins_on_a_line),
	    cmocka_unit_test(a_kept_packet_is_not_written_again),
	    cmocka_unit_test(a_buffer_with_a_live_slice_is_replaced),
	    cmocka_unit_test(want_of_buffers_is_seen_and_ends),
	    cmocka_unit_test(frames_are_sent),
	    cmocka_unit_test(references_are_sent_and_let_go),
	    cmocka_unit_test(half_a_packet_waits_for_its_rest),
	    cmocka_unit_test(what_cannot_be_sent_is_counted),
	    cmocka_unit_test(the_kernel_computes_checksums_when_asked),
	    cmocka_unit_test(jumbo_frames_come_and_go_in_fragments),
	    cmocka_unit_test(every_queue_of_an_interface_is_heard),
	};
	const char *why;

	if (!veth_namespaces(&veth, &why)) {
		printf("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
