/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/site.h"
#include "paste/backup.h"
#include "store/store_internal.h"

#define SKIP_MAX 4096 /* entries in a row that are not shown, in one call */

void snapshot_init(struct snapshot *sn)
{
	*sn = (struct snapshot){0};
	tree_init(&sn->saved, entry_key_of, NULL);
}

static uint64_t kept_cost(const struct entry *e)
{
	return e->length + entry_size(e);
}

/* Nobody needs the entry any more: what it owns is free when its removal can not be undone. There is a place
 * in limbo. */
static void let_go(struct paste_store *s, uint16_t l, struct entry *e)
{
	s->snapshot.kept_bytes -= kept_cost(e);
	/* It was removed by a record that is at or below the last one. */
	if (e->refs)
		fifo_push(&s->limbo[l], e, s->log[l].next - 1);
	else
		entry_free(&s->slab, e);
}

/* -ENOMEM: it stays where it is. */
static int let_go_key(struct paste_store *s, struct entry *e)
{
	uint16_t l = home_log(s, false, entry_key(e), e->key_length);

	if (fifo_reserve(&s->limbo[l], 1))
		return -ENOMEM;
	tree_remove(&s->snapshot.saved, entry_key(e), e->key_length);
	let_go(s, l, e);
	return 0;
}

static void kept_free(struct snapshot_kept *k)
{
	k->stream->kept = NULL;
	free(k->entry);
	free(k);
}

static int let_go_kept(struct paste_store *s, struct snapshot_kept *k)
{
	struct snapshot_kept **at = &s->snapshot.kept;
	uint16_t l = home_log(s, true, k->stream->name, k->stream->name_length);

	if (fifo_reserve(&s->limbo[l], k->n))
		return -ENOMEM;
	while (k->n > 0)
		let_go(s, l, k->entry[--k->n]);
	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	kept_free(k);
	return 0;
}

static int let_all_go(struct paste_store *s)
{
	struct snapshot *sn = &s->snapshot;
	struct entry *e;

	sn->shown = NULL;
	while ((e = tree_first(&sn->saved))) {
		int ret = let_go_key(s, e);
		if (ret < 0)
			return ret;
	}
	while (sn->kept) {
		int ret = let_go_kept(s, sn->kept);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void item_free(void *arg, void *item)
{
	entry_free(arg, item);
}

void snapshot_free(struct paste_store *s)
{
	struct snapshot *sn = &s->snapshot;

	tree_destroy(&sn->saved, item_free, &s->slab);
	while (sn->kept) {
		struct snapshot_kept *k = sn->kept;
		sn->kept = k->next;
		while (k->n > 0)
			entry_free(&s->slab, k->entry[--k->n]);
		kept_free(k);
	}
}

/* What it kept goes when nobody is in the middle of a change (snapshot_give_up() from upkeep). */
static void mark_given_up(struct snapshot *sn)
{
	sn->gave_up += !sn->given_up;
	sn->given_up = true;
}

bool snapshot_give_up(struct paste_store *s)
{
	struct snapshot *sn = &s->snapshot;

	if (!sn->active || sn->kept_bytes == 0)
		return false;
	mark_given_up(sn);
	return let_all_go(s) == 0;
}

/* ------------------------------------------------------------------ what is kept */

static int compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
	int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

	return order ? order : (a_length > b_length) - (a_length < b_length);
}

static bool walk_is_past(const struct snapshot *sn, bool streams, const uint8_t *name, size_t length)
{
	if (sn->in_streams != streams)
		return sn->in_streams;
	return sn->at_length > 0 && compare(name, length, sn->at, sn->at_length) <= 0;
}

static bool over_limit(struct paste_store *s, const struct entry *e)
{
	uint64_t total = (uint64_t)s->r->segments << s->r->segment_shift;

	s->snapshot.kept_bytes += kept_cost(e);
	return s->snapshot.kept_bytes > total / 8;
}

bool snapshot_keep(struct paste_store *s, uint16_t l, struct entry *e)
{
	struct snapshot *sn = &s->snapshot;

	if (sn->given_up || (e->flags & ENTRY_ABSENT) || e->version >= sn->start[l] ||
	    walk_is_past(sn, false, entry_key(e), e->key_length) || !SITE(snapshot_keeps))
		return false;
	if (tree_insert(&sn->saved, entry_key(e), e->key_length, e, NULL) < 0) {
		mark_given_up(sn);
		return false;
	}
	if (over_limit(s, e))
		mark_given_up(sn);
	return true;
}

static struct snapshot_kept *kept_of(struct paste_store *s, struct stream *st)
{
	struct snapshot_kept *k = st->kept;

	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k)
			return NULL;
		k->stream = st;
		k->next = s->snapshot.kept;
		s->snapshot.kept = st->kept = k;
	}
	if (k->n == k->room) {
		size_t room = k->room ? k->room * 2 : 64;
		struct entry **more = realloc(k->entry, room * sizeof(*more));
		if (!more)
			return NULL;
		k->entry = more;
		k->room = room;
	}
	return k;
}

