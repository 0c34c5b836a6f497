/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body.c - bodies that arrive in several slices.
 *
 * They are let in only while all that were let in can arrive; others wait, in the order in which they asked,
 * and are answered 503 (bodies under way hold the room) or 507 (nobody does) after ROOM_WAIT_US. Room is
 * counted in bytes, and slices are rarely full; should the buffers run out all the same, the youngest body is
 * given up with 503, so that the others can end. A chunked body, whose length is not known, is let in a step
 * at a time.
 */
#include "serve/service_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A request outlives its head while its body arrives; those that are free are chained. */
struct free_request {
	struct free_request *next;
};

struct request *request_new(struct service *s, const struct request *of)
{
	struct request *r;

	if (s->free_requests) {
		r = (struct request *)s->free_requests;
		s->free_requests = s->free_requests->next;
	} else {
		r = malloc(sizeof(*r));
		if (!r)
			return NULL;
	}
	memcpy(r, of, offsetof(struct request, name) + of->name_length);
	return r;
}

static void request_free(struct service *s, struct request *r)
{
	struct free_request *f = (struct free_request *)r;

	f->next = s->free_requests;
	s->free_requests = f;
}

void body_pool_close(struct service *s)
{
	while (s->free_requests) {
		struct free_request *r = s->free_requests;

		s->free_requests = r->next;
		free(r);
	}
}

void body_free(struct service *s, struct connection *c)
{
	if (!c->request)
		return;
	if (c->state == READ_BODY)
		s->rounds->arriving -= c->body_left;
	link_remove(&c->body_link);
	paste_body_free(s->store, &c->body);
	request_free(s, c->request);
	c->request = NULL;
	c->wants_continue = false;
}

/* Give up a body that has begun. */
static void body_refuse(struct service *s, struct connection *c, uint16_t status, const char *text)
{
	bool close =
	    !c->request->keep_alive || c->wants_continue || (!c->chunked && c->body_left > DRAIN_MAX);

	body_free(s, c);
	c->state = READ_HEAD;
	answer_text(s, c, status, text, 0, close);
	if (c->state != READ_HEAD)
		return;
	if (c->chunked)
		c->body_left = DRAIN_MAX;
	if (c->body_left)
		c->state = SKIP_BODY;
}

void body_skip(struct connection *c, const struct http_request *http)
{
	if (c->state != READ_HEAD || (!http->content_length && !http->chunked))
		return;
	c->state = SKIP_BODY;
	c->chunked = http->chunked;
	c->chunk = (struct chunk_scan){0};
	c->body_left = http->chunked ? DRAIN_MAX : http->content_length;
}

static void skip_chunked(struct service *s, struct connection *c, struct paste_ref *rest)
{
	int n = chunk_scan(&c->chunk, (const char *)paste_ref_data(s->region, *rest), rest->length);
	uint32_t data = 0;

	if (n >= 0) {
		slice_advance(s, rest, (uint32_t)n);
		if (chunk_is_done(&c->chunk)) {
			c->state = READ_HEAD;
			return;
		}
		data = rest->length < c->chunk.left ? rest->length : (uint32_t)c->chunk.left;
	}
	if (n < 0)
		s->stats.broken[-n]++;
	if (n < 0 || data > c->body_left) {
		/* Where the next request begins is not known, or too far off; the reply was given before. */
		connection_stop(s, c);
		answer_list(s, c);
		return;
	}
	if (data)
		chunk_took(&c->chunk, data);
	slice_advance(s, rest, data);
	connection_moved(s, c, data);
	c->body_left -= data;
}

void body_skip_read(struct service *s, struct connection *c, struct paste_ref *rest)
{
	if (c->chunked) {
		skip_chunked(s, c, rest);
		return;
	}
	uint32_t n = rest->length < c->body_left ? rest->length : (uint32_t)c->body_left;

	slice_advance(s, rest, n);
	connection_moved(s, c, n);
	c->body_left -= n;
	if (!c->body_left)
		c->state = READ_HEAD;
}

static bool has_room(const struct service *s, uint64_t bytes)
{
	uint64_t size = paste_buffer_size(s->region), room = paste_buffer_free(s->region) * size;

	return s->rounds->arriving + bytes + 2 * size <= room;
}

static void body_let_in(struct service *s, struct connection *c)
{
	if (c->state != READ_BODY) { /* else a step more of one that is in already: it keeps its age */
		link_remove(&c->body_link);
		link_append(&s->bodies, &c->body_link);
		c->state = READ_BODY;
	}
	c->since = s->now.monotonic_us;
	s->rounds->arriving += c->body_left;
	s->body_progress_at = s->now.monotonic_us;
	if (c->wants_continue) {
		c->wants_continue = false;
		answer_new(s, c, 100, 0, false);
	}
}

