/* SPDX-License-Identifier: BSD-2-Clause */
#include "damage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "patient.h"
#include "usage.h"

/* What a damaged region answers. */
struct findings {
	struct run *run;
	uint32_t reported, repaired;
	uint32_t unreadable; /* values */
	bool stale;          /* may be served: see lose_piece() */
	bool piece;          /* more than a bit is damaged */
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

/* The object had this value at some time, perhaps in an earlier life. */
static bool had_value(const struct patient *p, struct paste_store *s, const struct object *o, int rc,
		      const struct paste_value *v)
{
	for (uint32_t life = 0; life < p->lives; life++) {
		const struct object *then = &p->h[life]->objects[o - patient_right(p)->objects];

		for (uint32_t i = 0; i < then->n; i++) {
			const struct state *state = &then->states[i];
			if (rc == -ENOENT ? !state->present
					  : state->present && value_equals(s, v, state->value))
				return true;
		}
	}
	return false;
}

/* -EBADMSG is an honest answer; other bytes than were put are not, nor is "absent" for what was there. */
static void see_value(struct patient *p, struct paste_store *s, struct findings *f, const struct object *o,
		      int rc, const struct paste_value *v, const struct blob *value)
{
	const char *what = o->stream ? "stream's entry" : "key";
	bool stale = f->stale && (o->stream ? rc == -ENOENT : rc != -EBADMSG && had_value(p, s, o, rc, v));

	if (rc == -EBADMSG)
		f->unreadable++;
	else if (rc != 0 && rc != -ENOENT)
		run_broken(p->run, "reading a %s of a damaged region gives %d", what, rc);
	else if (rc == -ENOENT && value && !stale)
		run_broken(p->run, "a %s that was there is answered with \"absent\"", what);
	else if (rc == 0 && !value && !stale)
		run_broken(p->run, "a %s that was deleted is served again", what);
	else if (rc == 0 && !stale && !value_equals(s, v, value))
		run_broken(p->run, "a %s is served with %s", what,
			   !o->stream && had_value(p, s, o, rc, v) ? "an older value" : "wrong bytes");
	if (rc == 0)
		paste_value_put(s, v);
}

static void see_key(struct patient *p, struct paste_store *s, struct findings *f, const struct object *o)
{
	const struct state *state = object_last(o);
	struct paste_value v = {0};
	int rc = paste_store_get(s, o->name, o->name_length, &v);

	see_value(p, s, f, o, rc, &v, state->present ? state->value : NULL);
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
	if (rc != (state->present ? 0 : -ENOENT) && !f->stale)
		run_broken(p->run, "a stream that was %s is %s", state->present ? "there" : "absent",
			   rc ? "absent" : "there");
	/* A lost record may have been an append: then its number is not used again. */
	if (rc == 0 && next != state->next && !f->stale && !(f->piece && next > state->next))
		run_broken(p->run, "a stream goes on with entry %llu instead of %llu",
			   (unsigned long long)next, (unsigned long long)state->next);
	for (uint64_t sequence = state->first; rc == 0 && sequence < state->next; sequence++) {
		struct paste_value v = {0};

		rc = paste_store_read(s, o->name, o->name_length, sequence, &v);
		see_value(p, s, f, o, rc, &v, o->entries[sequence]);
		rc = 0;
	}
}

static void see_all(struct patient *p, struct paste_store *s, struct findings *f)
{
	f->run = p->run;
	for (uint32_t i = 0; i < patient_right(p)->keys; i++)
		see_key(p, s, f, &patient_right(p)->objects[i]);
	for (uint32_t i = patient_right(p)->keys; i < patient_right(p)->keys + patient_right(p)->streams; i++)
		see_stream(p, s, f, &patient_right(p)->objects[i]);
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
		struct findings after = {.stale = before->stale, .piece = before->piece};

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
	struct findings f = {0};
	int error;

	run_enter(p->run, &frame, "bit %u flipped at 0x%llx, in %s", bit, (unsigned long long)at,
		  use_name(use_of(p->map[at])));
	p->image[at] ^= 1u << bit;
	struct paste_store *s = open_image(p, &error);
	if (!s)
		run_broken(p->run, "the region cannot be opened any more (%s)", strerror(-error));
	see_all(p, s, &f);
	store_abandon(s);
	if (use_of(p->map[at]) == USE_NONE && f.reported)
		run_broken(p->run, "damage is reported where nothing is in use: %s", f.text);
	if (use_of(p->map[at]) != USE_NONE && use_of(p->map[at]) != USE_TAIL && !f.reported)
		run_broken(p->run, "a flipped bit is not reported");
	if (f.unreadable > 1)
		run_broken(p->run, "%u values are unreadable, of which all but one are neighbours",
			   f.unreadable);
	if (f.unreadable && use_of(p->map[at]) != USE_VALUE && use_of(p->map[at]) != USE_LIST)
		run_broken(p->run, "one bit of metadata could be put right, but a value is unreadable (%s)",
			   f.text);
	if (sim_chance(&p->random, 50))
		rewrite(p, &f);
	p->image[at] ^= 1u << bit;
	p->counts->flips++;
	p->counts->in_use += use_of(p->map[at]) != USE_NONE;
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
		if (use_of(p->map[at]) == wanted)
			return at;
	}
	return sim_below(&p->random, p->run->size);
}

