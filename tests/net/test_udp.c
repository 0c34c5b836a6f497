/* SPDX-License-Identifier: BSD-2-Clause */
/* Two UDP endpoints, over the pipe and over the simulated wire. */
#include <errno.h>

#include "net/udp.h"
#include "port/wire.h"
#include "slots.h"

#define CLIENT 0
#define SERVER 1
#define BATCH 32

static const uint16_t ports[2] = {5000, 8080};

struct fixture {
	struct paste_region *region;
	struct wire *wire; /* NULL: a pipe */
	struct paste_port *port[2];
	struct udp *udp[2];
	struct udp_peer to_server;
	struct udp_datagram batch[BATCH];
};

static struct udp_peer peer_of_server(struct fixture *f, bool six)
{
	struct udp_peer p = {.port = ports[SERVER], .local_port = ports[CLIENT]};

	memcpy(p.path.mac_source, f->port[CLIENT]->info.mac, 6);
	memcpy(p.path.mac_destination, f->port[SERVER]->info.mac, 6);
	assert_int_equal(net_address_parse(six ? "fd00::2" : "10.0.0.2", &p.path.source), 0);
	assert_int_equal(net_address_parse(six ? "fd00::1" : "10.0.0.1", &p.path.destination), 0);
	return p;
}

static void open_endpoints(struct fixture *f, struct udp_options options)
{
	for (int side = 0; side < 2; side++) {
		options.port = f->port[side];
		options.udp_port = ports[side];
		assert_int_equal(udp_open(&options, &f->udp[side], NULL), 0);
	}
	f->to_server = peer_of_server(f, false);
}

static void begin_pipe(struct fixture *f, struct udp_options options)
{
	*f = (struct fixture){.region = fake_region_new(512, 2048)};
	assert_int_equal(paste_pipe_open(f->region, f->region, 64, f->port, NULL), 0);
	open_endpoints(f, options);
}

static void begin_wire(struct fixture *f, struct wire_options wire, struct wire_port_options port,
		       struct udp_options options)
{
	*f = (struct fixture){.region = port.region = fake_region_new(1280, 2048), .wire = wire_open(&wire)};
	assert_non_null(f->wire);
	for (int side = 0; side < 2; side++)
		assert_int_equal(wire_port_open(f->wire, &port, &f->port[side], NULL), 0);
	open_endpoints(f, options);
}

static void end(struct fixture *f)
{
	for (int side = 0; side < 2; side++) {
		udp_close(f->udp[side]);
		paste_port_close(f->port[side]);
	}
	if (f->wire)
		wire_close(f->wire);
	region_proved(f->region);
}

static struct udp_stats stats_of(struct udp *u)
{
	struct udp_stats s;

	udp_stats(u, &s);
	return s;
}

static void send_seed(struct fixture *f, uint64_t seed, uint32_t length)
{
	uint8_t bytes[PACKET_BYTES];

	packet_bytes(seed, bytes, length);
	assert_int_equal(udp_send(f->udp[CLIENT], &f->to_server, bytes, length, NULL, 0), 0);
	assert_int_equal(udp_flush(f->udp[CLIENT]), 0);
}

static void expect_payload(struct fixture *f, const struct udp_datagram *d, uint64_t seed, uint32_t length)
{
	uint8_t want[PACKET_BYTES];
	uint32_t at = 0;

	packet_bytes(seed, want, length);
	assert_int_equal(d->length, length);
	for (uint32_t i = 0; i < d->n; i++) {
		assert_true(at + d->slice[i].length <= length);
		assert_memory_equal(paste_ref_data(f->region, d->slice[i]), want + at, d->slice[i].length);
		at += d->slice[i].length;
	}
	assert_int_equal(at, length);
}

enum { INLINE, REFERENCE };

