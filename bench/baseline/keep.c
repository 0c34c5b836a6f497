/* SPDX-License-Identifier: BSD-2-Clause */
#include "baseline.h"

#include <string.h>

#include "base/crc.h"

void keep_init(struct keep *k, enum keep_what what)
{
	k->what = what;
	slab_init(&k->slab, 0, NULL);
	tree_init(&k->keys, entry_key_of, NULL);
	tree_init(&k->streams, stream_name_of, NULL);
}

/* A record with one op, its body behind it: the same bytes and checksums as the store's. `extents` say where
 * the body is. False: the log is full. */
static bool record_write(struct keep *k, struct op_view *v, struct extent *extents, const void *body)
{
	uint32_t meta = (uint32_t)(sizeof(struct record) + op_size(&v->op));
	uint8_t *place = log_place(&k->log, meta + v->op.length);

	if (!place)
		return false;
	uint8_t *to = place + meta;
	uint64_t offset = (uint64_t)(to - k->log.memory), left = v->op.length;
	memcpy(to, body, left);
	for (uint32_t i = 0; i < v->op.refs; i++) {
		uint32_t length = left < KEEP_EXTENT_MAX ? (uint32_t)left : KEEP_EXTENT_MAX;

		extents[i] =
		    (struct extent){{(uint32_t)(offset / 2048), (uint16_t)(offset % 2048), (uint16_t)length},
				    paste_crc(0, k->log.memory + offset, length)};
		offset += length;
		left -= length;
	}
	v->refs = extents;
	if (v->op.type == OP_PUT || v->op.type == OP_DELETE)
		v->op.version = k->sequence + 1;
	op_encode(place + sizeof(struct record), v);
	struct record *r = (struct record *)place;
	*r = (struct record){
	    .sequence = ++k->sequence,
	    .length = (uint32_t)(meta + v->op.length),
	    .meta = meta,
	    .digest = op_digest(v),
	    .ops = 1,
	    .type = RECORD_CHANGE,
	};
	r->crc = paste_crc(0, (const uint8_t *)r + sizeof(r->crc), meta - sizeof(r->crc));
	return true;
}

static struct op_view change(uint8_t type, const struct request *r, uint64_t length)
{
	return (struct op_view){.op = {.type = type,
				       .key_length = (uint16_t)r->name_length,
				       .refs = (uint16_t)((length + KEEP_EXTENT_MAX - 1) / KEEP_EXTENT_MAX),
				       .length = length},
				.key = r->name};
}

static int too_long(uint64_t length)
{
	return length > (uint64_t)OP_REFS_MAX * KEEP_EXTENT_MAX;
}

/* Only the bytes. */
static int keep_bytes(struct keep *k, const void *body, uint64_t length)
{
	uint8_t *place = log_place(&k->log, length);

	if (!place)
		return 507;
	memcpy(place, body, length);
	k->sequence++;
	return 201;
}

int keep_put(struct keep *k, const struct request *r, const void *body, uint64_t length, uint64_t *version)
{
	struct extent extents[OP_REFS_MAX];
	struct tree_position at;

	if (k->what == KEEP_NOTHING)
		return 201;
	if (k->what == KEEP_BYTES)
		return keep_bytes(k, body, length);
	if (too_long(length))
		return 413;
	struct entry *old = tree_locate(&k->keys, r->name, r->name_length, &at);
	struct op_view v = change(OP_PUT, r, length);
	if (!record_write(k, &v, extents, body))
		return 507;
	*version = v.op.version;
	struct entry *e = entry_new(&k->slab, &v);
	if (!e)
		return 503;
	if (!old)
		return tree_insert_at(&k->keys, &at, e) ? 503 : 201;
	tree_replace_at(&k->keys, &at, e);
	entry_free(&k->slab, old);
	return 204;
}

static struct stream *stream_of(struct keep *k, const struct request *r)
{
	struct stream *st = tree_find(&k->streams, r->name, r->name_length);

	if (!st)
		(void)stream_add(&k->slab, &k->streams, r->name, r->name_length, &st);
	return st; /* NULL still: no memory */
}

int keep_append(struct keep *k, const struct request *r, const void *body, uint64_t length,
		uint64_t *sequence)
{
	struct extent extents[OP_REFS_MAX];

	*sequence = k->sequence + 1;
	if (k->what == KEEP_NOTHING)
		return 201;
	if (k->what == KEEP_BYTES)
		return keep_bytes(k, body, length);
	if (too_long(length))
		return 413;
	struct stream *st = stream_of(k, r);
	if (!st || stream_reserve(&k->slab, st, st->next))
		return 503;
	struct op_view v = change(OP_APPEND, r, length);
	v.op.version = st->next;
	if (!record_write(k, &v, extents, body))
		return 507;
	v.op.key_length = 0; /* the entry in the index does not repeat the stream's name */
	struct entry *e = entry_new(&k->slab, &v);
	if (!e)
		return 503;
	stream_set(st, st->next, e);
	*sequence = st->next++;
	return 201;
}

int keep_delete(struct keep *k, const struct request *r)
{
	struct tree_position at;
	struct entry *old = tree_locate(&k->keys, r->name, r->name_length, &at);

	if (!old)
		return 404;
	struct op_view v = change(OP_DELETE, r, 0);
	if (!record_write(k, &v, NULL, ""))
		return 507;
	tree_remove_at(&k->keys, &at);
	entry_free(&k->slab, old);
	return 204;
}

int keep_get(struct keep *k, const struct request *r, struct found *found)
{
	const struct entry *e = NULL;

	if (r->resource == RESOURCE_KEY) {
		e = tree_find(&k->keys, r->name, r->name_length);
	} else {
		const struct stream *st = tree_find(&k->streams, r->name, r->name_length);
		e = st ? stream_get(st, r->sequence) : NULL;
	}
	if (!e)
		return 404;
	for (uint32_t i = 0; i < e->refs; i++)
		if (paste_crc(0, extent_bytes(k, &e->extent[i]), e->extent[i].ref.length) != e->extent[i].crc)
			return 500;
	*found = (struct found){e->length, r->resource == RESOURCE_KEY ? e->version : 0, e};
	return 200;
}
