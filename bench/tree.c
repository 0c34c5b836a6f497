/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree.c - what the index costs: the tree and the slab, beside what libc offers for the same.
 *
 *	tree [--keys N] [--json]
 *
 * The floor of a lookup is a binary search in a sorted array of the same pointers (which cannot be
 * changed), that of building is qsort() of it; tsearch() is libc's own ordered map. Each figure is the
 * best of three runs, in ns of processor time an operation. Keys asked for come one after the other, as
 * from the network, so they are in the cache; the items that have them lie in memory in the order of
 * their insertion, so they are not. Inserting includes making the item.
 */
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/slab.h"
#include "store/tree.h"

enum { RUNS = 3 };

struct key {
	uint16_t length;
	uint8_t bytes[22];
};

struct item {
	uint64_t value[3]; /* what an index entry holds besides */
	uint16_t length;
	uint8_t key[];
};

struct bound {
	const char *keys, *what;
	double value, at_most;
};

struct bench {
	size_t n;
	bool json;
	const char *comma;
	struct bound bound[16];
	size_t bounds;
	struct slab slab;
	struct key *key;    /* those stored, in the order of insertion */
	struct key *sorted; /* the same, ascending */
	struct key *query;  /* the same, in another order */
	struct key *absent;
	void **pointer; /* n of them, for whatever */
	volatile uint64_t sink;
};

static const void *item_key(const void *p, size_t *length)
{
	const struct item *item = p;

	*length = item->length;
	return item->key;
}

static int key_order(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int c = memcmp(x->bytes, y->bytes, x->length < y->length ? x->length : y->length);

	return c ? c : x->length - y->length;
}

/* Of an array's element (or a tsearch() node's item) and a key asked for, made into an item. */
static int item_order(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = memcmp(x->key, y->key, x->length < y->length ? x->length : y->length);

	return c ? c : x->length - y->length;
}

static int pointer_order(const void *a, const void *b)
{
	return item_order(*(struct item *const *)a, *(struct item *const *)b);
}

static int key_pointer_order(const void *a, const void *b)
{
	const struct key *key = a;
	const struct item *item = *(struct item *const *)b;
	int c = memcmp(key->bytes, item->key, key->length < item->length ? key->length : item->length);

	return c ? c : key->length - item->length;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* ---- keys ---- */

static size_t key_random(uint8_t *key, uint64_t i)
{
	uint64_t state = i, a = next_random(&state), b = next_random(&state);

	memcpy(key, &a, 8);
	memcpy(key + 8, &b, 8);
	return 16;
}

static size_t key_shared(uint8_t *key, uint64_t i)
{
	uint64_t state = i, a = next_random(&state);

	memcpy(key, "tenant:01:", 10);
	memcpy(key + 10, &a, 6);
	return 16;
}

static size_t key_decimal(uint8_t *key, uint64_t i)
{
	char text[32];
	size_t length = (size_t)snprintf(text, sizeof(text), "user:%010" PRIu64, i);

	memcpy(key, text, length);
	return length;
}

typedef size_t make_key(uint8_t *key, uint64_t i);

static void shuffle(struct key *key, size_t n, uint64_t seed)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = next_random(&seed) % i;
		struct key x = key[i - 1];
		key[i - 1] = key[j];
		key[j] = x;
	}
}

static void make_keys(struct bench *b, make_key *make)
{
	for (size_t i = 0; i < b->n; i++) { /* what is absent lies among what is there */
		b->key[i].length = (uint16_t)make(b->key[i].bytes, 2 * i);
		b->absent[i].length = (uint16_t)make(b->absent[i].bytes, 2 * i + 1);
	}
	memcpy(b->sorted, b->key, b->n * sizeof(*b->key));
	qsort(b->sorted, b->n, sizeof(*b->sorted), key_order);
	shuffle(b->key, b->n, 1);
	shuffle(b->absent, b->n, 2);
	memcpy(b->query, b->key, b->n * sizeof(*b->key));
	shuffle(b->query, b->n, 3);
}

static struct item *item_new(struct bench *b, const struct key *key)
{
	struct item *item = slab_alloc(&b->slab, sizeof(*item) + key->length);

	if (!item)
		abort();
	item->length = key->length;
	memcpy(item->key, key->bytes, key->length);
	return item;
}

/* ---- measuring ---- */

/* The least of the runs: others on the machine only ever add. */
static double best(const double *run)
{
	double least = run[0];

	for (int i = 1; i < RUNS; i++)
		least = run[i] < least ? run[i] : least;
	return least;
}

