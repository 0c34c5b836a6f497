/* SPDX-License-Identifier: BSD-2-Clause */
/* AF_XDP: sending, and learning what was sent. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "port/xdp.h"
#include "region/region.h"

static uint32_t *sending_in(struct xdp_queue *q, uint32_t i)
{
	return &q->sending[i & (q->transmit.ring->size - 1)];
}

/* Which slot under way has this buffer. The oldest first: nearly always it is that one. */
static void complete_one(struct xdp_queue *q, uint32_t buffer)
{
	for (uint32_t i = q->transmit.done; i != q->produced; i++) {
		if (*sending_in(q, i) == buffer) {
			*sending_in(q, i) = XDP_SENT;
			return;
		}
	}
	assert(!"the kernel completed what was not sent");
}

static void complete(const struct xdp_port *x, struct xdp_queue *q)
{
	struct xdp_ring *sent = &q->socket.completion;
	uint32_t n = xdp_ring_ready(sent), slots = 0;

	for (uint32_t i = 0; i < n; i++)
		complete_one(
		    q, (uint32_t)(sent->address[sent->mine++ & sent->mask] >> x->port.region->buffer_shift));
	if (n > 0)
		xdp_ring_consumed(sent);
	while (q->transmit.done + slots != q->produced &&
	       *sending_in(q, q->transmit.done + slots) == XDP_SENT)
		slots++;
	ring_complete(&q->transmit, slots);
}

static struct xdp_desc *produce(struct xdp_queue *q, uint64_t address, uint32_t bytes, uint32_t options)
{
	struct xdp_ring *out = &q->socket.transmit;
	struct xdp_desc *d = &out->desc[out->mine++ & out->mask];

	*d = (struct xdp_desc){.addr = address, .len = bytes, .options = options};
	return d;
}

static uint64_t slot_address(const struct xdp_port *x, const struct paste_slot *slot)
{
	return ((uint64_t)slot->buffer << x->port.region->buffer_shift) + slot->offset;
}

/*
 * Ask for the transport checksum in the 16 bytes before the packet. They are the application's own: the first
 * slot is not a reference, and its packet begins behind them. Elsewhere they could be somebody's bytes.
 */
static uint32_t put_metadata(struct xdp_port *x, const struct paste_slot *first, uint64_t address)
{
	struct xdp_compat_metadata metadata = {
	    .flags = XDP_TXMD_FLAGS_CHECKSUM,
	    .checksum_start = first->checksum_start,
	    .checksum_offset = first->checksum_offset,
	};

	memcpy(x->port.region->area + address - sizeof(metadata), &metadata, sizeof(metadata));
	return XDP_TX_METADATA;
}

/* Can the checksum be asked for where the packet is, given that there is room before it? */
static bool checksum_possible(const struct paste_slot *first)
{
	return !(first->flags & PASTE_SLOT_REFERENCE);
}

/* Where metadata may be, the kernel wants room for it before every descriptor, used or not. */
static bool fits_as_it_is(const struct xdp_port *x, const struct xdp_queue *q, uint32_t at, uint32_t slots)
{
	if (slots > x->port.info.fragments)
		return false;
	for (uint32_t i = 0; i < slots; i++) {
		if (paste_ring_slot(q->transmit.ring, at + i)->offset < x->metadata)
			return false;
	}
	return true;
}

static void send_fragments(struct xdp_port *x, struct xdp_queue *q, uint32_t at, uint32_t slots)
{
	for (uint32_t i = 0; i < slots; i++) {
		const struct paste_slot *slot = paste_ring_slot(q->transmit.ring, at + i);
		uint64_t address = slot_address(x, slot);
		uint32_t options = i + 1 < slots ? XDP_PKT_CONTD : 0;
		if (i == 0 && (slot->flags & PASTE_SLOT_CHECKSUM))
			options |= put_metadata(x, slot, address);
		*sending_in(q, at + i) = slot->buffer;
		produce(q, address, slot->length, options);
	}
}

