/* SPDX-License-Identifier: BSD-2-Clause */
/* Set up, descend, find, insert. Nodes: tree_node.h. Removal: tree_remove.c. Walks: tree_scan.c. */
#include "store/tree.h"

#include <assert.h>
#include <errno.h>

#include "store/tree_node.h"

static void *own_alloc(void *arg, size_t size)
{
	return slab_alloc(arg, size);
}

static void own_free(void *arg, void *p, size_t size)
{
	slab_free(arg, p, size);
}

void *tree_memory_alloc(struct tree *t, size_t size)
{
	return t->memory.alloc(t->memory.arg, size);
}

void tree_memory_free(struct tree *t, void *p, size_t size)
{
	t->memory.free(t->memory.arg, p, size);
}

void tree_separator_free(struct tree *t, struct tree_separator *s)
{
	tree_memory_free(t, s, sizeof(*s) + s->length);
}

void tree_init(struct tree *t, tree_key_of *key_of, const struct tree_memory *memory)
{
	*t = (struct tree){.key_of = key_of};
	slab_init(&t->slab, 0, NULL);
	t->memory = memory ? *memory : (struct tree_memory){own_alloc, own_free, &t->slab};
}

static void node_destroy(struct tree *t, void *node, unsigned height)
{
	if (height == 0) {
		tree_memory_free(t, node, sizeof(struct tree_leaf));
		return;
	}
	struct tree_inner *inner = node;
	for (unsigned i = 0; i <= inner->n; i++)
		node_destroy(t, inner->child[i], height - 1);
	for (unsigned i = 0; i < inner->n; i++)
		tree_separator_free(t, inner->separator[i]);
	tree_memory_free(t, inner, sizeof(*inner));
}

void tree_destroy(struct tree *t, void (*item)(void *arg, void *item), void *arg)
{
	unsigned index;

	for (struct tree_leaf *leaf = tree_seek(t, NULL, 0, false, &index); leaf && item; leaf = leaf->next)
		for (unsigned i = 0; i < leaf->n; i++)
			item(arg, leaf->item[i]);
	if (t->root)
		node_destroy(t, t->root, t->height);
	t->root = t->last = NULL;
	t->height = 0;
	t->count = 0;
	t->version++;
	slab_destroy(&t->slab);
}

uint64_t tree_count(const struct tree *t)
{
	return t->count;
}

