/* SPDX-License-Identifier: BSD-2-Clause */
#include "damage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "life.h"
#include "usage.h"

struct patient {
	struct run *run;
	struct history *h; /* what is right: each object's last state */
	uint8_t *image, *map;
	struct damage_counts *counts;
	struct sim_random random;
};

/* What a damaged region answers. */
struct findings {
	struct run *run;
	uint32_t reported, repaired;
	uint32_t unreadable; /* values */
	char text[256];      /* of the last report */
};

static void on_damage(void *arg, const struct paste_damage *damage)
{
	struct findings *f = arg;

	f->reported++;
	f->repaired += damage->repaired;
	snprintf(f->text, sizeof(f->text), "%s", damage->what);
	if (damage->what[0] == 0)
		run_broken(f->run, "damage is reported without a name");
}

/* -EBADMSG is an honest answer; other bytes than were put are not, nor is "absent" for what was there. */
static void see_value(struct patient *p, struct paste_store *s, struct findings *f, const char *what, int rc,
		      const struct paste_value *v, const struct blob *right)
{
	if (rc == -EBADMSG) {
		f->unreadable++;
		return;
	}
	if (rc != 0 && rc != -ENOENT)
		run_broken(p->run, "reading a %s of a damaged region gives %d", what, rc);
	if (rc == -ENOENT && right)
		run_broken(p->run, "a %s that was there is answered with \"absent\"", what);
	if (rc == 0 && !right)
		run_broken(p->run, "a %s that was deleted is served again", what);
	if (rc == 0 && !value_equals(s, v, right))
		run_broken(p->run, "a %s is served with wrong bytes", what);
	if (rc == 0)
		paste_value_put(s, v);
}

static void see_key(struct patient *p, struct paste_store *s, struct findings *f, const struct object *o)
{
	const struct state *state = object_last(o);
	struct paste_value v = {0};
	int rc = paste_store_get(s, o->name, o->name_length, &v);

	see_value(p, s, f, "key", rc, &v, state->present ? state->value : NULL);
}

static void see_stream(struct patient *p, struct paste_store *s, struct findings *f, const struct object *o)
{
	const struct state *state = object_last(o);
	uint64_t first = 1, next = 1, round;
	int rc = paste_store_stream(s, o->name, o->name_length, &first, &next, &round);

	if (rc == -EBADMSG) {
		f->unreadable++;
		return;
	}
	if (rc != (state->present ? 0 : -ENOENT))
		run_broken(p->run, "a stream that was %s is %s", state->present ? "there" : "absent",
			   rc ? "absent" : "there");
	if (rc == 0 && next != state->next)
		run_broken(p->run, "a stream goes on with entry %llu instead of %llu",
			   (unsigned long long)next, (unsigned long long)state->next);
	for (uint64_t sequence = state->first; rc == 0 && sequence < state->next; sequence++) {
		struct paste_value v = {0};

		see_value(p, s, f, "stream's entry",
			  paste_store_read(s, o->name, o->name_length, sequence, &v), &v,
			  o->entries[sequence]);
	}
}

static void see_all(struct patient *p, struct paste_store *s, struct findings *f)
{
	*f = (struct findings){.run = p->run};
	for (uint32_t i = 0; i < p->h->keys; i++)
		see_key(p, s, f, &p->h->objects[i]);
	for (uint32_t i = p->h->keys; i < p->h->keys + p->h->streams; i++)
		see_stream(p, s, f, &p->h->objects[i]);
	int64_t damaged = paste_store_check(s, on_damage, f);
	if (damaged < 0)
		run_broken(p->run, "check fails: %s", strerror((int)-damaged));
	if (damaged + f->repaired != f->reported)
		run_broken(p->run, "check counts %lld damaged items, but reports %u and %u repaired",
			   (long long)damaged, f->reported, f->repaired);
	if (p->run->options.progress)
		++*p->run->options.progress;
}

/* Read-only, on the image itself: nothing is copied, nothing may be written. */
static struct paste_store *open_image(struct patient *p, int *error)
{
	struct sim_options o = {
	    .kind = p->run->options.kind, .size = p->run->size, .memory = p->image, .read_only = true};
	struct media *m = sim_open(&o);
	struct paste_error err = {""};
	struct paste_store *s = NULL;

