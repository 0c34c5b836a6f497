/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated wire: what it promises to those who test on it. */
#include <stdio.h>

#include "port/wire.h"
#include "slots.h"

#define LENGTH 1000u
#define MILLISECOND 1000000u

struct fixture {
	struct paste_region *region;
	struct wire *wire;
	struct paste_port *port[3];
	uint64_t trace; /* of all that the wire told */
	uint64_t lost;  /* frame that the test wants lost */
	uint64_t asked;
};

static void tap(void *arg, uint64_t now, uint32_t port, enum wire_fate fate, const uint8_t *frame,
		uint32_t length)
{
	struct fixture *f = arg;

	f->trace =
	    (f->trace ^ now ^ (uint64_t)port << 56 ^ (uint64_t)fate << 48 ^ length) * 0x9e3779b97f4a7c15u;
	for (uint32_t i = 0; frame && i < length; i++)
		f->trace = (f->trace ^ frame[i]) * 0x100000001b3u;
}

static bool lose(void *arg, uint64_t now, uint32_t port, uint8_t *frame, uint32_t length)
{
	struct fixture *f = arg;

	return ++f->asked == f->lost;
}

static void begin_ports(struct fixture *f, uint64_t seed, struct wire_link link, int ports)
{
	struct wire_options options = {.seed = seed, .tap = tap, .lose = lose, .arg = f};
	struct wire_port_options p = {.up = link, .slots = 512};

	*f = (struct fixture){0};
	p.region = f->region = fake_region_new(4096, 2048);
	f->wire = wire_open(&options);
	assert_non_null(f->wire);
	for (int i = 0; i < ports; i++)
		assert_int_equal(wire_port_open(f->wire, &p, &f->port[i], NULL), 0);
}

static void begin(struct fixture *f, uint64_t seed, struct wire_link link)
{
	begin_ports(f, seed, link, 2);
}

static void end(struct fixture *f)
{
	for (int i = 0; i < 3; i++)
		paste_port_close(f->port[i]);
	wire_close(f->wire);
	region_proved(f->region);
}

/* A frame from one port to another whose payload is of that seed. */
static void put(struct fixture *f, int from, int to, uint64_t seed)
{
	uint8_t frame[LENGTH];

	packet_bytes(seed, frame, LENGTH);
	memcpy(frame, f->port[to]->info.mac, 6);
	memcpy(frame + 6, f->port[from]->info.mac, 6);
	memcpy(frame + 12, (uint8_t[]){8, 0}, 2);
	memcpy(frame + 14, &seed, 8);
	assert_true(packet_put(f->port[from], frame, LENGTH, 0));
	assert_true(paste_port_sync_transmit(f->port[from], 0) >= 0);
}

/* The seed of the next frame, -1: there is none, -2: its bytes are not those that were sent. */
static int64_t take(struct fixture *f, int port)
{
	uint8_t got[PACKET_BYTES], want[LENGTH];
	uint64_t seed;

	assert_true(paste_port_sync_receive(f->port[port], 0) >= 0);
	uint32_t length = packet_take(f->port[port], got, NULL);
	if (length == 0)
		return -1;
	assert_int_equal(length, LENGTH);
	memcpy(&seed, got + 14, 8);
	if (seed > 1u << 30)
		return -2;
	packet_bytes(seed, want, LENGTH);
	return memcmp(got + 22, want + 22, LENGTH - 22) ? -2 : (int64_t)seed;
}

static void a_perfect_wire_delivers_at_once_and_in_order(void **state)
{
	struct fixture f;

	begin(&f, 1, (struct wire_link){0});
	for (uint64_t i = 0; i < 1500; i++) {
		put(&f, 0, 1, i);
		put(&f, 1, 0, i + 7);
		if (i % 100 < 90)
			continue;
		for (int64_t k; (k = take(&f, 1)) >= 0;)
			assert_int_equal(take(&f, 0), k + 7);
	}
	while (take(&f, 0) >= 0 && take(&f, 1) >= 0) {
	}
	assert_int_equal(wire_count(f.wire, WIRE_DELIVERED), 3000);
	assert_int_equal(wire_count(f.wire, WIRE_SENT), 3000);
	assert_int_equal(wire_next(f.wire), WIRE_NEVER);
	end(&f);
}

