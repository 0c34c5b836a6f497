/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * send.c - a connection's queue of unsent bytes.
 *
 * The queue is a list of pages from a pool. A page holds copied bytes and the descriptions of pieces, which
 * are runs of those bytes or slices of the region. Small replies that follow one another join one piece of
 * one page and leave with one plain send; a connection with nothing to send holds no page.
 */
#include "sock/sock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SLAB_BLOCKS 64

struct tx_slab {
	struct tx_slab *next;
	_Alignas(64) struct tx_block blocks[SLAB_BLOCKS];
};

static struct tx_piece *piece_at(struct tx_block *b, uint32_t index)
{
	return (struct tx_piece *)(b->space + TX_BLOCK_SPACE) - 1 - index;
}

static uint32_t block_room(const struct tx_block *b)
{
	return TX_BLOCK_SPACE - b->bytes - b->count * (uint32_t)sizeof(struct tx_piece);
}

static int pool_reserve(struct tx_pool *p, uint32_t blocks)
{
	while (p->free_count < blocks) {
		struct tx_slab *slab = aligned_alloc(64, sizeof(*slab));

		if (!slab)
			return -ENOMEM;
		slab->next = p->slabs;
		p->slabs = slab;
		for (int i = SLAB_BLOCKS - 1; i >= 0; i--) {
			slab->blocks[i].next = p->free;
			p->free = &slab->blocks[i];
		}
		p->free_count += SLAB_BLOCKS;
	}
	return 0;
}

static void pool_put(struct tx_pool *p, struct tx_block *b)
{
	b->next = p->free;
	p->free = b;
	p->free_count++;
}

void tx_pool_close(struct sock *s)
{
	while (s->tx.slabs) {
		struct tx_slab *slab = s->tx.slabs;

		s->tx.slabs = slab->next;
		free(slab);
	}
}

/* Blocks were reserved before. */
static struct tx_block *append_block(struct sock_conn *c)
{
	struct tx_pool *p = &c->sock->tx;
	struct tx_block *b = p->free;

	assert(b);
	p->free = b->next;
	p->free_count--;
	b->next = NULL;
	b->first = b->count = b->bytes = 0;
	if (c->tx_tail)
		c->tx_tail->next = b;
	else
		c->tx_head = b;
	c->tx_tail = b;
	return b;
}

static void append_inline(struct sock_conn *c, const uint8_t *bytes, uint32_t length)
{
	while (length) {
		struct tx_block *b = c->tx_tail;
		struct tx_piece *last = b && b->count > b->first ? piece_at(b, b->count - 1u) : NULL;
		/* May the bytes simply lengthen the last piece? It ends where the free space begins. */
		bool join = last && last->at != TX_BY_REFERENCE;
		uint32_t own = join ? 0 : sizeof(struct tx_piece);

		if (!b || block_room(b) <= own) {
			append_block(c);
			continue;
		}

		uint32_t part = block_room(b) - own;
		if (part > length)
			part = length;
		if (!join) {
			last = piece_at(b, b->count++);
			*last = (struct tx_piece){.at = b->bytes};
		}
		memcpy(b->space + b->bytes, bytes, part);
		b->bytes = (uint16_t)(b->bytes + part);
		last->length += part;
		bytes += part;
		length -= part;
	}
}

static void append_reference(struct sock_conn *c, struct paste_ref ref)
{
	struct tx_block *b = c->tx_tail;

	if (!b || block_room(b) < sizeof(struct tx_piece))
		b = append_block(c);
	*piece_at(b, b->count++) = (struct tx_piece){.length = ref.length, .at = TX_BY_REFERENCE, .ref = ref};
}

