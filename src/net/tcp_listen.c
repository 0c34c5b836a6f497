/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_listen.c - listening and connecting: addresses, the bounded queue of handshakes, ports to connect from.
 */
#include "net/tcp_conn.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

/* --- addresses */

/* Split at the last colon, take the brackets off. */
static int split(const char *text, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;

	if (!colon || !colon[1] || strlen(colon) > 6 ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1) || atoi(colon + 1) > UINT16_MAX)
		return -EINVAL;
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	} else if (memchr(text, ':', length)) {
		return -EINVAL;
	}
	if (length >= size)
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = 0;
	*port = colon + 1;
	return 0;
}

static void from_sockaddr(const struct sockaddr *any, struct net_address *a)
{
	if (any->sa_family == AF_INET)
		*a =
		    net_address4((const uint8_t *)&((const struct sockaddr_in *)(const void *)any)->sin_addr);
	else
		memcpy(a, &((const struct sockaddr_in6 *)(const void *)any)->sin6_addr, sizeof(*a));
}

static int resolve(const char *text, int flags, struct net_address *a, uint16_t *port,
		   struct paste_error *err)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags},
			*found;
	char host[256];
	const char *service;

	if (split(text, host, sizeof(host), &service))
		return paste_fail(err, -EINVAL, "%s: not an address; write HOST:PORT or [IPV6]:PORT", text);
	*port = (uint16_t)atoi(service);
	if (net_address_parse(host, a) == 0)
		return 0;
	int rc = getaddrinfo(host[0] ? host : NULL, service, &hints, &found);
	if (rc)
		return paste_fail(err, -EINVAL, "%s: %s", text, gai_strerror(rc));
	from_sockaddr(found->ai_addr, a);
	freeaddrinfo(found);
	return 0;
}

static int steer(struct tcp *t, const struct net_address *a, uint16_t port, bool take)
{
	struct paste_xdp_rule rule = {.port = port, .protocol = PACKET_PROTOCOL_TCP};

	if (!t->options.steer)
		return 0;
	memcpy(rule.address, a, sizeof(rule.address));
	return t->options.steer(t->options.arg, &rule, take);
}

/* --- listening */

static uint16_t some_port(struct tcp *t)
{
	uint16_t first = t->options.first_port, last = t->options.last_port;

	if (t->next_port < first || t->next_port >= last)
		t->next_port = first;
	else
		t->next_port++;
	return t->next_port;
}

static bool port_is_listened(const struct tcp *t, uint16_t port)
{
	for (uint32_t i = 0; i < t->listeners; i++) {
		if (t->listener[i].port == port)
			return true;
	}
	return false;
}

int tcp_listen(struct paste_stack *base, const char *address, char *bound, size_t bound_size,
	       struct paste_error *err)
{
	static const struct net_address any6, any4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
	struct tcp *t = tcp_of(base);
	struct tcp_listener *l = &t->listener[t->listeners];

	if (t->listeners == TCP_LISTENERS)
		return paste_fail(err, -ENOSPC, "%s: at most %d listening addresses", address, TCP_LISTENERS);
	*l = (struct tcp_listener){.port = 0};
	int rc = resolve(address, AI_PASSIVE, &l->address, &l->port, err);
	if (rc < 0)
		return rc;
	while (l->port == 0 || (l->port >= t->options.first_port && port_is_listened(t, l->port)))
		l->port = some_port(t);
	if (tcp_listens(t, &l->address, l->port))
		return paste_fail(err, -EADDRINUSE, "%s: this stack listens there", address);
	l->any6 = net_address_equal(&l->address, &any6);
	l->any4 = l->any6 || net_address_equal(&l->address, &any4);
	rc = steer(t, &l->address, l->port, true);
	if (rc == 0 && l->any6)
		rc = steer(t, &any4, l->port, true);
	if (rc < 0)
		return paste_fail(err, rc, "%s: its packets cannot be had: %s", address, strerror(-rc));
	if (bound)
		net_endpoint_text(&l->address, l->port, bound, bound_size);
	t->listeners++;
	return 0;
}

void tcp_unlisten(struct paste_stack *base)
{
	struct tcp *t = tcp_of(base);

	/* Packets of connections that there are still have to come: the steering stays. */
	t->listeners = 0;
	while (!link_empty(&t->half_open))
		tcp_conn_die(link_owner(t->half_open.next, struct tcp_conn, list_link), 0);
}

bool tcp_listens(const struct tcp *t, const struct net_address *address, uint16_t port)
{
	for (uint32_t i = 0; i < t->listeners; i++) {
		const struct tcp_listener *l = &t->listener[i];
		if (l->port == port && ((net_address_is4(address) ? l->any4 : l->any6) ||
					net_address_equal(&l->address, address)))
			return true;
	}
	return false;
}

/* Handshakes are many in a flood of SYNs from forged addresses, whose last part never comes: the oldest one
 * is given up for the newest. Those that are established are not touched by that. */
