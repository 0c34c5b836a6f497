/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tcp_queue.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct piece {
	uint16_t at; /* in space; BY_REFERENCE */
	uint16_t unused;
	uint32_t length; /* bytes */
	struct paste_ref ref;
};

#define BY_REFERENCE UINT16_MAX
#define SPACE (QUEUE_BLOCK_BYTES - 16)

/* Copied bytes grow from the start of `space`, pieces from its end downwards. */
struct queue_block {
	struct queue_block *next;
	uint16_t first, count; /* pieces [first, count) are queued */
	uint16_t used;         /* bytes of space */
	uint16_t unused;
	_Alignas(struct piece) uint8_t space[SPACE];
};

_Static_assert(sizeof(struct queue_block) == QUEUE_BLOCK_BYTES, "no padding");
_Static_assert(SPACE % sizeof(struct piece) == 0, "pieces end where the block does");

int queue_pool_open(struct queue_pool *p, uint32_t blocks)
{
	*p = (struct queue_pool){.count = blocks, .untouched = blocks};
	p->blocks = mmap(NULL, (size_t)blocks * QUEUE_BLOCK_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->blocks == MAP_FAILED) {
		p->blocks = NULL;
		return -ENOMEM;
	}
	return 0;
}

void queue_pool_close(struct queue_pool *p)
{
	if (p->blocks)
		munmap(p->blocks, (size_t)p->count * QUEUE_BLOCK_BYTES);
	p->blocks = NULL;
}

static struct queue_block *take(struct queue_pool *p)
{
	struct queue_block *b = p->free;

	if (b)
		p->free = b->next;
	else
		b = &p->blocks[p->count - p->untouched--];
	p->used++;
	b->next = NULL;
	b->first = b->count = b->used = 0;
	return b;
}

static void give(struct queue_pool *p, struct queue_block *b)
{
	b->next = p->free;
	p->free = b;
	p->used--;
}

static struct piece *piece_of(struct queue_block *b, uint32_t index)
{
	return (struct piece *)(void *)(b->space + SPACE) - 1 - index;
}

static uint32_t room(const struct queue_block *b)
{
	return SPACE - b->used - b->count * (uint32_t)sizeof(struct piece);
}

static void append_block(struct queue_pool *p, struct tcp_queue *q)
{
	struct queue_block *b = take(p);

	if (q->tail)
		q->tail->next = b;
	else
		q->head = b;
	q->tail = b;
}

static void append_inline(struct queue_pool *p, struct tcp_queue *q, const uint8_t *bytes, uint32_t length)
{
	while (length > 0) {
		struct queue_block *b = q->tail;
		struct piece *last = b && b->count > b->first ? piece_of(b, b->count - 1u) : NULL;
		/* Copied bytes end where the free space begins, so more of them lengthen the last piece. */
		bool join = last && last->at != BY_REFERENCE;
		uint32_t own = join ? 0 : sizeof(struct piece);

		if (!b || room(b) <= own) {
			append_block(p, q);
			continue;
		}
		uint32_t now = room(b) - own < length ? room(b) - own : length;
		if (!join) {
			last = piece_of(b, b->count++);
			*last = (struct piece){.at = b->used};
		}
		memcpy(b->space + b->used, bytes, now);
		b->used = (uint16_t)(b->used + now);
		last->length += now;
		bytes += now;
		length -= now;
	}
}

static void append_reference(struct queue_pool *p, struct tcp_queue *q, struct paste_ref ref)
{
	if (!q->tail || room(q->tail) < sizeof(struct piece))
		append_block(p, q);
	struct queue_block *b = q->tail;
	*piece_of(b, b->count++) = (struct piece){.at = BY_REFERENCE, .length = ref.length, .ref = ref};
}

/* More than enough: a block that is left had no room for a piece and a byte. */
static uint64_t blocks_needed(const struct paste_send *pieces, int n)
{
	uint64_t space = 0;

	for (int i = 0; i < n; i++)
		space += sizeof(struct piece) + (pieces[i].inline_bytes ? pieces[i].inline_length : 0);
	return space / (SPACE - 2 * sizeof(struct piece)) + 1;
}

