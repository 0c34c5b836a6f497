/* SPDX-License-Identifier: BSD-2-Clause */
/* Removal: it joins nodes, needs no memory and cannot fail. */
#include <assert.h>

#include "store/tree_node.h"

static void inner_remove(struct tree_inner *inner, unsigned index)
{
	size_t behind = inner->n - index - 1u;

	memmove(inner->prefix + index, inner->prefix + index + 1, behind * sizeof(*inner->prefix));
	memmove(inner->separator + index, inner->separator + index + 1, behind * sizeof(*inner->separator));
	memmove(inner->child + index + 1, inner->child + index + 2, behind * sizeof(*inner->child));
	inner->n--; /* skip stays: what is left has at least as much in common */
}

/* Of two neighbours under one parent, make one if they fit well, else, if one has run out of separators,
 * share. */
static void inner_join(struct tree *t, struct tree_inner *parent, unsigned index)
{
	struct tree_inner *left = parent->child[index], *right = parent->child[index + 1];
	struct tree_separator *separators[2 * TREE_SLOTS + 1];
	void *children[2 * TREE_SLOTS + 2];
	unsigned n = left->n + right->n + 1u; /* the parent's separator comes down between the two */

	if (n > TREE_JOIN && left->n && right->n)
		return;
	memcpy(separators, left->separator, left->n * sizeof(*separators));
	separators[left->n] = parent->separator[index];
	memcpy(separators + left->n + 1, right->separator, right->n * sizeof(*separators));
	memcpy(children, left->child, (left->n + 1u) * sizeof(*children));
	memcpy(children + left->n + 1, right->child, (right->n + 1u) * sizeof(*children));

	if (n <= TREE_JOIN) {
		inner_remove(parent, index);
		tree_inner_fill(left, separators, children, n);
		tree_memory_free(t, right, sizeof(*right));
		return;
	}
	unsigned middle = n / 2;
	tree_inner_fill(left, separators, children, middle);
	tree_inner_fill(right, separators + middle + 1, children + middle + 1, n - middle - 1);
	parent->separator[index] = separators[middle];
	tree_inner_index(parent);
}

/* A separator has gone from the lowest inner node of the path: put right what became too small, upwards. */
static void join_path(struct tree *t, const struct tree_position *at)
{
	for (unsigned level = t->height - 1; level > 0; level--) {
		struct tree_inner *inner = at->path[level].inner, *parent = at->path[level - 1].inner;
		unsigned index = at->path[level - 1].index;
		if (inner->n >= TREE_FEW && inner->n > 0)
			return;
		inner_join(t, parent, index < parent->n ? index : index - 1);
	}
	struct tree_inner *root = t->root;
	if (root->n == 0) {
		t->root = root->child[0];
		t->height--;
		tree_memory_free(t, root, sizeof(*root));
	}
}

/* Append right's items to left, which then reaches from left_fence to right_fence, and free right. */
static void leaf_append(struct tree *t, struct tree_leaf *left, struct tree_leaf *right, size_t skip)
{
	/* Prefixes of the two compare only if they leave out the same bytes. */
	tree_leaf_set_skip(t, left, skip);
	tree_leaf_set_skip(t, right, skip);
	memcpy(left->prefix + left->n, right->prefix, right->n * sizeof(*left->prefix));
	memcpy(left->item + left->n, right->item, right->n * sizeof(*left->item));
	left->n += right->n;
	left->streak = 0;
	left->next = right->next;
	if (t->last == right)
		t->last = left;
	tree_memory_free(t, right, sizeof(*right));
}

static void leaf_join(struct tree *t, struct tree_position *at)
{
	const struct tree_separator *left_fence, *right_fence, *unused;
	struct tree_inner *parent = at->path[t->height - 1].inner;
	uint16_t *step = &at->path[t->height - 1].index;

	if (*step == parent->n)
		--*step; /* the last child joins the one before it; else the one behind */
	unsigned index = *step;
	struct tree_leaf *left = parent->child[index], *right = parent->child[index + 1];
	if (at->leaf->n > 0 && left->n + right->n > TREE_JOIN)
		return;
	tree_fences(t, at, &left_fence, &unused);
	++*step;
	tree_fences(t, at, &unused, &right_fence);
	leaf_append(t, left, right, tree_fence_skip(left_fence, right_fence));
	tree_separator_free(t, parent->separator[index]);
	inner_remove(parent, index);
	join_path(t, at);
}

void *tree_remove_at(struct tree *t, struct tree_position *at)
{
	assert(at->version == t->version && at->found);
	struct tree_leaf *leaf = at->leaf;
	unsigned index = at->index;
	void *item = leaf->item[index];
	size_t behind = leaf->n - index - 1u;

	memmove(leaf->prefix + index, leaf->prefix + index + 1, behind * sizeof(*leaf->prefix));
	memmove(leaf->item + index, leaf->item + index + 1, behind * sizeof(*leaf->item));
	leaf->n--;
	leaf->behind -= index < leaf->behind;
	t->count--;
	t->version++;
	if (leaf->n >= TREE_FEW && leaf->n > 0)
		return item;
	if (t->height) {
		leaf_join(t, at);
	} else if (leaf->n == 0) {
		tree_memory_free(t, leaf, sizeof(*leaf));
		t->root = t->last = NULL;
	}
	return item;
}

void *tree_remove(struct tree *t, const void *key, size_t length)
{
	struct tree_position at;

	return tree_locate(t, key, length, &at) ? tree_remove_at(t, &at) : NULL;
}
