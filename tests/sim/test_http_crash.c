/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_http_crash [--tcp | --workers N] [--kind K] [--seed S | --from S] [--seeds N]
 *
 * The whole service over a real store on a simulated medium: concurrent clients ask for everything that it
 * has, it crashes at random events (a reply that leaves is one), and whatever the medium may hold then is
 * opened and read. Everything that clients ever saw, before and after, must have an order that explains it
 * (http_history.h). The next generation of clients works on one of the images, repeats requests whose outcome
 * nobody knows, and crashes again; three generations.
 *
 * With --tcp the clients reach it over our own TCP and a bad wire (http_tcp.h): the segment of a reply that
 * leaves is the event, packets arrive as device writes, and after a crash the device goes on writing into what
 * stood in its ring until the next life has it stopped (http_late.h). Else through memory (http_fake.c).
 *
 * With several workers (in memory only) the clients are theirs in turn; what they leave is opened by one.
 *
 * Built with -DPASTE_MUTATE, PASTE_MUTANT names a site to break. SIM_SEEDS overrides the number of seeds.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/site.h"
#include "http_clients.h"
#include "http_late.h"
#include "fake_stack.h"
#include "run.h"

#define GENERATIONS 3
#define IMAGES_MAX 12
#define SMALL 512

#ifdef PASTE_MUTATE
__attribute__((constructor)) static void choose_mutant(void)
{
	const char *name = getenv("PASTE_MUTANT");

	paste_mutant = name && strcmp(name, "none") != 0 ? name : NULL;
}
#endif

struct coverage {
	struct http_coverage http;
	bool over_tcp;
	uint32_t workers; /* 0: 1 */
	struct http_tcp_coverage tcp;
	uint64_t asked_devices;
	uint64_t lives[GENERATIONS + 1], images, points, in_recovery, failed_media;
};

struct life {
	struct run *run;
	struct coverage *coverage;
	struct media *m;
	struct http_world world;
	struct http_clients clients;
	struct http_history *history;
	uint32_t generation, images_left, descents_left, gap;
	uint64_t events, next_point, seed;
	bool recovering, take_time;
	struct http_late device; /* of the life before, when it died */
	bool torn; /* the image that is being recovered may have a torn copy of the superblock */
	struct sim_random random;
};

/* What a life leaves: an image, what was seen, who asked for what, and a device that goes on. */
struct legacy {
	const uint8_t *image;
	const struct http_history *history;
	const struct http_clients *clients;
	const struct http_late *device;
	bool torn;
};

static void live(struct run *run, struct coverage *coverage, uint32_t generation, const struct legacy *legacy);

static void damaged(void *arg, const struct paste_damage *damage)
{
	run_broken(arg, "a crash is taken for damage: %s", damage->what);
}

static void explain(struct run *run, const struct http_history *h, const struct http_clients *c)
{
	char why[700];

	if (c->broken)
		run_broken(run, "%s", c->broken);
	if (!http_history_explain(h, why, sizeof(why)))
		return;
	char text[400];
	if (getenv("SIM_HISTORY"))
		for (int32_t i = 0; i < h->n; i++)
			fprintf(stderr, "%3d %s\n", i, ask_text(&h->asks[i], text, sizeof(text)));
	run_broken(run, "%s", why);
}

/* Read all that the image holds, as a client; it must fit to what was seen before. h is a copy. */
static void examine(struct run *run, const struct legacy *legacy, struct http_history *h)
{
	struct sim_options o = {.kind = run->options.kind,
				.size = run->size,
				.image = legacy->image,
				.memory = run_block(run),
				.forgetful = true};
	struct media *m = sim_open(&o);
	struct http_world w;
	struct http_clients reader = {0};
	struct paste_error err = {""};
	struct http_late device = *legacy->device;
	struct http_world_options options = {.now = {.monotonic_us = 1, .unix_ms = (int64_t)h->now},
					     .released = http_late_released,
					     .released_arg = &device};

	if (!m)
		abort();
	device.m = m;
	if (http_world_open(&w, m, &options, &err))
		run_broken(run, "opening fails: %s", err.text);
	http_late_writes(&device);
	http_clients_begin(&reader, run->random, 1);
	http_clients_read_all(&reader, h, &w);
	explain(run, h, &reader);
	if (!legacy->torn && paste_store_check(w.store, damaged, run))
		run_broken(run, "check finds something");
	http_world_crash(&w);
	run_block_put(run, o.memory);
}