static void echo(struct fixture *f, const struct udp_datagram *d, int way)
{
	uint8_t bytes[PACKET_BYTES];
	uint32_t at = 0;

	if (way == REFERENCE) {
		assert_int_equal(udp_send(f->udp[SERVER], &d->peer, NULL, 0, d->slice, d->n), 0);
		return;
	}
	for (uint32_t i = 0; i < d->n; at += d->slice[i++].length)
		memcpy(bytes + at, paste_ref_data(f->region, d->slice[i]), d->slice[i].length);
	assert_int_equal(udp_send(f->udp[SERVER], &d->peer, bytes, at, NULL, 0), 0);
}

/* One datagram there and back. */
static void exchange(struct fixture *f, uint64_t seed, uint32_t length, int way)
{
	send_seed(f, seed, length);
	assert_int_equal(udp_receive(f->udp[SERVER], f->batch, BATCH), 1);
	expect_payload(f, &f->batch[0], seed, length);
	assert_int_equal(f->batch[0].peer.port, ports[CLIENT]);
	assert_true(net_address_equal(&f->batch[0].peer.path.source, &f->to_server.path.destination));
	assert_true(net_address_equal(&f->batch[0].peer.path.destination, &f->to_server.path.source));
	echo(f, &f->batch[0], way);
	assert_int_equal(udp_flush(f->udp[SERVER]), 0);
	assert_int_equal(udp_receive(f->udp[CLIENT], f->batch, BATCH), 1);
	expect_payload(f, &f->batch[0], seed, length);
	assert_int_equal(udp_receive(f->udp[CLIENT], f->batch, BATCH), 0);
}

static void echo_of_all_lengths_both_families_both_ways(void **state)
{
	for (int kind = 0; kind < 8; kind++) {
		bool six = kind & 1, way = kind & 2, gather = kind & 4;
		struct fixture f;
		begin_pipe(&f, (struct udp_options){.gather_bytes = gather ? 4096 : 0});
		f.to_server = peer_of_server(&f, six);
		for (uint32_t length = 0; length < 1473; length += 1 + length / 3)
			exchange(&f, length, length, way);
		struct udp_stats s = stats_of(f.udp[SERVER]);
		assert_int_equal(s.received, s.sent);
		assert_int_equal(s.received_bytes, s.sent_bytes);
		assert_int_equal(s.gathered, way == REFERENCE && gather ? s.sent - 1 : 0); /* one was empty */
		end(&f);
	}
}

static void padding_is_no_payload(void **state)
{
	struct fixture f;
	uint8_t frame[128];

	begin_pipe(&f, (struct udp_options){0});
	for (uint32_t piece = 128; piece >= 41; piece -= 3) {
		memset(frame, 0xee, sizeof(frame));
		packet_bytes(3, frame + 42, 10);
		struct packet_piece payload = {frame + 42, 10};
		packet_build_udp(frame, &f.to_server.path, 5000, 8080, &payload, 1, false);
		assert_true(packet_put(f.port[CLIENT], frame, 100, piece));
		paste_port_sync_transmit(f.port[CLIENT], 0);
		if (piece < 42) {
			assert_int_equal(udp_receive(f.udp[SERVER], f.batch, BATCH), 0);
			assert_int_equal(stats_of(f.udp[SERVER]).refused[PACKET_HEADERS_SPLIT], 1);
			continue;
		}
		assert_int_equal(udp_receive(f.udp[SERVER], f.batch, BATCH), 1);
		expect_payload(&f, &f.batch[0], 3, 10);
		assert_int_equal(f.batch[0].n, piece < 52 ? 2 : 1);
	}
	end(&f);
}

static void a_batch_is_as_large_as_asked(void **state)
{
	struct fixture f;

	begin_pipe(&f, (struct udp_options){0});
	for (uint64_t i = 0; i < 10; i++)
		send_seed(&f, i, 100);
	for (uint64_t i = 0; i < 10; i += 4) {
		int n = udp_receive(f.udp[SERVER], f.batch, 4);
		assert_int_equal(n, i == 8 ? 2 : 4);
		for (int k = 0; k < n; k++)
			expect_payload(&f, &f.batch[k], i + (uint64_t)k, 100);
	}
	assert_int_equal(udp_receive(f.udp[SERVER], f.batch, 4), 0);
	end(&f);
}

