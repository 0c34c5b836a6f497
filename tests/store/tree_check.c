/* SPDX-License-Identifier: BSD-2-Clause */
#include "tree_check.h"

#include "store/tree_node.h"

#define REQUIRE(condition)                                                                                   \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			return #condition;                                                                   \
	} while (0)

unsigned tree_slots(void)
{
	return TREE_SLOTS;
}

size_t tree_leaf_size(void)
{
	return sizeof(struct tree_leaf);
}

size_t tree_inner_size(void)
{
	return sizeof(struct tree_inner);
}

struct walk {
	const struct tree *t;
	struct tree_shape *shape;
	const struct tree_leaf *previous;
};

static int order(const uint8_t *a, size_t a_length, const struct tree_separator *s)
{
	return tree_compare(a, a_length, s->bytes, s->length, 0);
}

static const char *check_leaf(struct walk *w, const struct tree_leaf *leaf, const struct tree_separator *low,
			      const struct tree_separator *high)
{
	const uint8_t *before = NULL;
	size_t before_length = 0;

	REQUIRE(leaf->n >= 1 && leaf->n <= TREE_SLOTS);
	REQUIRE(!w->previous || w->previous->next == leaf);
	REQUIRE(leaf->skip == tree_fence_skip(low, high));
	for (unsigned i = 0; i < leaf->n; i++) {
		size_t length;
		const uint8_t *key = w->t->key_of(leaf->item[i], &length);
		REQUIRE(!low || order(key, length, low) >= 0);
		REQUIRE(!high || order(key, length, high) < 0);
		REQUIRE(length >= leaf->skip);
		REQUIRE(leaf->prefix[i] == tree_prefix(key, length, leaf->skip));
		REQUIRE(!before || tree_compare(before, before_length, key, length, 0) < 0);
		before = key;
		before_length = length;
	}
	w->previous = leaf;
	w->shape->leaves++;
	w->shape->items += leaf->n;
	return NULL;
}

static const char *check_node(struct walk *w, const void *node, unsigned height,
			      const struct tree_separator *low, const struct tree_separator *high)
{
	if (height == 0)
		return check_leaf(w, node, low, high);

	const struct tree_inner *inner = node;
	REQUIRE(inner->n >= 1 && inner->n <= TREE_SLOTS);
	w->shape->inners++;
	w->shape->separators += inner->n;
	for (unsigned i = 0; i < inner->n; i++) {
		const struct tree_separator *s = inner->separator[i];
		REQUIRE(s->length >= inner->skip && s->length >= 1);
		REQUIRE(memcmp(s->bytes, inner->separator[0]->bytes, inner->skip) == 0);
		REQUIRE(inner->prefix[i] == tree_prefix(s->bytes, s->length, inner->skip));
		REQUIRE(!low || order(s->bytes, s->length, low) > 0);
		REQUIRE(!high || order(s->bytes, s->length, high) < 0);
		REQUIRE(i == 0 || order(s->bytes, s->length, inner->separator[i - 1]) > 0);
		w->shape->separator_bytes += sizeof(*s) + s->length;
	}
	for (unsigned i = 0; i <= inner->n; i++) {
		const char *broken =
		    check_node(w, inner->child[i], height - 1, i ? inner->separator[i - 1] : low,
			       i < inner->n ? inner->separator[i] : high);
		if (broken)
			return broken;
	}
	return NULL;
}

const char *tree_check(const struct tree *t, struct tree_shape *shape)
{
	struct tree_shape unused;
	struct walk w = {.t = t, .shape = shape ? shape : &unused};

	*w.shape = (struct tree_shape){0};
	if (!t->root) {
		REQUIRE(t->count == 0 && t->height == 0 && !t->last);
		return NULL;
	}
	const char *broken = check_node(&w, t->root, t->height, NULL, NULL);
	if (broken)
		return broken;
	REQUIRE(w.shape->items == t->count);
	REQUIRE(w.previous == t->last && !t->last->next);
	return NULL;
}
