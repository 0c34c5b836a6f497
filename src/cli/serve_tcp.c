/* SPDX-License-Identifier: BSD-2-Clause */
/* pst serve --xdp IFACE --http ADDRESS:PORT: our own TCP on an interface, in place of the kernel's sockets.
 */
#include <errno.h>
#include <string.h>

#include "cli/serve_run.h"
#include "net/address.h"
#include "paste/tcp.h"
#include "port/xdp_interface.h"

/* Keep-alive finds clients that are gone without a word (the service's own time-outs find idle ones). */
#define KEEP_ALIVE_US 60000000ull

static int steer(void *arg, const struct paste_xdp_rule *rule, bool take)
{
	struct serve *o = arg;

	return take ? paste_xdp_take(o->tcp_port, rule) : paste_xdp_leave(o->tcp_port, rule);
}

/* What nobody could reach is refused, as the kernel refuses it to its own sockets. A host that is a name is looked up, and
 * judged, where it is listened on. */
static int check_address(const char *http, struct paste_error *err)
{
	struct net_address address;
	char host[64];
	const char *colon = strrchr(http, ':');
	size_t length = colon ? (size_t)(colon - http) : 0;

	if (length >= 2 && http[0] == '[') {
		http++;
		length -= 2;
	}
	if (length == 0 || length >= sizeof(host))
		return 0;
	memcpy(host, http, length);
	host[length] = 0;
	if (net_address_parse(host, &address) < 0 || xdp_interface_is_local(address.byte))
		return 0;
	return paste_fail(err, -EADDRNOTAVAIL, "%s: no interface here has this address (`ip addr` lists them)", host);
}

int serve_tcp_open(struct serve *o, const struct paste_stack_limits *limits, struct paste_error *err)
{
	struct paste_region *region = paste_store_region(o->store);
	struct paste_xdp_options xdp = {.ifname = o->options.xdp};
	struct xdp_interface interface;
	int rc = xdp_interface_find(o->options.xdp, &interface, err);

	if (rc == 0)
		rc = check_address(o->options.http, err);
	if (rc == 0)
		rc = paste_xdp_open(region, &xdp, &o->tcp_port, err);
	if (rc < 0)
		return rc;
	if (o->trace && (rc = capture_tap(o->trace, o->tcp_port, &o->tcp_tap, err)) < 0)
		return rc;
	struct paste_tcp_options tcp = {
	    .port = o->tcp_tap ? o->tcp_tap : o->tcp_port,
	    .limits = *limits,
	    .keep_alive_us = KEEP_ALIVE_US,
	    .bare_sums = o->options.bare_sums || strcmp(interface.driver, "veth") == 0,
	    .steer = steer,
	    .arg = o,
	};
	return paste_tcp_open(region, &tcp, &o->worker[0].stack, err);
}