static void check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "bench/tree: %s\n", what);
		exit(1);
	}
}

static void row(struct bench *b, const char *keys, const char *what, double value, double floor,
		const char *floor_is)
{
	if (b->json) {
		printf("%s\n  {\"keys\": \"%s\", \"what\": \"%s\", \"value\": %.1f", b->comma, keys, what,
		       value);
		if (floor > 0)
			printf(", \"beside it\": %.1f, \"which is\": \"%s\"", floor, floor_is);
		printf("}");
		b->comma = ",";
	} else if (floor > 0) {
		printf("%-10s %-28s %8.1f   %8.1f  %s\n", keys, what, value, floor, floor_is);
	} else {
		printf("%-10s %-28s %8.1f\n", keys, what, value);
	}
}

/* A row that has a limit; the limits are given after all rows. */
static void bound_row(struct bench *b, const char *keys, const char *what, double value, double at_most,
		      double floor, const char *floor_is)
{
	row(b, keys, what, value, floor, floor_is);
	b->bound[b->bounds++] = (struct bound){keys, what, value, at_most};
}

static void print_bounds(const struct bench *b)
{
	for (size_t i = 0; i < b->bounds; i++) {
		const struct bound *bound = &b->bound[i];
		if (b->json)
			printf("%s\n  {\"what\": \"%s: %s\", \"value\": %.1f, \"at_most\": %.0f}",
			       i ? "," : "", bound->keys, bound->what, bound->value, bound->at_most);
		else
			printf("%-7s %s: %s: %.1f, at most %.0f\n",
			       bound->value <= bound->at_most ? "kept" : "MISSED", bound->keys, bound->what,
			       bound->value, bound->at_most);
	}
}

static double fill(struct bench *b, struct tree *t, const struct key *keys)
{
	double start = now();

	tree_init(t, item_key, NULL);
	for (size_t i = 0; i < b->n; i++) {
		struct item *item = item_new(b, &keys[i]);
		check(tree_insert(t, item->key, item->length, item, NULL) == 0, "insertion failed");
	}
	return (now() - start) / (double)b->n;
}

static void empty(struct bench *b, struct tree *t)
{
	tree_destroy(t, NULL, NULL);
	slab_destroy(&b->slab);
}

static double find_all(struct bench *b, const struct tree *t, const struct key *keys)
{
	double start = now();
	uint64_t found = 0;

	for (size_t i = 0; i < b->n; i++)
		found += tree_find(t, keys[i].bytes, keys[i].length) != NULL;
	b->sink = found;
	return (now() - start) / (double)b->n;
}

static double scan_all(struct bench *b, const struct tree *t)
{
	double start = now();
	void *items[256];
	size_t n = 0, some;
	struct item *last = NULL;

	while ((some = tree_scan(t, last ? last->key : NULL, last ? last->length : 0, items, 256))) {
		last = items[some - 1];
		n += some;
	}
	check(n == b->n, "a scan missed items");
	return (now() - start) / (double)b->n;
}

static double walk_all(struct bench *b, const struct tree *t)
{
	struct tree_cursor c;
	double start = now();
	size_t n = 0;

	tree_cursor_start(&c, t, NULL, 0);
	while (tree_cursor_next(&c))
		n++;
	check(n == b->n, "a walk missed items");
	return (now() - start) / (double)b->n;
}

static double remove_all(struct bench *b, struct tree *t, const struct key *keys)
{
	double start = now();

	for (size_t i = 0; i < b->n; i++)
		check(tree_remove(t, keys[i].bytes, keys[i].length), "removal failed");
	return (now() - start) / (double)b->n;
}

/* The items are not tsearch()'s to free. */
static void keep(void *item)
{
}

struct array_times {
	double sort, find, tsearch, tfind;
};

static struct array_times measure_floor(struct bench *b)
{
	struct array_times t;
	size_t found = 0;
	void *root = NULL;

	for (size_t i = 0; i < b->n; i++)
		b->pointer[i] = item_new(b, &b->key[i]);
	double start = now();
	for (size_t i = 0; i < b->n; i++)
		check(tsearch(b->pointer[i], &root, item_order), "tsearch failed");
	t.tsearch = (now() - start) / (double)b->n;

	start = now();
	qsort(b->pointer, b->n, sizeof(*b->pointer), pointer_order);
	t.sort = (now() - start) / (double)b->n;