static void crash_point(struct life *life, struct sim_crash *c, enum sim_event event,
			const struct http_late *device)
{
	struct run *run = life->run;
	struct sim_image images[IMAGES_MAX];
	uint32_t room = (uint32_t)sim_between(&life->random, 2, IMAGES_MAX),
		 n = sim_crash_plan(c, &life->random, images, room);
	bool has_heir = life->generation < GENERATIONS && life->descents_left && sim_chance(&life->random, 2);
	uint32_t heir = (uint32_t)sim_below(&life->random, n);
	uint8_t *image = run_block(run);
	struct http_history *seen = malloc(sizeof(*seen)), *after = malloc(sizeof(*after));
	struct http_clients *clients = malloc(sizeof(*clients));
	struct legacy legacy = {.image = image, .history = seen, .clients = clients, .device = device};
	struct run_frame at, which;
	char text[120];

	if (!seen || !after || !clients)
		abort();
	legacy.torn = life->torn || sim_crash_touches(c, 0, SUPERBLOCK_SIZE) ||
		      sim_crash_touches(c, SUPERBLOCK_B_OFFSET, SUPERBLOCK_SIZE);
	/* What has left by now was heard; what has not will never be answered. */
	*seen = *life->history;
	*clients = life->clients;
	seen->clock++;
	http_clients_hear(clients, seen);
	http_clients_end(clients, seen);
	run_enter(run, &at, "crash at event %llu (%s)%s", (unsigned long long)life->events,
		  sim_event_name(event), life->recovering ? ", while opening" : "");
	life->coverage->points++;
	life->coverage->in_recovery += life->recovering;
	for (uint32_t i = 0; i < n; i++) {
		sim_crash_image(c, &images[i], image);
		run_enter(run, &which, "image %u of %u: %s", i, n,
			  sim_image_text(c, &images[i], text, sizeof(text)));
		*after = *seen;
		examine(run, &legacy, after);
		life->coverage->images++;
		if (has_heir && i == heir) {
			life->descents_left--;
			live(run, life->coverage, life->generation + 1, &legacy);
		}
		run_leave(run, &which);
	}
	life->images_left -= n < life->images_left ? n : life->images_left;
	run_leave(run, &at);
	run_block_put(run, image);
	free(seen);
	free(after);
	free(clients);
}

static void on_event(void *arg, struct media *m, enum sim_event event)
{
	struct life *life = arg;

	if (++life->events < life->next_point || life->images_left == 0)
		return;
	life->next_point = life->events + sim_between(&life->random, 1, life->gap);
	struct http_late device = life->device;
	http_late_begin(&device, life->world.net ? &life->world : NULL, &life->random);
	http_late_hold(&device, m);
	struct sim_crash *c = sim_crash_begin(m);
	crash_point(life, c, event, &device);
	sim_crash_end(c);
	sim_device_release(m, 0, m->length, false);
}

static void pass_time(struct life *life, uint64_t ms)
{
	struct http_history *h = life->history;

	h->clock++;
	h->now += ms;
	h->asks[h->n++] = (struct ask){
	    .kind = ASK_TIME, .now = h->now, .before = -1, .begins = h->clock, .ends = h->clock + 1};
	h->clock++;
	life->world.now.monotonic_us += (int64_t)ms * 1000;
	life->world.now.unix_ms = (int64_t)h->now;
}

static void step(struct life *life)
{
	struct http_history *h = life->history;

	if (sim_chance(&life->random, 25) && h->n < ASKS_MAX - 120)
		pass_time(life, sim_between(&life->random, 200, 2500));
	http_clients_ask(&life->clients, h, &life->world);
	http_late_writes(&life->device);
	for (uint32_t i = 0; i < life->world.options.transport->turns; i++) {
		http_world_turn(&life->world);
		h->clock++;
		http_clients_hear(&life->clients, h);
	}
	if (life->clients.broken)
		run_broken(life->run, "%s", life->clients.broken);
}

static void works(struct life *life, uint32_t steps)
{
	uint32_t pieces[] = {0, 7, 100, 1000};
	uint32_t piece = pieces[sim_below(&life->random, 4)], offset = (uint32_t)sim_below(&life->random, 200);

	if (life->world.options.transport == &http_fake) {
		for (uint32_t i = 0; i < life->world.options.workers; i++) {
			fake_stack_set_piece(life->world.worker[i].stack, piece);
			fake_stack_set_offset(life->world.worker[i].stack, offset);
		}
	}
	for (uint32_t i = 0; i < steps && !life->world.error; i++)
		step(life);
	for (int i = 0; i < 5; i++) /* a failed medium answers, too */
		step(life);
	life->coverage->failed_media += life->world.error != 0;
}

static void draw(struct life *life, uint32_t *steps)
{
	struct sim_random *r = &life->random;

	*steps = (uint32_t)sim_between(r, 20, life->generation == 1 ? 160 : 70);
	life->take_time = life->run->options.kind == SIM_FILE && !sim_chance(r, 4);
	life->images_left = life->generation == 1 ? 60 : 24;
	life->descents_left = life->generation == 1 ? 3 : 1;
	life->gap = *steps * 8 / 4 + 1;
	life->next_point =
	    life->generation > 1 && sim_chance(r, 3) ? sim_below(r, 20) : sim_below(r, *steps * 4);
}

