/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/poison.h"
#include "store/slab.h"

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Chunks that are counted, of which only `allowed` can be had. */
struct chunks {
	unsigned mapped, allowed;
};

static void *chunk_map(void *arg, size_t size)
{
	struct chunks *c = arg;

	if (c->mapped == c->allowed)
		return NULL;
	c->mapped++;
	return aligned_alloc(size, size);
}

static void chunk_unmap(void *arg, void *p, size_t size)
{
	((struct chunks *)arg)->mapped--;
	free(p);
}

static void rounding_costs_at_most_an_eighth(void **state)
{
	size_t last = 0;

	for (size_t size = 1; size <= SLAB_MAX; size++) {
		size_t taken = slab_size(size);
		assert_true(taken >= size && taken % 8 == 0 && taken >= last);
		assert_true(size < 16 || taken - size <= 7 || (taken - size) * 8 <= size);
		assert_int_equal(slab_size(taken), taken); /* a class holds its own size exactly */
		last = taken;
	}
	assert_int_equal(slab_size(SLAB_MAX), SLAB_MAX);
	assert_int_equal(slab_size(1024), 1024);
}

/* Objects of all sizes, each filled with its own bytes, come and go; none is ever changed by another. */
static void objects_do_not_touch_each_other(void **state)
{
	enum { SLOTS = 4000, STEPS = 400000 };
	static struct {
		uint8_t *p;
		size_t size;
	} slot[SLOTS];
	struct slab s;
	uint64_t random = 42, expected = 0;

	slab_init(&s, 256 << 10, NULL);
	memset(slot, 0, sizeof(slot));
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)(next_random(&random) % SLOTS);
		if (slot[i].p) {
			for (size_t k = 0; k < slot[i].size; k += slot[i].size / 3 + 1)
				assert_int_equal(slot[i].p[k], (uint8_t)i);
			assert_int_equal(slot[i].p[slot[i].size - 1], (uint8_t)i);
			slab_free(&s, slot[i].p, slot[i].size);
			expected -= slab_size(slot[i].size);
			slot[i].p = NULL;
			continue;
		}
		/* small ones more often than large ones; the mix changes */
		size_t limit = step / 50000 % 2 ? 200 : SLAB_MAX;
		slot[i].size = 1 + next_random(&random) % (1 + next_random(&random) % limit);
		slot[i].p = slab_alloc(&s, slot[i].size);
		assert_non_null(slot[i].p);
		assert_int_equal((uintptr_t)slot[i].p % (slot[i].size > 480 ? 64 : 8), 0);
		memset(slot[i].p, (int)i, slot[i].size);
		expected += slab_size(slot[i].size);
		assert_int_equal(slab_in_use(&s), expected);
		assert_true(slab_reserved(&s) >= expected);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		slab_free(&s, slot[i].p, slot[i].size);
	assert_int_equal(slab_in_use(&s), 0);
	slab_destroy(&s);
	assert_int_equal(slab_reserved(&s), 0);
}

/* What one size has given back serves any other, and steady use takes no further chunk. */
static void freed_memory_serves_other_sizes(void **state)
{
	enum { BYTES = 4 << 20 };
	struct chunks chunks = {.allowed = UINT32_MAX};
	struct slab s;
	unsigned most = 0;

	slab_init(&s, 512 << 10, &(struct slab_memory){chunk_map, chunk_unmap, &chunks});
	for (size_t size = 16; size <= SLAB_MAX; size += size / 2) {
		size_t n = BYTES / slab_size(size);
		void **p = malloc(n * sizeof(*p));
		for (size_t i = 0; i < n; i++)
			assert_non_null(p[i] = slab_alloc(&s, size));
		for (size_t i = 0; i < n; i++) /* not in the order they came */
			slab_free(&s, p[(i + n / 3) % n], size);
		free(p);
		assert_int_equal(slab_in_use(&s), 0);
		if (size == 16)
			most = chunks.mapped;
	}
	/* Headers and ends of runs cost some percent; an empty run that stays with its class costs 64 KiB. */
	assert_true(chunks.mapped <= most + 5);
	slab_destroy(&s);
	assert_int_equal(chunks.mapped, 0);
}

static void running_out_is_an_answer(void **state)
{
	struct chunks chunks = {.allowed = 2};
	struct slab s;
	void *first = NULL, *p;
	size_t n = 0;

	slab_init(&s, 256 << 10, &(struct slab_memory){chunk_map, chunk_unmap, &chunks});
	while ((p = slab_alloc(&s, 1000))) {
		*(void **)p = first;
		first = p;
		n++;
	}
	assert_true(n >= 2 * (256 << 10) / slab_size(1000) * 95 / 100);
	assert_int_equal(slab_reserved(&s), 512 << 10);
	assert_null(slab_alloc(&s, 1000));
	assert_null(slab_alloc(&s, 16));
	assert_int_equal(slab_in_use(&s), n * slab_size(1000));
	void *next = *(void **)first;
	slab_free(&s, first, 1000);
	assert_ptr_equal(slab_alloc(&s, 1000), first);
	/* What is given back, and no more, can be had again: from full runs, one here and one there. */
	void *others = NULL;
	unsigned given = 0, again = 0;
	for (void **link = &next; *link && given < 100; link = (void **)*link) {
		void *out = *link;
		*link = *(void **)out;
		slab_free(&s, out, 1000);
		given++;
		if (!*link)
			break;
	}
	while ((p = slab_alloc(&s, 1000))) {
		*(void **)p = others;
		others = p;
		again++;
	}
	assert_int_equal(given, 100);
	assert_int_equal(again, given);
	for (; others; others = p) {
		p = *(void **)others;
		slab_free(&s, others, 1000);
	}
	slab_free(&s, first, 1000);
	for (p = next; p; p = next) {
		next = *(void **)p;
		slab_free(&s, p, 1000);
	}
	assert_int_equal(slab_in_use(&s), 0);
	p = slab_alloc(&s, 8000); /* the room is good for others again */
	assert_non_null(p);
	slab_destroy(&s); /* with an object in it */
	assert_int_equal(chunks.mapped, 0);
	assert_non_null(p = slab_alloc(&s, 50)); /* and may be used again */
	slab_destroy(&s);
}

static void freed_objects_are_poisoned(void **state)
{
#ifdef POISON_ASAN
	struct slab s;

	slab_init(&s, 0, NULL);
	uint8_t *a = slab_alloc(&s, 100), *b = slab_alloc(&s, 100);
	assert_false(__asan_address_is_poisoned(a));
	assert_false(__asan_address_is_poisoned(a + 99));
	assert_true(__asan_address_is_poisoned(a + 100)); /* the rounding */
	assert_true(__asan_address_is_poisoned(b + slab_size(100)));
	slab_free(&s, a, 100);
	assert_true(__asan_address_is_poisoned(a));
	assert_true(__asan_address_is_poisoned(a + 99));
	assert_false(__asan_address_is_poisoned(b));
	assert_ptr_equal(slab_alloc(&s, 97), a);
	assert_false(__asan_address_is_poisoned(a + 96));
	assert_true(__asan_address_is_poisoned(a + 97));
	slab_destroy(&s);
#else
	print_message("only with AddressSanitizer\n");
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rounding_costs_at_most_an_eighth),
	    cmocka_unit_test(objects_do_not_touch_each_other),
	    cmocka_unit_test(freed_memory_serves_other_sizes),
	    cmocka_unit_test(running_out_is_an_answer),
	    cmocka_unit_test(freed_objects_are_poisoned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
