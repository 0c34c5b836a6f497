/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net.h - the rings of a port, shared by its transports: who gets which packet, and one way out.
 *
 *	                 ┌─ prepare ─ approach ─ receive ─► TCP
 *	receive rings ──►│ batches of 32, parsed
 *	                 └─ prepare ─ approach ─ receive ─► UDP ...
 *	transmit ring ◄── frames, one sync for all of a turn
 *
 * A batch goes through in stages, each over all its packets, so that the cache misses of 32 packets happen
 * side by side: parse IP, prepare (parse the transport header, have the table's line fetched), approach (look
 * up, have the connection fetched), receive.
 *
 * A packet's bytes are valid until the next net_receive(). To keep them take a user count on their buffer
 * (paste_ref_get); the port notices and receives into another one.
 *
 * One thread, all queues of a port; frames leave by queue 0. No call blocks.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "net/packet.h"
#include "paste/port.h"

#define NET_BATCH 32
#define NET_SLICES 16
#define NET_HANDLERS 2
/* Before a frame of ours in its buffer: a back end may put what the device is to know there. */
#define NET_TRANSMIT_OFFSET 64

struct net_packet {
	struct packet head;
	uint32_t index; /* in its batch, below NET_BATCH: for what a transport wants to remember of it */
	uint32_t n;     /* slots */
	bool bare_sums; /* a pseudo-header's sum is good enough for its transport checksum */
	struct packet_piece piece[NET_SLICES];
	struct paste_ref slot[NET_SLICES]; /* the same bytes */
};

/* A transport. Each stage is called for its packets in the order of their arrival. prepare may refuse one,
 * which then goes no further; approach may be NULL.
 */
struct net_handler {
	uint8_t protocol;
	void *arg;
	enum packet_check (*prepare)(void *arg, struct net_packet *p);
	void (*approach)(void *arg, struct net_packet *p);
	enum packet_check (*receive)(void *arg, struct net_packet *p);
	/* The last packets are about to be given back. NULL: never mind. */
	void (*settle)(void *arg);
	/* Has something come since this was last asked that its application does not learn of otherwise? NULL: no.
	 */
	bool (*came)(void *arg);
};

struct net_options {
	struct paste_port *port; /* stays the caller's, and open as long as this is */
	int vlan;                /* as in struct packet_options */
	bool any_mac;            /* do not compare with the port's MAC */
	bool bare_sums;          /* as in struct packet_options; slots that say so are accepted in any case */
};

struct net_stats {
	uint64_t received, received_bytes; /* frames */
	uint64_t sent, sent_bytes;
	uint64_t flushes; /* syncs of the transmit ring */
	uint64_t blocked; /* frames that found the ring full */
	uint64_t refused[PACKET_CHECKS];
};

struct net;

int net_open(const struct net_options *options, struct net **net, struct paste_error *err);
void net_close(struct net *n); /* gives the last batch back */

/* -ENOSPC, -EEXIST: the protocol has one. */
int net_attach(struct net *n, const struct net_handler *handler);
void net_detach(struct net *n, uint8_t protocol);

/* Give the last packets back and work on at most about `most` new ones (whole batches; what is left waits in
 * the ring). Packets worked on, or a negative errno of the port. `stop` is asked between batches: true ends
 * it. */
int net_receive(struct net *n, uint32_t most, bool (*stop)(void *arg), void *arg);

/* Whether a handler says so: the wait for packets is over, whoever waits. */
bool net_came(struct net *n);

uint32_t net_packet_slices_of(const struct net_packet *p, uint32_t at, uint32_t length, struct paste_ref *slices);

/* The payload's part of each slot, from `at` bytes into the frame on; at most NET_SLICES. */
static inline uint32_t net_packet_slices(const struct net_packet *p, uint32_t at, uint32_t length,
					 struct paste_ref *slices)
{
	if (p->n > 1 || length == 0)
		return net_packet_slices_of(p, at, length, slices);
	/* Nearly all packets are in one. */
	slices[0].buffer = p->slot[0].buffer;
	slices[0].offset = (uint16_t)(p->slot[0].offset + at);
	slices[0].length = (uint16_t)length;
	return 1;
}

/*
 * A frame: net_frame_begin(), then its slots in order, each either own bytes or a reference, then
 * net_frame_end(). Own bytes: write up to net_own_room() bytes to net_own(), and say how many with
 * net_own_end(). `slots`: how many it will be at most.
 */
bool net_frame_begin(struct net *n, uint32_t slots); /* false: the ring is full now */
uint8_t *net_own(struct net *n);
uint32_t net_own_room(const struct net *n);
void net_own_end(struct net *n, uint32_t length);
/* A slice that may run on into the next buffer: a slot for each. */
void net_reference(struct net *n, struct paste_ref ref);
/* The port computes the frame's transport checksum. */
void net_frame_checksum(struct net *n, uint32_t start, uint32_t offset);
void net_frame_end(struct net *n);

/* Hand all frames to the port, one sync. 0, or a negative errno of the port. Cheap when there are none. */
int net_flush(struct net *n);

/* Have the port give back what it is done sending: references are held until then. For idle moments. */
void net_reclaim(struct net *n);

/* Slots a frame may have. */
uint32_t net_fragments(const struct net *n);
bool net_offloads(const struct net *n);
struct paste_port *net_port(const struct net *n);
void net_stats(const struct net *n, struct net_stats *stats);

#endif
