/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_conn.c - a connection from its beginning to its end, and what the application may do with it. */
#include "net/tcp_conn.h"

#include <assert.h>
#include <errno.h>

#define SYN_LOST_RTO_US 3000000
const char *tcp_state_name(enum tcp_state state)
{
	static const char *const names[] = {
	    [TCP_CLOSED] = "CLOSED",
	    [TCP_SYN_SENT] = "SYN-SENT",
	    [TCP_SYN_RECEIVED] = "SYN-RECEIVED",
	    [TCP_ESTABLISHED] = "ESTABLISHED",
	    [TCP_FIN_WAIT_1] = "FIN-WAIT-1",
	    [TCP_FIN_WAIT_2] = "FIN-WAIT-2",
	    [TCP_CLOSE_WAIT] = "CLOSE-WAIT",
	    [TCP_CLOSING] = "CLOSING",
	    [TCP_LAST_ACK] = "LAST-ACK",
	    [TCP_TIME_WAIT] = "TIME-WAIT",
	};

	return names[state];
}

/* --- beginning and end */

struct tcp_conn *tcp_conn_new(struct tcp *t, const struct packet_path *path, uint16_t local_port,
			      uint16_t peer_port)
{
	struct tcp_conn *c;

	if (!link_empty(&t->unused)) {
		c = link_owner(t->unused.next, struct tcp_conn, list_link);
		link_remove(&c->list_link);
	} else if (t->conns_untouched > 0) {
		c = &t->conns[t->conns_max - t->conns_untouched--];
	} else {
		return NULL;
	}
	*c = (struct tcp_conn){.base.ops = &tcp_ops,
			       .tcp = t,
			       .path = *path,
			       .local_port = local_port,
			       .peer_port = peer_port,
			       .send_at = TCP_NEVER,
			       .ack_at = TCP_NEVER,
			       .quick = TCP_QUICK,
			       .progress_at = t->now,
			       .received_at = t->now,
			       .sent_at = t->now};
	tcp_hold_init(&c->hold);
	tcp_rtt_init(&c->rtt);
	link_init(&c->output_link);
	link_init(&c->list_link);
	link_init(&c->list_link);
	link_init(&c->timer.link);
	c->hash = tcp_table_hash(&t->table, &path->source, local_port, &path->destination, peer_port);
	tcp_table_put(&t->table, c->hash, (uint32_t)(c - t->conns));
	c->in_table = true;
	struct tcp_isn isn =
	    tcp_isn(t->isn_key, t->now, &path->source, local_port, &path->destination, peer_port);
	c->ts_offset = isn.timestamp_offset;
	c->una = isn.sequence;
	c->nxt = c->queue_seq = isn.sequence + 1;
	tcp_loss_init(&c->loss, c->nxt);
	t->alive++;
	return c;
}

struct tcp_conn *tcp_conn_find(struct tcp *t, uint32_t hash, const struct net_packet *p,
			       const struct tcp_segment *s)
{
	uint32_t at = hash, i;

	while ((i = tcp_table_next(&t->table, hash, &at)) != TCP_TABLE_END) {
		struct tcp_conn *c = &t->conns[i];
		if (tcp_conn_is(c, p, s))
			return c;
	}
	return NULL;
}

void tcp_conn_reuse_freed(struct tcp *t)
{
	link_splice(&t->unused, &t->freed);
}

static void leave_role(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	if (c->state == TCP_SYN_RECEIVED && c->passive)
		t->half_open_n--;
	else if (c->state == TCP_TIME_WAIT && c->given_up)
		t->time_wait_n--;
	else
		return;
	link_remove(&c->list_link);
}

static void count_full(struct tcp_conn *c, bool full)
{
	struct tcp *t = c->tcp;

	if (c->full == full)
		return;
	c->full = full;
	t->full_n += full ? 1u : -1u;
	t->stats.closed += !full;
}

static void count_delivered(struct tcp_conn *c, bool delivered)
{
	if (c->delivered == delivered)
		return;
	c->delivered = delivered;
	c->tcp->delivered_n += delivered ? 1u : -1u;
}

