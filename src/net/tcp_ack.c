/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_ack.c - the acknowledgment in a received segment (RFC 9293, section 3.10.7.4, fifth). */
#include "net/tcp_conn.h"

#define TS_SAMPLE_MOST_MS 60000u

/* RFC 6298; of a segment that was sent twice only a timestamp can tell which one was answered (RFC 7323,
 * section 4). */
static void sample(struct tcp_conn *c, const struct tcp_segment *s)
{
	uint64_t now = c->tcp->now;

	if (c->timing) {
		if (seq_upto(c->timed_seq, s->ack)) {
			tcp_rtt_sample(&c->rtt, now - c->timed_at);
			c->timing = false;
		}
		return;
	}
	uint32_t ms = tcp_timestamp(c) - s->ts_echo;
	if (s->timestamps && s->ts_echo && (c->loss.state != LOSS_OPEN || c->backoff > 0) &&
	    ms <= TS_SAMPLE_MOST_MS)
		tcp_rtt_sample(&c->rtt, ms * 1000ull);
}

static uint32_t receive_sack(struct tcp_conn *c, const struct tcp_segment *s)
{
	uint32_t news = 0;

	if (!c->sack || s->sacks == 0 || c->una == c->nxt)
		return 0;
	struct tcp_sack *board = tcp_conn_scoreboard(c);
	for (uint32_t i = 0; board && i < s->sacks; i++)
		news += sack_add(board, s->sack[i], c->una, c->nxt);
	return news;
}

static void our_fin_acked(struct tcp_conn *c)
{
	if (c->state == TCP_FIN_WAIT_1)
		tcp_conn_enter(c, TCP_FIN_WAIT_2);
	else if (c->state == TCP_CLOSING)
		tcp_conn_enter(c, TCP_TIME_WAIT);
	else if (c->state == TCP_LAST_ACK)
		tcp_conn_die(c, 0);
}

static void release(struct tcp_conn *c, uint32_t ack)
{
	uint32_t bytes = seq_min(ack, tcp_conn_end(c)) - c->queue_seq;

	tcp_conn_release(c, bytes);
	c->una = ack;
	c->sending = c->queue.bytes > 0 || (c->shut && !(tcp_conn_fin_sent(c) && ack == c->nxt));
	if (c->loss.board) {
		sack_acked(c->loss.board, ack);
		if (c->loss.board->n == 0 && c->loss.state == LOSS_OPEN)
			tcp_conn_scoreboard_drop(c);
	}
}

void tcp_congested(struct tcp_conn *c)
{
	uint32_t flight = c->nxt - c->una, window = c->cc.window;

	/* What is reported is not under way, though FlightSize counts it. */
	c->cc.ops->lost(&c->cc, c->mss, flight < window ? flight : window, c->tcp->now);
}

void tcp_congested_again(struct tcp_conn *c)
{
	if (c->cc.window > 2u * c->mss)
		tcp_congested(c);
}

static void control_congestion(struct tcp_conn *c, enum tcp_loss_event event, uint32_t acked)
{
	struct tcp *t = c->tcp;
	uint32_t flight = c->nxt - c->una;

	switch (event) {
	case LOSS_ENTERED:
		t->counters.fast_recoveries++;
		c->cc.ops->lost(&c->cc, c->mss, flight, t->now);
		break;
	case LOSS_AGAIN:
		tcp_congested_again(c);
		break;
	case LOSS_LEFT:
		c->cc.ops->recovered(&c->cc, c->mss, flight);
		break;
	case LOSS_OVER:
	case LOSS_NOTHING:
		if (acked > 0 && c->loss.state != LOSS_RECOVERY)
			c->cc.ops->acked(&c->cc, c->mss, acked, c->limited || c->loss.state == LOSS_TIMEOUT,
					 t->now);
		break;
	}
}

void tcp_ack_window(struct tcp_conn *c, const struct tcp_segment *s)
{
	if (!seq_before(c->window_seq, s->seq) &&
	    !(c->window_seq == s->seq && seq_upto(c->window_ack, s->ack)))
		return;
	uint32_t window = (uint32_t)s->window << tcp_conn_send_scale(c);
	if (window > c->window && c->una == c->nxt)
		c->backoff = 0; /* it had been closed, and asked for */
	c->window = window;
	if (window > c->window_most)
		c->window_most = window;
	c->window_seq = s->seq;
	c->window_ack = s->ack;
}

/* RFC 5681, section 2 */
static bool is_duplicate(const struct tcp_conn *c, const struct tcp_segment *s)
{
	return s->ack == c->una && c->una != c->nxt && s->length == 0 && !(s->flags & TCP_FIN) &&
	       (uint32_t)s->window << tcp_conn_send_scale(c) == c->window;
}

/* RFC 6298, (5.2) and (5.3) */
static void restart_timer(struct tcp_conn *c)
{
	if (c->una == c->nxt)
		tcp_timer_send(c, TCP_NEVER);
	else
		tcp_timer_retransmit(c);
}

/* RFC 8985, section 7.4: what was sent once more as a probe has arrived. If it was the probe that arrived, it
 * was lost before, and nobody else has noticed. A timestamp tells; without it that is what is assumed. */
static void judge_tail(struct tcp_conn *c, const struct tcp_segment *s)
{
	if (!c->tail_again || seq_before(s->ack, c->tail_end))
		return;
	c->tail_again = false;
	if (c->loss.state == LOSS_OPEN && (!c->timestamps || seq_upto(c->tail_ts, s->ts_echo)))
		c->cc.ops->lost(&c->cc, c->mss, c->nxt - c->una, c->tcp->now);
}

bool tcp_ack_receive(struct tcp_conn *c, const struct tcp_segment *s)
{
	/* RFC 5961, section 5.2 */
	if (seq_after(s->ack, c->nxt) || seq_before(s->ack, c->una - c->window_most)) {
		c->tcp->counters.bad_acks++;
		tcp_challenge(c);
		return false;
	}
	if (seq_before(s->ack, c->una))
		return true; /* an old one: its data may be news */
	if (!c->sending) {   /* nothing is under way, and nothing waits for a window */
		tcp_ack_window(c, s);
		return true;
	}
	struct tcp_loss_ack a = {.nxt = c->nxt, .mss = c->mss, .acked = s->ack - c->una};
	a.duplicate = is_duplicate(c, s);
	if (a.acked > 0) {
		sample(c, s);
		judge_tail(c, s);
		release(c, s->ack);
		c->backoff = 0;
		c->progress_at = c->tcp->now;
	}
	a.news = receive_sack(c, s);
	if (a.acked > 0 || a.news > 0)
		c->probed = false;
	a.una = c->una;
	/* With reports only news counts as a duplicate (RFC 6675, section 2). */
	if (c->loss.board && c->loss.board->n > 0)
		a.duplicate = false;
	if (a.acked > 0 || a.duplicate || a.news > 0)
		control_congestion(c, tcp_loss_on_ack(&c->loss, &a), a.acked);
	if (c->state != TCP_TIME_WAIT && (a.acked > 0 || (a.news > 0 && c->waits == TCP_WAITS_PROBE)))
		restart_timer(c);
	if (tcp_loss_doubtful(&c->loss) && c->una != c->nxt)
		tcp_timer_doubt(c);
	tcp_ack_window(c, s);
	if (a.acked > 0 && tcp_conn_fin_sent(c) && c->una == c->nxt)
		our_fin_acked(c);
	if (c->sending && (c->nxt != tcp_conn_end(c) + c->shut || c->loss.state != LOSS_OPEN))
		tcp_conn_output_soon(c);
	return true;
}
