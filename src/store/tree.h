/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree.h - an ordered map in memory from byte strings to items (a B+tree).
 *
 * Keys are 1..TREE_KEY_MAX arbitrary bytes, ordered by memcmp() and then the shorter first. An item is the
 * caller's: a pointer that is not NULL, whose key the function given to tree_init() finds. The tree owns
 * neither items nor keys and copies no whole key; an item's key must not change, nor its memory go away,
 * while it is in the tree.
 *
 * Cache misses are what a lookup costs, so a node keeps eight bytes of each key beside the pointer, taken
 * after the bytes that all keys of the node share (see tree_node.h). As a rule a lookup touches one item, the
 * one it returns, and none if the key is absent.
 *
 * Only inserting allocates. It fails with -ENOMEM and then has changed nothing. Nodes that become free are
 * used again. One thread at a time.
 */
#ifndef STORE_TREE_H
#define STORE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/slab.h"

#define TREE_KEY_MAX 1024
#define TREE_HEIGHT_MAX 16 /* levels of inner nodes; beyond any memory */

typedef const void *tree_key_of(const void *item, size_t *length);

/* Where nodes and separators come from: at most SLAB_MAX bytes each, aligned to 8 (64 is better). */
struct tree_memory {
	void *(*alloc)(void *arg, size_t size); /* NULL: none left */
	void (*free)(void *arg, void *p, size_t size);
	void *arg;
};

struct tree {
	tree_key_of *key_of;
	void *root;             /* NULL: empty. A leaf if height is 0 */
	struct tree_leaf *last; /* where ascending keys go */
	unsigned height;        /* levels of inner nodes */
	uint64_t count;         /* items */
	uint64_t version;       /* of the places of items; every insertion and removal raises it */
	struct tree_memory memory;
	struct slab slab; /* the memory, if none was given */
};

/* memory: NULL for a slab of the tree's own. Allocates nothing yet. A tree must not be moved. */
void tree_init(struct tree *t, tree_key_of *key_of, const struct tree_memory *memory);

/* Frees the tree's memory, after calling item() (if not NULL) with each item in order. item() may free it. */
void tree_destroy(struct tree *t, void (*item)(void *arg, void *item), void *arg);

uint64_t tree_count(const struct tree *t);

void *tree_find(const struct tree *t, const void *key, size_t length); /* NULL: not there */

/* Inserts unless the key is there: then returns -EEXIST and leaves the item that has it in *existing (if not
 * NULL). `key` is the item's. -ENOMEM. */
int tree_insert(struct tree *t, const void *key, size_t length, void *item, void **existing);

void *tree_remove(struct tree *t, const void *key, size_t length); /* the item; NULL: was not there */

/* Puts `item` in the place of the one with the same key; the old one, or NULL if there was none (nothing
 * changed). */
void *tree_replace(struct tree *t, const void *key, size_t length, void *item);

/*
 * The same in two steps, for a caller that decides between them: look up, then insert, replace or remove
 * there without a second descent. A position is good for one of these, until the tree changes (asserted) and
 * while the key's bytes stay.
 */
struct tree_position {
	const uint8_t *key;
	size_t length;
	uint64_t prefix;  /* of key in this leaf */
	uint64_t version; /* of the tree */
	struct tree_leaf *leaf;
	uint16_t index; /* of the item, or where it would be */
	bool found;
	bool has_path; /* `path` was filled in */
	struct {
		struct tree_inner *inner;
		uint16_t index;  /* of the child */
	} path[TREE_HEIGHT_MAX]; /* from the root */
};

/* The item, or NULL if there is none: then the position is where it would be. */
void *tree_locate(const struct tree *t, const void *key, size_t length, struct tree_position *at);
int tree_insert_at(struct tree *t, struct tree_position *at, void *item);    /* not found before. -ENOMEM */
void *tree_replace_at(struct tree *t, struct tree_position *at, void *item); /* found before; the old item */
void *tree_remove_at(struct tree *t, struct tree_position *at);              /* found before; the item */

/* In order; NULL: there is none. */
void *tree_first(const struct tree *t);
void *tree_after(const struct tree *t, const void *key, size_t length);       /* the first with a key > */
void *tree_at_or_after(const struct tree *t, const void *key, size_t length); /* the first with a key >= */

/* Up to max items with keys > after (NULL: from the first on), in order. The number of items. A walk that
 * tolerates any change between its steps: scan, remember the last key, scan on. */
size_t tree_scan(const struct tree *t, const void *after, size_t length, void **items, size_t max);

/*
 * A walk in order, item by item. The tree may be changed in any way between two steps: the cursor keeps a
 * copy of the last key (which makes it large) and descends again when it must. Items inserted behind it are
 * not seen, those before it are. At the end it returns NULL, and goes on if items came later. Nothing to
 * release.
 */
struct tree_cursor {
	const struct tree *tree;
	const struct tree_leaf *leaf; /* of the next item, while `version` is the tree's */
	uint64_t version;
	uint16_t index;
	uint16_t length; /* of key; 0: at the start */
	uint8_t key[TREE_KEY_MAX];
};

void tree_cursor_start(struct tree_cursor *c, const struct tree *t, const void *after, size_t length);
void *tree_cursor_next(struct tree_cursor *c);

#endif
