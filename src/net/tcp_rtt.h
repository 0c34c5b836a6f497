/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_rtt.h - the smoothed round-trip time and the retransmission time-out (RFC 6298).
 *
 * Who takes the samples keeps Karn's rule: none of a segment that was sent twice, unless a timestamp says
 * which one was answered. Two bounds differ from the RFC's: the lower one is 200 ms instead of its 1 s, as in
 * every stack in use, and the upper one 60 s.
 */
#ifndef NET_TCP_RTT_H
#define NET_TCP_RTT_H

#include <stdint.h>

#define TCP_RTO_FIRST_US 1000000 /* RFC 6298, (2.1) */
#define TCP_RTO_LEAST_US 200000
#define TCP_RTO_MOST_US 60000000

struct tcp_rtt {
	uint32_t smoothed_us; /* 0: there was no sample yet */
	uint32_t variation_us;
	uint32_t rto_us; /* without back-off */
};

void tcp_rtt_init(struct tcp_rtt *r);
void tcp_rtt_sample(struct tcp_rtt *r, uint64_t us);

/* After `backoff` time-outs in a row (5.5). */
uint64_t tcp_rtt_timeout(const struct tcp_rtt *r, uint32_t backoff);

#endif
