/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entries.c - GET /log/STREAM: entries one after the other, each behind a line `SEQ LENGTH`; and waiting for
 * them.
 *
 * The reply is made while it leaves: a batch of entries is read from the store, sent by reference, and the
 * next one is read when the connection takes more. So a reply of any length holds a batch. Which entries it
 * has is decided when it is asked for; what is trimmed meanwhile is left out.
 *
 * Who follows waits as an unsent reply, in a list by the hash of the stream's name. Whoever appends notes the
 * hash (rounds.h), and those that wait in its list are looked at again at the end of the turn.
 */
#include "serve/service_inside.h"

#include "base/site.h"
#include "serve/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES (64 * 1024)
#define BATCH_ENTRIES 256

struct entries {
	uint64_t at, end; /* sequence numbers: the next one, and behind the last one */
	uint64_t limit;
	int64_t until; /* monotonic us: wait so long for the first one; 0: not */
	bool begun;    /* the head has left */
	uint32_t name_length;
	uint8_t name[];
};

void entries_get(struct service *s, struct connection *c, const struct request *r)
{
	uint64_t first = 1, next = 1, round = 0,
		 from = query_has(&r->query, QUERY_FROM) ? r->query.numbers[QUERY_FROM] : 1;
	bool follows = query_has(&r->query, QUERY_FOLLOW) && r->query.numbers[QUERY_FOLLOW];
	int rc = paste_store_stream(s->store, r->name, r->name_length, &first, &next, &round);

	if (rc == -ENOENT && !follows) {
		request_missing(s, c, r, round);
		return;
	}
	if (rc && rc != -ENOENT) {
		request_fail(s, c, r, rc);
		return;
	}
	struct entries *e = malloc(sizeof(*e) + r->name_length);
	if (!e) {
		request_fail(s, c, r, -ENOMEM);
		return;
	}
	*e = (struct entries){.at = from > first ? from : first,
			      .limit = query_has(&r->query, QUERY_LIMIT) ? r->query.numbers[QUERY_LIMIT]
									 : UINT64_MAX,
			      .name_length = r->name_length};
	memcpy(e->name, r->name, r->name_length);
	e->end = e->at;
	if (e->at < next)
		e->end = next - e->at < e->limit ? next : e->at + e->limit;
	if (follows)
		e->until = s->now.monotonic_us + (int64_t)r->query.numbers[QUERY_FOLLOW] * 1000000;
	struct reply *reply = request_answer(s, c, r, 200, SITE(entries_wait_for_round) ? round : 0);
	if (!reply) {
		free(e);
		return;
	}
	if (r->http_1_0) /* which knows no chunks: the end of the connection is the end of the body */
		answer_close(s, c, reply);
	reply->body = REPLY_ENTRIES;
	reply->type = "application/octet-stream";
	reply->heap = e;
	reply->on_heap = true;
	reply->chunked = !r->http_1_0;
	reply->head_only = r->method == HTTP_HEAD;
	reply->first_entry = first;
	reply->next_entry = next;
}

/* What a follower waits for has come, or it has waited long enough. Else it is in its list now. */
bool entries_are_due(struct service *s, struct connection *c, struct reply *r)
{
	struct entries *e = r->heap;
	uint64_t first = 1, next = 1, round = 0;

	alarm_clear(&c->alarm);
	if (!e->until || e->at < e->end)
		return true;
	int rc = paste_store_stream(s->store, e->name, e->name_length, &first, &next, &round);
	if (rc == 0 && next > e->at) {
		e->at = e->at > first ? e->at : first;
		e->end = next - e->at < e->limit ? next : e->at + e->limit;
	} else if (s->now.monotonic_us < e->until && !s->draining && !s->rounds->error) {
		uint32_t bucket = rounds_bucket(e->name, e->name_length);

		link_append(&s->followers[bucket], &c->turn_link);
		alarm_set(&s->alarms, &c->alarm, e->until);
		s->rounds->followed = true;
		return false;
	}
	e->until = 0;
	r->first_entry = first;
	r->next_entry = next;
	if (SITE(followed_entries_wait_for_round) && round > r->round)
		r->round = round;
	service_saw_round(s, r->round);
	return true;
}

bool entries_have_begun(const struct reply *r)
{
	return ((const struct entries *)r->heap)->begun;
}

/* Pieces for one send. Those of copied bytes hold an offset in the scratch text, which may still move, until
 * they are complete. */
struct batch {
	uint32_t n;
	uint64_t bytes;
};

static int batch_text(struct service *s, struct batch *b, size_t from)
{
	struct paste_send *last = b->n ? &s->sends[b->n - 1] : NULL;
	uint32_t length = (uint32_t)(s->scratch.n - from);

	if (s->scratch.failed)
		return -ENOMEM;
	if (!length)
		return 0;
	if (last && last->inline_length && (uintptr_t)last->inline_bytes + last->inline_length == from) {
		last->inline_length += length;
		return 0;
	}
	if (sends_reserve(s, b->n + 1))
		return -ENOMEM;
	s->sends[b->n++] =
	    (struct paste_send){.inline_bytes = (const void *)(uintptr_t)from, .inline_length = length};
	return 0;
}

