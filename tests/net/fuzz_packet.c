/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_packet.c - a received packet under libFuzzer: the input is the frame, and how it is cut and looked at.
 *
 * The first two bytes choose the options and where the first slot ends, and whether the checksums are made
 * right, so that what is behind them is reached too. Checked: no memory error; what is accepted lies within
 * the frame; cutting a frame behind its headers makes no difference; an answer to it is accepted by who
 * asked.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "naive.h"
#include "net/packet.h"

#define ROOM 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum packet_check parse(const struct packet_piece *pieces, uint32_t n, const struct packet_options *o,
			       struct packet *p)
{
	enum packet_check bad = packet_parse(pieces, n, o, p);

	return bad ? bad : packet_udp(pieces, n, o, p);
}

static void store16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* As far as a frame can be made right: of untagged IPv4, and of UDP where the parser finds it. */
static void make_right(uint8_t *f, uint32_t n, const struct packet_options *o)
{
	struct packet_piece piece = {f, n};
	struct packet p;

	if (n >= 34 && f[12] == 8 && f[13] == 0) {
		uint32_t header = (f[14] & 15u) * 4;
		if (header >= 20 && 14 + header <= n) {
			store16(f + 24, 0);
			store16(f + 24, (uint16_t)~naive_sum(0, f + 14, header));
		}
	}
	if (packet_parse(&piece, 1, o, &p) || p.protocol != PACKET_PROTOCOL_UDP || p.transport_length < 8)
		return;
	uint8_t *udp = f + p.transport;
	uint32_t length = (uint32_t)udp[4] << 8 | udp[5];
	if (length < 8 || length > p.transport_length)
		return;
	uint8_t rest[4] = {0, 17, udp[4], udp[5]};
	uint16_t sum =
	    naive_sum(naive_sum(naive_sum(0, p.path.source.byte, 16), p.path.destination.byte, 16), rest, 4);
	store16(udp + 6, 0);
	sum = (uint16_t)~naive_sum(sum, udp, length);
	store16(udp + 6, sum ? sum : 0xffff);
}

static void check(bool good)
{
	if (!good)
		abort();
}

static void answer(const struct packet *p)
{
	struct packet_options o = {.mac = p->path.mac_source, .vlan = PACKET_VLAN_ANY};
	uint8_t frame[PACKET_HEADER_MAX + 8 + 5] = {0};
	struct packet_piece payload[2] = {{(const uint8_t *)"abc", 3}, {(const uint8_t *)"de", 2}};
	struct packet_path back;
	struct packet q;

	packet_path_back(&p->path, &back);
	uint32_t header =
	    packet_build_udp(frame, &back, p->destination_port, p->source_port, payload, 2, false);
	memcpy(frame + header, "abcde", 5);
	struct packet_piece piece = {frame, header + 5};
	/* A frame to a MAC that may be anybody's comes from there, so it is no fit source. */
	enum packet_check result = parse(&piece, 1, &o, &q);
	if (memcmp(back.mac_source, "\0\0\0\0\0", 6) == 0) {
		check(result == PACKET_MAC_SOURCE);
		return;
	}
	check(result == PACKET_ACCEPTED);
	check(q.payload_length == 5 && q.source_port == p->destination_port);
	check(net_address_equal(&q.path.destination, &p->path.source));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > ROOM)
		return 0;
	const uint8_t *frame = data + 2;
	uint32_t n = (uint32_t)size - 2, cut = data[1] % (n + 1);
	uint8_t ours[6] = {0};
	struct packet_options o = {
	    .mac = data[0] & 1 ? ours : NULL,
	    .vlan = data[0] & 2 ? PACKET_VLAN_ANY : 0,
	    .bare_sums = data[0] & 4,
	};

	memcpy(ours, frame, n < 6 ? n : 6);
	/* In blocks of their own, so that reading on is noticed. */
	uint8_t *whole = malloc(n), *first = malloc(cut + 1), *second = malloc(n - cut + 1);
	memcpy(whole, frame, n);
	if (data[0] & 8)
		make_right(whole, n, &o);
	memcpy(first + 1, whole, cut);
	memcpy(second + 1, whole + cut, n - cut);
	struct packet_piece one = {whole, n}, two[2] = {{first + 1, cut}, {second + 1, n - cut}};
	struct packet p, q;
	enum packet_check a = parse(&one, 1, &o, &p), b = parse(two, 2, &o, &q);
	check(a != PACKET_HEADERS_SPLIT && packet_check_name(a)[0]);
	check(a == b || b == PACKET_HEADERS_SPLIT);
	if (a == PACKET_ACCEPTED) {
		check(p.payload >= 42 && p.payload <= n && p.payload_length <= n - p.payload);
		check(p.transport + 8u == p.payload && p.transport_length >= p.payload_length + 8);
		check(b == (cut >= p.payload ? PACKET_ACCEPTED : PACKET_HEADERS_SPLIT));
		check(b || (q.payload == p.payload && q.payload_length == p.payload_length));
		answer(&p);
	}
	free(whole);
	free(first);
	free(second);
	return 0;
}
