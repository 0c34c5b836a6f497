/* SPDX-License-Identifier: BSD-2-Clause */
/* Time, cables and the switch. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "port/wire_inside.h"

#define PACKETS_DEFAULT 1024u
#define QUEUE_DEFAULT (256u << 10)
#define MTU_DEFAULT 9000u
#define REORDER_DEFAULT 100000u

const char *wire_fate_name(enum wire_fate fate)
{
	static const char *const names[WIRE_FATES] = {
	    "sent",      "delivered", "lost",       "duplicated", "reordered",
	    "corrupted", "too large", "overflowed", "no slot",    "bad slot",
	};

	return fate < WIRE_FATES ? names[fate] : "?";
}

struct wire *wire_open(const struct wire_options *options)
{
	struct wire *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->options = *options;
	if (w->options.packets == 0)
		w->options.packets = PACKETS_DEFAULT;
	w->random = sim_random(options->seed);
	w->memory = calloc(w->options.packets, sizeof(*w->memory));
	w->idle = calloc(w->options.packets, sizeof(*w->idle));
	w->due = calloc(w->options.packets, sizeof(*w->due));
	if (!w->memory || !w->idle || !w->due) {
		wire_close(w);
		return NULL;
	}
	for (uint32_t i = w->options.packets; i-- > 0;)
		w->idle[w->idles++] = &w->memory[i];
	return w;
}

void wire_close(struct wire *w)
{
	for (uint32_t i = 0; i < w->ports; i++)
		assert(!w->port[i]);
	free(w->memory);
	free(w->idle);
	free(w->due);
	free(w);
}

void wire_set_links(struct wire *w, uint32_t port, const struct wire_link *up, const struct wire_link *down)
{
	w->port[port]->up.link = *up;
	w->port[port]->down.link = *down;
}

uint64_t wire_count(const struct wire *w, enum wire_fate fate)
{
	return w->count[fate];
}

void wire_tell(struct wire *w, uint32_t port, enum wire_fate fate, const uint8_t *frame, uint32_t length)
{
	w->count[fate]++;
	if (w->options.tap)
		w->options.tap(w->options.arg, w->now, port, fate, frame, length);
}

struct wire_frame *wire_frame_take(struct wire *w)
{
	return w->idles > 0 ? w->idle[--w->idles] : NULL;
}

void wire_frame_put(struct wire *w, struct wire_frame *f)
{
	w->idle[w->idles++] = f;
}

/* --- what is due, the earliest first */

