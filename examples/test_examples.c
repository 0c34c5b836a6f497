/* SPDX-License-Identifier: BSD-2-Clause */
/* The examples over pipes, in a region and store of their own on tmpfs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "examples.h"
#include "net/packet.h"

#define SLOTS 64u

struct fixture {
	char path[64];
	struct paste_store *store;
	struct paste_region *region;
	uint32_t free; /* buffers, before any port was open */
};

static void open_store(struct fixture *f)
{
	struct paste_open_options open = {.path = f->path};
	struct paste_error err = {{0}};

	if (paste_store_open(&open, &f->store, &err) < 0)
		fail_msg("%s", err.text);
	f->region = paste_store_region(f->store);
	f->free = paste_buffer_free(f->region);
}

static void begin(struct fixture *f)
{
	struct paste_error err = {{0}};

	snprintf(f->path, sizeof(f->path), "/dev/shm/paste-test-%d", (int)getpid());
	struct paste_create_options create = {.path = f->path, .size = 16 << 20, .force = true};
	if (paste_store_create(&create, &err) < 0)
		fail_msg("%s", err.text);
	open_store(f);
}

static void end(struct fixture *f)
{
	assert_int_equal(paste_store_check(f->store, NULL, NULL), 0);
	assert_int_equal(paste_store_close(f->store), 0);
	unlink(f->path);
}

static void pipe_between(struct fixture *f, struct paste_port *port[2])
{
	assert_int_equal(paste_pipe_open(f->region, f->region, SLOTS, port, NULL), 0);
}

/* A packet of made-up bytes in slots of at most `piece`. False: no room. */
static bool put(struct paste_port *p, const uint8_t *bytes, uint32_t length, uint32_t piece)
{
	struct paste_ring *r = &p->transmit[0];
	uint32_t slots = (length + piece - 1) / piece;

	if (paste_ring_available(r) < slots && paste_port_sync_transmit(p, 0) < (int)slots)
		return false;
	for (uint32_t at = 0; at < length; at += piece) {
		struct paste_slot *slot = paste_ring_slot(r, r->head++);
		slot->offset = 64;
		slot->length = (uint16_t)(length - at < piece ? length - at : piece);
		slot->flags = at + piece < length ? PASTE_SLOT_MORE : 0;
		memcpy(paste_buffer_data(p->region, slot->buffer) + 64, bytes + at, slot->length);
	}
	r->cur = r->head;
	assert_true(paste_port_sync_transmit(p, 0) >= 0);
	return true;
}

/* 0: nothing there. */
static uint32_t take(struct paste_port *p, uint8_t *bytes)
{
	struct paste_ring *r = &p->receive[0];
	uint32_t length = 0;
	const struct paste_slot *slot;

	assert_true(paste_port_sync_receive(p, 0) >= 0);
	if (r->cur == r->tail)
		return 0;
	do {
		slot = paste_ring_slot(r, r->cur++);
		memcpy(bytes + length, paste_buffer_data(p->region, slot->buffer) + slot->offset,
		       slot->length);
		length += slot->length;
	} while (slot->flags & PASTE_SLOT_MORE);
	r->head = r->cur;
	return length;
}

