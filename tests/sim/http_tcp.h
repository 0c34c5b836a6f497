/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_tcp.h - the clients' way to the service over our own TCP, on both ends, and the simulated wire.
 *
 *	clients ── stack ── port 1 ═╗                  ╔═ port 0 ── stack ── service
 *	      a region in memory    ╠══ wire, switch ══╣    the region on the simulated medium
 *	           middlebox port 2 ═╝
 *
 * Everything is drawn from the world's seed: the wire loses, doubles, holds back and damages what goes over
 *it, the middlebox cuts it anew. Packets for the service are device writes into the medium's mapping, and a
 *buffer that stands in its receive ring may be written into at any moment. Time goes on to what happens next.
 *
 * A segment that leaves the service's port is what the outside sees (sim_event()), whether it arrives or not.
 * Demanded of each: valid; bytes that leave again, leave as they were. What arrives at a client is what left.
 */
#ifndef TESTS_HTTP_TCP_H
#define TESTS_HTTP_TCP_H

#include "http_world.h"

extern const struct http_transport http_tcp;

#define HTTP_TCP_POSTED 64

/* Where the buffers of the service's receive ring begin in the medium; their number, 0 while there is none.
 */
uint32_t http_tcp_posted(const struct http_world *w, uint64_t offset[HTTP_TCP_POSTED]);

/* Sums over worlds that are still open. */
struct http_tcp_coverage {
	uint64_t segments, retransmitted, early, timeouts, recoveries, copied, resets;
	uint64_t lost, duplicated, reordered, corrupted, refused;
	uint64_t recut, overlaps, lies, closed_windows, peers_retransmitted;
};

void http_tcp_count(const struct http_world *w, struct http_tcp_coverage *sum);

/* The wire becomes perfect, and clients take what they are sent: all that left has arrived some seconds
 * later. False: it has not. */
bool http_tcp_arrives(struct http_world *w);

#endif