/* Copy the packet together in the first slot's own buffer. */
static bool send_gathered(struct xdp_port *x, struct xdp_queue *q, uint32_t at, uint32_t slots,
			  uint32_t bytes)
{
	struct paste_region *r = x->port.region;
	struct paste_slot *first = paste_ring_slot(q->transmit.ring, at);
	bool own = !(first->flags & PASTE_SLOT_REFERENCE);
	uint32_t buffer = own ? first->buffer : q->transmit.own[at & (q->transmit.ring->size - 1)];
	uint32_t offset = own && first->offset >= x->metadata ? first->offset : x->metadata, filled = 0,
		 options = 0;

	if (offset + bytes > r->buffer_size)
		offset = x->metadata;
	if (offset + bytes > r->buffer_size)
		return false;
	uint8_t *data = paste_buffer_data(r, buffer) + offset;
	for (uint32_t i = 0; i < slots; i++) {
		const struct paste_slot *slot = paste_ring_slot(q->transmit.ring, at + i);
		memmove(data + filled, paste_buffer_data(r, slot->buffer) + slot->offset, slot->length);
		filled += slot->length;
	}
	uint64_t address = ((uint64_t)buffer << r->buffer_shift) + offset;
	/* The copy is in the slot's own buffer, whatever the original was. */
	if (first->flags & PASTE_SLOT_CHECKSUM)
		options = put_metadata(x, first, address);
	*sending_in(q, at) = buffer;
	for (uint32_t i = 1; i < slots; i++)
		*sending_in(q, at + i) = XDP_SENT;
	produce(q, address, bytes, options);
	q->transmit.stats.gathered++;
	q->transmit.stats.gathered_bytes += bytes;
	return true;
}

static bool send_packet(struct xdp_port *x, struct xdp_queue *q, uint32_t at, uint32_t slots, uint32_t bytes)
{
	const struct paste_slot *first = paste_ring_slot(q->transmit.ring, at);
	bool checksum = first->flags & PASTE_SLOT_CHECKSUM;

	if (bytes == 0 || bytes > x->bytes_most || (checksum && !x->port.info.transmit_checksum))
		return false;
	bool fits = fits_as_it_is(x, q, at, slots) && (!checksum || checksum_possible(first));
	bool gather = !fits || (slots > 1 && x->gathers);
	if (!gather || !send_gathered(x, q, at, slots, bytes)) {
		if (!fits)
			return false;
		send_fragments(x, q, at, slots);
	}
	q->transmit.stats.packets++;
	q->transmit.stats.bytes += bytes;
	return true;
}

static void produce_packets(struct xdp_port *x, struct xdp_queue *q)
{
	uint32_t bytes;

	while (q->produced != q->transmit.taken) {
		uint32_t slots = ring_packet(&q->transmit, q->produced, &bytes);
		if (!send_packet(x, q, q->produced, slots, bytes)) {
			for (uint32_t i = 0; i < slots; i++)
				*sending_in(q, q->produced + i) = XDP_SENT;
			q->transmit.stats.dropped++;
		}
		q->transmit.stats.slots += slots;
		q->produced += slots;
	}
}

/*
 * Have the kernel send what waits in the ring. In copy mode a call sends a bounded number of frames and says
 * EAGAIN when more wait, but also when the device has no room: go on as long as each call takes some. Older
 * kernels (6.1 is one) show in the ring what they took only when they have taken all of it: ask as often as it
 * takes. What is left when the device has no room goes with a later sync.
 */
static int kick(struct xdp_queue *q)
{
	uint32_t waiting = xdp_ring_waiting(&q->socket.transmit), asked = 0, before;

	if (waiting == 0 || !xdp_ring_wants_call(&q->socket.transmit))
		return 0;
	do {
		before = waiting;
		if (sendto(q->socket.fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
			return 0; /* all are sent, or the driver, which sends them, is awake */
		if (errno == ENXIO || errno == ENODEV)
			return -ENETDOWN;
		/* EAGAIN: more wait. ENOBUFS, EBUSY, ENETDOWN (not up just now): later. */
		if (errno != EAGAIN)
			return 0;
		asked += q->socket.transmit_batch;
		waiting = xdp_ring_waiting(&q->socket.transmit);
	} while (waiting > 0 && (waiting < before || asked < waiting));
	return 0;
}

int xdp_sync_transmit(struct paste_port *p, uint32_t queue)
{
	struct xdp_port *x = xdp_port_of(p);
	struct xdp_queue *q = &x->queue[queue];
	uint32_t produced = q->socket.transmit.mine;

	if (!ring_head_valid(&q->transmit))
		return -EINVAL;
	ring_take(&q->transmit);
	produce_packets(x, q);
	if (q->socket.transmit.mine != produced)
		xdp_ring_produced(&q->socket.transmit);
	int ret = kick(q);
	if (ret < 0)
		x->error = ret;
	/* Behind the call: over a veth, what was sent is complete when it returns. */
	complete(x, q);
	if (x->error)
		return x->error;
	return ring_return(&q->transmit);
}

uint32_t xdp_transmit_keep(struct xdp_port *x)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < x->port.info.queues; i++) {
		struct xdp_queue *q = &x->queue[i];
		for (uint32_t at = q->transmit.done; q->transmit.ring && at != q->produced; at++) {
			uint32_t buffer = *sending_in(q, at);
			if (buffer == XDP_SENT)
				continue;
			paste_buffer_get(x->port.region, buffer); /* the ring's own count goes with the ring */
			kept++;
		}
	}
	return kept;
}