bool snapshot_keep_entry(struct paste_store *s, struct stream *st, uint64_t sequence, struct entry *e)
{
	struct snapshot *sn = &s->snapshot;
	bool shown =
	    st == sn->stream ? sequence < sn->sequence : walk_is_past(sn, true, st->name, st->name_length);

	if (sn->given_up || shown || sequence >= st->snapshot_next || !SITE(snapshot_keeps_entries))
		return false;
	struct snapshot_kept *k = kept_of(s, st);
	if (!k) {
		mark_given_up(sn);
		return false;
	}
	k->entry[k->n++] = e;
	if (over_limit(s, e))
		mark_given_up(sn);
	return true;
}

void snapshot_touch(struct paste_store *s, struct stream *st)
{
	if (st->snapshot == s->snapshot.id)
		return;
	st->snapshot = s->snapshot.id;
	st->snapshot_first = st->first;
	st->snapshot_next = st->next;
}

int snapshot_each(const struct paste_store *s, int (*each)(void *arg, const struct entry *e), void *arg)
{
	struct tree_cursor c;
	struct entry *e;
	int ret = 0;

	tree_cursor_start(&c, &s->snapshot.saved, NULL, 0);
	while (ret == 0 && (e = tree_cursor_next(&c)))
		ret = each(arg, e);
	for (const struct snapshot_kept *k = s->snapshot.kept; ret == 0 && k; k = k->next) {
		for (size_t i = 0; ret == 0 && i < k->n; i++)
			ret = each(arg, k->entry[i]);
	}
	return ret;
}

/* ------------------------------------------------------------------ the walk */

int paste_store_snapshot_begin(struct paste_store *s, uint64_t *round)
{
	struct snapshot *sn = &s->snapshot;

	if (s->error)
		return -EIO;
	if (sn->active)
		return -EBUSY;
	sn->active = true;
	sn->given_up = sn->in_streams = false;
	sn->id++;
	sn->begun++;
	sn->now = s->now;
	sn->at_length = 0;
	sn->stream = NULL;
	for (uint32_t l = 0; l < s->logs; l++)
		sn->start[l] = s->log[l].next;
	*round = pending_round(s, store_dirty(s) ? s->round : s->round - 1);
	return 0;
}

void paste_store_snapshot_end(struct paste_store *s)
{
	struct snapshot *sn = &s->snapshot;

	if (!sn->active)
		return;
	sn->given_up = true; /* nothing new is kept */
	if (let_all_go(s) == 0)
		sn->active = false;
	/* else: no memory to let it go with; it goes with the next attempt, or with the store */
}

static void reach(struct snapshot *sn, const void *name, uint16_t length)
{
	memcpy(sn->at, name, length);
	sn->at_length = length;
}

/* A key that was there at that moment and is in the index still. */
static bool belongs(const struct paste_store *s, const struct entry *e)
{
	uint16_t l = home_log(s, false, entry_key(e), e->key_length);

	return !(e->flags & ENTRY_ABSENT) && e->version < s->snapshot.start[l];
}

static bool had_expired(const struct paste_store *s, const struct entry *e)
{
	uint64_t expires = entry_expires(e);

	return expires && expires <= s->snapshot.now;
}

static struct entry *first_of(const struct tree *t, const struct snapshot *sn)
{
	return sn->at_length ? tree_after(t, sn->at, sn->at_length) : tree_first(t);
}