static void open_world(struct life *life)
{
	struct paste_error err = {""};
	struct http_world_options options = {
	    .now = {.monotonic_us = 1000000, .unix_ms = (int64_t)life->history->now},
	    .take_time = life->take_time,
	    .workers = life->coverage->workers,
	    .transport = life->coverage->over_tcp ? &http_tcp : &http_fake,
	    .seed = life->seed,
	    .small_max = life->coverage->over_tcp && life->seed % 2 ? SMALL : 0,
	    .released = http_late_released,
	    .released_arg = &life->device,
	};

	life->device.m = life->m;
	life->recovering = true;
	sim_set_hook(life->m, on_event, life);
	if (http_world_open(&life->world, life->m, &options, &err))
		run_broken(life->run, "opening fails: %s", err.text);
	sim_set_hook(life->m, NULL, NULL);
	life->recovering = life->torn = false; /* opening has written both */
}

/* In the end what left arrives, and nobody holds a buffer for good. */
static void end(struct life *life)
{
	struct coverage *c = life->coverage;

	if (c->over_tcp) {
		http_tcp_count(&life->world, &c->tcp);
		if (!http_tcp_arrives(&life->world))
			run_broken(life->run, "what the service sent never arrives");
		c->asked_devices += life->device.n && life->device.stopped;
	}
	uint32_t held = http_world_crash(&life->world);
	if (held)
		run_broken(life->run, "%u buffers are lost", held);
}

static void live(struct run *run, struct coverage *coverage, uint32_t generation, const struct legacy *legacy)
{
	struct life *life = calloc(1, sizeof(*life));
	struct http_history *h = calloc(1, sizeof(*h));
	struct sim_options o = {.kind = run->options.kind,
				.size = run->size,
				.seed = sim_draw(&run->random),
				.memory = run_block(run),
				.image = legacy ? legacy->image : NULL,
				.evict = sim_chance(&run->random, 2)};
	struct run_frame frame;
	uint32_t steps;

	if (!life || !h)
		abort();
	memset(o.memory, 0, legacy ? 0 : run->size);
	life->m = sim_open(&o);
	life->run = run;
	life->coverage = coverage;
	life->generation = generation;
	life->history = h;
	life->random = sim_split(&run->random);
	life->seed = coverage->over_tcp ? sim_draw(&run->random) : 0;
	draw(life, &steps);
	run_enter(run, &frame, "generation %u", generation);
	if (legacy) {
		*h = *legacy->history;
		life->clients = *legacy->clients;
		life->device = *legacy->device;
		life->torn = legacy->torn;
	} else {
		http_world_create(life->m, run->size, run->buffer_size);
		h->now = 1700000000000;
	}
	http_clients_begin(&life->clients, sim_split(&run->random),
			   (uint32_t)sim_between(&life->random, 2, CLIENTS_MAX));
	open_world(life);
	pass_time(life, legacy && sim_chance(&life->random, 2) ? sim_below(&life->random, 2000) : 0);
	if (legacy && sim_chance(&life->random, 2))
		http_clients_read_all(&life->clients, h, &life->world);
	/* Whatever the others draw, a few seeds come by a failing medium. */
	if (generation == 1 && run->seed % 8 == 3)
		sim_fail(life->m, (unsigned)sim_between(&life->random, 3, 12), -EIO);
	sim_set_hook(life->m, on_event, life);
	works(life, steps);
	sim_set_hook(life->m, NULL, NULL);
	http_clients_end(&life->clients, h);
	explain(run, h, &life->clients);
	http_coverage_add(&coverage->http, h);
	end(life);
	coverage->lives[generation]++;
	run_leave(run, &frame);
	run_block_put(run, o.memory);
	free(life);
	free(h);
}

static void run_seed(const struct run_options *options, uint64_t seed, struct coverage *coverage)
{
	struct run run = {.options = *options, .seed = seed, .size = 1 << 20};

	run.random = sim_random(seed * SIM_KINDS + options->kind);
	run.buffer_size = options->kind == SIM_FILE || sim_chance(&run.random, 4) ? 4096 : 2048;
	run_watch(&run);
	live(&run, coverage, 1, NULL);
	run_watch(NULL);
	run_end(&run);
}

struct reached {
	const char *what;
	uint64_t n;
};

/* A few seeds, as in a replay, need not come by everything. */
static int tell(const struct reached *reached, size_t count, uint64_t seeds)
{
	int missing = 0;

	for (size_t i = 0; i < count; i++)
		printf(" %s %llu,", reached[i].what, (unsigned long long)reached[i].n);
	for (size_t i = 0; seeds >= 8 && i < count; i++) {
		if (reached[i].n)
			continue;
		printf("\nNOT REACHED: %s\n", reached[i].what);
		missing = 1;
	}
	return missing;
}

