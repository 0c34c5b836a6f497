/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagram.h - UDP datagrams whose bytes stay in region buffers.
 *
 * One interface over kernel sockets (src/sock, io_uring) and over ports (src/net): take a batch, keep what is
 * to be kept, commit once, answer. A transport is a table of functions; the functions below call through it.
 *
 *	receive ──► a batch, its bytes in region buffers ──► keep or not ──► send ... send ──► flush
 *
 * Ownership. A datagram's bytes are valid until the next receive. To keep them, have the store take a live
 * slice or take a user count (paste_ref_get) before that; to drop them, do nothing. A peer is a copy and may
 * be answered at any time, for instance when what it sent is durable, from the address that it wrote to.
 *
 * Damaged datagrams are dropped and counted. One that is larger than the transport takes is shown as `cut`,
 * without bytes, so that its sender can be told; never in part.
 *
 * One thread uses it, the one that opened it. No call blocks, none but open allocates.
 */
#ifndef PASTE_DATAGRAM_H
#define PASTE_DATAGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "paste/error.h"
#include "paste/ref.h"
#include "paste/region.h"

#define PASTE_DATAGRAM_SLICES 8

/* Who sent it and where to; only its transport knows what is in it. */
struct paste_peer {
	_Alignas(8) uint8_t opaque[80];
};

struct paste_datagram {
	struct paste_peer peer;
	uint32_t length; /* bytes of payload; 0 is a datagram too */
	bool cut;        /* it was larger than the transport takes: its bytes are gone */
	uint32_t n;
	struct paste_ref slice[PASTE_DATAGRAM_SLICES];
};

struct paste_datagrams_stats {
	uint64_t received, received_bytes, sent, sent_bytes;
	uint64_t refused;   /* dropped because a check failed, or a buffer could not hold them */
	uint64_t lost;      /* dropped for want of a buffer or a place in a ring, as far as it is known */
	uint64_t blocked;   /* sends that were told to come again */
	uint64_t unsent;    /* accepted by send, and given up later: no route, no neighbour */
	uint64_t bare_sums; /* received with a pseudo-header's checksum only */
	uint32_t posted;    /* buffers that wait for datagrams now */
};

struct paste_datagrams;

struct paste_datagrams_ops {
	int (*receive)(struct paste_datagrams *d, struct paste_datagram *batch, int max);
	int (*send)(struct paste_datagrams *d, const struct paste_peer *peer, const void *bytes,
		    uint32_t length);
	int (*flush)(struct paste_datagrams *d);
	int (*fd)(struct paste_datagrams *d);
	void (*stats)(struct paste_datagrams *d, struct paste_datagrams_stats *stats);
	void (*close)(struct paste_datagrams *d);
};

/* Transports embed it first. */
struct paste_datagrams {
	const struct paste_datagrams_ops *ops;
	struct paste_region *region;
};

#define PASTE_SOCK_DATAGRAM_SEND 64 /* bytes that sending over kernel sockets takes */

/* Over kernel sockets: "PORT" (all addresses, both families), "ADDRESS:PORT", "[ADDRESS]:PORT"; port 0 lets
 * the system choose. `bound` gets what was bound, one line. Datagrams of up to a buffer less 128 bytes are
 * received. */
int paste_sock_datagrams_open(struct paste_region *region, const char *address,
			      struct paste_datagrams **datagrams, char *bound, size_t bound_size,
			      struct paste_error *err);

/* Give the last batch back and take up to `max` datagrams. Their number, or a negative errno (-ENETDOWN:
 * gone). */
static inline int paste_datagrams_receive(struct paste_datagrams *d, struct paste_datagram *batch, int max)
{
	return d->ops->receive(d, batch, max);
}

/* Queue one datagram; the bytes are copied. -EAGAIN: no room now, nothing was queued. -EMSGSIZE. */
static inline int paste_datagrams_send(struct paste_datagrams *d, const struct paste_peer *peer,
				       const void *bytes, uint32_t length)
{
	return d->ops->send(d, peer, bytes, length);
}

/* Hand what was queued on: one system call for a batch. 0, or a negative errno. */
static inline int paste_datagrams_flush(struct paste_datagrams *d)
{
	return d->ops->flush(d);
}

/* A descriptor that is readable when receive may have something. */
static inline int paste_datagrams_fd(struct paste_datagrams *d)
{
	return d->ops->fd(d);
}

static inline void paste_datagrams_stats(struct paste_datagrams *d, struct paste_datagrams_stats *stats)
{
	d->ops->stats(d, stats);
}

static inline void paste_datagrams_close(struct paste_datagrams *d)
{
	if (d)
		d->ops->close(d);
}

#endif
