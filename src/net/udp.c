/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/udp.h"

#include <errno.h>
#include <stdlib.h>

#include "base/copy.h"
#include "net/checksum.h"

/* Before a frame of ours in its buffer: a back end may put what the device is to know there. */
#define TRANSMIT_OFFSET 64
#define ADDRESSES_MAX 16
#define FETCH_AHEAD 4 /* slots */

struct udp {
	struct udp_options options;
	struct packet_options check;
	struct net_address address[ADDRESSES_MAX];
	struct paste_port *port;
	struct paste_ring *receive, *transmit;
	const uint8_t *area; /* where the region's buffers are */
	uint32_t buffer_size, buffer_shift;
	uint32_t seen; /* slots of the receive ring before it were looked at */
	struct udp_stats stats;
};

int udp_open(const struct udp_options *options, struct udp **udp, struct paste_error *err)
{
	struct paste_port *port = options->port;

	if (options->queue >= port->info.queues)
		return paste_fail(err, -EINVAL, "%s has %u queues, there is no queue %u", port->info.name,
				  port->info.queues, options->queue);
	if (options->n_addresses > ADDRESSES_MAX)
		return paste_fail(err, -EINVAL, "at most %d addresses, not %u", ADDRESSES_MAX,
				  options->n_addresses);
	struct udp *u = calloc(1, sizeof(*u));
	if (!u)
		return paste_fail(err, -ENOMEM, "out of memory");
	u->options = *options;
	u->check = (struct packet_options){
	    .mac = options->any_mac ? NULL : port->info.mac,
	    .vlan = options->vlan,
	};
	for (uint32_t i = 0; i < options->n_addresses; i++)
		u->address[i] = options->addresses[i];
	u->options.addresses = u->address;
	u->port = port;
	u->receive = &port->receive[options->queue];
	u->transmit = &port->transmit[options->queue];
	u->area = paste_buffer_data(port->region, 0);
	u->buffer_size = paste_buffer_size(port->region);
	u->buffer_shift = (uint32_t)__builtin_ctz(u->buffer_size);
	u->seen = u->receive->head;
	*udp = u;
	return 0;
}

void udp_close(struct udp *u)
{
	if (!u)
		return;
	u->receive->head = u->receive->cur = u->seen;
	free(u);
}

void udp_stats(const struct udp *u, struct udp_stats *stats)
{
	*stats = u->stats;
}

/* --- receiving */

static bool ours(const struct udp *u, const struct net_address *a)
{
	for (uint32_t i = 0; i < u->options.n_addresses; i++) {
		if (net_address_equal(&u->address[i], a))
			return true;
	}
	return u->options.n_addresses == 0;
}

static enum packet_check checks(struct udp *u, const struct packet_piece *pieces, uint32_t n, bool bare,
				struct packet *p)
{
	struct packet_options o = u->check;
	enum packet_check bad = packet_parse(pieces, n, &o, p);

	o.bare_sums = bare || u->options.bare_sums;
	if (bad)
		return bad;
	if (!ours(u, &p->path.destination))
		return PACKET_ADDRESS_OTHER;
	if ((bad = packet_udp(pieces, n, &o, p)))
		return bad;
	return p->destination_port == u->options.udp_port ? PACKET_ACCEPTED : PACKET_PORT_OTHER;
}

/* The payload's part of each slot; how many have one. */
static uint32_t slices(const struct udp *u, uint32_t slots, const struct packet *p, struct paste_ref *slice)
{
	uint32_t at = p->payload, left = p->payload_length, n = 0;

	for (uint32_t i = 0; i < slots && left > 0; i++) {
		const struct paste_slot *slot = paste_ring_slot(u->receive, u->seen + i);
		if (at >= slot->length) {
			at -= slot->length;
			continue;
		}
		uint32_t now = slot->length - at < left ? slot->length - at : left;
		/* In one word: it is read as one (base/copy.h). */
		store_word(&slice[n++], slot->buffer | (uint64_t)(slot->offset + at) << 32 | (uint64_t)now << 48);
		left -= now;
		at = 0;
	}
	return n;
}

static const uint8_t *frame_of(const struct udp *u, const struct paste_slot *slot)
{
	return u->area + ((size_t)slot->buffer << u->buffer_shift) + slot->offset;
}

/* Headers lie at the same place of all buffers, so the first cache has room for a few of them only: those that the port
 * had fetched are in the second one by now. */
