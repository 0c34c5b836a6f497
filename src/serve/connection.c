/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * connection.c - from received slices to requests.
 *
 * A head is parsed where it landed; only one that is split over slices is gathered in a heap buffer. A body's
 * slices stay where they landed.
 *
 * A connection whose replies are not taken, or are too many, is paused until they have left. What was
 * received until the pause worked is kept as it came. The same is done while a body waits for room (body.c).
 */
#include "serve/service_inside.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_CONNECTIONS 64
#define SLAB_UNREAD 128
#define GATHER_FIRST 512
#define GATHER_STEP 256

struct connection_slab {
	struct connection_slab *next;
	struct connection connections[SLAB_CONNECTIONS];
};

struct unread_slab {
	struct unread_slab *next;
	struct unread items[SLAB_UNREAD];
};

struct connection *connection_new(struct service *s, struct paste_conn *conn)
{
	struct connection *c = s->free_connections;

	if (!c) {
		struct connection_slab *slab = calloc(1, sizeof(*slab));

		if (!slab)
			return NULL;
		slab->next = s->connection_slabs;
		s->connection_slabs = slab;
		for (int i = SLAB_CONNECTIONS - 1; i >= 0; i--) {
			slab->connections[i].free_next = c;
			c = &slab->connections[i];
		}
	}
	s->free_connections = c->free_next;
	*c = (struct connection){.conn = conn, .state = READ_HEAD, .since = s->now.monotonic_us};
	link_init(&c->turn_link);
	link_init(&c->body_link);
	alarm_init(&c->alarm);
	link_append(&s->all, &c->link);
	s->stats.connections++;
	return c;
}

void connection_pools_close(struct service *s)
{
	while (s->connection_slabs) {
		struct connection_slab *slab = s->connection_slabs;

		s->connection_slabs = slab->next;
		free(slab);
	}
	while (s->unread_slabs) {
		struct unread_slab *slab = s->unread_slabs;

		s->unread_slabs = slab->next;
		free(slab);
	}
}

/* Go n bytes forward; the user counts on buffers left behind are put. */
void slice_advance(struct service *s, struct paste_ref *slice, uint32_t n)
{
	uint32_t size = paste_buffer_size(s->region);

	assert(n <= slice->length);
	while (n) {
		uint32_t step = size - slice->offset;

		if (step > n)
			step = n;
		slice->length = (uint16_t)(slice->length - step);
		n -= step;
		if (slice->offset + step == size || !slice->length) {
			paste_buffer_put(s->region, slice->buffer++);
			slice->offset = 0;
		} else {
			slice->offset = (uint16_t)(slice->offset + step);
		}
	}
}

static struct unread *unread_new(struct service *s)
{
	if (!s->free_unread) {
		struct unread_slab *slab = malloc(sizeof(*slab));

		if (!slab)
			return NULL;
		slab->next = s->unread_slabs;
		s->unread_slabs = slab;
		for (int i = 0; i < SLAB_UNREAD; i++) {
			slab->items[i].next = s->free_unread;
			s->free_unread = &slab->items[i];
		}
	}
	struct unread *u = s->free_unread;
	s->free_unread = u->next;
	return u;
}

static struct paste_ref unread_pop(struct service *s, struct connection *c)
{
	struct unread *u = c->unread;
	struct paste_ref slice = u->slice;

	c->unread = u->next;
	if (!c->unread)
		c->last_unread = NULL;
	u->next = s->free_unread;
	s->free_unread = u;
	return slice;
}

/* Keep a slice for later, behind or (what is left of one) before those kept already. */
static void unread_push(struct service *s, struct connection *c, struct paste_ref slice, bool in_front)
{
	struct unread *u = unread_new(s);

	if (!u) {
		paste_ref_put(s->region, slice);
		connection_drop(s, c, true);
		return;
	}
	u->slice = slice;
	if (in_front) {
		u->next = c->unread;
		c->unread = u;
		if (!c->last_unread)
			c->last_unread = u;
	} else {
		u->next = NULL;
		if (c->last_unread)
			c->last_unread->next = u;
		else
			c->unread = u;
		c->last_unread = u;
	}
	if (!c->paused) {
		c->paused = true;
		s->stats.stalled++;
		paste_conn_pause(c->conn);
	}
}

