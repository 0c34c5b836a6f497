/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_newreno.c - slow start, congestion avoidance, and halving (RFC 5681, RFC 6582), with the bytes counted
 * (RFC 3465, L = 2) and an initial window of ten segments (RFC 6928).
 */
#include "net/tcp_cc.h"

#define THRESHOLD_NONE UINT32_MAX

static uint32_t initial(uint32_t mss)
{
	uint32_t least = 2 * mss > 14600 ? 2 * mss : 14600; /* RFC 6928, section 2 */

	return 10 * mss < least ? 10 * mss : least;
}

static uint32_t half(uint32_t flight, uint32_t mss)
{
	return flight / 2 > 2 * mss ? flight / 2 : 2 * mss; /* RFC 5681, (4) */
}

static void newreno_init(struct tcp_cc *cc, uint32_t mss)
{
	cc->window = initial(mss);
	cc->threshold = THRESHOLD_NONE;
	cc->room[0] = 0;
}

static void newreno_acked(struct tcp_cc *cc, uint32_t mss, uint32_t bytes, bool limited, uint64_t now_us)
{
	if (!limited || cc->window > UINT32_MAX / 4)
		return;
	if (cc->window < cc->threshold) {
		cc->window += bytes < 2 * mss ? bytes : 2 * mss;
		return;
	}
	cc->room[0] += bytes; /* a segment more for each window that was acknowledged */
	if (cc->room[0] >= cc->window) {
		cc->room[0] -= cc->window;
		cc->window += mss;
	}
}

static void newreno_lost(struct tcp_cc *cc, uint32_t mss, uint32_t flight, uint64_t now_us)
{
	cc->threshold = half(flight, mss);
	cc->window = cc->threshold;
	cc->room[0] = 0;
}

static void newreno_recovered(struct tcp_cc *cc, uint32_t mss, uint32_t flight)
{
	/* RFC 6582, section 3.2, step 3: no burst of all that was held back. */
	uint32_t now = (flight > mss ? flight : mss) + mss;

	cc->window = now < cc->threshold ? now : cc->threshold;
}

static void newreno_timed_out(struct tcp_cc *cc, uint32_t mss, uint32_t flight, bool again)
{
	if (!again)
		cc->threshold = half(flight, mss);
	cc->window = mss;
	cc->room[0] = 0;
}

static void newreno_idle(struct tcp_cc *cc, uint32_t mss)
{
	if (cc->window > initial(mss))
		cc->window = initial(mss);
}

const struct tcp_cc_ops tcp_newreno = {
    .name = "newreno",
    .init = newreno_init,
    .acked = newreno_acked,
    .lost = newreno_lost,
    .recovered = newreno_recovered,
    .timed_out = newreno_timed_out,
    .idle = newreno_idle,
};
