/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address.h - an IP address, 16 bytes in network order. IPv4 is mapped (::ffff:a.b.c.d; RFC 4291,
 * section 2.5.5.2).
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct net_address {
	uint8_t byte[16];
};

enum net_address_kind {
	NET_UNICAST,
	NET_GROUP,       /* multicast or broadcast */
	NET_UNSPECIFIED, /* 0.0.0.0/8, :: */
	NET_LOOPBACK,    /* 127.0.0.0/8, ::1 */
};

#define NET_ADDRESS_TEXT 64 /* bytes for net_endpoint_text() */

static inline struct net_address net_address4(const uint8_t byte[4])
{
	struct net_address a = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};

	memcpy(&a.byte[12], byte, 4);
	return a;
}

static inline bool net_address_is4(const struct net_address *a)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return memcmp(a->byte, prefix, sizeof(prefix)) == 0;
}

static inline bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* What kind of address it is, by itself (a subnet's broadcast address looks like any other). */
static inline enum net_address_kind net_address_kind4(const uint8_t b[4])
{
	if (b[0] == 0)
		return NET_UNSPECIFIED;
	if (b[0] == 127)
		return NET_LOOPBACK;
	if (b[0] < 224)
		return NET_UNICAST;
	return b[0] < 240 || (b[0] == 255 && b[1] == 255 && b[2] == 255 && b[3] == 255) ? NET_GROUP : NET_UNICAST;
}

enum net_address_kind net_address_kind(const struct net_address *a);

/* "10.0.0.1" or "fe80::1". -EINVAL. */
int net_address_parse(const char *text, struct net_address *a);

/* "10.0.0.1:80" or "[fe80::1]:80". */
void net_endpoint_text(const struct net_address *a, uint16_t port, char *text, size_t size);

#endif