static void fetch_ahead(const struct udp *u)
{
	if (u->receive->tail - u->seen <= FETCH_AHEAD)
		return;
	const uint8_t *p = frame_of(u, paste_ring_slot(u->receive, u->seen + FETCH_AHEAD));
	__builtin_prefetch(p);
	__builtin_prefetch(p + 64);
}

/* The packet whose first slot is u->seen. */
static enum packet_check receive_one(struct udp *u, uint32_t *slots, struct packet *p, struct paste_ref *slice,
				     uint32_t *n)
{
	struct packet_piece piece[UDP_SLICES];
	const struct paste_slot *first = paste_ring_slot(u->receive, u->seen), *slot;

	*slots = 0;
	do {
		slot = paste_ring_slot(u->receive, u->seen + *slots);
		if (*slots < UDP_SLICES)
			piece[*slots] = (struct packet_piece){frame_of(u, slot), slot->length};
		++*slots;
	} while ((slot->flags & PASTE_SLOT_MORE) && u->seen + *slots != u->receive->tail);
	if (*slots > UDP_SLICES)
		return PACKET_SLICES;
	enum packet_check bad = checks(u, piece, *slots, first->flags & PASTE_SLOT_CHECKSUM, p);
	if (bad)
		return bad;
	*n = slices(u, *slots, p, slice);
	u->stats.received++;
	u->stats.received_bytes += p->payload_length;
	u->stats.bare_sums += p->bare_sum;
	return PACKET_ACCEPTED;
}

int udp_sync(struct udp *u)
{
	u->receive->head = u->receive->cur = u->seen;
	int ret = paste_port_sync_receive(u->port, u->options.queue);

	return ret < 0 ? ret : 0;
}

bool udp_next(struct udp *u, struct packet *head, struct paste_ref slice[UDP_SLICES], uint32_t *n)
{
	while (u->seen != u->receive->tail) {
		uint32_t slots;
		fetch_ahead(u);
		enum packet_check bad = receive_one(u, &slots, head, slice, n);
		u->seen += slots;
		/* To be woken for what is not looked at yet, too. */
		u->receive->cur = u->seen;
		if (!bad)
			return true;
		u->stats.refused[bad]++;
	}
	return false;
}

int udp_receive(struct udp *u, struct udp_datagram *datagrams, int max)
{
	int count = 0, ret = udp_sync(u);
	struct packet head;

	if (ret < 0)
		return ret;
	for (; count < max; count++) {
		struct udp_datagram *d = &datagrams[count];
		if (!udp_next(u, &head, d->slice, &d->n))
			break;
		packet_path_back(&head.path, &d->peer.path);
		d->peer.port = head.source_port;
		d->peer.local_port = head.destination_port;
		d->length = head.payload_length;
	}
	return count;
}

/* --- sending */

struct outgoing {
	const struct udp_peer *peer;
	const void *bytes;
	uint32_t length; /* of bytes */
	const struct paste_ref *slices;
	uint32_t n;
	uint32_t by_reference; /* bytes in slices */
	uint32_t header;       /* bytes of all headers */
};

/* Slots that the slices take; one that runs on into the next buffer takes one more for each. */
static uint32_t slots_of_slices(const struct udp *u, const struct outgoing *o)
{
	uint32_t slots = 0;

	for (uint32_t i = 0; i < o->n; i++)
		slots += (o->slices[i].offset + o->slices[i].length + u->buffer_size - 1) / u->buffer_size;
	return slots;
}

static bool slots_free(struct udp *u, uint32_t n)
{
	if (paste_ring_available(u->transmit) < n)
		paste_port_sync_transmit(u->port, u->options.queue);
	if (paste_ring_available(u->transmit) >= n)
		return true;
	u->stats.blocked++;
	return false;
}

/* The headers and what follows them in the slot's own buffer. */
static struct paste_slot *fill_first(struct udp *u, const struct outgoing *o,
				     const struct packet_piece *payload, uint32_t pieces, uint32_t length,
				     bool offload)
{
	struct paste_slot *slot = paste_ring_slot(u->transmit, u->transmit->head++);
	uint8_t *frame = paste_buffer_data(u->port->region, slot->buffer) + TRANSMIT_OFFSET;

	packet_build_udp(frame, &o->peer->path, o->peer->local_port, o->peer->port, payload, pieces, offload);
	slot->offset = TRANSMIT_OFFSET;
	slot->length = (uint16_t)length;
	slot->flags = 0;
	if (offload) {
		slot->flags = PASTE_SLOT_CHECKSUM;
		slot->checksum_start = (uint16_t)(o->header - 8);
		slot->checksum_offset = 6;
	}
	return slot;
}

