/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Upkeep beside the load: when a checkpoint or a cleaning pass begins, and how much of it is done in one step.
 *
 * A step does the part of what is left that the load took of the room that is left since the last step. So the work is
 * spread evenly over the rounds, none of which is long, and is done when the room is used up, whatever the load.
 */
#include <errno.h>

#include "base/site.h"
#include "store/store_internal.h"

/* The least and the most of a step: checkpoint ops, index entries that the cleaner looks at, bytes that it moves. */
#define OPS_LEAST 16
#define OPS_MOST 8192
#define ENTRIES_LEAST 64
#define ENTRIES_MOST 16384
#define BYTES_LEAST 2048
#define BYTES_MOST (256 * 1024)
#define IDLE_FACTOR 32
#define SPREAD 8 /* steps that a round's share of the work is spread over, about */

static uint64_t at_least(uint64_t n, uint64_t least)
{
	return n < least ? least : n;
}

/* So much of `work` as `intake` is of `room`. */
static uint64_t share(uint64_t work, uint64_t intake, uint64_t room, uint64_t least, uint64_t most)
{
	uint64_t part = intake >= room ? work : (uint64_t)((double)work * (double)intake / (double)room);

	return part < least ? least : part > most ? most : part;
}

/* Bytes since the last step: what the load takes of the free segments, and what went into the logs. */
struct intake {
	uint64_t room, log;
};

/* Part of what comes in lands in holes of segments in use, part of it twice, in the log too; and segments are taken whole,
 * but a step is to be as long as the others. So how much room a byte takes is looked at over a while. */
static double pace_rate(struct paste_store *s, uint64_t bytes)
{
	struct pace *p = &s->pace;
	uint64_t total = (uint64_t)s->r->segments << s->r->segment_shift;

	p->intake += bytes;
	if (p->intake > total / 64 + s->r->segment_size) {
		uint64_t taken = (s->r->taken - p->taken) << s->r->segment_shift;
		double now = (double)taken / (double)p->intake;
		p->rate = p->rate > 0 ? (p->rate + now) / 2 : now;
		p->intake = 0;
		p->taken = s->r->taken;
	}
	return p->rate > 0.125 ? p->rate : p->rate > 0 ? 0.125 : 1.25;
}

static struct intake intake_since(struct paste_store *s)
{
	uint64_t log = 0;

	for (uint32_t l = 0; l < s->logs; l++)
		log += s->log[l].bytes;
	struct intake in = {.log = log - s->pace.seen_log};
	uint64_t bytes = s->c.acknowledged_bytes - s->pace.seen + in.log;
	s->pace.owed += (double)bytes * pace_rate(s, bytes);
	/* Large rounds are long by themselves: what they call for is done over the next few. */
	in.room = (uint64_t)(s->pace.owed / SPREAD);
	s->pace.owed -= (double)in.room;
	s->pace.seen_log = log;
	s->pace.seen = s->c.acknowledged_bytes;
	return in;
}

static uint64_t free_above_reserve(const struct paste_store *s)
{
	uint64_t above = s->r->free_segments > s->r->reserve ? s->r->free_segments - s->r->reserve : 0;

	return above << s->r->segment_shift;
}

static bool wants_checkpoint(const struct paste_store *s)
{
	uint64_t log = space_log_bytes(s);

	if (s->checkpoint.state != CHECKPOINT_IDLE)
		return false;
	/* Under pressure, what the log holds of dead values and records is the first thing to give back. */
	uint64_t scarce = (uint64_t)(s->r->segments / 32 + 1) << s->r->segment_shift;
	if (free_above_reserve(s) < scarce && log > space_log_limit(s) / 4 && log > 2ull * s->r->segment_size)
		return true;
	return log > space_log_limit(s);
}