	start = now();
	for (size_t i = 0; i < b->n; i++)
		found +=
		    bsearch(&b->query[i], b->pointer, b->n, sizeof(*b->pointer), key_pointer_order) != NULL;
	check(found == b->n, "bsearch failed");
	t.find = (now() - start) / (double)b->n;

	struct item *query = item_new(b, &b->query[0]);
	start = now();
	for (size_t i = 0; i < b->n; i++) {
		memcpy(query->key, b->query[i].bytes, query->length);
		check(tfind(query, &root, item_order), "tfind failed");
	}
	t.tfind = (now() - start) / (double)b->n;
	tdestroy(root, keep);
	slab_destroy(&b->slab);
	return t;
}

static void bench_keys(struct bench *b, const char *name, make_key *make)
{
	double insert[RUNS], ascending[RUNS], hit[RUNS], miss[RUNS], scan[RUNS], walk[RUNS], gone[RUNS],
	    dense[RUNS];
	double random_bytes = 0, ascending_bytes = 0;

	make_keys(b, make);
	struct array_times floor = measure_floor(b);
	for (int run = 0; run < RUNS; run++) {
		struct tree t;
		insert[run] = fill(b, &t, b->key);
		random_bytes = (double)slab_in_use(&t.slab) / (double)b->n;
		hit[run] = find_all(b, &t, b->query);
		miss[run] = find_all(b, &t, b->absent);
		check(b->sink == 0, "found what is absent");
		scan[run] = scan_all(b, &t);
		walk[run] = walk_all(b, &t);
		gone[run] = remove_all(b, &t, b->query);
		empty(b, &t);

		ascending[run] = fill(b, &t, b->sorted);
		ascending_bytes = (double)slab_in_use(&t.slab) / (double)b->n;
		dense[run] = find_all(b, &t, b->query);
		empty(b, &t);
	}
	bound_row(b, name, "find, ns", best(hit), 300, floor.find, "bsearch in a sorted array");
	row(b, name, "find after ascending, ns", best(dense), floor.tfind, "tfind");
	row(b, name, "find an absent key, ns", best(miss), 0, "");
	bound_row(b, name, "insert in random order, ns", best(insert), 400, floor.sort, "qsort, an item");
	bound_row(b, name, "insert in ascending order, ns", best(ascending), 100, floor.tsearch,
		  "tsearch, random order");
	row(b, name, "remove in random order, ns", best(gone), 0, "");
	row(b, name, "scan by 256, ns an item", best(scan), 0, "");
	row(b, name, "cursor, ns an item", best(walk), 0, "");
	row(b, name, "memory, random, B a key", random_bytes, 8, "the pointer alone");
	row(b, name, "memory, ascending, B a key", ascending_bytes, 8, "the pointer alone");
}

/* ---- what a miss costs ---- */

/* Chase pointers through 64 MiB in random order: what one access costs that the caches do not have. A lookup
 * cannot do with less than two that wait for each other, the leaf and the item. */
static void bench_miss(struct bench *b)
{
	enum { LINES = 1 << 20 };
	struct line {
		struct line *next;
		uint8_t rest[56];
	} **line = malloc(LINES * sizeof(*line)), *at;
	uint64_t state = 4;
	double ns[RUNS];
	struct slab s;

	slab_init(&s, 0, NULL);
	check(line, "no memory");
	for (size_t i = 0; i < LINES; i++) {
		line[i] = slab_alloc(&s, sizeof(struct line));
		check(line[i], "no memory");
	}
	for (size_t i = LINES; i > 1; i--) {
		size_t j = next_random(&state) % i;
		at = line[i - 1];
		line[i - 1] = line[j];
		line[j] = at;
	}
	for (size_t i = 0; i < LINES; i++)
		line[i]->next = line[(i + 1) % LINES];
	at = line[0];
	for (int run = 0; run < RUNS; run++) {
		double start = now();
		for (size_t i = 0; i < LINES; i++)
			at = at->next;
		ns[run] = (now() - start) / LINES;
		b->sink = (uintptr_t)at;
	}
	free(line);
	slab_destroy(&s);
	row(b, "memory", "a miss of the cache, ns", best(ns), 0, "");
}

/* ---- the slab ---- */

struct allocator {
	void *(*alloc)(void *arg, size_t size);
	void (*free)(void *arg, void *p, size_t size);
	void *arg;
};

static void *slab_alloc_fn(void *arg, size_t size)
{
	return slab_alloc(arg, size);
}

static void slab_free_fn(void *arg, void *p, size_t size)
{
	slab_free(arg, p, size);
}

static void *malloc_fn(void *arg, size_t size)
{
	return malloc(size);
}