	if (!m)
		abort();
	*error = store_open_on(m, &s, &err);
	if (*error && err.text[0] == 0)
		run_broken(p->run, "opening fails (%d) without a sentence", *error);
	return *error ? NULL : s;
}

/* Opened for writing, used a little, closed clean and opened again, the damage is what it was, no less and no
 * worse. */
static void rewrite(struct patient *p, const struct findings *before)
{
	uint8_t *memory = run_block(p->run);
	struct sim_options o = {.kind = p->run->options.kind,
				.size = p->run->size,
				.image = p->image,
				.memory = memory,
				.forgetful = true};
	struct paste_error err;

	for (int life = 0; life < 2; life++, o.image = NULL) {
		struct media *m = sim_open(&o);
		struct paste_store *s;
		struct findings after;

		int rc = m ? store_open_on(m, &s, &err) : -ENOMEM;
		if (rc)
			run_broken(p->run,
				   "a damaged region that can be read cannot be opened for writing: %s",
				   err.text);
		see_all(p, s, &after);
		if (after.unreadable != before->unreadable)
			run_broken(p->run, "%u values are unreadable %s, %u before", after.unreadable,
				   life ? "after a clean close" : "when opened for writing",
				   before->unreadable);
		rc = paste_store_close(s);
		if (rc)
			run_broken(p->run, "closing a damaged region fails: %s", strerror(-rc));
	}
	p->counts->rewritten++;
	run_block_put(p->run, memory);
}

static void flip_one(struct patient *p, uint64_t at, uint8_t bit)
{
	struct run_frame frame;
	struct findings f;
	int error;

	run_enter(p->run, &frame, "bit %u flipped at 0x%llx, in %s", bit, (unsigned long long)at,
		  use_name(p->map[at]));
	p->image[at] ^= 1u << bit;
	struct paste_store *s = open_image(p, &error);
	if (!s)
		run_broken(p->run, "the region cannot be opened any more (%s)", strerror(-error));
	see_all(p, s, &f);
	store_abandon(s);
	if (p->map[at] == USE_NONE && f.reported)
		run_broken(p->run, "damage is reported where nothing is in use: %s", f.text);
	if (p->map[at] != USE_NONE && !f.reported)
		run_broken(p->run, "a flipped bit is not reported");
	if (f.unreadable > 1)
		run_broken(p->run, "%u values are unreadable, of which all but one are neighbours",
			   f.unreadable);
	if (f.unreadable && p->map[at] != USE_VALUE && p->map[at] != USE_LIST)
		run_broken(p->run, "one bit of metadata could be put right, but a value is unreadable (%s)",
			   f.text);
	if (sim_chance(&p->random, 50))
		rewrite(p, &f);
	p->image[at] ^= 1u << bit;
	p->counts->flips++;
	p->counts->in_use += p->map[at] != USE_NONE;
	p->counts->repaired += f.repaired > 0;
	p->counts->unreadable += f.unreadable;
	run_leave(p->run, &frame);
}

/* Half of the positions are where something is; uses with few bytes have their turn, too. */
static uint64_t draw_position(struct patient *p)
{
	enum use wanted = sim_below(&p->random, 2 * USES);

	for (uint32_t tries = 0; wanted < USES && tries < 3000; tries++) {
		uint64_t at = sim_below(&p->random, p->run->size);
		if (p->map[at] == wanted)
			return at;
	}
	return sim_below(&p->random, p->run->size);
}