/* A record names the keys that the one before it changed, and a list those of some before it. With two lost and
 * no list behind them nobody knows the first one's, and its older value is served: documented, and reported in
 * these words. With the last record goes the proof that there was anything before. */
static uint32_t look_at_records(const struct patient *p, uint64_t at, uint32_t n, bool *two, bool *last)
{
	uint32_t records = use_of(p->map[at]) == USE_RECORD && !(p->map[at] & USE_BEGINS);

	bool header = use_of(p->map[at]) == USE_HEADER;

	*last = false;
	for (uint32_t i = 0; i < n; i++) {
		records += (p->map[at + i] & USE_BEGINS) != 0;
		*last |= (p->map[at + i] & USE_LAST) || p->map[at + i] == USE_TAIL;
		*last |= header && (p->map[at + i] & USE_FIRST);
	}
	*two = records > 1;
	return records;
}

static bool says_keys_unknown(const struct paste_store *s)
{
	for (size_t i = 0; i < s->damage_count; i++)
		if (strstr(s->damage[i].what, "older values may be served"))
			return true;
	return false;
}

static void lose(struct patient *p, uint64_t at, uint32_t n)
{
	bool garbage = sim_chance(&p->random, 2), two, last;
	uint8_t *saved = malloc(n);
	struct run_frame frame;
	struct findings f = {.piece = true};
	int error;

	if (!saved)
		abort();
	uint32_t records = look_at_records(p, at, n, &two, &last);
	run_enter(p->run, &frame, "%u bytes of %s at 0x%llx, in %s, and %u records%s", n,
		  garbage ? "garbage" : "zeroes", (unsigned long long)at, use_name(use_of(p->map[at])),
		  records, last ? " with the last one" : "");
	memcpy(saved, p->image + at, n);
	f.stale = last;
	if (garbage)
		sim_fill(&p->random, p->image + at, n);
	else
		memset(p->image + at, 0, n);
	struct paste_store *s = open_image(p, &error);
	if (s) {
		bool unnamed = says_keys_unknown(s);
		f.stale |= unnamed;
		if (unnamed && !two && !last && use_of(p->map[at]) != USE_OPEN)
			run_broken(p->run, "one record is lost, and nothing says whose keys it changed");
		p->counts->several += two && !last;
		p->counts->unnamed += two && !last && unnamed;
		see_all(p, s, &f);
		store_abandon(s);
		if ((f.unreadable || two) && !last && !f.reported)
			run_broken(p->run, "something is lost, and check finds nothing");
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

static void lose_piece(struct patient *p)
{
	static const uint32_t sizes[] = {64, 64, 512, 4096, 4096, 16384};
	uint32_t n = sizes[sim_below(&p->random, 6)];

	lose(p, draw_position(p) / n * n, n);
}

/* The record that begins at `at`: header and a little more, which nobody can put right. */
static void lose_record(struct patient *p, uint64_t at)
{
	const struct record *rec = (const struct record *)(p->image + at);

	lose(p, at, sizeof(*rec) + 8 <= rec->meta ? sizeof(*rec) + 8 : sizeof(*rec));
}

/* The first record of each life says what of the life before counts; there are too few to be hit by chance.
 */
static void lose_first_records(struct patient *p)
{
	for (uint64_t at = 0; at < p->run->size; at++)
		if ((p->map[at] & USE_BEGINS) && use_of(p->map[at]) == USE_OPEN)
			lose_record(p, at);
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
	struct findings f = {0};
	int error;

	run.buffer_size = options->kind == SIM_FILE ? 4096 : 2048;
	p.image = run_block(&run);
	p.map = run_block(&run);
	memset(p.image, 0, run.size);
	run_watch(&run);
	run_enter(&run, &frame, "damage");
	patient_fill(&p);
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
	lose_first_records(&p);
	counts->images++;
	for (int use = 0; use < USES; use++)
		counts->used[use] += used[use];
	patient_free(&p);
	run_leave(&run, &frame);
	run_watch(NULL);
	run_block_put(&run, p.image);
	run_block_put(&run, p.map);
	run_end(&run);
}
