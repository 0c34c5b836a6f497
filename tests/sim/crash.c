/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash.h"

#include <stdio.h>
#include <stdlib.h>

#include "life.h"

#define GENERATIONS 3
#define IMAGES_MAX 64

/* A life and when it is to crash. */
struct doomed {
	struct life life;
	struct run *run;
	struct media *m;
	const struct history *history; /* that its images are judged by */
	bool torn;                     /* recovering, and the image that is being recovered was `torn` */
	uint32_t generation;
	bool recovering, fills_first;
	uint32_t steps; /* to live */
	uint64_t events;
	uint64_t next_point; /* in events */
	uint32_t gap;        /* at most, between crash points */
	uint32_t images_left, images_a_point, descents_left;
	struct sim_random random;
};

/* What a life begins with. */
struct legacy {
	const uint8_t *image; /* NULL: nothing */
	const uint8_t *floor; /* NULL: the image */
	const struct history *history;
	bool torn; /* the crash came while a superblock was being written: one copy may be bad */
};

static void live(struct run *run, uint32_t generation, const struct legacy *legacy);

struct check_context {
	struct run *run;
	bool torn;
	uint32_t allowed;
};

/* What `pst check` says must be: nothing. Only a torn copy of the superblock looks like a damaged one; or
 * both do, if the first was torn so that a bit was wrong and could be put right, and the next life was cut
 * short as well. */
static void report_damage(void *arg, const struct paste_damage *damage)
{
	struct check_context *c = arg;

	if (c->torn && (damage->offset == 0 || damage->offset == SUPERBLOCK_B_OFFSET) && c->allowed < 2) {
		c->allowed++;
		return;
	}
	run_broken(c->run, "a crash is taken for damage: %s (at 0x%llx%s)", damage->what,
		   (unsigned long long)damage->offset, damage->repaired ? ", repaired" : "");
}

static void judge(struct run *run, struct paste_store *s, const struct legacy *legacy, struct history **found)
{
	struct check_context context = {.run = run, .torn = legacy->torn};
	struct paste_store_stats stats;
	char why[400];

	if (!history_judge(legacy->history, s, found, why, sizeof(why)))
		run_broken(run, "%s", why);
	int64_t damage = paste_store_check(s, report_damage, &context);
	if (damage < 0 || damage > context.allowed)
		run_broken(run, "check finds %lld damaged items and names none", (long long)damage);
	paste_store_stats(s, &stats);
	if (stats.damage > context.allowed)
		run_broken(run, "a crash is taken for damage: %llu items", (unsigned long long)stats.damage);
	run->coverage->recovered_records += stats.recovered_records;
	run->coverage->torn += stats.torn_records;
	run->coverage->torn_superblocks += context.allowed;
}

static struct paste_store *open_on(struct run *run, struct media *m)
{
	struct paste_store *s;
	struct paste_error err = {""};
	int rc = store_open_on(m, &s, &err);

	if (rc)
		run_broken(run, "opening fails: %s (%s)", strerror(-rc), err.text);
	return s;
}

/* Open a copy of the image and judge it. */
static void examine(struct run *run, const struct legacy *legacy)
{
	struct sim_options o = {
	    .kind = run->options.kind,
	    .size = run->size,
	    .image = legacy->image,
	    .memory = run_block(run),
	    .forgetful = true,
	    .read_only = sim_chance(&run->random, 3),
	};
	struct media *m = sim_open(&o);

	if (!m)
		abort();
	struct paste_store *s = open_on(run, m);
	judge(run, s, legacy, NULL);
	store_abandon(s);
	run_block_put(run, o.memory);
	run->coverage->images++;
	if (run->options.progress)
		++*run->options.progress;
}

/* The next life begins with an image of the crash. Or only the process died: what it had not written back is
 * still seen, and can still be lost. */
static void descend(struct doomed *d, struct sim_crash *c, struct legacy *legacy)
{
	struct sim_image nothing = {.kind = SIM_IMAGE_FLOOR}, all = {.kind = SIM_IMAGE_ALL};
	struct run_frame frame;
	uint8_t *floor = NULL;

	d->descents_left--;
	bool process_only =
	    sim_chance(&d->random, legacy->torn ? 2 : 3) || d->run->options.focus == FOCUS_SUPERBLOCK;
	if (d->run->options.kind != SIM_ADR || !process_only) {
		live(d->run, d->generation + 1, legacy);
		return;
	}
	floor = run_block(d->run);
	sim_crash_image(c, &nothing, floor);
	sim_crash_image(c, &all, (uint8_t *)legacy->image);
	legacy->floor = floor;
	run_enter(d->run, &frame, "instead of that, only the process died");
	live(d->run, d->generation + 1, legacy);
	run_leave(d->run, &frame);
	run_block_put(d->run, floor);
}

