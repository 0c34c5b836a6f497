/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_udp.h - a load of datagrams (docs/udp.md) in the shape of the load of requests: what is sent, and
 * what an answer would be if it were HTTP, so that everything above counts, writes down and judges both alike.
 *
 *	sequence number     201 and {"seq":N}
 *	refused             507 full, 413 too large, 503 anything else: nothing is said of what became of it
 *	no answer in time   504: it may have been kept or not
 *
 * A connection is a port that we send from, with one datagram under way. After a time-out it goes on from
 * another port: an answer that comes late must not be taken for the next one's.
 */
#ifndef CLI_BENCH_UDP_H
#define CLI_BENCH_UDP_H

#include "cli/bench_body.h"
#include "cli/bench_client.h"
#include "cli/http_reply.h"

#define BENCH_UDP_SIZE_MAX 65507 /* bytes of payload over IPv4 */
#define BENCH_UDP_TIMEOUT_NS 1000000000u
#define BENCH_UDP_TEXT 40

/* The datagram of request `number`: the stamp in the head, the rest in the body. */
void bench_udp_request(struct client_request *q, const struct bench_body *body, uint64_t number,
		       uint64_t length);

/* What an answer says; its body goes to `text`. False: not an answer of the service. */
bool bench_udp_answer(const void *data, size_t length, struct http_reply *reply, char text[BENCH_UDP_TEXT]);

/* No answer came. */
void bench_udp_silence(struct http_reply *reply);

#endif