void tcp_syn_received(struct tcp *t, uint32_t hash, const struct net_packet *p, const struct tcp_segment *s)
{
	struct packet_path path;

	if (t->full_n >= t->options.limits.connections) {
		t->counters.syns_dropped++;
		t->stats.refused++;
		return;
	}
	if (t->half_open_n >= t->options.half_open) {
		t->counters.half_open_evicted++;
		tcp_conn_die(link_owner(t->half_open.next, struct tcp_conn, list_link), 0);
	}
	packet_path_back(&p->head.path, &path);
	struct tcp_conn *c = tcp_conn_new(t, &path, s->destination_port, s->source_port);
	if (!c) { /* those that were freed in this turn come back in the next one */
		t->counters.syns_dropped++;
		return;
	}
	c->passive = true;
	c->state = TCP_SYN_RECEIVED;
	c->scales = (uint8_t)(t->window_scale << 4);
	tcp_conn_negotiate(c, s);
	link_append(&t->half_open, &c->list_link);
	t->half_open_n++;
	c->send_syn = true;
	tcp_conn_output_soon(c);
}

/* --- connecting */

static bool in_use(struct tcp *t, const struct packet_path *path, uint16_t local, uint16_t peer)
{
	uint32_t hash = tcp_table_hash(&t->table, &path->source, local, &path->destination, peer), at = hash,
		 i;

	if (port_is_listened(t, local))
		return true;
	while ((i = tcp_table_next(&t->table, hash, &at)) != TCP_TABLE_END) {
		const struct tcp_conn *c = &t->conns[i];
		if (c->local_port == local && c->peer_port == peer &&
		    net_address_equal(&c->path.source, &path->source) &&
		    net_address_equal(&c->path.destination, &path->destination))
			return true;
	}
	return false;
}

static int free_port(struct tcp *t, const struct packet_path *path, uint16_t peer, uint16_t *local)
{
	uint32_t ports = (uint32_t)t->options.last_port - t->options.first_port + 1;

	for (uint32_t i = 0; i < ports; i++) {
		*local = some_port(t);
		if (!in_use(t, path, *local, peer))
			return 0;
	}
	return -EADDRNOTAVAIL;
}

/* A port's packets are steered here while at least one connection has it. */
static int use_port(struct tcp *t, const struct net_address *a, uint16_t port)
{
	if (!t->options.steer || t->port_users[port]++ > 0)
		return 0;
	int rc = steer(t, a, port, true);
	if (rc < 0)
		t->port_users[port]--;
	return rc;
}

void tcp_connect_over(struct tcp_conn *c)
{
	struct tcp *t = c->tcp;

	if (t->options.steer && --t->port_users[c->local_port] == 0)
		steer(t, &c->path.source, c->local_port, false);
}

static int find_path(struct tcp *t, const char *address, struct packet_path *path, uint16_t *port,
		     struct paste_error *err)
{
	int rc = resolve(address, 0, &path->destination, port, err);

	if (rc < 0)
		return rc;
	bool four = net_address_is4(&path->destination);
	memcpy(&path->source, four ? t->options.address4 : t->options.address6, 16);
	if (net_address_kind(&path->source) != NET_UNICAST)
		return paste_fail(err, -EADDRNOTAVAIL, "%s: this stack has no %s address to connect from",
				  address, four ? "IPv4" : "IPv6");
	memcpy(path->mac_source, net_port(t->net)->info.mac, 6);
	rc = t->options.neighbour
		 ? t->options.neighbour(t->options.arg, path->destination.byte, path->mac_destination)
		 : -EHOSTUNREACH;
	if (rc < 0 && rc != -EAGAIN)
		return paste_fail(err, rc, "%s: no way there: %s", address, strerror(-rc));
	return rc;
}

int tcp_connect(struct paste_stack *base, const char *address, struct paste_conn **conn,
		struct paste_error *err)
{
	struct tcp *t = tcp_of(base);
	struct packet_path path = {.tags = 0};
	uint16_t peer, local;

	t->now = t->options.clock(t->options.arg);
	if (t->full_n >= t->options.limits.connections)
		return paste_fail(err, -ENOBUFS, "%s: there are %u connections already", address, t->full_n);
	int rc = find_path(t, address, &path, &peer, err);
	bool resolved = rc == 0;
	if (rc < 0 && rc != -EAGAIN)
		return rc;
	rc = free_port(t, &path, peer, &local);
	if (rc < 0)
		return paste_fail(err, rc, "%s: every port to connect from is in use", address);
	struct tcp_conn *c = tcp_conn_new(t, &path, local, peer);
	if (!c)
		return paste_fail(err, -ENOBUFS, "%s: there are too many connections", address);
	rc = use_port(t, &path.source, local);
	c->state = TCP_SYN_SENT;
	if (rc < 0) {
		c->passive = true; /* it has no port to give back */
		tcp_conn_die(c, 0);
		return paste_fail(err, rc, "%s: packets to port %u cannot be had: %s", address, local,
				  strerror(-rc));
	}
	c->scales = (uint8_t)(t->window_scale << 4);
	c->told = true;
	c->full = true;
	t->full_n++;
	c->send_syn = true;
	if (resolved)
		tcp_conn_output_soon(c);
	else
		tcp_resolve_later(c);
	*conn = &c->base;
	return 0;
}