static bool before(const struct wire_frame *a, const struct wire_frame *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void due_add(struct wire *w, struct wire_frame *f)
{
	uint32_t i = w->dues++;

	f->order = w->order++;
	for (uint32_t up; i > 0 && before(f, w->due[up = (i - 1) / 2]); i = up)
		w->due[i] = w->due[up];
	w->due[i] = f;
}

static struct wire_frame *due_take(struct wire *w)
{
	struct wire_frame *first = w->due[0], *last = w->due[--w->dues];
	uint32_t i = 0;

	for (uint32_t child; (child = 2 * i + 1) < w->dues; i = child) {
		child += child + 1 < w->dues && before(w->due[child + 1], w->due[child]);
		if (before(last, w->due[child]))
			break;
		w->due[i] = w->due[child];
	}
	w->due[i] = last;
	return first;
}

/* --- a cable */

uint64_t wire_nanoseconds(const struct wire_link *l, uint64_t bytes)
{
	return l->bytes_per_second ? bytes * 1000000000u / l->bytes_per_second : 0;
}

static bool happens(struct wire_cable *c, uint32_t chance)
{
	return chance > 0 && sim_below(&c->random, WIRE_MILLION) < chance;
}

static bool lost(struct wire_cable *c)
{
	if (c->losing == 0 && happens(c, c->link.lose))
		c->losing = c->link.lose_run ? c->link.lose_run : 1;
	if (c->losing == 0)
		return false;
	c->losing--;
	return true;
}

/* Bytes behind the Ethernet header and its tags (IEEE 802.1Q, 802.1ad). */
static uint32_t packet_bytes(const struct wire_frame *f)
{
	uint32_t header = 14;

	for (int tags = 0; tags < 2 && header + 4 <= f->length; tags++, header += 4) {
		uint16_t type = (uint16_t)(f->bytes[header - 2] << 8 | f->bytes[header - 1]);
		if (type != 0x8100 && type != 0x88a8)
			break;
	}
	return f->length > header ? f->length - header : 0;
}

/* When the last byte of it has gone into a cable down; WIRE_NEVER: its queue is full. */
static uint64_t departure(const struct wire *w, struct wire_cable *c, uint32_t bytes)
{
	const struct wire_link *l = &c->link;
	uint64_t start = c->busy_until > w->now ? c->busy_until : w->now;
	uint64_t queue = l->queue_bytes ? l->queue_bytes : QUEUE_DEFAULT;

	if (l->bytes_per_second == 0)
		return w->now;
	/* One always fits into a cable that is idle. */
	if (start > w->now && start - w->now + wire_nanoseconds(l, bytes) > wire_nanoseconds(l, queue))
		return WIRE_NEVER;
	return c->busy_until = start + wire_nanoseconds(l, bytes);
}

static void corrupt(struct wire_cable *c, struct wire_frame *f)
{
	uint64_t bit = sim_below(&c->random, 8 * (f->length - 14));

	f->bytes[14 + bit / 8] ^= (uint8_t)(1u << bit % 8);
}

void wire_cable_send(struct wire *w, struct wire_cable *c, struct wire_frame *f, uint32_t port, bool up)
{
	const struct wire_link *l = &c->link;
	enum wire_fate fate = WIRE_FATES;
	uint64_t leaves = w->now, hold = l->reorder_ns ? l->reorder_ns : REORDER_DEFAULT;

	f->to = up ? WIRE_AT_SWITCH : port;
	if (packet_bytes(f) > (l->mtu ? l->mtu : MTU_DEFAULT))
		fate = WIRE_TOO_LARGE;
	else if (lost(c))
		fate = WIRE_LOST;
	else if (!up && (leaves = departure(w, c, f->length)) == WIRE_NEVER)
		fate = WIRE_OVERFLOWED;
	if (fate != WIRE_FATES) {
		wire_tell(w, port, fate, f->bytes, f->length);
		wire_frame_put(w, f);
		return;
	}
	if (f->length > 14 && happens(c, l->corrupt)) {
		corrupt(c, f);
		wire_tell(w, port, WIRE_CORRUPTED, f->bytes, f->length);
	}
	f->due = leaves + l->delay_ns + (l->jitter_ns ? sim_between(&c->random, 0, l->jitter_ns) : 0);
	if (f->due < c->last_due)
		f->due = c->last_due;
	if (happens(c, l->reorder)) {
		f->due += sim_between(&c->random, 1, hold);
		wire_tell(w, port, WIRE_REORDERED, f->bytes, f->length);
	} else {
		c->last_due = f->due;
	}
	struct wire_frame *twin = happens(c, l->duplicate) ? wire_frame_take(w) : NULL;
	if (twin) {
		memcpy(twin, f, offsetof(struct wire_frame, bytes) + f->length);
		twin->due += sim_below(&c->random, 2 * hold);
		wire_tell(w, port, WIRE_DUPLICATED, f->bytes, f->length);
	}
	due_add(w, f);
	if (twin)
		due_add(w, twin);
}

/* --- the switch, and time */

static void switch_copy(struct wire *w, const struct wire_frame *f, uint32_t port)
{
	struct wire_frame *copy = wire_frame_take(w);

	if (!copy) {
		wire_tell(w, port, WIRE_OVERFLOWED, f->bytes, f->length);
		return;
	}
	memcpy(copy, f, offsetof(struct wire_frame, bytes) + f->length);
	wire_cable_send(w, &w->port[port]->down, copy, port, false);
}

static void switch_frame(struct wire *w, struct wire_frame *f)
{
	for (uint32_t i = 0; i < w->ports; i++) {
		if (w->port[i] && i != f->from && memcmp(w->port[i]->port.info.mac, f->bytes, 6) == 0) {
			wire_cable_send(w, &w->port[i]->down, f, i, false);
			return;
		}
	}
	for (uint32_t i = 0; i < w->ports; i++) {
		if (w->port[i] && i != f->from)
			switch_copy(w, f, i);
	}
	wire_frame_put(w, f);
}

static void frame_arrives(struct wire *w, struct wire_frame *f)
{
	if (f->to == WIRE_AT_SWITCH) {
		switch_frame(w, f);
		return;
	}
	if (w->port[f->to])
		wire_port_deliver(w->port[f->to], f);
	else
		wire_tell(w, f->to, WIRE_NO_SLOT, f->bytes, f->length);
	wire_frame_put(w, f);
}

/* The port whose transmit ring is the next to have sent a frame; NULL: none is sending. */
static struct wire_port *next_sender(const struct wire *w)
{
	struct wire_port *next = NULL;

	for (uint32_t i = 0; i < w->ports; i++) {
		struct wire_port *p = w->port[i];
		if (p && p->finish != WIRE_NEVER && (!next || p->finish < next->finish))
			next = p;
	}
	return next;
}

uint64_t wire_next(const struct wire *w)
{
	const struct wire_port *sender = next_sender(w);
	uint64_t sent = sender ? sender->finish : WIRE_NEVER, due = w->dues > 0 ? w->due[0]->due : WIRE_NEVER;

	return sent < due ? sent : due;
}

void wire_run(struct wire *w, uint64_t until)
{
	for (uint64_t next; (next = wire_next(w)) <= until && next != WIRE_NEVER;) {
		struct wire_port *sender = next_sender(w);
		w->now = next;
		if (sender && sender->finish == next)
			wire_port_send(sender);
		else
			frame_arrives(w, due_take(w));
	}
}

void wire_advance(struct wire *w, uint64_t now_ns)
{
	assert(now_ns >= w->now);
	wire_run(w, now_ns);
	w->now = now_ns;
}
