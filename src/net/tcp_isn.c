/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tcp_isn.h"

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static uint64_t little_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n > 0)
		v = v << 8 | p[--n];
	return v;
}

static void absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t siphash(const uint64_t key[2], const uint8_t *bytes, size_t n)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
			 key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
	size_t at = 0;

	for (; at + 8 <= n; at += 8)
		absorb(v, little_endian(bytes + at, 8));
	absorb(v, (uint64_t)n << 56 | little_endian(bytes + at, n - at));
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct tcp_isn tcp_isn(const uint64_t key[2], uint64_t now_us, const struct net_address *local,
		       uint16_t local_port, const struct net_address *peer, uint16_t peer_port)
{
	uint8_t in[36];

	memcpy(in, local, 16);
	memcpy(in + 16, peer, 16);
	memcpy(in + 32, &local_port, 2);
	memcpy(in + 34, &peer_port, 2);
	uint64_t hash = siphash(key, in, sizeof(in));
	return (struct tcp_isn){(uint32_t)(now_us / 4) + (uint32_t)hash, (uint32_t)(hash >> 32)};
}
