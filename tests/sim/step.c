/* SPDX-License-Identifier: BSD-2-Clause */
/* Poll rounds: a batch of requests, a commit, replies that may leave, a piece of maintenance. */
#include "life.h"

#include <errno.h>
#include <stdlib.h>

void life_begin(struct life *life, struct run *run, struct media *m, struct paste_store *s, struct history *h)
{
	struct sim_random *r = &life->random;

	life->run = run;
	life->m = m;
	life->s = s;
	life->r = paste_store_region(s);
	life->h = h;
	life->damage = paste_store_check(s, NULL, NULL);
	life->value_max = (const uint32_t[]){64, 800, 5000, 12000, 40960, 40960}[sim_below(r, 6)];
	if (life->value_max > paste_store_value_max(s))
		life->value_max = paste_store_value_max(s);
	life->ring_want = sim_between(r, 1, RING_MAX / 2);
	life->batch_max = sim_between(r, 1, 12);
	life->deletes = sim_below(r, 6);
	life->clock = sim_between(r, 1, 2000);
	if (sim_chance(r, 8))
		life_fail_soon(life, 100);
}

void life_fail_soon(struct life *life, uint32_t commits)
{
	life->failing = true;
	sim_fail(life->m, sim_between(&life->random, 1, commits), -EIO);
}

void life_end(struct life *life)
{
	for (uint32_t i = 0; i < HOLDS_MAX; i++)
		free(life->holds[i].slices);
	free(life->packet);
	free(life->replies);
	life_snapshot_end(life);
}

/* Around each border where a value goes another way, and everywhere between. */
static uint32_t draw_length(struct life *life)
{
	static const uint32_t borders[] = {0,    1,    64,   256,   512,        1024,
					   2048, 4096, 8192, 16384, 16384 - 64, 32768};
	struct sim_random *r = &life->random;
	uint32_t length;

	switch (sim_below(r, 4)) {
	case 0:
		length = borders[sim_below(r, sizeof(borders) / sizeof(borders[0]))] + sim_below(r, 3);
		length -= length > 0;
		break;
	case 1: /* the store's own borders */
		length = (sim_chance(r, 2) ? life->s->tiny_max : life->s->small_max) + sim_below(r, 3);
		length -= length > 0;
		break;
	case 2:
		length = sim_below(r, life->value_max + 1);
		break;
	default: /* all magnitudes alike */
		length = sim_below(r, (life->value_max >> sim_below(r, 12)) + 1);
		break;
	}
	return length <= life->value_max ? length : sim_below(r, life->value_max + 1);
}

/* A few objects get most of the requests. */
static uint32_t draw_index(struct sim_random *r, uint32_t n)
{
	return sim_chance(r, 2) ? sim_below(r, n) : sim_below(r, 1 + n / 8);
}

static struct object *draw_key(struct life *life)
{
	return &life->h->objects[draw_index(&life->random, life->h->keys)];
}

static struct object *draw_stream(struct life *life)
{
	return &life->h->objects[life->h->keys + draw_index(&life->random, life->h->streams)];
}

static bool random_trim(struct life *life)
{
	struct object *o = draw_stream(life);
	const struct state *state = object_last(o);

	if (!state->present || state->first == state->next)
		return request_range(life, o);
	/* Mostly half of it, sometimes all: an empty stream keeps its number. */
	uint64_t there = state->next - state->first;
	uint64_t drop = sim_chance(&life->random, 4) ? there : 1 + sim_below(&life->random, (there + 1) / 2);
	return request_trim(life, o, state->first + drop);
}

static bool random_look(struct life *life)
{
	struct object *o;

	switch (sim_below(&life->random, life->plain ? 4 : 5)) {
	case 4:
		return request_list(life);
	case 0:
		return request_range(life, draw_stream(life));
	case 1:
		o = draw_stream(life);
		return request_read(life, o, sim_between(&life->random, 1, object_last(o)->next));
	default:
		return request_get(life, draw_key(life));
	}
}

/* A value on its way in, as a request will bring it. */
struct arrival {
	struct object *object;
	const struct blob *value;
	struct slices slices;
};

