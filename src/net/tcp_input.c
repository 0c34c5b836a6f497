/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_input.c - a received segment, in the order of RFC 9293, section 3.10.7. */
#include "net/tcp_conn.h"

#include <errno.h>

#define TS_RECENT_VALID_US (24ull * 86400 * 1000000) /* RFC 7323, section 5.5 */

/* --- stages of a batch */

enum packet_check tcp_prepare(void *arg, struct net_packet *p)
{
	struct tcp *t = arg;
	struct tcp_segment *s = &t->segment[p->index];
	enum packet_check bad = tcp_segment_parse(p->piece, p->n, p->bare_sums, &p->head, s);

	if (bad)
		return bad;
	uint32_t hash = tcp_table_hash(&t->table, &p->head.path.destination, s->destination_port,
				       &p->head.path.source, s->source_port);
	tcp_table_prefetch(&t->table, hash);
	t->segment_hash[p->index] = hash;
	return PACKET_ACCEPTED;
}

/* The lines of a connection that an ordinary segment touches. */
static void prefetch_conn(const struct tcp_conn *c)
{
	__builtin_prefetch(&c->base, 1);
	__builtin_prefetch(&c->una, 1);
	__builtin_prefetch(&c->path, 1);
	__builtin_prefetch(&c->hold, 1);
}

void tcp_approach(void *arg, struct net_packet *p)
{
	struct tcp *t = arg;
	uint32_t hash = t->segment_hash[p->index], at = hash;
	uint32_t i = tcp_table_next(&t->table, hash, &at);

	t->segment_conn[p->index] = i == TCP_TABLE_END ? NULL : &t->conns[i];
	if (i != TCP_TABLE_END)
		prefetch_conn(&t->conns[i]);
}

/* What was approached, if it is still there and the segment's; else whatever the table says by now. */
static struct tcp_conn *find_conn(struct tcp *t, const struct net_packet *p, const struct tcp_segment *s)
{
	struct tcp_conn *c = t->segment_conn[p->index];

	if (c && c->in_table && tcp_conn_is(c, p, s))
		return c;
	return tcp_conn_find(t, t->segment_hash[p->index], p, s);
}

/* --- no connection (3.10.7.1, 3.10.7.2) */

static enum packet_check receive_unknown(struct tcp *t, uint32_t hash, const struct net_packet *p,
					 const struct tcp_segment *s)
{
	bool listens = tcp_listens(t, &p->head.path.destination, s->destination_port);

	if (s->flags & TCP_RST)
		return PACKET_ACCEPTED;
	if (!listens || (s->flags & TCP_ACK))
		tcp_send_reset(t, p, s);
	else if ((s->flags & TCP_SYN) && !(s->flags & TCP_FIN))
		tcp_syn_received(t, hash, p, s);
	return PACKET_ACCEPTED;
}

/* --- SYN-SENT (3.10.7.3) */

static void receive_syn_sent(struct tcp_conn *c, const struct net_packet *p, struct tcp_segment *s)
{
	struct tcp *t = c->tcp;
	bool acks = s->flags & TCP_ACK;

	/* First: an acknowledgment of anything but our SYN is not of this connection. */
	if (acks && s->ack != c->nxt) {
		t->counters.bad_acks++;
		if (!(s->flags & TCP_RST))
			tcp_send_reset(t, p, s);
		return;
	}
	/* Second: a reset counts if it acknowledges our SYN. */
	if (s->flags & TCP_RST) {
		if (acks) {
			t->counters.resets_received++;
			tcp_conn_die(c, -ECONNREFUSED);
		}
		return;
	}
	/* Fourth. */
	if (!(s->flags & TCP_SYN))
		return;
	tcp_conn_negotiate(c, s);
	c->edge = c->next + tcp_syn_window(t); /* our SYN has advertised it */
	if (!acks) { /* both have opened at once */
		c->state = TCP_SYN_RECEIVED;
		c->send_syn = true;
		tcp_conn_output_soon(c);
		return;
	}
	c->una = s->ack;
	if (c->timing)
		tcp_rtt_sample(&c->rtt, t->now - c->timed_at);
	c->timing = false;
	c->send_syn = false;
	tcp_conn_established(c);
	tcp_data_ack(c, TCP_ACK_NOW);
	/* Data and FIN may come with it. */
	s->seq++;
	s->flags &= (uint8_t)~TCP_SYN;
	if (tcp_segment_span(s) > 0)
		tcp_data_receive(c, p, s);
}

