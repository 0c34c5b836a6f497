/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body.c - bodies that arrive in several slices.
 *
 * They are let in only while all that were let in can arrive; others wait, in the order in which they asked,
 * and are answered 503 (bodies under way hold the room) or 507 (nobody does) after ROOM_WAIT_US. Room is
 * counted in bytes, and slices are rarely full; should the buffers run out all the same, the youngest body is
 * given up with 503, so that the others can end.
 */
#include "serve/service_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A request outlives its head while its body arrives; those that are free are chained. */
struct free_request {
	struct free_request *next;
};

static struct request *request_new(struct service *s, const struct request *of)
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
		s->arriving -= c->body_left;
	link_remove(&c->body_link);
	paste_body_free(s->store, &c->body);
	request_free(s, c->request);
	c->request = NULL;
	c->wants_continue = false;
}

/* Give up a body that has begun. */
static void body_refuse(struct service *s, struct connection *c, uint16_t status, const char *text)
{
	struct http_request http = {.keep_alive = c->request->keep_alive,
				    .content_length = c->body_left,
				    .expect_continue = c->wants_continue};

	body_free(s, c);
	c->state = READ_HEAD;
	answer_text(s, c, status, text, 0,
		    !http.keep_alive || c->body_left > DRAIN_MAX || http.expect_continue);
	if (c->state == READ_HEAD && c->body_left)
		c->state = SKIP_BODY;
}

static bool has_room(const struct service *s, uint64_t bytes)
{
	uint64_t size = paste_buffer_size(s->region), room = paste_buffer_free(s->region) * size;

	return s->arriving + bytes + 2 * size <= room;
}

static void body_let_in(struct service *s, struct connection *c)
{
	link_remove(&c->body_link);
	link_append(&s->bodies, &c->body_link);
	c->state = READ_BODY;
	s->arriving += c->body_left;
	s->body_progress_at = s->now.monotonic_us;
	if (c->wants_continue) {
		c->wants_continue = false;
		answer_new(s, c, 100, 0, false);
	}
}

void body_begin(struct service *s, struct connection *c, const struct http_request *http, bool has_begun)
{
	c->request = request_new(s, &s->current);
	if (!c->request) {
		connection_refuse(s, c, http, 503, "out of memory\n");
		return;
	}
	paste_body_init(&c->body);
	c->body_left = http->content_length;
	c->wants_continue = http->expect_continue && !has_begun;
	if (link_empty(&s->rooms) && has_room(s, c->body_left)) {
		body_let_in(s, c);
		return;
	}
	c->state = WAIT_ROOM;
	c->since = s->now.monotonic_us;
	link_append(&s->rooms, &c->body_link);
	s->stats.waited_room++;
}

void body_read(struct service *s, struct connection *c, struct paste_ref *rest)
{
	struct paste_ref part = {rest->buffer, rest->offset, rest->length};

	if (part.length > c->body_left)
		part.length = (uint16_t)c->body_left;
	paste_ref_get(s->region, part);
	slice_advance(s, rest, part.length);
	c->body_left -= part.length;
	s->arriving -= part.length;
	s->body_progress_at = s->now.monotonic_us;

	int rc = paste_body_add(s->store, &c->body, part);
	if (rc) {
		body_refuse(s, c, 503, rc == -ENOBUFS ? "no buffers for the body\n" : "out of memory\n");
		return;
	}
	if (c->body_left)
		return;
	c->state = READ_HEAD;
	execute(s, c, c->request, c->body.slices, c->body.n);
	body_free(s, c);
}

void body_check_rooms(struct service *s)
{
	while (!link_empty(&s->rooms)) {
		struct connection *c = link_owner(s->rooms.next, struct connection, body_link);

		if (has_room(s, c->body_left))
			body_let_in(s, c);
		else if (s->now.monotonic_us - c->since < ROOM_WAIT_US)
			return;
		else if (s->arriving)
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
