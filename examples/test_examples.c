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

static int to_the_only_one(void *arg, const uint8_t address[16], uint8_t mac[6])
{
	memset(mac, 2, 6);
	return 0;
}

/* A server and three clients, each end our TCP, over a pipe. */
struct talk {
	struct fixture f;
	struct paste_port *port[2];
	struct paste_stack *server;
	struct client client[3];
};

static void begin_talk(struct talk *t)
{
	struct paste_stack *stack[2];

	begin(&t->f);
	pipe_between(&t->f, t->port);
	for (int end = 0; end < 2; end++) {
		struct paste_tcp_options o = {
		    .port = t->port[end],
		    .any_mac = true,
		    .neighbour = to_the_only_one,
		    .address4 = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(1 + end)},
		    .limits.connections = 64};
		assert_int_equal(paste_tcp_open(t->f.region, &o, &stack[end], NULL), 0);
	}
	t->server = stack[1];
	assert_int_equal(paste_stack_listen(t->server, "10.0.0.2:7", NULL, 0, NULL), 0);
	for (int i = 0; i < 3; i++) {
		t->client[i] = (struct client){.stack = stack[0], .region = t->f.region};
		assert_int_equal(client_connect(&t->client[i], "10.0.0.2:7", NULL), 0);
	}
}

/* The client of the example knows one connection: while one asks the others are silent. */
static void ask(struct talk *t, int which, const char *line,
		int (*round)(struct paste_stack *stack, struct paste_store *store, int64_t timeout_us))
{
	int ret = client_send(&t->client[which], line);

	assert_int_equal(ret, 0);
	for (int i = 0; i < 1000000 && ret == 0; i++) {
		assert_true(round(t->server, t->f.store, 0) >= 0);
		ret = client_round(&t->client[which], 0);
	}
	assert_int_equal(ret, 1);
}

static void end_talk(struct talk *t,
		     int (*round)(struct paste_stack *stack, struct paste_store *store, int64_t timeout_us))
{
	struct paste_stack_stats stats;

	for (int i = 0; i < 3; i++)
		paste_conn_close(t->client[i].conn);
	do {
		assert_true(round(t->server, t->f.store, 0) >= 0);
		paste_stack_poll(t->client[0].stack, &(struct paste_event){0}, 1, 0);
		paste_stack_stats(t->server, &stats);
	} while (stats.connections > 0);
	paste_stack_close(t->client[0].stack);
	paste_stack_close(t->server);
	for (int end = 0; end < 2; end++)
		paste_port_close(t->port[end]);
}

static void make_line(uint32_t number, char *line, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		line[i] = (char)('a' + (number * 7 + i * 3 + i / 26) % 26);
	strcpy(line + length, "\n");
}

static void the_echo_server_says_the_same(void **state)
{
	struct talk t;
	char line[1024];

	begin_talk(&t);
	for (uint32_t i = 0; i < 300; i++) {
		make_line(i, line, i * 3);
		ask(&t, i % 3, line, echo_round);
		assert_int_equal(strlen(t.client[i % 3].line), i * 3);
		assert_memory_equal(t.client[i % 3].line, line, i * 3);
	}
	end_talk(&t, echo_round);
	assert_int_equal(paste_buffer_free(t.f.region), t.f.free);
	end(&t.f);
}

static void the_append_server_has_kept_what_it_answered(void **state)
{
	struct talk t;
	char line[1024], number[24];
	struct paste_value v;

	begin_talk(&t);
	for (uint32_t i = 0; i < 300; i++) {
		make_line(i, line, i * 3);
		ask(&t, i % 3, line, append_round);
		snprintf(number, sizeof(number), "%u", i + 1);
		assert_string_equal(t.client[i % 3].line, number);
	}
	/* Two lines at once, and one in two parts. */
	assert_int_equal(client_send(&t.client[0], "the beginning "), 0);
	for (int i = 0; i < 10; i++) {
		append_round(t.server, t.f.store, 0);
		assert_int_equal(client_round(&t.client[0], 0), 0);
	}
	ask(&t, 0, "and the end\n", append_round);
	assert_string_equal(t.client[0].line, "301");
	ask(&t, 0, "one\ntwo\n", append_round);
	assert_string_equal(t.client[0].line, "303"); /* the number of the last one says it of both */
	end_talk(&t, append_round);
	assert_int_equal(paste_store_close(t.f.store), 0);
	open_store(&t.f);
	for (uint32_t i = 0; i < 303; i++) {
		static const char *const last[] = {"the beginning and the end", "one", "two"};
		char got[1024];
		uint32_t at = 0;
		if (i < 300)
			make_line(i, line, i * 3);
		const char *want = i < 300 ? line : last[i - 300];
		assert_int_equal(paste_store_read(t.f.store, "lines", 5, i + 1, &v), 0);
		assert_int_equal(v.length, i < 300 ? i * 3 : strlen(want));
		if (v.bytes)
			memcpy(got, v.bytes, v.length);
		for (uint32_t k = 0; !v.bytes && k < v.n; at += v.slices[k++].length)
			memcpy(got + at, paste_ref_data(t.f.region, v.slices[k]), v.slices[k].length);
		assert_memory_equal(got, want, v.length);
		paste_value_put(t.f.store, &v);
	}
	end(&t.f);
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
	    cmocka_unit_test(the_echo_server_says_the_same),
	    cmocka_unit_test(the_append_server_has_kept_what_it_answered),
	    cmocka_unit_test(a_port_number_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