/* --- otherwise (3.10.7.4) */

/* A SYN for a connection of which only we still know may open the next one (RFC 9293, section 3.10.7.4;
 * RFC 6191): its sequence numbers or its timestamps are beyond all that may still be under way. */
static bool opens_again(const struct tcp_conn *c, const struct tcp_segment *s)
{
	if (c->state != TCP_TIME_WAIT || (s->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return false;
	if (!tcp_listens(c->tcp, &c->path.source, c->local_port))
		return false;
	if (c->timestamps && s->timestamps && s->ts_value != c->ts_recent)
		return seq_after(s->ts_value, c->ts_recent);
	return seq_after(s->seq, c->next);
}

/* RFC 7323, section 5.3, R1. False: the segment is an old one, drop it. */
static bool timestamp_passes(struct tcp_conn *c, const struct tcp_segment *s)
{
	struct tcp *t = c->tcp;

	if (!c->timestamps || (s->flags & TCP_RST))
		return true;
	if (!s->timestamps) { /* section 3.2 */
		t->counters.old_timestamps++;
		return false;
	}
	if (!seq_before(s->ts_value, c->ts_recent) || t->now - c->ts_recent_at > TS_RECENT_VALID_US)
		return true;
	t->counters.old_timestamps++;
	tcp_data_ack(c, TCP_ACK_NOW);
	return false;
}

/* The first check. False: nothing of the segment is in the window. */
static bool in_window(struct tcp_conn *c, struct tcp_segment *s)
{
	uint32_t window = c->edge - c->next;

	if (seq_acceptable(s->seq, tcp_segment_span(s), c->next, window))
		return true;
	/* With a closed window, what begins where it does is looked at but for its text. */
	if (window == 0 && s->seq == c->next) {
		s->length = 0;
		s->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		tcp_data_ack(c, TCP_ACK_NOW);
		return true;
	}
	return false;
}

static void out_of_window(struct tcp_conn *c, const struct tcp_segment *s)
{
	struct tcp *t = c->tcp;

	t->counters.out_of_window++;
	if (s->flags & TCP_RST)
		return;
	if (c->state == TCP_TIME_WAIT && (s->flags & TCP_FIN))
		tcp_timer_send(c, t->now + TCP_TIME_WAIT_US);
	/* Two ends that disagree would answer each other's empty segments for ever. SYNs are challenged wherever
	 * they are (RFC 5961, section 4.2). */
	if (tcp_segment_span(s) > 0 && !(s->flags & TCP_SYN))
		tcp_data_ack(c, TCP_ACK_NOW);
	else
		tcp_challenge(c);
}

/* Second: RFC 5961, section 3.2. */
static void receive_reset(struct tcp_conn *c, const struct tcp_segment *s)
{
	struct tcp *t = c->tcp;

	if (c->state == TCP_TIME_WAIT) /* RFC 1337 */
		return;
	if (s->seq != c->next) {
		tcp_challenge(c);
		return;
	}
	t->counters.resets_received++;
	tcp_conn_die(c, c->state == TCP_SYN_RECEIVED ? -ECONNREFUSED : -ECONNRESET);
}

/* Fifth, in SYN-RECEIVED. False: the segment is to be dropped. */
static bool handshake_ends(struct tcp_conn *c, const struct net_packet *p, const struct tcp_segment *s)
{
	struct tcp *t = c->tcp;

	if (s->ack != c->nxt) {
		t->counters.bad_acks++;
		tcp_send_reset(t, p, s);
		return false;
	}
	if (c->passive && t->full_n >= t->options.limits.connections) {
		t->stats.refused++;
		tcp_send_own_reset(c);
		tcp_conn_die(c, 0);
		return false;
	}
	c->una = s->ack;
	if (c->timing)
		tcp_rtt_sample(&c->rtt, t->now - c->timed_at);
	c->timing = false;
	c->send_syn = false;
	c->window = (uint32_t)s->window << tcp_conn_send_scale(c);
	c->window_most = c->window;
	c->window_seq = s->seq;
	c->window_ack = s->ack;
	tcp_conn_established(c);
	return true;
}

/* A SYN again while we wait for the handshake's end: our answer was lost, or both have opened at once. True:
 * go on with the rest of the segment. */
static bool syn_again(struct tcp_conn *c, struct tcp_segment *s)
{
	if (s->flags & TCP_ACK) {
		s->seq++;
		s->flags &= (uint8_t)~TCP_SYN;
		return true;
	}
	c->send_syn = true;
	tcp_conn_output_soon(c);
	return false;
}

/* The way back may have changed: the router's MAC. Only from a segment whose numbers prove that it is the
 * peer's. */
static void learn_mac(struct tcp_conn *c, const struct net_packet *p)
{
	if (memcmp(c->path.mac_destination, p->head.path.mac_source, 6) == 0)
		return;
	memcpy(c->path.mac_destination, p->head.path.mac_source, 6);
	c->unresolved = false;
}

static void receive_segment(struct tcp_conn *c, const struct net_packet *p, struct tcp_segment *s)
{
	if (c->state == TCP_SYN_RECEIVED && (s->flags & (TCP_SYN | TCP_RST)) == TCP_SYN &&
	    s->seq == c->next - 1 && !syn_again(c, s))
		return;
	if (!timestamp_passes(c, s))
		return;
	if (!in_window(c, s)) {
		out_of_window(c, s);
		return;
	}
	if (s->flags & TCP_RST) {
		receive_reset(c, s);
		return;
	}
	if (s->flags & TCP_SYN) { /* fourth: RFC 5961, section 4.2 */
		tcp_challenge(c);
		return;
	}
	if (!(s->flags & TCP_ACK))
		return;
	if (c->state == TCP_SYN_RECEIVED && !handshake_ends(c, p, s))
		return;
	if (!tcp_ack_receive(c, s))
		return;
	/* RFC 7323, section 4.3 */
	if (c->timestamps && seq_upto(s->seq, c->acked) && s->ts_value != c->ts_recent) {
		c->ts_recent = s->ts_value;
		c->ts_recent_at = c->tcp->now;
	}
	c->received_at = c->tcp->now;
	c->probes = 0;
	learn_mac(c, p);
	/* Sixth: urgent data is data. Seventh, eighth: */
	if (c->state != TCP_CLOSED && tcp_segment_span(s) > 0)
		tcp_data_receive(c, p, s);
}

enum packet_check tcp_receive(void *arg, struct net_packet *p)
{
	struct tcp *t = arg;
	struct tcp_segment *s = &t->segment[p->index];
	uint32_t hash = t->segment_hash[p->index];
	struct tcp_conn *c = find_conn(t, p, s);

	t->counters.segments_received++;
	if (c && opens_again(c, s)) {
		tcp_conn_die(c, 0);
		c = NULL;
	}
	if (!c)
		return receive_unknown(t, hash, p, s);
	if (c->state == TCP_SYN_SENT)
		receive_syn_sent(c, p, s);
	else
		receive_segment(c, p, s);
	if (c->due)
		tcp_event_tell(c);
	return PACKET_ACCEPTED;
}