static void conn_free(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	count_full(c, false);
	c->due = 0;
	link_remove(&c->list_link);
	link_remove(&c->output_link);
	wheel_clear(&c->timer);
	link_append(&t->freed, &c->list_link);
	t->alive--;
}

/* Whoever has given it up will not ask for its memory. */
static void free_if_over(struct tcp_conn *c)
{
	if (c->state == TCP_CLOSED && (c->given_up || !c->told))
		conn_free(c);
}

void tcp_conn_release(struct tcp_conn *c, uint32_t bytes)
{
	queue_release(&c->tcp->queue_pool, &c->queue, c->tcp->region, bytes);
	c->queue_seq += bytes;
	if (bytes > 0 && c->tcp->options.limits.released)
		tcp_event_due(c, TCP_DUE_RELEASED);
}

static void waits_no_more(struct tcp_conn *c)
{
	c->send_at = c->ack_at = TCP_NEVER;
	c->timing = c->sending = false;
	tcp_conn_scoreboard_drop(c);
	tcp_conn_release(c, c->queue.bytes);
}

void tcp_conn_die(struct tcp_conn *c, int error)
{
	struct tcp *t = c->tcp;

	assert(c->state != TCP_CLOSED);
	leave_role(c);
	count_delivered(c, false);
	waits_no_more(c);
	wheel_clear(&c->timer);
	link_remove(&c->output_link);
	tcp_table_remove(&t->table, c->hash, (uint32_t)(c - t->conns));
	c->in_table = false;
	if (!c->passive)
		tcp_connect_over(c);
	c->state = TCP_CLOSED;
	if (error) {
		tcp_hold_drop(&t->hold_pool, &c->hold);
		c->due &= TCP_DUE_ACCEPT | TCP_DUE_RELEASED;
	} else {
		tcp_hold_drop_early(&t->hold_pool, &c->hold);
	}
	if (error && c->told && !c->given_up) {
		c->error = error;
		tcp_event_due(c, TCP_DUE_ERROR);
	}
	free_if_over(c);
}

void tcp_conn_enter(struct tcp_conn *c, enum tcp_state state)
{
	struct tcp *t = c->tcp;

	c->state = (uint8_t)state;
	count_delivered(c, state == TCP_FIN_WAIT_2 && c->given_up);
	if (c->delivered)
		tcp_timer_send(c, t->now + t->options.linger_us);
	if (state != TCP_TIME_WAIT)
		return;
	waits_no_more(c);
	tcp_timer_send(c, t->now + TCP_TIME_WAIT_US);
	if (!c->given_up)
		return;
	count_full(c, false);
	link_append(&t->time_wait, &c->list_link);
	if (++t->time_wait_n > t->options.time_wait) {
		t->counters.time_wait_evicted++;
		tcp_conn_die(link_owner(t->time_wait.next, struct tcp_conn, list_link), 0);
	}
}

/* Of data, without options: RFC 6691 (now RFC 9293, section 3.7.1). */
static uint32_t room_for_mss(const struct tcp_conn *c)
{
	const struct tcp *t = c->tcp;
	uint32_t link = 14u + 4u * c->path.tags, header = packet_header_bytes(&c->path) - link + TCP_HEADER;
	uint32_t room = t->mtu - header;

	/* Where a packet is one slot, it must fit into a buffer with the frame's headers before it. */
	if (net_fragments(t->net) == 1 && room > net_own_room(t->net) - header - link)
		room = net_own_room(t->net) - header - link;
	return room;
}

