/* SPDX-License-Identifier: BSD-2-Clause */
/* What `pst serve` is reached by. */
#include "cli/cli.h"
#include "cli/logfmt.h"
#include "cli/serve_run.h"
#include "net/tcp_stack.h"
#include "port/xdp_interface.h"

#include <string.h>
#include <sys/resource.h>

#define OTHER_DESCRIPTORS 64 /* besides those of connections */

/* A descriptor a connection: raise the soft limit as far as it goes. Returns how many connections that
 * allows. */
static uint64_t raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1024 - OTHER_DESCRIPTORS;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > 2 * OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS
						      : OTHER_DESCRIPTORS;
}

static void tell_limit(uint64_t wanted, uint64_t possible)
{
	struct line l;

	line_begin(&l, LINE_WARN, "the limit of open files allows fewer connections (ulimit -Hn)");
	line_number(&l, "wanted", wanted);
	line_number(&l, "possible", possible);
	line_end(&l);
}

void serve_choose_connections(struct serve_options *o)
{
	uint64_t possible = raise_descriptor_limit();

	if (o->http_xdp) /* our own TCP needs none */
		possible = UINT64_MAX;
	if (!o->connections)
		o->connections = possible < 16384 ? possible : 16384;
	else if (o->connections > possible)
		tell_limit(o->connections, possible);
}

/* Connections are spread evenly, so each worker needs room for its part, rounded up; who accepts counts all. */
int serve_open_sockets(struct serve_worker *w, struct paste_error *err)
{
	const struct serve_options *o = &w->serve->options;
	struct paste_stack_limits limits = {.connections = (uint32_t)((o->connections + o->workers - 1) / o->workers),
					    .guard = serve_guard(w)};

	return paste_sock_open(paste_store_region(w->serve->store), &limits, &w->stack, err);
}

int serve_open_transports(struct serve *o, struct paste_error *err)
{
	struct paste_stack_limits limits = {.connections = (uint32_t)o->options.connections};

	if (o->options.trace) {
		int rc = capture_open(o->options.trace, o->options.xdp, 0, &o->trace, err);
		if (rc < 0)
			return rc;
	}
	if (o->options.http_xdp)
		return serve_tcp_open(o, &limits, err);
	return serve_open_sockets(&o->worker[0], err);
}

static int listen_udp(struct serve *o, struct paste_error *err)
{
	struct serve_udp_open open = {
	    .services = o->options.udp,
	    .n = o->options.udp_n,
	    .interface = o->options.xdp,
	    .is_public = o->options.is_public,
	    .bare_sums = o->options.bare_sums,
	    .region = paste_store_region(o->store),
	    .trace = o->trace,
	    .rounds = &o->rounds,
	};

	if (o->options.http_xdp) {
		open.stack_port = o->tcp_port;
		open.stack_net = tcp_net(o->worker[0].stack);
	}
	int rc = serve_udp_open(&o->udp, &open, err);

	/* A loop that never sleeps looks by itself. */
	if (rc == 0 && !o->options.spin && (rc = serve_udp_watch(&o->udp, o->worker[0].stack, SERVE_UDP_COOKIE)) < 0)
		paste_fail(err, rc, "cannot wait for datagrams: %s", strerror(-rc));
	return rc;
}

/* It is served all the same: packets come as soon as the link does. */
static void tell_link(const char *ifname)
{
	struct xdp_interface interface;
	struct paste_error ignored;
	struct line l;
	char hint[80];

	if (xdp_interface_find(ifname, &interface, &ignored) < 0 || interface.carrier)
		return;
	line_begin(&l, LINE_WARN,
		   interface.up ? "the interface has no carrier: nothing arrives until it has"
				: "the interface is down: nothing arrives until it is up");
	line_text(&l, "interface", ifname);
	snprintf(hint, sizeof(hint), "ip link set dev %s up", ifname);
	line_text(&l, "hint", interface.up ? "plug it in, or set the other end up" : hint);
	line_end(&l);
}

int serve_listen(struct serve *o, struct paste_error *err)
{
	int rc = listen_udp(o, err);

	if (rc == 0 && o->options.xdp)
		tell_link(o->options.xdp);
	if (rc < 0 || !o->options.http)
		return rc;
	return paste_stack_listen(o->worker[0].stack, o->options.http, o->bound, sizeof(o->bound), err);
}

static void close_trace(struct serve *o)
{
	struct capture_stats stats;
	struct line l;

	if (!o->trace)
		return;
	capture_close(o->trace, &stats);
	line_begin(&l, stats.error ? LINE_ERROR : stats.dropped ? LINE_WARN : LINE_INFO, "trace closed");
	line_text(&l, "path", o->options.trace);
	line_number(&l, "packets", stats.packets);
	line_number(&l, "left_out", stats.dropped);
	if (stats.error)
		line_text(&l, "error", strerror(-stats.error));
	line_end(&l);
}

void serve_close_transports(struct serve *o)
{
	serve_udp_close(&o->udp);
	if (o->worker[0].stack)
		paste_stack_close(o->worker[0].stack);
	paste_port_close(o->tcp_tap);
	paste_port_close(o->tcp_port);
	close_trace(o);
}
