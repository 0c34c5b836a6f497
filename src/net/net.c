/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define QUEUES_MAX 64
/* Frames begin at one of so many lines of their buffers in turn: all at the same line of buffers of 2 or 4
 * KiB would share a few sets of the caches. */
#define COLOURS 4

struct net {
	struct paste_port *port;
	struct paste_ring *transmit;
	struct packet_options check;
	bool bare_sums;
	uint8_t *area; /* where the region's buffers are */
	uint32_t buffer_size;
	uint32_t queues, next_queue;
	uint32_t seen[QUEUES_MAX]; /* slots of each receive ring before it were worked on */

	struct net_handler handler[NET_HANDLERS];
	uint32_t handlers;

	uint32_t frame; /* head when the frame under construction began */
	uint32_t frame_bytes;
	bool unsent; /* frames were made since the last sync */

	struct net_stats stats;
	struct net_packet batch[NET_BATCH];
	const struct net_handler *taker[NET_BATCH]; /* NULL: refused */
};

int net_open(const struct net_options *options, struct net **net, struct paste_error *err)
{
	struct paste_port *port = options->port;

	if (port->info.queues > QUEUES_MAX)
		return paste_fail(err, -EINVAL, "%s has %u queues, at most %d can be served", port->info.name,
				  port->info.queues, QUEUES_MAX);
	struct net *n = calloc(1, sizeof(*n));
	if (!n)
		return paste_fail(err, -ENOMEM, "out of memory");
	n->port = port;
	n->transmit = &port->transmit[0];
	n->check = (struct packet_options){
	    .mac = options->any_mac ? NULL : port->info.mac,
	    .vlan = options->vlan,
	};
	n->bare_sums = options->bare_sums;
	n->area = paste_buffer_data(port->region, 0);
	n->buffer_size = paste_buffer_size(port->region);
	n->queues = port->info.queues;
	for (uint32_t q = 0; q < n->queues; q++)
		n->seen[q] = port->receive[q].head;
	for (uint32_t i = 0; i < NET_BATCH; i++)
		n->batch[i].index = i;
	*net = n;
	return 0;
}

void net_close(struct net *n)
{
	if (!n)
		return;
	for (uint32_t q = 0; q < n->queues; q++)
		n->port->receive[q].head = n->port->receive[q].cur = n->seen[q];
	free(n);
}

int net_attach(struct net *n, const struct net_handler *handler)
{
	for (uint32_t i = 0; i < n->handlers; i++) {
		if (n->handler[i].protocol == handler->protocol)
			return -EEXIST;
	}
	if (n->handlers == NET_HANDLERS)
		return -ENOSPC;
	n->handler[n->handlers++] = *handler;
	return 0;
}

void net_detach(struct net *n, uint8_t protocol)
{
	for (uint32_t i = 0; i < n->handlers; i++) {
		if (n->handler[i].protocol == protocol)
			n->handler[i] = n->handler[--n->handlers];
	}
}

struct paste_port *net_port(const struct net *n)
{
	return n->port;
}

uint32_t net_fragments(const struct net *n)
{
	return n->port->info.fragments;
}

bool net_offloads(const struct net *n)
{
	return n->port->info.transmit_checksum;
}

void net_stats(const struct net *n, struct net_stats *stats)
{
	*stats = n->stats;
}

static uint8_t *buffer_data(const struct net *n, uint32_t buffer)
{
	return n->area + (uint64_t)buffer * n->buffer_size;
}

/* --- receiving */