/* How many of the node's separators are <= key: the child to descend into. */
static inline unsigned inner_search(const struct tree_inner *inner, const uint8_t *key, size_t length)
{
	size_t skip = inner->skip;

	if (skip) {
		int c = memcmp(key, inner->separator[0]->bytes, length < skip ? length : skip);
		if (c < 0 || (c == 0 && length < skip))
			return 0;
		if (c > 0)
			return inner->n;
	}
	uint64_t prefix = tree_prefix(key, length, skip);
	unsigned low = tree_below(inner->prefix, inner->n, prefix), high = low;
	while (high < inner->n && inner->prefix[high] == prefix)
		high++;
	while (low < high) {
		unsigned middle = (low + high) / 2;
		const struct tree_separator *s = inner->separator[middle];
		if (tree_compare(s->bytes, s->length, key, length, skip) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static inline int item_compare(const struct tree *t, const void *item, const uint8_t *key, size_t length,
			       size_t skip)
{
	size_t item_length;
	const uint8_t *item_key = t->key_of(item, &item_length);

	return tree_compare(item_key, item_length, key, length, skip);
}

/* The index of the first item that is >= key, and whether it is equal. */
static inline unsigned leaf_search(const struct tree *t, const struct tree_leaf *leaf, const uint8_t *key,
				   size_t length, uint64_t prefix, bool *found)
{
	unsigned low = tree_below(leaf->prefix, leaf->n, prefix), high = low;

	*found = false;
	while (high < leaf->n && leaf->prefix[high] == prefix)
		high++;
	while (low < high) {
		unsigned middle = (low + high) / 2;
		int c = item_compare(t, leaf->item[middle], key, length, leaf->skip);
		if (c == 0) {
			*found = true;
			return middle;
		}
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Ask for the lines that a search in the node will read, all at once: one miss instead of one a step (half
 * the time of a lookup). Asking for the item pointers too gains nothing: the processor runs on into them by
 * itself. */
static inline void node_prefetch(const void *node)
{
	for (size_t line = 0; line < offsetof(struct tree_leaf, item); line += 64)
		__builtin_prefetch((const char *)node + line);
}

static inline __attribute__((always_inline)) struct tree_leaf *
descend(const struct tree *t, const uint8_t *key, size_t length, struct tree_position *at)
{
	void *node = t->root;

	for (unsigned level = 0; level < t->height; level++) {
		struct tree_inner *inner = node;
		unsigned index = inner_search(inner, key, length);
		node = inner->child[index];
		node_prefetch(node);
		if (at) {
			at->path[level].inner = inner;
			at->path[level].index = (uint16_t)index;
		}
	}
	return node;
}

void *tree_find(const struct tree *t, const void *key, size_t length)
{
	bool found;

	assert(length - 1 < TREE_KEY_MAX);
	struct tree_leaf *leaf = descend(t, key, length, NULL);
	if (!leaf)
		return NULL;
	unsigned index = leaf_search(t, leaf, key, length, tree_prefix(key, length, leaf->skip), &found);
	return found ? leaf->item[index] : NULL;
}

/* The first item with a key > (or >=) the given one, as leaf and index; NULL key: the very first. NULL: none.
 */
struct tree_leaf *tree_seek(const struct tree *t, const void *key, size_t length, bool or_equal,
			    unsigned *index)
{
	bool found;

	*index = 0;
	if (!key) {
		void *node = t->root;
		for (unsigned level = 0; level < t->height; level++)
			node = ((struct tree_inner *)node)->child[0];
		return node;
	}
	assert(length - 1 < TREE_KEY_MAX);
	struct tree_leaf *leaf = descend(t, key, length, NULL);
	if (!leaf)
		return NULL;
	*index = leaf_search(t, leaf, key, length, tree_prefix(key, length, leaf->skip), &found);
	if (found && !or_equal)
		++*index;
	if (*index == leaf->n) {
		*index = 0;
		leaf = leaf->next;
	}
	return leaf;
}

/* Keys that come in ascending order go behind the last one: no descent, as long as the last leaf has room. */
static bool is_append(const struct tree *t, const struct tree_position *at)
{
	const struct tree_leaf *last = t->last;

	if (!last || last->n == TREE_SLOTS)
		return false;
	uint64_t prefix = tree_prefix(at->key, at->length, last->skip);
	if (prefix != last->prefix[last->n - 1])
		return prefix > last->prefix[last->n - 1];
	return item_compare(t, last->item[last->n - 1], at->key, at->length, last->skip) < 0;
}

void *tree_locate(const struct tree *t, const void *key, size_t length, struct tree_position *at)
{
	assert(length - 1 < TREE_KEY_MAX);
	at->key = key;
	at->length = length;
	at->version = t->version;
	at->found = false;
	at->has_path = false;
	if (is_append(t, at)) {
		at->leaf = t->last;
		at->index = t->last->n;
		at->prefix = tree_prefix(key, length, t->last->skip);
		return NULL;
	}
	at->leaf = descend(t, key, length, at);
	at->has_path = true;
	if (!at->leaf)
		return NULL;
	at->prefix = tree_prefix(key, length, at->leaf->skip);
	at->index = (uint16_t)leaf_search(t, at->leaf, key, length, at->prefix, &at->found);
	return at->found ? at->leaf->item[at->index] : NULL;
}

static void leaf_insert(struct tree_leaf *leaf, unsigned index, uint64_t prefix, void *item)
{
	size_t behind = leaf->n - index;

	memmove(leaf->prefix + index + 1, leaf->prefix + index, behind * sizeof(*leaf->prefix));
	memmove(leaf->item + index + 1, leaf->item + index, behind * sizeof(*leaf->item));
	leaf->prefix[index] = prefix;
	leaf->item[index] = item;
	leaf->n++;
	leaf->streak = index == leaf->behind ? leaf->streak + (leaf->streak < UINT16_MAX) : 0;
	leaf->behind = (uint16_t)(index + 1);
}

/* The shortest string that is > left and <= right. NULL: no memory. */
static struct tree_separator *separator_between(struct tree *t, const uint8_t *left, size_t left_length,
						const uint8_t *right, size_t right_length)
{
	size_t length = tree_common(left, left_length, right, right_length) + 1;
	struct tree_separator *s = tree_memory_alloc(t, sizeof(*s) + length);

	if (!s)
		return NULL;
	s->length = (uint16_t)length;
	memcpy(s->bytes, right, length);
	return s;
}

/* All the memory that one split can need, taken before anything changes; the separator last. */
struct split {
	struct tree_separator *separator;
	struct tree_leaf *right;
	struct tree_inner
	    *inner[TREE_HEIGHT_MAX + 1]; /* one for each full node on the path, and a new root */
	unsigned inners;
	unsigned at;    /* items before this index stay in the left leaf */
	bool ascending; /* leave the left nodes full: nothing more will come there */
};

static void split_cancel(struct tree *t, struct split *split)
{
	while (split->inners)
		tree_memory_free(t, split->inner[--split->inners], sizeof(struct tree_inner));
	if (split->right)
		tree_memory_free(t, split->right, sizeof(struct tree_leaf));
}

static bool split_reserve(struct tree *t, const struct tree_position *at, struct split *split)
{
	unsigned level = t->height, need = 0;

	while (level > 0 && at->path[level - 1].inner->n == TREE_SLOTS) {
		need++;
		level--;
	}
	need += level == 0;
	while (split->inners < need) {
		struct tree_inner *inner = tree_memory_alloc(t, sizeof(*inner));
		if (!inner)
			return false;
		split->inner[split->inners++] = inner;
	}
	split->right = tree_memory_alloc(t, sizeof(struct tree_leaf));
	return split->right;
}

/* Where to cut the full leaf, and the separator that comes between. Ascending keys cut it where they go on. A
 * new key at the cut goes to the left, but it begins the right part if that would be empty. */
static bool split_choose(struct tree *t, const struct tree_position *at, struct split *split)
{
	const struct tree_leaf *leaf = at->leaf;
	const uint8_t *left = at->key, *right = at->key;
	size_t left_length = at->length, right_length = at->length;

	split->ascending = at->index > 0 && at->index == leaf->behind && leaf->streak >= TREE_SLOTS / 2;
	split->at = split->ascending ? at->index : TREE_SLOTS / 2;
	if (at->index != split->at || split->at == leaf->n)
		left = t->key_of(leaf->item[split->at - 1], &left_length);
	if (split->at < leaf->n)
		right = t->key_of(leaf->item[split->at], &right_length);
	split->separator = separator_between(t, left, left_length, right, right_length);
	return split->separator;
}

static void split_leaf(struct tree *t, const struct tree_position *at, const struct split *split, void *item)
{
	const struct tree_separator *left_fence, *right_fence;
	struct tree_leaf *left = at->leaf, *right = split->right;
	unsigned index = at->index;

	tree_fences(t, at, &left_fence, &right_fence);
	right->n = (uint16_t)(left->n - split->at);
	right->skip = left->skip;
	right->streak = left->streak;
	right->behind = 0;
	memcpy(right->prefix, left->prefix + split->at, right->n * sizeof(*right->prefix));
	memcpy(right->item, left->item + split->at, right->n * sizeof(*right->item));
	left->n = (uint16_t)split->at;
	right->next = left->next;
	left->next = right;
	if (t->last == left)
		t->last = right;
	tree_leaf_set_skip(t, left, tree_fence_skip(left_fence, split->separator));
	tree_leaf_set_skip(t, right, tree_fence_skip(split->separator, right_fence));
	struct tree_leaf *to = left;
	if (right->n == 0 || index > split->at) {
		to = right;
		index -= split->at;
	}
	leaf_insert(to, index, tree_prefix(at->key, at->length, to->skip), item);
}

/* Split a full inner node, `separator` and `right` being put in at index. The new node; *separator: what goes
 * up. */
static struct tree_inner *split_inner(struct tree_inner *inner, unsigned index, struct tree_inner *new,
				      struct tree_separator **separator, void *right, bool ascending)
{
	struct tree_separator *separators[TREE_SLOTS + 1];
	void *children[TREE_SLOTS + 2];
	unsigned n = inner->n, middle = (n + 1) / 2;

	memcpy(separators, inner->separator, index * sizeof(*separators));
	separators[index] = *separator;
	memcpy(separators + index + 1, inner->separator + index, (n - index) * sizeof(*separators));
	memcpy(children, inner->child, (index + 1) * sizeof(*children));
	children[index + 1] = right;
	memcpy(children + index + 2, inner->child + index + 1, (n - index) * sizeof(*children));

	if (ascending && index >= middle)
		middle = index < n ? index : n - 1;
	tree_inner_fill(inner, separators, children, middle);
	tree_inner_fill(new, separators + middle + 1, children + middle + 1, n - middle);
	*separator = separators[middle];
	return new;
}

static void split_path(struct tree *t, const struct tree_position *at, struct split *split)
{
	struct tree_separator *separator = split->separator;
	void *right = split->right;

	for (unsigned level = t->height; level-- > 0;) {
		struct tree_inner *inner = at->path[level].inner;
		unsigned index = at->path[level].index;
		if (inner->n < TREE_SLOTS) {
			tree_inner_insert(inner, index, separator, right);
			return;
		}
		right = split_inner(inner, index, split->inner[--split->inners], &separator, right,
				    split->ascending);
	}
	struct tree_inner *root = split->inner[--split->inners];
	tree_inner_fill(root, &separator, (void *[]){t->root, right}, 1);
	t->root = root;
	t->height++;
	assert(t->height <= TREE_HEIGHT_MAX);
}

static int insert_first(struct tree *t, const struct tree_position *at, void *item)
{
	struct tree_leaf *leaf = tree_memory_alloc(t, sizeof(*leaf));

	if (!leaf)
		return -ENOMEM;
	leaf->next = NULL;
	leaf->n = leaf->skip = leaf->streak = leaf->behind = 0;
	leaf_insert(leaf, 0, tree_prefix(at->key, at->length, 0), item);
	t->root = t->last = leaf;
	return 0;
}

int tree_insert_at(struct tree *t, struct tree_position *at, void *item)
{
	assert(at->version == t->version && !at->found && item);
	if (!at->leaf) {
		if (insert_first(t, at, item))
			return -ENOMEM;
	} else if (at->leaf->n < TREE_SLOTS) {
		leaf_insert(at->leaf, at->index, at->prefix, item);
	} else {
		struct split split = {0};
		if (!split_reserve(t, at, &split) || !split_choose(t, at, &split)) {
			split_cancel(t, &split);
			return -ENOMEM;
		}
		split_leaf(t, at, &split, item);
		split_path(t, at, &split);
	}
	t->count++;
	t->version++;
	return 0;
}

int tree_insert(struct tree *t, const void *key, size_t length, void *item, void **existing)
{
	struct tree_position at;
	void *found = tree_locate(t, key, length, &at);

	if (found) {
		if (existing)
			*existing = found;
		return -EEXIST;
	}
	return tree_insert_at(t, &at, item);
}

void *tree_replace_at(struct tree *t, struct tree_position *at, void *item)
{
	assert(at->version == t->version && at->found && item);
	void *old = at->leaf->item[at->index];

	at->leaf->item[at->index] = item;
	return old;
}

void *tree_replace(struct tree *t, const void *key, size_t length, void *item)
{
	struct tree_position at;

	return tree_locate(t, key, length, &at) ? tree_replace_at(t, &at, item) : NULL;
}
