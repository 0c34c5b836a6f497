/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_output.c - segments out: what was lost, new data, acknowledgments (RFC 9293, section 3.8).
 *
 * A segment is a frame of own bytes (headers and copied bytes) and, where the port can send fragments and it
 * is worth it, references. What is acknowledged and the window ride in every one.
 */
#include "net/tcp_conn.h"

#define PIECES NET_SLICES
#define BURST 64 /* segments of a connection at a time: others want to send, too */

uint32_t tcp_timestamp(const struct tcp_conn *c)
{
	return (uint32_t)(c->tcp->now / 1000) + c->ts_offset;
}

/* --- the header */

/* The window field, and with it the promise: the edge, rounded up so that it does not go back. */
static uint16_t advertise(struct tcp_conn *c, uint32_t scale)
{
	uint32_t window = tcp_data_edge(c) - c->next, unit = 1u << scale;
	uint32_t field = (window + unit - 1) >> scale;

	if (field > UINT16_MAX)
		field = UINT16_MAX;
	c->edge = seq_max(c->edge, c->next + (field << scale));
	return (uint16_t)field;
}

static void header(struct tcp_conn *c, struct tcp_segment *s, uint32_t seq, uint8_t flags)
{
	s->seq = seq;
	s->ack = c->next;
	s->length = 0;
	s->source_port = c->local_port;
	s->destination_port = c->peer_port;
	s->mss = 0;
	s->flags = flags;
	s->scale = TCP_SCALE_NONE;
	s->sacks = 0;
	s->sack_permitted = false;
	s->timestamps = c->timestamps;
	s->ts_value = c->timestamps ? tcp_timestamp(c) : 0;
	s->ts_echo = c->ts_recent;
	s->window = 0;
}

/* It carries an acknowledgment of everything. */
static void acknowledged(struct tcp_conn *c)
{
	c->acked = c->next;
	c->unacked = 0;
	c->ack_due = TCP_ACK_NONE;
	c->ack_at = TCP_NEVER;
}

/* A segment without payload, into a slot that there is. */
static void put_empty(struct tcp *t, const struct packet_path *path, const struct tcp_segment *s)
{
	bool offload = net_offloads(t->net);
	uint32_t length = tcp_segment_build(net_own(t->net), path, s, NULL, 0, offload);

	net_own_end(t->net, length);
	if (offload)
		net_frame_checksum(t->net, packet_header_bytes(path), 16);
	net_frame_end(t->net);
	t->counters.segments_sent++;
}

/* --- segments without data */

bool tcp_send_ack(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;
	struct tcp_segment s;

	if (!net_frame_begin(t->net, 1))
		return false;
	header(c, &s, c->nxt, TCP_ACK);
	s.window = advertise(c, tcp_conn_receive_scale(c));
	if (c->sack && c->hold.early != HOLD_NONE)
		s.sacks = (uint8_t)tcp_hold_ranges(&t->hold_pool, &c->hold, c->latest_early, s.sack,
						   c->timestamps ? TCP_SACKS - 1 : TCP_SACKS);
	put_empty(t, &c->path, &s);
	acknowledged(c);
	return true;
}

void tcp_send_probe(struct tcp_conn *c)
{
	struct tcp_segment s;

	if (!net_frame_begin(c->tcp->net, 1))
		return;
	header(c, &s, c->una - 1, TCP_ACK);
	s.window = advertise(c, tcp_conn_receive_scale(c));
	put_empty(c->tcp, &c->path, &s);
	acknowledged(c);
}

/* RFC 5961, section 7: not more often than is of use, and counted by connection, so that nobody can learn
 * from it what others do. */
void tcp_challenge(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	uint32_t now = (uint32_t)(t->now / 1000) | 1; /* 0 says never */

	if (c->challenged_ms && now - c->challenged_ms < TCP_CHALLENGE_MS)
		return;
	c->challenged_ms = now;
	t->counters.challenge_acks++;
	tcp_data_ack(c, TCP_ACK_NOW);
}

/* A lost reset does no harm: what it answers comes again. So it is not kept for later if there is no slot. */
void tcp_send_own_reset(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;
	struct tcp_segment s;

	if (!net_frame_begin(t->net, 1))
		return;
	header(c, &s, c->nxt, TCP_RST | TCP_ACK);
	put_empty(t, &c->path, &s);
	t->counters.resets_sent++;
}

