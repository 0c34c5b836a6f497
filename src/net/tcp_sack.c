/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tcp_sack.h"

#include <string.h>

#define DUP_THRESH 3u

static uint32_t length(struct tcp_range r)
{
	return r.end - r.start;
}

static void drop(struct tcp_sack *s, uint32_t at, uint32_t n)
{
	memmove(&s->range[at], &s->range[at + n], (s->n - at - n) * sizeof(s->range[0]));
	s->n -= n;
}

uint32_t sack_add(struct tcp_sack *s, struct tcp_range block, uint32_t una, uint32_t nxt)
{
	uint32_t at = 0, merged = 0, had = 0;

	if (seq_upto(block.end, block.start) || seq_upto(block.start, una) || seq_after(block.end, nxt))
		return 0;
	while (at < s->n && seq_before(s->range[at].end, block.start))
		at++;
	/* All ranges that it overlaps or touches become one with it. */
	for (; at + merged < s->n && seq_upto(s->range[at + merged].start, block.end); merged++) {
		had += length(s->range[at + merged]);
		block.start = seq_min(block.start, s->range[at + merged].start);
		block.end = seq_max(block.end, s->range[at + merged].end);
	}
	if (merged == 0) {
		if (s->n == SACK_RANGES)
			return 0;
		memmove(&s->range[at + 1], &s->range[at], (s->n - at) * sizeof(s->range[0]));
		s->n++;
	} else {
		drop(s, at + 1, merged - 1);
	}
	s->range[at] = block;
	s->bytes += length(block) - had;
	return length(block) - had;
}

void sack_acked(struct tcp_sack *s, uint32_t una)
{
	uint32_t gone = 0;

	while (gone < s->n && seq_upto(s->range[gone].end, una))
		s->bytes -= length(s->range[gone++]);
	drop(s, 0, gone);
	if (s->n > 0 && seq_before(s->range[0].start, una)) {
		s->bytes -= una - s->range[0].start;
		s->range[0].start = una;
	}
}

bool sack_hole(const struct tcp_sack *s, uint32_t from, uint32_t end, struct tcp_range *hole)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (seq_before(from, s->range[i].start)) {
			end = seq_min(end, s->range[i].start);
			break;
		}
		from = seq_max(from, s->range[i].end);
	}
	*hole = (struct tcp_range){from, end};
	return seq_before(from, end);
}

uint32_t sack_lost_before(const struct tcp_sack *s, uint32_t una, uint32_t mss)
{
	uint32_t bytes = 0;

	for (uint32_t i = s->n, ranges = 1; i > 0; i--, ranges++) {
		bytes += length(s->range[i - 1]);
		if (ranges >= DUP_THRESH || bytes > (DUP_THRESH - 1) * mss)
			return s->range[i - 1].start;
	}
	return una;
}

uint32_t sack_bytes(const struct tcp_sack *s, uint32_t from, uint32_t end)
{
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t a = seq_max(from, s->range[i].start), b = seq_min(end, s->range[i].end);
		if (seq_before(a, b))
			bytes += b - a;
	}
	return bytes;
}
