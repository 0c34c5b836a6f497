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
bool answer_may_leave(const struct service *s, uint64_t round)
{
	return !(!rounds_is_durable(s->rounds, round) && SITE(reply_waits_for_round));
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
	service_saw_round(s, round); /* also a read can need one: it found that a key has expired */
	r->status = status;
	r->round = round;
	r->close = close;
	r->retry = status == 503;
	r->head_only = s->asked.head;
	r->writes = s->asked.writes;
	r->began_us = s->asked.counted && status != 100 ? s->now.monotonic_us : 0;
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

void answer_close(struct service *s, struct connection *c, struct reply *r)
{
	r->close = true;
	r->keep_1_0 = false;
	c->state = READ_NOTHING;
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

int sends_reserve(struct service *s, uint32_t n)
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

/* What is answered in the turn that brought it is counted at the turn's end. */
static void note_sent(struct service *s, const struct reply *r)
{
	enum service_kind kind = r->writes ? SERVICE_WRITE : SERVICE_READ;

	if (!r->began_us || r->body == REPLY_ENTRIES) /* who follows chose how long it takes */
		return;
	if (r->began_us == s->now.monotonic_us)
		s->turn_replies[kind]++;
	else
		latency_add(&s->latency[kind], (uint64_t)(s->now.monotonic_us - r->began_us), 1);
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

/* Keep the first n bytes. */
static void slice_cut(struct service *s, struct paste_ref *slice, uint32_t n)
{
	struct paste_ref rest = *slice;

	/* The count on the buffer in which the cut lies stays with the front. */
	paste_ref_get(s->region, (struct paste_ref){slice->buffer, slice->offset, (uint16_t)n});
	slice_advance(s, &rest, n);
	paste_ref_put(s->region, rest);
	slice->length = (uint16_t)n;
}

/* Leave only `count` bytes from `first` on, at least one. The list of slices is ours then, until the next
 * value. */
static int value_cut(struct service *s, struct paste_value *value, uint64_t first, uint64_t count)
{
	uint64_t at = 0, end = first + count;
	uint32_t n = 0;

	value->length = count;
	if (value->bytes) {
		value->bytes = (const uint8_t *)value->bytes + first;
		return 0;
	}
	if (value->n > s->cut_room) {
		struct paste_ref *grown = realloc(s->cut, value->n * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->cut = grown;
		s->cut_room = value->n;
	}
	for (uint32_t i = 0; i < value->n; i++) {
		struct paste_ref slice = value->slices[i];
		uint64_t begin = at;

		at += slice.length;
		if (at <= first || begin >= end) {
			paste_ref_put(s->region, slice);
			continue;
		}
		if (at > end)
			slice_cut(s, &slice, (uint32_t)(end - begin));
		if (begin < first)
			slice_advance(s, &slice, (uint32_t)(first - begin));
		s->cut[n++] = slice;
	}
	value->slices = s->cut;
	value->n = n;
	return 0;
}

/* What of the value is asked for: 200, 206 or 416; or -ENOMEM. */
static int apply_range(struct service *s, const struct request *q, struct paste_value *value, struct reply *r)
{
	uint64_t count;

	if (q->range.kind == HTTP_RANGE_NONE || (q->has_if_range && q->if_range != r->version))
		return 200;
	r->total = value->length;
	if (!http_range_of(&q->range, value->length, &r->first, &count))
		return 416;
	return value_cut(s, value, r->first, count) ? -ENOMEM : 206;
}

static void answer_no_range(struct service *s, struct connection *c, const struct request *q,
			    const struct reply *of)
{
	struct reply *r = answer_new(s, c, 416, of->round, of->close);

	if (!r)
		return;
	r->keep_1_0 = q->http_1_0 && !r->close;
	r->total = of->total;
	r->body = REPLY_TEXT;
	r->text = "no byte of this range is there\n";
}

/* A value that was found. Most are durable and leave at once, without a reply being queued. */
void answer_value(struct service *s, struct connection *c, const struct request *q, struct paste_value *value)
{
	bool close = !q->keep_alive || s->draining;
	struct reply r = {.round = value->round,
			  .version = q->resource == RESOURCE_KEY ? value->version : q->sequence,
			  .body = value->bytes ? REPLY_BYTES : REPLY_SLICES,
			  .ttl = value->expires ? service_ttl(s, value->expires) : 0,
			  .close = close,
			  .keep_1_0 = q->http_1_0 && !close,
			  .head_only = q->method == HTTP_HEAD,
			  .began_us = s->now.monotonic_us,
			  .type = "application/octet-stream"};
	service_saw_round(s, value->round);
	int status = apply_range(s, q, value, &r);

	if (status == 416 || status < 0) {
		paste_value_put(s->store, value);
		if (status < 0)
			answer_text(s, c, 503, "out of memory\n", r.round, close);
		else
			answer_no_range(s, c, q, &r);
		return;
	}
	r.status = (uint16_t)status;
	r.length = value->length;
	r.slices = value->bytes ? 0 : value->n;
	if (r.head_only) {
		paste_value_put(s->store, value);
		r.body = REPLY_BYTES;
		r.slices = 0;
	}
	if (!c->replies && !c->blocked && answer_may_leave(s, r.round)) {
		int rc = send_reply(s, c, &r, value->bytes, value->slices);

		if (!rc) {
			note_reply(s, c, r.status, close);
			note_sent(s, &r);
			if (close)
				answer_list(s, c);
			return;
		}
		c->blocked = rc == -EAGAIN;
	}

	struct reply *kept = reply_new(&s->replies);
	if (kept && reply_keep(kept, &r, value) == 0) {
		note_reply(s, c, r.status, close);
		append(s, c, kept);
		return;
	}
	if (kept)
		reply_free(&s->replies, kept);
	if (!r.head_only)
		paste_value_put(s->store, value);
	connection_drop(s, c, true);
}

/* Say this instead, and then nothing more. */
static void turn_into_failure(struct service *s, struct connection *c, struct reply *r, uint16_t status,
			      const char *text)
{
	struct reply failed = {
	    .next = r->next, .status = status, .close = true, .head_only = r->head_only, .body = REPLY_TEXT};

	put_slices(s, r);
	if (r->on_heap)
		free(r->heap);
	memcpy(r, &failed, offsetof(struct reply, inside));
	r->text = text;
	s->stats.replies[5]++;
	connection_stop(s, c);
}

static bool has_begun(const struct reply *r)
{
	return r->body == REPLY_ENTRIES && entries_have_begun(r);
}

/* 0: it has left; 1: it waits for a round now; -EAGAIN: the connection takes no more; or it cannot be given.
 */
static int send_first(struct service *s, struct connection *c, struct reply *r)
{
	if (r->body == REPLY_ENTRIES)
		return entries_send(s, c, r);
	return send_reply(s, c, r, reply_bytes(r), reply_slices(r));
}

/* The connection is not there any more when this returns false. */
static bool send_failed(struct service *s, struct connection *c, struct reply *r, int error)
{
	if (r->body == REPLY_ENTRIES && !has_begun(r) && error != -EPIPE && error != -ENOMEM) {
		if (error == -EBADMSG)
			turn_into_failure(s, c, r, 500, "a stored value is damaged\n");
		else
			turn_into_failure(s, c, r, 503, "the medium has failed\n");
		return true;
	}
	/* What has left of a chunked reply has no end, so the client knows that it is not whole. */
	connection_drop(s, c, !has_begun(r) || error == -EPIPE);
	return false;
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

		if (r->body == REPLY_ENTRIES && !entries_are_due(s, c, r))
			break;
		if (!answer_may_leave(s, r->round)) {
			if (!s->rounds->error) {
				link_append(&s->waiting, &c->turn_link);
				break;
			}
			if (has_begun(r)) {
				connection_drop(s, c, false);
				return;
			}
			turn_into_failure(s, c, r, 503, "the medium has failed; the outcome is unknown\n");
		}
		bool last = r->close;
		int rc = send_first(s, c, r);
		c->since = s->now.monotonic_us;
		if (rc == -EAGAIN) {
			c->blocked = true; /* until WRITABLE */
			break;
		}
		if (rc < 0 && !send_failed(s, c, r, rc))
			return;
		if (rc)
			continue;
		note_sent(s, r);
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
