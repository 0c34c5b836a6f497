/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * op.h - ops as they stand in records and checkpoint pages (docs/format.md, section 5): taken apart and put together.
 */
#ifndef LOG_OP_H
#define LOG_OP_H

#include <stdbool.h>
#include <string.h>

#include "base/copy.h"
#include "region/format.h"
#include "region/region.h"

/* An op taken apart; pointers lead into where it stands. */
struct op_view {
	struct op op;
	const struct extent *refs;
	const uint8_t *key;
	const uint8_t *attributes;
	const uint8_t *bytes; /* INLINE: op.length of them */
};

static inline size_t op_padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* As two words, as they were written (base/copy.h). */
static inline void extent_copy(struct extent *to, const struct extent *from)
{
	store_word(&to->ref, load_word(&from->ref));
	memcpy(&to->crc, &from->crc, sizeof(to->crc));
}

static inline void extent_put(struct extent *to, struct paste_ref ref, uint32_t crc)
{
	store_word(&to->ref, ref.buffer | (uint64_t)ref.offset << 32 | (uint64_t)ref.length << 48);
	to->crc = crc;
}

/* When the attributes say that the key expires, or 0. */
uint64_t attributes_expires(const uint8_t *p, size_t length);
/* Write the attribute that says so: ATTRIBUTE_EXPIRES_SIZE bytes. */
void attribute_expires_put(uint8_t *p, uint64_t expires);

/* The same of a RETRY's fingerprint; 0: there is none. ATTRIBUTE_FINGERPRINT_SIZE bytes. */
uint32_t attributes_fingerprint(const uint8_t *p, size_t length);
void attribute_fingerprint_put(uint8_t *p, uint32_t fingerprint);

/* Bytes that the op takes, padding included. */
static inline size_t op_size(const struct op *op)
{
	size_t inline_bytes = op->flags & OP_INLINE ? op->length : 0;

	return op_padded(sizeof(*op) + (size_t)op->refs * sizeof(struct extent) + op->key_length + op->attributes +
			 inline_bytes);
}

/* Take apart what stands at p with at most `room` bytes. Its size, or -EBADMSG if it makes no sense. */
int64_t op_decode(const uint8_t *p, size_t room, struct op_view *view);

/* Write the op to p, padding zeroed. Its size. */
size_t op_encode(uint8_t *p, const struct op_view *view);

/*
 * Call `each` for an op, or for each of those that a BATCH stands for. Stops at the first nonzero return. -EBADMSG: they
 * are damaged or make no sense. `r`: where a BATCH's references lead.
 */
typedef int (*op_fn)(void *arg, const struct op_view *v);
int op_each(const struct paste_region *r, const struct op_view *v, op_fn each, void *arg);

/* What the record after one with this op says of it. */
uint32_t op_digest(const struct op_view *view);
uint32_t key_digest(bool stream, const void *key, size_t length);

/* Call `each` for every extent of the value, through the lists of an INDIRECT op (the list's own extents first are
 * checked against their CRC, then reported with list = true). Stops at the first nonzero return. -EBADMSG: a
 * reference leads out of the region or a list is damaged. */
typedef int (*op_extent_fn)(void *arg, const struct extent *e, bool list);
int op_each_extent(const struct paste_region *r, const struct extent *refs, uint32_t n, bool indirect,
		   op_extent_fn each, void *arg);

/* The bytes of the extent are those that its CRC says. */
bool extent_whole(const struct paste_region *r, const struct extent *e);

/* All bytes of the value (and lists) are whole. 0 or -EBADMSG. */
int op_verify(const struct paste_region *r, const struct extent *refs, uint32_t n, bool indirect);

#endif