static void lose_piece(struct patient *p)
{
	static const uint32_t sizes[] = {64, 64, 512, 4096, 4096, 16384};
	uint32_t n = sizes[sim_below(&p->random, 6)];
	uint64_t at = draw_position(p) / n * n;
	bool garbage = sim_chance(&p->random, 2);
	uint8_t *saved = malloc(n);
	struct run_frame frame;
	struct findings f;
	int error;

	if (!saved)
		abort();
	run_enter(p->run, &frame, "%u bytes of %s at 0x%llx", n, garbage ? "garbage" : "zeroes",
		  (unsigned long long)at);
	memcpy(saved, p->image + at, n);
	if (garbage)
		sim_fill(&p->random, p->image + at, n);
	else
		memset(p->image + at, 0, n);
	struct paste_store *s = open_image(p, &error);
	if (s) {
		see_all(p, s, &f);
		store_abandon(s);
		if (f.unreadable && !f.reported)
			run_broken(p->run, "values are unreadable, and check finds nothing");
		if (sim_chance(&p->random, 20))
			rewrite(p, &f);
	} else {
		p->counts->unopenable++;
	}
	memcpy(p->image + at, saved, n);
	free(saved);
	p->counts->lost_pieces++;
	run_leave(p->run, &frame);
}

/* A store that has worked for a while: checkpoint, log, cleaned segments, values of all sizes. */
static void fill(struct patient *p, struct sim_options *o)
{
	struct run *run = p->run;
	struct life *life = calloc(1, sizeof(*life));
	struct media *m = sim_open(o);
	struct paste_error err = {""};
	struct paste_store *s;

	if (!life || !m)
		abort();
	if (store_create_on(m, "patient", run->size, run->buffer_size, run->options.logs, &err) ||
	    store_open_on(m, &s, &err))
		run_broken(run, "%s", err.text);
	p->h = history_new(&p->random, sim_between(&p->random, 10, 80), sim_between(&p->random, 1, 6), true);
	life->random = sim_split(&p->random);
	life_begin(life, run, m, s, p->h);
	life->failing = false;
	m->error = 0;
	sim_fail(m, UINT32_MAX, -EIO);
	for (uint32_t steps = sim_between(&p->random, 20, 150); steps; steps--)
		life_step(life);
	if (!life_settle(life))
		run_broken(run, "filling fails");
	/* Idle: everything is sealed. */
	for (int i = 0; i < 1000 && paste_store_maintain(s, true) > 0; i++)
		life_commit(life);
	life_settle(life);
	life_end(life);
	free(life);
	if (sim_chance(&p->random, 3)) {
		if (paste_store_close(s))
			run_broken(run, "closing fails");
	} else {
		store_abandon(s);
	}
}

void damage_run(const struct run_options *options, uint64_t seed, uint32_t flips, uint32_t pieces,
		struct damage_counts *counts)
{
	struct run_coverage coverage = {0};
	struct run run = {.options = *options,
			  .seed = seed,
			  .size = 1 << 20,
			  .coverage = &coverage,
			  .random = sim_random(seed)};
	struct patient p = {.run = &run, .counts = counts, .random = sim_random(seed ^ 0x64616d)};
	struct run_frame frame;
	uint64_t used[USES];
	struct findings f;
	int error;

	run.buffer_size = options->kind == SIM_FILE ? 4096 : 2048;
	p.image = run_block(&run);
	p.map = run_block(&run);
	memset(p.image, 0, run.size);
	struct sim_options o = {
	    .kind = options->kind, .size = run.size, .memory = p.image, .forgetful = true, .seed = seed};
	run_watch(&run);
	run_enter(&run, &frame, "damage");
	fill(&p, &o);
	usage_map(p.image, run.size, p.map, used);
	struct paste_store *s = open_image(&p, &error);
	if (!s)
		run_broken(&run, "the sound region cannot be opened");
	see_all(&p, s, &f);
	if (f.reported || f.unreadable)
		run_broken(&run, "the sound region is reported as damaged: %s", f.text);
	store_abandon(s);
	for (uint32_t i = 0; i < flips; i++)
		flip_one(&p, draw_position(&p), sim_below(&p.random, 8));
	for (uint32_t i = 0; i < pieces; i++)
		lose_piece(&p);
	counts->images++;
	for (int use = 0; use < USES; use++)
		counts->used[use] += used[use];
	history_free(p.h);
	run_leave(&run, &frame);
	run_watch(NULL);
	run_block_put(&run, p.image);
	run_block_put(&run, p.map);
	run_end(&run);
}
