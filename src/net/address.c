/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

enum net_address_kind net_address_kind(const struct net_address *a)
{
	static const uint8_t zero[15];

	if (net_address_is4(a))
		return net_address_kind4(&a->byte[12]);
	if (a->byte[0] == 0xff)
		return NET_GROUP;
	if (a->byte[0] != 0 || memcmp(a->byte, zero, sizeof(zero)) != 0 || a->byte[15] > 1)
		return NET_UNICAST;
	return a->byte[15] == 1 ? NET_LOOPBACK : NET_UNSPECIFIED;
}

int net_address_parse(const char *text, struct net_address *a)
{
	uint8_t four[4];

	if (inet_pton(AF_INET, text, four) == 1) {
		*a = net_address4(four);
		return 0;
	}
	return inet_pton(AF_INET6, text, a->byte) == 1 ? 0 : -EINVAL;
}

void net_endpoint_text(const struct net_address *a, uint16_t port, char *text, size_t size)
{
	char number[INET6_ADDRSTRLEN];

	if (net_address_is4(a)) {
		inet_ntop(AF_INET, &a->byte[12], number, sizeof(number));
		snprintf(text, size, "%s:%u", number, port);
	} else {
		inet_ntop(AF_INET6, a->byte, number, sizeof(number));
		snprintf(text, size, "[%s]:%u", number, port);
	}
}