/* Let what is in body_left in now, or when there is room. */
static void body_ask(struct service *s, struct connection *c)
{
	if (link_empty(&s->rooms) && has_room(s, c->body_left)) {
		body_let_in(s, c);
		return;
	}
	c->state = WAIT_ROOM;
	c->since = s->now.monotonic_us;
	link_remove(&c->body_link);
	link_append(&s->rooms, &c->body_link);
	s->stats.waited_room++;
}

void body_begin(struct service *s, struct connection *c, const struct http_request *http, bool has_begun)
{
	c->request = request_new(s, &s->current);
	if (!c->request) {
		connection_refuse(s, c, http, 503, "out of memory\n");
		return;
	}
	paste_body_init(&c->body);
	c->chunked = http->chunked;
	c->chunk = (struct chunk_scan){0};
	c->body_left = http->chunked ? CHUNKED_STEP : http->content_length;
	c->wants_continue = http->expect_continue && !has_begun;
	body_ask(s, c);
}

static void body_complete(struct service *s, struct connection *c)
{
	s->rounds->arriving -= c->body_left;
	c->body_left = 0;
	c->state = READ_HEAD;
	execute(s, c, c->request, c->body.slices, c->body.n);
	body_free(s, c);
}

/* Take the first n bytes of *rest. False: the body was given up. */
static bool body_take(struct service *s, struct connection *c, struct paste_ref *rest, uint32_t n)
{
	struct paste_ref part = {rest->buffer, rest->offset, (uint16_t)n};

	paste_ref_get(s->region, part);
	slice_advance(s, rest, n);
	connection_moved(s, c, n);
	c->body_left -= n;
	s->rounds->arriving -= n;
	s->body_progress_at = s->now.monotonic_us;
	if (c->chunked)
		chunk_took(&c->chunk, n);

	int rc = paste_body_add(s->store, &c->body, part);
	if (rc)
		body_refuse(s, c, 503, rc == -ENOBUFS ? "no buffers for the body\n" : "out of memory\n");
	return rc == 0;
}

/* The end of this body cannot be found, or is too far off: the connection ends with the reply. */
static void body_break_off(struct service *s, struct connection *c, enum http_rule rule)
{
	body_free(s, c);
	c->state = READ_HEAD;
	connection_broke(s, c, rule);
}

static void read_chunked(struct service *s, struct connection *c, struct paste_ref *rest)
{
	int n = chunk_scan(&c->chunk, (const char *)paste_ref_data(s->region, *rest), rest->length);
	uint64_t most = service_body_max(s);

	if (n < 0) {
		body_break_off(s, c, (enum http_rule) - n);
		return;
	}
	slice_advance(s, rest, (uint32_t)n);
	if (chunk_is_done(&c->chunk)) {
		body_complete(s, c);
	} else if (!chunk_has_data(&c->chunk)) {
		return; /* the framing goes on with the next slice */
	} else if (c->chunk.left > most || c->body.bytes > most - c->chunk.left) {
		body_break_off(s, c, RULE_BODY_LARGE);
	} else if (!c->body_left) {
		c->body_left = CHUNKED_STEP;
		body_ask(s, c);
	} else if (rest->length) {
		uint64_t data = c->chunk.left < c->body_left ? c->chunk.left : c->body_left;

		body_take(s, c, rest, rest->length < data ? rest->length : (uint32_t)data);
	}
}

void body_read(struct service *s, struct connection *c, struct paste_ref *rest)
{
	if (c->chunked) {
		read_chunked(s, c, rest);
		return;
	}
	if (body_take(s, c, rest, rest->length < c->body_left ? rest->length : (uint32_t)c->body_left) &&
	    !c->body_left)
		body_complete(s, c);
}

void body_check_rooms(struct service *s)
{
	while (!link_empty(&s->rooms)) {
		struct connection *c = link_owner(s->rooms.next, struct connection, body_link);

		if (has_room(s, c->body_left))
			body_let_in(s, c);
		else if (s->now.monotonic_us - c->since < ROOM_WAIT_US)
			return;
		else if (s->rounds->arriving)
			body_refuse(s, c, 503, "no room for the body at the moment\n");
		else
			body_refuse(s, c, 507, "no room for the body\n");
		connection_go_on(s, c);
	}
}

void body_check_starved(struct service *s)
{
	struct paste_stack_stats stack;

	if (link_empty(&s->bodies) || s->now.monotonic_us - s->body_progress_at < STARVED_FAIL_US)
		return;
	paste_stack_stats(s->stack, &stack);
	if (!stack.waiting)
		return;
	struct connection *youngest = link_owner(s->bodies.previous, struct connection, body_link);
	body_refuse(s, youngest, 503, "no buffers for the body\n");
	s->body_progress_at = s->now.monotonic_us;
}
