/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of a node's upkeep that insertion and removal share. */
#include "store/tree_node.h"

/* Change what the leaf's prefixes leave out. Looks at every key, so the items are fetched all at once before.
 */
void tree_leaf_set_skip(const struct tree *t, struct tree_leaf *leaf, size_t skip)
{
	if (leaf->skip == skip)
		return;
	leaf->skip = (uint16_t)skip;
	for (unsigned i = 0; i < leaf->n; i++)
		__builtin_prefetch(leaf->item[i]);
	for (unsigned i = 0; i < leaf->n; i++) {
		size_t length;
		const uint8_t *key = t->key_of(leaf->item[i], &length);
		leaf->prefix[i] = tree_prefix(key, length, skip);
	}
}

static uint64_t separator_prefix(const struct tree_inner *inner, const struct tree_separator *s)
{
	return tree_prefix(s->bytes, s->length, inner->skip);
}

/* Set skip to what the separators have in common, and all prefixes. */
void tree_inner_index(struct tree_inner *inner)
{
	const struct tree_separator *first = inner->separator[0], *last = inner->separator[inner->n - 1];

	inner->skip = (uint16_t)tree_common(first->bytes, first->length, last->bytes, last->length);
	for (unsigned i = 0; i < inner->n; i++)
		inner->prefix[i] = separator_prefix(inner, inner->separator[i]);
}

void tree_inner_fill(struct tree_inner *inner, struct tree_separator *const *separators,
		     void *const *children, unsigned n)
{
	inner->n = (uint16_t)n;
	memcpy(inner->separator, separators, n * sizeof(*separators));
	memcpy(inner->child, children, (n + 1) * sizeof(*children));
	tree_inner_index(inner);
}

/* Put in the separator with this index and the child to its right. There is room. */
void tree_inner_insert(struct tree_inner *inner, unsigned index, struct tree_separator *separator,
		       void *right)
{
	const struct tree_separator *first = inner->separator[0];
	size_t common = tree_common(separator->bytes, separator->length, first->bytes, first->length);
	size_t behind = inner->n - index;

	memmove(inner->prefix + index + 1, inner->prefix + index, behind * sizeof(*inner->prefix));
	memmove(inner->separator + index + 1, inner->separator + index, behind * sizeof(*inner->separator));
	memmove(inner->child + index + 2, inner->child + index + 1, behind * sizeof(*inner->child));
	inner->separator[index] = separator;
	inner->child[index + 1] = right;
	inner->n++;
	if (common < inner->skip)
		tree_inner_index(inner);
	else
		inner->prefix[index] = separator_prefix(inner, separator);
}

/* The bytes that every key between two fences begins with. */
size_t tree_fence_skip(const struct tree_separator *left, const struct tree_separator *right)
{
	return left && right ? tree_common(left->bytes, left->length, right->bytes, right->length) : 0;
}

/* The separators around the position's leaf: the nearest above it on either side. NULL: it is the first, or
 * last. */
void tree_fences(const struct tree *t, const struct tree_position *at, const struct tree_separator **left,
		 const struct tree_separator **right)
{
	*left = *right = NULL;
	for (unsigned level = t->height; level-- > 0 && !(*left && *right);) {
		const struct tree_inner *inner = at->path[level].inner;
		unsigned index = at->path[level].index;
		if (!*left && index > 0)
			*left = inner->separator[index - 1];
		if (!*right && index < inner->n)
			*right = inner->separator[index];
	}
}