/* The packet whose first slot is at `at`; its slots. */
static uint32_t gather_slots(struct net *n, const struct paste_ring *r, uint32_t at, struct net_packet *p)
{
	const struct paste_slot *slot = paste_ring_slot(r, at);
	uint32_t slots = 0;

	p->bare_sums = n->bare_sums || (slot->flags & PASTE_SLOT_CHECKSUM);
	for (;;) {
		if (slots < NET_SLICES) {
			p->slot[slots] = (struct paste_ref){slot->buffer, slot->offset, slot->length};
			p->piece[slots] = (struct packet_piece){
			    buffer_data(n, slot->buffer) + slot->offset, slot->length};
		}
		n->stats.received_bytes += slot->length;
		slots++;
		if (!(slot->flags & PASTE_SLOT_MORE) || at + slots == r->tail)
			break;
		slot = paste_ring_slot(r, at + slots);
	}
	p->n = slots;
	n->stats.received++;
	return slots;
}

static const struct net_handler *handler_of(const struct net *n, uint8_t protocol)
{
	for (uint32_t i = 0; i < n->handlers; i++) {
		if (n->handler[i].protocol == protocol)
			return &n->handler[i];
	}
	return NULL;
}

static const struct net_handler *parse(struct net *n, struct net_packet *p)
{
	enum packet_check bad = PACKET_SLICES;
	const struct net_handler *h = NULL;

	if (p->n <= NET_SLICES)
		bad = packet_parse(p->piece, p->n, &n->check, &p->head);
	if (!bad) {
		h = handler_of(n, p->head.protocol);
		bad = h ? h->prepare(h->arg, p) : PACKET_PROTOCOL_OTHER;
	}
	if (!bad)
		return h;
	n->stats.refused[bad]++;
	return NULL;
}

static void prefetch_frames(struct net *n, const struct paste_ring *r, uint32_t at)
{
	for (uint32_t i = 0; i < NET_BATCH && at != r->tail; i++, at++) {
		const struct paste_slot *slot = paste_ring_slot(r, at);
		const uint8_t *frame = buffer_data(n, slot->buffer) + slot->offset;
		__builtin_prefetch(frame);
		__builtin_prefetch(frame + 64);
	}
}

/* The next packets of the ring through all stages; how many. */
static uint32_t work_on_batch(struct net *n, uint32_t queue)
{
	const struct paste_ring *r = &n->port->receive[queue];
	uint32_t count = 0;

	prefetch_frames(n, r, n->seen[queue]);
	for (; count < NET_BATCH && n->seen[queue] != r->tail; count++)
		n->seen[queue] += gather_slots(n, r, n->seen[queue], &n->batch[count]);
	for (uint32_t i = 0; i < count; i++)
		n->taker[i] = parse(n, &n->batch[i]);
	for (uint32_t i = 0; i < count; i++) {
		if (n->taker[i] && n->taker[i]->approach)
			n->taker[i]->approach(n->taker[i]->arg, &n->batch[i]);
	}
	for (uint32_t i = 0; i < count; i++) {
		if (!n->taker[i])
			continue;
		enum packet_check bad = n->taker[i]->receive(n->taker[i]->arg, &n->batch[i]);
		if (bad)
			n->stats.refused[bad]++;
	}
	return count;
}

int net_receive(struct net *n, uint32_t most, bool (*stop)(void *arg), void *arg)
{
	uint32_t done = 0, now = 1;

	for (uint32_t i = 0; i < n->handlers; i++) {
		if (n->handler[i].settle)
			n->handler[i].settle(n->handler[i].arg);
	}
	for (uint32_t q = 0; q < n->queues; q++) {
		struct paste_ring *r = &n->port->receive[q];
		r->head = r->cur = n->seen[q];
		int ret = paste_port_sync_receive(n->port, q);
		if (ret < 0)
			return ret;
	}
	/* A batch of each queue in turn, beginning with another one each time. */
	while (now > 0 && done < most) {
		now = 0;
		for (uint32_t i = 0; i < n->queues && done < most && !(stop && stop(arg)); i++) {
			uint32_t count = work_on_batch(n, n->next_queue++ % n->queues);
			now += count;
			done += count;
		}
	}
	/* To be woken for what is not worked on yet, too. */
	for (uint32_t q = 0; q < n->queues; q++)
		n->port->receive[q].cur = n->seen[q];
	return (int)done;
}

