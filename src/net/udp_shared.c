/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/udp_shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/site.h"
#include "net/udp.h"

#define WAITING 512u /* datagrams a port, a power of two */
#define PACKETS_A_TURN 512

_Static_assert(sizeof(struct udp_peer) <= sizeof(struct paste_peer), "a peer fits");

/*
 * The queue's indices run freely:
 *
 *	 done ──────── first ──────── held ──────── next
 *	       taken          waiting        waiting
 *	  counts before held   with counts   since the last turn of the net: its buffers
 */
struct shared_port {
	struct paste_datagrams base;
	struct udp_shared *shared;
	struct net_address address;
	bool any;
	uint16_t number;
	uint32_t done, first, held, next;
	struct paste_datagrams_stats stats;
	struct paste_datagram queue[WAITING];
};

struct udp_shared {
	struct net *net;
	struct paste_region *region;
	bool alone, came;
	struct shared_port *port[UDP_SHARED_PORTS];
	struct shared_port *taker[NET_BATCH]; /* of the packet with that index */
	uint64_t refused;
};

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static struct paste_datagram *at(struct shared_port *p, uint32_t i)
{
	return &p->queue[i & (WAITING - 1)];
}

/* --- stages of net.h */

static struct shared_port *port_of(struct udp_shared *u, const struct net_address *address, uint16_t number)
{
	struct shared_port *found = NULL;

	/* One with the address goes before one without. */
	for (int i = 0; i < UDP_SHARED_PORTS; i++) {
		struct shared_port *p = u->port[i];
		if (p && p->number == number && (p->any ? !found : net_address_equal(&p->address, address)))
			found = p;
	}
	return found;
}

static enum packet_check shared_prepare(void *arg, struct net_packet *p)
{
	struct udp_shared *u = arg;
	struct packet_options o = {.bare_sums = p->bare_sums};
	enum packet_check bad = packet_udp(p->piece, p->n, &o, &p->head);

	if (!bad) {
		u->taker[p->index] = port_of(u, &p->head.path.destination, p->head.destination_port);
		bad = u->taker[p->index] ? PACKET_ACCEPTED : PACKET_PORT_OTHER;
	}
	u->refused += bad != PACKET_ACCEPTED;
	return bad;
}

static enum packet_check shared_receive(void *arg, struct net_packet *p)
{
	struct udp_shared *u = arg;
	struct shared_port *to = u->taker[p->index];
	struct paste_ref slice[NET_SLICES];
	uint32_t n = net_packet_slices(p, p->head.payload, p->head.payload_length, slice);

	if (n > PASTE_DATAGRAM_SLICES) {
		u->refused++;
		return PACKET_SLICES;
	}
	if (to->next - to->done == WAITING) {
		to->stats.lost++;
		return PACKET_ACCEPTED;
	}
	struct paste_datagram *d = at(to, to->next++);
	struct udp_peer peer = {.port = p->head.source_port, .local_port = p->head.destination_port};
	packet_path_back(&p->head.path, &peer.path);
	memcpy(d->peer.opaque, &peer, sizeof(peer));
	d->length = p->head.payload_length;
	d->cut = false;
	d->n = n;
	memcpy(d->slice, slice, n * sizeof(*slice));
	to->stats.received++;
	to->stats.received_bytes += d->length;
	to->stats.bare_sums += p->head.bare_sum;
	u->came = true;
	return PACKET_ACCEPTED;
}

/* What was taken is over. */
static void forget_taken(struct shared_port *p)
{
	for (; p->done != p->first; p->done++) {
		const struct paste_datagram *d = at(p, p->done);
		for (uint32_t i = 0; before(p->done, p->held) && i < d->n; i++)
			paste_ref_put(p->base.region, d->slice[i]);
	}
	if (before(p->held, p->done))
		p->held = p->done;
}

/* The net is about to give its buffers back: what still waits keeps them. */
static void shared_settle(void *arg)
{
	struct udp_shared *u = arg;

	for (int k = 0; SITE(udp_waiting_kept) && k < UDP_SHARED_PORTS; k++) {
		struct shared_port *p = u->port[k];
		if (!p)
			continue;
		forget_taken(p);
		for (; p->held != p->next; p->held++) {
			const struct paste_datagram *d = at(p, p->held);
			for (uint32_t i = 0; i < d->n; i++)
				paste_ref_get(u->region, d->slice[i]);
		}
	}
}

static bool shared_came(void *arg)
{
	struct udp_shared *u = arg;
	bool came = u->came;

	u->came = false;
	return came;
}

/* --- paste/datagram.h */

static int port_receive(struct paste_datagrams *base, struct paste_datagram *batch, int max)
{
	struct shared_port *p = (struct shared_port *)base;
	int n = 0;

	forget_taken(p);
	if (p->shared->alone && p->first == p->next) {
		int rc = net_receive(p->shared->net, PACKETS_A_TURN, NULL, NULL);
		if (rc < 0)
			return rc;
	}
	while (n < max && p->first != p->next)
		batch[n++] = *at(p, p->first++);
	return n;
}