static uint32_t bytes_of(uint32_t number, uint8_t *bytes)
{
	uint32_t length = 60 + number * 37 % 1440;

	for (uint32_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
	return length;
}

static void expect_entry(struct fixture *f, uint64_t sequence)
{
	uint8_t want[2048], got[2048];
	uint32_t length = bytes_of((uint32_t)sequence - 1, want), at = 0;
	struct paste_value v;

	assert_int_equal(paste_store_read(f->store, "packets", 7, sequence, &v), 0);
	assert_int_equal(v.length, length);
	if (v.bytes)
		memcpy(got, v.bytes, length);
	for (uint32_t i = 0; !v.bytes && i < v.n; at += v.slices[i++].length)
		memcpy(got + at, paste_ref_data(f->region, v.slices[i]), v.slices[i].length);
	assert_memory_equal(got, want, length);
	paste_value_put(f->store, &v);
}

static void the_receiver_keeps_every_packet(void **state)
{
	const uint32_t packets = 2000;
	struct fixture f;
	struct paste_port *port[2];
	uint64_t first, next, round;
	uint8_t bytes[2048];
	uint32_t sent = 0, kept = 0;

	begin(&f);
	pipe_between(&f, port);
	while (kept < packets) {
		for (uint32_t i = 0; i < 20 && sent < packets; i++) {
			uint32_t length = bytes_of(sent, bytes);
			if (!put(port[0], bytes, length, sent % 5 ? 1600 : 500))
				break;
			sent++;
		}
		int ret = receiver_round(port[1], f.store);
		assert_true(ret >= 0);
		kept += (uint32_t)ret;
	}
	paste_port_close(port[0]);
	paste_port_close(port[1]);
	assert_int_equal(paste_store_close(f.store), 0);
	open_store(&f);
	assert_int_equal(paste_store_stream(f.store, "packets", 7, &first, &next, &round), 0);
	assert_int_equal(first, 1);
	assert_int_equal(next, packets + 1);
	for (uint64_t i = 1; i <= packets; i++)
		expect_entry(&f, i);
	/* What was kept is let go when it is deleted. */
	struct paste_result result;
	assert_int_equal(paste_store_trim(f.store, "packets", 7, next, &result), 0);
	end(&f);
}

static void the_reflector_answers_each_datagram_in_place(void **state)
{
	struct fixture f;
	struct paste_port *port[2];
	uint8_t frame[2048], got[2048];

	begin(&f);
	pipe_between(&f, port);
	for (uint32_t i = 0; i < 500; i++) {
		struct packet_path path = {.mac_source = {2, 0, 0, 0, 0, 2},
					   .mac_destination = {2, 0, 0, 0, 0, 1}};
		struct packet_options o = {.mac = path.mac_source};
		struct packet p;
		net_address_parse(i & 1 ? "fd00::2" : "10.0.0.2", &path.source);
		net_address_parse(i & 1 ? "fd00::1" : "10.0.0.1", &path.destination);
		uint32_t header = packet_header_bytes(&path) + 8, length = bytes_of(i, frame + header) - 50;
		struct packet_piece payload = {frame + header, length}, piece = {got, header + length};
		packet_build_udp(frame, &path, 5000, 8080, &payload, 1, false);
		assert_true(put(port[0], frame, header + length, 2000));
		if (i % 10 == 7) {
			frame[i & 1 ? 20 : 23] = 6; /* behind it a TCP segment, which is not answered */
			assert_true(put(port[0], frame, header + length, 2000));
		}
		assert_int_equal(reflector_round(port[1]), 1);
		assert_int_equal(take(port[0], got), header + length);
		assert_int_equal(packet_parse(&piece, 1, &o, &p), PACKET_ACCEPTED);
		assert_int_equal(packet_udp(&piece, 1, &o, &p), PACKET_ACCEPTED);
		assert_int_equal(p.destination_port, 5000);
		assert_memory_equal(got + header, frame + header, length);
	}
	struct paste_ring_stats receive, transmit;
	port[0]->ops->stats(port[0], 0, &receive, &transmit);
	assert_int_equal(receive.copied + receive.replaced, 0);
	paste_port_close(port[0]);
	paste_port_close(port[1]);
	assert_int_equal(paste_buffer_free(f.region), f.free);
	end(&f);
}

/* left ══ a │ forwarder │ b ══ right, with a reader on either side that is now and then slow. */
static void the_forwarder_loses_nothing(void **state)
{
	struct fixture f;
	struct paste_port *a[2], *b[2];
	uint32_t sent[2] = {0}, received[2] = {0};
	uint8_t bytes[2048], want[2048];

	begin(&f);
	pipe_between(&f, a);
	pipe_between(&f, b);
	struct paste_port *outside[2] = {a[0], b[1]};
	for (uint32_t step = 0; received[0] < 3000 || received[1] < 3000; step++) {
		for (int side = 0; side < 2; side++) {
			uint32_t length = bytes_of(sent[side], bytes);
			sent[side] += put(outside[side], bytes, length, sent[side] % 3 ? 1600 : 300);
		}
		assert_true(forwarder_round(a[1], b[0]) >= 0);
		for (int side = 0; side < 2 && step % 1000 > 300; side++) {
			for (uint32_t length; (length = take(outside[side], bytes)) > 0;) {
				assert_int_equal(length, bytes_of(received[side]++, want));
				assert_memory_equal(bytes, want, length);
			}
		}
	}
	for (int i = 0; i < 2; i++) {
		paste_port_close(a[i]);
		paste_port_close(b[i]);
	}
	assert_int_equal(paste_buffer_free(f.region), f.free);
	end(&f);
}

static void a_port_number_is_checked(void **state)
{
	static const char *const bad[] = {"", "0", "65536", "80x", "-1"};
	struct paste_error err;
	struct paste_port *port;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.text[0] = 0;
		assert_true(example_port(NULL, "lo", bad[i], &port, &err) < 0);
		assert_true(err.text[0] != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_receiver_keeps_every_packet),
	    cmocka_unit_test(the_reflector_answers_each_datagram_in_place),
	    cmocka_unit_test(the_forwarder_loses_nothing),
	    cmocka_unit_test(a_port_number_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