/* A superblock is being written, or one that is read was. */
static bool superblock_torn(const struct doomed *d, const struct sim_crash *c)
{
	return d->torn || sim_crash_touches(c, 0, SUPERBLOCK_SIZE) ||
	       sim_crash_touches(c, SUPERBLOCK_B_OFFSET, SUPERBLOCK_SIZE);
}

static void crash_point(struct doomed *d, enum sim_event event, struct sim_crash *c)
{
	struct run *run = d->run;
	struct sim_image images[IMAGES_MAX];
	uint32_t room = d->images_left < d->images_a_point ? d->images_left : d->images_a_point;
	uint32_t n = sim_crash_plan(c, &d->random, images, room < 2 ? 2 : room);
	bool has_heir = d->generation < GENERATIONS && d->descents_left && sim_chance(&d->random, 2);
	uint32_t heir = sim_below(&d->random, n);
	uint8_t *image = run_block(run);
	struct legacy legacy = {.image = image, .history = d->history};
	struct run_frame at, which;
	char text[120];

	run_enter(run, &at, "crash at event %llu (%s)%s", (unsigned long long)d->events,
		  sim_event_name(event), d->recovering ? ", while opening" : "");
	run->coverage->crash_points++;
	run->coverage->recoveries_crashed += d->recovering;
	legacy.torn = superblock_torn(d, c);
	/* This is rare, and the next life writes it first of all. */
	if (legacy.torn && d->generation < GENERATIONS && d->descents_left)
		has_heir = true;
	for (uint32_t i = 0; i < n; i++) {
		sim_crash_image(c, &images[i], image);
		run_enter(run, &which, "image %u of %u: %s", i, n,
			  sim_image_text(c, &images[i], text, sizeof(text)));
		examine(run, &legacy);
		if (has_heir && i == heir) {
			descend(d, c, &legacy);
			legacy.floor = NULL;
		}
		run_leave(run, &which);
	}
	if (d->images_left != UINT32_MAX)
		d->images_left -= n < d->images_left ? n : d->images_left;
	run_leave(run, &at);
	run_block_put(run, image);
}

static void on_event(void *arg, struct media *m, enum sim_event event)
{
	struct doomed *d = arg;

	if (++d->events < d->next_point || d->images_left == 0)
		return;
	d->next_point = d->events + sim_between(&d->random, 1, d->gap);
	struct sim_crash *c = sim_crash_begin(m);
	if (d->run->options.focus != FOCUS_SUPERBLOCK || superblock_torn(d, c))
		crash_point(d, event, c);
	sim_crash_end(c);
}

#define EVENTS_A_STEP 40 /* about */

static void draw_systematic(struct doomed *d)
{
	bool superblock = d->run->options.focus == FOCUS_SUPERBLOCK, first = d->generation == 1;

	d->steps = superblock ? (first ? 3 : 0) : (first ? 12 : 4);
	d->images_left = superblock || first ? UINT32_MAX : 16;
	d->images_a_point = superblock && !first ? 12 : 8;
	d->gap = 1;
	d->descents_left = first ? 100 : superblock || d->generation == GENERATIONS ? 0 : 2;
}

/* How long to live, when to crash, and how much to look at: less in later generations, of which there are
 * more. */
static void draw_doom(struct doomed *d)
{
	static const uint32_t budget[GENERATIONS] = {120, 40, 16}, descents[GENERATIONS] = {3, 2, 0};
	static const uint32_t lengths[] = {10, 40, 150, 400};
	struct sim_random *r = &d->random;
	uint32_t i = d->generation - 1;

	if (d->run->options.focus != FOCUS_ANYWHERE) {
		draw_systematic(d);
		return;
	}
	d->steps = sim_below(r, lengths[sim_below(r, d->generation == 1 ? 4 : 2)]) + (d->generation == 1);
	d->images_left = budget[i];
	d->descents_left = descents[i];
	d->images_a_point = sim_chance(r, 6) ? 40 : sim_between(r, 4, 12);
	if (sim_chance(r, 3)) { /* one place, closely looked at */
		d->gap = 3;
		d->next_point = sim_below(r, d->steps * EVENTS_A_STEP + 1);
	} else { /* all over */
		d->gap = d->steps * EVENTS_A_STEP / 4 + 1;
		d->next_point = sim_below(r, d->gap);
	}
	/* When a life begins with a recovery, that is where it is most likely to break. */
	if (d->generation > 1 && sim_chance(r, 2))
		d->next_point = sim_below(r, 20);
	d->fills_first = d->generation == 1 && sim_chance(r, 2);
}

/* Full regions are where cleaning, refusing and making room happen: get there before looking closely. */
static void fill_up(struct doomed *d)
{
	uint64_t refused = d->run->coverage->refused_full;
	uint32_t deletes = d->life.deletes;

	d->life.deletes = 0;
	for (int i = 0; i < 300 && d->run->coverage->refused_full == refused; i++)
		if (!life_step(&d->life))
			return;
	d->life.deletes = deletes;
	d->life.steps = 0;
}