static int step_checkpoint(struct paste_store *s, const struct intake *in, bool idle)
{
	if (wants_checkpoint(s)) {
		int ret = checkpoint_begin(s, false);
		if (ret < 0)
			return ret == -ENOSPC ? 0 : ret; /* the cleaner comes first, then another attempt */
	}
	/* To be done when the log has grown by three quarters of its limit: in the last one there is nothing to do. */
	const struct checkpoint *c = &s->checkpoint;
	uint64_t entries = s->live_keys + s->entries, left = entries > c->all_ops ? entries - c->all_ops : 0;
	uint64_t room = at_least(c->log_end > s->pace.seen_log ? c->log_end - s->pace.seen_log : 0, space_log_limit(s) / 32);
	uint64_t ops = share(left, in->log, room, OPS_LEAST, OPS_MOST);
	int ret = checkpoint_step(s, (uint32_t)ops * (idle ? IDLE_FACTOR : 1));
	return ret == -ENOSPC ? 0 : ret;
}

/* A good part of the region is in the hands of somebody, bodies that still arrive for the most part: what is moved out
 * from between them makes no room before they end. What rings hold never ends. */
static bool is_held(const struct paste_region *r)
{
	uint32_t held = 0;

	for (uint32_t b = 0; b < r->buffers; b++)
		held += r->buffer[b].users > 0 && r->buffer[b].live == 0;
	return held > r->standing + r->buffers / 16;
}

static int step_cleaner(struct paste_store *s, const struct intake *in, bool idle)
{
	if (!s->cleaner.active) {
		bool low = space_is_low(s);
		/* What fills the room that there is now may lie scattered: worth a look when room is scarce again. */
		if (!low)
			s->cleaner.futile = false;
		/* What has landed needs segments for its records, and its buffers can be let go of only then. */
		uint32_t spare = CLEANER_SPARE + (space_is_starved(s) && is_held(s->r) ? s->r->reserve : 0);
		if (!low || !cleaner_begin(s, spare))
			return 0;
	}
	/* What is moved needs room as well, and the victims are free only at the end. */
	const struct cleaner *c = &s->cleaner;
	uint64_t room = free_above_reserve(s);
	room -= room / 8;
	room = room > c->left_bytes ? room - c->left_bytes : 0;
	/* Behind, though not out of room: faster, but not all at once. */
	if (s->r->free_segments > s->r->reserve + 1)
		room = at_least(room, ((uint64_t)s->r->segments << s->r->segment_shift) / 128);
	uint64_t bytes = share(c->left_bytes, in->room, room, BYTES_LEAST, BYTES_MOST);
	uint64_t entries = share(c->left_entries, in->room, room, ENTRIES_LEAST, ENTRIES_MOST);
	/* Both come to their ends together, by and large: the entries set the pace, the bytes keep a step short. */
	uint32_t factor = idle ? IDLE_FACTOR : 1;
	uint64_t moved = s->c.cleaned_bytes;
	int ret = cleaner_step(s, (bytes + bytes / 2) * factor, (uint32_t)entries * factor);
	/* The step that ends the pass may have moved something as well: that is not sealed yet. */
	if (ret == 0 && s->c.cleaned_bytes != moved && SITE(cleaned_goes_on))
		return 1;
	return ret == -ENOSPC ? 0 : ret;
}

/* Nobody else will close the round that holds what this step wrote. */
static int idle_end(struct paste_store *s, bool more)
{
	int64_t round = paste_store_commit(s);

	if (round < 0)
		return (int)round;
	if (more)
		return 1;
	if (s->round_count > 0 || !store_wants_seal(s))
		return 0;
	int ret = store_seal(s);
	return ret == -ENOSPC ? 0 : ret;
}

int paste_store_maintain(struct paste_store *s, bool idle)
{
	if (s->error)
		return s->error;
	if (s->read_only)
		return 0;
	/* A snapshot costs nobody the room to arrive. */
	if (s->snapshot.given_up || (s->snapshot.kept_bytes && space_is_starved(s)))
		snapshot_give_up(s);
	space_set_reserve(s);
	struct intake in = intake_since(s);
	int expiring = expiry_step(s, idle);
	if (expiring < 0)
		return expiring;
	int busy = step_checkpoint(s, &in, idle);
	if (busy < 0)
		return busy;
	int cleaning = step_cleaner(s, &in, idle);
	if (cleaning < 0)
		return cleaning;
	if (idle)
		return idle_end(s, busy || cleaning || expiring);
	if (space_is_starved(s) && s->round_count == 0 && !store_dirty(s) && store_wants_seal(s)) {
		int ret = store_seal(s);
		if (ret < 0 && ret != -ENOSPC)
			return ret;
	}
	return busy || cleaning;
}