static void send_gathered(struct udp *u, const struct outgoing *o)
{
	const struct paste_slot *slot = paste_ring_slot(u->transmit, u->transmit->head);
	uint8_t *start = paste_buffer_data(u->port->region, slot->buffer) + TRANSMIT_OFFSET + o->header,
		*p = start;

	if (o->length > 0)
		memcpy(p, o->bytes, o->length);
	p += o->length;
	for (uint32_t i = 0; i < o->n; p += o->slices[i++].length)
		memcpy(p, paste_ref_data(u->port->region, o->slices[i]), o->slices[i].length);
	struct packet_piece payload = {start, (uint32_t)(p - start)};
	fill_first(u, o, &payload, 1, o->header + payload.length, false);
	u->stats.gathered += o->by_reference > 0;
	u->stats.gathered_bytes += o->by_reference;
}

static void fill_reference(struct udp *u, struct paste_ref ref)
{
	while (ref.length > 0) {
		uint32_t room = u->buffer_size - ref.offset;
		uint16_t now = (uint16_t)(ref.length < room ? ref.length : room);
		struct paste_slot *slot = paste_ring_slot(u->transmit, u->transmit->head++);
		slot->buffer = ref.buffer++;
		slot->offset = ref.offset;
		slot->length = now;
		slot->flags = PASTE_SLOT_REFERENCE | PASTE_SLOT_MORE;
		ref.length -= now;
		ref.offset = 0;
	}
}

static void send_fragments(struct udp *u, const struct outgoing *o)
{
	struct packet_piece payload[1 + UDP_SLICES];
	const struct paste_slot *own = paste_ring_slot(u->transmit, u->transmit->head);
	uint8_t *start = paste_buffer_data(u->port->region, own->buffer) + TRANSMIT_OFFSET + o->header;

	if (o->length > 0)
		memcpy(start, o->bytes, o->length);
	payload[0] = (struct packet_piece){start, o->length};
	for (uint32_t i = 0; i < o->n; i++)
		payload[1 + i] =
		    (struct packet_piece){paste_ref_data(u->port->region, o->slices[i]), o->slices[i].length};
	bool offload = u->options.offload && u->port->info.transmit_checksum;
	fill_first(u, o, payload, 1 + o->n, o->header + o->length, offload)->flags |= PASTE_SLOT_MORE;
	for (uint32_t i = 0; i < o->n; i++)
		fill_reference(u, o->slices[i]);
	paste_ring_slot(u->transmit, u->transmit->head - 1)->flags &= ~PASTE_SLOT_MORE;
}

int udp_send(struct udp *u, const struct udp_peer *peer, const void *bytes, uint32_t length,
	     const struct paste_ref *slices, uint32_t n)
{
	struct outgoing o = {.peer = peer, .bytes = bytes, .length = length, .slices = slices, .n = n};
	uint32_t mtu = u->port->info.mtu, link = 14u + 4u * peer->path.tags;
	uint32_t room = u->buffer_size - TRANSMIT_OFFSET;

	for (uint32_t i = 0; i < n; i++)
		o.by_reference += slices[i].length;
	o.header = packet_header_bytes(&peer->path) + 8;
	if (n > UDP_SLICES || length > room)
		return -EMSGSIZE;
	uint32_t packet = o.header - link + length + o.by_reference;
	if (packet > UINT16_MAX || (mtu && packet > mtu))
		return -EMSGSIZE;
	uint32_t slots = 1 + slots_of_slices(u, &o);
	bool whole = o.header + length + o.by_reference <= room;
	bool gather = whole && (o.by_reference <= u->options.gather_bytes || slots > u->port->info.fragments);
	if (!gather && (slots > u->port->info.fragments || o.header + length > room))
		return -EMSGSIZE;
	if (!slots_free(u, gather ? 1 : slots))
		return -EAGAIN;
	if (gather)
		send_gathered(u, &o);
	else
		send_fragments(u, &o);
	u->transmit->cur = u->transmit->head;
	u->stats.sent++;
	u->stats.sent_bytes += length + o.by_reference;
	return 0;
}

int udp_flush(struct udp *u)
{
	int ret = paste_port_sync_transmit(u->port, u->options.queue);

	return ret < 0 ? ret : 0;
}
