/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_data.c - the data in a received segment: in order to the application, early held, the window.
 *
 * Bytes are acknowledged only once they are the application's or held for it. The window says what a
 * connection may hold; if the region is short of buffers, bytes within it are refused (dropped, to be sent
 * again) and the window's edge stays where it is. It never goes back.
 */
#include "base/site.h"
#include "net/tcp_conn.h"

/* A quarter of a buffer filled is the least that is held (tcp_hold.h), so each buffer stands for half of one.
 */
uint32_t tcp_data_edge(const struct tcp_conn *c)
{
	const struct tcp *t = c->tcp;
	uint32_t bytes = 0, half = t->hold_pool.buffer_size / 2;

	if (c->hold.ready_bytes < t->window_max)
		bytes = t->window_max - c->hold.ready_bytes;
	uint32_t buffers =
	    c->hold.ready_buffers < t->buffers_max ? t->buffers_max - c->hold.ready_buffers : 0;
	if (bytes > buffers * half)
		bytes = buffers * half;
	if (bytes > 65535u << tcp_conn_receive_scale(c))
		bytes = 65535u << tcp_conn_receive_scale(c);
	/* Small steps would call forth small segments (RFC 9293, section 3.8.6.2.2). */
	uint32_t step = c->mss < t->window_max / 2 ? c->mss : t->window_max / 2;
	uint32_t edge = c->next + bytes;
	if (t->keep == 0 || seq_before(edge, c->edge + step))
		return c->edge;
	return edge;
}

void tcp_data_handed_over(struct tcp_conn *c)
{
	uint32_t least = 2u * c->mss < c->tcp->window_max / 2 ? 2u * c->mss : c->tcp->window_max / 2;

	if (!seq_before(tcp_data_edge(c), c->edge + least))
		tcp_data_ack(c, TCP_ACK_NOW);
}

void tcp_data_ack(struct tcp_conn *c, enum tcp_ack_due due)
{
	if (c->state == TCP_CLOSED)
		return;
	if (c->ack_due < due)
		c->ack_due = (uint8_t)due;
	tcp_conn_output_soon(c);
}

/* May another slice be kept, here and in all? */
static bool may_keep(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	if (t->keep == 0 || c->hold.ready_buffers + c->hold.early_buffers >= 2 * t->buffers_max)
		return false;
	t->keep--;
	return true;
}

/* What was not acknowledged makes room for what comes in order: it will be sent again. */
static void give_way(struct tcp_conn *c)
{
	c->tcp->keep += c->hold.early_buffers;
	tcp_hold_drop_early(&c->tcp->hold_pool, &c->hold);
}

/* Early bytes leave as much room again as there must be, for what comes in order: gaps could not be filled
 * otherwise. */
static bool may_keep_early(struct tcp_conn *c)
{
	return c->tcp->keep > c->tcp->keep_reserve && may_keep(c);
}

/* The next bytes in order. False: they are not taken, and so are not acknowledged. */
static bool take(struct tcp_conn *c, struct paste_ref slice)
{
	struct tcp *t = c->tcp;

	if (!c->given_up) {
		if (t->keep == 0)
			give_way(c);
		if (!may_keep(c))
			return false;
		if (tcp_event_data(c, slice))
			paste_buffer_get(t->region, slice.buffer); /* the application's: what lands is in one buffer */
		else if (!tcp_hold_ready(&t->hold_pool, &c->hold, slice))
			return false;
		if (c->hold.ready != HOLD_NONE && !c->paused && link_empty(&c->list_link))
			link_append(&t->ready, &c->list_link);
	}
	c->next += slice.length;
	c->unacked += slice.length;
	c->received_bytes += slice.length;
	return true;
}

static bool take_all(struct tcp_conn *c, const struct paste_ref *slice, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!take(c, slice[i])) {
			c->tcp->counters.refused_room++;
			c->tcp->stats.starved++;
			return false;
		}
	}
	return true;
}

/* The gap before early ones was filled. */
static void take_early(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;
	uint32_t before = c->next;

	c->next = tcp_hold_ripen(&t->hold_pool, &c->hold, c->next);
	c->received_bytes += c->next - before;
	if (c->given_up)
		tcp_hold_drop(&t->hold_pool, &c->hold);
	else if (c->hold.ready != HOLD_NONE)
		tcp_event_tell(c);
	tcp_data_ack(c, TCP_ACK_NOW); /* RFC 5681, section 4.2 */
}

