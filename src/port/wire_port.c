/* SPDX-License-Identifier: BSD-2-Clause */
/* A port of the simulated wire: between its rings and its two cables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "port/wire_inside.h"

#define SLOTS_DEFAULT 256u
#define FRAGMENTS_DEFAULT 16u
#define HEADROOM 256u /* that a device keeps before its own, as the kernel does for AF_XDP */
#define GIVEN_BACK 0xdb

static struct wire_port *port_of(struct paste_port *p)
{
	return (struct wire_port *)p;
}

/* --- out of the transmit ring */

/* The sum that the sender left to the port (RFC 1071), over what already stands in its field: the
 * pseudo-header's. */
static void checksum_complete(struct wire_frame *f)
{
	uint32_t sum = 0, at = f->checksum_start, field = at + f->checksum_offset;

	if (field + 2 > f->length)
		return;
	for (uint32_t i = at; i < f->length; i++)
		sum += (i - at) % 2 ? f->bytes[i] : (uint32_t)f->bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = sum == 0xffff ? sum : ~sum; /* a sum of 0 is written as its other form (RFC 768) */
	f->bytes[field] = (uint8_t)(sum >> 8);
	f->bytes[field + 1] = (uint8_t)sum;
	f->flags = 0;
}

static void read_slots(struct wire_port *p, uint32_t slots, struct wire_frame *f)
{
	const struct paste_slot *first = paste_ring_slot(&p->transmit, p->out.done);

	f->from = p->number;
	f->flags = first->flags & PASTE_SLOT_CHECKSUM;
	f->checksum_start = first->checksum_start;
	f->checksum_offset = first->checksum_offset;
	f->length = 0;
	for (uint32_t i = 0; i < slots; i++) {
		const struct paste_slot *slot = paste_ring_slot(&p->transmit, p->out.done + i);
		memcpy(f->bytes + f->length, paste_buffer_data(p->port.region, slot->buffer) + slot->offset,
		       slot->length);
		f->length += slot->length;
	}
	if (f->flags && p->options.checksum)
		checksum_complete(f);
}

/* When the first frame of what is taken will have gone in, from `start` on. */
static void schedule(struct wire_port *p, uint64_t start)
{
	uint32_t bytes;

	p->finish = WIRE_NEVER;
	if (p->out.done == p->out.taken)
		return;
	ring_packet(&p->out, p->out.done, &bytes);
	p->finish = start + wire_nanoseconds(&p->up.link, bytes);
}

void wire_port_send(struct wire_port *p)
{
	struct wire *w = p->wire;
	uint32_t bytes, slots = ring_packet(&p->out, p->out.done, &bytes);
	struct wire_frame *f = bytes > 0 && bytes <= WIRE_FRAME_MAX ? wire_frame_take(w) : NULL;

	if (f) {
		read_slots(p, slots, f);
		p->out.stats.packets++;
		p->out.stats.bytes += bytes;
		p->out.stats.slots += slots;
		wire_tell(w, p->number, WIRE_SENT, f->bytes, f->length);
	} else {
		p->out.stats.dropped++;
		wire_tell(w, p->number,
			  bytes == 0               ? WIRE_BAD_SLOT
			  : bytes > WIRE_FRAME_MAX ? WIRE_TOO_LARGE
						   : WIRE_OVERFLOWED,
			  NULL, bytes);
	}
	ring_complete(&p->out, slots);
	schedule(p, w->now);
	if (f && w->options.lose && w->options.lose(w->options.arg, w->now, p->number, f->bytes, f->length)) {
		wire_tell(w, p->number, WIRE_LOST, f->bytes, f->length);
		wire_frame_put(w, f);
	} else if (f) {
		wire_cable_send(w, &p->up, f, p->number, true);
	}
}

static int wire_sync_transmit(struct paste_port *port, uint32_t queue)
{
	struct wire_port *p = port_of(port);

	if (queue != 0 || !ring_head_valid(&p->out))
		return -EINVAL;
	ring_take(&p->out);
	if (p->finish == WIRE_NEVER)
		schedule(p, p->wire->now);
	wire_run(p->wire, p->wire->now);
	return ring_return(&p->out);
}

/* --- into the receive ring */

static void write_slot(struct wire_port *p, struct paste_slot *slot, const struct wire_frame *f, uint32_t at,
		       uint32_t n)
{
	uint8_t *to = paste_buffer_data(p->port.region, slot->buffer) + p->port.info.headroom;

	if (p->options.receive)
		p->options.receive(p->options.arg, to, f->bytes + at, n);
	else
		memcpy(to, f->bytes + at, n);
	slot->offset = (uint16_t)p->port.info.headroom;
	slot->length = (uint16_t)n;
	slot->flags = f->flags | (at + n < f->length ? PASTE_SLOT_MORE : 0);
	slot->checksum_start = f->checksum_start;
	slot->checksum_offset = f->checksum_offset;
}

static enum wire_fate deliver(struct wire_port *p, const struct wire_frame *f)
{
	struct ring *in = &p->in;
	uint32_t room = paste_buffer_size(p->port.region) - p->port.info.headroom;
	uint32_t slots = (f->length + room - 1) / room;

