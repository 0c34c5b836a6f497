/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "examples.h"

int example_port(struct paste_region *region, const char *interface, const char *udp_port,
		 struct paste_port **port, struct paste_error *err)
{
	char *end;
	unsigned long number = strtoul(udp_port, &end, 10);

	if (*end || number == 0 || number > UINT16_MAX)
		return paste_fail(err, -EINVAL, "%s is no UDP port: 1 to 65535", udp_port);
	/* Every address of the interface, IPv4 and IPv6. */
	struct paste_xdp_rule rules[2] = {
	    {.address = {[10] = 0xff, [11] = 0xff}, .port = (uint16_t)number, .protocol = IPPROTO_UDP},
	    {.port = (uint16_t)number, .protocol = IPPROTO_UDP},
	};
	struct paste_xdp_options options = {.ifname = interface, .queues = 1, .rules = rules, .rules_n = 2};
	return paste_xdp_open(region, &options, port, err);
}