static void gather_free(struct connection *c)
{
	free(c->gathered);
	c->gathered = NULL;
	c->gathered_length = c->gathered_room = 0;
	c->scan = (struct http_scan){0};
}

static void forget_input(struct service *s, struct connection *c)
{
	body_free(s, c);
	job_free(c);
	gather_free(c);
	while (c->unread)
		paste_ref_put(s->region, unread_pop(s, c));
}

void connection_stop(struct service *s, struct connection *c)
{
	forget_input(s, c);
	c->state = READ_NOTHING;
}

void connection_drop(struct service *s, struct connection *c, bool reset)
{
	if (!c->conn)
		return;
	connection_stop(s, c);
	answer_drop_all(s, c);
	if (reset)
		paste_conn_abort(c->conn);
	else
		paste_conn_close(c->conn);
	c->conn = NULL;
	if (s->sweep == &c->link)
		s->sweep = c->link.next;
	link_remove(&c->link);
	link_remove(&c->turn_link);
	alarm_clear(&c->alarm);
	s->stats.connections--;
	c->free_next = s->dropped;
	s->dropped = c;
}

void connection_free_dropped(struct service *s)
{
	while (s->dropped) {
		struct connection *c = s->dropped;

		s->dropped = c->free_next;
		c->free_next = s->free_connections;
		s->free_connections = c;
	}
}

/* Nothing of a request is here and no reply is owed. */
bool connection_is_idle(const struct connection *c)
{
	return c->state == READ_HEAD && !c->gathered_length && !c->replies && !c->unread;
}

/* Queue a refusal. What follows of the request is read and dropped if it is short, else the connection ends
 * with this reply; so it does when the client waits for 100, since it may then send the body or not. */
void connection_refuse(struct service *s, struct connection *c, const struct http_request *http, int status,
		       const char *text)
{
	bool close = !http->keep_alive || http->content_length > DRAIN_MAX || http->expect_continue;

	s->asked = (struct asked){.head = http->method == HTTP_HEAD};
	struct reply *r = answer_new(s, c, (uint16_t)status, 0, close);
	s->asked = (struct asked){.head = false};
	if (!r)
		return;
	if (status == 405)
		r->allow = route_methods(s->current.resource);
	r->body = REPLY_TEXT;
	r->text = text;
	if (status == 401 || status == 403)
		r->challenge = access_challenge(http->fields[HTTP_AUTHORIZATION].at != NULL, status);
	body_skip(c, http);
}

/* The head is done with; *rest is what stands behind it. `rc` and `why` are route()'s. */
static void request_begin(struct service *s, struct connection *c, const struct http_request *http, int rc,
			  const char *why, struct paste_ref *rest)
{
	bool stores = http->method == HTTP_PUT || http->method == HTTP_POST;

	if (rc) {
		connection_refuse(s, c, http, -rc, why);
	} else if (stores && http->content_length > service_body_max(s)) {
		s->stats.broken[RULE_BODY_LARGE]++;
		connection_refuse(s, c, http, http_rule_status(RULE_BODY_LARGE),
				  http_rule_text(RULE_BODY_LARGE));
	} else if (stores && (http->chunked || http->content_length > rest->length)) {
		body_begin(s, c, http, rest->length > 0);
	} else if (stores) {
		struct paste_ref body = {rest->buffer, rest->offset, (uint16_t)http->content_length};

		execute(s, c, &s->current, &body, body.length ? 1 : 0);
		slice_advance(s, rest, body.length);
	} else if (s->current.resource == RESOURCE_KEYS && s->current.method == HTTP_DELETE) {
		/* Nothing is read until it is done, so a body would have to be remembered. */
		if (http->content_length || http->chunked)
			connection_refuse(s, c, http, 400, "this request takes no body\n");
		else
			job_begin(s, c);
	} else if (http->content_length > DRAIN_MAX) {
		connection_refuse(s, c, http, 413, "this method takes no body\n");
	} else {
		if (http->expect_continue) /* it may send the body or not */
			s->current.keep_alive = false;
		execute(s, c, &s->current, NULL, 0);
		body_skip(c, http);
	}
}