static void works(struct doomed *d)
{
	while (d->images_left && d->life.steps < d->steps)
		if (!life_step(&d->life))
			break;
}

static void count_work(struct run *run, const struct doomed *d)
{
	struct paste_store_stats stats;

	paste_store_stats(d->life.s, &stats);
	run->coverage->checkpoints += stats.checkpoints;
	run->coverage->cleaned += stats.cleaned_segments;
}

/* An orderly end: what is left is exactly what was, and known to be clean. */
static void close_clean(struct run *run, struct doomed *d, const uint8_t *left)
{
	struct history *h = d->life.h;
	struct run_frame frame;

	run_enter(run, &frame, "closing");
	int rc = paste_store_close(d->life.s);
	if (rc)
		run_broken(run, "closing fails: %s", strerror(-rc));
	for (uint32_t i = 0; i < h->keys + h->streams; i++)
		history_told(&h->objects[i], h->objects[i].n - 1);
	run_leave(run, &frame);
	run_enter(run, &frame, "closed clean, and opened again");
	examine(run, &(struct legacy){.image = left, .history = h});
	run->coverage->closed_clean++;
	run_leave(run, &frame);
}

/* Until this life tells somebody something, the last one's promises are all there is. */
static struct history *recover(struct run *run, struct doomed *d, const struct legacy *legacy)
{
	struct history *h;

	d->history = legacy->history;
	d->torn = legacy->torn;
	d->recovering = true;
	sim_set_hook(d->m, on_event, d);
	struct paste_store *s = open_on(run, d->m);
	sim_set_hook(d->m, NULL, NULL);
	d->recovering = false;
	judge(run, s, legacy, &h);
	d->torn = false;
	life_begin(&d->life, run, d->m, s, h);
	return h;
}

static struct history *create(struct run *run, struct doomed *d)
{
	struct paste_error err = {""};
	struct history *h;
	int rc = store_create_on(d->m, "simulated", run->size, run->buffer_size, run->options.logs, &err);

	if (rc)
		run_broken(run, "creating fails: %s (%s)", strerror(-rc), err.text);
	h = history_new(&run->random, sim_between(&run->random, 6, 100), sim_between(&run->random, 1, 8),
			run->options.logs == 1);
	life_begin(&d->life, run, d->m, open_on(run, d->m), h);
	/* A run of a few seeds comes by a failing medium whatever the others draw. */
	if (run->seed % 10 == 3)
		life_fail_soon(&d->life, 20);
	return h;
}

static void live(struct run *run, uint32_t generation, const struct legacy *legacy)
{
	struct doomed *d = calloc(1, sizeof(*d));
	struct run_frame frame;
	uint8_t *left = run_block(run), *memory = run_block(run);
	struct sim_options o = {
	    .kind = run->options.kind,
	    .size = run->size,
	    .seed = sim_draw(&run->random),
	    .memory = memory,
	    .image = legacy->image,
	    .floor = legacy->floor,
	    .left = left,
	    .evict = sim_chance(&run->random, 2),
	};

	memset(memory, 0, legacy->image ? 0 : run->size);
	if (!d || !(d->m = sim_open(&o)))
		abort();
	d->run = run;
	d->generation = generation;
	d->random = sim_split(&run->random);
	d->life.random = sim_split(&run->random);
	draw_doom(d);
	run_enter(run, &frame, "generation %u", generation);
	struct history *h = legacy->image ? recover(run, d, legacy) : create(run, d);
	d->history = h;
	if (d->fills_first)
		fill_up(d);
	sim_set_hook(d->m, on_event, d);
	works(d);
	count_work(run, d);
	bool closes = sim_chance(&d->random, 2) || run->options.focus == FOCUS_SUPERBLOCK;
	if (!d->life.failing && closes && life_settle(&d->life))
		close_clean(run, d, left);
	else
		store_abandon(d->life.s);
	run->coverage->lives++;
	run->coverage->generations[generation]++;
	run_leave(run, &frame);
	life_end(&d->life);
	history_free(h);
	run_block_put(run, memory);
	run_block_put(run, left);
	free(d);
}

void crash_run(const struct run_options *options, uint64_t seed, struct run_coverage *coverage)
{
	struct run run = {
	    .options = *options,
	    .seed = seed,
	    .random = sim_random(seed * SIM_KINDS + options->kind),
	    .coverage = coverage,
	    .size = 1 << 20,
	};

	if (sim_chance(&run.random, 8))
		run.size = 2 << 20;
	run.buffer_size = options->kind == SIM_FILE || sim_chance(&run.random, 4) ? 4096 : 2048;
	run_watch(&run);
	live(&run, 1, &(struct legacy){0});
	run_watch(NULL);
	run_end(&run);
	coverage->seeds++;
}
