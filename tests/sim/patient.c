/* SPDX-License-Identifier: BSD-2-Clause */
#include "patient.h"

#include <errno.h>
#include <stdlib.h>

static void open_life(struct patient *p, struct life *life, struct media *m, const struct history *before)
{
	struct paste_error err = {""};
	struct paste_store *s;
	struct history *h = NULL;
	char why[400];

	if (store_open_on(m, &s, &err))
		run_broken(p->run, "%s", err.text);
	if (!before)
		h = history_new(&p->random, sim_chance(&p->random, 3) ? 400 : sim_between(&p->random, 10, 80),
				sim_between(&p->random, 1, 6), true);
	else if (!history_judge(before, s, &h, why, sizeof(why)))
		run_broken(p->run, "%s", why);
	life->random = sim_split(&p->random);
	life->plain = true; /* what a lost record of the time, or of a retry key, does is told in words only */
	life_begin(life, p->run, m, s, h);
	life->failing = false;
	m->error = 0;
	sim_fail(m, UINT32_MAX, -EIO);
}

static void work_for_a_while(struct patient *p, struct life *life)
{
	if (sim_chance(&p->random, 3)) { /* to the brim */
		uint64_t refused = p->run->coverage->refused_full;
		life->deletes = 0;
		life->value_max = 40960;
		for (int i = 0; i < 300 && p->run->coverage->refused_full == refused; i++)
			life_step(life);
	}
	life->deletes = 3;
	static const uint32_t most[] = {2, 20, 150};
	for (uint32_t steps = 1 + sim_below(&p->random, most[sim_below(&p->random, 3)]); steps; steps--)
		life_step(life);
}

/* In the middle of a commit, so that something may be left of what was never acknowledged. */
static void on_commit(void *arg, struct media *m, enum sim_event event)
{
	struct patient *p = arg;
	struct sim_image images[8];

	if (event != SIM_BEFORE_COMMIT)
		return;
	struct sim_crash *c = sim_crash_begin(m);
	uint32_t n = sim_crash_plan(c, &p->random, images, 8);
	sim_crash_image(c, &images[n - 1], p->image);
	sim_crash_end(c);
}

static void crash_life(struct patient *p, struct life *life)
{
	sim_set_hook(life->m, on_commit, p);
	on_commit(p, life->m, SIM_BEFORE_COMMIT);
	if (life_batch(life))
		life_commit(life);
	store_abandon(life->s);
}

static void end_life(struct patient *p, struct life *life)
{
	if (!life_settle(life))
		run_broken(p->run, "filling fails");
	if (p->dies_opening) { /* not sealed: the next opening is what says that all of it is durable */
		store_abandon(life->s);
		return;
	}
	/* Idle, again and again: everything is sealed. */
	for (int quiet = 0; quiet < 3; life_settle(life))
		quiet = paste_store_maintain(life->s, true) > 0 ? 0 : quiet + 1;
	for (uint32_t l = 0; l < life->s->logs; l++)
		if (life->s->log[l].changed > life->s->log[l].marked)
			run_broken(p->run, "left alone for long, log %u is not sealed", l);
	if (!sim_chance(&p->random, 3))
		store_abandon(life->s);
	else if (paste_store_close(life->s))
		run_broken(p->run, "closing fails");
}

static uint32_t epoch_of(const uint8_t *image)
{
	const struct superblock *a = (const struct superblock *)image;
	const struct superblock *b = (const struct superblock *)(image + SUPERBLOCK_B_OFFSET);

	return a->epoch > b->epoch ? a->epoch : b->epoch;
}

/* What is certain at some moment of an opening after it has said, with the first copy of the superblock, up
 * to where all is durable. Before that, damage there would be taken for a torn tail. */
static void on_opening(void *arg, struct media *m, enum sim_event event)
{
	struct patient *p = arg;
	struct sim_crash *c;
	uint8_t *image;

	if (p->moments == 0)
		return;
	image = run_block(p->run);
	c = sim_crash_begin(m);
	sim_crash_image(c, &(struct sim_image){.kind = SIM_IMAGE_FLOOR}, image);
	sim_crash_end(c);
	if (epoch_of(image) > p->epoch) {
		p->moments--;
		memcpy(p->image, image, p->run->size);
	}
	run_block_put(p->run, image);
}

static void die_opening(struct patient *p)
{
	uint8_t *memory = run_block(p->run);
	struct sim_options o = {
	    .kind = p->run->options.kind, .size = p->run->size, .image = p->image, .memory = memory};
	struct media *m = sim_open(&o);
	struct paste_error err = {""};
	struct paste_store *s;

	if (!m)
		abort();
	p->moments = sim_between(&p->random, 1, 10);
	p->epoch = epoch_of(p->image);
	sim_set_hook(m, on_opening, p);
	if (store_open_on(m, &s, &err))
		run_broken(p->run, "%s", err.text);
	store_abandon(s);
	run_block_put(p->run, memory);
}

void patient_free(struct patient *p)
{
	while (p->lives)
		history_free(p->h[--p->lives]);
}

void patient_fill(struct patient *p)
{
	struct run *run = p->run;
	struct sim_options o = {.kind = run->options.kind, .size = run->size, .left = p->image};
	uint32_t lives = sim_between(&p->random, 1, LIVES_MAX);

	p->dies_opening = sim_chance(&p->random, 4);
	for (uint32_t i = 0; i < lives; i++) {
		struct life *life = calloc(1, sizeof(*life));
		struct media *m;
		struct paste_error err = {""};

		o.seed = sim_draw(&p->random);
		o.image = i ? p->image : NULL;
		o.left = i + 1 == lives ? p->image : NULL;
		if (!life || !(m = sim_open(&o)))
			abort();
		if (i == 0 &&
		    store_create_on(m, "patient", run->size, run->buffer_size, run->options.logs, &err))
			run_broken(run, "%s", err.text);
		open_life(p, life, m, i ? p->h[i - 1] : NULL);
		p->h[i] = life->h;
		p->lives = i + 1;
		work_for_a_while(p, life);
		if (i + 1 < lives)
			crash_life(p, life);
		else
			end_life(p, life);
		life_end(life);
		free(life);
	}
	if (p->dies_opening)
		die_opening(p);
}
