/* SPDX-License-Identifier: BSD-2-Clause */
/* What may stand on the simulated medium after a crash at this moment. */
#include "media/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct unit {
	uint64_t offset;
	const uint8_t *captured; /* as written back, or NULL */
};

struct sim_crash {
	struct sim *s;
	uint32_t n, room, written_back;
	struct unit *units;
};

static void unit_add(struct sim_crash *c, uint64_t offset, const uint8_t *captured)
{
	if (c->n == c->room) {
		c->room = c->room ? 2 * c->room : 256;
		c->units = realloc(c->units, c->room * sizeof(*c->units));
		if (!c->units)
			abort();
	}
	c->units[c->n++] = (struct unit){.offset = offset, .captured = captured};
}

/* A group's units that the medium does not hold already. The same block in two groups counts twice, in order.
 */
static void add_group(struct sim_crash *c, const struct sim_group *g)
{
	const struct sim *s = c->s;
	uint32_t size = s->m.unit;

	for (uint32_t i = 0; i < g->n; i++) {
		uint64_t offset = (uint64_t)g->unit[i] * size;
		const uint8_t *captured = g->content + (size_t)i * size;

		/* A block on its way may tear even if it holds what was there before. */
		if (s->kind == SIM_FILE || memcmp(captured, s->floor + offset, size) != 0 ||
		    memcmp(captured, s->m.base + offset, size) != 0)
			unit_add(c, offset, captured);
	}
}

/* Lines changed and not written back. */
static void add_changed_lines(struct sim_crash *c)
{
	const struct sim *s = c->s;
	const uint8_t *base = s->m.base, *floor = s->floor;

	for (uint64_t page = 0; page < s->m.length; page += 4096) {
		if (memcmp(base + page, floor + page, 4096) == 0)
			continue;
		for (uint64_t at = page; at < page + 4096; at += 64)
			if (s->slot[at / 64] == 0 && memcmp(base + at, floor + at, 64) != 0)
				unit_add(c, at, NULL);
	}
}

struct sim_crash *sim_crash_begin(struct media *m)
{
	struct sim_crash *c = calloc(1, sizeof(*c));
	struct sim *s = sim_of(m);

	if (!c)
		abort();
	c->s = s;
	if (!s->floor)
		return c;
	for (const struct sim_group *g = s->head; g; g = g->next)
		add_group(c, g);
	add_group(c, s->open);
	c->written_back = c->n;
	if (s->kind == SIM_ADR)
		add_changed_lines(c);
	return c;
}

void sim_crash_end(struct sim_crash *c)
{
	free(c->units);
	free(c);
}

uint32_t sim_crash_units(const struct sim_crash *c)
{
	return c->n;
}

uint32_t sim_crash_written_back(const struct sim_crash *c)
{
	return c->written_back;
}

bool sim_crash_touches(const struct sim_crash *c, uint64_t offset, uint64_t n)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->units[i].offset < offset + n && offset < c->units[i].offset + c->s->m.unit)
			return true;
	return false;
}

/* Mix of what is in `out` and the new content, in pieces. */
static void mix(const struct sim_crash *c, const struct unit *u, struct sim_random *r, uint32_t piece,
		uint8_t *out)
{
	const uint8_t *now = c->s->m.base + u->offset;

	for (uint32_t at = 0; at < c->s->m.unit; at += piece) {
		uint64_t draw = sim_draw(r);

		if (draw & 1)
			memcpy(out + u->offset + at, (u->captured && (draw & 2) ? u->captured : now) + at,
			       piece);
	}
}

static void keep(const struct sim_crash *c, const struct unit *u, bool as_captured, uint8_t *out)
{
	const uint8_t *now = c->s->m.base + u->offset;

	memcpy(out + u->offset, u->captured && as_captured ? u->captured : now, c->s->m.unit);
}

/* A block under rewrite when the power went. */
static void tear_block(const struct sim_crash *c, const struct unit *u, struct sim_random *r, uint8_t *out)
{
	switch (sim_below(r, 8)) {
	case 0:
	case 1:
		break;
	case 2:
	case 3:
		keep(c, u, sim_draw(r) & 1, out);
		break;
	case 4:
	case 5:
		mix(c, u, r, 512, out);
		break;
	case 6:
		mix(c, u, r, 8, out);
		break;
	case 7: /* the sector that was being written holds neither: old bytes are not safe in a rewritten
		   block */
		mix(c, u, r, 512, out);
		sim_fill(r, out + u->offset + 512 * sim_below(r, 8), 512);
		break;
	}
}

static void random_blocks(const struct sim_crash *c, uint64_t seed, uint8_t *out)
{
	struct sim_random r = sim_random(seed);

	for (uint32_t i = 0; i < c->n; i++)
		tear_block(c, &c->units[i], &r, out);
}

static void random_lines(const struct sim_crash *c, uint64_t seed, uint8_t *out)
{
	struct sim_random r = sim_random(seed);
	/* Of 8: how many arrive. Even odds alone would never show one loss among a thousand lines, nor one
	 * survivor. */
	uint32_t odds = (const uint32_t[]){1, 4, 4, 7}[sim_below(&r, 4)];
	bool words = sim_chance(&r, 2), rare = sim_chance(&r, 4);

	for (uint32_t i = 0; i < c->n; i++) {
		const struct unit *u = &c->units[i];

		if (words && (!rare || sim_chance(&r, 16)))
			mix(c, u, &r, 8, out);
		else if (sim_below(&r, 8) < odds)
			keep(c, u, sim_draw(&r) & 1, out);
	}
}

