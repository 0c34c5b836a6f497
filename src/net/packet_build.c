/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers to send. */
#include "net/packet.h"

#include <arpa/inet.h>

#include "net/checksum.h"

#define HOP_LIMIT 64 /* RFC 1700 */

static uint8_t *put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

void packet_path_back(const struct packet_path *restrict path, struct packet_path *restrict back)
{
	/* Field by field, as they were written just now: a wider load would wait for the stores (base/copy.h). */
	memcpy(back->mac_source, path->mac_destination, 6);
	memcpy(back->mac_destination, path->mac_source, 6);
	memcpy(back->tag, path->tag, sizeof(back->tag));
	back->tags = path->tags;
	back->traffic_class = 0;
	back->source = path->destination;
	back->destination = path->source;
}

static uint8_t *build_ipv4(uint8_t *p, const struct packet_path *path, uint8_t protocol,
			   uint32_t transport_length)
{
	uint32_t total = 20 + transport_length, source, destination;

	/* Summed from the numbers: the bytes just stored could not be loaded as words without waiting for
	 * them. */
	memcpy(&source, &path->source.byte[12], 4);
	memcpy(&destination, &path->destination.byte[12], 4);
	uint64_t words = (uint64_t)htons((uint16_t)(0x4500 | path->traffic_class)) + htons((uint16_t)total) +
			 htons(0x4000) + htons((uint16_t)(HOP_LIMIT << 8 | protocol));
	uint16_t sum = (uint16_t)~checksum_fold(words + source + destination);
	*p++ = 0x45;
	*p++ = path->traffic_class;
	p = put16(p, total);
	p = put16(p, 0);
	p = put16(p, 0x4000); /* do not fragment */
	*p++ = HOP_LIMIT;
	*p++ = protocol;
	memcpy(p, &sum, 2);
	memcpy(p + 2, &source, 4);
	memcpy(p + 6, &destination, 4);
	return p + 10;
}

static uint8_t *build_ipv6(uint8_t *p, const struct packet_path *path, uint8_t protocol,
			   uint32_t transport_length)
{
	p = put16(p, 0x6000u | (uint32_t)path->traffic_class << 4);
	p = put16(p, 0); /* no flow label */
	p = put16(p, transport_length);
	*p++ = protocol;
	*p++ = HOP_LIMIT;
	memcpy(p, path->source.byte, 16);
	memcpy(p + 16, path->destination.byte, 16);
	return p + 32;
}

uint32_t packet_build_ip(uint8_t *at, const struct packet_path *path, uint8_t protocol,
			 uint32_t transport_length)
{
	bool four = net_address_is4(&path->source);
	uint8_t *p = at;

	memcpy(p, path->mac_destination, 6);
	memcpy(p + 6, path->mac_source, 6);
	memcpy(p + 12, path->tag, sizeof(path->tag)); /* the IP header overwrites those that are none */
	p = put16(p + 12 + 4 * path->tags, four ? 0x0800 : 0x86dd);
	p = (four ? build_ipv4 : build_ipv6)(p, path, protocol, transport_length);
	return (uint32_t)(p - at);
}

uint32_t packet_build_udp(uint8_t *at, const struct packet_path *path, uint16_t source_port,
			  uint16_t destination_port, const struct packet_piece *payload, uint32_t n,
			  bool offload)
{
	uint32_t length = 8;

	for (uint32_t i = 0; i < n; i++)
		length += payload[i].length;
	uint32_t header = packet_build_ip(at, path, PACKET_PROTOCOL_UDP, length);
	uint8_t *h = at + header, *p = put16(put16(put16(h, source_port), destination_port), length);
	put16(p, 0);
	uint64_t sum = packet_pseudo_sum(path, PACKET_PROTOCOL_UDP, length);
	uint16_t field = checksum_fold(sum);
	if (!offload) {
		sum += (uint64_t)htons(source_port) + htons(destination_port) + htons((uint16_t)length) +
		       packet_sum(payload, n, 0, length - 8);
		field = (uint16_t)~checksum_fold(sum);
		if (field == 0)
			field = 0xffff; /* 0 says that there is none */
	}
	memcpy(p, &field, sizeof(field));
	return header + 8;
}