void connection_broke(struct service *s, struct connection *c, enum http_rule rule)
{
	s->stats.broken[rule]++;
	answer_text(s, c, (uint16_t)http_rule_status(rule), http_rule_text(rule), 0, true);
}

/* A head of `length` bytes (or a broken rule, negative), the last `used` of which are the first of *rest. */
static void head_complete(struct service *s, struct connection *c, const char *head, int length,
			  uint32_t used, struct paste_ref *rest)
{
	struct http_request http;
	const char *why = "";
	int refused = length < 0 ? length : http_parse(&http, head, (uint32_t)length), rc = 0;

	s->stats.requests++;
	c->since = s->now.monotonic_us;
	c->moved = 0;
	if (!refused) {
		rc = route(&http, &s->current, &s->after, &why);
		int denied = access_check(s, &http, rc == 0 || rc == -405);
		if (denied) {
			rc = -denied;
			why = denied == 401 ? "this needs a token: Authorization: Bearer TOKEN\n"
					    : "this token may only read\n";
		}
	}
	/* The texts of `http` are not used from here on, so the bytes that they point to may go. */
	slice_advance(s, rest, used);
	gather_free(c);
	if (refused)
		connection_broke(s, c, (enum http_rule) - refused);
	else
		request_begin(s, c, &http, rc, why, rest);
}

static int gather(struct connection *c, const char *bytes, uint32_t length)
{
	uint32_t room = c->gathered_room ? c->gathered_room : GATHER_FIRST;

	while (room < c->gathered_length + length)
		room *= 2;
	if (room != c->gathered_room) {
		char *grown = realloc(c->gathered, room);

		if (!grown)
			return -ENOMEM;
		c->gathered = grown;
		c->gathered_room = room;
	}
	memcpy(c->gathered + c->gathered_length, bytes, length);
	c->gathered_length += length;
	return 0;
}

/* A head that began in an earlier slice: go on in small steps, so as not to gather what stands behind it. */
static void read_split_head(struct service *s, struct connection *c, struct paste_ref *rest)
{
	uint32_t before = c->gathered_length, step = rest->length < GATHER_STEP ? rest->length : GATHER_STEP;

	if (gather(c, (const char *)paste_ref_data(s->region, *rest), step)) {
		paste_ref_put(s->region, *rest);
		rest->length = 0;
		connection_drop(s, c, true);
		return;
	}
	int end = http_scan(&c->scan, c->gathered, c->gathered_length);
	if (!end)
		slice_advance(s, rest, step);
	else if (end < 0)
		head_complete(s, c, NULL, end, step, rest);
	else
		head_complete(s, c, c->gathered + c->scan.start, end - (int)c->scan.start,
			      (uint32_t)end - before, rest);
}

static void read_head(struct service *s, struct connection *c, struct paste_ref *rest)
{
	const char *bytes = (const char *)paste_ref_data(s->region, *rest);
	struct http_scan scan = {0};

	if (c->gathered_length) {
		read_split_head(s, c, rest);
		return;
	}
	int end = http_scan(&scan, bytes, rest->length);
	if (end > 0) {
		head_complete(s, c, bytes + scan.start, end - (int)scan.start, (uint32_t)end, rest);
	} else if (end < 0) {
		head_complete(s, c, NULL, end, rest->length, rest);
	} else {
		int rc = gather(c, bytes, rest->length);

		c->since = s->now.monotonic_us; /* what comes later of it gives no more time */
		c->scan = scan;
		slice_advance(s, rest, rest->length);
		if (rc)
			connection_drop(s, c, true);
	}
}