static void delay_and_bandwidth_are_exact(void **state)
{
	struct fixture f;

	/* 1000 bytes at 1 GB/s: 1 us each, then 50 us. */
	begin(&f, 1, (struct wire_link){.delay_ns = 50000, .bytes_per_second = 1000000000});
	wire_advance(f.wire, 10000);
	for (uint64_t i = 0; i < 5; i++)
		put(&f, 0, 1, i);
	assert_int_equal(wire_next(f.wire), 11000);
	for (uint64_t i = 0; i < 5; i++) {
		uint64_t due = 10000 + 1000 * (i + 1) + 50000;
		wire_advance(f.wire, due - 1);
		assert_int_equal(take(&f, 1), -1);
		assert_int_equal(wire_next(f.wire), due);
		wire_advance(f.wire, due);
		assert_int_equal(paste_port_poll(f.port[1], -1), 1);
		assert_int_equal(take(&f, 1), (int64_t)i);
	}
	end(&f);
}

static void jitter_and_equal_times_keep_the_order(void **state)
{
	for (uint64_t jitter = 0; jitter < 100000; jitter += 50000) {
		struct fixture f;
		int64_t expected = 0;
		begin(&f, 1, (struct wire_link){.delay_ns = 1000, .jitter_ns = jitter});
		for (uint64_t i = 0; i < 60; i++)
			put(&f, 0, 1, i);
		wire_advance(f.wire, jitter + 1000);
		for (int64_t seed; (seed = take(&f, 1)) >= 0; expected++)
			assert_int_equal(seed, expected);
		assert_int_equal(expected, 60);
		end(&f);
	}
}

static void a_frame_is_read_when_its_last_byte_goes_out(void **state)
{
	struct fixture f;

	begin(&f, 1, (struct wire_link){.bytes_per_second = 1000000000});
	struct paste_slot *slot = paste_ring_slot(f.port[0]->transmit, 0);
	uint32_t available = f.port[0]->transmit->size;
	put(&f, 0, 1, 5);
	assert_int_equal(paste_ring_available(f.port[0]->transmit), available - 1);
	wire_advance(f.wire, 999);
	assert_int_equal(paste_port_sync_transmit(f.port[0], 0), (int)available - 1);
	paste_buffer_data(f.region, slot->buffer)[slot->offset + 500] ^= 1; /* too early */
	wire_advance(f.wire, 1000);
	assert_int_equal(paste_port_sync_transmit(f.port[0], 0), (int)available);
	paste_buffer_data(f.region, slot->buffer)[slot->offset + 600] ^= 1; /* not any more */
	assert_int_equal(take(&f, 1), -2);
	end(&f);
}

static void a_slot_that_was_given_back_is_overwritten(void **state)
{
	struct fixture f;

	begin(&f, 1, (struct wire_link){0});
	put(&f, 0, 1, 5);
	assert_int_equal(take(&f, 1), 5);
	struct paste_slot *slot = paste_ring_slot(f.port[1]->receive, 0);
	const uint8_t *bytes = paste_buffer_data(f.region, slot->buffer) + slot->offset;
	assert_memory_equal(bytes, f.port[1]->info.mac, 6);
	paste_port_sync_receive(f.port[1], 0);
	assert_int_equal(bytes[0], 0xdb);
	end(&f);
}

