/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (STREAM_CHUNK * sizeof(struct entry *))

static struct stream *stream_new(struct slab *slab, const void *name, size_t length)
{
	struct stream *st = slab_alloc(slab, sizeof(*st) + length);

	if (!st)
		return NULL;
	memset(st, 0, sizeof(*st));
	st->first = st->next = 1;
	st->digest = key_digest(true, name, length);
	st->name_length = (uint16_t)length;
	memcpy(st->name, name, length);
	return st;
}

int stream_add(struct slab *slab, struct tree *streams, const void *name, size_t length, struct stream **made)
{
	struct stream *st = stream_new(slab, name, length);
	int ret = st ? tree_insert(streams, st->name, length, st, NULL) : -ENOMEM;

	if (ret < 0 && st)
		stream_free(slab, st, NULL, NULL);
	if (ret == 0)
		*made = st;
	return ret;
}

void stream_free(struct slab *slab, struct stream *st, void (*each)(void *arg, struct entry *e), void *arg)
{
	for (size_t c = 0; c < st->chunks; c++) {
		if (!st->chunk[c])
			continue;
		for (int i = 0; i < STREAM_CHUNK; i++) {
			if (st->chunk[c][i])
				each(arg, st->chunk[c][i]);
		}
		slab_free(slab, st->chunk[c], CHUNK_BYTES);
	}
	free(st->chunk);
	slab_free(slab, st, sizeof(*st) + st->name_length);
}

struct entry *stream_get(const struct stream *st, uint64_t sequence)
{
	uint64_t c = sequence / STREAM_CHUNK;

	if (sequence < st->first || sequence >= st->next || c < st->base || c - st->base >= st->chunks ||
	    !st->chunk[c - st->base])
		return NULL;
	return st->chunk[c - st->base][sequence % STREAM_CHUNK];
}

uint64_t stream_seek(const struct stream *st, uint64_t from)
{
	uint64_t i = from < st->first ? st->first : from;

	while (i < st->next && !stream_get(st, i)) {
		uint64_t c = i / STREAM_CHUNK;
		if (st->chunks == 0 || c - st->base >= st->chunks)
			return st->next;
		i = st->chunk[c - st->base] ? i + 1 : (c + 1) * STREAM_CHUNK;
	}
	return i < st->next ? i : st->next;
}

int stream_reserve(struct slab *slab, struct stream *st, uint64_t sequence)
{
	uint64_t c = sequence / STREAM_CHUNK;

	if (st->chunks == 0)
		st->base = st->first / STREAM_CHUNK;
	/* A gap of 2^32 chunks is no stream that anybody wrote. */
	if (c < st->base || c - st->base > UINT32_MAX)
		return -EINVAL;
	size_t index = (size_t)(c - st->base);
	if (index >= st->room) {
		size_t room = st->room ? st->room * 2 : 4;
		while (room <= index)
			room *= 2;
		struct entry ***more = realloc(st->chunk, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		st->chunk = more;
		st->room = room;
	}
	while (st->chunks <= index)
		st->chunk[st->chunks++] = NULL;
	if (!st->chunk[index]) {
		st->chunk[index] = slab_alloc(slab, CHUNK_BYTES);
		if (!st->chunk[index])
			return -ENOMEM;
		memset(st->chunk[index], 0, CHUNK_BYTES);
	}
	return 0;
}

struct entry *stream_set(struct stream *st, uint64_t sequence, struct entry *e)
{
	uint64_t c = sequence / STREAM_CHUNK;

	if (c < st->base || c - st->base >= st->chunks || !st->chunk[c - st->base])
		return NULL;
	struct entry **slot = &st->chunk[c - st->base][sequence % STREAM_CHUNK];
	struct entry *old = *slot;
	*slot = e;
	return old;
}

void stream_trim(struct slab *slab, struct stream *st, uint64_t before)
{
	st->first = before;
	uint64_t c = before / STREAM_CHUNK;
	size_t gone = st->chunks == 0 || c <= st->base ? 0 : (size_t)(c - st->base);
	if (gone > st->chunks)
		gone = st->chunks;
	for (size_t i = 0; i < gone; i++) {
		if (st->chunk[i])
			slab_free(slab, st->chunk[i], CHUNK_BYTES);
	}
	if (gone == 0)
		return;
	memmove(st->chunk, st->chunk + gone, (st->chunks - gone) * sizeof(*st->chunk));
	st->chunks -= gone;
	st->base += gone;
}

const void *stream_name_of(const void *item, size_t *length)
{
	const struct stream *st = item;

	*length = st->name_length;
	return st->name;
}
