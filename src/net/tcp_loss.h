/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_loss.h - loss detection and recovery: what is lost, what is still under way, what to send again.
 *
 * With SACK as RFC 6675 says, without as RFC 6582 (NewReno) does, and after a time-out by going back to the
 * first unacknowledged byte and over whatever the peer has not reported. (RACK, RFC 8985, would take this
 * file's place.)
 *
 *	       una          high            lost_before      recover      nxt
 *	────────┬─────────────┬──────────────────┬──────────────┬──────────┬────
 *	 acked  │ sent again  │ lost, to be sent │ not known to │ sent     │
 *	        │             │ again            │ be lost      │ since    │
 *
 *	OPEN      nothing is known to be lost; duplicates are counted
 *	RECOVERY  three duplicates, or reports that amount to them: until `recover` is acknowledged
 *	TIMEOUT   the timer ran out: all that was under way counts as lost, until `recover` is acknowledged
 *
 * A retransmission may be lost, too, and RFC 6675 waits for the timer then. Here the first unacknowledged bytes
 * are lost once more when more than two segments' worth of bytes that left later are reported: new ones, and
 * retransmissions further on, which are made in ascending order. That is another sign of congestion (RFC 5681,
 * section 4.3).
 *
 * Pure: it knows sequence numbers, and neither time nor segments.
 */
#ifndef NET_TCP_LOSS_H
#define NET_TCP_LOSS_H

#include "net/tcp_sack.h"

enum tcp_loss_state { LOSS_OPEN, LOSS_RECOVERY, LOSS_TIMEOUT };

struct tcp_loss {
	struct tcp_sack *board; /* NULL: the peer has reported nothing */
	uint32_t recover;
	uint32_t high;      /* in RECOVERY and TIMEOUT: from here on nothing was sent again */
	uint32_t left;      /* without reports: bytes that left the network, one segment a duplicate; new ones may
			       follow (RFC 3042) */
	uint8_t state;      /* enum tcp_loss_state */
	uint8_t duplicates; /* up to 255 */
	bool rescued : 1;   /* RFC 6675, NextSeg (4): once a recovery */
	bool forced : 1;    /* the first retransmission of a recovery is sent whatever the window says */
	bool again : 1;     /* the first unacknowledged bytes are lost once more */
};

/* What an acknowledgment says. `news`: bytes that its SACK blocks reported and that were not known.
 * `duplicate`: RFC 5681's definition of a duplicate. */
struct tcp_loss_ack {
	uint32_t una, nxt, mss; /* una: as it is now */
	uint32_t acked;         /* bytes that una moved */
	uint32_t news;
	bool duplicate;
};

enum tcp_loss_event {
	LOSS_NOTHING,
	LOSS_ENTERED, /* RECOVERY begins: tell the congestion controller */
	LOSS_AGAIN,   /* a retransmission is lost, too: the same */
	LOSS_LEFT,    /* RECOVERY ended */
	LOSS_OVER,    /* TIMEOUT ended */
};

void tcp_loss_init(struct tcp_loss *l, uint32_t una);
enum tcp_loss_event tcp_loss_on_ack(struct tcp_loss *l, const struct tcp_loss_ack *a);

/* The retransmission timer ran out. `again`: since the last one nothing was acknowledged. */
void tcp_loss_on_timeout(struct tcp_loss *l, uint32_t una, uint32_t nxt, bool again);

/* Bytes that are believed to be in the network ("pipe"). */
uint32_t tcp_loss_pipe(const struct tcp_loss *l, uint32_t una, uint32_t nxt, uint32_t mss);

/* What to send again next, at most a segment: what is lost and was not sent again yet. Its sending is told
 * with tcp_loss_sent(). */
bool tcp_loss_next(const struct tcp_loss *l, uint32_t una, uint32_t nxt, uint32_t mss, struct tcp_range *r);

/* When there is no new data to send: what may be sent again although it is not known to be lost (RFC 6675,
 * NextSeg (3) and (4)). It counts as sent. */
bool tcp_loss_guess(struct tcp_loss *l, uint32_t una, uint32_t nxt, uint32_t mss, struct tcp_range *r);

void tcp_loss_sent(struct tcp_loss *l, uint32_t una, uint32_t nxt, struct tcp_range r);

/* Something is reported beyond the first unacknowledged bytes, but not enough to call them lost: time may tell.
 * It has: RECOVERY begins. */
bool tcp_loss_doubtful(const struct tcp_loss *l);
void tcp_loss_by_time(struct tcp_loss *l, uint32_t una, uint32_t nxt);

/* In RECOVERY or TIMEOUT nothing has come for a while: send the first unacknowledged bytes once more. */
void tcp_loss_silence(struct tcp_loss *l);

#endif