int tx_send(struct paste_conn *base, const struct paste_send *pieces, int n)
{
	struct sock_conn *c = (struct sock_conn *)base;
	struct sock *s = c->sock;
	uint64_t bytes = 0, copied = 0;

	assert(!c->closed);
	if (c->dead)
		return -EPIPE;
	if (c->unsent >= s->limits.send_bytes) {
		c->want_writable = true;
		return -EAGAIN;
	}
	for (int i = 0; i < n; i++) {
		if (pieces[i].inline_bytes)
			copied += pieces[i].inline_length;
		else
			bytes += pieces[i].ref.length;
	}
	bytes += copied;
	if (bytes > UINT32_MAX - c->unsent)
		return -ENOMEM;

	/* All or none: have the blocks before the first piece is taken. A block is left with less room than
	 * two pieces and a byte take, so this many always suffice. */
	uint64_t most = copied + (uint64_t)n * sizeof(struct tx_piece);
	int rc =
	    pool_reserve(&s->tx, (uint32_t)(1 + (most + TX_BLOCK_SPACE / 2) / (TX_BLOCK_SPACE - 64)) + 1);
	if (rc)
		return rc;
	for (int i = 0; i < n; i++) {
		if (!pieces[i].inline_bytes)
			append_reference(c, pieces[i].ref);
		else
			append_inline(c, pieces[i].inline_bytes, pieces[i].inline_length);
	}
	c->unsent += (uint32_t)bytes;
	if (bytes)
		conn_attend(c);
	return 0;
}

uint32_t tx_unsent(const struct paste_conn *base)
{
	return ((const struct sock_conn *)base)->unsent;
}

static const uint8_t *piece_data(struct sock *s, struct tx_block *b, const struct tx_piece *p)
{
	return p->at == TX_BY_REFERENCE ? paste_ref_data(s->region, p->ref) : b->space + p->at;
}

uint32_t tx_gather(struct sock_conn *c, struct iovec *iov, uint32_t max)
{
	uint32_t n = 0, skip = c->tx_sent;

	for (struct tx_block *b = c->tx_head; b; b = b->next) {
		for (uint32_t i = b->first; i < b->count; i++) {
			const struct tx_piece *p = piece_at(b, i);

			if (n == max)
				return n;
			iov[n].iov_base = (void *)(uintptr_t)(piece_data(c->sock, b, p) + skip);
			iov[n++].iov_len = p->length - skip;
			skip = 0;
		}
	}
	return n;
}

/* Make the request that sends what is queued. MSG_WAITALL lets the kernel go on after a short send by itself.
 */
void tx_submit(struct sock_conn *c)
{
	struct sock *s = c->sock;

	while (s->messages_used == SOCK_MESSAGES || s->iovecs_used + SOCK_IOVECS_PER_SEND > SOCK_IOVECS)
		sock_submit(s);

	struct io_uring_sqe *sqe = sock_sqe(s);
	struct iovec *iov = &s->iovecs[s->iovecs_used];
	uint32_t n = tx_gather(c, iov, SOCK_IOVECS_PER_SEND);

	if (n == 1) {
		io_uring_prep_send(sqe, c->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_WAITALL);
	} else {
		struct msghdr *m = &s->messages[s->messages_used++];

		*m = (struct msghdr){.msg_iov = iov, .msg_iovlen = n};
		s->iovecs_used += n;
		io_uring_prep_sendmsg(sqe, c->fd, m, MSG_NOSIGNAL | MSG_WAITALL);
	}
	io_uring_sqe_set_data64(sqe, sock_tag(c, SOCK_OP_SEND));
	c->sending = true;
}

/* `bytes` from the head of the queue are sent: put references, free pages. */
void tx_consume(struct sock_conn *c, uint32_t bytes)
{
	struct sock *s = c->sock;

	assert(bytes <= c->unsent);
	c->unsent -= bytes;
	bytes += c->tx_sent;
	while (c->tx_head) {
		struct tx_block *b = c->tx_head;

		while (b->first < b->count) {
			struct tx_piece *p = piece_at(b, b->first);

			if (bytes < p->length) {
				c->tx_sent = bytes;
				return;
			}
			bytes -= p->length;
			if (p->at == TX_BY_REFERENCE)
				paste_ref_put(s->region, p->ref);
			b->first++;
		}
		c->tx_head = b->next;
		if (!c->tx_head)
			c->tx_tail = NULL;
		pool_put(&s->tx, b);
	}
	c->tx_sent = 0;
}

void tx_drop(struct sock_conn *c)
{
	tx_consume(c, c->unsent);
}
