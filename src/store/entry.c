/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/entry.h"

#include "base/copy.h"

struct entry *entry_new(struct slab *slab, const struct op_view *v)
{
	struct entry shape = {
		.version = v->op.version,
		.length = v->op.length,
		.key_length = v->op.key_length,
		.attributes = v->op.attributes,
		.refs = (uint8_t)v->op.refs,
		.flags = v->op.flags & (OP_INLINE | OP_INDIRECT | OP_LOST),
	};
	struct entry *e = slab_alloc(slab, entry_size(&shape));

	if (!e)
		return NULL;
	/* Word by word, from registers (base/copy.h): `shape` was made of small stores just now. */
	store_word(&e->version, shape.version);
	store_word(&e->mark, 0);
	store_word(&e->length, shape.length);
	store_word(&e->key_length, shape.key_length | (uint64_t)shape.attributes << 16 |
					   (uint64_t)shape.refs << 32 | (uint64_t)shape.flags << 40);
	for (uint32_t i = 0; i < v->op.refs; i++)
		extent_copy(&e->extent[i], &v->refs[i]);
	copy_short(entry_key(e), v->key, v->op.key_length);
	if (v->op.attributes)
		copy_short(entry_key(e) + v->op.key_length, v->attributes, v->op.attributes);
	if (e->flags & OP_INLINE)
		copy_short(entry_bytes(e), v->bytes, e->length);
	return e;
}

void entry_free(struct slab *slab, struct entry *e)
{
	if (e)
		slab_free(slab, e, entry_size(e));
}

void entry_op(const struct entry *e, uint8_t type, struct op_view *v)
{
	v->op = (struct op){
		.type = type,
		.flags = e->flags & (OP_INLINE | OP_INDIRECT | OP_LOST),
		.key_length = e->key_length,
		.refs = e->refs,
		.attributes = e->attributes,
		.version = e->version,
		.length = e->length,
	};
	v->refs = e->extent;
	v->key = entry_key(e);
	v->attributes = entry_key(e) + e->key_length;
	v->bytes = entry_bytes(e);
}

const void *entry_key_of(const void *item, size_t *length)
{
	const struct entry *e = item;

	*length = e->key_length;
	return entry_key(e);
}
