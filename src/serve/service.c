/* SPDX-License-Identifier: BSD-2-Clause */
/* service.c - the turn: events in, one commit for all of them, durable replies out. */
#include "serve/service_inside.h"

#include <errno.h>
#include <stdlib.h>

int service_open(const struct service_options *options, struct service **service, struct paste_error *err)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!s)
		return paste_fail(err, -ENOMEM, "no memory for the service");
	s->stack = options->stack;
	s->store = options->store;
	s->region = paste_store_region(options->store);
	s->max_body = options->max_body ? options->max_body : 16 << 20;
	link_init(&s->all);
	link_init(&s->bodies);
	link_init(&s->rooms);
	link_init(&s->fresh);
	link_init(&s->waiting);

	int fd = paste_store_wait_fd(s->store);
	s->rounds_take_time = fd >= 0;
	int rc = fd >= 0 ? paste_stack_watch(s->stack, fd, SERVICE_STORE_COOKIE) : 0;
	if (rc) {
		free(s);
		return paste_fail(err, rc, "cannot wait for the store's rounds");
	}
	int64_t durable = paste_store_poll(s->store);
	if (durable < 0) {
		free(s);
		return paste_fail(err, (int)durable, "the medium has failed");
	}
	s->open_round = s->committed = s->durable = (uint64_t)durable;
	*service = s;
	return 0;
}

void service_close(struct service *s)
{
	while (!link_empty(&s->all))
		connection_drop(s, link_owner(s->all.next, struct connection, link), true);
	connection_free_dropped(s);
	connection_pools_close(s);
	body_pool_close(s);
	reply_pool_close(&s->replies);
	free(s->sends);
	free(s->cut);
	free(s);
}

static void accept_connection(struct service *s, struct paste_conn *conn)
{
	struct connection *c = s->draining ? NULL : connection_new(s, conn);

	if (!c)
		paste_conn_abort(conn);
	paste_conn_set_user(conn, c);
}

static void handle(struct service *s, const struct paste_event *e)
{
	struct connection *c = e->conn ? e->conn->user : NULL;

	switch (e->type) {
	case PASTE_EVENT_ACCEPT:
		accept_connection(s, e->conn);
		break;
	case PASTE_EVENT_DATA:
		if (c)
			connection_receive(s, c, e->slice);
		else
			paste_ref_put(s->region, e->slice);
		break;
	case PASTE_EVENT_WRITABLE:
		if (c && c->conn) {
			c->blocked = false;
			answer_list(s, c);
		}
		break;
	case PASTE_EVENT_EOF:
		if (c)
			connection_eof(s, c);
		break;
	case PASTE_EVENT_ERROR:
		if (c)
			connection_drop(s, c, true);
		break;
	case PASTE_EVENT_FD:
		break;
	}
}

/* Where durability takes time, a few rounds are under way and the next one collects what comes meanwhile. */
static bool may_commit(const struct service *s)
{
	if (s->error || s->open_round <= s->committed)
		return false;
	return !s->rounds_take_time || s->committed - s->durable < ROUNDS_UNDER_WAY;
}

static void fail(struct service *s, int error)
{
	if (!s->error)
		s->error = error;
	/* No round will be durable any more: replies that wait for one become failures. */
	link_splice(&s->fresh, &s->waiting);
}

static void commit_and_poll(struct service *s)
{
	if (may_commit(s)) {
		int64_t round = paste_store_commit(s->store);

		if (round < 0)
			fail(s, (int)round);
		else
			s->committed = (uint64_t)round;
	}
	/* Where it takes time, rounds of maintenance are to be collected as well. */
	if (s->error || (s->open_round <= s->durable && !s->rounds_take_time))
		return;
	int64_t durable = paste_store_poll(s->store);
	if (durable < 0) {
		fail(s, (int)durable);
	} else if ((uint64_t)durable > s->durable) {
		s->durable = (uint64_t)durable;
		if (s->committed < s->durable) /* maintenance commits, too */
			s->committed = s->durable;
		link_splice(&s->fresh, &s->waiting);
	}
}

static void flush(struct service *s)
{
	while (!link_empty(&s->fresh))
		answer_flush(s, link_owner(s->fresh.next, struct connection, turn_link));
}

int service_turn(struct service *s, struct service_time now, const struct paste_event *events, int n)
{
	s->now = now;
	reply_date_set(&s->date, now.unix_seconds);
	for (int i = 0; i < n; i++)
		handle(s, &events[i]);
	if (!link_empty(&s->rooms))
		body_check_rooms(s);
	if (!link_empty(&s->bodies))
		body_check_starved(s);
	/* Replies that leave make room for requests that were held back, which change the store again. */
	do {
		commit_and_poll(s);
		flush(s);
	} while (may_commit(s));
	connection_free_dropped(s);
	if (s->error)
		return s->error;
	return !link_empty(&s->rooms) || !link_empty(&s->bodies);
}

void service_drain(struct service *s)
{
	s->draining = true;
	paste_stack_unlisten(s->stack);
	for (struct link *l = s->all.next, *next; l != &s->all; l = next) {
		struct connection *c = link_owner(l, struct connection, link);

		next = l->next;
		if (connection_is_idle(c))
			connection_drop(s, c, false);
	}
	connection_free_dropped(s);
}

int service_error(const struct service *s)
{
	return s->error;
}

void service_stats(const struct service *s, struct service_stats *stats)
{
	*stats = s->stats;
}
