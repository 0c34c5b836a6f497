/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load generator's connections over our own TCP, on an interface that AF_XDP takes packets of.
 *
 * The packets land in a region without a name, in shared memory, which is gone with the process.
 */
#include "cli/bench_client_inside.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "media/media.h"
#include "net/neighbour.h"
#include "paste/tcp.h"
#include "port/xdp_interface.h"
#include "region/region.h"

#define EVENTS 512
#define SIGNAL_COOKIE 1
#define CONNECT_NS 10000000000u
#define NEIGHBOUR_NS 3000000000u
#define SEND_CHUNK 65536 /* bytes of a body that are queued at a time */
#define REGION_BYTES (64ull << 20)
#define REGION_BYTES_EACH (32ull << 10) /* a connection */

struct xdp_link {
	struct paste_region *region;
	struct paste_port *port;
	struct paste_stack *stack;
	struct neighbour_way way; /* to the service */
	char address[300];
	uint32_t connecting;
	int error; /* of the first that could not be made */
};

static int region_make(struct xdp_link *x, uint32_t connections, struct paste_error *err)
{
	char path[64];
	struct media_options o = {.path = path, .kind = MEDIA_SHM};
	struct media *m;

	o.size = REGION_BYTES + (connections * REGION_BYTES_EACH + (1 << 20) - 1) / (1 << 20) * (1 << 20);
	snprintf(path, sizeof(path), "/dev/shm/pst-bench-%d", (int)getpid());
	int rc = media_create(&o, &m, err); /* and never published: it has no name */
	if (rc < 0)
		return rc;
	rc = region_format(m, "bench", o.size, 2048, 1, err);
	if (rc == 0)
		rc = region_open(m, &x->region, err);
	if (rc < 0)
		media_close(m);
	else
		region_settle(x->region);
	return rc;
}