static bool deletes_now(struct life *life)
{
	return sim_below(&life->random, 16) < (life->draining ? 12 : life->deletes);
}

/* The values of a batch arrive first, all of them, then the requests are answered, mixed with others. */
static uint32_t batch_arrives(struct life *life, struct arrival *arrivals, uint32_t wanted)
{
	uint32_t n = 0;

	while (n < wanted) {
		struct arrival *a = &arrivals[n];

		a->object = sim_chance(&life->random, 4) ? draw_stream(life) : draw_key(life);
		a->value = history_blob(life->h, &life->random, draw_length(life));
		if (!intake_value(life, a->value, &a->slices))
			break;
		n++;
	}
	intake_land(life);
	return n;
}

/* The same bytes through a body that may pack them as they dribble in. */
static bool pack_body(struct life *life, struct slices *slices, struct paste_body *body)
{
	int rc = 0;

	paste_body_init(body);
	for (uint32_t i = 0; i < slices->n; i++) /* takes over the user counts */
		if (rc == 0)
			rc = paste_body_add(life->s, body, slices->ref[i]);
		else
			paste_ref_put(life->r, slices->ref[i]);
	free(slices->ref);
	*slices = (struct slices){0};
	life->run->coverage->dribbled++;
	return rc == 0;
}

static bool request_change(struct life *life, struct arrival *a, bool *full)
{
	struct slices *slices = &a->slices, body_slices;
	struct paste_body body;
	bool dribbled = slices->n > 4 && sim_chance(&life->random, 3), right;

	*full = false;
	life->run->coverage->indirect += slices->n > 128;
	if (dribbled) {
		if (!pack_body(life, slices, &body)) {
			paste_body_free(life->s, &body);
			return true; /* no buffers to pack into: the request is dropped */
		}
		body_slices = (struct slices){.ref = body.slices, .n = body.n};
		slices = &body_slices;
	}
	uint32_t how = life->plain ? 9 : sim_below(&life->random, 10);
	if (how < 2)
		right = request_if(life, a->object, a->value, slices, full);
	else if (how == 2)
		right = request_together(life, a->object, a->value, slices, full);
	else if (how == 3)
		right = request_again(life, a->object, a->value, slices, full);
	else
		right = a->object->stream ? request_append(life, a->object, a->value, slices, full)
					  : request_put(life, a->object, a->value, slices, full);
	if (dribbled)
		paste_body_free(life->s, &body);
	else
		slices_put(life, &a->slices);
	return right;
}

static bool delete_some(struct life *life, uint64_t until)
{
	struct paste_store_stats stats;

	for (;;) {
		paste_store_stats(life->s, &stats);
		if (stats.live_bytes <= until)
			return true;
		uint32_t from = sim_below(&life->random, life->h->keys + life->h->streams);
		for (uint32_t i = 0; i < life->h->keys + life->h->streams; i++) {
			struct object *o = &life->h->objects[(from + i) % (life->h->keys + life->h->streams)];
			const struct state *state = object_last(o);

			if (!state->present || (o->stream && state->first == state->next))
				continue;
			if (!(o->stream ? request_trim(life, o, state->next) : request_delete(life, o)))
				return false;
			break;
		}
	}
}

/* Delete until a quarter is left, let everything be done that is to be done: then there is room again. */
static bool deleting_makes_room(struct life *life, struct object *o, const struct blob *b)
{
	struct paste_store_stats stats;
	struct slices slices;
	bool full;

	holds_put(life);
	intake_unpost(life);
	paste_store_stats(life->s, &stats);
	if (!delete_some(life, stats.capacity_bytes / 4))
		return false;
	if (!life_commit(life) || !life_wait(life))
		return false;
	for (int i = 0; i < 20000; i++) {
		int more = paste_store_maintain(life->s, true);

		if (more < 0 && life->failing)
			return false;
		if (more < 0)
			run_broken(life->run, "maintaining fails: %s", strerror(-more));
		if (!life_commit(life) || !life_poll(life))
			return false;
		if (!more)
			break;
	}
	if (!life_wait(life))
		return false;
	if (!intake_value(life, b, &slices)) {
		intake_land(life);
		run_broken(life->run,
			   "most is deleted, and there are no buffers for %u bytes (%u of %u are free)",
			   b->length, paste_buffer_free(life->r), paste_buffer_count(life->r));
	}
	intake_land(life);
	if (!(o->stream ? request_append : request_put)(life, o, b, &slices, &full))
		return false;
	paste_store_stats(life->s, &stats);
	if (full)
		run_broken(life->run,
			   "%llu of %llu bytes are left, and %u more are still refused for want of space "
			   "(%llu of %llu "
			   "segments are free)",
			   (unsigned long long)stats.live_bytes, (unsigned long long)stats.capacity_bytes,
			   b->length, (unsigned long long)stats.segments_free,
			   (unsigned long long)stats.segments);
	slices_put(life, &slices);
	life->run->coverage->refilled++;
	return true;
}

