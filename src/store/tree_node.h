/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree_node.h - the tree's nodes and what is known about the keys in them; for src/store/tree*.c only.
 *
 *	                 inner    n separators, n + 1 children
 *	          ┌───────┬───────┐
 *	          │  "d"  │ "key5"│        separator i: child i < separator i <= child i + 1
 *	          └───────┴───────┘
 *	     ┌────────┘   │       └────────┐
 *	   leaf ───────► leaf ──────────► leaf      linked, none is empty
 *	   "a" "c"     "dab" "key4"   "key55" "z"
 *
 * Separators. The shortest string that tells two leaves apart (the right one's first key, cut after the
 * first byte that differs) in a copy that the tree owns, so that none dangles when an item goes. They
 * are few and hot.
 *
 * Prefixes. Beside each pointer stand eight bytes of the key as a big-endian number, taken after the
 * first `skip` bytes, zeros behind the key's end. Different prefixes are in the order of their keys;
 * the same prefix proves nothing, and the keys are looked at. Why all keys that a search can bring to a
 * node share its first `skip` bytes:
 *
 *   - leaf: the separators to its left and right (its fences, wherever above they stand) share them, so
 *     does what sorts between the two. The leaf knows without looking at an item. First and last leaf:
 *     skip is 0.
 *   - inner: its own separators share them; a search compares the key with the first one's start
 *     before. (By fences the root could skip nothing, and with it all that "user:" has in common would
 *     stay in the way.)
 */
#ifndef STORE_TREE_NODE_H
#define STORE_TREE_NODE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "store/tree.h"

/* The slots of a node: 127 make a leaf 2048 bytes and an inner node just under 3072, both classes of the
 * slab. Measured with bench/tree, 1 M random keys, ns to find one there / one absent (a miss of the cache
 * took 110): 31 slots 391 / 177, 63 slots 384 / 151, 127 slots 278 / 128, 191 slots no better: with fewer,
 * inner nodes outgrow the second level cache; with more, a leaf is too many lines. Tests build with fewer,
 * for high trees. */
#ifndef TREE_SLOTS
#define TREE_SLOTS 127
#endif
/* A node that falls below TREE_FEW joins a neighbour if the two come to at most TREE_JOIN. The distance
 * between the two keeps a tree that shrinks and grows by turns from joining and splitting all the time. */
#define TREE_FEW (TREE_SLOTS / 4)
#define TREE_JOIN (TREE_SLOTS * 3 / 4)

struct tree_separator {
	uint16_t length;
	uint8_t bytes[];
};

struct tree_leaf {
	struct tree_leaf *next;
	uint16_t n;
	uint16_t skip;
	uint16_t streak; /* the last so many insertions each came right behind the one before, */
	uint16_t behind; /* whose place is before this index */
	uint64_t prefix[TREE_SLOTS];
	void *item[TREE_SLOTS];
};

struct tree_inner {
	uint16_t n; /* separators, at least 1 */
	uint16_t skip;
	uint64_t prefix[TREE_SLOTS];
	struct tree_separator *separator[TREE_SLOTS];
	void *child[TREE_SLOTS + 1];
};

_Static_assert(TREE_SLOTS >= 4 && TREE_SLOTS < 256, "room to split, and a node that the slab can hold");

static inline uint64_t tree_prefix(const uint8_t *key, size_t length, size_t skip)
{
	uint64_t word = 0;
	size_t rest = length - skip;

	if (rest >= 8) {
		memcpy(&word, key + skip, 8);
		return __builtin_bswap64(word);
	}
	if (rest == 0)
		return 0;
	if (length >= 8) { /* the key's last eight bytes, without those before `skip` */
		memcpy(&word, key + length - 8, 8);
		return __builtin_bswap64(word) << (64 - 8 * rest);
	}
	for (size_t i = 0; i < rest; i++)
		word |= (uint64_t)key[skip + i] << (56 - 8 * i);
	return word;
}

/* Compares two keys that share the first `from` bytes. */
static inline int tree_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length,
			       size_t from)
{
	size_t shorter = a_length < b_length ? a_length : b_length;
	int c = memcmp(a + from, b + from, shorter - from);

	return c ? c : (a_length > b_length) - (a_length < b_length);
}

/* How many bytes two keys have in common at their start. */
static inline size_t tree_common(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
	size_t shorter = a_length < b_length ? a_length : b_length, i = 0;

	while (i < shorter && a[i] == b[i])
		i++;
	return i;
}

/* How many of n ascending numbers are below x. No branch depends on what is compared. */
static inline unsigned tree_below(const uint64_t *prefix, unsigned n, uint64_t x)
{
	const uint64_t *p = prefix;

	if (n == 0)
		return 0;
	while (n > 1) {
		unsigned half = n / 2;
		p += half & -(unsigned)(p[half - 1] < x);
		n -= half;
	}
	return (unsigned)(p - prefix) + (*p < x);
}

/* tree.c */
void *tree_memory_alloc(struct tree *t, size_t size);
void tree_memory_free(struct tree *t, void *p, size_t size);
void tree_separator_free(struct tree *t, struct tree_separator *separator);
struct tree_leaf *tree_seek(const struct tree *t, const void *key, size_t length, bool or_equal,
			    unsigned *index);

/* tree_node.c */
void tree_leaf_set_skip(const struct tree *t, struct tree_leaf *leaf, size_t skip);
void tree_inner_fill(struct tree_inner *inner, struct tree_separator *const *separators,
		     void *const *children, unsigned n);
void tree_inner_insert(struct tree_inner *inner, unsigned index, struct tree_separator *separator,
		       void *right);
void tree_inner_index(struct tree_inner *inner);
size_t tree_fence_skip(const struct tree_separator *left, const struct tree_separator *right);
void tree_fences(const struct tree *t, const struct tree_position *at, const struct tree_separator **left,
		 const struct tree_separator **right);

#endif