/* How often each fault happens when it is asked for at 10 %, over 10,000 frames. */
static void faults_happen_as_often_as_asked(void **state)
{
	static const struct {
		struct wire_link link;
		enum wire_fate fate;
	} table[] = {
	    {{.lose = 100000}, WIRE_LOST},
	    {{.duplicate = 100000}, WIRE_DUPLICATED},
	    {{.reorder = 100000}, WIRE_REORDERED},
	    {{.corrupt = 100000}, WIRE_CORRUPTED},
	};
	const int frames = 10000;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fixture f;
		int got = 0, damaged = 0, behind = 0;
		int64_t last = -1;
		begin(&f, 42 + i, table[i].link);
		for (int k = 0; k < frames; k++) {
			put(&f, 0, 1, (uint64_t)k);
			wire_advance(f.wire, (uint64_t)(k + 1) * 10000);
			for (int64_t seed; (seed = take(&f, 1)) != -1; got++) {
				damaged += seed == -2;
				behind += seed >= 0 && seed < last;
				last = seed > last ? seed : last;
			}
		}
		wire_advance(f.wire, WIRE_NEVER - 1);
		while (take(&f, 1) != -1)
			got++;
		uint64_t count = wire_count(f.wire, table[i].fate);
		assert_in_range(count, 900, 1100);
		enum wire_fate fate = table[i].fate;
		assert_int_equal(got, frames - (fate == WIRE_LOST ? (int)count : 0) +
					  (fate == WIRE_DUPLICATED ? (int)count : 0));
		/* Half of those that are held back for 0 to 100 us, while a frame comes every 10 us, are late
		 * by much. */
		assert_true(fate == WIRE_REORDERED ? behind > 700 : fate == WIRE_DUPLICATED || behind == 0);
		assert_int_equal(fate == WIRE_CORRUPTED ? (int)count - damaged : damaged, 0);
		end(&f);
	}
}

static void losses_come_in_runs(void **state)
{
	struct fixture f;
	int64_t last = -1;

	begin(&f, 3, (struct wire_link){.lose = 10000, .lose_run = 4});
	for (uint64_t k = 0; k < 3000; k++) {
		put(&f, 0, 1, k);
		int64_t seed = take(&f, 1);
		if (seed < 0)
			continue;
		assert_int_equal((seed - last - 1) % 4, 0);
		last = seed;
	}
	assert_in_range(wire_count(f.wire, WIRE_LOST), 60, 180);
	end(&f);
}

static void corruption_is_one_bit_behind_the_ethernet_header(void **state)
{
	struct fixture f;
	uint8_t want[LENGTH], got[PACKET_BYTES];

	begin(&f, 3, (struct wire_link){.corrupt = WIRE_MILLION});
	packet_bytes(1, want, LENGTH);
	memcpy(want, f.port[1]->info.mac, 6);
	for (int i = 0; i < 1000; i++) {
		int bits = 0;
		assert_true(packet_put(f.port[0], want, LENGTH, 0));
		paste_port_sync_transmit(f.port[0], 0);
		paste_port_sync_receive(f.port[1], 0);
		assert_int_equal(packet_take(f.port[1], got, NULL), LENGTH);
		assert_memory_equal(got, want, 14);
		for (uint32_t k = 14; k < LENGTH; k++)
			bits += __builtin_popcount(got[k] ^ want[k]);
		assert_int_equal(bits, 1);
	}
	end(&f);
}

static void queues_and_rings_are_bounded(void **state)
{
	struct fixture f;
	struct wire_link up = {0}, down = {.bytes_per_second = 1000000, .queue_bytes = 10 * LENGTH};
	int got = 0;

	/* 1 ms a frame: ten have room, the one that is going in among them; the others are lost. */
	begin(&f, 1, up);
	wire_set_links(f.wire, 1, &up, &down);
	for (uint64_t i = 0; i < 50; i++)
		put(&f, 0, 1, i);
	assert_int_equal(wire_count(f.wire, WIRE_OVERFLOWED), 50 - 10);
	for (uint64_t i = 0; i < 10; i++) {
		wire_advance(f.wire, (i + 1) * MILLISECOND);
		assert_int_equal(take(&f, 1), (int64_t)i);
	}
	end(&f);

	/* A receiver that gives no slot back: what has no slot is lost and counted. */
	begin(&f, 1, up);
	for (uint64_t i = 0; i < 600; i++)
		put(&f, 0, 1, i);
	assert_int_equal(wire_count(f.wire, WIRE_NO_SLOT), 600 - 512);
	while (take(&f, 1) >= 0)
		got++;
	assert_int_equal(got, 512);
	end(&f);

	/* A sender faster than its cable: its ring is the queue. */
	begin(&f, 1, down);
	for (uint64_t i = 0; i < 512; i++)
		put(&f, 0, 1, i);
	assert_int_equal(paste_ring_available(f.port[0]->transmit), 0);
	wire_advance(f.wire, 100 * MILLISECOND);
	assert_int_equal(paste_port_sync_transmit(f.port[0], 0), 100);
	end(&f);
}