static void hold_early(struct tcp_conn *c, uint32_t seq, const struct paste_ref *slice, uint32_t n)
{
	struct tcp *t = c->tcp;

	t->counters.early++;
	c->latest_early = seq;
	for (uint32_t i = 0; i < n; seq += slice[i++].length) {
		if (c->given_up || !may_keep_early(c) ||
		    !tcp_hold_early(&t->hold_pool, &c->hold, seq, slice[i], t->buffers_max)) {
			t->counters.refused_room += !c->given_up;
			break;
		}
	}
}

/* Cut off what was received before and what is beyond the window. The payload's first byte, in the frame. */
static uint32_t trim(const struct tcp_conn *c, struct tcp_segment *s)
{
	uint32_t at = s->payload;

	if (seq_before(s->seq, c->next) && SITE(tcp_received_once)) {
		uint32_t old = c->next - s->seq < s->length ? c->next - s->seq : s->length;
		at += old;
		s->seq += old;
		s->length -= old;
	}
	if (seq_after(s->seq + s->length, c->edge)) {
		s->length = seq_before(s->seq, c->edge) ? c->edge - s->seq : 0;
		s->flags &= (uint8_t)~TCP_FIN;
	}
	return at;
}

static void receive_fin(struct tcp_conn *c)
{
	c->next++;
	if (seq_before(c->edge, c->next))
		c->edge = c->next;
	c->peer_shut = true;
	c->fin_early = false;
	tcp_hold_drop_early(&c->tcp->hold_pool, &c->hold);
	tcp_data_ack(c, TCP_ACK_NOW);
	tcp_event_due(c, TCP_DUE_EOF);
	if (c->state == TCP_ESTABLISHED)
		tcp_conn_enter(c, TCP_CLOSE_WAIT);
	else if (c->state == TCP_FIN_WAIT_1)
		tcp_conn_enter(c, TCP_CLOSING); /* our FIN is not acknowledged */
	else if (c->state == TCP_FIN_WAIT_2)
		tcp_conn_enter(c, TCP_TIME_WAIT);
}

static void acknowledge(struct tcp_conn *c, const struct tcp_segment *s)
{
	if (s->length > c->peer_mss)
		c->peer_mss = (uint16_t)(s->length < UINT16_MAX ? s->length : UINT16_MAX);
	/* Every second full segment at least (RFC 9293, section 3.8.6.3). */
	tcp_data_ack(c, c->unacked >= 2u * c->peer_mss ? TCP_ACK_NOW : TCP_ACK_SOON);
}

/* In order, and runs into early bytes: those came first and stay. What is behind or between them is held early,
 * too; before them remains what is returned. */
static uint32_t before_early(struct tcp_conn *c, const struct net_packet *p, uint32_t at, const struct tcp_segment *s)
{
	struct paste_ref slice[NET_SLICES];
	uint32_t first;

	if (!tcp_hold_first_early(&c->tcp->hold_pool, &c->hold, &first) || seq_upto(s->seq + s->length, first))
		return s->length;
	uint32_t length = seq_after(first, s->seq) ? first - s->seq : 0;
	uint32_t n = net_packet_slices(p, at + length, s->length - length, slice);
	hold_early(c, first, slice, n);
	return length;
}

void tcp_data_receive(struct tcp_conn *c, const struct net_packet *p, struct tcp_segment *s)
{
	struct paste_ref slice[NET_SLICES];
	uint32_t at;

	if (c->peer_shut) { /* nothing can follow its FIN */
		tcp_data_ack(c, TCP_ACK_NOW);
		return;
	}
	at = trim(c, s);
	if (s->flags & TCP_FIN) {
		c->fin_early = true;
		c->fin_seq = s->seq + s->length;
	}
	bool gap = seq_after(s->seq, c->next);
	uint32_t n = net_packet_slices(p, at, gap ? s->length : before_early(c, p, at, s), slice);
	if (gap) {
		hold_early(c, s->seq, slice, n);
		if (!tcp_send_ack(c)) /* RFC 5681, section 4.2: at once, each */
			tcp_data_ack(c, TCP_ACK_NOW);
		return;
	}
	if (n == 0 && !c->fin_early) {
		tcp_data_ack(c, TCP_ACK_NOW); /* all of it came before */
		return;
	}
	bool all = take_all(c, slice, n);
	if (n > 0)
		acknowledge(c, s);
	if (!all)
		tcp_data_ack(c, TCP_ACK_NOW);
	if (c->hold.early != HOLD_NONE)
		take_early(c);
	if (c->fin_early && c->next == c->fin_seq)
		receive_fin(c);
}
