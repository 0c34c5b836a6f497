/* SPDX-License-Identifier: BSD-2-Clause */
/* Two ports back to back. */
#include <errno.h>

#include "slots.h"

#define SLOTS 8u

struct fixture {
	struct paste_region *region[2];
	struct paste_port *port[2];
};

static void begin_two(struct fixture *f, uint32_t size_a, uint32_t size_b)
{
	f->region[0] = fake_region_new(64, size_a);
	f->region[1] = size_b ? fake_region_new(64, size_b) : f->region[0];
	assert_int_equal(paste_pipe_open(f->region[0], f->region[1], SLOTS, f->port, NULL), 0);
}

static void begin(struct fixture *f)
{
	begin_two(f, 2048, 0);
}

static void end(struct fixture *f)
{
	paste_port_close(f->port[0]);
	paste_port_close(f->port[1]);
	if (f->region[1] != f->region[0])
		region_proved(f->region[1]);
	region_proved(f->region[0]);
}

static struct paste_ring_stats received(struct paste_port *p)
{
	struct paste_ring_stats receive, transmit;

	p->ops->stats(p, 0, &receive, &transmit);
	return receive;
}

static struct paste_ring_stats sent(struct paste_port *p)
{
	struct paste_ring_stats receive, transmit;

	p->ops->stats(p, 0, &receive, &transmit);
	return transmit;
}

static void what_is_sent_is_received_in_order_without_a_copy(void **state)
{
	struct fixture f;

	begin(&f);
	for (uint64_t round = 0; round < 20; round++) {
		for (int side = 0; side < 2; side++) {
			struct paste_port *a = f.port[side], *b = f.port[!side];
			for (uint64_t i = 0; i < 5; i++)
				assert_true(packet_put_seed(a, 100 * round + i, 60 + (uint32_t)i, 0));
			assert_int_equal(paste_port_poll(b, 0), 0);
			assert_true(paste_port_sync_transmit(a, 0) >= 3); /* as many as were given back */
			assert_int_equal(paste_port_poll(b, 0), 1);
			assert_int_equal(paste_port_sync_receive(b, 0), 5);
			for (uint64_t i = 0; i < 5; i++)
				packet_expect(b, 100 * round + i, 60 + (uint32_t)i);
		}
	}
	assert_int_equal(received(f.port[1]).packets, 100);
	assert_int_equal(received(f.port[1]).bytes, 100 * 62);
	assert_int_equal(sent(f.port[0]).packets, 100);
	assert_int_equal(received(f.port[1]).copied, 0);
	assert_int_equal(received(f.port[1]).replaced, 0);
	end(&f);
}

static void nothing_is_lost_when_the_receiver_is_slow(void **state)
{
	struct fixture f;

	begin(&f);
	for (uint64_t i = 0; i < 2 * SLOTS; i++) {
		assert_true(packet_put_seed(f.port[0], i, 100, 0));
		assert_true(paste_port_sync_transmit(f.port[0], 0) >= 0);
	}
	/* The receive ring is full, and so is the transmit ring. */
	assert_false(packet_put_seed(f.port[0], 99, 100, 0));
	assert_int_equal(paste_port_sync_transmit(f.port[0], 0), 0);
	assert_int_equal(paste_port_sync_receive(f.port[1], 0), SLOTS);
	for (uint64_t i = 0; i < 3; i++)
		packet_expect(f.port[1], i, 100);
	/* A sync of the receiver's own fetches as many as it made room for. */
	assert_int_equal(paste_port_sync_receive(f.port[1], 0), SLOTS);
	assert_int_equal(paste_port_sync_transmit(f.port[0], 0), 3);
	for (uint64_t i = 3; i < 2 * SLOTS; i++) {
		packet_expect(f.port[1], i, 100);
		paste_port_sync_receive(f.port[1], 0);
	}
	assert_int_equal(sent(f.port[0]).dropped, 0);
	end(&f);
}