static void free_fn(void *arg, void *p, size_t size)
{
	free(p);
}

/* [0] one taken and given back, again and again; [1] n taken, fresh memory; [2] replaced one by one at
 * random, hot (1000 of them); [3] given back, in random order. */
static void time_allocator(struct bench *b, struct allocator a, double ns[4])
{
	static const uint16_t sizes[8] = {40, 48, 56, 64, 64, 80, 96, 128};
	uint64_t state = 3;
	void **p = b->pointer;
	double n = (double)b->n;

	void *volatile one;
	double start = now();
	for (size_t i = 0; i < b->n; i++) {
		one = a.alloc(a.arg, 64);
		a.free(a.arg, one, 64);
	}
	ns[0] = (now() - start) / n;
	start = now();
	for (size_t i = 0; i < b->n; i++)
		p[i] = a.alloc(a.arg, sizes[i % 8]);
	ns[1] = (now() - start) / n;
	start = now();
	for (size_t k = 0; k < b->n; k++) {
		size_t i = next_random(&state) % 1000;
		a.free(a.arg, p[i], sizes[i % 8]);
		p[i] = a.alloc(a.arg, sizes[i % 8]);
	}
	ns[2] = (now() - start) / n;
	/* the sizes stay with their places: shuffle eight apart */
	for (size_t i = b->n / 8; i > 1; i--) {
		size_t j = next_random(&state) % i;
		for (size_t k = 0; k < 8; k++) {
			void *x = p[8 * (i - 1) + k];
			p[8 * (i - 1) + k] = p[8 * j + k];
			p[8 * j + k] = x;
		}
	}
	start = now();
	for (size_t i = 0; i < b->n; i++)
		a.free(a.arg, p[i], sizes[i % 8]);
	ns[3] = (now() - start) / n;
}

static void bench_slab(struct bench *b)
{
	static const char *const what[4] = {"alloc + free, one, ns", "alloc, fresh memory, ns",
					    "free + alloc, 1000 hot, ns", "free in random order, ns"};
	double ours[4][RUNS], libc[4][RUNS], ns[4];

	for (int run = 0; run < RUNS; run++) {
		struct slab s;
		slab_init(&s, 0, NULL);
		time_allocator(b, (struct allocator){slab_alloc_fn, slab_free_fn, &s}, ns);
		slab_destroy(&s);
		for (int i = 0; i < 4; i++)
			ours[i][run] = ns[i];
		time_allocator(b, (struct allocator){malloc_fn, free_fn, NULL}, ns);
		for (int i = 0; i < 4; i++)
			libc[i][run] = ns[i];
	}
	for (int i = 0; i < 4; i++) {
		if (i == 0 || i == 2)
			bound_row(b, "slab", what[i], best(ours[i]), 20, best(libc[i]), "malloc, free");
		else
			row(b, "slab", what[i], best(ours[i]), best(libc[i]), "malloc, free");
	}
}

int main(int argc, char **argv)
{
	struct bench b = {.n = 1000000, .comma = ""};

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			b.json = true;
		} else if (!strcmp(argv[i], "--keys") && i + 1 < argc && atol(argv[i + 1]) >= 1000) {
			b.n = (size_t)atol(argv[++i]);
		} else {
			fprintf(stderr, "usage: tree [--keys N (at least 1000)] [--json]\n");
			return 2;
		}
	}
	slab_init(&b.slab, 0, NULL);
	b.key = calloc(b.n, sizeof(*b.key));
	b.sorted = calloc(b.n, sizeof(*b.key));
	b.query = calloc(b.n, sizeof(*b.key));
	b.absent = calloc(b.n, sizeof(*b.key));
	b.pointer = calloc(b.n, sizeof(*b.pointer));
	check(b.key && b.sorted && b.query && b.absent && b.pointer, "no memory");
	if (b.json)
		printf("{\"title\": \"the index: tree and slab, %zu keys\", \"rows\": [", b.n);
	else
		printf("%-10s %-28s %8s   %8s\n", "keys", "what", "tree", "beside");
	bench_miss(&b);
	bench_keys(&b, "random", key_random);
	bench_keys(&b, "shared 10", key_shared);
	bench_keys(&b, "decimal", key_decimal);
	bench_slab(&b);
	if (b.json)
		printf("\n], \"bounds\": [");
	print_bounds(&b);
	if (b.json)
		printf("\n]}\n");
	free(b.key);
	free(b.sorted);
	free(b.query);
	free(b.absent);
	free(b.pointer);
	return 0;
}