bool life_batch(struct life *life)
{
	struct arrival arrivals[16], *refused = NULL;
	uint32_t wanted = sim_between(&life->random, 1, life->batch_max);
	uint32_t n = batch_arrives(life, arrivals, wanted), done = 0;
	bool right = true, full = false;

	while (right && done < n) {
		if (deletes_now(life)) {
			right = sim_chance(&life->random, 4) ? random_trim(life)
							     : request_delete(life, draw_key(life));
		} else if (sim_chance(&life->random, 4)) {
			right = random_look(life);
		} else {
			right = request_change(life, &arrivals[done], &full);
			refused = full ? &arrivals[done] : refused;
			life->draining |= full;
			done++;
		}
		/* A packet's requests may fall into different rounds. */
		if (right && sim_chance(&life->random, 16))
			right = life_commit(life);
	}
	while (done < n)
		slices_put(life, &arrivals[done++].slices);
	if (n == 0 && right)
		right = request_delete(life, draw_key(life));
	/* Only now that no request holds buffers any more. */
	if (right && refused && sim_chance(&life->random, 2))
		right = deleting_makes_room(life, refused->object, refused->value);
	return right;
}

static bool maintain(struct life *life)
{
	bool idle = sim_chance(&life->random, 8);
	uint32_t times = sim_chance(&life->random, 16) ? 200 : sim_below(&life->random, 4);

	for (uint32_t i = 0; i < times; i++) {
		int more = paste_store_maintain(life->s, idle);

		if (more < 0 && life->failing)
			return false;
		if (more < 0)
			run_broken(life->run, "maintaining fails: %s", strerror(-more));
		if (more == 0)
			break;
		if (idle && (!life_commit(life) || !life_poll(life)))
			return false;
	}
	return true;
}

static void print_damage(void *arg, const struct paste_damage *damage)
{
	struct life *life = arg;

	if (life->damage-- <= 0)
		run_broken(life->run, "check of a running store finds: %s (at 0x%llx)", damage->what,
			   (unsigned long long)damage->offset);
}

/* Every buffer is owned as often as it is named, at any time. */
static void check_ownership(struct life *life)
{
	int64_t damage = paste_store_check(life->s, NULL, NULL);

	if (damage != life->damage)
		paste_store_check(life->s, print_damage, life);
}

bool life_step(struct life *life)
{
	struct sim_random *r = &life->random;

	life->steps++;
	if (!life->plain)
		life_set_time(life);
	if (life->draining && sim_chance(r, 24))
		life->draining = false;
	if (!life_batch(life) || !life_commit(life))
		return false;
	for (uint32_t polls = sim_below(r, 3); polls; polls--)
		if (!life_poll(life))
			return false;
	if (!maintain(life))
		return false;
	if (sim_chance(r, 16) && !life_wait(life))
		return false;
	if (!life->plain && (!life_snapshot(life) || paste_store_scrub_step(life->s, sim_below(r, 20000)) < 0))
		return false;
	if (sim_chance(r, 16))
		holds_put(life);
	if (sim_chance(r, 4))
		intake_flood(life);
	if (sim_chance(r, 8))
		check_ownership(life);
	return true;
}

bool life_settle(struct life *life)
{
	holds_put(life);
	intake_unpost(life);
	return life_commit(life) && life_wait(life);
}
