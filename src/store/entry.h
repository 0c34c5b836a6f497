/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.h - what the index holds for a key or a stream's entry.
 *
 * One object from the slab: the fixed part, then the references with their checksums, the key (none for stream
 * entries), attributes, and the value's bytes if it is tiny. An entry never changes its size: a change makes a new one.
 */
#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

#include "log/op.h"
#include "store/slab.h"

/* Beside OP_INLINE, OP_INDIRECT, OP_LOST in `flags`. */
#define ENTRY_ABSENT 0x40  /* deleted; stands in the index until that is durable */
#define ENTRY_DROPPED 0x80 /* an ABSENT one that is no longer in the index */

struct entry {
	uint64_t version; /* key: record that set it; stream entry: its number */
	uint64_t mark;    /* round of the last change; during recovery: the record's number */
	uint64_t length;  /* of the value, bytes */
	uint16_t key_length;
	uint16_t attributes;
	uint8_t refs;
	uint8_t flags;
	uint16_t zero;
	struct extent extent[];
};

_Static_assert(OP_REFS_MAX <= UINT8_MAX, "entry.refs holds the count");

static inline uint8_t *entry_key(const struct entry *e)
{
	return (uint8_t *)(uintptr_t)&e->extent[e->refs];
}

static inline uint8_t *entry_bytes(const struct entry *e)
{
	return entry_key(e) + e->key_length + e->attributes;
}

/* When the key expires, or 0. */
static inline uint64_t entry_expires(const struct entry *e)
{
	return e->attributes ? attributes_expires(entry_key(e) + e->key_length, e->attributes) : 0;
}

static inline size_t entry_size(const struct entry *e)
{
	return sizeof(*e) + e->refs * sizeof(struct extent) + e->key_length + e->attributes +
	       (e->flags & OP_INLINE ? e->length : 0);
}

/* A new entry with the op's content. NULL: no memory. */
struct entry *entry_new(struct slab *slab, const struct op_view *v);
void entry_free(struct slab *slab, struct entry *e);

/* The op that says what the entry holds, of the type given. Pointers lead into the entry. */
void entry_op(const struct entry *e, uint8_t type, struct op_view *v);

/* For tree_init(). */
const void *entry_key_of(const void *item, size_t *length);

#endif
