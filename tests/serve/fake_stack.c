/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
	uint8_t *at;
	size_t n, room;
};

struct fake_conn {
	struct paste_conn base;
	struct fake_stack *stack;
	struct fake_conn *next;
	struct bytes in, out;
	size_t delivered; /* of in */
	bool accepted, ends, eof_told, resets, reset_told;
	bool closed, aborted, paused, full, refused;
	size_t takes; /* bytes until it is full; 0: no end */
};

struct fake_stack {
	struct paste_stack base;
	struct paste_region *region;
	struct fake_conn *conns;
	uint32_t piece, offset;
	bool unlistened;
	struct paste_stack_stats stats;
	void (*on_send)(void *arg);
	void *on_send_arg;
};

static void demand(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fake stack: %s\n", what);
	abort();
}

static void push(struct bytes *b, const void *bytes, size_t n)
{
	if (b->n + n + 1 > b->room) {
		b->room = 2 * (b->n + n + 1);
		b->at = realloc(b->at, b->room);
	}
	memcpy(b->at + b->n, bytes, n);
	b->n += n;
	b->at[b->n] = 0;
}

static const struct paste_stack_ops fake_ops;

struct paste_stack *fake_stack_new(struct paste_region *region)
{
	struct fake_stack *s = calloc(1, sizeof(*s));

	s->base.ops = &fake_ops;
	s->region = region;
	return &s->base;
}

void fake_stack_free(struct paste_stack *base)
{
	struct fake_stack *s = (struct fake_stack *)base;

	while (s->conns) {
		struct fake_conn *c = s->conns;

		demand(c->closed || !c->accepted, "a connection was never closed");
		s->conns = c->next;
		free(c->in.at);
		free(c->out.at);
		free(c);
	}
	free(s);
}

struct fake_conn *fake_connect(struct paste_stack *base)
{
	struct fake_stack *s = (struct fake_stack *)base;
	struct fake_conn *c = calloc(1, sizeof(*c)), **last = &s->conns;

	c->base.ops = &fake_ops;
	c->stack = s;
	while (*last)
		last = &(*last)->next;
	*last = c;
	push(&c->out, "", 0);
	return c;
}

void fake_client_sends(struct fake_conn *c, const void *bytes, size_t n)
{
	push(&c->in, bytes, n);
}

void fake_client_says(struct fake_conn *c, const char *text)
{
	push(&c->in, text, strlen(text));
}

void fake_client_ends(struct fake_conn *c)
{
	c->ends = true;
}

void fake_client_resets(struct fake_conn *c)
{
	c->resets = true;
}

const char *fake_client_got(struct fake_conn *c, size_t *length)
{
	if (length)
		*length = c->out.n;
	return (const char *)c->out.at;
}

void fake_client_forgets(struct fake_conn *c)
{
	c->out.n = 0;
	c->out.at[0] = 0;
}

bool fake_client_is_closed(const struct fake_conn *c)
{
	return c->closed && !c->aborted;
}

bool fake_client_is_reset(const struct fake_conn *c)
{
	return c->aborted;
}

bool fake_is_paused(const struct fake_conn *c)
{
	return c->paused;
}

void fake_client_takes(struct fake_conn *c, bool takes)
{
	c->full = !takes;
	c->takes = 0;
}

void fake_client_takes_bytes(struct fake_conn *c, size_t n)
{
	c->full = false;
	c->takes = c->out.n + n;
}

void fake_stack_set_piece(struct paste_stack *s, uint32_t bytes)
{
	((struct fake_stack *)s)->piece = bytes;
}

void fake_stack_set_offset(struct paste_stack *s, uint32_t offset)
{
	((struct fake_stack *)s)->offset = offset;
}

void fake_stack_set_waiting(struct paste_stack *s, uint32_t connections)
{
	((struct fake_stack *)s)->stats.waiting = connections;
}

void fake_stack_on_send(struct paste_stack *base, void (*call)(void *arg), void *arg)
{
	struct fake_stack *s = (struct fake_stack *)base;

	s->on_send = call;
	s->on_send_arg = arg;
}