void tcp_conn_negotiate(struct tcp_conn *c, const struct tcp_segment *s)
{
	uint32_t theirs = s->mss                             ? s->mss
			  : net_address_is4(&c->path.source) ? TCP_DEFAULT_MSS4
							     : TCP_DEFAULT_MSS6;
	uint32_t mss = room_for_mss(c) < theirs ? room_for_mss(c) : theirs;

	c->timestamps = s->timestamps;
	c->sack = s->sack_permitted;
	if (s->scale != TCP_SCALE_NONE)
		c->scales = (uint8_t)(tcp_conn_receive_scale(c) << 4 | s->scale);
	else
		c->scales = 0; /* RFC 7323, section 2.2: both or none */
	if (c->timestamps) {
		c->ts_recent = s->ts_value;
		c->ts_recent_at = c->tcp->now;
		mss = mss > TCP_TIMESTAMPS ? mss - TCP_TIMESTAMPS : 0;
	}
	c->mss = (uint16_t)(mss > TCP_MSS_LEAST ? mss : TCP_MSS_LEAST);
	c->next = c->acked = s->seq + 1;
	c->edge = c->next;
	c->window = c->window_most = s->window; /* not scaled in a SYN */
	c->window_seq = s->seq;
	c->window_ack = s->ack;
	c->cc.ops = &tcp_newreno;
	c->cc.ops->init(&c->cc, c->mss);
}

void tcp_conn_established(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	leave_role(c);
	if (c->backoff > 0) { /* the SYN was lost: RFC 6298, (5.7); RFC 6928, section 2 */
		if (!c->rtt.smoothed_us)
			c->rtt.rto_us = SYN_LOST_RTO_US;
		c->cc.window = c->mss;
	}
	c->backoff = 0;
	tcp_timer_send(c, TCP_NEVER);
	c->state = TCP_ESTABLISHED;
	c->progress_at = t->now;
	if (c->passive) {
		count_full(c, true);
		c->told = true;
		t->stats.accepted++;
		tcp_event_due(c, TCP_DUE_ACCEPT);
	} else {
		tcp_event_due(c, TCP_DUE_CONNECT);
	}
	if (c->shut)
		tcp_conn_enter(c, TCP_FIN_WAIT_1);
	if (c->sending)
		tcp_conn_output_soon(c);
}

struct tcp_sack *tcp_conn_scoreboard(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	if (!c->loss.board && t->sacks_free) {
		c->loss.board = t->sacks_free;
		t->sacks_free = c->loss.board->next;
		sack_clear(c->loss.board);
	}
	return c->loss.board;
}

void tcp_conn_scoreboard_drop(struct tcp_conn *c)
{
	if (!c->loss.board)
		return;
	c->loss.board->next = c->tcp->sacks_free;
	c->tcp->sacks_free = c->loss.board;
	c->loss.board = NULL;
}

/* --- the application's calls */

static bool sends(const struct tcp_conn *c)
{
	return c->state != TCP_CLOSED && c->state != TCP_TIME_WAIT && !c->shut;
}

/* Who has nothing queued may always take from the last quarter of the pool; who has waits for his own to
 * drain. */
static bool pool_allows(const struct tcp_conn *c)
{
	const struct queue_pool *p = &c->tcp->queue_pool;

	return c->queue.bytes < 4096 || p->count - p->used > p->count / 4;
}

int tcp_conn_send(struct paste_conn *base, const struct paste_send *pieces, int n)
{
	struct tcp_conn *c = tcp_conn_of(base);
	struct tcp *t = c->tcp;
	uint64_t bytes = 0;

	assert(!c->given_up);
	if (!sends(c))
		return -EPIPE;
	if (tcp_conn_unsent(base) >= t->options.limits.send_bytes || !pool_allows(c)) {
		c->want_writable = true;
		return -EAGAIN;
	}
	for (int i = 0; i < n; i++)
		bytes += pieces[i].inline_bytes ? pieces[i].inline_length : pieces[i].ref.length;
	/* Sequence numbers are compared over half of their space at most. */
	if (bytes > (1u << 30) - c->queue.bytes)
		return -ENOMEM;
	if (queue_append(&t->queue_pool, &c->queue, pieces, n) < 0) {
		if (c->queue.bytes == 0)
			return -ENOMEM;
		c->want_writable = true;
		return -EAGAIN;
	}
	t->stats.sends++;
	c->sending |= bytes > 0;
	if (bytes > 0 && c->state >= TCP_ESTABLISHED)
		tcp_conn_output_soon(c);
	return 0;
}

