/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipe.c - two ports back to back, in memory.
 *
 * A packet moves when one side syncs its transmit ring or the other its receive ring, whichever comes first
 * with slots free on the receiving side. It moves whole or not at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "port/ring.h"

#define FRAGMENTS 16

struct end {
	struct paste_port port;
	struct paste_ring receive, transmit;
	struct ring in, out;
	struct end *peer; /* NULL: closed */
};

static struct end *end_of(struct paste_port *p)
{
	return (struct end *)p;
}

/* Slots that `bytes` take when they are copied into buffers of another region; those of a packet keep their
 * cut where the buffers are equal. */
static uint32_t slots_needed(const struct ring *in, const struct ring *out, uint32_t slots, uint32_t bytes)
{
	uint32_t size = paste_buffer_size(in->region);

	if (size == paste_buffer_size(out->region))
		return slots;
	return (bytes + size - 1) / size;
}

/* The receiver's next `n` slots are the port's and have buffers. */
static bool slots_ready(struct ring *in, uint32_t n)
{
	if (n > in->done + in->ring->size - in->arrived)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (!ring_slot_fill(in, paste_ring_slot(in->ring, in->arrived + i)))
			return false;
	}
	return true;
}

static void slot_describe(struct paste_slot *to, const struct paste_slot *from)
{
	to->offset = from->offset;
	to->length = from->length;
	to->flags = from->flags & (PASTE_SLOT_MORE | PASTE_SLOT_CHECKSUM);
	to->checksum_start = from->checksum_start;
	to->checksum_offset = from->checksum_offset;
}

/* Slot by slot: an own buffer that nobody keeps changes sides, what is in any other is copied. The bytes
 * copied. */
static uint32_t move_slots(struct ring *in, struct ring *out, uint32_t n)
{
	bool same = in->region == out->region;
	uint32_t copied = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct paste_slot *to = paste_ring_slot(in->ring, in->arrived + i);
		struct paste_slot *from = paste_ring_slot(out->ring, out->done + i);
		slot_describe(to, from);
		if (same && !(from->flags & PASTE_SLOT_REFERENCE) &&
		    paste_buffer_renew(in->region, from->buffer)) {
			from->buffer = paste_port_swap(to, from->buffer);
			continue;
		}
		memcpy(paste_buffer_data(in->region, to->buffer) + to->offset,
		       paste_buffer_data(out->region, from->buffer) + from->offset, from->length);
		copied += from->length;
	}
	return copied;
}

/* The same bytes cut anew, where the buffers are of another size. */
static void pour(struct ring *in, struct ring *out, uint32_t n, uint32_t bytes)
{
	uint32_t size = paste_buffer_size(in->region), left = bytes, at = 0, used = 0;
	struct paste_slot *to = NULL;
	const struct paste_slot *first = paste_ring_slot(out->ring, out->done);

	for (uint32_t i = 0; i < n; i++) {
		const struct paste_slot *from = paste_ring_slot(out->ring, out->done + i);
		const uint8_t *source = paste_buffer_data(out->region, from->buffer) + from->offset;
		for (uint32_t done = 0, now; done < from->length; done += now) {
			if (!to || at == size) {
				to = paste_ring_slot(in->ring, in->arrived + used++);
				slot_describe(to, first);
				to->offset = 0;
				to->length = (uint16_t)(left < size ? left : size);
				to->flags = (first->flags & PASTE_SLOT_CHECKSUM) |
					    (left > size ? PASTE_SLOT_MORE : 0);
				left -= to->length;
				at = 0;
			}
			now = from->length - done < size - at ? from->length - done : size - at;
			memcpy(paste_buffer_data(in->region, to->buffer) + at, source + done, now);
			at += now;
		}
	}
}

static void count(struct paste_ring_stats *s, uint32_t slots, uint32_t bytes)
{
	s->packets++;
	s->bytes += bytes;
	s->slots += slots;
}

/* The common case by itself, because it is what the ring layer costs: packets of one slot whose buffers
 * change sides. Stops before the first that is anything else, or finds no slot. */
static void exchange_single(struct ring *in, struct ring *out)
{
	uint32_t size = paste_buffer_size(out->region), mask = out->ring->size - 1;
	uint32_t done = out->done, arrived = in->arrived, room = in->done + in->ring->size, n;
	struct paste_slot *slots_in = in->ring->slot, *slots_out = out->ring->slot;
	uint64_t bytes = 0;

	for (; done != out->taken && arrived != room; done++, arrived++) {
		struct paste_slot *from = &slots_out[done & mask], *to = &slots_in[arrived & mask];
		uint32_t empty = to->buffer;
		if ((from->flags & (PASTE_SLOT_MORE | PASTE_SLOT_REFERENCE)) || from->length == 0 ||
		    (uint32_t)from->offset + from->length > size || empty == RING_NO_BUFFER ||
		    !paste_buffer_renew(in->region, from->buffer))
			break;
		*to = *from;
		from->buffer = out->own[done & mask] = empty;
		from->flags = 0;
		bytes += to->length;
	}
	n = done - out->done;
	in->arrived = arrived;
	out->done = done;
	in->stats.packets += n;
	in->stats.slots += n;
	in->stats.bytes += bytes;
	out->stats.packets += n;
	out->stats.slots += n;
	out->stats.bytes += bytes;
}

