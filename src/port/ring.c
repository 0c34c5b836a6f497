/* SPDX-License-Identifier: BSD-2-Clause */
#include "port/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/site.h"

int ring_open(struct ring *x, struct paste_ring *ring, struct paste_region *region, enum ring_kind kind,
	      uint32_t size, uint32_t fragments, struct paste_error *err)
{
	if (size == 0 || (size & (size - 1)) != 0 || size > 1u << 20)
		return paste_fail(err, -EINVAL, "a ring has a power of two of slots, at most 2^20, not %u",
				  size);
	*ring = (struct paste_ring){.size = size};
	*x = (struct ring){.ring = ring, .region = region, .most = fragments < size ? fragments : size};
	ring->slot = calloc(size, sizeof(*ring->slot));
	if (kind == RING_TRANSMIT)
		x->own = calloc(size, sizeof(*x->own));
	if (!ring->slot || (kind == RING_TRANSMIT && !x->own)) {
		free(ring->slot);
		return paste_fail(err, -ENOMEM, "out of memory for a ring of %u slots", size);
	}
	paste_buffer_standing(region, (int32_t)size);
	for (uint32_t i = 0; i < size; i++)
		ring->slot[i].buffer = RING_NO_BUFFER;
	for (uint32_t i = 0; i < size && kind != RING_RECEIVE_EMPTY; i++) {
		int ret = paste_buffer_alloc(region, &ring->slot[i].buffer);
		if (ret < 0) {
			ring->slot[i].buffer = RING_NO_BUFFER;
			ring_close(x);
			return paste_fail(err, ret,
					  "a ring of %u slots needs as many free buffers, and there are %u",
					  size, i);
		}
		if (x->own)
			x->own[i] = ring->slot[i].buffer;
	}
	if (kind == RING_TRANSMIT)
		ring->tail = size;
	return 0;
}

void ring_close(struct ring *x)
{
	for (uint32_t k = 0; x->ring->slot && k < x->ring->size; k++) {
		uint32_t i = x->done + k; /* each slot once, those under way first */
		struct paste_slot *slot = paste_ring_slot(x->ring, i);
		bool reference = x->own && (slot->flags & PASTE_SLOT_REFERENCE);
		uint32_t buffer = reference ? x->own[i & (x->ring->size - 1)] : slot->buffer;
		if (buffer != RING_NO_BUFFER)
			paste_buffer_put(x->region, buffer);
		if (reference && k < x->taken - x->done)
			paste_buffer_put(x->region, slot->buffer);
	}
	if (x->ring->slot)
		paste_buffer_standing(x->region, -(int32_t)x->ring->size);
	free(x->ring->slot);
	free(x->own);
	*x->ring = (struct paste_ring){0};
	x->own = NULL;
}

uint32_t ring_renew(struct ring *x, uint32_t buffer)
{
	if (paste_buffer_renew(x->region, buffer) || !SITE(port_buffer_kept))
		return buffer;
	paste_buffer_put(x->region, buffer);
	if (paste_buffer_alloc(x->region, &buffer) < 0)
		return RING_NO_BUFFER;
	x->stats.replaced++;
	return buffer;
}

uint32_t ring_posted(const struct ring *x)
{
	uint32_t n = 0;

	for (uint32_t i = x->arrived; i != x->done + x->ring->size; i++)
		n += paste_ring_slot(x->ring, i)->buffer != RING_NO_BUFFER;
	return n;
}

bool ring_slot_fill(struct ring *x, struct paste_slot *slot)
{
	if (slot->buffer != RING_NO_BUFFER)
		return true;
	if (paste_buffer_alloc(x->region, &slot->buffer) < 0) {
		slot->buffer = RING_NO_BUFFER;
		return false;
	}
	x->stats.replaced++;
	return true;
}

bool ring_head_valid(const struct ring *x)
{
	return x->ring->head - x->done <= x->ring->tail - x->done;
}

void ring_give_back(struct ring *x)
{
	for (; x->done != x->ring->head; x->done++) {
		struct paste_slot *slot = paste_ring_slot(x->ring, x->done);
		if (!paste_buffer_renew(x->region, slot->buffer))
			slot->buffer = ring_renew(x, slot->buffer);
	}
}

int ring_show(struct ring *x)
{
	x->ring->tail = x->arrived;
	return (int)paste_ring_available(x->ring);
}

void ring_take(struct ring *x)
{
	const struct paste_ring *r = x->ring;
	uint32_t end = r->head;

	/* A packet whose last slot is still to come stays the application's to finish. */
	while (end != x->taken && (paste_ring_slot(r, end - 1)->flags & PASTE_SLOT_MORE))
		end--;
	/* Unless it never can: then it is one that ring_packet() finds too long. */
	if (end == x->taken && r->head == r->tail && x->done == x->taken)
		end = r->head;
	for (; x->taken != end; x->taken++) {
		const struct paste_slot *slot = paste_ring_slot(r, x->taken);
		if (slot->flags & PASTE_SLOT_REFERENCE)
			paste_buffer_get(x->region, slot->buffer);
	}
}

uint32_t ring_packet(const struct ring *x, uint32_t at, uint32_t *bytes)
{
	uint32_t size = paste_buffer_size(x->region), sum = 0, n = 0;
	bool good = true, more;

	do {
		const struct paste_slot *slot = paste_ring_slot(x->ring, at + n++);
		good = good && slot->length > 0 && (uint32_t)slot->offset + slot->length <= size;
		sum += slot->length;
		more = (slot->flags & PASTE_SLOT_MORE) && at + n != x->taken;
	} while (more);
	*bytes = good && n <= x->most ? sum : 0;
	return n;
}

void ring_complete(struct ring *x, uint32_t slots)
{
	for (; slots > 0; slots--, x->done++) {
		struct paste_slot *slot = paste_ring_slot(x->ring, x->done);
		uint32_t *own = &x->own[x->done & (x->ring->size - 1)];
		assert(x->done != x->taken);
		if (slot->flags & PASTE_SLOT_REFERENCE) {
			paste_buffer_put(x->region, slot->buffer);
			slot->buffer = *own;
		} else {
			*own = slot->buffer;
		}
		slot->flags = 0;
	}
}

int ring_return(struct ring *x)
{
	x->ring->tail = x->done + x->ring->size;
	return (int)paste_ring_available(x->ring);
}
