/* SPDX-License-Identifier: BSD-2-Clause */
/* info.c - what the kernel says of a connection (TCP_INFO). */
#include "sock/sock.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static const char *state_name(uint8_t state)
{
	static const char *const names[] = {
	    NULL,        "ESTABLISHED", "SYN-SENT",   "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2",
	    "TIME-WAIT", "CLOSED",      "CLOSE-WAIT", "LAST-ACK",     "LISTEN",     "CLOSING",
	};

	return state < sizeof(names) / sizeof(names[0]) && names[state] ? names[state] : "?";
}

static uint32_t held_pieces(const struct sock_conn *c)
{
	uint32_t n = 0;

	for (const struct held *h = c->held_head; h; h = h->next)
		n++;
	return n;
}

static void add_kernel(const struct tcp_info *k, struct paste_conn_info *info)
{
	uint64_t sent = k->tcpi_bytes_sent - k->tcpi_bytes_retrans;

	info->state = state_name(k->tcpi_state);
	info->rtt_us = k->tcpi_rtt;
	info->rtt_variation_us = k->tcpi_rttvar;
	info->rto_us = k->tcpi_rto;
	info->mss = k->tcpi_snd_mss;
	info->cwnd = k->tcpi_snd_cwnd * k->tcpi_snd_mss;
	info->ssthresh = k->tcpi_snd_ssthresh > UINT32_MAX / (k->tcpi_snd_mss + 1)
			     ? UINT32_MAX
			     : k->tcpi_snd_ssthresh * k->tcpi_snd_mss;
	info->peer_window = k->tcpi_snd_wnd;
	info->window = k->tcpi_rcv_space;
	info->unsent += k->tcpi_notsent_bytes;
	/* The kernel counts our SYN as a byte acknowledged. */
	if (k->tcpi_unacked && sent > k->tcpi_bytes_acked)
		info->unacknowledged = (uint32_t)(sent - k->tcpi_bytes_acked);
	info->retransmitted = k->tcpi_total_retrans;
	info->received_bytes = k->tcpi_bytes_received;
	info->sent_bytes = sent;
}

void conn_info(const struct paste_conn *base, struct paste_conn_info *info)
{
	const struct sock_conn *c = (const struct sock_conn *)base;
	struct sockaddr_storage local;
	struct tcp_info kernel = {0};
	socklen_t length = sizeof(local);

	*info = (struct paste_conn_info){
	    .state = c->eof ? "CLOSE-WAIT" : "ESTABLISHED", .unsent = c->unsent, .buffers = held_pieces(c)};
	if (getsockname(c->fd, (struct sockaddr *)&local, &length))
		memset(&local, 0, sizeof(local));
	address_format(&local, info->local, sizeof(info->local));
	conn_peer(base, info->peer, sizeof(info->peer));
	length = sizeof(kernel);
	/* A unix-domain socket has none. */
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &kernel, &length) == 0)
		add_kernel(&kernel, info);
}

struct paste_conn *conn_next(const struct paste_stack *base, uint32_t *cursor)
{
	const struct sock *s = (const struct sock *)base;

	while (*cursor < s->conns_used) {
		struct sock_conn *c = &s->conns[(*cursor)++];
		if (c->fd >= 0)
			return &c->base;
	}
	return NULL;
}