static void a_kept_packet_stays_as_it_is(void **state)
{
	enum { SWAP, COUNT, LIVE, WAYS };

	for (int way = 0; way < WAYS; way++) {
		struct fixture f;
		uint8_t want[200];
		uint32_t fresh;
		begin(&f);
		packet_bytes(7, want, sizeof(want));
		assert_true(packet_put(f.port[0], want, sizeof(want), 0));
		paste_port_sync_transmit(f.port[0], 0);
		paste_port_sync_receive(f.port[1], 0);
		struct paste_ring *r = f.port[1]->receive;
		struct paste_slot *slot = paste_ring_slot(r, r->head++);
		struct paste_ref kept = {slot->buffer, slot->offset, slot->length};
		r->cur = r->head;
		if (way == SWAP) {
			assert_int_equal(paste_buffer_alloc(f.region[0], &fresh), 0);
			paste_port_swap(slot, fresh);
		} else if (way == COUNT) {
			paste_ref_get(f.region[0], kept);
		} else {
			fake_region_keep(f.region[0], kept);
		}
		for (uint64_t i = 0; i < 40; i++) {
			assert_true(packet_put_seed(f.port[0], i, 1900, 0));
			paste_port_sync_transmit(f.port[0], 0);
			paste_port_sync_receive(f.port[1], 0);
			packet_expect(f.port[1], i, 1900);
		}
		assert_memory_equal(paste_ref_data(f.region[0], kept), want, sizeof(want));
		assert_int_equal(received(f.port[1]).replaced, way != SWAP);
		if (way == LIVE)
			fake_region_release(f.region[0], kept);
		else
			paste_ref_put(f.region[0], kept);
		end(&f);
	}
}

static void a_sent_buffer_that_somebody_keeps_is_copied(void **state)
{
	struct fixture f;
	uint8_t want[100];

	begin(&f);
	packet_bytes(3, want, sizeof(want));
	struct paste_slot *slot = paste_ring_slot(f.port[0]->transmit, 0);
	uint32_t mine = slot->buffer;
	assert_true(packet_put(f.port[0], want, sizeof(want), 0));
	paste_buffer_get(f.region[0], mine);
	paste_port_sync_transmit(f.port[0], 0);
	assert_int_equal(slot->buffer, mine);
	paste_port_sync_receive(f.port[1], 0);
	/* What the receiver does to its packet is not seen by who kept it. */
	struct paste_slot *got = paste_ring_slot(f.port[1]->receive, 0);
	memset(paste_buffer_data(f.region[0], got->buffer), 0, 2048);
	assert_memory_equal(paste_buffer_data(f.region[0], mine) + 64, want, sizeof(want));
	assert_int_equal(received(f.port[1]).copied, 1);
	assert_int_equal(received(f.port[1]).copied_bytes, 100);
	paste_buffer_put(f.region[0], mine);
	end(&f);
}

/* A header in the slot's own buffer and a value behind it, while the receiver has no room. */
static void references_are_held_until_they_are_received(void **state)
{
	struct fixture f;
	uint8_t value[500], got[PACKET_BYTES];
	uint32_t buffer, slots;

	begin(&f);
	for (uint64_t i = 0; i < SLOTS; i++)
		assert_true(packet_put_seed(f.port[0], i, 60, 0));
	paste_port_sync_transmit(f.port[0], 0);
	uint32_t out = fake_region_out(f.region[0]);
	assert_int_equal(paste_buffer_alloc(f.region[0], &buffer), 0);
	packet_bytes(50, value, sizeof(value));
	memcpy(paste_buffer_data(f.region[0], buffer) + 1000, value, sizeof(value));
	struct paste_ring *r = f.port[0]->transmit;
	struct paste_slot *own = paste_ring_slot(r, r->head++), *reference = paste_ring_slot(r, r->head++);
	uint32_t before = reference->buffer;
	*own = (struct paste_slot){own->buffer, 10, 42, PASTE_SLOT_MORE};
	memset(paste_buffer_data(f.region[0], own->buffer), 0x11, 64);
	*reference = (struct paste_slot){buffer, 1000, sizeof(value), PASTE_SLOT_REFERENCE};
	assert_int_equal(paste_port_sync_transmit(f.port[0], 0), SLOTS - 2);
	paste_buffer_put(f.region[0], buffer);
	assert_int_equal(fake_region_out(f.region[0]), out + 1);

	paste_port_sync_receive(f.port[1], 0);
	for (uint64_t i = 0; i < SLOTS; i++)
		packet_expect(f.port[1], i, 60);
	paste_port_sync_receive(f.port[1], 0);
	assert_int_equal(fake_region_out(f.region[0]), out); /* let go when the bytes had gone */
	assert_int_equal(reference->buffer, before);
	assert_int_equal(packet_take(f.port[1], got, &slots), 42 + sizeof(value));
	assert_int_equal(slots, 2);
	assert_int_equal(got[41], 0x11);
	assert_memory_equal(got + 42, value, sizeof(value));
	assert_int_equal(received(f.port[1]).copied, 1);
	assert_int_equal(received(f.port[1]).copied_bytes,
			 sizeof(value)); /* the header's buffer changed sides */
	end(&f);
}