static void what_is_kept_stays_and_what_is_not_is_given_back(void **state)
{
	struct fixture f;
	struct paste_ref kept[2];

	begin_pipe(&f, (struct udp_options){0});
	uint32_t out = fake_region_out(f.region);
	for (uint64_t i = 0; i < 500; i++) {
		send_seed(&f, i, 1000);
		assert_int_equal(udp_receive(f.udp[SERVER], f.batch, BATCH), 1);
		if (i == 3)
			paste_ref_get(f.region, kept[0] = f.batch[0].slice[0]);
		if (i == 200)
			fake_region_keep(f.region, kept[1] = f.batch[0].slice[0]);
	}
	udp_receive(f.udp[SERVER], f.batch, BATCH);
	assert_int_equal(fake_region_out(f.region), out + 2);
	for (int i = 0; i < 2; i++) {
		struct udp_datagram d = {.length = 1000, .n = 1, .slice = {kept[i]}};
		expect_payload(&f, &d, i ? 200 : 3, 1000);
	}
	paste_ref_put(f.region, kept[0]);
	fake_region_release(f.region, kept[1]);
	assert_int_equal(fake_region_out(f.region), out);
	end(&f);
}

static void what_is_not_for_us_is_dropped_and_counted(void **state)
{
	struct net_address ours;
	struct fixture f;
	struct udp_peer good, bad;
	uint8_t arp[42] = {2, 'p', 'i', 'p', 'e', 2, 2, 'p', 'i', 'p', 'e', 1, 8, 6};

	assert_int_equal(net_address_parse("10.0.0.1", &ours), 0);
	begin_pipe(&f, (struct udp_options){.addresses = &ours, .n_addresses = 1});
	good = f.to_server;
	for (int i = 0; i < 4; i++) {
		bad = good;
		if (i == 0)
			bad.port++;
		else if (i == 1)
			bad.path.destination.byte[15]++;
		else if (i == 2)
			bad.path.mac_destination[5]++;
		else
			memcpy(bad.path.tag, (uint8_t[]){0x81, 0, 0, 5}, 4);
		bad.path.tags = i == 3;
		f.to_server = bad;
		send_seed(&f, 1, 50);
	}
	assert_true(packet_put(f.port[CLIENT], arp, sizeof(arp), 0));
	f.to_server = good;
	send_seed(&f, 7, 50);
	assert_int_equal(udp_receive(f.udp[SERVER], f.batch, BATCH), 1);
	expect_payload(&f, &f.batch[0], 7, 50);
	struct udp_stats s = stats_of(f.udp[SERVER]);
	static const enum packet_check expected[] = {PACKET_PORT_OTHER, PACKET_ADDRESS_OTHER,
						     PACKET_MAC_OTHER, PACKET_VLAN_OTHER, PACKET_TYPE_OTHER};
	uint64_t sum = 0;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(s.refused[expected[i]], 1);
	for (int i = 0; i < PACKET_CHECKS; i++)
		sum += s.refused[i];
	assert_int_equal(sum, 5);
	end(&f);
}

static void an_answer_carries_the_tag_of_the_question(void **state)
{
	struct fixture f;

	begin_pipe(&f, (struct udp_options){.vlan = 5});
	memcpy(f.to_server.path.tag, (uint8_t[]){0x81, 0, 0xa0, 5}, 4);
	f.to_server.path.tags = 1;
	exchange(&f, 1, 200, INLINE);
	assert_memory_equal(f.batch[0].peer.path.tag, f.to_server.path.tag, 4);
	end(&f);
}