/* The next event of a connection, 0 if there is none. */
static int next_event(struct fake_stack *s, struct fake_conn *c, struct paste_event *e)
{
	uint32_t size = paste_buffer_size(s->region) - s->offset;
	size_t left = c->in.n - c->delivered;

	*e = (struct paste_event){.conn = &c->base};
	if (c->closed)
		return 0;
	if (!c->accepted) {
		if (s->unlistened)
			return 0;
		c->accepted = true;
		e->type = PASTE_EVENT_ACCEPT;
		return 1;
	}
	if (c->resets) {
		e->type = PASTE_EVENT_ERROR;
		e->error = -ECONNRESET;
		return !c->reset_told && (c->reset_told = true);
	}
	if (c->refused && !c->full) {
		c->refused = false;
		e->type = PASTE_EVENT_WRITABLE;
		return 1;
	}
	if (c->paused)
		return 0;
	if (left) {
		uint32_t n = s->piece && s->piece < size ? s->piece : size, buffer;

		if (paste_buffer_alloc(s->region, &buffer))
			return 0;
		n = left < n ? (uint32_t)left : n;
		e->slice = (struct paste_ref){buffer, (uint16_t)s->offset, (uint16_t)n};
		memcpy(paste_ref_data(s->region, e->slice), c->in.at + c->delivered, n);
		c->delivered += n;
		e->type = PASTE_EVENT_DATA;
		return 1;
	}
	if (c->ends && !c->eof_told) {
		c->eof_told = true;
		e->type = PASTE_EVENT_EOF;
		return 1;
	}
	return 0;
}

static int fake_poll(struct paste_stack *base, struct paste_event *events, int max, int64_t timeout_us)
{
	struct fake_stack *s = (struct fake_stack *)base;
	int n = 0;

	for (struct fake_conn *c = s->conns; c; c = c->next)
		while (n < max && next_event(s, c, &events[n]))
			n++;
	return n;
}

static int fake_send(struct paste_conn *base, const struct paste_send *pieces, int n)
{
	struct fake_conn *c = (struct fake_conn *)base;

	demand(!c->closed, "send after close");
	if (c->resets)
		return -EPIPE;
	if (c->full) {
		c->refused = true;
		return -EAGAIN;
	}
	for (int i = 0; i < n; i++) {
		if (pieces[i].inline_bytes) {
			push(&c->out, pieces[i].inline_bytes, pieces[i].inline_length);
			continue;
		}
		push(&c->out, paste_ref_data(c->stack->region, pieces[i].ref), pieces[i].ref.length);
		paste_ref_put(c->stack->region, pieces[i].ref);
	}
	c->full = c->takes && c->out.n >= c->takes;
	if (c->stack->on_send)
		c->stack->on_send(c->stack->on_send_arg);
	return 0;
}

static uint32_t fake_unsent(const struct paste_conn *base)
{
	return 0;
}

static void fake_pause(struct paste_conn *base)
{
	struct fake_conn *c = (struct fake_conn *)base;

	demand(!c->closed, "pause after close");
	c->paused = true;
}

static void fake_resume(struct paste_conn *base)
{
	struct fake_conn *c = (struct fake_conn *)base;

	demand(!c->closed, "resume after close");
	c->paused = false;
}

static void fake_finish(struct paste_conn *base)
{
	struct fake_conn *c = (struct fake_conn *)base;

	demand(!c->closed, "closed twice");
	c->closed = true;
}

static void fake_abort(struct paste_conn *base)
{
	struct fake_conn *c = (struct fake_conn *)base;

	demand(!c->closed, "aborted after close");
	c->closed = c->aborted = true;
}

static void fake_unlisten(struct paste_stack *base)
{
	((struct fake_stack *)base)->unlistened = true;
}

static int fake_watch(struct paste_stack *base, int fd, uint64_t cookie)
{
	return 0; /* whoever polls looks for himself */
}

static void fake_stats(const struct paste_stack *base, struct paste_stack_stats *stats)
{
	*stats = ((const struct fake_stack *)base)->stats;
}

static const struct paste_stack_ops fake_ops = {
    .poll = fake_poll,
    .unlisten = fake_unlisten,
    .stats = fake_stats,
    .watch = fake_watch,
    .send = fake_send,
    .unsent = fake_unsent,
    .pause = fake_pause,
    .resume = fake_resume,
    .finish = fake_finish,
    .abort = fake_abort,
};
