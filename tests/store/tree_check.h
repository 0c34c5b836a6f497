/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that tree_node.h says about a tree, verified on one. */
#ifndef TESTS_TREE_CHECK_H
#define TESTS_TREE_CHECK_H

#include "store/tree.h"

struct tree_shape {
	uint64_t items, leaves, inners, separators;
	uint64_t separator_bytes;
};

/* NULL, or which of its invariants the tree breaks. */
const char *tree_check(const struct tree *t, struct tree_shape *shape);

/* The slots of a node in this build, and the sizes of the nodes. */
unsigned tree_slots(void);
size_t tree_leaf_size(void);
size_t tree_inner_size(void);

#endif
