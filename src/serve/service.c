/* SPDX-License-Identifier: BSD-2-Clause */
/* service.c - the turn: events in, one commit for all of them, durable replies out. */
#include "serve/service_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int service_open(const struct service_options *options, struct service **service, struct paste_error *err)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!s)
		return paste_fail(err, -ENOMEM, "no memory for the service");
	s->stack = options->stack;
	s->store = options->store;
	s->region = paste_store_region(options->store);
	s->more_metrics = options->more_metrics;
	s->more_arg = options->more_arg;
	s->max_body = options->max_body ? options->max_body : 16 << 20;
	s->tokens = options->tokens;
	s->started_us = options->started_us;
	s->version = options->version;
	link_init(&s->all);
	link_init(&s->bodies);
	link_init(&s->rooms);
	link_init(&s->fresh);
	link_init(&s->waiting);
	link_init(&s->jobs);
	alarms_init(&s->alarms);
	for (int i = 0; i < ROUNDS_BUCKETS; i++)
		link_init(&s->followers[i]);
	s->sweep = &s->all;
	s->idle_us = options->idle_us ? options->idle_us : SERVICE_IDLE_US;
	s->request_us = options->request_us ? options->request_us : SERVICE_REQUEST_US;

	int rc = 0;
	s->rounds = options->rounds;
	if (!s->rounds) {
		s->rounds = &s->own_rounds;
		rc = rounds_init(s->rounds, s->store, err);
	}
	int fd = paste_store_wait_fd(s->store);
	if (rc == 0 && fd >= 0) {
		rc = paste_stack_watch(s->stack, fd, SERVICE_STORE_COOKIE);
		if (rc)
			paste_fail(err, rc, "cannot wait for the store's rounds");
	}
	if (rc) {
		free(s);
		return rc;
	}
	s->seen_durable = s->rounds->durable;
	link_append(&s->rounds->services, &s->peer_link);
	*service = s;
	return 0;
}

void service_close(struct service *s)
{
	while (!link_empty(&s->all))
		connection_drop(s, link_owner(s->all.next, struct connection, link), true);
	connection_free_dropped(s);
	link_remove(&s->peer_link);
	connection_pools_close(s);
	body_pool_close(s);
	reply_pool_close(&s->replies);
	free(s->sends);
	free(s->cut);
	free(s->scratch.at);
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
			c->since = s->now.monotonic_us;
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
	case PASTE_EVENT_CONNECT:
	case PASTE_EVENT_RELEASED:
		break;
	}
}

/* Replies whose wait is over: their round is durable, or no round will ever be and they become failures. */
static void look_at_rounds(struct service *s)
{
	if (s->seen_durable == s->rounds->durable && s->seen_error == s->rounds->error)
		return;
	s->seen_durable = s->rounds->durable;
	s->seen_error = s->rounds->error;
	link_splice(&s->fresh, &s->waiting);
}

static void flush(struct service *s)
{
	while (!link_empty(&s->fresh))
		answer_flush(s, link_owner(s->fresh.next, struct connection, turn_link));
}

/* Look at connections one after the other, a step a turn, for what has taken too long. */
static void sweep(struct service *s)
{
	if (s->sweep == &s->all) {
		if (s->now.monotonic_us < s->sweep_at)
			return;
		s->sweep_at = s->now.monotonic_us + SWEEP_US;
		s->sweep = s->all.next;
	}
	for (int i = 0; i < SWEEP_STEP && s->sweep != &s->all; i++) {
		struct connection *c = link_owner(s->sweep, struct connection, link);

		s->sweep = s->sweep->next;
		connection_check_time(s, c);
	}
}

/* Those that have waited long enough for entries. */
static void wake_due(struct service *s)
{
	struct alarm *alarm;

	while ((alarm = alarms_due(&s->alarms, s->now.monotonic_us)))
		answer_list(s, link_owner(alarm, struct connection, alarm));
}

int64_t service_next(const struct service *s)
{
	return alarms_next(&s->alarms);
}

void service_take(struct service *s, struct service_time now, const struct paste_event *events, int n)
{
	s->now = now;
	s->rounds->now_us = now.monotonic_us;
	reply_date_set(&s->date, now.unix_ms / 1000);
	if (now.unix_ms > 0)
		paste_store_set_time(s->store, (uint64_t)now.unix_ms);
	for (int i = 0; i < n; i++)
		handle(s, &events[i]);
	if (!link_empty(&s->rooms))
		body_check_rooms(s);
	if (!link_empty(&s->bodies))
		body_check_starved(s);
	if (!link_empty(&s->jobs))
		jobs_step(s);
	wake_due(s);
	sweep(s);
}

/* Those that wait for entries of streams that have got some. */
static void wake_followers(struct service *s)
{
	if (!memcmp(s->seen_appended, s->rounds->appended, sizeof(s->seen_appended)))
		return;
	for (int i = 0; i < ROUNDS_BUCKETS; i++)
		if (s->seen_appended[i] != s->rounds->appended[i])
			link_splice(&s->fresh, &s->followers[i]);
	memcpy(s->seen_appended, s->rounds->appended, sizeof(s->seen_appended));
}

int service_answer(struct service *s)
{
	look_at_rounds(s);
	if (s->rounds->followed)
		wake_followers(s);
	flush(s);
	connection_free_dropped(s);
	if (s->rounds->error)
		return s->rounds->error;
	if (!link_empty(&s->jobs))
		return SERVICE_AT_ONCE;
	return !link_empty(&s->rooms) || !link_empty(&s->bodies) || s->sweep != &s->all;
}

int service_turn(struct service *s, struct service_time now, const struct paste_event *events, int n)
{
	int ret;

	service_take(s, now, events, n);
	do {
		rounds_step(s->rounds);
		ret = service_answer(s);
	} while (rounds_may_commit(s->rounds));
	return ret;
}

void service_turned(struct service *s, int64_t now_us)
{
	for (int i = 0; i < SERVICE_KINDS; i++) {
		if (s->turn_replies[i])
			latency_add(&s->latency[i], (uint64_t)(now_us - s->now.monotonic_us), s->turn_replies[i]);
		s->turn_replies[i] = 0;
	}
}

bool service_has_news(const struct service *s)
{
	const struct rounds *r = s->rounds;

	if (!link_empty(&s->waiting) && (s->seen_durable != r->durable || s->seen_error != r->error))
		return true;
	/* Who waits for entries has an alarm. */
	return r->followed &&
	       (s->seen_error != r->error || memcmp(s->seen_appended, r->appended, sizeof(s->seen_appended)) != 0) &&
	       alarms_next(&s->alarms) != INT64_MAX;
}

struct tokens *service_change_tokens(struct service *s, struct tokens *tokens)
{
	struct tokens *before = s->tokens;

	s->tokens = tokens;
	return before;
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
	for (int i = 0; i < ROUNDS_BUCKETS; i++) /* nobody waits for entries any more */
		link_splice(&s->fresh, &s->followers[i]);
	connection_free_dropped(s);
}

int service_error(const struct service *s)
{
	return s->rounds->error;
}
