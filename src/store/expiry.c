/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys that expire.
 *
 * A key whose time has come is absent: to every read, list and condition. Two things follow from showing that
 * to somebody. It must stay so whatever the clock says after a crash: so the time that is shown is durable,
 * in a CLOCK op, before the reply leaves; one record says it for all keys of that moment. And its room is to
 * be used again: a walk over the index, a piece a step, deletes what has expired, each by a record like any
 * other delete.
 */
#include <errno.h>

#include "base/site.h"
#include "paste/change.h"
#include "store/store_internal.h"

#define PASS_MS 10000     /* a walk over the whole index takes about so long, or as long as there is time */
#define ENTRIES_MOST 4096 /* a step */
#define ENTRIES_URGENT 16384 /* when somebody waits for room */

void paste_store_set_time(struct paste_store *s, uint64_t ms)
{
	if (ms > s->now)
		s->now = ms;
}

uint64_t paste_store_time(const struct paste_store *s)
{
	return s->now;
}

/* The time is about to be shown: what it depends on goes into *round. */
int expiry_reveal(struct paste_store *s, const struct entry *e, uint64_t *round)
{
	uint64_t expires = entry_expires(e), mark = pending_round(s, e->mark);

	if (mark > *round)
		*round = mark;
	if (s->clock < expires && !s->read_only && SITE(expiry_clock_record)) {
		struct op_view v = {.op = {.type = OP_CLOCK, .version = s->now}};
		if (s->error)
			return -EIO;
		int ret = log_add_always(s, 0, &v.op);
		if (ret < 0)
			return ret;
		change_log(s, 0, &v, DIGEST_NONE);
		s->clock = s->now;
		s->clock_mark = s->round;
	}
	mark = pending_round(s, s->clock_mark);
	if (mark > *round)
		*round = mark;
	return s->error && *round ? -EIO : 0;
}

void expiry_note(struct paste_store *s, uint64_t expires)
{
	if (expires < s->expiry.next)
		s->expiry.next = expires;
}

bool expiry_due(const struct paste_store *s)
{
	return s->expiring > 0 && s->now > 0 && s->expiry.next <= s->now;
}

static void pass_begin(struct paste_store *s)
{
	struct expiry *x = &s->expiry;

	x->active = true;
	/* What is put from here on lowers it again. */
	x->seen = UINT64_MAX;
	x->next = UINT64_MAX;
	tree_cursor_start(&x->cursor, &s->keys, NULL, 0);
}

/* Look at up to `entries`. 1: there is more of this walk. */
static int walk(struct paste_store *s, uint32_t entries)
{
	struct expiry *x = &s->expiry;

	for (uint32_t i = 0; i < entries; i++) {
		struct entry *e = tree_cursor_next(&x->cursor);
		if (!e) {
			x->active = false;
			expiry_note(s, x->seen);
			return 0;
		}
		if (!e->attributes || (e->flags & ENTRY_ABSENT))
			continue;
		uint64_t expires = entry_expires(e);
		if (!entry_expired(s, e)) {
			if (expires && expires < x->seen)
				x->seen = expires;
			continue;
		}
		struct paste_result result;
		int ret = paste_store_delete(s, x->cursor.key, x->cursor.length, &result);
		if (ret < 0) {
			x->seen = 0; /* it is still there: another walk is due */
			return ret;
		}
		s->c.deletes--;
		s->c.expired++;
	}
	return 1;
}

int expiry_step(struct paste_store *s, bool idle)
{
	struct expiry *x = &s->expiry;
	uint64_t passed = s->now - x->last;

	if (!x->active && !expiry_due(s))
		return 0;
	if (!x->active)
		pass_begin(s);
	/* So many that the walk is done in about PASS_MS of the time that the caller says has passed. */
	uint64_t entries = passed < PASS_MS ? tree_count(&s->keys) * passed / PASS_MS : ENTRIES_MOST;
	if (idle)
		entries = ENTRIES_MOST;
	if (entries == 0)
		return 0; /* time adds up until it is worth one */
	x->last = s->now;
	int ret = walk(s, entries < ENTRIES_MOST ? (uint32_t)entries : ENTRIES_MOST);
	if (ret < 0)
		return ret == -ENOSPC ? 0 : ret;
	return idle && (ret || expiry_due(s));
}

bool expiry_make_room(struct paste_store *s)
{
	uint64_t before = s->c.expired;

	if (!s->expiry.active && !expiry_due(s))
		return false;
	if (!s->expiry.active)
		pass_begin(s);
	walk(s, ENTRIES_URGENT);
	return s->c.expired != before;
}
