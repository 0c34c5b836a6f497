/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/udp_datagrams.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* What stands in a paste_peer. */
struct queued_peer {
	struct udp_peer peer;
	uint32_t queue;
};

_Static_assert(sizeof(struct queued_peer) <= sizeof(struct paste_peer), "a peer fits");
_Static_assert(UDP_SLICES <= PASTE_DATAGRAM_SLICES, "a datagram fits");
/* All bytes: it may be written where bytes are declared. */
_Static_assert(_Alignof(struct packet_path) == 1 && offsetof(struct queued_peer, peer.path) == 0, "a path is bytes");

struct udp_datagrams {
	struct paste_datagrams base;
	struct paste_port *port;
	uint32_t turn; /* the queue to begin with */
	struct udp *queue[];
};

/* Written where it stays, without a struct queued_peer that would be copied. */
static void put_peer(struct paste_peer *to, const struct packet *head, uint32_t queue)
{
	uint16_t ports[2] = {head->source_port, head->destination_port};

	packet_path_back(&head->path, (struct packet_path *)(void *)to->opaque);
	memcpy(to->opaque + offsetof(struct queued_peer, peer.port), &ports[0], sizeof(ports[0]));
	memcpy(to->opaque + offsetof(struct queued_peer, peer.local_port), &ports[1], sizeof(ports[1]));
	memcpy(to->opaque + offsetof(struct queued_peer, queue), &queue, sizeof(queue));
}

static int receive_queue(struct udp_datagrams *d, uint32_t queue, struct paste_datagram *batch, int max)
{
	struct udp *u = d->queue[queue];
	int n = 0, rc = udp_sync(u);
	struct packet head;

	if (rc < 0)
		return rc;
	for (; n < max && udp_next(u, &head, batch[n].slice, &batch[n].n); n++) {
		put_peer(&batch[n].peer, &head, queue);
		batch[n].length = head.payload_length;
		batch[n].cut = false;
	}
	return n;
}

static int datagrams_receive(struct paste_datagrams *base, struct paste_datagram *batch, int max)
{
	struct udp_datagrams *d = (struct udp_datagrams *)base;
	uint32_t queues = d->port->info.queues;
	int n = 0;

	/* Every queue is asked, also when the batch is full: asking is what gives its buffers back. */
	for (uint32_t k = 0; k < queues; k++) {
		int got = receive_queue(d, (d->turn + k) % queues, batch + n, max - n);
		if (got < 0)
			return got;
		n += got;
	}
	d->turn++;
	return n;
}

static int datagrams_send(struct paste_datagrams *base, const struct paste_peer *opaque, const void *bytes,
			  uint32_t length)
{
	struct udp_datagrams *d = (struct udp_datagrams *)base;
	struct queued_peer peer;

	memcpy(&peer, opaque->opaque, sizeof(peer));
	return udp_send(d->queue[peer.queue], &peer.peer, bytes, length, NULL, 0);
}

static int datagrams_flush(struct paste_datagrams *base)
{
	struct udp_datagrams *d = (struct udp_datagrams *)base;

	for (uint32_t q = 0; q < d->port->info.queues; q++) {
		int rc = udp_flush(d->queue[q]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int datagrams_fd(struct paste_datagrams *base)
{
	struct udp_datagrams *d = (struct udp_datagrams *)base;

	return d->port->ops->fd(d->port);
}

static void datagrams_stats(struct paste_datagrams *base, struct paste_datagrams_stats *stats)
{
	struct udp_datagrams *d = (struct udp_datagrams *)base;

	*stats = (struct paste_datagrams_stats){0};
	for (uint32_t q = 0; q < d->port->info.queues; q++) {
		struct paste_ring_stats in, out;
		struct udp_stats s;

		udp_stats(d->queue[q], &s);
		d->port->ops->stats(d->port, q, &in, &out);
		stats->received += s.received;
		stats->received_bytes += s.received_bytes;
		stats->sent += s.sent;
		stats->sent_bytes += s.sent_bytes;
		stats->blocked += s.blocked;
		stats->bare_sums += s.bare_sums;
		stats->lost += in.dropped;
		stats->unsent += out.dropped;
		for (int check = 0; check < PACKET_CHECKS; check++)
			stats->refused += s.refused[check];
	}
}

static void datagrams_close(struct paste_datagrams *base)
{
	struct udp_datagrams *d = (struct udp_datagrams *)base;

	for (uint32_t q = 0; q < d->port->info.queues; q++)
		udp_close(d->queue[q]);
	free(d);
}

static const struct paste_datagrams_ops datagrams_ops = {
    .receive = datagrams_receive,
    .send = datagrams_send,
    .flush = datagrams_flush,
    .fd = datagrams_fd,
    .stats = datagrams_stats,
    .close = datagrams_close,
};

int udp_datagrams_open(const struct udp_options *options, struct paste_datagrams **datagrams,
		       struct paste_error *err)
{
	uint32_t queues = options->port->info.queues;
	struct udp_datagrams *d = calloc(1, sizeof(*d) + queues * sizeof(d->queue[0]));

	if (!d)
		return paste_fail(err, -ENOMEM, "out of memory");
	d->base = (struct paste_datagrams){.ops = &datagrams_ops, .region = options->port->region};
	d->port = options->port;
	for (uint32_t q = 0; q < queues; q++) {
		struct udp_options o = *options;
		o.queue = q;
		int rc = udp_open(&o, &d->queue[q], err);
		if (rc < 0) {
			datagrams_close(&d->base);
			return rc;
		}
	}
	*datagrams = &d->base;
	return 0;
}
