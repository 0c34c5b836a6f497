/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_middlebox.h"

#include <string.h>

#define REACH 2500 /* bytes to either side that a cut may go beyond its segment */

/* [from, to) of the stream, in a segment like s. */
static struct middlebox_piece *add(struct middlebox *m, const struct packet_path *path,
				   const struct tcp_segment *s, const struct middlebox_stream *stream,
				   uint32_t from, uint32_t to)
{
	if (m->n == MIDDLEBOX_ROOM)
		return NULL;
	struct middlebox_piece *p = &m->piece[m->n++];
	*p = (struct middlebox_piece){.path = *path, .segment = *s};
	p->segment.seq = stream->first + from;
	p->segment.length = to - from;
	p->segment.flags &= (uint8_t)~TCP_FIN;
	memcpy(p->bytes, stream->bytes + from, to - from);
	return p;
}

/* Bytes that were acknowledged come again and say something else; those behind them are true. */
static void lie(struct middlebox *m, const struct packet_path *path, const struct tcp_segment *s,
		const struct middlebox_stream *stream)
{
	uint32_t end = stream->acknowledged;
	uint32_t back = (uint32_t)sim_between(&m->random, 1, end < 600 ? end : 600);
	uint32_t more = (uint32_t)sim_below(&m->random, (stream->n - end < 600 ? stream->n - end : 600) + 1);
	struct middlebox_piece *p = add(m, path, s, stream, end - back, end + more);

	if (!p)
		return;
	sim_fill(&m->random, p->bytes, back);
	m->lies++;
}

static void shuffle(struct middlebox *m, uint32_t from)
{
	for (uint32_t i = m->n; i > from + 1; i--) {
		uint32_t j = from + (uint32_t)sim_below(&m->random, i - from);
		struct middlebox_piece p = m->piece[i - 1];

		m->piece[i - 1] = m->piece[j];
		m->piece[j] = p;
	}
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* All of the segment, and what is beside it, in pieces that each go back into the one before. */
static bool recut(struct middlebox *m, const struct packet_path *path, const struct tcp_segment *s,
		  const struct middlebox_stream *stream)
{
	struct sim_random *r = &m->random;
	uint32_t from = s->seq - stream->first, to = from + s->length, begin = m->n;
	uint32_t left = (uint32_t)sim_below(r, least(from, REACH) + 1);
	uint32_t right = (uint32_t)sim_below(r, least(stream->n - to, REACH) + 1);
	/* Also very short ones: they are copied together where they wait. */
	uint32_t most = sim_chance(r, 4) ? 40 : MIDDLEBOX_PIECE;

	from -= left;
	to += right;
	for (uint32_t at = from; at < to;) {
		uint32_t length = least(to - at, (uint32_t)sim_between(r, 1, most));
		uint32_t back = (uint32_t)sim_below(r, least(at - from, MIDDLEBOX_PIECE - length) + 1);

		if (!add(m, path, s, stream, at - back, at + length)) {
			m->n = begin; /* no room: let the segment itself go */
			return false;
		}
		m->repeats += back > 0;
		m->pieces++;
		at += length;
	}
	if (!sim_chance(r, 3))
		shuffle(m, begin);
	return true;
}

bool middlebox_sees(struct middlebox *m, const struct packet_path *path, const struct tcp_segment *s,
		    const struct middlebox_stream *stream)
{
	bool instead = false;

	if (!m->recut || (s->flags & (TCP_SYN | TCP_RST)))
		return false;
	if (stream->acknowledged && sim_chance(&m->random, 2 * m->recut))
		lie(m, path, s, stream);
	if (sim_chance(&m->random, m->recut))
		instead = recut(m, path, s, stream) && !(s->flags & TCP_FIN) && !sim_chance(&m->random, 3);
	return instead;
}

void middlebox_repeats(struct middlebox *m, const struct packet_path *path, const struct tcp_segment *s)
{
	const struct middlebox_stream nothing = {.bytes = (const uint8_t *)"", .first = s->seq};

	add(m, path, s, &nothing, 0, 0);
}

void middlebox_send(struct middlebox *m)
{
	struct paste_ring *r = &m->port->transmit[0];
	uint32_t i = 0;

	paste_port_sync_transmit(m->port, 0);
	for (; i < m->n && paste_ring_available(r) > 0; i++) {
		const struct middlebox_piece *p = &m->piece[i];
		struct packet_piece payload = {p->bytes, p->segment.length};
		struct paste_slot *slot = paste_ring_slot(r, r->head++);
		uint8_t *at = paste_buffer_data(m->port->region, slot->buffer) + 64;
		uint32_t header = tcp_segment_build(at, &p->path, &p->segment, &payload, 1, false);

		memcpy(at + header, p->bytes, p->segment.length);
		*slot = (struct paste_slot){
		    .buffer = slot->buffer, .offset = 64, .length = (uint16_t)(header + p->segment.length)};
	}
	r->cur = r->head;
	paste_port_sync_transmit(m->port, 0);
	m->n -= i;
	memmove(m->piece, m->piece + i, m->n * sizeof(m->piece[0]));
}