/* May no further request be begun now? Once stopped, the queue must be half empty to go on. */
static bool is_stalled(const struct connection *c)
{
	uint32_t most = c->paused ? PIPELINE_MAX / 2 : PIPELINE_MAX;

	if (c->state == WAIT_ROOM || c->state == WAIT_JOB)
		return true;
	/* A range of entries is read while it leaves: what stands behind it must not change them before. */
	bool reads = c->last_reply && c->last_reply->body == REPLY_ENTRIES;

	return c->state == READ_HEAD && (c->blocked || reads || c->pending >= most);
}

static void read_slice(struct service *s, struct connection *c, struct paste_ref rest)
{
	while (rest.length) {
		if (is_stalled(c)) {
			unread_push(s, c, rest, true);
			return;
		}
		switch ((enum connection_state)c->state) {
		case READ_HEAD:
			read_head(s, c, &rest);
			break;
		case READ_BODY:
			body_read(s, c, &rest);
			break;
		case SKIP_BODY:
			body_skip_read(s, c, &rest);
			break;
		case WAIT_ROOM:
		case WAIT_JOB:
		case READ_NOTHING:
			paste_ref_put(s->region, rest);
			return;
		}
	}
}

/* The peer sends no more, and all that it sent is worked on: an unfinished request is void. */
static void input_ended(struct service *s, struct connection *c)
{
	connection_stop(s, c);
	answer_list(s, c); /* closes when no reply is left to send */
}

void connection_receive(struct service *s, struct connection *c, struct paste_ref slice)
{
	if (c->state == READ_NOTHING)
		paste_ref_put(s->region, slice);
	else if (c->unread)
		unread_push(s, c, slice, false);
	else
		read_slice(s, c, slice);
}

void connection_eof(struct service *s, struct connection *c)
{
	c->eof = true;
	if (c->conn && !c->unread && c->state != WAIT_JOB)
		input_ended(s, c);
}

void connection_go_on(struct service *s, struct connection *c)
{
	while (c->unread && !is_stalled(c))
		read_slice(s, c, unread_pop(s, c));
	if (!c->conn || c->unread || is_stalled(c))
		return;
	if (c->paused) {
		c->paused = false;
		paste_conn_resume(c->conn);
	}
	if (c->eof && c->state != READ_NOTHING)
		input_ended(s, c);
}

/* Enough of a body has moved to count as progress. */
void connection_moved(struct service *s, struct connection *c, uint32_t bytes)
{
	c->moved += bytes;
	if (c->moved < PROGRESS_BYTES)
		return;
	c->moved = 0;
	c->since = s->now.monotonic_us;
}

static void give_up(struct service *s, struct connection *c)
{
	s->stats.timed_out++;
	connection_stop(s, c);
	answer_text(s, c, 408, "the request took too long\n", 0, true);
}

void connection_check_time(struct service *s, struct connection *c)
{
	int64_t waits = s->now.monotonic_us - c->since;

	if (c->replies) {
		if (c->blocked && waits >= s->request_us) { /* the client does not take them */
			s->stats.timed_out++;
			connection_drop(s, c, true);
		}
		return;
	}
	switch ((enum connection_state)c->state) {
	case READ_HEAD:
		if (c->gathered_length && waits >= s->request_us)
			give_up(s, c);
		else if (connection_is_idle(c) && waits >= s->idle_us)
			connection_drop(s, c, false);
		break;
	case READ_BODY:
	case SKIP_BODY:
		if (waits >= s->request_us)
			give_up(s, c);
		break;
	case WAIT_ROOM: /* body.c looks after it */
	case WAIT_JOB:
	case READ_NOTHING:
		break;
	}
}
