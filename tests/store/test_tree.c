/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tree against a sorted array, from a fixed seed. Built twice: with the product's nodes, and with nodes
 * of five slots, whose trees are high enough to split and join inner nodes all the time.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/tree.h"
#include "tree_check.h"

struct item {
	uint16_t length;
	uint8_t key[];
};

static const void *item_key(const void *p, size_t *length)
{
	const struct item *item = p;

	*length = item->length;
	return item->key;
}

static struct item *item_new(const void *key, size_t length)
{
	struct item *item = malloc(sizeof(*item) + length);

	item->length = (uint16_t)length;
	memcpy(item->key, key, length);
	return item;
}

static void item_free(void *arg, void *item)
{
	if (arg)
		++*(uint64_t *)arg;
	free(item);
}

/* Memory that counts what is out, and refuses after `allowed` more allocations. */
struct memory {
	uint64_t blocks, bytes;
	uint64_t allowed;
};

static void *memory_alloc(void *arg, size_t size)
{
	struct memory *m = arg;

	if (m->allowed == 0)
		return NULL;
	m->allowed--;
	m->blocks++;
	m->bytes += size;
	return malloc(size);
}

static void memory_free(void *arg, void *p, size_t size)
{
	struct memory *m = arg;

	m->blocks--;
	m->bytes -= size;
	free(p);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* ---- the model: a sorted array ---- */

struct model {
	struct item **item;
	size_t n, room;
};

static int compare(const void *a, size_t a_length, const void *b, size_t b_length)
{
	int c = memcmp(a, b, a_length < b_length ? a_length : b_length);

	return c ? c : (a_length > b_length) - (a_length < b_length);
}

/* The index of the first item >= key. */
static size_t model_find(const struct model *m, const void *key, size_t length, bool *found)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (compare(m->item[middle]->key, m->item[middle]->length, key, length) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < m->n && compare(m->item[low]->key, m->item[low]->length, key, length) == 0;
	return low;
}

static void model_insert(struct model *m, size_t index, struct item *item)
{
	if (m->n == m->room) {
		m->room = m->room ? 2 * m->room : 64;
		m->item = realloc(m->item, m->room * sizeof(*m->item));
	}
	memmove(m->item + index + 1, m->item + index, (m->n - index) * sizeof(*m->item));
	m->item[index] = item;
	m->n++;
}

static void model_remove(struct model *m, size_t index)
{
	m->n--;
	memmove(m->item + index, m->item + index + 1, (m->n - index) * sizeof(*m->item));
}

static void assert_sound(const struct tree *t)
{
	const char *broken = tree_check(t, NULL);

	if (broken)
		fail_msg("the tree breaks: %s", broken);
}

static void assert_same(const struct tree *t, const struct model *m)
{
	void **items = malloc((m->n + 1) * sizeof(*items));

	assert_sound(t);
	assert_int_equal(tree_count(t), m->n);
	assert_int_equal(tree_scan(t, NULL, 0, items, m->n + 1), m->n);
	if (m->n)
		assert_memory_equal(items, m->item, m->n * sizeof(*items));
	free(items);
}

/* ---- keys ---- */

/* Key number `id`: of six families, chosen to collide in their first bytes, to be beginnings of one another,
 * to hold and end in NULs, and to be as short and as long as a key may be. */
static size_t make_key(uint64_t id, uint8_t *key)
{
	uint64_t r = id * 2654435761u;
	uint64_t n = id / 6;
	size_t length;

	next_random(&r);
	switch (id % 6) {
	case 0:
		return (size_t)sprintf((char *)key, "user:%08" PRIu64, n * 7919 % 100000000);
	case 1: /* nested: "a", "a\0", "a\0\0", ... under 64 heads */
		memset(key, 0, TREE_KEY_MAX);
		key[0] = (uint8_t)(n % 64);
		return 1 + n / 64 % 40;
	case 2: /* random bytes, short */
		length = 1 + next_random(&r) % 12;
		for (size_t i = 0; i < length; i++)
			key[i] = (uint8_t)next_random(&r);
		return length;
	case 3: /* long, of two byte values, different only late */
		length = 900 + next_random(&r) % 125;
		memset(key, n % 2 ? 0xff : 0, length);
		for (size_t i = length - 4; i < length; i++)
			key[i] = (uint8_t)next_random(&r);
		return length;
	case 4: /* any length, few byte values */
		length = 1 + next_random(&r) % TREE_KEY_MAX;
		for (size_t i = 0; i < length; i++)
			key[i] = (uint8_t)(next_random(&r) % 4 ? 0 : 255);
		return length;
	default: /* binary numbers behind a common head of 20 bytes */
		memcpy(key, "\0\0tenant\0stream\0\0\0\0\0\0", 20);
		for (int i = 0; i < 8; i++)
			key[20 + i] = (uint8_t)(n * 0x9e3779b9 >> (56 - 8 * i));
		return 28;
	}
}

/* ---- the random run ---- */

struct run {
	struct tree tree;
	struct model model;
	struct memory memory;
	uint64_t random;
	uint64_t ids; /* keys are drawn from so many */
};

static void run_put(struct run *r, const uint8_t *key, size_t length)
{
	bool found;
	size_t index = model_find(&r->model, key, length, &found);
	struct item *item = item_new(key, length);
	void *existing = NULL;

	if (!found) {
		assert_int_equal(tree_insert(&r->tree, item->key, length, item, &existing), 0);
		assert_null(existing);
		model_insert(&r->model, index, item);
		return;
	}
	assert_int_equal(tree_insert(&r->tree, item->key, length, item, &existing), -EEXIST);
	assert_ptr_equal(existing, r->model.item[index]);
	assert_ptr_equal(tree_replace(&r->tree, item->key, length, item), existing);
	r->model.item[index] = item;
	free(existing);
}

static void run_remove(struct run *r, const uint8_t *key, size_t length)
{
	bool found;
	size_t index = model_find(&r->model, key, length, &found);
	struct item *removed = tree_remove(&r->tree, key, length);

	assert_ptr_equal(removed, found ? r->model.item[index] : NULL);
	if (!found) {
		assert_null(tree_replace(&r->tree, key, length, r));
		return;
	}
	model_remove(&r->model, index);
	free(removed);
}

static void run_look(struct run *r, const uint8_t *key, size_t length)
{
	const struct model *m = &r->model;
	bool found;
	size_t index = model_find(m, key, length, &found), after = index + found;
	void *items[5];

	assert_ptr_equal(tree_find(&r->tree, key, length), found ? m->item[index] : NULL);
	assert_ptr_equal(tree_at_or_after(&r->tree, key, length), index < m->n ? m->item[index] : NULL);
	assert_ptr_equal(tree_after(&r->tree, key, length), after < m->n ? m->item[after] : NULL);
	assert_ptr_equal(tree_first(&r->tree), m->n ? m->item[0] : NULL);
	size_t n = tree_scan(&r->tree, key, length, items, 5);
	assert_int_equal(n, m->n - after < 5 ? m->n - after : 5);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(items[i], m->item[after + i]);
}

/* `steps` operations, of a hundred `put` insertions and `remove` removals, the rest looks. */
static void run_steps(struct run *r, unsigned steps, unsigned put, unsigned remove)
{
	uint8_t key[TREE_KEY_MAX];

	for (unsigned i = 0; i < steps; i++) {
		uint64_t what = next_random(&r->random) % 100, id = next_random(&r->random) % r->ids;
		size_t length = make_key(id, key);
		bool present = next_random(&r->random) % 2 && r->model.n;
		if (what >= put && what < put + remove && present) { /* else removals would rarely hit */
			struct item *item = r->model.item[next_random(&r->random) % r->model.n];
			length = item->length;
			memcpy(key, item->key, length);
		}
		if (what < put)
			run_put(r, key, length);
		else if (what < put + remove)
			run_remove(r, key, length);
		else
			run_look(r, key, length);
		if (i % 997 == 0)
			assert_sound(&r->tree);
	}
	assert_same(&r->tree, &r->model);
}

static void random_changes_agree_with_a_sorted_array(void **state)
{
	struct run r = {.memory.allowed = UINT64_MAX, .random = 20240607};

	tree_init(&r.tree, item_key, &(struct tree_memory){memory_alloc, memory_free, &r.memory});
	for (unsigned round = 0; round < 4; round++) {
		r.ids = (uint64_t[]){30, 600, 6000, 24000}[round];
		run_steps(&r, 30000, 70, 10); /* grow */
		run_steps(&r, 30000, 35, 35);
		run_steps(&r, 20000, 10, 80); /* shrink */
		while (r.model.n) {           /* and down to nothing, from any place */
			struct item *item = r.model.item[next_random(&r.random) % r.model.n];
			uint8_t key[TREE_KEY_MAX];
			size_t length = item->length;
			memcpy(key, item->key, length);
			run_remove(&r, key, length);
			if (r.model.n % 97 == 0)
				assert_sound(&r.tree);
		}
		assert_same(&r.tree, &r.model);
		assert_null(tree_first(&r.tree));
		assert_int_equal(r.memory.blocks, 0); /* an empty tree holds no memory */
		assert_int_equal(r.memory.bytes, 0);
	}
	tree_destroy(&r.tree, NULL, NULL);
	free(r.model.item);
}

static void keys_come_in_order_of_bytes_then_length(void **state)
{
	static const struct {
		const char *key;
		size_t length;
	} sorted[] = {{"\0", 1},
		      {"\0\0", 2},
		      {"\0\0\0\0\0\0\0\0", 8},
		      {"\0\0\0\0\0\0\0\0\0", 9},
		      {"\0\1", 2},
		      {"\1", 1},
		      {"a", 1},
		      {"a\0", 2},
		      {"aaaaaaaa", 8},
		      {"aaaaaaaa\0", 9},
		      {"aaaaaaaa\0\0", 10},
		      {"aaaaaaaab", 9},
		      {"aaaaaaaabbbb", 12},
		      {"aaaaaaaac", 9},
		      {"b", 1},
		      {"\x7f", 1},
		      {"\x80", 1},
		      {"\xff", 1},
		      {"\xff\xff", 2}};
	enum { N = sizeof(sorted) / sizeof(*sorted) };
	struct tree t;

	tree_init(&t, item_key, NULL);
	for (size_t i = 0; i < N; i++) {
		size_t j = i * 7 % N; /* any order */
		struct item *item = item_new(sorted[j].key, sorted[j].length);
		assert_int_equal(tree_insert(&t, item->key, item->length, item, NULL), 0);
	}
	assert_sound(&t);
	void *items[N + 1];
	assert_int_equal(tree_scan(&t, NULL, 0, items, N + 1), N);
	for (size_t i = 0; i < N; i++) {
		struct item *item = items[i];
		assert_int_equal(item->length, sorted[i].length);
		assert_memory_equal(item->key, sorted[i].key, item->length);
	}
	uint64_t destroyed = 0;
	tree_destroy(&t, item_free, &destroyed);
	assert_int_equal(destroyed, N);
}

/* Every allocation of every insertion is refused once; the insertion then succeeds. */
static void an_insertion_without_memory_changes_nothing(void **state)
{
	struct run r = {.random = 7, .ids = 6000};
	uint64_t refused = 0;
	uint8_t key[TREE_KEY_MAX];

	tree_init(&r.tree, item_key, &(struct tree_memory){memory_alloc, memory_free, &r.memory});
	for (unsigned i = 0; i < 6000; i++) {
		bool found;
		/* random ones, then a run of ascending ones */
		size_t length = i < 4000 ? make_key(next_random(&r.random) % r.ids, key)
					 : (size_t)sprintf((char *)key, "\xff\xff%06u", i);
		size_t index = model_find(&r.model, key, length, &found);
		if (found)
			continue;
		struct item *item = item_new(key, length);
		uint64_t version = r.tree.version;
		for (uint64_t allow = 0;; allow++) {
			struct memory before = r.memory;
			r.memory.allowed = allow;
			int rc = tree_insert(&r.tree, item->key, length, item, NULL);
			if (rc == 0)
				break;
			assert_int_equal(rc, -ENOMEM);
			assert_int_equal(r.memory.blocks, before.blocks);
			assert_int_equal(r.memory.bytes, before.bytes);
			assert_int_equal(r.tree.version, version);
			assert_int_equal(tree_count(&r.tree), r.model.n);
			assert_null(tree_find(&r.tree, key, length));
			if (refused++ % 61 == 0)
				assert_same(&r.tree, &r.model);
		}
		model_insert(&r.model, index, item);
	}
	assert_same(&r.tree, &r.model);
	assert_true(refused > r.model.n / tree_slots());
	uint64_t destroyed = 0;
	tree_destroy(&r.tree, item_free, &destroyed);
	assert_int_equal(destroyed, r.model.n);
	assert_int_equal(r.memory.blocks, 0);
	free(r.model.item);
}

static void ascending_keys_fill_the_leaves(void **state)
{
	enum { N = 50000 };
	struct memory memory = {.allowed = UINT64_MAX};
	struct tree_shape shape;
	struct tree t;

	/* At the end of all keys, and in the middle, before a key that stays behind them. */
	for (int middle = 0; middle < 2; middle++) {
		tree_init(&t, item_key, &(struct tree_memory){memory_alloc, memory_free, &memory});
		struct item *end = item_new("z", 1);
		if (middle)
			assert_int_equal(tree_insert(&t, end->key, 1, end, NULL), 0);
		else
			free(end);
		for (unsigned i = 0; i < N; i++) {
			char key[32];
			struct item *item = item_new(key, (size_t)sprintf(key, "user:%010u", i));
			assert_int_equal(tree_insert(&t, item->key, item->length, item, NULL), 0);
		}
		const char *broken = tree_check(&t, &shape);
		assert_null(broken);
		assert_true(shape.items >= shape.leaves * tree_slots() * 98 / 100);
		assert_true(shape.inners <= shape.leaves / (tree_slots() - 2) + t.height + 1);
		tree_destroy(&t, item_free, NULL);
		assert_int_equal(memory.bytes, 0);
	}
}

static void a_tree_that_shrank_gives_up_its_nodes(void **state)
{
	enum { N = 60000, KEEP = 50 };
	struct memory memory = {.allowed = UINT64_MAX};
	struct tree_shape shape;
	struct tree t;

	tree_init(&t, item_key, &(struct tree_memory){memory_alloc, memory_free, &memory});
	for (uint32_t i = 0; i < N; i++) {
		uint32_t number = __builtin_bswap32(i * 2654435761u);
		struct item *item = item_new(&number, 4);
		assert_int_equal(tree_insert(&t, item->key, 4, item, NULL), 0);
	}
	for (uint32_t i = 0; i < N; i++) {
		uint32_t number = __builtin_bswap32(i * 2654435761u);
		if (i % (N / KEEP))
			free(tree_remove(&t, &number, 4));
	}
	assert_null(tree_check(&t, &shape));
	assert_int_equal(shape.items, KEEP);
	/* Of two neighbours at least one holds a quarter. */
	assert_true(shape.leaves <= 2 + 2 * KEEP / (tree_slots() / 4));
	tree_destroy(&t, item_free, NULL);
	assert_int_equal(memory.bytes, 0);
}

static void a_cursor_walks_through_changes(void **state)
{
	enum { N = 2000 };
	struct tree t;
	struct tree_cursor c;
	struct item *item;
	char key[32];
	unsigned seen = 0;

	tree_init(&t, item_key, NULL);
	tree_cursor_start(&c, &t, NULL, 0);
	assert_null(tree_cursor_next(&c)); /* nothing yet */
	for (unsigned i = 0; i < N; i++) {
		item = item_new(key, (size_t)sprintf(key, "%06u", 2 * i));
		assert_int_equal(tree_insert(&t, item->key, item->length, item, NULL), 0);
	}
	/* Every item is removed when it was seen; behind and before the cursor others come and go. */
	while ((item = tree_cursor_next(&c))) {
		assert_int_equal(item->length, 6);
		assert_int_equal(atoi(memcpy(key, item->key, 6)), 2 * seen);
		if (seen % 3 == 0)
			assert_ptr_equal(tree_remove(&t, item->key, item->length), item);
		if (seen % 5 == 0) {
			struct item *other = item_new(key, (size_t)sprintf(key, "%06u", seen)); /* behind */
			if (tree_insert(&t, other->key, other->length, other, NULL))
				free(other);
		}
		if (seen % 3 == 0)
			free(item);
		seen++;
		memset(key, 0, sizeof(key));
	}
	assert_int_equal(seen, N);
	assert_null(tree_cursor_next(&c));
	/* Goes on when there is more at the end. */
	item = item_new("9", 1);
	assert_int_equal(tree_insert(&t, item->key, 1, item, NULL), 0);
	assert_ptr_equal(tree_cursor_next(&c), item);
	assert_null(tree_cursor_next(&c));
	/* And starts behind any key. */
	tree_cursor_start(&c, &t, "003", 3);
	item = tree_cursor_next(&c);
	assert_ptr_equal(item, tree_after(&t, "003", 3));
	assert_sound(&t);
	tree_destroy(&t, item_free, NULL);
}

static void one_descent_serves_lookup_and_change(void **state)
{
	struct tree t;
	struct tree_position at;

	tree_init(&t, item_key, NULL);
	for (unsigned i = 0; i < 5000; i++) {
		char key[32];
		size_t length = (size_t)sprintf(key, "k%05u", i * 7919 % 10007);
		assert_null(tree_locate(&t, key, length, &at));
		struct item *item = item_new(key, length);
		assert_int_equal(tree_insert_at(&t, &at, item), 0);
		assert_ptr_equal(tree_locate(&t, key, length, &at), item);
		struct item *other = item_new(key, length);
		assert_ptr_equal(tree_replace_at(&t, &at, other), item);
		free(item);
		if (i % 4 == 0) { /* replacing left the position good */
			assert_ptr_equal(tree_remove_at(&t, &at), other);
			free(other);
			assert_null(tree_find(&t, key, length));
		}
	}
	assert_sound(&t);
	assert_int_equal(tree_count(&t), 3750);
	uint64_t destroyed = 0;
	tree_destroy(&t, item_free, &destroyed);
	assert_int_equal(destroyed, 3750);
	assert_int_equal(slab_reserved(&t.slab), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_come_in_order_of_bytes_then_length),
	    cmocka_unit_test(random_changes_agree_with_a_sorted_array),
	    cmocka_unit_test(an_insertion_without_memory_changes_nothing),
	    cmocka_unit_test(ascending_keys_fill_the_leaves),
	    cmocka_unit_test(a_tree_that_shrank_gives_up_its_nodes),
	    cmocka_unit_test(a_cursor_walks_through_changes),
	    cmocka_unit_test(one_descent_serves_lookup_and_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