static void a_full_ring_is_an_answer(void **state)
{
	struct fixture f;
	int sent = 0, received = 0, n;

	begin_pipe(&f, (struct udp_options){0});
	while (udp_send(f.udp[CLIENT], &f.to_server, "x", 1, NULL, 0) == 0)
		sent++;
	/* The pipe holds what both rings hold. */
	assert_int_equal(sent, 128);
	assert_int_equal(stats_of(f.udp[CLIENT]).blocked, 1);
	while ((n = udp_receive(f.udp[SERVER], f.batch, BATCH)) > 0)
		received += n;
	assert_int_equal(received, sent);
	send_seed(&f, 1, 10);
	end(&f);
}

static void what_is_too_large_is_refused(void **state)
{
	static const struct {
		uint32_t mtu, fragments, length, by_reference;
		int result;
	} table[] = {
	    {1500, 16, 1472, 0, 0},     {1500, 16, 1473, 0, -EMSGSIZE},
	    {1500, 1, 0, 1472, 0},      {1500, 16, 8, 1465, -EMSGSIZE},
	    {0, 16, 1942, 0, 0},        {0, 16, 1943, 0, -EMSGSIZE},
	    {0, 16, 8, 2000, 0},        {0, 1, 8, 1900, 0},
	    {0, 1, 8, 2000, -EMSGSIZE}, {0, 2, 8, 2000, 0},
	    {0, 2, 8, 2041, -EMSGSIZE}, {0, 3, 8, 2041, 0},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fixture f;
		uint8_t bytes[2048] = {0};
		uint32_t buffer, next;
		begin_pipe(&f, (struct udp_options){0});
		f.port[CLIENT]->info.mtu = table[i].mtu;
		f.port[CLIENT]->info.fragments = table[i].fragments;
		assert_int_equal(paste_buffer_alloc(f.region, &buffer), 0);
		assert_int_equal(paste_buffer_alloc(f.region, &next), 0);
		assert_int_equal(next, buffer + 1); /* one slice over two buffers */
		struct paste_ref ref = {buffer, 8, (uint16_t)table[i].by_reference};
		memset(paste_ref_data(f.region, ref), 0x33, 2041);
		int ret = udp_send(f.udp[CLIENT], &f.to_server, bytes, table[i].length, &ref, ref.length > 0);
		assert_int_equal(ret, table[i].result);
		udp_flush(f.udp[CLIENT]);
		assert_int_equal(udp_receive(f.udp[SERVER], f.batch, BATCH), ret == 0);
		if (ret == 0)
			assert_int_equal(f.batch[0].length, table[i].length + table[i].by_reference);
		paste_buffer_put(f.region, buffer);
		paste_buffer_put(f.region, next);
		end(&f);
	}
}

/* A datagram of several slots, answered from the slots it came in. */
static void large_datagrams_come_and_go_in_pieces(void **state)
{
	struct fixture f;
	uint8_t bytes[1600];

	begin_wire(&f, (struct wire_options){.seed = 1}, (struct wire_port_options){.headroom = 62},
		   (struct udp_options){0});
	for (uint32_t length = 1600; length < 8900; length += 531) {
		struct paste_ref slice[UDP_SLICES];
		uint32_t n = 0, left = length - 8;
		packet_bytes(length, bytes, 8);
		uint8_t *want = malloc(length);
		packet_bytes(length, want, length);
		for (; left > 0; n++) {
			uint32_t buffer, now = left < 1777 ? left : 1777;
			assert_int_equal(paste_buffer_alloc(f.region, &buffer), 0);
			slice[n] = (struct paste_ref){buffer, 100, (uint16_t)now};
			memcpy(paste_ref_data(f.region, slice[n]), want + length - left, now);
			left -= now;
		}
		assert_int_equal(udp_send(f.udp[CLIENT], &f.to_server, want, 8, slice, n), 0);
		assert_int_equal(udp_flush(f.udp[CLIENT]), 0);
		while (n > 0)
			paste_ref_put(f.region, slice[--n]);
		assert_int_equal(udp_receive(f.udp[SERVER], f.batch, BATCH), 1);
		expect_payload(&f, &f.batch[0], length, length);
		assert_true(f.batch[0].n > 1 || length < 1750);
		echo(&f, &f.batch[0], REFERENCE);
		udp_flush(f.udp[SERVER]);
		assert_int_equal(udp_receive(f.udp[CLIENT], f.batch, BATCH), 1);
		expect_payload(&f, &f.batch[0], length, length);
		free(want);
	}
	end(&f);

	begin_pipe(&f, (struct udp_options){0});
	struct packet_piece none = {bytes, 0};
	for (uint32_t pieces = UDP_SLICES; pieces <= UDP_SLICES + 1; pieces++) {
		packet_build_udp(bytes, &f.to_server.path, 5000, 8080, &none, 1, false);
		assert_true(packet_put(f.port[CLIENT], bytes, pieces * 50, 50)); /* padded by some slots */
		paste_port_sync_transmit(f.port[CLIENT], 0);
		assert_int_equal(udp_receive(f.udp[SERVER], f.batch, BATCH), pieces == UDP_SLICES);
	}
	assert_int_equal(stats_of(f.udp[SERVER]).refused[PACKET_SLICES], 1);
	end(&f);
}

