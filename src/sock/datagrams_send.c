/* SPDX-License-Identifier: BSD-2-Clause */
/* Sending datagrams over a kernel socket: queued one by one, sent by one call. */
#include "sock/datagrams.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* The address that the peer wrote to, where the socket is bound to all of them. */
static void put_source(struct msghdr *m, uint8_t *control, const struct sock_peer *peer)
{
	struct in6_pktinfo info = {.ipi6_addr = peer->from};

	/* A link-local address means something on its link only. */
	if (IN6_IS_ADDR_LINKLOCAL(&peer->from))
		info.ipi6_ifindex = peer->ifindex;
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(sizeof(info));
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
}

int datagrams_send(struct paste_datagrams *base, const struct paste_peer *opaque, const void *bytes,
		   uint32_t length)
{
	struct sock_datagrams *d = (struct sock_datagrams *)base;
	const struct sock_peer *peer = (const struct sock_peer *)opaque->opaque;

	if (length > PASTE_SOCK_DATAGRAM_SEND)
		return -EMSGSIZE;
	if (d->queued == DATAGRAMS_QUEUE)
		datagrams_flush(base);
	if (d->queued == DATAGRAMS_QUEUE) {
		d->stats.blocked++;
		return -EAGAIN;
	}
	struct sock_sending *s = &d->sending[d->queued];
	struct msghdr *m = &d->message[d->queued].msg_hdr;
	s->to = peer->to;
	memcpy(s->bytes, bytes, length);
	s->iov = (struct iovec){s->bytes, length};
	*m = (struct msghdr){
	    .msg_name = &s->to,
	    .msg_namelen = d->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
	    .msg_iov = &s->iov,
	    .msg_iovlen = 1,
	};
	if (!IN6_IS_ADDR_UNSPECIFIED(&peer->from))
		put_source(m, s->control, peer);
	d->queued++;
	d->stats.sent_bytes += length;
	return 0;
}

/* What could not be sent stays, at the front of the queue. */
static void keep_rest(struct sock_datagrams *d, uint32_t first)
{
	uint32_t left = d->queued - first;

	for (uint32_t i = 0; i < left && first > 0; i++) {
		struct msghdr *m = &d->message[i].msg_hdr;
		d->sending[i] = d->sending[first + i];
		*m = d->message[first + i].msg_hdr;
		m->msg_name = &d->sending[i].to;
		m->msg_iov = &d->sending[i].iov;
		d->sending[i].iov.iov_base = d->sending[i].bytes;
		if (m->msg_control)
			m->msg_control = d->sending[i].control;
	}
	d->queued = left;
}

int datagrams_flush(struct paste_datagrams *base)
{
	struct sock_datagrams *d = (struct sock_datagrams *)base;
	uint32_t first = 0;

	while (first < d->queued) {
		int n = sendmmsg(d->fd, d->message + first, d->queued - first, MSG_DONTWAIT);
		if (n > 0) {
			first += (uint32_t)n;
			d->stats.sent += (uint32_t)n;
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR || errno == ENOMEM))
			break;
		/* No route, forbidden by a filter: this one will never leave. */
		d->stats.unsent++;
		first++;
	}
	keep_rest(d, first);
	return 0;
}