uint32_t tcp_conn_unsent(const struct paste_conn *base)
{
	const struct tcp_conn *c = tcp_conn_of(base);
	uint32_t sent = seq_after(c->nxt, c->queue_seq) ? c->nxt - c->queue_seq : 0; /* FIN included */

	return c->queue.bytes > sent ? c->queue.bytes - sent : 0;
}

void tcp_conn_pause(struct paste_conn *base)
{
	tcp_conn_of(base)->paused = true;
}

void tcp_conn_resume(struct paste_conn *base)
{
	struct tcp_conn *c = tcp_conn_of(base);

	if (!c->paused)
		return;
	c->paused = false;
	if ((c->due || c->hold.ready != HOLD_NONE) && link_empty(&c->list_link))
		link_append(&c->tcp->ready, &c->list_link);
}

int tcp_conn_shut(struct paste_conn *base)
{
	struct tcp_conn *c = tcp_conn_of(base);

	if (!sends(c))
		return -EPIPE;
	c->shut = c->sending = true;
	if (c->state == TCP_ESTABLISHED)
		tcp_conn_enter(c, TCP_FIN_WAIT_1);
	else if (c->state == TCP_CLOSE_WAIT)
		tcp_conn_enter(c, TCP_LAST_ACK);
	if (c->state >= TCP_ESTABLISHED)
		tcp_conn_output_soon(c);
	return 0;
}

/* No more events: what is held goes. */
static void give_up(struct tcp_conn *c)
{
	assert(!c->given_up);
	c->given_up = true;
	c->due = 0;
	c->want_writable = false;
	tcp_hold_drop(&c->tcp->hold_pool, &c->hold);
	link_remove(&c->list_link); /* of those with events */
	if (c->state >= TCP_ESTABLISHED && c->state != TCP_TIME_WAIT)
		tcp_data_handed_over(c);
}

void tcp_conn_finish(struct paste_conn *base)
{
	struct tcp_conn *c = tcp_conn_of(base);

	give_up(c);
	if (c->state == TCP_SYN_SENT)
		tcp_conn_die(c, 0);
	else if (c->state == TCP_FIN_WAIT_2 || c->state == TCP_TIME_WAIT)
		tcp_conn_enter(c, (enum tcp_state)c->state); /* now it may end without the application */
	else if (c->state == TCP_CLOSED)
		free_if_over(c);
	else if (sends(c))
		tcp_conn_shut(base);
}

void tcp_conn_abort(struct paste_conn *base)
{
	struct tcp_conn *c = tcp_conn_of(base);

	give_up(c);
	if (c->state == TCP_CLOSED) {
		free_if_over(c);
		return;
	}
	if (c->state != TCP_SYN_SENT && c->state != TCP_TIME_WAIT)
		tcp_send_own_reset(c);
	tcp_conn_die(c, 0);
}

void tcp_conn_peer(const struct paste_conn *base, char *text, size_t size)
{
	const struct tcp_conn *c = tcp_conn_of(base);

	net_endpoint_text(&c->path.destination, c->peer_port, text, size);
}

void tcp_conn_info(const struct paste_conn *base, struct paste_conn_info *info)
{
	const struct tcp_conn *c = tcp_conn_of(base);

	*info = (struct paste_conn_info){
	    .state = tcp_state_name((enum tcp_state)c->state),
	    .rtt_us = c->rtt.smoothed_us,
	    .rtt_variation_us = c->rtt.variation_us,
	    .rto_us = (uint32_t)tcp_rtt_timeout(&c->rtt, c->backoff),
	    .mss = c->mss,
	    .cwnd = c->cc.window,
	    .ssthresh = c->cc.threshold,
	    .peer_window = c->window,
	    .window = c->edge - c->next,
	    .unsent = tcp_conn_unsent(base),
	    .unacknowledged = c->nxt - c->una,
	    .buffers = c->hold.ready_buffers + c->hold.early_buffers,
	    .retransmitted = c->retransmitted,
	    .received_bytes = c->received_bytes,
	    .sent_bytes = c->sent_bytes,
	};
	net_endpoint_text(&c->path.source, c->local_port, info->local, sizeof(info->local));
	tcp_conn_peer(base, info->peer, sizeof(info->peer));
}