static void pipe_move(struct end *from, struct end *to)
{
	struct ring *out = &from->out, *in = &to->in;

	for (;;) {
		if (in->region == out->region)
			exchange_single(in, out);
		if (out->done == out->taken)
			return;
		uint32_t bytes, n = ring_packet(out, out->done, &bytes);
		uint32_t need = slots_needed(in, out, n, bytes);
		if (bytes == 0 || need > in->ring->size) {
			out->stats.dropped++;
			ring_complete(out, n);
			continue;
		}
		if (!slots_ready(in, need))
			return;
		uint32_t copied = bytes;
		if (paste_buffer_size(in->region) == paste_buffer_size(out->region))
			copied = move_slots(in, out, n);
		else
			pour(in, out, n, bytes);
		in->stats.copied += copied > 0;
		in->stats.copied_bytes += copied;
		count(&in->stats, need, bytes);
		count(&out->stats, n, bytes);
		in->arrived += need;
		ring_complete(out, n);
	}
}

static int pipe_sync_receive(struct paste_port *p, uint32_t queue)
{
	struct end *e = end_of(p);

	if (queue != 0 || !ring_head_valid(&e->in))
		return -EINVAL;
	ring_give_back(&e->in);
	if (e->peer)
		pipe_move(e->peer, e);
	/* All slots but those with packets lack a buffer: nothing can arrive before somebody puts one. */
	if (e->in.arrived != e->in.done + e->in.ring->size &&
	    !ring_slot_fill(&e->in, paste_ring_slot(e->in.ring, e->in.arrived)))
		e->in.stats.starved++;
	int n = ring_show(&e->in);
	return n == 0 && !e->peer ? -ENETDOWN : n;
}

static int pipe_sync_transmit(struct paste_port *p, uint32_t queue)
{
	struct end *e = end_of(p);

	if (queue != 0 || !ring_head_valid(&e->out))
		return -EINVAL;
	ring_take(&e->out);
	if (e->peer) {
		pipe_move(e, e->peer);
		return ring_return(&e->out);
	}
	for (uint32_t bytes, n; e->out.done != e->out.taken; ring_complete(&e->out, n)) {
		n = ring_packet(&e->out, e->out.done, &bytes);
		e->out.stats.dropped++;
	}
	ring_return(&e->out);
	return -ENETDOWN;
}

/* What would wake it is in this thread: waiting could only be for ever. */
static int pipe_poll(struct paste_port *p, int64_t timeout_us)
{
	struct end *e = end_of(p);

	if (e->in.arrived != e->receive.cur)
		return 1;
	if (!e->peer)
		return -ENETDOWN;
	return e->peer->out.done != e->peer->out.taken;
}

static int pipe_fd(struct paste_port *p)
{
	return -1;
}

static void pipe_stats(struct paste_port *p, uint32_t queue, struct paste_ring_stats *receive,
		       struct paste_ring_stats *transmit)
{
	*receive = end_of(p)->in.stats;
	*transmit = end_of(p)->out.stats;
}

static uint32_t pipe_posted(struct paste_port *p, uint32_t queue)
{
	return ring_posted(&end_of(p)->in);
}

static void pipe_close(struct paste_port *p)
{
	struct end *e = end_of(p);

	/* The peer has what it had slots for; the rest goes with this ring. */
	if (e->peer)
		e->peer->peer = NULL;
	ring_close(&e->in);
	ring_close(&e->out);
	free(e);
}

static const struct paste_port_ops pipe_ops = {
    .sync_receive = pipe_sync_receive,
    .sync_transmit = pipe_sync_transmit,
    .poll = pipe_poll,
    .fd = pipe_fd,
    .stats = pipe_stats,
    .posted = pipe_posted,
    .close = pipe_close,
};

static int end_open(struct paste_region *region, uint32_t slots, uint8_t number, struct end **end,
		    struct paste_error *err)
{
	struct end *e = calloc(1, sizeof(*e));

	if (!e)
		return paste_fail(err, -ENOMEM, "out of memory");
	e->port = (struct paste_port){
	    .ops = &pipe_ops,
	    .region = region,
	    .info = {.name = "pipe",
		     .mode = "pipe",
		     .queues = 1,
		     .fragments = slots < FRAGMENTS ? slots : FRAGMENTS,
		     .gather_bytes = UINT32_MAX},
	    .receive = &e->receive,
	    .transmit = &e->transmit,
	};
	/* Locally administered (IEEE 802, the second bit of the first byte). */
	memcpy(e->port.info.mac, (uint8_t[]){2, 'p', 'i', 'p', 'e', number}, 6);
	int ret = ring_open(&e->in, &e->receive, region, RING_RECEIVE, slots, FRAGMENTS, err);
	if (ret == 0) {
		ret = ring_open(&e->out, &e->transmit, region, RING_TRANSMIT, slots, FRAGMENTS, err);
		if (ret < 0)
			ring_close(&e->in);
	}
	if (ret < 0)
		free(e);
	else
		*end = e;
	return ret;
}

int paste_pipe_open(struct paste_region *a, struct paste_region *b, uint32_t slots,
		    struct paste_port *port[2], struct paste_error *err)
{
	struct end *e[2];
	int ret = end_open(a, slots, 1, &e[0], err);

	if (ret < 0)
		return ret;
	ret = end_open(b, slots, 2, &e[1], err);
	if (ret < 0) {
		pipe_close(&e[0]->port);
		return ret;
	}
	e[0]->peer = e[1];
	e[1]->peer = e[0];
	port[0] = &e[0]->port;
	port[1] = &e[1]->port;
	return 0;
}
