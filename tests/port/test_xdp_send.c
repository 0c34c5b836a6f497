/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an AF_XDP port sends, its peer gets: own buffers, references, jumbo frames, both ways at once,
 * checksums. Each test ends with all buffers back and no slot under way.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xdp_pair.h"

static struct veth veth;

/* --- transmitting --- */

static void frames_are_sent(void **state)
{
	static const uint32_t sizes[] = {64, 60, 1514, 777};
	static uint8_t frame[2048];
	enum { EACH = 200 };
	struct pair p;

	for (int mode = PASTE_XDP_COPY; mode <= PASTE_XDP_GENERIC; mode++) {
		pair_open(&p, &veth,
			  (struct paste_xdp_options){.slots = 64, .mode = (enum paste_xdp_mode)mode}, 2048);
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

	/* As fragments, copied together because that is faster, and because there is no other way. */
	const struct paste_xdp_options ways[] = {{.slots = 64, .no_gather = true},
						 {.slots = 64},
						 {.slots = 64, .fragments = PASTE_XDP_FRAGMENTS_NO}};

	for (unsigned way = 0; way < 3; way++) {
		struct paste_ring_stats receive, transmit;
		struct pair p;
		uint32_t buffer, n = 0;
		pair_open(&p, &veth, ways[way], 2048);
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
		assert_int_equal(transmit.gathered, way == 0 && p.port->info.fragments > 1 ? 0 : n);
		paste_buffer_put(p.r, buffer);
		pair_close(&p);
	}
}

static void half_a_packet_waits_for_its_rest(void **state)
{
	static uint8_t frame[2048];
	struct pair p;
	uint32_t buffer;

	pair_open(&p, &veth, (struct paste_xdp_options){.slots = 64}, 2048);
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

	pair_open(&p, &veth, (struct paste_xdp_options){.slots = 64}, 2048);
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

	pair_open(&p, &veth, (struct paste_xdp_options){.slots = 64, .checksum = true}, 2048);
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

/* Not before Linux 6.6. */
static bool fragments_are_known(void)
{
	struct paste_xdp_options with = {.ifname = VETH_HERE, .fragments = PASTE_XDP_FRAGMENTS_YES};
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_error err = {{0}};
	struct paste_port *port;
	int ret = paste_xdp_open(r, &with, &port, &err);

	if (ret == 0)
		paste_port_close(port);
	else
		print_message("skipped: %s\n", err.text);
	landing_close(r);
	return ret == 0 || !strstr(err.text, "Linux 6.6");
}

static void jumbo_frames_come_and_go_in_fragments(void **state)
{
	enum { BYTES = 9014, N = 200 };
	static uint8_t frame[16384], together[16384];
	struct pair p;

	veth_make(&veth, 1, 9000);
	if (!fragments_are_known())
		skip();
	for (uint32_t buffer_size = 2048; buffer_size <= 4096; buffer_size *= 2) {
		struct paste_region *r = landing_open(REGION_BYTES, buffer_size);
		struct paste_xdp_options without = {.ifname = VETH_HERE, .fragments = PASTE_XDP_FRAGMENTS_NO};
		struct paste_error err = {{0}};
		assert_int_equal(paste_xdp_open(r, &without, &p.port, &err), -EMSGSIZE);
		assert_non_null(strstr(err.text, "mtu"));
		landing_close(r);

		pair_open(&p, &veth, (struct paste_xdp_options){.slots = 64}, buffer_size);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_are_sent),
	    cmocka_unit_test(references_are_sent_and_let_go),
	    cmocka_unit_test(half_a_packet_waits_for_its_rest),
	    cmocka_unit_test(what_cannot_be_sent_is_counted),
	    cmocka_unit_test(the_kernel_computes_checksums_when_asked),
	    cmocka_unit_test(jumbo_frames_come_and_go_in_fragments),
	};
	const char *why;

	if (!veth_namespaces(&veth, &why)) {
		printf("skipped: %s\n", why);
		return 77;
	}
	veth_make(&veth, 1, 1500);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
