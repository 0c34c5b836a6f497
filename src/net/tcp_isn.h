/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_isn.h - initial sequence numbers that cannot be guessed (RFC 6528): a clock of 4 us plus a keyed hash
 * of addresses and ports (SipHash-2-4). So a new connection between the same ports begins above the old one,
 * and nobody who does not see our segments can make one that we accept.
 *
 * The clock of timestamps gets an offset a connection from the same hash (RFC 7323, section 5.4): otherwise
 * the time since this host started could be read from them.
 */
#ifndef NET_TCP_ISN_H
#define NET_TCP_ISN_H

#include "net/address.h"

struct tcp_isn {
	uint32_t sequence;
	uint32_t timestamp_offset;
};

uint64_t siphash(const uint64_t key[2], const uint8_t *bytes, size_t n);

struct tcp_isn tcp_isn(const uint64_t key[2], uint64_t now_us, const struct net_address *local,
		       uint16_t local_port, const struct net_address *peer, uint16_t peer_port);

#endif