static void packets_in_pieces_stay_whole(void **state)
{
	struct fixture f;
	uint8_t got[PACKET_BYTES], want[PACKET_BYTES];
	uint32_t slots;

	begin(&f);
	for (uint32_t round = 0; round < 30; round++) {
		uint32_t pieces = 1 + round % SLOTS, length = pieces * 100 - 7;
		packet_bytes(round, want, length);
		assert_true(packet_put(f.port[0], want, length, 100));
		assert_true(packet_put_seed(f.port[0], 1, 60, 0) || pieces == SLOTS);
		paste_port_sync_transmit(f.port[0], 0);
		paste_port_sync_receive(f.port[1], 0);
		assert_int_equal(packet_take(f.port[1], got, &slots), length);
		assert_int_equal(slots, pieces);
		assert_memory_equal(got, want, length);
		while (packet_take(f.port[1], got, NULL)) {
		}
		paste_port_sync_receive(f.port[1], 0);
		paste_port_sync_transmit(f.port[0], 0);
	}
	/* Five slots wait for a receiver that has four. */
	for (uint64_t i = 0; i < 4; i++)
		assert_true(packet_put_seed(f.port[0], i, 60, 0));
	paste_port_sync_transmit(f.port[0], 0);
	assert_true(packet_put_seed(f.port[0], 9, 500, 100));
	paste_port_sync_transmit(f.port[0], 0);
	assert_int_equal(paste_port_sync_receive(f.port[1], 0), 4);
	packet_expect(f.port[1], 0, 60);
	assert_int_equal(paste_port_sync_receive(f.port[1], 0), 3 + 5);
	end(&f);
}

static void what_is_no_packet_is_dropped_and_counted(void **state)
{
	struct fixture f;

	begin(&f);
	assert_true(packet_put_seed(f.port[0], 1, 100, 0));
	paste_ring_slot(f.port[0]->transmit, 0)->length = 0;
	assert_true(packet_put_seed(f.port[0], 2, 100, 0));
	paste_ring_slot(f.port[0]->transmit, 1)->offset = 2000;
	assert_true(packet_put_seed(f.port[0], 3, 100, 0));
	assert_int_equal(paste_port_sync_transmit(f.port[0], 0), SLOTS);
	assert_int_equal(paste_port_sync_receive(f.port[1], 0), 1);
	packet_expect(f.port[1], 3, 100);
	assert_int_equal(sent(f.port[0]).dropped, 2);
	end(&f);
}

