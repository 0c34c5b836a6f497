/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets arrive: the bytes of values land in buffers, cut and scattered as a NIC or a socket would. */
#include "life.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static uint64_t buffer_offset(const struct life *life, uint32_t buffer)
{
	return paste_buffer_data(life->r, buffer) - life->m->base;
}

/* A packet of some other length than any request's gets under way to a posted buffer. */
static void hold_packet(struct life *life, uint32_t buffer)
{
	uint32_t size = paste_buffer_size(life->r), at = sim_below(&life->random, 128);
	uint32_t n = sim_between(&life->random, 1, size - at);
	uint8_t bytes[4096];

	sim_fill(&life->random, bytes, n);
	sim_device_hold(life->m, buffer_offset(life, buffer) + at, bytes, n);
}

static void release_packet(struct life *life, uint32_t buffer)
{
	sim_device_release(life->m, buffer_offset(life, buffer), paste_buffer_size(life->r),
			   sim_draw(&life->random) & 1);
}

void intake_post(struct life *life)
{
	while (life->ring_n < life->ring_want) {
		uint32_t buffer;

		if (paste_buffer_alloc(life->r, &buffer) != 0)
			return;
		life->ring[life->ring_n++] = buffer;
		if (sim_chance(&life->random, 8))
			hold_packet(life, buffer);
	}
}

void intake_unpost(struct life *life)
{
	while (life->ring_n) {
		uint32_t buffer = life->ring[--life->ring_n];

		release_packet(life, buffer);
		paste_buffer_put(life->r, buffer);
	}
}

/* The packet being assembled is complete: it lands, at once and whole. */
static void packet_lands(struct life *life)
{
	if (!life->packet)
		return;
	/* Not all of a buffer is written. */
	sim_device_write(life->m, buffer_offset(life, life->taken[life->taken_n - 1]), life->packet,
			 life->packet_at);
	free(life->packet);
	life->packet = NULL;
}

/* Begin a packet in the oldest posted buffer. */
static bool packet_begin(struct life *life)
{
	uint32_t size = paste_buffer_size(life->r);

	packet_lands(life);
	intake_post(life);
	if (life->ring_n == 0 || life->taken_n == TAKEN_MAX)
		return false;
	uint32_t buffer = life->ring[0];
	memmove(life->ring, life->ring + 1, --life->ring_n * sizeof(life->ring[0]));
	release_packet(life, buffer);
	life->taken[life->taken_n++] = buffer;
	life->packet = malloc(size);
	if (!life->packet)
		abort();
	/* What stands around the values: other heads, other requests. */
	sim_fill(&life->random, life->packet, size);
	life->packet_at = 0;
	return true;
}

static void slices_add(struct life *life, struct slices *slices, uint32_t at, uint32_t n)
{
	uint32_t buffer = life->taken[life->taken_n - 1], size = paste_buffer_size(life->r);
	struct paste_ref *last = slices->n ? &slices->ref[slices->n - 1] : NULL;

	/* Goes on where the last slice ended, perhaps in the next buffer of the same segment: one slice. */
	if (last &&
	    (uint64_t)last->buffer * size + last->offset + last->length == (uint64_t)buffer * size + at &&
	    last->buffer / life->r->per_segment == buffer / life->r->per_segment &&
	    last->length + n <= UINT16_MAX && !sim_chance(&life->random, 8)) {
		last->length += n;
		return;
	}
	if (slices->n == slices->room) {
		slices->room = slices->room ? 2 * slices->room : 8;
		slices->ref = realloc(slices->ref, slices->room * sizeof(*slices->ref));
		if (!slices->ref)
			abort();
	}
	slices->ref[slices->n++] = (struct paste_ref){.buffer = buffer, .offset = at, .length = n};
}

/* How a value is cut. */
struct shape {
	bool own_buffer;  /* each piece begins a packet */
	uint32_t gap_max; /* bytes of something else before a piece */
	uint32_t piece_min, piece_max;
};

static struct shape draw_shape(struct life *life, uint32_t length)
{
	uint32_t size = paste_buffer_size(life->r), pieces = sim_chance(&life->random, 3) ? 300 : 40;

	switch (sim_below(&life->random, 4)) {
	case 0: /* TCP segments, a packet a buffer */
		return (struct shape){true, 100, 1, 1448};
	case 1: /* chunks */
		return (struct shape){false, 12, 1 + length / pieces / 2, 1 + length * 2 / pieces};
	default: /* a socket fills buffer after buffer */
		return (struct shape){false, sim_chance(&life->random, 2) ? 0 : 200, size, size};
	}
}

bool intake_value(struct life *life, const struct blob *b, struct slices *slices)
{
	uint32_t size = paste_buffer_size(life->r), done = 0;
	struct shape shape = draw_shape(life, b->length);

	*slices = (struct slices){0};
	if (sim_chance(&life->random, 4))
		packet_lands(life); /* else it shares a buffer with the request before */
	while (done < b->length) {
		if ((!life->packet || shape.own_buffer || life->packet_at == size) && !packet_begin(life))
			goto out_of_buffers;
		uint32_t gap = shape.gap_max ? sim_below(&life->random, shape.gap_max) : 0;
		if (life->packet_at == 0 && !shape.own_buffer && slices->n)
			gap = 0;
		if (life->packet_at + gap >= size) {
			life->packet_at = size;
			continue;
		}
		life->packet_at += gap;
		uint32_t n = sim_between(&life->random, shape.piece_min, shape.piece_max);
		if (n > size - life->packet_at)
			n = size - life->packet_at;
		if (n > b->length - done)
			n = b->length - done;
		memcpy(life->packet + life->packet_at, b->bytes + done, n);
		slices_add(life, slices, life->packet_at, n);
		life->packet_at += n;
		done += n;
	}
	for (uint32_t i = 0; i < slices->n; i++)
		paste_ref_get(life->r, slices->ref[i]);
	return true;
out_of_buffers:
	free(slices->ref);
	*slices = (struct slices){0};
	return false;
}

void intake_land(struct life *life)
{
	packet_lands(life);
	while (life->taken_n)
		paste_buffer_put(life->r, life->taken[--life->taken_n]);
}

void slices_put(struct life *life, struct slices *slices)
{
	for (uint32_t i = 0; i < slices->n; i++)
		paste_ref_put(life->r, slices->ref[i]);
	free(slices->ref);
	*slices = (struct slices){0};
}

/* A word in each line is enough to spoil any slice that is wrongly there still. */
static void spoil(struct life *life, uint32_t buffer)
{
	uint32_t size = paste_buffer_size(life->r);

	for (uint32_t at = 0; at < size; at += 64) {
		uint64_t word = sim_draw(&life->random);
		sim_device_write(life->m, buffer_offset(life, buffer) + at + 8 * (word % 8), &word, 8);
	}
}

void intake_flood(struct life *life)
{
	uint32_t n = 0, room = paste_buffer_count(life->r);
	uint32_t *buffers = malloc(room * sizeof(*buffers));

	if (!buffers)
		abort();
	while (n < room && paste_buffer_alloc(life->r, &buffers[n]) == 0)
		spoil(life, buffers[n++]);
	while (n)
		paste_buffer_put(life->r, buffers[--n]);
	free(buffers);
}