static int port_send(struct paste_datagrams *base, const struct paste_peer *opaque, const void *bytes,
		     uint32_t length)
{
	struct shared_port *p = (struct shared_port *)base;
	struct net *net = p->shared->net;
	uint32_t mtu = net_port(net)->info.mtu;
	struct udp_peer peer;

	memcpy(&peer, opaque->opaque, sizeof(peer));
	uint32_t header = packet_header_bytes(&peer.path) + 8, link = 14u + 4u * peer.path.tags;
	if (length > net_own_room(net) - header || (mtu && header - link + length > mtu))
		return -EMSGSIZE;
	if (!net_frame_begin(net, 1)) {
		p->stats.blocked++;
		return -EAGAIN;
	}
	uint8_t *frame = net_own(net);
	if (length > 0)
		memcpy(frame + header, bytes, length);
	struct packet_piece payload = {frame + header, length};
	packet_build_udp(frame, &peer.path, peer.local_port, peer.port, &payload, 1, false);
	net_own_end(net, header + length);
	net_frame_end(net);
	p->stats.sent++;
	p->stats.sent_bytes += length;
	return 0;
}

static int port_flush(struct paste_datagrams *base)
{
	return net_flush(((struct shared_port *)base)->shared->net);
}

static int port_fd(struct paste_datagrams *base)
{
	struct paste_port *port = net_port(((struct shared_port *)base)->shared->net);

	return port->ops->fd(port);
}

/* What all ports have in common is counted with the first one. */
static void add_common(const struct udp_shared *u, struct paste_datagrams_stats *stats)
{
	struct paste_port *port = net_port(u->net);

	stats->refused += u->refused;
	for (uint32_t q = 0; u->alone && q < port->info.queues; q++) {
		struct paste_ring_stats in, out;

		port->ops->stats(port, q, &in, &out);
		stats->lost += in.dropped;
		stats->unsent += out.dropped;
	}
}

static bool is_first(const struct shared_port *p)
{
	for (int i = 0; i < UDP_SHARED_PORTS; i++) {
		if (p->shared->port[i])
			return p->shared->port[i] == p;
	}
	return false;
}

static void port_stats(struct paste_datagrams *base, struct paste_datagrams_stats *stats)
{
	const struct shared_port *p = (const struct shared_port *)base;

	*stats = p->stats;
	if (is_first(p))
		add_common(p->shared, stats);
}

static void port_close(struct paste_datagrams *base)
{
	struct shared_port *p = (struct shared_port *)base;

	p->first = p->next;
	forget_taken(p);
	for (int i = 0; i < UDP_SHARED_PORTS; i++) {
		if (p->shared->port[i] == p)
			p->shared->port[i] = NULL;
	}
	free(p);
}

static const struct paste_datagrams_ops port_ops = {
    .receive = port_receive,
    .send = port_send,
    .flush = port_flush,
    .fd = port_fd,
    .stats = port_stats,
    .close = port_close,
};

int udp_shared_port(struct udp_shared *u, const struct net_address *address, uint16_t number,
		    struct paste_datagrams **datagrams, struct paste_error *err)
{
	int place = -1;

	for (int i = 0; i < UDP_SHARED_PORTS; i++) {
		const struct shared_port *p = u->port[i];
		if (!p)
			place = place < 0 ? i : place;
		else if (p->number == number && p->any == !address &&
			 (!address || net_address_equal(&p->address, address)))
			return paste_fail(err, -EEXIST, "UDP port %u is served already", number);
	}
	if (place < 0)
		return paste_fail(err, -ENOSPC, "at most %d UDP ports", UDP_SHARED_PORTS);
	struct shared_port *p = calloc(1, sizeof(*p));
	if (!p)
		return paste_fail(err, -ENOMEM, "out of memory");
	p->base = (struct paste_datagrams){.ops = &port_ops, .region = u->region};
	p->shared = u;
	p->number = number;
	p->any = !address;
	if (address)
		p->address = *address;
	u->port[place] = p;
	*datagrams = &p->base;
	return 0;
}

int udp_shared_open(struct net *net, bool alone, struct udp_shared **shared, struct paste_error *err)
{
	struct udp_shared *u = calloc(1, sizeof(*u));

	if (!u)
		return paste_fail(err, -ENOMEM, "out of memory");
	u->net = net;
	u->region = net_port(net)->region;
	u->alone = alone;
	struct net_handler handler = {.protocol = PACKET_PROTOCOL_UDP,
				      .arg = u,
				      .prepare = shared_prepare,
				      .receive = shared_receive,
				      .settle = shared_settle,
				      .came = shared_came};
	int rc = net_attach(net, &handler);
	if (rc < 0) {
		free(u);
		return paste_fail(err, rc, "UDP is on this port already");
	}
	*shared = u;
	return 0;
}

uint32_t udp_shared_waiting(const struct udp_shared *u)
{
	uint32_t sum = 0;

	for (int i = 0; i < UDP_SHARED_PORTS; i++) {
		if (u->port[i])
			sum += u->port[i]->next - u->port[i]->first;
	}
	return sum;
}

void udp_shared_close(struct udp_shared *u)
{
	if (!u)
		return;
	net_detach(u->net, PACKET_PROTOCOL_UDP);
	free(u);
}
