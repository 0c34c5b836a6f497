/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp.h - our own TCP over a port, as a transport of paste/stack.h.
 *
 * Received bytes stay in the buffers in which the port put them; what is sent by reference leaves from where
 * it is. The port's other packets are dropped: ARP, neighbour discovery and ICMP are the kernel's
 * (docs/tcp.md).
 *
 * A stack is used by one thread; several may be in one process. Nothing is allocated after opening.
 */
#ifndef PASTE_TCP_H
#define PASTE_TCP_H

#include "paste/port.h"
#include "paste/stack.h"

struct paste_tcp_options {
	struct paste_port *port; /* stays the caller's; close it after the stack. All its queues are used */
	struct paste_stack_limits limits;

	uint32_t receive_window; /* bytes, a connection. 0: 256 KiB, less in a small region */
	uint32_t half_open;      /* passive connections whose handshake is not over. 0: 1024. Beyond it the
				    oldest goes */
	uint32_t time_wait;      /* connections in TIME-WAIT. 0: 16384. Beyond it the oldest goes */
	uint32_t delayed_ack_us; /* an acknowledgment waits so long for a reply to ride with. 0: 40 ms; 1: not
				    at all */
	uint64_t user_timeout_us; /* nothing is acknowledged for so long, a quarter of it once it is closed:
				     the connection is dead. 0: 120 s */
	uint64_t keep_alive_us;   /* silent for so long: ask whether the peer is there. 0: never (RFC 9293,
				     section 3.8.4) */
	uint64_t linger_us;       /* a closed connection waits so long for the peer's FIN. 0: 10 s */
	uint32_t gather_bytes;    /* sent by reference: up to so many bytes a segment are copied behind the
				     headers instead of being sent as fragments. 0: as is faster over this port
				     (its info.gather_bytes) */
	bool nagle;               /* hold back small segments while others are under way (RFC 896) */
	bool any_mac;             /* take frames whatever MAC they were sent to */
	bool bare_sums; /* accept checksums that are only the pseudo-header's sum: the peer is on this
			   machine, and its device would have added the rest */

	/* For paste_stack_connect(): our addresses, 16 bytes each, IPv4 mapped; the peer's family chooses.
	 * All zero: connections of that family cannot be opened. */
	uint8_t address4[16], address6[16];
	uint16_t first_port, last_port; /* to connect from. 0: 49152 to 65535 */
	/* The MAC to send to for an address: the peer's or a router's. 0; -EAGAIN: it is being looked for, ask
	 * again: the connection waits up to 10 s for it; or another negative errno. Called at connect, and
	 * after -EAGAIN in polls. */
	int (*neighbour)(void *arg, const uint8_t address[16], uint8_t mac[6]);
	/* Have packets to this address and port come to the port, or not any more: at listen, unlisten,
	 * connect, and when the connection is gone. NULL: they come in any case. 0 or a negative errno. */
	int (*steer)(void *arg, const struct paste_xdp_rule *rule, bool take);
	/* Microseconds, never going back. NULL: CLOCK_MONOTONIC. */
	uint64_t (*clock)(void *arg);
	void *arg;

	uint64_t seed; /* of secrets, for tests that replay a run. 0: from the kernel */
};

/* -EINVAL, -ENOMEM. */
int paste_tcp_open(struct paste_region *region, const struct paste_tcp_options *options,
		   struct paste_stack **stack, struct paste_error *err);

struct paste_tcp_stats {
	uint64_t segments_received, segments_sent;
	uint64_t retransmitted, timeouts, fast_recoveries;
	uint64_t tail_probes;    /* when nothing came for two round trips (RFC 8985, section 7) */
	uint64_t early;          /* segments beyond a gap, held */
	uint64_t refused_room;   /* segments whose bytes were not taken for want of buffers */
	uint64_t challenge_acks; /* RFC 5961 */
	uint64_t resets_sent, resets_received;
	uint64_t old_timestamps; /* dropped by PAWS, RFC 7323 */
	uint64_t out_of_window;  /* segments of which nothing was acceptable */
	uint64_t bad_acks;       /* of what was never sent, or long ago */
	uint64_t half_open_evicted, time_wait_evicted, syns_dropped;
	uint64_t copied, copied_bytes;     /* received dribbles that were copied together */
	uint64_t gathered, gathered_bytes; /* segments sent by reference that were copied into the frame */
	uint64_t flushes;                  /* syncs of the transmit ring */
	uint64_t refused;                  /* packets that failed a check */
	uint32_t half_open, waiting_time;  /* now */
	uint32_t held_pieces, send_blocks; /* now */
};
void paste_tcp_stats(const struct paste_stack *s, struct paste_tcp_stats *stats);

#endif
