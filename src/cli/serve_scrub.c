/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking for damage while serving: in the background, so that a pass takes as long as was asked for, and for
 * `pst check`, as fast as goes beside the load. Both share the store's one pass. A step reads 64 KiB or looks
 * at 4096 values, which is well below a millisecond.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/logfmt.h"
#include "cli/serve_run.h"

#define STEP_BYTES (64 << 10)
#define STEP_VALUES 4096
#define STEP_MIN_US 1000
#define STEP_MAX_US (60ll * 1000000)
#define PROGRESS_US 200000

static void tell_item(void *arg, const struct paste_damage *damage)
{
	struct line l;

	line_begin(&l, LINE_ERROR, "damage found");
	line_text(&l, "what", damage->what);
	line_number(&l, "offset", damage->offset);
	line_end(&l);
}

/* A pass spread evenly over the time that it may take. */
static int64_t pause_between_steps(const struct serve *o, const struct paste_store_stats *s)
{
	uint64_t steps = s->live_bytes / STEP_BYTES + s->scrub_total / STEP_VALUES + 2;
	int64_t pause = (int64_t)(o->options.scrub_us / steps);

	return pause < STEP_MIN_US ? STEP_MIN_US : pause > STEP_MAX_US ? STEP_MAX_US : pause;
}

static void tell_pass(const struct paste_store_stats *s)
{
	struct line l;

	line_begin(&l, LINE_INFO, "scrubbed: every value was read and verified");
	line_number(&l, "passes", s->scrub_passes);
	line_number(&l, "values", s->scrub_entries);
	line_number(&l, "damaged", s->scrub_damage);
	line_end(&l);
}

int64_t serve_scrub(struct serve *o, int64_t now)
{
	struct paste_store_stats s;

	if (!o->options.scrub_us || service_error(o->worker[0].service))
		return INT64_MAX;
	if (now < o->scrub_at)
		return o->scrub_at;
	int rc = o->scrub_at ? paste_store_scrub_step(o->store, STEP_BYTES) : 1;
	paste_store_stats(o->store, &s);
	if (!o->scrub_at)
		o->damage_told = s.damage; /* was told at opening */
	o->damage_told += paste_store_damage(o->store, o->damage_told, tell_item, NULL);
	if (rc == 0)
		tell_pass(&s);
	/* A pass that was over sooner than it may take (the store is small) waits for its time. */
	o->scrub_at = now + (rc == 0 ? STEP_MAX_US : pause_between_steps(o, &s));
	return o->scrub_at;
}

/* ---- "check": lines of JSON: {"progress": ...}, {"what": ...} for each damaged item, at last {"sound": ...}
 * ---- */

struct check {
	struct serve *o;
	uint64_t passes; /* how many have to be complete */
	size_t told;     /* damaged items */
	uint64_t damaged, repaired;
	int64_t progress_at;
	struct json *json;
};

static int check_begin(void *arg, const char *argument, void **state, struct paste_error *err)
{
	struct serve *o = arg;
	struct check *c = calloc(1, sizeof(*c));
	struct paste_store_stats s;

	if (!c)
		return paste_fail(err, -ENOMEM, "out of memory");
	c->o = o;
	paste_store_stats(o->store, &s);
	/* One that is under way has not looked at everything since now. */
	c->passes = s.scrub_passes + (s.scrub_entries && s.scrub_entries < s.scrub_total ? 2 : 1);
	*state = c;
	return 0;
}

static void write_item(void *arg, const struct paste_damage *damage)
{
	struct check *c = arg;

	c->damaged += !damage->repaired;
	c->repaired += damage->repaired;
	json_object(c->json, NULL);
	json_string(c->json, "what", damage->what);
	json_unsigned(c->json, "offset", damage->offset);
	json_bool(c->json, "repaired", damage->repaired);
	json_end_object(c->json);
}

static void write_progress(struct json *j, const struct check *c, const struct paste_store_stats *s)
{
	uint64_t left = c->passes - s->scrub_passes;

	json_object(j, NULL);
	json_unsigned(j, "progress", s->scrub_entries);
	json_unsigned(j, "of", s->scrub_total);
	json_unsigned(j, "passes_left", left);
	json_end_object(j);
}

static void write_result(struct json *j, const struct check *c, const struct paste_store_stats *s)
{
	json_object(j, NULL);
	json_bool(j, "sound", !c->damaged && !c->repaired);
	json_unsigned(j, "damaged", c->damaged);
	json_unsigned(j, "repaired", c->repaired);
	json_unsigned(j, "keys", s->keys);
	json_unsigned(j, "streams", s->streams);
	json_unsigned(j, "entries", s->entries);
	json_end_object(j);
}

static int check_step(void *state, FILE *out, struct paste_error *err)
{
	struct check *c = state;
	struct json json = {.out = out, .flat = true};
	struct paste_store_stats s;
	int64_t now = serve_clocks().monotonic_us;
	int rc = paste_store_scrub_step(c->o->store, STEP_BYTES);

	if (rc < 0)
		return paste_fail(err, rc, "reading values: %s", strerror(-rc));
	paste_store_stats(c->o->store, &s);
	c->json = &json;
	c->told += paste_store_damage(c->o->store, c->told, write_item, c);
	bool done = s.scrub_passes >= c->passes;
	if (done) {
		write_result(&json, c, &s);
	} else if (now >= c->progress_at) {
		c->progress_at = now + PROGRESS_US;
		write_progress(&json, c, &s);
	}
	return !done;
}

void serve_register_check(struct serve *o)
{
	static const struct control_stream check = {check_begin, check_step, free};

	control_register_stream(o->control, "check", &check, o);
}
