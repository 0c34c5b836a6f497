/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_service.h - the durable message ingress: each datagram becomes an entry of a stream.
 *
 * The answer is 8 bytes, a number, most significant byte first (docs/udp.md):
 *
 *	sequence        the entry's number, from 1 on: it is durable, with all of its bytes
 *	1 << 63 | why   it was not kept: enum udp_refusal says why
 *
 * It leaves only when everything it reveals is durable. Answers leave in the order in which the datagrams
 * were taken. A datagram is taken only if there is a place for its answer: when too many wait for a round, the
 * transport keeps or drops them.
 *
 * Driven like the HTTP service, beside which it runs (rounds.h):
 *
 *	udp_service_take(u); rounds_step(rounds); udp_service_answer(u);
 *
 * Nothing here reads a clock, blocks, or prints. It owns neither transport nor store: close it before either.
 */
#ifndef SERVE_UDP_SERVICE_H
#define SERVE_UDP_SERVICE_H

#include <stdio.h>

#include "paste/datagram.h"
#include "serve/rounds.h"

#define UDP_REFUSED (1ull << 63)

enum udp_refusal {
	UDP_FULL = 1,
	UDP_TOO_LARGE,
	UDP_MEDIUM_FAILED,
	UDP_STREAM_DAMAGED,
	UDP_NO_MEMORY,
};

struct udp_service_options {
	struct paste_datagrams *datagrams;
	struct rounds *rounds;
	const char *stream; /* 1 to PASTE_KEY_MAX bytes; copied */
	uint32_t waiting;   /* answers that may wait for their round; 0: 8192 */
};

struct udp_service_stats {
	uint64_t kept, kept_bytes;
	uint64_t refused;    /* answered so */
	uint64_t answered;   /* handed to the transport */
	uint64_t paused;     /* turns that took nothing because too many answers wait */
	uint64_t unanswered; /* answers given up because the transport refused to send them */
	uint32_t waiting;    /* answers, now */
};

struct udp_service;

int udp_service_open(const struct udp_service_options *options, struct udp_service **service,
		     struct paste_error *err);
void udp_service_close(struct udp_service *u); /* answers that wait are dropped */

/* Take one batch of datagrams and append them. Their number, or a negative errno of the transport. */
int udp_service_take(struct udp_service *u);

/* Send the answers whose round is durable. 0; 1: some could not be sent for want of room, come again soon; a
 * negative errno of the transport. */
int udp_service_answer(struct udp_service *u);

/* From now on nothing is taken; what was taken is answered. */
void udp_service_drain(struct udp_service *u);

void udp_service_stats(const struct udp_service *u, struct udp_service_stats *stats);

/* In the text format of GET /metrics: sums of all UDP services of the process. */
void udp_service_metrics(FILE *out, const struct udp_service_stats *service, const struct paste_datagrams_stats *wire);

#endif
