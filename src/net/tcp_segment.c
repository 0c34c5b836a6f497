/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tcp_segment.h"

#include <arpa/inet.h>

#include "net/checksum.h"

enum option { END = 0, NOTHING = 1, MSS = 2, SCALE = 3, SACK_PERMITTED = 4, SACK = 5, TIMESTAMPS = 8 };

/* Two words that say: nothing, nothing, timestamps of 10 bytes. Nearly every segment has them so. */
#define ALIGNED_TIMESTAMPS 0x0101080au

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

/* --- receiving */

static void option_timestamps(struct tcp_segment *s, const uint8_t *value)
{
	s->timestamps = true;
	s->ts_value = get32(value);
	s->ts_echo = get32(value + 4);
}

static void option_sack(struct tcp_segment *s, const uint8_t *value, uint32_t length)
{
	for (; length >= 8 && s->sacks < TCP_SACKS; value += 8, length -= 8)
		s->sack[s->sacks++] = (struct tcp_range){get32(value), get32(value + 4)};
}

static void option(struct tcp_segment *s, uint8_t kind, const uint8_t *value, uint32_t length)
{
	bool syn = s->flags & TCP_SYN;

	if (kind == TIMESTAMPS && length == 8)
		option_timestamps(s, value);
	else if (kind == SACK && length % 8 == 0)
		option_sack(s, value, length);
	else if (kind == MSS && length == 2 && syn)
		s->mss = get16(value);
	else if (kind == SCALE && length == 1 && syn)
		s->scale = value[0] < TCP_SCALE_MAX ? value[0] : TCP_SCALE_MAX;
	else if (kind == SACK_PERMITTED && length == 0 && syn)
		s->sack_permitted = true;
}

static void options(struct tcp_segment *s, const uint8_t *p, uint32_t left)
{
	if (left == TCP_TIMESTAMPS && get32(p) == ALIGNED_TIMESTAMPS) {
		option_timestamps(s, p + 4);
		return;
	}
	while (left > 0 && p[0] != END) {
		if (p[0] == NOTHING) {
			p++;
			left--;
			continue;
		}
		if (left < 2 || p[1] < 2 || p[1] > left)
			return;
		option(s, p[0], p + 2, p[1] - 2u);
		left -= p[1];
		p += p[1];
	}
}

static enum packet_check verify(const struct packet_piece *pieces, uint32_t n, bool bare_sums,
				const uint8_t *header, struct packet *p)
{
	uint64_t pseudo = packet_pseudo_sum(&p->path, PACKET_PROTOCOL_TCP, p->transport_length);
	uint64_t sum = n == 1 ? checksum_add(pseudo, header, p->transport_length)
			      : pseudo + packet_sum(pieces, n, p->transport, p->transport_length);
	uint16_t field;

	if (checksum_fold(sum) == 0xffff)
		return PACKET_ACCEPTED;
	memcpy(&field, header + 16, sizeof(field));
	if (!bare_sums || field != checksum_fold(pseudo))
		return PACKET_TCP_CHECKSUM;
	p->bare_sum = true;
	return PACKET_ACCEPTED;
}

enum packet_check tcp_segment_parse(const struct packet_piece *pieces, uint32_t n, bool bare_sums,
				    struct packet *p, struct tcp_segment *s)
{
	if (p->protocol != PACKET_PROTOCOL_TCP)
		return PACKET_PROTOCOL_OTHER;
	if (p->transport_length < TCP_HEADER)
		return PACKET_TCP_SHORT;
	if (pieces[0].length < (uint32_t)p->transport + TCP_HEADER)
		return PACKET_HEADERS_SPLIT;
	const uint8_t *h = pieces[0].bytes + p->transport;
	uint32_t header = (h[12] >> 4) * 4u;
	if (header < TCP_HEADER || header > p->transport_length)
		return PACKET_TCP_OFFSET;
	if (pieces[0].length < p->transport + header)
		return PACKET_HEADERS_SPLIT;
	enum packet_check bad = verify(pieces, n, bare_sums, h, p);
	if (bad)
		return bad;
	s->source_port = p->source_port = get16(h);
	s->destination_port = p->destination_port = get16(h + 2);
	s->seq = get32(h + 4);
	s->ack = get32(h + 8);
	s->flags = h[13];
	s->window = get16(h + 14);
	s->payload = p->payload = p->transport + header;
	s->length = p->payload_length = p->transport_length - header;
	s->mss = 0;
	s->scale = TCP_SCALE_NONE;
	s->sacks = 0;
	s->timestamps = s->sack_permitted = false;
	if (header > TCP_HEADER)
		options(s, h + TCP_HEADER, header - TCP_HEADER);
	return PACKET_ACCEPTED;
}

/* --- sending */

uint32_t tcp_segment_header(const struct tcp_segment *s)
{
	return TCP_HEADER + (s->mss ? 4u : 0u) + (s->scale != TCP_SCALE_NONE ? 4u : 0u) +
	       (s->sack_permitted ? 4u : 0u) + (s->timestamps ? TCP_TIMESTAMPS : 0u) +
	       (s->sacks ? 4u + 8u * s->sacks : 0u);
}

/* The header in words of host order; their number. */
static uint32_t words(uint32_t *w, const struct tcp_segment *s, uint32_t header)
{
	uint32_t n = 5;

	w[0] = (uint32_t)s->source_port << 16 | s->destination_port;
	w[1] = s->seq;
	w[2] = s->ack;
	w[3] = header / 4 << 28 | (uint32_t)s->flags << 16 | s->window;
	w[4] = 0;
	if (s->mss)
		w[n++] = MSS << 24 | 4 << 16 | s->mss;
	if (s->sack_permitted)
		w[n++] = NOTHING << 24 | NOTHING << 16 | SACK_PERMITTED << 8 | 2;
	if (s->scale != TCP_SCALE_NONE)
		w[n++] = NOTHING << 24 | SCALE << 16 | 3 << 8 | s->scale;
	if (s->timestamps) {
		w[n++] = ALIGNED_TIMESTAMPS;
		w[n++] = s->ts_value;
		w[n++] = s->ts_echo;
	}
	if (s->sacks) {
		w[n++] = NOTHING << 24 | NOTHING << 16 | SACK << 8 | (2u + 8u * s->sacks);
		for (uint32_t i = 0; i < s->sacks; i++) {
			w[n++] = s->sack[i].start;
			w[n++] = s->sack[i].end;
		}
	}
	return n;
}

uint32_t tcp_segment_build(uint8_t *at, const struct packet_path *path, const struct tcp_segment *s,
			   const struct packet_piece *payload, uint32_t n, bool offload)
{
	uint32_t w[TCP_HEADER_MAX / 4], header = tcp_segment_header(s);
	uint32_t ip = packet_build_ip(at, path, PACKET_PROTOCOL_TCP, header + s->length);
	uint64_t sum = packet_pseudo_sum(path, PACKET_PROTOCOL_TCP, header + s->length);
	uint16_t field = checksum_fold(sum);
	uint32_t count = words(w, s, header);

	/* Summed from the words: bytes just stored could not be loaded again without waiting for them. */
	for (uint32_t i = 0; i < count; i++) {
		w[i] = htonl(w[i]);
		sum += w[i];
	}
	if (!offload) {
		if (n == 1)
			sum = checksum_add(sum, payload[0].bytes, payload[0].length);
		else if (n > 1)
			sum += packet_sum(payload, n, 0, s->length);
		field = (uint16_t)~checksum_fold(sum);
	}
	memcpy(at + ip, w, header);
	memcpy(at + ip + 16, &field, sizeof(field));
	return ip + header;
}
