/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_udp.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "serve/udp_service.h"

void bench_udp_request(struct client_request *q, const struct bench_body *body, uint64_t number,
		       uint64_t length)
{
	uint8_t stamp[BODY_STAMP];
	uint32_t stamped = length < BODY_STAMP ? (uint32_t)length : BODY_STAMP;

	body_stamp(body, number, stamp);
	memcpy(q->head, stamp, stamped);
	q->head_length = stamped;
	q->body = body_rest(body, number);
	q->body_length = length - stamped;
}

static unsigned int status_of(uint64_t why)
{
	switch (why) {
	case UDP_FULL:
		return 507;
	case UDP_TOO_LARGE:
		return 413;
	default:
		return 503;
	}
}

bool bench_udp_answer(const void *data, size_t length, struct http_reply *reply, char text[BENCH_UDP_TEXT])
{
	uint64_t value;

	if (length != sizeof(value))
		return false;
	memcpy(&value, data, sizeof(value));
	value = be64toh(value);
	if (value == 0)
		return false;
	*reply = (struct http_reply){.status = 201, .body = text};
	if (value & UDP_REFUSED)
		reply->status = status_of(value & ~UDP_REFUSED);
	else
		reply->body_length = (uint64_t)snprintf(text, BENCH_UDP_TEXT, "{\"seq\":%" PRIu64 "}", value);
	return true;
}

void bench_udp_silence(struct http_reply *reply)
{
	*reply = (struct http_reply){.status = 504, .body = ""};
}