bool net_came(struct net *n)
{
	bool came = false;

	for (uint32_t i = 0; i < n->handlers; i++) {
		if (n->handler[i].came)
			came |= n->handler[i].came(n->handler[i].arg);
	}
	return came;
}

uint32_t net_packet_slices_of(const struct net_packet *p, uint32_t at, uint32_t length, struct paste_ref *slices)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n && length > 0; i++) {
		const struct paste_ref *slot = &p->slot[i];
		if (at >= slot->length) {
			at -= slot->length;
			continue;
		}
		uint32_t now = slot->length - at < length ? slot->length - at : length;
		slices[n++] = (struct paste_ref){slot->buffer, (uint16_t)(slot->offset + at), (uint16_t)now};
		length -= now;
		at = 0;
	}
	return n;
}

/* --- sending */

bool net_frame_begin(struct net *n, uint32_t slots)
{
	if (paste_ring_available(n->transmit) < slots) {
		paste_port_sync_transmit(n->port, 0);
		n->stats.flushes++;
		n->unsent = false;
		if (paste_ring_available(n->transmit) < slots) {
			n->stats.blocked++;
			return false;
		}
	}
	n->frame = n->transmit->head;
	n->frame_bytes = 0;
	return true;
}

static uint32_t own_offset(const struct net *n)
{
	return NET_TRANSMIT_OFFSET + n->transmit->head % COLOURS * 64;
}

uint8_t *net_own(struct net *n)
{
	const struct paste_slot *slot = paste_ring_slot(n->transmit, n->transmit->head);

	return buffer_data(n, slot->buffer) + own_offset(n);
}

uint32_t net_own_room(const struct net *n)
{
	return n->buffer_size - NET_TRANSMIT_OFFSET - (COLOURS - 1) * 64;
}

void net_own_end(struct net *n, uint32_t length)
{
	struct paste_slot *slot = paste_ring_slot(n->transmit, n->transmit->head);

	assert(length > 0 && length <= net_own_room(n));
	slot->offset = (uint16_t)own_offset(n);
	n->transmit->head++;
	slot->length = (uint16_t)length;
	slot->flags = PASTE_SLOT_MORE;
	n->frame_bytes += length;
}

void net_reference(struct net *n, struct paste_ref ref)
{
	while (ref.length > 0) {
		struct paste_slot *slot = paste_ring_slot(n->transmit, n->transmit->head++);
		uint32_t room = n->buffer_size - ref.offset;
		uint16_t now = (uint16_t)(ref.length < room ? ref.length : room);

		slot->buffer = ref.buffer++;
		slot->offset = ref.offset;
		slot->length = now;
		slot->flags = PASTE_SLOT_REFERENCE | PASTE_SLOT_MORE;
		n->frame_bytes += now;
		ref.length -= now;
		ref.offset = 0;
	}
}

void net_frame_checksum(struct net *n, uint32_t start, uint32_t offset)
{
	struct paste_slot *slot = paste_ring_slot(n->transmit, n->frame);

	slot->flags |= PASTE_SLOT_CHECKSUM;
	slot->checksum_start = (uint16_t)start;
	slot->checksum_offset = (uint16_t)offset;
}

void net_frame_end(struct net *n)
{
	paste_ring_slot(n->transmit, n->transmit->head - 1)->flags &= (uint16_t)~PASTE_SLOT_MORE;
	n->transmit->cur = n->transmit->head;
	n->unsent = true;
	n->stats.sent++;
	n->stats.sent_bytes += n->frame_bytes;
}

int net_flush(struct net *n)
{
	if (!n->unsent)
		return 0;
	n->unsent = false;
	n->stats.flushes++;
	int ret = paste_port_sync_transmit(n->port, 0);
	return ret < 0 ? ret : 0;
}

void net_reclaim(struct net *n)
{
	if (paste_ring_available(n->transmit) < n->transmit->size)
		paste_port_sync_transmit(n->port, 0);
}