/* Packets that were under way reach the memory after the process is gone. */
static void land_held(const struct sim_crash *c, uint64_t seed, uint8_t *out)
{
	struct sim_random r = sim_random(~seed);

	if (c->s->kind == SIM_FILE)
		return; /* they fall into memory that is gone too */
	for (const struct sim_held *h = c->s->held; h; h = h->next) {
		bool whole = sim_chance(&r, 2);

		for (uint64_t at = 0; at < h->n; at += 8 - (h->offset + at) % 8) {
			uint64_t word = 8 - (h->offset + at) % 8;

			if (whole || sim_chance(&r, 2))
				memcpy(out + h->offset + at, h->bytes + at,
				       word < h->n - at ? word : h->n - at);
		}
	}
}

static bool unit_arrives(const struct sim_image *image, uint32_t i)
{
	switch (image->kind) {
	case SIM_IMAGE_ALL:
		return true;
	case SIM_IMAGE_ONE_KEPT:
		return i == image->unit;
	case SIM_IMAGE_ONE_LOST:
		return i != image->unit;
	case SIM_IMAGE_PREFIX:
		return i < image->unit;
	case SIM_IMAGE_SUFFIX:
		return i >= image->unit;
	default:
		return false;
	}
}

void sim_crash_image(struct sim_crash *c, const struct sim_image *image, uint8_t *out)
{
	const struct sim *s = c->s;

	memcpy(out, s->floor ? s->floor : s->m.base, s->m.length);
	if (image->kind == SIM_IMAGE_RANDOM && s->kind == SIM_FILE)
		random_blocks(c, image->seed, out);
	else if (image->kind == SIM_IMAGE_RANDOM)
		random_lines(c, image->seed, out);
	else
		for (uint32_t i = 0; i < c->n; i++)
			if (unit_arrives(image, i))
				keep(c, &c->units[i], image->seed & 1, out);
	if (image->late)
		land_held(c, image->seed, out);
}

/* All of the systematic images, if they take no more than `room`. */
static uint32_t plan_all(const struct sim_crash *c, struct sim_random *r, struct sim_image *images,
			 uint32_t room)
{
	uint32_t n = 0;

	if (c->n > room / 4)
		return 0;
	for (uint32_t i = 0; i < c->n; i++) {
		images[n++] = (struct sim_image){SIM_IMAGE_ONE_KEPT, i, sim_draw(r), false};
		images[n++] = (struct sim_image){SIM_IMAGE_ONE_LOST, i, sim_draw(r), false};
		if (i > 1) { /* below that they are the same as those above */
			images[n++] = (struct sim_image){SIM_IMAGE_PREFIX, i, sim_draw(r), false};
			images[n++] = (struct sim_image){SIM_IMAGE_SUFFIX, i, sim_draw(r), false};
		}
	}
	return n;
}

static struct sim_image plan_one(const struct sim_crash *c, struct sim_random *r)
{
	/* What was written back is where the order matters; received bytes that nobody kept are the bulk of
	 * the rest. */
	bool leading = c->written_back && sim_chance(r, 2);
	uint32_t unit = sim_below(r, leading ? c->written_back : c->n);

	return (struct sim_image){SIM_IMAGE_ONE_KEPT + sim_below(r, 4), unit, sim_draw(r), false};
}

uint32_t sim_crash_plan(const struct sim_crash *c, struct sim_random *r, struct sim_image *images,
			uint32_t room)
{
	uint32_t n = 0;

	images[n++] = (struct sim_image){SIM_IMAGE_ALL, 0, 0, false};
	if (c->n) {
		images[n++] = (struct sim_image){SIM_IMAGE_FLOOR, 0, 0, false};
		n += plan_all(c, r, images + n, (room - n) * 2 / 3);
		bool sample = n == 2;
		while (n < room) {
			bool random = !sample || sim_chance(r, 2);
			images[n++] = random ? (struct sim_image){SIM_IMAGE_RANDOM, 0, sim_draw(r), false}
					     : plan_one(c, r);
			if (!sample && n >= 2 + 12 * c->n)
				break; /* few units: no need to draw the same again and again */
		}
	}
	if (c->s->held && n > 2)
		for (uint32_t i = 0; i < n; i++)
			images[i].late = sim_chance(r, 2);
	else if (c->s->held && n < room)
		images[n++] = (struct sim_image){SIM_IMAGE_ALL, 0, sim_draw(r), true};
	return n;
}

const char *sim_image_text(const struct sim_crash *c, const struct sim_image *image, char *text,
			   uint32_t room)
{
	static const char *const names[] = {"floor",  "all",    "one kept", "one lost",
					    "prefix", "suffix", "random"};
	uint64_t offset = image->unit < c->n ? c->units[image->unit].offset : 0;
	const char *late = image->late ? ", late packets" : "";

	if (image->kind <= SIM_IMAGE_ALL)
		snprintf(text, room, "%s (%u uncertain)%s", names[image->kind], c->n, late);
	else if (image->kind == SIM_IMAGE_RANDOM)
		snprintf(text, room, "random 0x%llx (%u uncertain)%s", (unsigned long long)image->seed, c->n,
			 late);
	else
		snprintf(text, room, "%s: unit %u of %u at 0x%llx%s", names[image->kind], image->unit, c->n,
			 (unsigned long long)offset, late);
	return text;
}