static void the_mtu_counts_what_is_behind_the_tags(void **state)
{
	static const struct {
		uint32_t bytes;
		uint8_t tags;
		bool passes;
	} table[] = {{1514, 0, true},  {1515, 0, false}, {1518, 1, true},
		     {1519, 1, false}, {1522, 2, true},  {1523, 2, false}};
	struct fixture f;
	uint8_t frame[PACKET_BYTES] = {0};

	begin(&f, 1, (struct wire_link){.mtu = 1500});
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(frame, 0, 24);
		for (uint32_t t = 0; t < table[i].tags; t++)
			memcpy(frame + 12 + 4 * t, (uint8_t[]){0x81, 0}, 2);
		assert_true(packet_put(f.port[0], frame, table[i].bytes, 0));
		paste_port_sync_transmit(f.port[0], 0);
		paste_port_sync_receive(f.port[1], 0);
		assert_int_equal(packet_take(f.port[1], frame, NULL), table[i].passes ? table[i].bytes : 0);
	}
	assert_int_equal(wire_count(f.wire, WIRE_TOO_LARGE), 3);
	end(&f);
}

static void large_frames_arrive_in_pieces(void **state)
{
	struct fixture f;
	uint8_t got[PACKET_BYTES], want[PACKET_BYTES];
	uint32_t slots;

	begin(&f, 1, (struct wire_link){0});
	for (uint32_t length = 15; length <= 9014; length += 333) {
		packet_bytes(length, want, length);
		assert_true(packet_put(f.port[0], want, length, 1500));
		paste_port_sync_transmit(f.port[0], 0);
		paste_port_sync_receive(f.port[1], 0);
		assert_int_equal(packet_take(f.port[1], got, &slots), length);
		assert_int_equal(slots, (length + 1791) / 1792);
		assert_memory_equal(got, want, length);
	}
	end(&f);
}

static void the_switch_knows_its_ports(void **state)
{
	struct fixture f;
	uint8_t frame[LENGTH] = {0}, got[PACKET_BYTES];

	begin_ports(&f, 1, (struct wire_link){0}, 3);
	put(&f, 0, 2, 1);
	assert_int_equal(take(&f, 1), -1);
	assert_int_equal(take(&f, 2), 1);
	for (int i = 0; i < 2; i++) {
		frame[0] = i ? 0xff : 0x44; /* everybody, and somebody whom nobody knows */
		assert_true(packet_put(f.port[1], frame, LENGTH, 0));
		paste_port_sync_transmit(f.port[1], 0);
		for (int k = 0; k < 3; k++) {
			paste_port_sync_receive(f.port[k], 0);
			assert_int_equal(packet_take(f.port[k], got, NULL), k == 1 ? 0 : LENGTH);
		}
	}
	put(&f, 0, 0, 5); /* not back to where it came from */
	assert_int_equal(take(&f, 0), -1);
	assert_int_equal(take(&f, 1), 5);
	paste_port_close(f.port[2]);
	f.port[2] = NULL;
	put(&f, 0, 1, 9);
	assert_int_equal(take(&f, 1), 9);
	end(&f);
}