static int report_tcp(const struct coverage *coverage, uint64_t seeds)
{
	const struct http_tcp_coverage *c = &coverage->tcp;
	const struct reached reached[] = {
	    {"segments", c->segments},
	    {"retransmitted", c->retransmitted},
	    {"by the clients", c->peers_retransmitted},
	    {"timeouts", c->timeouts},
	    {"fast recoveries", c->recoveries},
	    {"beyond a gap", c->early},
	    {"copied together", c->copied},
	    {"refused", c->refused},
	    {"resets", c->resets},
	    {"closed windows", c->closed_windows},
	    {"packets lost", c->lost},
	    {"doubled", c->duplicated},
	    {"reordered", c->reordered},
	    {"damaged", c->corrupted},
	    {"cut anew", c->recut},
	    {"overlapping", c->overlaps},
	    {"with other bytes", c->lies},
	    {"devices of dead lives", coverage->asked_devices},
	};

	return coverage->over_tcp ? tell(reached, sizeof(reached) / sizeof(reached[0]), seeds) : 0;
}

static int report(const struct run_options *o, uint64_t seeds, const struct coverage *c, double took)
{
	const struct http_coverage *h = &c->http;
	const struct reached reached[] = {
	    {"second generations", c->lives[2]},
	    {"third generations", c->lives[3]},
	    {"crash points", c->points},
	    {"of them in recovery", c->in_recovery},
	    {"images", c->images},
	    {"answers", h->answered},
	    {"requests without one", h->open},
	    {"PUT", h->by_kind[ASK_PUT]},
	    {"DELETE", h->by_kind[ASK_DELETE]},
	    {"GET", h->by_kind[ASK_GET]},
	    {"append", h->by_kind[ASK_APPEND]},
	    {"entry", h->by_kind[ASK_ENTRY]},
	    {"entries", h->by_kind[ASK_ENTRIES]},
	    {"of them waited for", h->followed},
	    {"trim", h->by_kind[ASK_TRIM]},
	    {"list of keys", h->by_kind[ASK_KEYS]},
	    {"list of streams", h->by_kind[ASK_STREAMS]},
	    {"delete by prefix", h->by_kind[ASK_DELETE_PREFIX]},
	    {"batch", h->by_kind[ASK_BATCH]},
	    {"404", h->absent},
	    {"412", h->failed_conditions},
	    {"304", h->unchanged},
	    {"206", h->pieces},
	    {"repeated", h->repeated},
	    {"failed media", c->failed_media},
	};

	printf("%s%s: %llu seeds in %.1f s;", sim_kind_name(o->kind), c->over_tcp ? " over TCP" : "",
	       (unsigned long long)seeds, took);
	int missing = tell(reached, sizeof(reached) / sizeof(reached[0]), seeds);
	missing |= report_tcp(c, seeds);
	printf(" refused %llu\n", (unsigned long long)h->refused);
	return missing;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	struct run_options o = {.program = argv[0], .logs = 1, .kind = SIM_FILE};
	uint64_t from = 1, seeds = 20;
	const char *environment = getenv("SIM_SEEDS");
	struct coverage coverage = {0};
	char workers[32];

	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	if (environment)
		seeds = strtoull(environment, NULL, 0);
	for (int i = 1; i < argc; i += 2) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--tcp") == 0) {
			coverage.over_tcp = true;
			o.more = " --tcp";
			i--;
			continue;
		}
		if (strcmp(argv[i], "--workers") == 0 && atoi(value) > 0 && atoi(value) <= WORKERS_MAX) {
			coverage.workers = (uint32_t)atoi(value);
			snprintf(workers, sizeof(workers), " --workers %u", coverage.workers);
			o.more = workers;
			continue;
		}
		if (strcmp(argv[i], "--kind") == 0 && sim_kind_parse(value, &o.kind) == 0)
			continue;
		if (strcmp(argv[i], "--seed") == 0)
			from = strtoull(value, NULL, 0), seeds = 1;
		else if (strcmp(argv[i], "--from") == 0)
			from = strtoull(value, NULL, 0);
		else if (strcmp(argv[i], "--seeds") == 0)
			seeds = environment ? seeds : strtoull(value, NULL, 0);
		else if (strcmp(argv[i], "--logs") != 0) /* of a printed replay command: there is one */
			return fprintf(stderr, "usage: %s [--tcp | --workers N] [--kind K] [--seed S | --from S] [--seeds N]\n",
				       argv[0]),
			       2;
	}
	double begin = seconds();
	for (uint64_t seed = from; seed < from + seeds; seed++)
		run_seed(&o, seed, &coverage);
	return report(&o, seeds, &coverage, seconds() - begin);
}
