/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reply.h - replies that wait for their turn and for their round, and how a reply is written.
 *
 * A reply is a description, formatted when it leaves. It owns what its body needs: a heap copy, or user
 * counts on the slices of a value.
 */
#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H

#include "paste/stack.h"
#include "paste/store.h"

#define REPLY_HEAD_MAX 512     /* bytes of a formatted head, with a short body behind it */
#define REPLY_INSIDE_BYTES 128 /* of a value that are kept inside the reply */
#define REPLY_INSIDE_SLICES (REPLY_INSIDE_BYTES / sizeof(struct paste_ref))

enum reply_body {
	REPLY_EMPTY,    /* no body, Content-Length: 0 where the status has one */
	REPLY_TEXT,     /* a constant sentence */
	REPLY_SEQUENCE, /* {"seq":N} */
	REPLY_BYTES,    /* inside, or on the heap */
	REPLY_SLICES,   /* inside, or an array on the heap; owned */
	REPLY_ENTRIES,  /* entries.c makes it while it leaves; its place is on the heap */
};

struct reply {
	struct reply *next;
	uint64_t round;                   /* must be durable before a byte leaves */
	uint64_t version;                 /* ETag if not 0; the number of REPLY_SEQUENCE */
	uint64_t length;                  /* of the body */
	uint64_t first;                   /* of 206: where in the value the body begins */
	uint64_t total;                   /* of 206 and 416: length of the value */
	uint64_t ttl;                     /* PST-TTL, if not 0 */
	uint64_t first_entry, next_entry; /* PST-First and PST-Next, each if not 0 */
	uint16_t status;
	uint8_t body;       /* enum reply_body */
	bool close : 1;     /* the last one on this connection */
	bool keep_1_0 : 1;  /* tell an HTTP/1.0 client that the connection stays */
	bool head_only : 1; /* answers HEAD */
	bool retry : 1;     /* Retry-After: 1 */
	bool repeated : 1;  /* PST-Repeated: the change was made before, under the same key */
	bool chunked : 1;   /* the body's length is not known */
	bool writes : 1;    /* answers a request that changes something */
	bool on_heap : 1;   /* bytes or slices are at `heap`, which is ours */
	uint32_t slices;
	const char *type;      /* Content-Type; NULL: none */
	const char *allow;     /* methods; NULL: not told */
	const char *challenge; /* of 401 and 403: the value of WWW-Authenticate; NULL: none */
	int64_t began_us;      /* monotonic, when the request was complete; 0: its time is not counted */
	union {
		const char *text;
		void *heap;
		uint8_t inside[REPLY_INSIDE_BYTES];
		struct paste_ref inside_slices[REPLY_INSIDE_SLICES];
	};
};

struct reply_pool {
	struct reply *free;
	struct reply_slab *slabs;
};

/* NULL if out of memory. Zeroed but for the body's bytes. */
struct reply *reply_new(struct reply_pool *pool);
/* Give back the struct and the heap, not the user counts on slices. */
void reply_free(struct reply_pool *pool, struct reply *r);
void reply_pool_close(struct reply_pool *pool);

const uint8_t *reply_bytes(const struct reply *r);
const struct paste_ref *reply_slices(const struct reply *r);

/* The Date of the replies of one second: "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n". */
struct reply_date {
	int64_t second;
	char line[40];
};
#define REPLY_DATE_LENGTH 37
void reply_date_set(struct reply_date *date, int64_t unix_seconds);

/* Write head and, if it is a text or a sequence number, body. Returns the length. */
uint32_t reply_format(const struct reply *r, const struct reply_date *date, char out[REPLY_HEAD_MAX]);

#endif
