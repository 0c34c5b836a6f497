/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/serve_udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/udp_datagrams.h"
#include "port/xdp_interface.h"

#define BUSY_POLL_US 20

/* "9000", "9000:s", "10.0.0.1:9000", "[::1]:9000:s": digits alone before the first colon are a port. */
bool serve_udp_parse(const char *text, struct serve_udp_options *o)
{
	size_t host = 0;
	char *end;

	*o = (struct serve_udp_options){.text = text, .stream = SERVE_UDP_STREAM};
	if (text[0] == '[') {
		const char *close = strchr(text, ']');
		host = close ? (size_t)(close - text) + 1 : 0;
		if (!host || text[host] != ':')
			return false;
	} else if (strspn(text, "0123456789") != strcspn(text, ":")) {
		host = strcspn(text, ":");
	}
	if (host >= sizeof(o->host))
		return false;
	memcpy(o->host, text, host);
	const char *port = host ? text + host + 1 : text;
	if ((host && text[host] != ':') || *port < '0' || *port > '9')
		return false;
	unsigned long number = strtoul(port, &end, 10);
	if (number > UINT16_MAX || (*end && *end != ':'))
		return false;
	o->port = (uint16_t)number;
	if (*end == ':')
		o->stream = end + 1;
	size_t length = strlen(o->stream);
	return length >= 1 && length <= PASTE_KEY_MAX;
}

static void add_bound(struct serve_udp *u, const char *bound)
{
	size_t at = strlen(u->bound);

	snprintf(u->bound + at, sizeof(u->bound) - at, "%s%s", at ? "," : "", bound);
}

static int add_service(struct serve_udp *u, const struct serve_udp_open *o,
		       const struct serve_udp_options *what, struct paste_error *err)
{
	struct udp_service_options options = {
	    .datagrams = u->of[u->n].datagrams, .rounds = o->rounds, .stream = what->stream};
	int rc = udp_service_open(&options, &u->of[u->n].service, err);

	u->n++; /* also on failure: its datagrams are to be closed */
	return rc;
}

static int add_socket(struct serve_udp *u, const struct serve_udp_open *o,
		      const struct serve_udp_options *what, const char *address, struct paste_error *err)
{
	char bound[128];
	int rc =
	    paste_sock_datagrams_open(o->region, address, &u->of[u->n].datagrams, bound, sizeof(bound), err);

	if (rc < 0)
		return rc;
	add_bound(u, bound);
	return add_service(u, o, what, err);
}

static uint16_t bound_port(const struct serve_udp *u)
{
	return (uint16_t)atoi(strrchr(u->bound, ':') + 1);
}

static int open_sockets(struct serve_udp *u, const struct serve_udp_open *o,
			const struct serve_udp_options *what, struct paste_error *err)
{
	char address[sizeof(what->host) + 8];

	if (what->host[0]) {
		snprintf(address, sizeof(address), "%s:%u", what->host, what->port);
		return add_socket(u, o, what, address, err);
	}
	if (o->is_public) {
		snprintf(address, sizeof(address), "%u", what->port);
		return add_socket(u, o, what, address, err);
	}
	snprintf(address, sizeof(address), "127.0.0.1:%u", what->port);
	int rc = add_socket(u, o, what, address, err);
	if (rc < 0)
		return rc;
	/* The same port for both, also where the system chose it; a machine without IPv6 has one loopback
	 * only. */
	snprintf(address, sizeof(address), "[::1]:%u", bound_port(u));
	rc = add_socket(u, o, what, address, err);
	return rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT || rc == -EINVAL ? 0 : rc;
}

/* The rules that steer the service's packets here: one address, or all of both families. */
static int make_rules(const struct serve_udp_options *what, struct paste_xdp_rule rule[2],
		      struct net_address *address, struct paste_error *err)
{
	char host[sizeof(what->host)];
	size_t length = strlen(what->host);

	rule[0] = rule[1] = (struct paste_xdp_rule){.port = what->port, .protocol = IPPROTO_UDP};
	rule[0].address[10] = rule[0].address[11] = 0xff;
	if (!length)
		return 2;
	bool brackets = what->host[0] == '[';
	memcpy(host, what->host + brackets, length - 2 * brackets + 1);
	host[length - 2 * brackets] = 0;
	if (net_address_parse(host, address) < 0)
		return paste_fail(err, -EINVAL,
				  "%s: with --xdp the host is an address: 10.0.0.1 or [fd00::1]", what->text);
	if (!xdp_interface_is_local(address->byte))
		return paste_fail(err, -EADDRNOTAVAIL, "%s: no interface here has this address (`ip addr` lists them)",
				  what->text);
	memcpy(rule[0].address, address->byte, sizeof(rule[0].address));
	return 1;
}

