/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>

#include "store/tree_node.h"

#define AHEAD 6 /* items that a cursor asks the memory for before it comes to them */

void *tree_first(const struct tree *t)
{
	unsigned index;
	struct tree_leaf *leaf = tree_seek(t, NULL, 0, false, &index);

	return leaf ? leaf->item[index] : NULL;
}

void *tree_after(const struct tree *t, const void *key, size_t length)
{
	unsigned index;
	struct tree_leaf *leaf = tree_seek(t, key, length, false, &index);

	return leaf ? leaf->item[index] : NULL;
}

void *tree_at_or_after(const struct tree *t, const void *key, size_t length)
{
	unsigned index;
	struct tree_leaf *leaf = tree_seek(t, key, length, true, &index);

	return leaf ? leaf->item[index] : NULL;
}

size_t tree_scan(const struct tree *t, const void *after, size_t length, void **items, size_t max)
{
	unsigned index;
	size_t n = 0;

	for (struct tree_leaf *leaf = tree_seek(t, after, length, false, &index); leaf && n < max;
	     leaf = leaf->next) {
		size_t some = leaf->n - index;
		if (some > max - n)
			some = max - n;
		__builtin_prefetch(leaf->next);
		memcpy(items + n, leaf->item + index, some * sizeof(*items));
		n += some;
		index = 0;
	}
	return n;
}

void tree_cursor_start(struct tree_cursor *c, const struct tree *t, const void *after, size_t length)
{
	c->tree = t;
	c->version = t->version - 1; /* not the tree's: descend first */
	c->leaf = NULL;
	c->index = 0;
	c->length = 0;
	if (after) {
		assert(length - 1 < TREE_KEY_MAX);
		c->length = (uint16_t)length;
		memcpy(c->key, after, length);
	}
}

void *tree_cursor_next(struct tree_cursor *c)
{
	const struct tree *t = c->tree;
	unsigned index = c->index;
	size_t length;

	if (c->version != t->version) {
		c->leaf = tree_seek(t, c->length ? c->key : NULL, c->length, false, &index);
		c->version = t->version;
	} else if (c->leaf && index == c->leaf->n) {
		c->leaf = c->leaf->next;
		index = 0;
	}
	if (!c->leaf)
		return NULL;
	void *item = c->leaf->item[index];
	/* Items lie anywhere: ask for them a few steps ahead, both lines that a small one is in. */
	if (index + AHEAD < c->leaf->n) {
		__builtin_prefetch(c->leaf->item[index + AHEAD]);
		__builtin_prefetch((const char *)c->leaf->item[index + AHEAD] + 64);
	}
	c->index = (uint16_t)(index + 1);
	const void *key = t->key_of(item, &length);
	c->length = (uint16_t)length;
	memcpy(c->key, key, length);
	return item;
}