/* RFC 9293, section 3.10.7.1 */
void tcp_send_reset(struct tcp *t, const struct net_packet *p, const struct tcp_segment *s)
{
	struct packet_path back;
	struct tcp_segment r = {
	    .source_port = s->destination_port, .destination_port = s->source_port, .scale = TCP_SCALE_NONE};

	if (!net_frame_begin(t->net, 1))
		return;
	if (s->flags & TCP_ACK) {
		r.flags = TCP_RST;
		r.seq = s->ack;
	} else {
		r.flags = TCP_RST | TCP_ACK;
		r.ack = s->seq + tcp_segment_span(s);
	}
	packet_path_back(&p->head.path, &back);
	put_empty(t, &back, &r);
	t->counters.resets_sent++;
}

uint32_t tcp_syn_window(const struct tcp *t)
{
	return t->window_max < UINT16_MAX ? t->window_max : UINT16_MAX;
}

static bool send_syn(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;
	bool answers = c->state == TCP_SYN_RECEIVED;
	struct tcp_segment s;

	if (!net_frame_begin(t->net, 1))
		return false;
	header(c, &s, c->nxt - 1, TCP_SYN);
	if (answers)
		s.flags |= TCP_ACK;
	else
		s.ack = 0;
	s.mss = (uint16_t)(t->mtu - TCP_HEADER - (net_address_is4(&c->path.source) ? 20u : 40u));
	if (!answers || tcp_conn_receive_scale(c))
		s.scale = (uint8_t)tcp_conn_receive_scale(c);
	s.sack_permitted = !answers || c->sack;
	if (!answers) {
		s.timestamps = true;
		s.ts_value = tcp_timestamp(c);
		s.ts_echo = 0;
	}
	if (answers)
		s.window = advertise(c, 0);
	else
		s.window = (uint16_t)tcp_syn_window(t);
	put_empty(t, &c->path, &s);
	acknowledged(c);
	c->send_syn = false;
	if (c->backoff == 0) {
		c->timing = true;
		c->timed_seq = c->nxt;
		c->timed_at = t->now;
	} else {
		c->retransmitted++;
		t->counters.retransmitted++;
	}
	if (c->send_at == TCP_NEVER)
		tcp_timer_send(c, t->now + tcp_rtt_timeout(&c->rtt, c->backoff));
	return true;
}

/* --- segments with data */

struct payload {
	struct queue_piece piece[PIECES];
	struct packet_piece bytes[PIECES]; /* the same, for the checksum */
	uint32_t n, length;
	bool gather;
	uint32_t slots;
};

/* Slots that the pieces take when references are sent where they are: one for the headers and the copied
 * bytes behind them, then one for each buffer of a reference and each run of copied bytes. */
static uint32_t slots_of(const struct tcp *t, const struct payload *p)
{
	uint32_t slots = 1;
	bool own = true;

	for (uint32_t i = 0; i < p->n; i++) {
		const struct queue_piece *piece = &p->piece[i];
		if (piece->is_reference)
			slots += (piece->ref.offset + piece->length + t->hold_pool.buffer_size - 1) /
				 t->hold_pool.buffer_size;
		else if (!own)
			slots++;
		own = !piece->is_reference;
	}
	return slots;
}

/* The bytes of a segment, and whether they are copied together. What does not fit is cut off. */
static void plan(struct tcp_conn *c, struct payload *p, uint32_t place, uint32_t length, uint32_t headers)
{
	struct tcp *t = c->tcp;
	uint32_t referenced = 0, room = net_own_room(t->net) - headers;

	p->n = queue_read(&c->queue, t->region, place, length, p->piece, PIECES, &p->length);
	for (uint32_t i = 0; i < p->n; i++)
		referenced += p->piece[i].is_reference ? p->piece[i].length : 0;
	p->slots = slots_of(t, p);
	p->gather = p->length <= room && referenced <= t->options.gather_bytes;
	if (p->slots > net_fragments(t->net) || p->length - referenced > room) {
		p->gather = true;
		if (p->length > room)
			p->n = queue_read(&c->queue, t->region, place, room, p->piece, PIECES, &p->length);
	}
	if (p->gather)
		p->slots = 1;
	for (uint32_t i = 0; i < p->n; i++)
		p->bytes[i] = (struct packet_piece){p->piece[i].bytes, p->piece[i].length};
	if (p->gather && referenced > 0) {
		t->counters.gathered++;
		t->counters.gathered_bytes += referenced;
	}
}

static void put_gathered(struct tcp *t, const struct payload *p, uint32_t headers)
{
	uint8_t *at = net_own(t->net) + headers;

	for (uint32_t i = 0; i < p->n; i++) {
		memcpy(at, p->piece[i].bytes, p->piece[i].length);
		at += p->piece[i].length;
	}
	net_own_end(t->net, headers + p->length);
}

