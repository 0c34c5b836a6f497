/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/op.h"

#include <errno.h>
#include <string.h>

#include "base/crc.h"
#include "base/site.h"

int64_t op_decode(const uint8_t *p, size_t room, struct op_view *v)
{
	if (room < sizeof(v->op))
		return -EBADMSG;
	memcpy(&v->op, p, sizeof(v->op));
	if (v->op.type < OP_PUT || v->op.type > OP_DAMAGE || v->op.refs > OP_REFS_MAX ||
	    v->op.attributes > OP_ATTRIBUTES_MAX || v->op.key_length > 1024)
		return -EBADMSG;
	if ((v->op.flags & OP_INLINE) && v->op.length > 1024)
		return -EBADMSG;
	size_t size = op_size(&v->op);
	if (size > room)
		return -EBADMSG;
	p += sizeof(v->op);
	v->refs = (const struct extent *)p;
	p += (size_t)v->op.refs * sizeof(struct extent);
	v->key = p;
	p += v->op.key_length;
	v->attributes = p;
	p += v->op.attributes;
	v->bytes = p;
	return (int64_t)size;
}

size_t op_encode(uint8_t *p, const struct op_view *v)
{
	uint8_t *q = p;
	size_t size = op_size(&v->op);

	memcpy(q, &v->op, sizeof(v->op));
	q += sizeof(v->op);
	if (v->op.refs)
		memcpy(q, v->refs, (size_t)v->op.refs * sizeof(struct extent));
	q += (size_t)v->op.refs * sizeof(struct extent);
	if (v->op.key_length)
		memcpy(q, v->key, v->op.key_length);
	q += v->op.key_length;
	if (v->op.attributes)
		memcpy(q, v->attributes, v->op.attributes);
	q += v->op.attributes;
	if ((v->op.flags & OP_INLINE) && v->op.length) {
		memcpy(q, v->bytes, v->op.length);
		q += v->op.length;
	}
	memset(q, 0, (size_t)(p + size - q));
	return size;
}

uint32_t key_digest(bool stream, const void *key, size_t length)
{
	uint8_t class = stream;
	uint32_t d = paste_crc(paste_crc(0, &class, 1), key, length);

	return d == DIGEST_NONE || d == DIGEST_MANY ? 1 : d;
}

uint32_t op_digest(const struct op_view *v)
{
	bool stream = v->op.type == OP_APPEND || v->op.type == OP_TRIM || v->op.type == OP_STREAM;

	/* A lost move hides nothing: the value it moved is the same, and its old place is checked when read. */
	if (v->op.flags & OP_MOVED)
		return DIGEST_NONE;
	return key_digest(stream, v->key, v->op.key_length);
}

bool extent_whole(const struct paste_region *r, const struct extent *e)
{
	return paste_crc(0, region_ref_data(r, e->ref), e->ref.length) == e->crc || !SITE(extent_crc_check);
}

static int list_each(const struct paste_region *r, const struct extent *list, op_extent_fn each, void *arg)
{
	if (!extent_whole(r, list) || list->ref.length % sizeof(struct extent) != 0)
		return -EBADMSG;
	int ret = each(arg, list, true);
	const uint8_t *p = region_ref_data(r, list->ref);
	for (uint32_t i = 0; ret == 0 && i < list->ref.length / sizeof(struct extent); i++) {
		struct extent e;
		memcpy(&e, p + i * sizeof(e), sizeof(e));
		ret = region_ref_valid(r, e.ref) ? each(arg, &e, false) : -EBADMSG;
	}
	return ret;
}

int op_each_extent(const struct paste_region *r, const struct extent *refs, uint32_t n, bool indirect,
		   op_extent_fn each, void *arg)
{
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < n; i++) {
		if (!region_ref_valid(r, refs[i].ref))
			return -EBADMSG;
		ret = indirect ? list_each(r, &refs[i], each, arg) : each(arg, &refs[i], false);
	}
	return ret;
}

static int verify_extent(void *arg, const struct extent *e, bool list)
{
	const struct paste_region *r = arg;

	return list || extent_whole(r, e) ? 0 : -EBADMSG;
}

int op_verify(const struct paste_region *r, const struct extent *refs, uint32_t n, bool indirect)
{
	return op_each_extent(r, refs, n, indirect, verify_extent, (void *)(uintptr_t)r);
}
