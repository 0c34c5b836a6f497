/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_middlebox.h - a box on the way to the service that cuts what clients send into other segments: they
 * overlap with one another and with what came before, come in any order, some twice; and some repeat bytes
 * that the service has acknowledged, with another content. A stack takes each byte once, as it first came.
 */
#ifndef TESTS_HTTP_MIDDLEBOX_H
#define TESTS_HTTP_MIDDLEBOX_H

#include "media/sim_random.h"
#include "net/tcp_segment.h"
#include "paste/port.h"

#define MIDDLEBOX_ROOM 64
#define MIDDLEBOX_PIECE 1200

/* What a client has sent so far, from sequence number `first` on. */
struct middlebox_stream {
	const uint8_t *bytes;
	uint32_t n, first;
	uint32_t acknowledged; /* bytes of it */
};

struct middlebox {
	struct paste_port *port; /* its segments leave here */
	struct sim_random random;
	uint32_t recut; /* one segment of so many; 0: none */
	uint64_t pieces, repeats, lies;
	uint32_t n;
	struct middlebox_piece {
		struct packet_path path;
		struct tcp_segment segment;
		uint8_t bytes[MIDDLEBOX_PIECE];
	} piece[MIDDLEBOX_ROOM];
};

/* A segment with data comes by, whose bytes are in the stream already. True: it goes no further, others stand
 * for it. */
bool middlebox_sees(struct middlebox *m, const struct packet_path *path, const struct tcp_segment *s,
		    const struct middlebox_stream *stream);

/* A segment without data, once more. */
void middlebox_repeats(struct middlebox *m, const struct packet_path *path, const struct tcp_segment *s);

/* Send what it has made. */
void middlebox_send(struct middlebox *m);

#endif