static void between_regions_the_bytes_are_copied(void **state)
{
	static const struct {
		uint32_t a, b;
		uint32_t length, piece, slots;
	} table[] = {
	    {2048, 2048, 1500, 0, 1},    {2048, 2048, 3000, 1500, 2}, {4096, 2048, 4000, 0, 2},
	    {2048, 4096, 3900, 1950, 1}, {4096, 2048, 9000, 3000, 5}, {2048, 4096, 1, 0, 1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fixture f;
		uint8_t got[PACKET_BYTES], want[PACKET_BYTES];
		uint32_t slots;
		begin_two(&f, table[i].a, table[i].b);
		packet_bytes(i, want, table[i].length);
		for (int round = 0; round < 5; round++) {
			assert_true(packet_put(f.port[0], want, table[i].length, table[i].piece));
			assert_true(paste_port_sync_transmit(f.port[0], 0) >= 0);
			assert_int_equal(paste_port_sync_receive(f.port[1], 0), table[i].slots);
			assert_int_equal(packet_take(f.port[1], got, &slots), table[i].length);
			assert_int_equal(slots, table[i].slots);
			assert_memory_equal(got, want, table[i].length);
		}
		assert_int_equal(received(f.port[1]).copied, 5);
		assert_int_equal(received(f.port[1]).copied_bytes, 5 * table[i].length);
		end(&f);
	}
}

static void a_starving_receiver_recovers(void **state)
{
	struct fixture f;
	uint32_t kept[64], n = 0;

	begin(&f);
	/* Every packet is kept, until the region has nothing to give any more. */
	for (int i = 0; i < 200; i++) {
		packet_put_seed(f.port[0], 1, 60, 0);
		paste_port_sync_transmit(f.port[0], 0);
		if (paste_port_sync_receive(f.port[1], 0) == 0)
			continue;
		struct paste_ring *r = f.port[1]->receive;
		kept[n] = paste_ring_slot(r, r->head++)->buffer;
		r->cur = r->head;
		paste_buffer_get(f.region[0], kept[n++]);
	}
	assert_int_equal(n, 64 - 3 * SLOTS);
	assert_true(received(f.port[1]).starved > 0);
	assert_int_equal(fake_region_out(f.region[0]), 64);
	while (n > 0)
		paste_buffer_put(f.region[0], kept[--n]);
	uint64_t before = received(f.port[1]).packets;
	while (paste_port_sync_receive(f.port[1], 0) > 0)
		packet_expect(f.port[1], 1, 60);
	assert_int_equal(received(f.port[1]).packets, before + SLOTS);
	end(&f);
}

static void misuse_is_refused(void **state)
{
	struct fixture f;

	begin(&f);
	assert_int_equal(paste_port_sync_receive(f.port[0], 1), -EINVAL);
	assert_int_equal(paste_port_sync_transmit(f.port[0], 1), -EINVAL);
	f.port[0]->receive->head++;
	assert_int_equal(paste_port_sync_receive(f.port[0], 0), -EINVAL);
	f.port[0]->receive->head--;
	f.port[0]->transmit->head += SLOTS + 1;
	assert_int_equal(paste_port_sync_transmit(f.port[0], 0), -EINVAL);
	f.port[0]->transmit->head -= SLOTS + 1;
	assert_int_equal(paste_port_sync_transmit(f.port[0], 0), SLOTS);
	end(&f);
}

static void the_other_side_can_go_first(void **state)
{
	for (int first = 0; first < 2; first++) {
		struct fixture f;
		begin(&f);
		struct paste_port *sender = f.port[first], *other = f.port[!first];
		assert_true(packet_put_seed(sender, 1, 700, 100));
		paste_port_sync_transmit(sender, 0);
		assert_true(packet_put_seed(sender, 2, 100, 0));
		paste_port_sync_transmit(sender, 0);
		paste_port_close(sender);
		/* What was sent is received, then the port is down. */
		assert_int_equal(paste_port_sync_receive(other, 0), 8);
		packet_expect(other, 1, 700);
		packet_expect(other, 2, 100);
		assert_int_equal(paste_port_sync_receive(other, 0), -ENETDOWN);
		assert_int_equal(paste_port_poll(other, -1), -ENETDOWN);
		assert_true(packet_put_seed(other, 3, 100, 0));
		assert_int_equal(paste_port_sync_transmit(other, 0), -ENETDOWN);
		assert_int_equal(sent(other).dropped, 1);
		paste_port_close(other);
		region_proved(f.region[0]);
	}
}

/* Anything may happen in any order; every packet arrives once, in order, and every buffer comes back. */
static void a_long_run_by_chance(void **state)
{
	struct fixture f;
	uint64_t put[2] = {0}, got[2] = {0}, x = 1;
	uint32_t kept[16], n = 0;
	uint8_t bytes[PACKET_BYTES], want[PACKET_BYTES];

	begin(&f);
	for (int step = 0; step < 60000; step++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		int side = (int)(x >> 40) & 1;
		uint32_t length = 1 + (uint32_t)(x >> 41) % 900, choice = (uint32_t)(x >> 60);
		struct paste_ring *r = f.port[side]->receive;
		if (choice < 5) {
			put[side] += packet_put_seed(f.port[side], put[side], length, x >> 63 ? 0 : 300);
		} else if (choice < 8) {
			assert_true(paste_port_sync_transmit(f.port[side], 0) >= 0);
		} else if (choice < 11) {
			assert_true(paste_port_sync_receive(f.port[side], 0) >= 0);
		} else if (r->cur != r->tail) {
			if (choice == 15 && n < 16) {
				kept[n] = paste_ring_slot(r, r->cur)->buffer;
				paste_buffer_get(f.region[0], kept[n++]);
			}
			length = packet_take(f.port[side], bytes, NULL);
			packet_bytes(got[side]++, want, length);
			assert_memory_equal(bytes, want, length);
		}
		while (n > 8 && choice == 0)
			paste_buffer_put(f.region[0], kept[--n]);
	}
	assert_true(got[0] > 5000 && got[1] > 5000);
	while (n > 0)
		paste_buffer_put(f.region[0], kept[--n]);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_sent_is_received_in_order_without_a_copy),
	    cmocka_unit_test(nothing_is_lost_when_the_receiver_is_slow),
	    cmocka_unit_test(a_kept_packet_stays_as_it_is),
	    cmocka_unit_test(a_sent_buffer_that_somebody_keeps_is_copied),
	    cmocka_unit_test(references_are_held_until_they_are_received),
	    cmocka_unit_test(packets_in_pieces_stay_whole),
	    cmocka_unit_test(what_is_no_packet_is_dropped_and_counted),
	    cmocka_unit_test(between_regions_the_bytes_are_copied),
	    cmocka_unit_test(a_starving_receiver_recovers),
	    cmocka_unit_test(misuse_is_refused),
	    cmocka_unit_test(the_other_side_can_go_first),
	    cmocka_unit_test(a_long_run_by_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
