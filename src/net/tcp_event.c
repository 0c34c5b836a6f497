/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_event.c - what the application is told: accepted or connected first, data in order, then the end.
 *
 * Events go straight into the array of the poll under way. What finds no room there, or is held back because
 * the application has paused the connection, waits: the connection is on the list `ready` unless it is
 * paused.
 */
#include "net/tcp_conn.h"

static bool put(struct tcp *t, const struct paste_event *e)
{
	if (t->events_n == t->events_max)
		return false;
	t->events[t->events_n++] = *e;
	return true;
}

bool tcp_event_data(struct tcp_conn *c, struct paste_ref slice)
{
	struct tcp *t = c->tcp;

	if ((c->due & ~TCP_DUE_RELEASED) || c->paused || c->hold.ready != HOLD_NONE ||
	    t->events_n == t->events_max)
		return false;
	t->events[t->events_n++] =
	    (struct paste_event){.type = PASTE_EVENT_DATA, .conn = &c->base, .slice = slice};
	t->stats.received_slices++;
	t->stats.received_bytes += slice.length;
	return true;
}

/* One of the events that are not data. */
static bool tell(struct tcp_conn *c, enum tcp_due due, enum paste_event_type type)
{
	struct paste_event e = {.type = type, .conn = &c->base, .error = due == TCP_DUE_ERROR ? c->error : 0};

	if (!(c->due & due))
		return true;
	if (due == TCP_DUE_RELEASED)
		e.released = tcp_conn_released(c);
	if (!put(c->tcp, &e))
		return false;
	c->due &= (uint8_t)~due;
	return true;
}

static bool tell_data(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;
	struct paste_event e = {.type = PASTE_EVENT_DATA, .conn = &c->base};

	if (c->hold.ready == HOLD_NONE)
		return true;
	while (t->events_n < t->events_max && tcp_hold_take(&t->hold_pool, &c->hold, &e.slice)) {
		put(t, &e);
		t->stats.received_slices++;
		t->stats.received_bytes += e.slice.length;
	}
	tcp_data_handed_over(c);
	return c->hold.ready == HOLD_NONE;
}

/* How much is released is told at a turn's beginning only, so once a turn, and before an error. */
static void tell_all(struct tcp_conn *c, bool beginning)
{
	bool all =
	    tell(c, TCP_DUE_ACCEPT, PASTE_EVENT_ACCEPT) && tell(c, TCP_DUE_CONNECT, PASTE_EVENT_CONNECT) &&
	    (!beginning || tell(c, TCP_DUE_RELEASED, PASTE_EVENT_RELEASED)) &&
	    tell(c, TCP_DUE_WRITABLE, PASTE_EVENT_WRITABLE) && tell(c, TCP_DUE_ERROR, PASTE_EVENT_ERROR);

	if (all && !c->paused)
		all = tell_data(c) && tell(c, TCP_DUE_EOF, PASTE_EVENT_EOF);
	if (all && !(c->due & TCP_DUE_RELEASED))
		link_remove(&c->list_link);
	else if (link_empty(&c->list_link))
		link_append(&c->tcp->ready, &c->list_link);
}

void tcp_event_tell(struct tcp_conn *c)
{
	tell_all(c, false);
}

void tcp_event_due(struct tcp_conn *c, enum tcp_due due)
{
	if (c->given_up)
		return;
	c->due |= (uint8_t)due;
	if (link_empty(&c->list_link))
		link_append(&c->tcp->ready, &c->list_link);
}

void tcp_event_tell_ready(struct tcp *t)
{
	struct link waiting;

	link_init(&waiting);
	link_splice(&waiting, &t->ready);
	while (!link_empty(&waiting) && t->events_n < t->events_max) {
		struct tcp_conn *c = link_owner(waiting.next, struct tcp_conn, list_link);
		link_remove(&c->list_link);
		tell_all(c, true);
	}
	/* Those that found no room come first next time. */
	link_splice(&waiting, &t->ready);
	link_splice(&t->ready, &waiting);
}
