/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_timer.c - what happens when time passes.
 *
 * A connection has one timer in the wheel, for the earliest of what it waits for. When that moves to a later
 * time, as it does with nearly every segment, the timer stays: it finds nothing due and is set anew. Moving
 * it each time would touch two neighbours' lines.
 */
#include "net/tcp_conn.h"

#include <errno.h>

#define TICK_US 1000u
#define PROBE_SLACK_US (2 * TICK_US)
#define PROBE_ACK_DELAY_US 200000u /* RFC 8985, section 7.2: the peer may delay the acknowledgment of one segment */
#define RESOLVE_LEAST_US 1000u
#define RESOLVE_MOST_US 50000u
#define RESOLVE_GIVE_UP_US 10000000u

static bool watched(const struct tcp_conn *c)
{
	return c->tcp->options.keep_alive_us && c->state >= TCP_ESTABLISHED && c->state != TCP_TIME_WAIT &&
	       !c->given_up;
}

/* Probes are as far apart as a ninth of the silence that calls for them. */
static uint64_t keep_alive_at(const struct tcp_conn *c)
{
	uint64_t idle = c->tcp->options.keep_alive_us;

	return watched(c) ? c->received_at + idle + c->probes * (idle / 9 + TICK_US) : TCP_NEVER;
}

static uint64_t earliest(const struct tcp_conn *c)
{
	uint64_t at = c->send_at < c->ack_at ? c->send_at : c->ack_at, alive = keep_alive_at(c);

	return at < alive ? at : alive;
}

void tcp_timer_arm(struct tcp_conn *c)
{
	uint64_t at = earliest(c), tick = (at + TICK_US - 1) / TICK_US;

	if (at != TCP_NEVER && (!wheel_is_set(&c->timer) || tick < c->timer.tick))
		wheel_set(&c->tcp->wheel, &c->timer, tick);
}

void tcp_timer_send(struct tcp_conn *c, uint64_t at)
{
	c->send_at = at;
	c->waits = TCP_WAITS_TIMEOUT;
	tcp_timer_arm(c);
}

/* --- what is unacknowledged
 *
 * After the retransmission time-out, which is 200 ms at least, everything counts as lost. Often that can be known
 * sooner, where the peer reports what it has (SACK): when something beyond a gap has been reported for a quarter of
 * a round trip (RFC 5827 and, for the delay, RFC 8985, section 6.2), and, by asking once, when nothing at all
 * has come for two of them. */

static uint64_t wait_as(struct tcp_conn *c, enum tcp_waits waits, uint64_t at)
{
	tcp_timer_send(c, at);
	c->waits = waits;
	return at;
}

/* RFC 8985, section 7.2, and also during a recovery. */
static uint64_t probe_at(const struct tcp_conn *c)
{
	uint64_t wait = 2ull * c->rtt.smoothed_us + PROBE_SLACK_US;

	if (!c->sack || c->probed || c->backoff > 0 || c->rtt.smoothed_us == 0 || c->state < TCP_ESTABLISHED)
		return TCP_NEVER;
	if (c->nxt - c->una <= c->mss)
		wait += PROBE_ACK_DELAY_US;
	return wait < tcp_rtt_timeout(&c->rtt, 0) ? c->tcp->now + wait : TCP_NEVER;
}

void tcp_timer_retransmit(struct tcp_conn *c)
{
	uint64_t probe = probe_at(c);

	if (probe != TCP_NEVER)
		wait_as(c, TCP_WAITS_PROBE, probe);
	else /* RFC 6298, (5.1) to (5.3) */
		tcp_timer_send(c, c->tcp->now + tcp_rtt_timeout(&c->rtt, c->backoff));
}

void tcp_timer_sent(struct tcp_conn *c)
{
	uint64_t probe = probe_at(c);

	if (probe != TCP_NEVER && c->waits != TCP_WAITS_DOUBT)
		wait_as(c, TCP_WAITS_PROBE, probe);
}

void tcp_timer_doubt(struct tcp_conn *c)
{
	uint64_t wait = c->rtt.smoothed_us / 4 > TICK_US ? c->rtt.smoothed_us / 4 : TICK_US;

	if (c->waits != TCP_WAITS_DOUBT && c->tcp->now + wait < c->send_at)
		wait_as(c, TCP_WAITS_DOUBT, c->tcp->now + wait);
}

static void doubt_is_over(struct tcp_conn *c)
{
	if (tcp_loss_doubtful(&c->loss)) {
		tcp_loss_by_time(&c->loss, c->una, c->nxt);
		tcp_congested(c);
		c->tcp->counters.fast_recoveries++;
		tcp_conn_output_soon(c);
	}
	tcp_timer_retransmit(c);
}

static void probe(struct tcp_conn *c)
{
	c->probed = true;
	c->tcp->counters.tail_probes++;
	if (c->loss.state == LOSS_OPEN) {
		tcp_send_tail(c); /* if there is no slot, the time-out does it */
	} else {
		tcp_loss_silence(&c->loss);
		tcp_congested_again(c);
		tcp_conn_output_soon(c);
	}
	tcp_timer_retransmit(c);
}