static void batch_drop(struct service *s, struct batch *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		if (!s->sends[i].inline_length)
			paste_ref_put(s->region, s->sends[i].ref);
	b->n = 0;
}

/* Takes the value over. */
static int batch_value(struct service *s, struct batch *b, uint64_t sequence, const struct paste_value *v)
{
	size_t from = s->scratch.n;

	text_decimal(&s->scratch, sequence);
	text_string(&s->scratch, " ");
	text_decimal(&s->scratch, v->length);
	text_string(&s->scratch, "\n");
	if (v->bytes)
		text_bytes(&s->scratch, v->bytes, v->length);
	b->bytes += s->scratch.n - from + (v->bytes ? 0 : v->length);
	if (batch_text(s, b, from) || sends_reserve(s, b->n + v->n)) {
		paste_value_put(s->store, v);
		return -ENOMEM;
	}
	if (!v->bytes)
		for (uint32_t i = 0; i < v->n; i++)
			s->sends[b->n++] = (struct paste_send){.ref = v->slices[i]};
	return 0;
}

/* The entry at e->at was trimmed since: go on with those that are there, when that is durable. */
static int skip_trimmed(struct service *s, struct entries *e, uint64_t *wait)
{
	uint64_t first, next, round;
	int rc = paste_store_stream(s->store, e->name, e->name_length, &first, &next, &round);

	if (rc)
		return rc;
	if (!answer_may_leave(s, round)) {
		*wait = round;
		return 0;
	}
	e->at = first > e->at ? first : e->at + 1;
	return 0;
}

/* Read entries from e->at on. *wait: a round that must be durable before it goes on; 0: none. */
static int batch_fill(struct service *s, struct batch *b, struct entries *e, uint64_t *wait)
{
	for (int n = 0; e->at < e->end && n < BATCH_ENTRIES && b->bytes < BATCH_BYTES && !*wait; n++) {
		struct paste_value v = {0};
		int rc = paste_store_read(s->store, e->name, e->name_length, e->at, &v);

		if (rc == 0)
			rc = batch_value(s, b, e->at++, &v);
		else if (rc == -ENOENT)
			rc = skip_trimmed(s, e, wait);
		if (rc)
			return n ? 0 : rc; /* what was read is sent first */
	}
	return 0;
}

static int batch_send(struct service *s, struct connection *c, struct reply *r, struct batch *b, bool ends)
{
	struct entries *e = r->heap;
	char head[REPLY_HEAD_MAX];
	size_t from = s->scratch.n;
	uint32_t front = 0, at = 0;

	if (!e->begun)
		front = reply_format(r, &s->date, head);
	if (r->chunked && !r->head_only) {
		if (b->bytes)
			front += (uint32_t)snprintf(head + front, sizeof(head) - front, "%llx\r\n",
						    (unsigned long long)b->bytes);
		if (b->bytes)
			text_string(&s->scratch, "\r\n");
		if (ends)
			text_string(&s->scratch, "0\r\n\r\n");
		if (batch_text(s, b, from))
			return -ENOMEM;
	}
	for (uint32_t i = 1; i < b->n; i++)
		if (s->sends[i].inline_length)
			s->sends[i].inline_bytes = s->scratch.at + (uintptr_t)s->sends[i].inline_bytes;
	if (front) {
		s->sends[0] = (struct paste_send){.inline_bytes = head, .inline_length = front};
	} else {
		at = 1;
	}
	return at == b->n ? 0 : paste_conn_send(c->conn, s->sends + at, (int)(b->n - at));
}

int entries_send(struct service *s, struct connection *c, struct reply *r)
{
	struct entries *e = r->heap;

	for (;;) {
		struct batch b = {0};
		uint64_t begin = e->at, wait = 0;
		int rc = sends_reserve(s, 1);

		s->scratch.n = 0;
		s->scratch.failed = false;
		if (rc)
			return rc;
		/* A piece of no length, for the head: nothing joins it, and dropping it puts nothing. */
		s->sends[b.n++] =
		    (struct paste_send){.inline_bytes = (const void *)(UINTPTR_MAX - 1), .inline_length = 1};
		if (!r->head_only)
			rc = batch_fill(s, &b, e, &wait);
		bool ends = r->head_only || (e->at >= e->end && !wait);
		if (rc == 0)
			rc = batch_send(s, c, r, &b, ends);
		if (rc) {
			batch_drop(s, &b);
			e->at = begin;
			return rc;
		}
		e->begun = true;
		if (ends)
			return 0;
		if (wait) {
			r->round = wait;
			return 1;
		}
	}
}
