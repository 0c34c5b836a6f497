/* SPDX-License-Identifier: BSD-2-Clause */
/* The cleaner: space stays bounded under change, and what it moves arrives whole. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "base/site.h"

#define KEYS_MAX 4096

/* Keys k0.., each with its last value's seed and length; seed 0: absent. */
struct population {
	uint64_t seed[KEYS_MAX];
	uint32_t length[KEYS_MAX];
	uint64_t bytes;
	uint32_t n;
};

static void key_name(char *to, uint32_t i)
{
	snprintf(to, 16, "k%u", i);
}

static uint32_t draw_length(struct sim_random *random, uint32_t most)
{
	switch (sim_below(random, 4)) {
	case 0:
		return (uint32_t)sim_below(random, 65);
	case 1:
		return (uint32_t)sim_between(random, 65, 512);
	case 2:
		return (uint32_t)sim_between(random, 513, 5000);
	default:
		return (uint32_t)sim_between(random, 5000, most);
	}
}

static int write_key(struct fixture *f, struct population *p, uint32_t i, uint64_t seed, uint32_t length,
		     uint32_t piece)
{
	char key[16];

	key_name(key, i);
	int ret = put_value(f, key, strlen(key), seed, length, piece, NULL);
	if (ret < 0)
		return ret;
	p->bytes += length - p->length[i];
	p->seed[i] = seed;
	p->length[i] = length;
	return 0;
}

static void expect_population(struct fixture *f, const struct population *p)
{
	char key[16];

	for (uint32_t i = 0; i < p->n; i++) {
		key_name(key, i);
		if (p->seed[i])
			expect_text(f, key, p->seed[i], p->length[i]);
		else
			assert_int_equal(get_status(f, key), -ENOENT);
	}
}

struct mix {
	const char *name;
	enum sim_kind kind;
	uint32_t buffer_size, length_max, piece, logs;
	bool cleans; /* so much of what dies is scattered that the cleaner must have worked */
};

static void overwrite_for_long(const struct mix *x)
{
	struct fixture f;
	struct population *p = calloc(1, sizeof(*p));
	struct sim_random random = sim_random(x->length_max);
	uint64_t seed = 1;

	fixture_begin(&f, x->kind, 24 * MIB, x->buffer_size, x->logs);
	/* Fill to three quarters of what the store says that it can hold, counted as it is stored. */
	while (p->n < KEYS_MAX && f.s->placed_bytes < space_capacity(f.s) * 3 / 4) {
		uint32_t length = draw_length(&random, x->length_max);
		assert_int_equal(write_key(&f, p, p->n, seed++, length, x->piece), 0);
		p->n++;
		turn(&f);
	}
	assert_true(p->n > 100);
	for (int round = 0; round < 8; round++) {
		for (uint32_t i = 0; i < p->n; i++) {
			uint32_t victim = (uint32_t)sim_below(&random, p->n);
			/* As long as the one before, so that the fill stays what it is. */
			assert_int_equal(write_key(&f, p, victim, seed++, p->length[victim], x->piece), 0);
			if (i % 4 == 0)
				turn(&f);
		}
		settle(&f);
		expect_population(&f, p);
		assert_int_equal(check_quietly(&f), 0);
		assert_true(f.r->free_segments >= f.r->reserve);
	}
	assert_true(f.s->c.cleaned_bytes > 0 || !x->cleans);
	assert_true(f.s->r->cleaned > 0 || !x->cleans);
	settle(&f);
	fixture_crash(&f);
	fixture_open(&f);
	expect_population(&f, p);
	fixture_end(&f);
	free(p);
}

static void overwriting_for_long_at_three_quarters_keeps_free_space_and_loses_nothing(void **state)
{
	static const struct mix mixes[] = {
	    {"small pieces on lines", SIM_SHM, 2048, 20000, 700, 1, true},
	    {"whole buffers on lines", SIM_SHM, 4096, 60000, 0, 1, false},
	    {"blocks", SIM_FILE, 4096, 60000, 1448, 1, true},
	    {"two logs", SIM_SHM, 2048, 20000, 1448, 2, true},
	};

	for (size_t i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++) {
		print_message("%s\n", mixes[i].name);
		overwrite_for_long(&mixes[i]);
	}
}

/* What is moved is a change like any other: an idle store is not done before that is sealed too. */
static void an_idle_step_that_moved_something_is_not_the_last(void **state)
{
	struct fixture f;
	struct population p = {.n = 0};
	struct sim_random random = sim_random(7);
	uint64_t seed = 1;
	int whole = 0;

	fixture_begin(&f, SIM_SHM, 24 * MIB, 2048, 1);
	while (f.s->placed_bytes < space_capacity(f.s) * 3 / 4)
		assert_int_equal(write_key(&f, &p, p.n++, seed++, draw_length(&random, 20000), 700), 0);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 20; i++) {
			uint32_t victim = (uint32_t)sim_below(&random, p.n);
			assert_int_equal(write_key(&f, &p, victim, seed++, p.length[victim], 700), 0);
		}
		for (int more = 1; more > 0;) {
			bool began = f.s->cleaner.active;
			uint64_t moved = f.s->c.cleaned_bytes;
			more = paste_store_maintain(f.s, true);
			assert_true(more >= 0);
			if (f.s->c.cleaned_bytes > moved) {
				assert_int_equal(more, 1);
				whole += !began && !f.s->cleaner.active;
			}
			int64_t closed = paste_store_commit(f.s);
			assert_true(closed >= 0);
			assert_true(paste_store_wait(f.s, (uint64_t)closed) >= closed);
		}
	}
	assert_true(whole > 0); /* a pass that was one step */
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(overwriting_for_long_at_three_quarters_keeps_free_space_and_loses_nothing),
	    cmocka_unit_test(an_idle_step_that_moved_something_is_not_the_last),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