static void sums_may_be_left_to_the_port(void **state)
{
	/* A port that works them out; one that cannot; and one that says it does and passes them on, as a
	 * veth does. */
	for (int kind = 0; kind < 3; kind++) {
		struct fixture f;
		begin_wire(&f, (struct wire_options){.seed = 1},
			   (struct wire_port_options){.checksum = kind == 0},
			   (struct udp_options){.offload = true});
		if (kind == 2)
			f.port[SERVER]->info.transmit_checksum = true;
		exchange(&f, 1, 777, REFERENCE);
		assert_int_equal(stats_of(f.udp[CLIENT]).bare_sums, kind == 2);
		end(&f);
	}
	/* Without the port's word for it a bare sum is a wrong one, unless it is asked for. */
	for (int accept = 0; accept < 2; accept++) {
		struct fixture f;
		uint8_t frame[64] = {0};
		begin_pipe(&f, (struct udp_options){.bare_sums = accept});
		struct packet_piece payload = {frame + 42, 22};
		packet_build_udp(frame, &f.to_server.path, 5000, 8080, &payload, 1, true);
		assert_true(packet_put(f.port[CLIENT], frame, sizeof(frame), 0));
		paste_port_sync_transmit(f.port[CLIENT], 0);
		assert_int_equal(udp_receive(f.udp[SERVER], f.batch, BATCH), accept);
		assert_int_equal(stats_of(f.udp[SERVER]).refused[PACKET_UDP_CHECKSUM], !accept);
		assert_int_equal(stats_of(f.udp[SERVER]).bare_sums, accept);
		end(&f);
	}
}

static void serve(struct fixture *f, int way)
{
	int n = udp_receive(f->udp[SERVER], f->batch, BATCH);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++)
		echo(f, &f->batch[i], way);
	assert_int_equal(udp_flush(f->udp[SERVER]), 0);
}