static int show_key(struct paste_store *s, struct entry *e, bool saved, struct paste_snapshot_item *item)
{
	item->kind = PASTE_SNAPSHOT_KEY;
	item->name = entry_key(e);
	item->name_length = e->key_length;
	item->expires = entry_expires(e);
	s->snapshot.shown = saved ? e : NULL;
	return read_entry(s, e, &item->value);
}

/* The next key, from the index or from what is kept: the lower one, and of two the kept one. -ENOENT: no
 * more. */
static int next_key(struct paste_store *s, struct paste_snapshot_item *item)
{
	struct snapshot *sn = &s->snapshot;

	for (uint32_t i = 0; i < SKIP_MAX; i++) {
		struct entry *e = first_of(&s->keys, sn), *saved = first_of(&sn->saved, sn);
		int order = !e ? 1
			    : !saved
				? -1
				: compare(entry_key(e), e->key_length, entry_key(saved), saved->key_length);
		if (!e && !saved)
			return -ENOENT;
		struct entry *show = order < 0 ? e : saved;
		reach(sn, entry_key(show), show->key_length);
		if ((order < 0 && !belongs(s, e)) || had_expired(s, show)) {
			if (order >= 0)
				let_go_key(s, saved);
			continue;
		}
		return show_key(s, show, order >= 0, item);
	}
	return -EAGAIN;
}

static void stream_ends(const struct snapshot *sn, const struct stream *st, uint64_t *first, uint64_t *next)
{
	bool changed = st->snapshot == sn->id;

	*first = changed ? st->snapshot_first : st->first;
	*next = changed ? st->snapshot_next : st->next;
}

/* The next stream. One that has had no entry by then was not there. */
static int next_stream(struct paste_store *s, struct paste_snapshot_item *item)
{
	struct snapshot *sn = &s->snapshot;

	for (uint32_t i = 0; i < SKIP_MAX; i++) {
		struct stream *st =
		    sn->at_length ? tree_after(&s->streams, sn->at, sn->at_length) : tree_first(&s->streams);
		uint64_t first, next;
		if (!st)
			return -ENOENT;
		reach(sn, st->name, st->name_length);
		stream_ends(sn, st, &first, &next);
		if (next == 1)
			continue;
		sn->stream = st;
		sn->sequence = first;
		sn->next = next;
		*item = (struct paste_snapshot_item){
		    .kind = PASTE_SNAPSHOT_STREAM,
		    .name = st->name,
		    .name_length = st->name_length,
		    .first = first,
		    .next = next,
		};
		return 0;
	}
	return -EAGAIN;
}

static struct entry *kept_entry(const struct stream *st, uint64_t sequence)
{
	struct snapshot_kept *k = st->kept;

	while (k && k->head < k->n && k->entry[k->head]->version < sequence)
		k->head++;
	return k && k->head < k->n && k->entry[k->head]->version == sequence ? k->entry[k->head] : NULL;
}

static int next_entry(struct paste_store *s, struct paste_snapshot_item *item)
{
	struct snapshot *sn = &s->snapshot;
	struct stream *st = sn->stream;
	uint64_t sequence = sn->sequence;

	if (sequence == sn->next) {
		sn->stream = NULL;
		return st->kept ? let_go_kept(s, st->kept) : 0;
	}
	sn->sequence++;
	struct entry *e = sequence >= st->first ? stream_get(st, sequence) : kept_entry(st, sequence);
	*item = (struct paste_snapshot_item){
	    .kind = PASTE_SNAPSHOT_ENTRY,
	    .name = st->name,
	    .name_length = st->name_length,
	    .sequence = sequence,
	};
	return e ? read_entry(s, e, &item->value) : -EBADMSG;
}

int paste_store_snapshot_next(struct paste_store *s, struct paste_snapshot_item *item)
{
	struct snapshot *sn = &s->snapshot;
	int ret;

	*item = (struct paste_snapshot_item){0};
	if (!sn->active)
		return -EINVAL;
	if (sn->given_up)
		return -ESTALE;
	if (sn->shown) {
		let_go_key(s, sn->shown);
		sn->shown = NULL;
	}
	if (!sn->in_streams) {
		ret = next_key(s, item);
		if (ret != -ENOENT)
			return ret;
		sn->in_streams = true;
		sn->at_length = 0;
	}
	if (sn->stream) {
		ret = next_entry(s, item);
		if (ret < 0 || item->name)
			return ret;
	}
	return next_stream(s, item);
}