static void tell_bound(struct serve_udp *u, const struct serve_udp_open *o,
		       const struct serve_udp_options *what)
{
	char bound[sizeof(what->host) + 64];

	snprintf(bound, sizeof(bound), "%s%s%s:%u", o->interface, what->host[0] ? "/" : "", what->host,
		 what->port);
	add_bound(u, bound);
}

/* Steered to a service: one rule, or two. */
struct wanted {
	struct paste_xdp_rule rule[2];
	int rules;
	struct net_address address; /* if there is one rule */
};

static int want(const struct serve_udp_open *o, struct wanted *wanted, struct paste_error *err)
{
	for (uint32_t i = 0; i < o->n; i++) {
		struct wanted *w = &wanted[i];

		if (o->services[i].port == 0)
			return paste_fail(err, -EINVAL, "%s: with --xdp the port is 1 to 65535",
					  o->services[i].text);
		w->rules = make_rules(&o->services[i], w->rule, &w->address, err);
		if (w->rules < 0)
			return w->rules;
	}
	return 0;
}

static int open_port(struct serve_udp *u, const struct serve_udp_open *o, const struct wanted *wanted,
		     bool *bare_sums, struct paste_error *err)
{
	struct paste_xdp_rule rule[2 * SERVE_UDP_MOST];
	struct paste_xdp_options xdp = {.ifname = o->interface, .rules = rule};
	struct xdp_interface interface;
	int rc = xdp_interface_find(o->interface, &interface, err);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < o->n; i++) {
		for (int k = 0; k < wanted[i].rules; k++)
			rule[xdp.rules_n++] = wanted[i].rule[k];
	}
	*bare_sums = o->bare_sums || strcmp(interface.driver, "veth") == 0;
	rc = paste_xdp_open(o->region, &xdp, &u->port, err);
	if (rc < 0 || !o->trace)
		return rc;
	return capture_tap(o->trace, u->port, &u->tap, err);
}

/* One service has the rings to itself. */
static int open_alone(struct serve_udp *u, const struct serve_udp_open *o, const struct wanted *wanted,
		      bool bare_sums, struct paste_error *err)
{
	struct udp_options udp = {
	    .port = u->tap ? u->tap : u->port,
	    .udp_port = o->services[0].port,
	    .addresses = &wanted->address,
	    .n_addresses = wanted->rules == 1,
	    .bare_sums = bare_sums,
	};
	int rc = udp_datagrams_open(&udp, &u->of[0].datagrams, err);

	if (rc < 0)
		return rc;
	tell_bound(u, o, &o->services[0]);
	return add_service(u, o, &o->services[0], err);
}

static int open_shared(struct serve_udp *u, const struct serve_udp_open *o, const struct wanted *wanted,
		       struct paste_error *err)
{
	int rc = udp_shared_open(u->net ? u->net : o->stack_net, !u->with_stack, &u->shared, err);

	for (uint32_t i = 0; i < o->n && rc == 0; i++) {
		const struct net_address *address = wanted[i].rules == 1 ? &wanted[i].address : NULL;
		rc = udp_shared_port(u->shared, address, o->services[i].port, &u->of[u->n].datagrams, err);
		if (rc < 0)
			return rc;
		tell_bound(u, o, &o->services[i]);
		rc = add_service(u, o, &o->services[i], err);
	}
	return rc;
}

static int open_with_stack(struct serve_udp *u, const struct serve_udp_open *o, const struct wanted *wanted,
			   struct paste_error *err)
{
	u->with_stack = true;
	int rc = open_shared(u, o, wanted, err);
	for (uint32_t i = 0; i < o->n && rc == 0; i++) {
		for (int k = 0; k < wanted[i].rules && rc == 0; k++) {
			rc = paste_xdp_take(o->stack_port, &wanted[i].rule[k]);
			if (rc < 0)
				paste_fail(err, rc, "%s: cannot be steered here: %s", o->services[i].text,
					   strerror(-rc));
		}
	}
	return rc;
}

static int open_interface(struct serve_udp *u, const struct serve_udp_open *o, struct paste_error *err)
{
	struct wanted wanted[SERVE_UDP_MOST];
	struct net_options net = {.port = NULL};
	int rc = want(o, wanted, err);

	if (rc < 0)
		return rc;
	if (o->stack_net)
		return open_with_stack(u, o, wanted, err);
	rc = open_port(u, o, wanted, &net.bare_sums, err);
	if (rc < 0)
		return rc;
	if (o->n == 1)
		return open_alone(u, o, wanted, net.bare_sums, err);
	net.port = u->tap ? u->tap : u->port;
	rc = net_open(&net, &u->net, err);
	return rc < 0 ? rc : open_shared(u, o, wanted, err);
}

