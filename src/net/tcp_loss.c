/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tcp_loss.h"

#define DUP_THRESH 3

static bool reports(const struct tcp_loss *l)
{
	return l->board && l->board->n > 0;
}

void tcp_loss_init(struct tcp_loss *l, uint32_t una)
{
	*l = (struct tcp_loss){.recover = una, .high = una};
}

static uint32_t lost_before(const struct tcp_loss *l, uint32_t una, uint32_t mss)
{
	if (l->state == LOSS_TIMEOUT)
		return l->recover;
	if (reports(l))
		return sack_lost_before(l->board, una, mss);
	/* NewReno: a partial acknowledgment says that the next segment is lost, too. */
	return l->state == LOSS_RECOVERY ? una + mss : una;
}

static bool lost_enough(const struct tcp_loss *l, const struct tcp_loss_ack *a)
{
	if (reports(l))
		return l->duplicates >= DUP_THRESH ||
		       seq_after(sack_lost_before(l->board, a->una, a->mss), a->una);
	return l->duplicates >= DUP_THRESH;
}

static void enter(struct tcp_loss *l, uint32_t una, uint32_t nxt)
{
	l->state = LOSS_RECOVERY;
	l->recover = nxt;
	l->high = una;
	l->rescued = false;
	l->forced = true;
	l->again = false;
}

bool tcp_loss_doubtful(const struct tcp_loss *l)
{
	return l->state == LOSS_OPEN && reports(l);
}

void tcp_loss_by_time(struct tcp_loss *l, uint32_t una, uint32_t nxt)
{
	enter(l, una, nxt);
}

void tcp_loss_silence(struct tcp_loss *l)
{
	l->again = l->forced = true;
}

/* --- retransmissions that are lost, too */

static uint32_t unreported(const struct tcp_loss *l, uint32_t from, uint32_t end)
{
	return seq_before(from, end) ? end - from - sack_bytes(l->board, from, end) : 0;
}

/* From now on reports are counted: of retransmissions from `later` on, and of new bytes. */
static void watch(struct tcp_loss *l, uint32_t later, uint32_t nxt)
{
	struct tcp_sack *b = l->board;

	if (!b)
		return;
	b->later = later;
	b->later_new = nxt;
	b->waited = unreported(l, later, l->high);
	b->watched = true;
}

static bool lost_again(struct tcp_loss *l, const struct tcp_loss_ack *a)
{
	if (l->again || !reports(l) || !seq_before(a->una, l->high))
		return false;
	if (!l->board->watched) /* the first report came behind the retransmission */
		watch(l, a->una + a->mss, a->nxt);
	uint32_t reported = l->board->waited - unreported(l, l->board->later, l->high) +
			    sack_bytes(l->board, l->board->later_new, a->nxt);
	return reported > (DUP_THRESH - 1) * a->mss;
}

static void count_duplicate(struct tcp_loss *l, const struct tcp_loss_ack *a)
{
	if (l->duplicates < UINT8_MAX)
		l->duplicates++;
	if (!reports(l) && l->left + a->mss <= a->nxt - a->una)
		l->left += a->mss;
}

/* RFC 6582, section 3.2, step 3: what was acknowledged was under the ones that had left, but for the segment
 * that was lost. */
static void partial(struct tcp_loss *l, const struct tcp_loss_ack *a)
{
	uint32_t counted = a->acked > a->mss ? a->acked - a->mss : 0;

	l->left = l->left > counted ? l->left - counted : 0;
	if (!reports(l)) {
		l->high = a->una; /* the next hole begins here */
		l->forced = true;
	}
}

enum tcp_loss_event tcp_loss_on_ack(struct tcp_loss *l, const struct tcp_loss_ack *a)
{
	enum tcp_loss_state before = (enum tcp_loss_state)l->state;

