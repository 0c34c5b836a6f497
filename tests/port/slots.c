/* SPDX-License-Identifier: BSD-2-Clause */
#include "slots.h"

void packet_bytes(uint64_t seed, uint8_t *bytes, uint32_t length)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + length;

	for (uint32_t i = 0; i < length; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(x >> 56);
	}
}

bool packet_put(struct paste_port *p, const void *bytes, uint32_t length, uint32_t piece)
{
	struct paste_ring *r = &p->transmit[0];
	uint32_t slots = piece ? (length + piece - 1) / piece : 1;

	if (paste_ring_available(r) < slots)
		return false;
	for (uint32_t i = 0; i < slots; i++) {
		struct paste_slot *slot = paste_ring_slot(r, r->head++);
		uint32_t at = i * piece, now = i + 1 < slots ? piece : length - at;
		slot->offset = 64;
		slot->length = (uint16_t)now;
		slot->flags = i + 1 < slots ? PASTE_SLOT_MORE : 0;
		memcpy(paste_buffer_data(p->region, slot->buffer) + 64, (const uint8_t *)bytes + at, now);
	}
	r->cur = r->head;
	return true;
}

bool packet_put_seed(struct paste_port *p, uint64_t seed, uint32_t length, uint32_t piece)
{
	uint8_t bytes[PACKET_BYTES];

	packet_bytes(seed, bytes, length);
	return packet_put(p, bytes, length, piece);
}

uint32_t packet_take(struct paste_port *p, uint8_t *bytes, uint32_t *slots)
{
	struct paste_ring *r = &p->receive[0];
	uint32_t length = 0, n = 0;
	const struct paste_slot *slot;

	if (r->cur == r->tail)
		return 0;
	do {
		assert_int_not_equal(r->cur, r->tail); /* a packet is shown whole */
		slot = paste_ring_slot(r, r->cur++);
		assert_true(slot->length > 0 && slot->offset + slot->length <= paste_buffer_size(p->region));
		assert_true(length + slot->length <= PACKET_BYTES);
		memcpy(bytes + length, paste_buffer_data(p->region, slot->buffer) + slot->offset,
		       slot->length);
		length += slot->length;
		n++;
	} while (slot->flags & PASTE_SLOT_MORE);
	r->head = r->cur;
	if (slots)
		*slots = n;
	return length;
}

void packet_expect(struct paste_port *p, uint64_t seed, uint32_t length)
{
	uint8_t got[PACKET_BYTES], want[PACKET_BYTES];

	assert_int_equal(packet_take(p, got, NULL), length);
	packet_bytes(seed, want, length);
	assert_memory_equal(got, want, length);
}

void region_proved(struct paste_region *r)
{
	assert_int_equal(fake_region_out(r), 0);
	fake_region_free(r);
}
