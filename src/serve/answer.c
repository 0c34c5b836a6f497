/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answer.c - the queue of replies of a connection: in the order of the requests, each when its round is
 * durable.
 */
#include "serve/service_inside.h"

#include "base/site.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Promise 1: no byte of a reply leaves before all that it reveals is durable. */
static bool may_leave(const struct service *s, uint64_t round)
{
	return !(round > s->durable && SITE(reply_waits_for_round));
}

void answer_list(struct service *s, struct connection *c)
{
	link_remove(&c->turn_link);
	link_append(&s->fresh, &c->turn_link);
}

static void append(struct service *s, struct connection *c, struct reply *r)
{
	if (c->last_reply)
		c->last_reply->next = r;
	else
		c->replies = r;
	c->last_reply = r;
	c->pending++;
	answer_list(s, c);
}

static void note_reply(struct service *s, struct connection *c, uint16_t status, bool close)
{
	s->stats.replies[status / 100]++;
	if (close)
		c->state = READ_NOTHING;
}

struct reply *answer_new(struct service *s, struct connection *c, uint16_t status, uint64_t round, bool close)
{
	struct reply *r = reply_new(&s->replies);

	if (!r) {
		connection_drop(s, c, true);
		return NULL;
	}
	close |= s->draining && status != 100;
	r->status = status;
	r->round = round;
	r->close = close;
	r->retry = status == 503;
	note_reply(s, c, status, close);
	append(s, c, r);
	return r;
}

void answer_text(struct service *s, struct connection *c, uint16_t status, const char *text, uint64_t round,
		 bool close)
{
	struct reply *r = answer_new(s, c, status, round, close);

	if (!r)
		return;
	assert(strlen(text) < REPLY_HEAD_MAX / 3);
	r->body = REPLY_TEXT;
	r->text = text;
}

static void put_slices(struct service *s, const struct reply *r)
{
	if (r->body != REPLY_SLICES)
		return;
	for (uint32_t i = 0; i < r->slices; i++)
		paste_ref_put(s->region, reply_slices(r)[i]);
}

void answer_drop_all(struct service *s, struct connection *c)
{
	while (c->replies) {
		struct reply *r = c->replies;

		c->replies = r->next;
		put_slices(s, r);
		reply_free(&s->replies, r);
	}
	c->last_reply = NULL;
	c->pending = 0;
}

static int sends_reserve(struct service *s, uint32_t n)
{
	if (n <= s->sends_room)
		return 0;
	struct paste_send *grown = realloc(s->sends, 2 * n * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->sends = grown;
	s->sends_room = 2 * n;
	return 0;
}

/* Hand a reply to the stack, whole or not at all; with it go the user counts on its slices. */
static int send_reply(struct service *s, struct connection *c, const struct reply *r, const void *bytes,
		      const struct paste_ref *slices)
{
	char head[REPLY_HEAD_MAX];
	int n = 1;

	if (sends_reserve(s, 2 + r->slices))
		return -ENOMEM;
	s->sends[0] = (struct paste_send){head, reply_format(r, &s->date, head), {0}};
	if (r->body == REPLY_BYTES && !r->head_only && r->length)
		s->sends[n++] = (struct paste_send){bytes, (uint32_t)r->length, {0}};
	if (r->body == REPLY_SLICES)
		for (uint32_t i = 0; i < r->slices; i++)
			s->sends[n++] = (struct paste_send){.ref = slices[i]};
	return paste_conn_send(c->conn, s->sends, n);
}

/* Make *kept a reply like *r that has its own copy of the value's bytes or list of slices. */
static int reply_keep(struct reply *kept, const struct reply *r, const struct paste_value *value)
{
	bool in_slices = r->body == REPLY_SLICES;
	size_t bytes = r->head_only ? 0 : in_slices ? r->slices * sizeof(struct paste_ref) : r->length;
	void *to = kept->inside;

	memcpy(kept, r, offsetof(struct reply, inside));
	if (bytes > REPLY_INSIDE_BYTES) {
		to = malloc(bytes);
		if (!to)
			return -ENOMEM;
		kept->heap = to;
		kept->on_heap = true;
	}
	if (bytes)
		memcpy(to, in_slices ? (const void *)value->slices : value->bytes, bytes);
	return 0;
}

/* A value that was found. Most are durable and leave at once, without a reply being queued. */
void answer_value(struct service *s, struct connection *c, const struct request *q, struct paste_value *value)
{
	bool close = !q->keep_alive || s->draining;
	struct reply r = {.round = value->round,
			  .version = q->resource == RESOURCE_KEY ? value->version : 0,
			  .length = value->length,
			  .status = 200,
			  .body = value->bytes ? REPLY_BYTES : REPLY_SLICES,
			  .close = close,
			  .keep_1_0 = q->http_1_0 && !close,
			  .head_only = q->method == HTTP_HEAD,
			  .slices = value->n,
			  .type = "application/octet-stream"};

	if (value->bytes)
		r.slices = 0;
	if (r.head_only) {
		paste_value_put(s->store, value);
		r.body = REPLY_BYTES;
		r.slices = 0;
	}
	if (!c->replies && !c->blocked && may_leave(s, r.round)) {
		int rc = send_reply(s, c, &r, value->bytes, value->slices);

		if (!rc) {
			note_reply(s, c, 200, close);
			if (close)
				answer_list(s, c);
			return;
		}
		c->blocked = rc == -EAGAIN;
	}

	struct reply *kept = reply_new(&s->replies);
	if (kept && reply_keep(kept, &r, value) == 0) {
		note_reply(s, c, 200, close);
		append(s, c, kept);
		return;
	}
	if (kept)
		reply_free(&s->replies, kept);
	if (!r.head_only)
		paste_value_put(s->store, value);
	connection_drop(s, c, true);
}

/* The round that this reply waits for will never be durable. What it says did or did not happen; nobody
 * knows. */
static void turn_into_failure(struct service *s, struct connection *c, struct reply *r)
{
	struct reply failed = {.next = r->next, .status = 503, .close = true, .body = REPLY_TEXT};

	put_slices(s, r);
	if (r->on_heap)
		free(r->heap);
	memcpy(r, &failed, offsetof(struct reply, inside));
	r->text = "the medium has failed; the outcome is unknown\n";
	s->stats.replies[5]++;
	connection_stop(s, c);
}

static void pop(struct service *s, struct connection *c)
{
	struct reply *r = c->replies;

	c->replies = r->next;
	if (!c->replies)
		c->last_reply = NULL;
	c->pending--;
	reply_free(&s->replies, r);
}

void answer_flush(struct service *s, struct connection *c)
{
	link_remove(&c->turn_link);
	while (c->replies && !c->blocked) {
		struct reply *r = c->replies;

		if (!may_leave(s, r->round)) {
			if (!s->error) {
				link_append(&s->waiting, &c->turn_link);
				break;
			}
			turn_into_failure(s, c, r);
		}
		bool last = r->close;
		int rc = send_reply(s, c, r, reply_bytes(r), reply_slices(r));
		if (rc == -EAGAIN) {
			c->blocked = true; /* until WRITABLE */
			break;
		}
		if (rc) {
			connection_drop(s, c, true);
			return;
		}
		pop(s, c);
		if (last) {
			answer_drop_all(s, c);
			break;
		}
	}
	if (!c->replies && (c->state == READ_NOTHING || (s->draining && connection_is_idle(c))))
		connection_drop(s, c, false);
	else if (c->paused)
		connection_go_on(s, c);
}