int queue_append(struct queue_pool *p, struct tcp_queue *q, const struct paste_send *pieces, int n)
{
	if (blocks_needed(pieces, n) > p->count - p->used)
		return -ENOBUFS;
	for (int i = 0; i < n; i++) {
		if (pieces[i].inline_bytes) {
			append_inline(p, q, pieces[i].inline_bytes, pieces[i].inline_length);
			q->bytes += pieces[i].inline_length;
		} else {
			append_reference(p, q, pieces[i].ref);
			q->bytes += pieces[i].ref.length;
		}
	}
	return 0;
}

static void first_place(const struct tcp_queue *q, struct queue_place *c)
{
	*c = (struct queue_place){q->head, q->head ? q->head->first : 0, 0u - q->skip};
}

/* On to the piece that has the byte at `at`. It stays at the last piece, which may become longer. */
static bool seek(struct queue_place *c, uint32_t at)
{
	while (c->block) {
		uint32_t length = piece_of(c->block, c->piece)->length;

		if (at - c->piece_at < length)
			return true;
		if (c->piece + 1 < c->block->count) {
			c->piece++;
		} else {
			if (!c->block->next)
				return false;
			c->block = c->block->next;
			c->piece = c->block->first;
		}
		c->piece_at += length;
	}
	return false;
}

static struct paste_ref part_of(struct paste_ref ref, uint32_t skip, uint32_t length, uint32_t buffer_size)
{
	uint32_t offset = ref.offset + skip;

	return (struct paste_ref){ref.buffer + offset / buffer_size, (uint16_t)(offset % buffer_size),
				  (uint16_t)length};
}

uint32_t queue_read(struct tcp_queue *q, struct paste_region *region, uint32_t at, uint32_t length,
		    struct queue_piece *pieces, uint32_t max, uint32_t *got)
{
	struct queue_place *c = &q->cursor, walk;
	uint32_t n = 0;

	*got = 0;
	/* The cursor stays where new bytes begin; what is sent again is looked for with another. */
	if (!c->block)
		first_place(q, c);
	if ((int32_t)(at - c->piece_at) < 0) {
		first_place(q, &walk);
		c = &walk;
	}
	while (n < max && *got < length && seek(c, at + *got)) {
		const struct piece *p = piece_of(c->block, c->piece);
		uint32_t skip = at + *got - c->piece_at, left = length - *got;
		uint32_t now = p->length - skip < left ? p->length - skip : left;
		struct queue_piece *out = &pieces[n++];
		out->length = now;
		out->is_reference = p->at == BY_REFERENCE;
		if (out->is_reference) {
			out->ref = part_of(p->ref, skip, now, paste_buffer_size(region));
			out->bytes = paste_ref_data(region, out->ref);
		} else {
			out->bytes = c->block->space + p->at + skip;
		}
		*got += now;
	}
	return n;
}

void queue_release(struct queue_pool *p, struct tcp_queue *q, struct paste_region *region, uint32_t bytes)
{
	assert(bytes <= q->bytes);
	q->bytes -= bytes;
	q->cursor.piece_at -= bytes;
	bytes += q->skip;
	while (q->head) {
		struct queue_block *b = q->head;

		while (b->first < b->count) {
			struct piece *piece = piece_of(b, b->first);

			if (bytes < piece->length) {
				q->skip = bytes;
				return;
			}
			bytes -= piece->length;
			if (piece->at == BY_REFERENCE)
				paste_ref_put(region, piece->ref);
			if (q->cursor.block == b && q->cursor.piece == b->first)
				q->cursor.block = NULL;
			b->first++;
		}
		if (q->cursor.block == b)
			q->cursor.block = NULL;
		q->head = b->next;
		if (!q->head)
			q->tail = NULL;
		give(p, b);
	}
	assert(bytes == 0);
	q->skip = 0;
}