static void put_fragments(struct tcp *t, const struct payload *p, uint32_t headers)
{
	uint32_t own = headers; /* bytes of the slot under construction, if it is one of own bytes */

	for (uint32_t i = 0; i < p->n; i++) {
		const struct queue_piece *piece = &p->piece[i];
		if (!piece->is_reference) {
			memcpy(net_own(t->net) + own, piece->bytes, piece->length);
			own += piece->length;
			continue;
		}
		if (own > 0)
			net_own_end(t->net, own);
		own = 0;
		net_reference(t->net, piece->ref);
	}
	if (own > 0)
		net_own_end(t->net, own);
}

static void count_sent(struct tcp_conn *c, uint32_t seq, uint32_t end, uint32_t length, bool again)
{
	struct tcp *t = c->tcp;

	if (again) {
		c->retransmitted++;
		t->counters.retransmitted++;
		if (c->timing && seq_before(seq, c->timed_seq))
			c->timing = false; /* Karn's rule */
	} else {
		if (c->una == c->nxt)
			c->progress_at = t->now;
		c->sent_bytes += length;
		t->stats.sent_bytes += length;
		if (!c->timing) {
			c->timing = true;
			c->timed_seq = end;
			c->timed_at = t->now;
		}
	}
	if (c->una == c->nxt ||
	    c->send_at == TCP_NEVER) /* RFC 6298, (5.1); in place of a persist timer, too */
		tcp_timer_send(c, t->now + tcp_rtt_timeout(&c->rtt, c->backoff));
	c->sent_at = t->now;
}

/* Bytes of [seq, end), FIN included, as one segment; *end is where it ended. False: the ring is full. */
static bool send_range(struct tcp_conn *c, uint32_t seq, uint32_t *end, bool again)
{
	struct tcp *t = c->tcp;
	struct tcp_segment s;
	struct payload p; /* not cleared: it is large */
	uint32_t data_end = seq_min(*end, tcp_conn_end(c));

	header(c, &s, seq, TCP_ACK);
	uint32_t headers = packet_header_bytes(&c->path) + tcp_segment_header(&s);
	p.n = p.length = 0;
	p.slots = 1;
	p.gather = true;
	if (seq_before(seq, data_end))
		plan(c, &p, tcp_conn_place(c, seq), data_end - seq, headers);
	if (!net_frame_begin(t->net, p.slots))
		return false;
	s.length = p.length;
	if (p.length > 0 && seq + p.length == tcp_conn_end(c))
		s.flags |= TCP_PSH;
	if (seq + p.length == tcp_conn_end(c) && seq_after(*end, tcp_conn_end(c)))
		s.flags |= TCP_FIN;
	s.window = advertise(c, tcp_conn_receive_scale(c));
	bool offload = net_offloads(t->net);
	tcp_segment_build(net_own(t->net), &c->path, &s, p.bytes, p.n, offload);
	if (p.gather)
		put_gathered(t, &p, headers);
	else
		put_fragments(t, &p, headers);
	if (offload)
		net_frame_checksum(t->net, packet_header_bytes(&c->path), 16);
	net_frame_end(t->net);
	t->counters.segments_sent++;
	if (c->ack_due == TCP_ACK_SOON && !again)
		c->quick = 0; /* it replies: acknowledgments may wait for the next one */
	acknowledged(c);
	*end = seq + tcp_segment_span(&s);
	count_sent(c, seq, *end, p.length, again);
	return true;
}

/* The next segment of new data, as far as window and congestion window allow; `pipe` bytes are under way.
 * False: none now. */
static bool new_segment(struct tcp_conn *c, uint32_t pipe, struct tcp_range *r)
{
	uint32_t data = seq_before(c->nxt, tcp_conn_end(c)) ? tcp_conn_end(c) - c->nxt : 0, length = data;
	uint32_t usable = seq_before(c->nxt, c->una + c->window) ? c->una + c->window - c->nxt : 0;
	bool fin = c->shut && !tcp_conn_fin_sent(c), idle = c->una == c->nxt;

	if (data == 0 && !fin)
		return false;
	if (length > c->mss)
		length = c->mss;
	if (length > usable)
		length = usable;
	if (data > 0 && length == 0)
		return false;
	if (pipe > 0 && pipe + length > c->cc.window) {
		c->limited = true;
		return false;
	}
	/* RFC 9293, section 3.8.6.2.1: not a small segment because the window is small. Nagle (RFC 896): nor
	 * while others are under way. */
	if (length < c->mss && length > 0) {
		bool rest = length == data && (!c->tcp->options.nagle || idle || fin);
		if (!rest && length < c->window_most / 2 && !(c->override && idle))
			return false;
	}
	*r = (struct tcp_range){c->nxt, c->nxt + length + (fin && length == data)};
	return true;
}

