/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * retry.h - calls that were made with a retry key, and what they returned (paste/change.h).
 *
 * Kept in the order in which they were made, so that the oldest is forgotten first, and in a tree by their
 *keys. Each stands in the log, in the record of its changes, and in the checkpoint, as a RETRY op:
 *
 *	key: class, length of the retry key, retry key, name		version: time	bytes: 8 for each
 *change
 *	attributes: the fingerprint, if there is one
 */
#ifndef STORE_RETRY_H
#define STORE_RETRY_H

#include "log/op.h"
#include "store/slab.h"
#include "store/tree.h"

/* A result as it is remembered: the version or sequence number, and whether the key was there before. */
#define RETRY_EXISTED (1ull << 63)

struct retry {
	uint64_t time;  /* of the call, ms */
	uint64_t mark;  /* its round */
	uint64_t place; /* in the order, from the first one ever on */
	uint16_t key_length;
	uint16_t changes;
	uint32_t fingerprint; /* 0: none */
	uint8_t bytes[]; /* results, then the key */
};

static inline const uint8_t *retry_results(const struct retry *t)
{
	return t->bytes;
}

static inline const uint8_t *retry_key(const struct retry *t)
{
	return t->bytes + 8u * t->changes;
}

struct retries {
	struct tree tree;
	struct retry **order;  /* by place modulo room; NULL: gone */
	uint64_t first, next;  /* places */
	size_t room;           /* a power of two, or 0 */
	uint64_t count, bytes; /* remembered; of their ops */
};

void retries_init(struct retries *rs);
void retries_free(struct retries *rs, struct slab *slab);

struct retry *retries_find(const struct retries *rs, const void *key, size_t length);
/* Make sure that the next retries_add() cannot fail for want of a place. -ENOMEM. */
int retries_reserve(struct retries *rs);
/* Remember what a RETRY op says; one with the same key is replaced. -ENOMEM, -EBADMSG. */
int retries_add(struct retries *rs, struct slab *slab, const struct op_view *v, uint64_t mark);
/* Forget the oldest ones until the rules of paste/change.h hold. */
void retries_forget(struct retries *rs, struct slab *slab, uint64_t now, uint64_t bytes_max);
/* The first that is remembered at or behind a place, or NULL; *place: where it stands. */
struct retry *retries_from(const struct retries *rs, uint64_t *place);

/* Its attributes stand in `attributes`, ATTRIBUTE_FINGERPRINT_SIZE bytes. */
void retry_op(const struct retry *t, struct op_view *v, uint8_t *attributes);

#endif