void tcp_resolve_later(struct tcp_conn *c)
{
	c->unresolved = true;
	c->progress_at = c->tcp->now;
	tcp_timer_send(c, c->tcp->now + RESOLVE_LEAST_US);
}

/* Ask again: each time after as long as it has taken so far. */
static void resolve(struct tcp_conn *c)
{
	const struct tcp *t = c->tcp;
	uint64_t waited = t->now - c->progress_at, next = waited < RESOLVE_MOST_US ? waited : RESOLVE_MOST_US;
	int rc = t->options.neighbour(t->options.arg, c->path.destination.byte, c->path.mac_destination);

	if (rc == 0) {
		c->unresolved = false;
		tcp_conn_output_soon(c);
	} else if (rc == -EAGAIN && waited < RESOLVE_GIVE_UP_US) {
		tcp_timer_send(c, t->now + next);
	} else {
		tcp_conn_die(c, rc == -EAGAIN ? -EHOSTUNREACH : rc);
	}
}

/* RFC 9293, section 3.8.3: nothing was acknowledged for the user time-out. */
static bool gives_up(const struct tcp_conn *c)
{
	const struct tcp *t = c->tcp;
	uint64_t most = t->options.user_timeout_us;

	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED)
		return c->backoff > TCP_SYN_RETRIES;
	if (c->given_up) /* nobody waits for the last bytes' success */
		most /= 4;
	/* A peer that keeps its window closed and answers is alive. It may do so for ever, but not to one who
	 * has left. */
	uint64_t since = c->una == c->nxt && !c->given_up ? c->received_at : c->progress_at;
	return t->now - since >= most;
}

/* RFC 6298, (5.4) to (5.7) */
static void retransmit(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	t->counters.timeouts++;
	c->timing = c->tail_again = false;
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED) {
		c->send_syn = true;
	} else {
		tcp_loss_on_timeout(&c->loss, c->una, c->nxt, c->backoff > 0);
		c->cc.ops->timed_out(&c->cc, c->mss, c->nxt - c->una, c->backoff > 0);
	}
	if (c->backoff < UINT8_MAX)
		c->backoff++;
	tcp_timer_send(c, t->now + tcp_rtt_timeout(&c->rtt, c->backoff));
	tcp_conn_output_soon(c);
}

static void persist(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	if (c->backoff < UINT8_MAX)
		c->backoff++;
	tcp_timer_send(c, t->now + tcp_rtt_timeout(&c->rtt, c->backoff));
	tcp_send_probe(c);
	c->override = true; /* a window too small to be worth it is used now (RFC 9293, section 3.8.6.2.1) */
	tcp_conn_output_soon(c);
}

/* The peer may be alive behind a bad network: it should not wait for ever. */
static void time_out(struct tcp_conn *c)
{
	if (c->state != TCP_SYN_SENT)
		tcp_send_own_reset(c);
	tcp_conn_die(c, -ETIMEDOUT);
}

static void send_timer_ran_out(struct tcp_conn *c)
{
	enum tcp_waits waits = (enum tcp_waits)c->waits;

	c->send_at = TCP_NEVER;
	if (c->unresolved)
		resolve(c);
	else if (c->state == TCP_TIME_WAIT || (c->state == TCP_FIN_WAIT_2 && c->given_up))
		tcp_conn_die(c, 0);
	else if (gives_up(c))
		time_out(c);
	else if (c->una != c->nxt && waits == TCP_WAITS_DOUBT)
		doubt_is_over(c);
	else if (c->una != c->nxt && waits == TCP_WAITS_PROBE)
		probe(c);
	else if (c->una != c->nxt)
		retransmit(c);
	else if (c->nxt != tcp_conn_end(c) + c->shut)
		persist(c);
}

static void keep_alive(struct tcp_conn *c)
{
	if (c->probes >= 9) {
		time_out(c);
		return;
	}
	c->probes++;
	tcp_send_probe(c);
}

static void ran_out(struct tcp_conn *c)
{
	uint64_t now = c->tcp->now;

	if (c->ack_at <= now) {
		c->ack_at = TCP_NEVER;
		c->quick = TCP_QUICK; /* no reply came to ride with: the peer should not wait again */
		tcp_data_ack(c, TCP_ACK_NOW);
	}
	if (c->send_at <= now)
		send_timer_ran_out(c);
	if (c->state != TCP_CLOSED && keep_alive_at(c) <= now)
		keep_alive(c);
	if (c->state != TCP_CLOSED)
		tcp_timer_arm(c);
}

void tcp_timers_run(struct tcp *t)
{
	struct wheel_timer *timer;

	wheel_advance(&t->wheel, t->now / TICK_US);
	while ((timer = wheel_due(&t->wheel)))
		ran_out(link_owner(timer, struct tcp_conn, timer));
}

uint64_t tcp_timers_next(const struct tcp *t)
{
	uint64_t tick = wheel_next(&t->wheel);

	return tick == WHEEL_NEVER ? TCP_NEVER : tick * TICK_US;
}
