/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagrams.h - UDP over a kernel socket, inside.
 *
 *	datagrams.c       opening, receiving: io_uring fills buffers of the region
 *	datagrams_send.c  sending: sendmmsg() of what a batch queued
 *
 * One multishot receive takes posted buffers, a whole one for each datagram:
 *
 *	0             16            88           128
 *	├─ io_uring ──┼─ sender ────┼─ control ──┼─ payload ───── ─ ─ ┤
 *
 * so that a payload begins on a cache line. The control part says which of our addresses was written to; the
 * answer leaves from there.
 */
#ifndef SOCK_DATAGRAMS_H
#define SOCK_DATAGRAMS_H

#include <liburing.h>
#include <netinet/in.h>

#include "paste/datagram.h"

#define DATAGRAMS_NAME 72
#define DATAGRAMS_CONTROL 40
#define DATAGRAMS_BEFORE (16 + DATAGRAMS_NAME + DATAGRAMS_CONTROL)
#define DATAGRAMS_POSTED_MOST 1024
#define DATAGRAMS_QUEUE 256 /* sends that one system call may carry */
#define DATAGRAMS_BATCH 256

struct sock_peer {
	struct sockaddr_in6 to; /* or a sockaddr_in, as its family says */
	struct in6_addr from;   /* IPv4 mapped; :: if it is not known */
	uint32_t ifindex;
};

_Static_assert(sizeof(struct sock_peer) <= sizeof(struct paste_peer), "a peer fits");

struct sock_sending {
	struct sockaddr_in6 to;
	_Alignas(struct cmsghdr) uint8_t control[DATAGRAMS_CONTROL];
	uint8_t bytes[PASTE_SOCK_DATAGRAM_SEND];
	struct iovec iov;
};

struct sock_datagrams {
	struct paste_datagrams base;
	struct io_uring ring;
	int fd, family;
	bool armed;          /* the multishot receive is in the kernel */
	struct msghdr shape; /* of what is received */

	struct io_uring_buf_ring *posted_ring;
	uint32_t entries, posted;
	uint32_t buffer[DATAGRAMS_POSTED_MOST]; /* by id */
	uint16_t free_id[DATAGRAMS_POSTED_MOST];
	uint32_t free_ids;
	uint32_t shown[DATAGRAMS_BATCH]; /* buffers of the last batch, a user count on each */
	uint32_t shown_n;

	struct mmsghdr message[DATAGRAMS_QUEUE]; /* queued ones are first .. first + queued - 1 */
	struct sock_sending sending[DATAGRAMS_QUEUE];
	uint32_t queued;

	struct paste_datagrams_stats stats;
};

/* datagrams_send.c */
int datagrams_send(struct paste_datagrams *base, const struct paste_peer *peer, const void *bytes,
		   uint32_t length);
int datagrams_flush(struct paste_datagrams *base);

/* listen.c */
struct addrinfo;
int resolve_address(const char *address, int socktype, struct addrinfo **found, struct paste_error *err);
void address_format(const void *sockaddr, char *text, size_t size);

#endif
