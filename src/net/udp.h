/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp.h - datagrams over a port: received where they lie, answered to the MAC that asked.
 *
 *	udp_receive ──► a batch of datagrams, their bytes in region buffers ──► keep or not ──► udp_send ...
 *udp_flush
 *
 * A datagram's bytes are valid until the next udp_receive(). To keep them, have the store take a live slice
 *or take a user count (paste_ref_get) before that: the port notices and receives into another buffer. To drop
 *them, do nothing. A peer is a copy and may be answered at any time, for instance when what it sent is
 *durable.
 *
 * What is not for us or fails a check (packet.h) is dropped and counted under the check's name. Nothing is
 *sent on our own account: no ARP, no neighbour discovery, no ICMP; those stay with the kernel. Only who asked
 *can be answered; the way to others is neighbour.h's.
 *
 * One thread, one queue of a port. No call blocks.
 */
#ifndef NET_UDP_H
#define NET_UDP_H

#include "net/packet.h"
#include "paste/port.h"

#define UDP_SLICES 8

struct udp_options {
	struct paste_port *port; /* stays the caller's, and open as long as the endpoint */
	uint32_t queue;
	uint16_t udp_port;                   /* ours */
	const struct net_address *addresses; /* ours, `n_addresses` of them; 0: any. Copied. */
	uint32_t n_addresses;
	int vlan;       /* as in struct packet_options */
	bool any_mac;   /* do not compare with the port's MAC (a bond, a bridge, a promiscuous recorder) */
	bool bare_sums; /* as in struct packet_options; slots that say so are accepted in any case */
	bool offload;   /* leave checksums of payload sent by reference to the port, if it can */
	uint32_t
	    gather_bytes; /* payload by reference up to so many bytes is copied behind its headers instead of
			     being sent as fragments; everything is where a port has no fragments */
};

struct udp_peer {
	struct packet_path path; /* from us to it */
	uint16_t port, local_port;
};

struct udp_datagram {
	struct udp_peer peer;
	uint32_t length; /* bytes of payload; 0 is a datagram too */
	uint32_t n;
	struct paste_ref slice[UDP_SLICES];
};

struct udp_stats {
	uint64_t received, received_bytes, sent, sent_bytes;
	uint64_t bare_sums;                /* accepted with a pseudo-header's sum only */
	uint64_t blocked;                  /* sends refused because the transmit ring was full */
	uint64_t gathered, gathered_bytes; /* payload by reference that was copied */
	uint64_t refused[PACKET_CHECKS];
};

struct udp;

/* -ENOMEM, -EINVAL: no such queue. */
int udp_open(const struct udp_options *options, struct udp **udp, struct paste_error *err);
void udp_close(struct udp *u); /* gives the last batch back */

/* Give what was taken back, and see what has come. 0, or a negative errno of the port. */
int udp_sync(struct udp *u);

/* Take the next datagram that is accepted, of those that the last udp_sync() saw: its headers, and its payload in *n slices.
 * False: there is none. */
bool udp_next(struct udp *u, struct packet *head, struct paste_ref slice[UDP_SLICES], uint32_t *n);

/* Both: give the last batch back and take up to `max` datagrams. Their number, or a negative errno of the port. */
int udp_receive(struct udp *u, struct udp_datagram *datagrams, int max);

/*
 * Queue one datagram: `length` bytes, copied now, then the slices. The port takes its own user counts on
 * their buffers. -EAGAIN: the ring is full, nothing was queued. -EMSGSIZE: larger than the interface's MTU,
 * than what a slot or a packet's slots hold.
 */
int udp_send(struct udp *u, const struct udp_peer *peer, const void *bytes, uint32_t length,
	     const struct paste_ref *slices, uint32_t n);

/* Hand what was queued to the port: one sync for a batch. 0, or a negative errno of the port. */
int udp_flush(struct udp *u);

void udp_stats(const struct udp *u, struct udp_stats *stats);

#endif
