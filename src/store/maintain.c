/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Upkeep beside the load: when a checkpoint or a cleaning pass begins, and how much of it is done in one step.
 *
 * A step is short enough not to be seen in the tail of the latencies, and grows as room gets scarce, so that the load
 * cannot outrun it: what a round writes is small beside what a step under pressure cleans.
 */
#include <errno.h>

#include "store/store_internal.h"

#define STEP_OPS 64            /* checkpoint ops */
#define STEP_ENTRIES 256       /* index entries looked at by the cleaner */
#define STEP_BYTES (8 * 1024)  /* moved by the cleaner */
#define IDLE_FACTOR 16

/* 1 with much room, up to 32 when the reserve is near. */
static uint32_t urgency(const struct paste_store *s)
{
	uint32_t low = s->r->segments / 16 + 2;
	uint32_t above = s->r->free_segments > s->r->reserve ? s->r->free_segments - s->r->reserve : 0;

	if (above >= low)
		return 1;
	if (above >= low / 2)
		return 4;
	return above >= low / 4 ? 8 : 32;
}

static bool wants_checkpoint(const struct paste_store *s)
{
	uint64_t log = space_log_bytes(s);

	if (s->checkpoint.state != CHECKPOINT_IDLE)
		return false;
	/* Under pressure, what the log holds of dead values and records is the first thing to give back. */
	if (space_is_low(s) && log > space_log_limit(s) / 4 && log > 2ull * s->r->segment_size)
		return true;
	return log > space_log_limit(s);
}

static int step_checkpoint(struct paste_store *s, uint32_t factor)
{
	if (wants_checkpoint(s)) {
		int ret = checkpoint_begin(s, false);
		if (ret < 0)
			return ret == -ENOSPC ? 0 : ret; /* the cleaner comes first, then another attempt */
	}
	/* The longer the log has grown past its limit, the faster. */
	uint64_t log = space_log_bytes(s), limit = space_log_limit(s);
	if (log > limit + limit / 2)
		factor *= 4;
	int ret = checkpoint_step(s, STEP_OPS * factor);
	return ret == -ENOSPC ? 0 : ret;
}

static int step_cleaner(struct paste_store *s, uint32_t factor)
{
	if (!s->cleaner.active) {
		bool low = space_is_low(s);
		/* What fills the room that there is now may lie scattered: worth a look when room is scarce again. */
		if (!low)
			s->cleaner.futile = false;
		if (!low || !cleaner_begin(s))
			return 0;
	}
	int ret = cleaner_step(s, (uint64_t)STEP_BYTES * factor, STEP_ENTRIES * factor);
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

/* No fresh segment for what arrives. Buffers of deleted values wait for nothing but a record that says so, and while
 * nothing can arrive none is written. */
static bool starved(const struct paste_store *s)
{
	return s->r->free_segments <= s->r->reserve;
}

int paste_store_maintain(struct paste_store *s, bool idle)
{
	if (s->error)
		return s->error;
	if (s->read_only)
		return 0;
	space_set_reserve(s);
	uint32_t factor = urgency(s);
	if (idle && factor < IDLE_FACTOR)
		factor = IDLE_FACTOR;
	int busy = step_checkpoint(s, factor);
	if (busy < 0)
		return busy;
	int cleaning = step_cleaner(s, factor);
	if (cleaning < 0)
		return cleaning;
	if (idle)
		return idle_end(s, busy || cleaning);
	if (starved(s) && s->round_count == 0 && !store_dirty(s) && store_wants_seal(s)) {
		int ret = store_seal(s);
		if (ret < 0 && ret != -ENOSPC)
			return ret;
	}
	return busy || cleaning;
}
