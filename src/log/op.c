/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/op.h"

#include <errno.h>
#include <string.h>

#include "base/copy.h"
#include "base/crc.h"
#include "base/site.h"

int64_t op_decode(const uint8_t *p, size_t room, struct op_view *v)
{
	if (room < sizeof(v->op))
		return -EBADMSG;
	memcpy(&v->op, p, sizeof(v->op));
	if (v->op.type < OP_PUT || v->op.type > OP_BATCH || v->op.refs > OP_REFS_MAX ||
	    v->op.attributes > OP_ATTRIBUTES_MAX || v->op.key_length > 1024)
		return -EBADMSG;
	if ((v->op.flags & OP_INLINE) && v->op.length > (v->op.type == OP_RETRY ? OP_RETRY_BYTES_MAX : 1024))
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

static void put_op(uint8_t *p, const struct op *op)
{
	uint64_t word = op->type | (uint64_t)op->flags << 8;

	/* Field by field, as they were set just now: the compiler would make one load of them. */
	__asm__("" : "+r"(word));
	word |= (uint64_t)op->key_length << 16;
	__asm__("" : "+r"(word));
	word |= (uint64_t)op->refs << 32;
	__asm__("" : "+r"(word));
	store_word(p, word | (uint64_t)op->attributes << 48);
	store_word(p + 8, op->version);
	store_word(p + 16, op->length);
}

size_t op_encode(uint8_t *p, const struct op_view *v)
{
	uint8_t *q = p + sizeof(v->op);
	size_t size = op_size(&v->op);

	/* Padding first: what comes before it is written over its front. */
	store_word(p + size - 8, 0);
	put_op(p, &v->op);
	for (uint32_t i = 0; i < v->op.refs; i++) {
		extent_copy((struct extent *)(void *)q, &v->refs[i]);
		q += sizeof(struct extent);
	}
	/* An odd one ends in the middle of a word, that of the padding or the key: whole, too. */
	if (v->op.refs % 2)
		store_word(q - sizeof(uint32_t), v->refs[v->op.refs - 1].crc);
	copy_short(q, v->key, v->op.key_length);
	q += v->op.key_length;
	if (v->op.attributes)
		copy_short(q, v->attributes, v->op.attributes);
	q += v->op.attributes;
	if (v->op.flags & OP_INLINE)
		copy_short(q, v->bytes, v->op.length);
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

	if (v->op.type == OP_RETRY || v->op.type == OP_CLOCK)
		return DIGEST_NONE;
	if (v->op.type == OP_BATCH)
		return DIGEST_MANY;
	/* A lost move hides nothing: the value it moved is the same, and its old place is checked when read. */
	if (v->op.flags & OP_MOVED)
		return DIGEST_NONE;
	return key_digest(stream, v->key, v->op.key_length);
}

/* The value of the attribute, of `size` bytes; `value` stays as it is if it is not there. */
static void attribute_read(const uint8_t *p, size_t length, uint8_t type, void *value, uint8_t size)
{
	while (length >= 2 && length - 2 >= p[1]) {
		if (p[0] == type && p[1] == size) {
			memcpy(value, p + 2, size);
			return;
		}
		length -= 2u + p[1];
		p += 2u + p[1];
	}
}

uint64_t attributes_expires(const uint8_t *p, size_t length)
{
	uint64_t expires = 0;

	attribute_read(p, length, ATTRIBUTE_EXPIRES, &expires, sizeof(expires));
	return expires;
}

uint32_t attributes_fingerprint(const uint8_t *p, size_t length)
{
	uint32_t fingerprint = 0;

	attribute_read(p, length, ATTRIBUTE_FINGERPRINT, &fingerprint, sizeof(fingerprint));
	return fingerprint;
}

void attribute_fingerprint_put(uint8_t *p, uint32_t fingerprint)
{
	p[0] = ATTRIBUTE_FINGERPRINT;
	p[1] = sizeof(fingerprint);
	memcpy(p + 2, &fingerprint, sizeof(fingerprint));
}

void attribute_expires_put(uint8_t *p, uint64_t expires)
{
	p[0] = ATTRIBUTE_EXPIRES;
	p[1] = sizeof(expires);
	memcpy(p + 2, &expires, sizeof(expires));
}

/* The bytes of a BATCH's ops: they stand in one piece, however many references it took to say so. NULL: they do not. */
static const uint8_t *batch_bytes(const struct paste_region *r, const struct op_view *v, uint64_t *length)
{
	const uint8_t *begin = NULL, *end = NULL;

	for (uint32_t i = 0; i < v->op.refs; i++) {
		struct extent e = v->refs[i];
		if (!region_ref_valid(r, e.ref))
			return NULL;
		const uint8_t *p = region_ref_data(r, e.ref);
		if ((i > 0 && p != end) || !extent_whole(r, &e))
			return NULL;
		begin = i == 0 ? p : begin;
		end = p + e.ref.length;
	}
	*length = begin ? (uint64_t)(end - begin) : 0;
	return (uintptr_t)begin % 8 == 0 ? begin : NULL;
}

int op_each(const struct paste_region *r, const struct op_view *v, op_fn each, void *arg)
{
	uint64_t room;

	if (v->op.type != OP_BATCH)
		return each(arg, v);
	const uint8_t *p = batch_bytes(r, v, &room);
	if (!p)
		return -EBADMSG;
	while (room > 0) {
		struct op_view inner;
		int64_t size = op_decode(p, room, &inner);
		if (size < 0 || inner.op.type == OP_BATCH)
			return -EBADMSG;
		int ret = each(arg, &inner);
		if (ret)
			return ret;
		p += size;
		room -= (uint64_t)size;
	}
	return 0;
}

bool extent_whole(const struct paste_region *r, const struct extent *e)
{
	return region_ref_readable(r, e->ref) &&
	       (paste_crc(0, region_ref_data(r, e->ref), e->ref.length) == e->crc || !SITE(extent_crc_check));
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