static int find_address(const struct client *c, struct net_address *to, struct paste_error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int rc = getaddrinfo(c->options.host, c->options.port, &hints, &found);

	if (rc)
		return paste_fail(err, -EHOSTUNREACH, "cannot find %s: %s", c->options.host,
				  gai_strerror(rc));
	if (found->ai_family == AF_INET)
		*to =
		    net_address4((const uint8_t *)&((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr);
	else
		memcpy(to, &((struct sockaddr_in6 *)(void *)found->ai_addr)->sin6_addr, sizeof(*to));
	freeaddrinfo(found);
	return 0;
}

/* The kernel knows the way, or finds it out. */
static int find_way(struct xdp_link *x, const struct net_address *to, unsigned ifindex,
		    struct paste_error *err)
{
	uint64_t until = client_now() + NEIGHBOUR_NS;
	struct neighbours *n;
	int rc = neighbours_open(&n, err);

	if (rc < 0)
		return rc;
	do {
		rc = neighbour_resolve(n, to, ifindex, (int64_t)(client_now() / 1000), &x->way);
		struct pollfd changed = {.fd = neighbours_fd(n), .events = POLLIN};
		if (rc == -EAGAIN && poll(&changed, 1, 50) > 0)
			neighbours_work(n);
	} while (rc == -EAGAIN && client_now() < until);
	neighbours_close(n);
	return rc < 0 ? paste_fail(err, rc, "no way to the service's host through this interface: %s",
				   strerror(rc == -EAGAIN ? EHOSTUNREACH : -rc))
		      : 0;
}

static int next_hop(void *arg, const uint8_t address[16], uint8_t mac[6])
{
	const struct xdp_link *x = arg;

	memcpy(mac, x->way.mac, 6); /* all connections go to one host */
	return 0;
}

static int steer(void *arg, const struct paste_xdp_rule *rule, bool take)
{
	struct xdp_link *x = arg;

	return take ? paste_xdp_take(x->port, rule) : paste_xdp_leave(x->port, rule);
}

static int stack_make(struct client *c, struct xdp_link *x, struct paste_error *err)
{
	struct paste_xdp_options xdp = {.ifname = c->options.xdp};
	struct xdp_interface interface;
	struct net_address to = {{0}};
	int rc = xdp_interface_find(c->options.xdp, &interface, err);

	if (rc == 0)
		rc = find_address(c, &to, err);
	if (rc == 0)
		rc = find_way(x, &to, interface.index, err);
	if (rc == 0)
		rc = paste_xdp_open(x->region, &xdp, &x->port, err);
	if (rc < 0)
		return rc;
	struct paste_tcp_options tcp = {
	    .port = x->port,
	    .limits = {.connections = c->options.connections + 1024},
	    .bare_sums = strcmp(interface.driver, "veth") == 0,
	    .neighbour = next_hop,
	    .steer = steer,
	    .arg = x,
	};
	memcpy(net_address_is4(&to) ? tcp.address4 : tcp.address6, &x->way.source, 16);
	return paste_tcp_open(x->region, &tcp, &x->stack, err);
}

static int xdp_open(struct client *c, struct paste_error *err)
{
	struct xdp_link *x = calloc(1, sizeof(*x));
	bool v6 = strchr(c->options.host, ':');

	if (!x)
		return paste_fail(err, -ENOMEM, "out of memory");
	c->link = x;
	snprintf(x->address, sizeof(x->address), v6 ? "[%s]:%s" : "%s:%s", c->options.host, c->options.port);
	int rc = region_make(x, c->options.connections, err);
	if (rc == 0)
		rc = stack_make(c, x, err);
	if (rc < 0)
		return rc;
	rc = paste_stack_watch(x->stack, c->signals, SIGNAL_COOKIE);
	return rc < 0 ? paste_fail(err, rc, "cannot wait for signals: %s", strerror(-rc)) : 0;
}

static void xdp_close(struct client *c)
{
	struct xdp_link *x = c->link;

	if (x->stack)
		paste_stack_close(x->stack);
	paste_port_close(x->port);
	if (x->region)
		region_close(x->region);
	free(x);
}

static int xdp_connect(struct client *c, uint32_t index)
{
	struct client_connection *k = &c->connections[index];
	struct xdp_link *x = c->link;
	int rc = paste_stack_connect(x->stack, x->address, &k->conn, NULL);

	if (rc < 0)
		return rc;
	paste_conn_set_user(k->conn, (void *)(uintptr_t)index);
	x->connecting++;
	return 0;
}

static void xdp_drop(struct client *c, struct client_connection *k)
{
	paste_conn_close(k->conn);
	k->conn = NULL;
}

static void xdp_send(struct client *c, uint32_t index)
{
	struct client_connection *k = &c->connections[index];
	const struct client_request *q = &k->request;

	while (k->sent < q->head_length + q->body_length) {
		struct paste_send pieces[2];
		uint64_t body_sent = k->sent > q->head_length ? k->sent - q->head_length : 0;
		uint64_t body = q->body_length - body_sent;
		uint32_t bytes = 0;
		int n = 0;

		if (k->sent < q->head_length) {
			bytes = q->head_length - (uint32_t)k->sent;
			pieces[n++] =
			    (struct paste_send){.inline_bytes = q->head + k->sent, .inline_length = bytes};
		}
		if (body) {
			uint32_t chunk = body < SEND_CHUNK ? (uint32_t)body : SEND_CHUNK;
			pieces[n++] =
			    (struct paste_send){.inline_bytes = q->body + body_sent, .inline_length = chunk};
			bytes += chunk;
		}
		int rc = paste_conn_send(k->conn, pieces, n);
		if (rc == -EAGAIN)
			return; /* WRITABLE says when to go on */
		if (rc < 0) {
			/* What the server still said is read before the connection is given up. */
			if (rc != -EPIPE)
				client_lose(c, index, "sending", -rc);
			return;
		}
		k->sent += bytes;
		c->sent_bytes += bytes;
	}
}

static void receive(struct client *c, uint32_t index, struct paste_ref slice)
{
	struct xdp_link *x = c->link;

	client_received(c, index, (const char *)paste_ref_data(x->region, slice), slice.length);
}

static void handle(struct client *c, const struct paste_event *e)
{
	struct xdp_link *x = c->link;
	uint32_t index = e->conn ? (uint32_t)(uintptr_t)e->conn->user : 0;
	/* Events of a connection that was dropped in this batch may still come. */
	bool ours = e->conn && c->connections[index].conn == e->conn;

	switch (e->type) {
	case PASTE_EVENT_CONNECT:
		x->connecting -= ours;
		break;
	case PASTE_EVENT_DATA:
		if (ours)
			receive(c, index, e->slice);
		paste_ref_put(x->region, e->slice);
		break;
	case PASTE_EVENT_WRITABLE:
		if (ours && c->connections[index].busy)
			xdp_send(c, index);
		break;
	case PASTE_EVENT_EOF:
		if (ours)
			client_ended(c, index);
		break;
	case PASTE_EVENT_ERROR:
		if (!ours)
			break;
		if (!x->error)
			x->error = e->error;
		client_lose(c, index, "the connection", -e->error);
		break;
	case PASTE_EVENT_FD:
		if (e->cookie == SIGNAL_COOKIE)
			client_interrupt(c);
		break;
	case PASTE_EVENT_ACCEPT:
	case PASTE_EVENT_RELEASED:
		break;
	}
}

static int xdp_wait(struct client *c, int wait_ms)
{
	struct paste_event events[EVENTS];
	struct xdp_link *x = c->link;
	int n = paste_stack_poll(x->stack, events, EVENTS, (int64_t)wait_ms * 1000);

	if (n <= 0)
		return n;
	uint64_t woken = client_now();
	for (int i = 0; i < n; i++)
		handle(c, &events[i]);
	c->handling_ns += client_now() - woken;
	return n;
}

static int xdp_settle(struct client *c)
{
	struct xdp_link *x = c->link;
	uint64_t until = client_now() + CONNECT_NS;

	while (x->connecting && !x->error && !c->interrupted) {
		int n = xdp_wait(c, 20);
		if (n < 0)
			return n;
		if (client_now() > until)
			return -ETIMEDOUT;
	}
	return c->interrupted ? -EINTR : x->error;
}

const struct client_transport client_xdp = {
    .open = xdp_open,
    .connect = xdp_connect,
    .settle = xdp_settle,
    .send = xdp_send,
    .wait = xdp_wait,
    .drop = xdp_drop,
    .close = xdp_close,
};