	if (slots > in->most)
		return WIRE_TOO_LARGE;
	if (slots > in->done + p->receive.size - in->arrived)
		return WIRE_NO_SLOT;
	for (uint32_t i = 0; i < slots; i++) {
		if (!ring_slot_fill(in, paste_ring_slot(&p->receive, in->arrived + i)))
			return WIRE_NO_SLOT;
	}
	for (uint32_t i = 0; i < slots; i++) {
		uint32_t at = i * room, n = f->length - at < room ? f->length - at : room;
		write_slot(p, paste_ring_slot(&p->receive, in->arrived + i), f, at, n);
	}
	in->arrived += slots;
	in->stats.packets++;
	in->stats.bytes += f->length;
	in->stats.slots += slots;
	return WIRE_DELIVERED;
}

void wire_port_deliver(struct wire_port *p, const struct wire_frame *f)
{
	enum wire_fate fate = deliver(p, f);

	p->in.stats.dropped += fate != WIRE_DELIVERED;
	wire_tell(p->wire, p->number, fate, f->bytes, f->length);
}

static int wire_sync_receive(struct paste_port *port, uint32_t queue)
{
	struct wire_port *p = port_of(port);
	uint32_t i = p->in.done;

	if (queue != 0 || !ring_head_valid(&p->in))
		return -EINVAL;
	ring_give_back(&p->in);
	for (; i != p->in.done && !p->options.receive; i++) {
		uint32_t buffer = paste_ring_slot(&p->receive, i)->buffer;
		if (buffer != RING_NO_BUFFER)
			memset(paste_buffer_data(port->region, buffer), GIVEN_BACK,
			       paste_buffer_size(port->region));
	}
	wire_run(p->wire, p->wire->now);
	if (p->in.arrived != p->in.done + p->receive.size &&
	    !ring_slot_fill(&p->in, paste_ring_slot(&p->receive, p->in.arrived)))
		p->in.stats.starved++;
	return ring_show(&p->in);
}

/* --- the port */

/* Time passes in wire_advance() only: there is nothing to wait for here. */
static int wire_poll(struct paste_port *port, int64_t timeout_us)
{
	return port_of(port)->in.arrived != port_of(port)->receive.cur;
}

static int wire_fd(struct paste_port *port)
{
	return -1;
}

static void wire_stats(struct paste_port *port, uint32_t queue, struct paste_ring_stats *receive,
		       struct paste_ring_stats *transmit)
{
	*receive = port_of(port)->in.stats;
	*transmit = port_of(port)->out.stats;
}

static uint32_t wire_posted(struct paste_port *port, uint32_t queue)
{
	return ring_posted(&port_of(port)->in);
}

static void wire_port_close(struct paste_port *port)
{
	struct wire_port *p = port_of(port);

	ring_close(&p->in);
	ring_close(&p->out);
	p->wire->port[p->number] = NULL;
	free(p);
}

static const struct paste_port_ops wire_ops = {
    .sync_receive = wire_sync_receive,
    .sync_transmit = wire_sync_transmit,
    .poll = wire_poll,
    .fd = wire_fd,
    .stats = wire_stats,
    .posted = wire_posted,
    .close = wire_port_close,
};

int wire_port_open(struct wire *w, const struct wire_port_options *options, struct paste_port **port,
		   struct paste_error *err)
{
	uint32_t slots = options->slots ? options->slots : SLOTS_DEFAULT;
	uint32_t fragments = options->fragments ? options->fragments : FRAGMENTS_DEFAULT;
	uint32_t headroom = HEADROOM + options->headroom;

	if (w->ports == WIRE_PORTS)
		return paste_fail(err, -EMFILE, "a simulated wire has at most %d ports", WIRE_PORTS);
	if (headroom + 64 > paste_buffer_size(options->region))
		return paste_fail(err, -EINVAL, "a headroom of %u leaves no room for a packet",
				  options->headroom);
	struct wire_port *p = calloc(1, sizeof(*p));
	if (!p)
		return paste_fail(err, -ENOMEM, "out of memory");
	*p = (struct wire_port){
	    .wire = w,
	    .options = *options,
	    .number = w->ports,
	    .up = {.link = options->up, .random = sim_split(&w->random)},
	    .down = {.link = options->down, .random = sim_split(&w->random)},
	    .finish = WIRE_NEVER,
	    .port = {.ops = &wire_ops,
		     .region = options->region,
		     .receive = &p->receive,
		     .transmit = &p->transmit},
	};
	p->port.info = (struct paste_port_info){
	    .mode = "simulated",
	    .queues = 1,
	    .mtu = options->up.mtu ? options->up.mtu : WIRE_FRAME_MAX - 22,
	    .fragments = fragments < slots ? fragments : slots,
	    .gather_bytes = PORT_GATHER_BYTES,
	    .transmit_checksum = options->checksum,
	    .mac = {2, 'w', 'i', 'r', 'e', (uint8_t)p->number},
	    .headroom = headroom,
	};
	snprintf(p->port.info.name, sizeof(p->port.info.name), "wire%u", p->number);
	int ret = ring_open(&p->in, &p->receive, options->region, RING_RECEIVE, slots, fragments, err);
	if (ret == 0) {
		ret = ring_open(&p->out, &p->transmit, options->region, RING_TRANSMIT, slots, fragments, err);
		if (ret < 0)
			ring_close(&p->in);
	}
	if (ret < 0) {
		free(p);
		return ret;
	}
	w->port[w->ports++] = p;
	*port = &p->port;
	return 0;
}