	if (seq_before(l->high, a->una))
		l->high = a->una;
	if (l->state != LOSS_OPEN && seq_upto(l->recover, a->una)) {
		l->state = LOSS_OPEN;
		l->duplicates = 0;
		l->left = 0;
		l->forced = l->again = false;
		return before == LOSS_RECOVERY ? LOSS_LEFT : LOSS_OVER;
	}
	if (a->acked > 0) {
		if (l->state == LOSS_RECOVERY)
			partial(l, a);
		else
			l->duplicates = 0;
		if (l->state == LOSS_OPEN)
			l->left = 0;
		l->again = false;
		/* What begins now was sent again before all that is behind it. */
		watch(l, a->una + a->mss, a->nxt);
	}
	if (a->duplicate || a->news > 0)
		count_duplicate(l, a);
	/* A recovery lasts until `recover` is acknowledged, so there is no second one for the same window
	 * (RFC 6582, section 3.2, step 2). */
	if (l->state == LOSS_OPEN && seq_before(a->una, a->nxt) && lost_enough(l, a)) {
		enter(l, a->una, a->nxt);
		return LOSS_ENTERED;
	}
	if (l->state != LOSS_OPEN && lost_again(l, a)) {
		l->again = l->forced = true;
		return LOSS_AGAIN;
	}
	return LOSS_NOTHING;
}

void tcp_loss_on_timeout(struct tcp_loss *l, uint32_t una, uint32_t nxt, bool again)
{
	/* The peer may have thrown away what it reported (RFC 2018, section 8): it has if it reports the
	 * first byte that it does not acknowledge, and it may have if going over its reports did not help. */
	if (l->board && (again || (l->board->n > 0 && l->board->range[0].start == una)))
		sack_clear(l->board);
	l->state = LOSS_TIMEOUT;
	l->recover = nxt;
	l->high = una;
	l->duplicates = 0;
	l->left = 0;
	l->forced = true;
	l->again = false;
}

uint32_t tcp_loss_pipe(const struct tcp_loss *l, uint32_t una, uint32_t nxt, uint32_t mss)
{
	uint32_t flight = nxt - una, reported = l->board ? l->board->bytes : 0;

	if (l->state == LOSS_OPEN)
		return flight - (reported ? reported : l->left < flight ? l->left : flight);

	/* Behind `lost` everything that is not reported is under way; before it, what was sent again is. */
	uint32_t lost = seq_min(seq_max(lost_before(l, una, mss), una), nxt);
	uint32_t again = seq_min(l->high, lost);
	uint32_t pipe = (nxt - lost) + (again - una);
	if (l->board)
		pipe -= sack_bytes(l->board, lost, nxt) + sack_bytes(l->board, una, again);
	if (!reports(l) && l->state == LOSS_RECOVERY)
		pipe -= l->left < pipe ? l->left : pipe;
	return pipe;
}

static bool hole(const struct tcp_loss *l, uint32_t from, uint32_t end, uint32_t mss, struct tcp_range *r)
{
	*r = (struct tcp_range){from, end};
	if (l->board ? !sack_hole(l->board, from, end, r) : !seq_before(from, end))
		return false;
	if (r->end - r->start > mss)
		r->end = r->start + mss;
	return true;
}

bool tcp_loss_next(const struct tcp_loss *l, uint32_t una, uint32_t nxt, uint32_t mss, struct tcp_range *r)
{
	if (l->state == LOSS_OPEN)
		return false;
	if (l->again && hole(l, una, seq_min(una + mss, l->high), mss, r) && r->start == una)
		return true;
	/* In RECOVERY the first segment is lost by definition: three duplicates say so. */
	uint32_t end = seq_min(lost_before(l, una, mss), nxt);
	if (l->forced && seq_upto(end, una))
		end = seq_min(una + mss, nxt);
	return hole(l, seq_max(l->high, una), end, mss, r);
}

bool tcp_loss_guess(struct tcp_loss *l, uint32_t una, uint32_t nxt, uint32_t mss, struct tcp_range *r)
{
	if (l->state != LOSS_RECOVERY || !reports(l))
		return false;
	const struct tcp_range *last = &l->board->range[l->board->n - 1];
	if (hole(l, seq_max(l->high, una), last->start, mss, r)) { /* (3) */
		tcp_loss_sent(l, una, nxt, *r);
		return true;
	}
	/* (4): the end of what was sent, once; it does not count as a retransmission of what is before it */
	if (l->rescued || !seq_before(last->end, l->recover))
		return false;
	l->rescued = true;
	*r = (struct tcp_range){seq_max(last->end, l->recover - mss), l->recover};
	return true;
}

void tcp_loss_sent(struct tcp_loss *l, uint32_t una, uint32_t nxt, struct tcp_range r)
{
	l->high = seq_max(l->high, r.end);
	l->forced = l->again = false;
	if (r.start == una)
		watch(l, l->high, nxt);
	else if (l->board)
		l->board->waited += r.end - r.start;
}