static void sums_are_left_or_worked_out(void **state)
{
	for (int works = 0; works < 2; works++) {
		struct wire_options options = {.seed = 1};
		struct wire_port_options p = {
		    .checksum = works, .region = fake_region_new(64, 2048), .slots = 8};
		struct wire *wire = wire_open(&options);
		struct paste_port *a, *b;
		uint8_t frame[60] = {0}, got[PACKET_BYTES];
		assert_int_equal(wire_port_open(wire, &p, &a, NULL), 0);
		assert_int_equal(wire_port_open(wire, &p, &b, NULL), 0);
		memcpy(frame + 34, (uint8_t[]){0x12, 0x34, 0xf0, 0x01, 0, 0, 0xab, 0xcd}, 8);
		struct paste_slot *slot = paste_ring_slot(a->transmit, 0);
		assert_true(packet_put(a, frame, sizeof(frame), 0));
		slot->flags |= PASTE_SLOT_CHECKSUM;
		slot->checksum_start = 34;
		slot->checksum_offset = 6;
		paste_port_sync_transmit(a, 0);
		paste_port_sync_receive(b, 0);
		assert_int_equal(paste_ring_slot(b->receive, 0)->flags, works ? 0 : PASTE_SLOT_CHECKSUM);
		assert_int_equal(packet_take(b, got, NULL), sizeof(frame));
		/* ~(0x1234 + 0xf001 + 0xabcd) in one's complement */
		assert_int_equal(got[40] << 8 | got[41], works ? 0x51fc : 0xabcd);
		paste_port_close(a);
		paste_port_close(b);
		wire_close(wire);
		region_proved(p.region);
	}
}

static void a_test_can_have_one_frame_lost(void **state)
{
	struct fixture f;

	begin(&f, 1, (struct wire_link){0});
	f.lost = 3;
	for (uint64_t i = 1; i <= 4; i++) {
		put(&f, 0, 1, i);
		assert_int_equal(take(&f, 1), i == 3 ? -1 : (int64_t)i);
	}
	end(&f);
}

static uint64_t run_with_everything(uint64_t seed)
{
	struct fixture f;
	uint64_t now = 0;

	begin(&f, seed,
	      (struct wire_link){.delay_ns = 30000,
				 .jitter_ns = 5000,
				 .bytes_per_second = 500000000,
				 .lose = 50000,
				 .duplicate = 50000,
				 .reorder = 50000,
				 .corrupt = 50000});
	for (uint64_t i = 0; i < 2000; i++) {
		put(&f, (int)(i & 1), (int)(~i & 1), i);
		wire_advance(f.wire, now += 900);
		take(&f, 0);
		take(&f, 1);
	}
	/* Closed with frames in the cables and in the rings. */
	uint64_t trace = f.trace;
	assert_int_not_equal(wire_next(f.wire), WIRE_NEVER);
	end(&f);
	return trace;
}

static void the_same_seed_gives_the_same_run(void **state)
{
	uint64_t one = run_with_everything(1);

	assert_true(one == run_with_everything(1));
	assert_true(one != run_with_everything(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_perfect_wire_delivers_at_once_and_in_order),
	    cmocka_unit_test(delay_and_bandwidth_are_exact),
	    cmocka_unit_test(jitter_and_equal_times_keep_the_order),
	    cmocka_unit_test(a_frame_is_read_when_its_last_byte_goes_out),
	    cmocka_unit_test(a_slot_that_was_given_back_is_overwritten),
	    cmocka_unit_test(faults_happen_as_often_as_asked),
	    cmocka_unit_test(losses_come_in_runs),
	    cmocka_unit_test(corruption_is_one_bit_behind_the_ethernet_header),
	    cmocka_unit_test(queues_and_rings_are_bounded),
	    cmocka_unit_test(the_mtu_counts_what_is_behind_the_tags),
	    cmocka_unit_test(large_frames_arrive_in_pieces),
	    cmocka_unit_test(the_switch_knows_its_ports),
	    cmocka_unit_test(sums_are_left_or_worked_out),
	    cmocka_unit_test(a_test_can_have_one_frame_lost),
	    cmocka_unit_test(the_same_seed_gives_the_same_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