int serve_udp_open(struct serve_udp *u, const struct serve_udp_open *o, struct paste_error *err)
{
	int rc = 0;

	*u = (struct serve_udp){.n = 0};
	if (o->interface)
		return o->n ? open_interface(u, o, err) : 0;
	for (uint32_t i = 0; i < o->n && rc == 0; i++)
		rc = open_sockets(u, o, &o->services[i], err);
	return rc;
}

void serve_udp_close(struct serve_udp *u)
{
	for (uint32_t i = 0; i < sizeof(u->of) / sizeof(u->of[0]); i++) {
		udp_service_close(u->of[i].service);
		paste_datagrams_close(u->of[i].datagrams);
	}
	udp_shared_close(u->shared);
	net_close(u->net);
	paste_port_close(u->tap);
	paste_port_close(u->port);
	*u = (struct serve_udp){.n = 0};
}

int serve_udp_watch(struct serve_udp *u, struct paste_stack *stack, uint64_t cookie)
{
	/* Those that share a port have one descriptor, and the stack's own is waited for in any case. */
	uint32_t n = u->with_stack ? 0 : u->shared ? 1 : u->n;
	int rc = 0;

	for (uint32_t i = 0; i < n && rc == 0; i++)
		rc = paste_stack_watch(stack, paste_datagrams_fd(u->of[i].datagrams), cookie);
	return rc;
}

static int take_once(struct serve_udp *u)
{
	int sum = 0;

	for (uint32_t i = 0; i < u->n; i++) {
		int n = udp_service_take(u->of[i].service);
		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

bool serve_udp_waits(const struct serve_udp *u)
{
	return u->shared && udp_shared_waiting(u->shared) > 0;
}

/* What one of several services received for another is taken in the same turn, as is more than a batch. */
#define TAKES_A_TURN 8

int serve_udp_take(struct serve_udp *u)
{
	int sum = take_once(u);

	for (int i = 1; i < TAKES_A_TURN && sum >= 0 && serve_udp_waits(u); i++) {
		int n = take_once(u);
		sum = n < 0 ? n : sum + n;
	}
	return sum;
}

int serve_udp_answer(struct serve_udp *u)
{
	int soon = 0;

	for (uint32_t i = 0; i < u->n; i++) {
		int rc = udp_service_answer(u->of[i].service);
		if (rc < 0)
			return rc;
		soon |= rc;
	}
	return soon;
}

void serve_udp_drain(struct serve_udp *u)
{
	for (uint32_t i = 0; i < u->n; i++)
		udp_service_drain(u->of[i].service);
}

bool serve_udp_is_drained(const struct serve_udp *u)
{
	for (uint32_t i = 0; i < u->n; i++) {
		struct udp_service_stats stats;

		udp_service_stats(u->of[i].service, &stats);
		if (stats.waiting)
			return false;
	}
	return true;
}

void serve_udp_stats(const struct serve_udp *u, struct udp_service_stats *service,
		     struct paste_datagrams_stats *wire)
{
	*service = (struct udp_service_stats){0};
	*wire = (struct paste_datagrams_stats){0};
	for (uint32_t i = 0; i < u->n; i++) {
		struct udp_service_stats s;
		struct paste_datagrams_stats w;

		udp_service_stats(u->of[i].service, &s);
		service->kept += s.kept;
		service->kept_bytes += s.kept_bytes;
		service->refused += s.refused;
		service->answered += s.answered;
		service->paused += s.paused;
		service->unanswered += s.unanswered;
		service->waiting += s.waiting;
		paste_datagrams_stats(u->of[i].datagrams, &w);
		wire->received += w.received;
		wire->received_bytes += w.received_bytes;
		wire->sent += w.sent;
		wire->sent_bytes += w.sent_bytes;
		wire->refused += w.refused;
		wire->lost += w.lost;
		wire->blocked += w.blocked;
		wire->unsent += w.unsent;
		wire->bare_sums += w.bare_sums;
		wire->posted += w.posted;
	}
}

void serve_udp_metrics(void *arg, FILE *out)
{
	const struct serve_udp *u = arg;
	struct udp_service_stats service;
	struct paste_datagrams_stats wire;

	if (!u->n)
		return;
	serve_udp_stats(u, &service, &wire);
	udp_service_metrics(out, &service, &wire);
}