/* Requests are repeated until they are answered. What is answered is what was asked, bit for bit. */
static void echo_over_a_wire_with_every_fault(void **state)
{
	enum { REQUESTS = 400, TIMEOUT = 1000000 };
	const struct wire_link bad = {.delay_ns = 20000,
				      .jitter_ns = 10000,
				      .bytes_per_second = 125000000,
				      .lose = 50000,
				      .duplicate = 50000,
				      .reorder = 50000,
				      .corrupt = 50000};

	for (int kind = 0; kind < 4; kind++) {
		struct fixture f;
		uint64_t now = 0, again[REQUESTS] = {0}, repeats = 0;
		int answered = 0;
		begin_wire(&f, (struct wire_options){.seed = 9u + (uint64_t)kind},
			   (struct wire_port_options){.up = bad, .down = bad}, (struct udp_options){0});
		f.to_server = peer_of_server(&f, kind & 1);
		while (answered < REQUESTS) {
			for (uint64_t i = 0; i < REQUESTS; i++) {
				uint8_t bytes[1000];
				uint32_t length = 8 + (uint32_t)i * 2;
				if (again[i] > now)
					continue;
				packet_bytes(i, bytes, length);
				memcpy(bytes, &i, 8);
				if (udp_send(f.udp[CLIENT], &f.to_server, bytes, length, NULL, 0) < 0)
					break;
				repeats += again[i] > 0;
				again[i] = now + TIMEOUT;
			}
			assert_int_equal(udp_flush(f.udp[CLIENT]), 0);
			uint64_t next = wire_next(f.wire);
			now = next < now + 100000 ? next : now + 100000;
			wire_advance(f.wire, now);
			serve(&f, kind & 2 ? REFERENCE : INLINE);
			int n = udp_receive(f.udp[CLIENT], f.batch, BATCH);
			for (int i = 0; i < n; i++) {
				uint8_t want[1000];
				uint64_t seed;
				assert_true(f.batch[i].n == 1);
				memcpy(&seed, paste_ref_data(f.region, f.batch[i].slice[0]), 8);
				assert_true(seed < REQUESTS);
				assert_int_equal(f.batch[i].length, 8 + seed * 2);
				packet_bytes(seed, want, f.batch[i].length);
				memcpy(want, &seed, 8);
				assert_memory_equal(paste_ref_data(f.region, f.batch[i].slice[0]), want,
						    f.batch[i].length);
				answered += again[seed] != UINT64_MAX;
				again[seed] = UINT64_MAX;
			}
			assert_true(now < 1000000000);
		}
		struct udp_stats s = stats_of(f.udp[SERVER]);
		uint64_t refused = 0;
		for (int i = 0; i < PACKET_CHECKS; i++)
			refused += s.refused[i];
		assert_true(repeats > 20 && refused > 10);
		assert_true(wire_count(f.wire, WIRE_LOST) > 20 && wire_count(f.wire, WIRE_DUPLICATED) > 20);
		end(&f);
	}
}

static void opening_says_what_is_wrong(void **state)
{
	struct fixture f;
	struct paste_error err = {{0}};
	struct net_address many[17] = {0};
	struct udp *u;

	begin_pipe(&f, (struct udp_options){0});
	assert_int_equal(udp_open(&(struct udp_options){.port = f.port[0], .queue = 1}, &u, &err), -EINVAL);
	assert_true(err.text[0] != 0);
	assert_int_equal(
	    udp_open(&(struct udp_options){.port = f.port[0], .addresses = many, .n_addresses = 17}, &u,
		     &err),
	    -EINVAL);
	udp_close(NULL);
	udp_close(f.udp[SERVER]);
	paste_port_close(f.port[SERVER]);
	assert_int_equal(udp_receive(f.udp[CLIENT], f.batch, BATCH), -ENETDOWN);
	assert_int_equal(udp_flush(f.udp[CLIENT]), -ENETDOWN);
	udp_close(f.udp[CLIENT]);
	paste_port_close(f.port[CLIENT]);
	region_proved(f.region);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(echo_of_all_lengths_both_families_both_ways),
	    cmocka_unit_test(padding_is_no_payload),
	    cmocka_unit_test(a_batch_is_as_large_as_asked),
	    cmocka_unit_test(what_is_kept_stays_and_what_is_not_is_given_back),
	    cmocka_unit_test(what_is_not_for_us_is_dropped_and_counted),
	    cmocka_unit_test(an_answer_carries_the_tag_of_the_question),
	    cmocka_unit_test(a_full_ring_is_an_answer),
	    cmocka_unit_test(what_is_too_large_is_refused),
	    cmocka_unit_test(large_datagrams_come_and_go_in_pieces),
	    cmocka_unit_test(sums_may_be_left_to_the_port),
	    cmocka_unit_test(echo_over_a_wire_with_every_fault),
	    cmocka_unit_test(opening_says_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
