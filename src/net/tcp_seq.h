/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_seq.h - sequence numbers (RFC 9293, section 3.4): 32 bits that wrap, compared by their distance, which
 * must be below 2^31.
 */
#ifndef NET_TCP_SEQ_H
#define NET_TCP_SEQ_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_range {
	uint32_t start, end; /* [start, end) */
};

static inline bool seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* a <= b */
static inline bool seq_upto(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
	return seq_after(a, b) ? a : b;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
	return seq_before(a, b) ? a : b;
}

/* RFC 9293, section 3.4: some of `length` numbers from seq on lie in a window [next, next + window). `length`
 * counts SYN and FIN. */
static inline bool seq_acceptable(uint32_t seq, uint32_t length, uint32_t next, uint32_t window)
{
	if (length == 0)
		return window == 0 ? seq == next : seq - next < window;
	if (window == 0)
		return false;
	return seq - next < window || seq + length - 1 - next < window;
}

#endif
