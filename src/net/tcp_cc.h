/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_cc.h - congestion control: how many bytes may be under way, as a table of functions.
 *
 * Loss detection (tcp_loss.h) says when something happened; a controller only moves cwnd and ssthresh. It
 * gets the time and reads no clock. All of it is bytes.
 */
#ifndef NET_TCP_CC_H
#define NET_TCP_CC_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_cc {
	const struct tcp_cc_ops *ops;
	uint32_t window;    /* cwnd */
	uint32_t threshold; /* ssthresh */
	uint32_t room[2];   /* the controller's own */
};

struct tcp_cc_ops {
	const char *name;
	void (*init)(struct tcp_cc *cc, uint32_t mss);
	/* `bytes` were acknowledged outside of fast recovery. `limited`: it was the window that held back
	 * more. */
	void (*acked)(struct tcp_cc *cc, uint32_t mss, uint32_t bytes, bool limited, uint64_t now_us);
	/* Fast recovery begins with `flight` bytes under way. */
	void (*lost)(struct tcp_cc *cc, uint32_t mss, uint32_t flight, uint64_t now_us);
	/* It ended. */
	void (*recovered)(struct tcp_cc *cc, uint32_t mss, uint32_t flight);
	/* The retransmission timer ran out; `again`: once more for the same segment. */
	void (*timed_out)(struct tcp_cc *cc, uint32_t mss, uint32_t flight, bool again);
	/* Nothing was sent for a retransmission time-out (RFC 5681, section 4.1). */
	void (*idle)(struct tcp_cc *cc, uint32_t mss);
};

extern const struct tcp_cc_ops tcp_newreno;

#endif
