/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_queue.h - a connection's queue of bytes to send, which is also what it can send again: pieces stay in
 *it until they are acknowledged.
 *
 *	 head ──► block ──► block ──► block ◄── tail
 *	          │ pieces: a run of copied bytes in the block, or a reference into the region
 *	          └ skip: bytes of the first piece that are acknowledged
 *
 * Blocks come from a pool of fixed size. A queue of nothing holds no block. A reference has a user count on
 * each buffer that it touches, which was the application's and is put when its last byte is acknowledged.
 *
 * Places are bytes from the queue's head on. Reading forward, as sending does, goes on from where the last
 * reading ended; reading elsewhere walks from the head.
 */
#ifndef NET_TCP_QUEUE_H
#define NET_TCP_QUEUE_H

#include <stdbool.h>

#include "paste/region.h"
#include "paste/stack.h"

#define QUEUE_BLOCK_BYTES 512

struct queue_block;

struct queue_pool {
	struct queue_block *blocks; /* all of them */
	struct queue_block *free;
	uint32_t count, used, untouched; /* blocks, those out, those never handed out: the last `untouched` */
};

struct queue_place {
	struct queue_block *block;
	uint32_t piece;
	uint32_t
	    piece_at; /* the place of that piece's first byte; wraps below 0 for the head's first piece */
};

struct tcp_queue {
	struct queue_block *head, *tail;
	uint32_t bytes;
	uint32_t skip;
	struct queue_place cursor;
};

struct queue_piece {
	const uint8_t *bytes;
	uint32_t length;
	bool is_reference;
	struct paste_ref ref; /* is_reference: the same bytes */
};

/* -ENOMEM. The memory is touched as it is used. */
int queue_pool_open(struct queue_pool *p, uint32_t blocks);
void queue_pool_close(struct queue_pool *p);

/* All pieces or none. -ENOBUFS: the pool has not enough blocks. */
int queue_append(struct queue_pool *p, struct tcp_queue *q, const struct paste_send *pieces, int n);

/* The bytes from `at` on, at most `length`, in at most `max` pieces; their number, and in *got their bytes.
 */
uint32_t queue_read(struct tcp_queue *q, struct paste_region *region, uint32_t at, uint32_t length,
		    struct queue_piece *pieces, uint32_t max, uint32_t *got);

/* The first `bytes` bytes are acknowledged. */
void queue_release(struct queue_pool *p, struct tcp_queue *q, struct paste_region *region, uint32_t bytes);

#endif