bool tcp_send_tail(struct tcp_conn *c)
{
	struct tcp_range r;
	bool again = !new_segment(c, 0, &r); /* whatever the congestion window says */

	if (again)
		r = (struct tcp_range){seq_max(c->una, c->nxt - c->mss), c->nxt};
	if (!send_range(c, r.start, &r.end, again))
		return false;
	c->nxt = seq_max(c->nxt, r.end);
	c->tail_again = again;
	c->tail_end = r.end;
	c->tail_ts = tcp_timestamp(c);
	return true;
}

/* What is lost first, then what is new, then what may be lost (RFC 6675, NextSeg). False: the ring is full.
 */
static bool send_data(struct tcp_conn *c)
{
	struct tcp_range r;

	c->limited = false;
	if (c->una == c->nxt && c->tcp->now - c->sent_at > c->rtt.rto_us &&
	    seq_before(c->nxt, tcp_conn_end(c)))
		c->cc.ops->idle(&c->cc, c->mss);
	for (int burst = 0; burst < BURST; burst++) {
		uint32_t pipe = tcp_loss_pipe(&c->loss, c->una, c->nxt, c->mss);
		if (tcp_loss_next(&c->loss, c->una, c->nxt, c->mss, &r)) {
			if (!c->loss.forced && pipe + (r.end - r.start) > c->cc.window) {
				c->limited = true;
				return true;
			}
			if (!send_range(c, r.start, &r.end, true))
				return false;
			tcp_loss_sent(&c->loss, c->una, c->nxt, r);
		} else if (new_segment(c, pipe, &r)) {
			if (!send_range(c, r.start, &r.end, false))
				return false;
			c->nxt = r.end;
		} else if (pipe + c->mss <= c->cc.window &&
			   tcp_loss_guess(&c->loss, c->una, c->nxt, c->mss, &r)) {
			if (!send_range(c, r.start, &r.end, true))
				return false;
		} else {
			return true;
		}
	}
	tcp_conn_output_soon(c);
	return true;
}

/* Something waits to be sent and nothing is under way whose acknowledgment would call us again: ask for the
 * window after a while (RFC 9293, section 3.8.6.1). */
static void persist_if_closed(struct tcp_conn *c)
{
	if (c->send_at == TCP_NEVER && c->una == c->nxt && c->nxt != tcp_conn_end(c) + c->shut) {
		c->progress_at = c->tcp->now;
		tcp_timer_send(c, c->tcp->now + tcp_rtt_timeout(&c->rtt, c->backoff));
	}
}

static void tell_writable(struct tcp_conn *c)
{
	if (c->want_writable && tcp_conn_unsent(&c->base) <= c->tcp->options.limits.send_bytes / 2) {
		c->want_writable = false;
		tcp_event_due(c, TCP_DUE_WRITABLE);
	}
}

/* What no data carried. */
static bool send_due_ack(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	if (c->ack_due == TCP_ACK_SOON && c->quick == 0 && t->options.delayed_ack_us > 1) {
		if (c->ack_at == TCP_NEVER) {
			c->ack_at = t->now + t->options.delayed_ack_us;
			tcp_timer_arm(c);
		}
		return true;
	}
	if (c->ack_due == TCP_ACK_NONE)
		return true;
	if (c->quick > 0)
		c->quick--;
	return tcp_send_ack(c);
}

bool tcp_output(struct tcp_conn *c)
{
	if (c->unresolved)
		return true;
	if (c->send_syn && !send_syn(c))
		return false;
	if (c->state == TCP_SYN_SENT)
		return true;
	if (c->sending && c->state >= TCP_ESTABLISHED) {
		uint32_t before = c->nxt;
		if (!send_data(c))
			return false;
		if (c->nxt != before)
			tcp_timer_sent(c);
		c->override = false;
		persist_if_closed(c);
		tell_writable(c);
	}
	return send_due_ack(c);
}

/* It was received a turn ago, with hundreds of others: its lines have left the nearest cache. */
static void prefetch_next(const struct link *todo)
{
	const struct tcp_conn *c = link_owner(todo->next, struct tcp_conn, output_link);

	if (link_empty(todo))
		return;
	__builtin_prefetch(&c->base, 1);
	__builtin_prefetch(&c->path, 1);
	__builtin_prefetch(&c->hold, 1);
}

void tcp_output_all(struct tcp *t)
{
	struct link todo;

	link_init(&todo);
	link_splice(&todo, &t->output);
	while (!link_empty(&todo)) {
		struct tcp_conn *c = link_owner(todo.next, struct tcp_conn, output_link);
		link_remove(&c->output_link);
		prefetch_next(&todo);
		if (!tcp_output(c)) { /* the rest waits for slots, in the same order */
			link_append(&todo, &c->output_link);
			break;
		}
	}
	link_splice(&todo, &t->output);
	link_splice(&t->output, &todo);
}
