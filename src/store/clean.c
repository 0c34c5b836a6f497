/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cleaner: makes whole free segments out of segments in which little is live.
 *
 * A pass chooses victims, the data segments with the least live bytes, and walks the index once: each value that has
 * slices in a victim gets dense copies of them (pack.c) and a record with the MOVED flag. Nothing new goes into a
 * victim meanwhile, so that after the walk, and when the moves can no longer be undone, the victims are free. No table from buffers
 * to entries is kept: the walk costs little beside the copying as long as a pass empties a good part of the region.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/copy.h"
#include "base/crc.h"
#include "base/site.h"
#include "store/store_internal.h"

#define CLASSES 64
#define MOVE_MAX (256 * 1024) /* bytes of one value moved by one record: what one step may take at the least */
#define BATCH 16	      /* values that memory is asked for together */
#define AHEAD_LINES 40	      /* of each: more would push out what was asked for first */

static uint32_t fill_class(const struct paste_store *s, uint32_t segment)
{
	uint64_t class = (uint64_t)s->r->segment[segment].live_bytes * (CLASSES - 1) >> s->r->segment_shift;

	/* What a moved value left where it was is counted twice until its old entry is gone. */
	return class < CLASSES ? (uint32_t)class : CLASSES - 1;
}

static bool may_be_victim(const struct paste_store *s, uint32_t segment)
{
	const struct segment *seg = &s->r->segment[segment];

	/* Without live bytes it waits for those who hold its buffers: there is nothing to move. */
	return seg->role == SEGMENT_DATA && segment != s->r->fill && seg->live_bytes > 0;
}

/* Survivors take at most this part of what is free when a pass begins. The rest is how far the load may get meanwhile: the
 * more there is of it, the less a step has to do. */
#define SURVIVORS 4

/* Victims: from the emptiest up, until they would yield an eighth of the region or their survivors would take too much
 * of what is free beyond `spare`. A segment that is nearly full yields nothing. */
static uint32_t choose_victims(struct paste_store *s, uint32_t spare)
{
	uint32_t by_class[CLASSES] = {0};
	uint32_t limit = 0, chosen = 0;
	uint64_t live = 0, gain = 0;
	uint64_t goal = (uint64_t)(s->r->segments / 8 + 2) << s->r->segment_shift;
	uint64_t room = (uint64_t)(s->r->free_segments > spare ? s->r->free_segments - spare : 0) << s->r->segment_shift;

	for (uint32_t i = 0; i < s->r->segments; i++) {
		if (may_be_victim(s, i))
			by_class[fill_class(s, i)]++;
	}
	for (; limit < CLASSES * 15 / 16; limit++) {
		uint64_t each = (uint64_t)(limit + 1) * s->r->segment_size / CLASSES;
		uint64_t n = by_class[limit];
		if (gain >= goal || (n && live + each > room / SURVIVORS))
			break;
		live += n * each;
		gain += n * (s->r->segment_size - each);
	}
	live = 0;
	for (uint32_t i = 0; i < s->r->segments; i++) {
		struct segment *seg = &s->r->segment[i];
		if (!may_be_victim(s, i) || fill_class(s, i) >= limit || live + seg->live_bytes > room / SURVIVORS)
			continue;
		live += seg->live_bytes;
		seg->victim = true;
		chosen++;
	}
	s->cleaner.left_bytes = live;
	return chosen;
}

bool cleaner_begin(struct paste_store *s, uint32_t spare)
{
	struct cleaner *c = &s->cleaner;

	assert(!c->active);
	/* Looking costs a walk over all segments: not again before a good many values died, or there is more room to move
	 * them to (what the last pass moved is free by now), or there was plenty in between (step_cleaner() sees that). */
	if (c->futile && s->retired - c->futile_retired < s->r->segments && s->r->free_segments <= c->futile_free)
		return false;
	region_cache_drain(s->r);
	c->victims = choose_victims(s, spare);
	c->futile = c->victims == 0;
	c->futile_retired = s->retired;
	c->futile_free = s->r->free_segments;
	if (c->futile)
		return false;
	c->active = true;
	c->in_streams = false;
	c->stream = NULL;
	c->skipped = 0;
	c->again = false;
	c->left_entries = s->live_keys + s->entries;
	tree_cursor_start(&c->cursor, &s->keys, NULL, 0);
	return true;
}

static void cleaner_end(struct paste_store *s)
{
	/* What was moved is live until that cannot be undone. */
	for (uint32_t i = 0; i < s->r->segments; i++) {
		struct segment *seg = &s->r->segment[i];
		seg->emptied |= seg->victim;
		seg->victim = false;
	}
	s->cleaner.active = false;
	s->admitted = 0; /* moves may have changed what the index takes */
}

static bool in_victim(const struct paste_store *s, struct paste_ref ref)
{
	return s->r->segment[region_ref_segment(s->r, ref)].victim;
}

static int touches_victim(void *arg, const struct extent *e, bool list)
{
	return in_victim(arg, e->ref) ? 1 : 0;
}

/* All extents of a value, without the lists. */
static int collect_extent(void *arg, const struct extent *e, bool list)
{
	struct cleaner *c = arg;

	if (list)
		return 0;
	if (c->extents_n == c->extents_room) {
		size_t room = c->extents_room ? c->extents_room * 2 : OP_REFS_MAX;
		struct extent *more = realloc(c->extents, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->extents = more;
		c->extents_room = room;
	}
	c->extents[c->extents_n++] = *e;
	return 0;
}

static int output_add(struct paste_store *s, uint32_t *n, struct extent e)
{
	if (extents_reserve(s, *n + 1))
		return -ENOMEM;
	s->extents[(*n)++] = e;
	return 0;
}

/* A dense copy of one slice, joined to the one before it if that is a dense copy too (*dense). Its bytes were verified. */
static int copy_slice(struct paste_store *s, const struct extent *from, uint32_t *n, bool *dense)
{
	const uint8_t *p = region_ref_data(s->r, from->ref);
	uint32_t left = from->ref.length;

	while (left > 0) {
		struct paste_ref to;
		uint32_t got = pack_alloc(s, left, &to);
		if (got == 0)
			return -ENOSPC;
		copy_past_cache(region_ref_data(s->r, to), p, got);
		struct extent *last = *dense ? &s->extents[*n - 1] : NULL;
		if (last && refs_adjoin(s->r, last->ref, to)) {
			last->crc = paste_crc(last->crc, p, got);
			last->ref.length = (uint16_t)(last->ref.length + got);
		} else {
			/* All of the slice has the checksum that it had. */
			uint32_t crc = got == from->ref.length ? from->crc : paste_crc(0, p, got);
			int ret = output_add(s, n, (struct extent){to, crc});
			if (ret < 0)
				return ret;
		}
		*dense = true;
		p += got;
		left -= got;
	}
	s->c.copies[PASTE_COPY_CLEAN]++;
	s->c.copy_bytes[PASTE_COPY_CLEAN] += from->ref.length;
	s->c.cleaned_bytes += from->ref.length;
	return 0;
}

/* The value's extents with those in victims replaced by copies, in s->extents. At most MOVE_MAX bytes are copied, the
 * rest is for the next step (*more). -EBADMSG: a slice is damaged, it must not be given a new checksum. */
static int copy_out(struct paste_store *s, const struct entry *e, uint32_t *n, uint8_t *flags, uint64_t *moved, bool *more)
{
	struct cleaner *c = &s->cleaner;
	bool dense = false;

	c->extents_n = 0;
	int ret = op_each_extent(s->r, e->extent, e->refs, e->flags & OP_INDIRECT, collect_extent, c);

	*n = 0;
	*flags = 0;
	*more = false;
	for (size_t i = 0; ret == 0 && i < c->extents_n; i++) {
		struct extent from = c->extents[i];
		if (!in_victim(s, from.ref) || *moved >= MOVE_MAX) {
			*more |= in_victim(s, from.ref);
			ret = output_add(s, n, from);
			dense = false;
			continue;
		}
		if (!extent_whole(s->r, &from)) {
			damage_note(s, region_ref_offset(s->r, from.ref), false, "value found damaged by the cleaner");
			ret = -EBADMSG;
			break;
		}
		ret = copy_slice(s, &from, n, &dense);
		*moved += from.ref.length;
	}
	return ret < 0 ? ret : value_lists(s, n, flags);
}

/* Log the move and put the new entry where the old one is. */
static int log_move(struct paste_store *s, struct entry *old, struct stream *st, uint32_t n, uint8_t flags)
{
	const void *key = st ? st->name : entry_key(old);
	uint16_t key_length = st ? st->name_length : old->key_length;
	uint16_t l = home_log(s, st != NULL, key, key_length);
	struct op_view v;

	if (fifo_reserve(&s->limbo[l], 1))
		return -ENOMEM;
	entry_op(old, st ? OP_APPEND : OP_PUT, &v);
	v.op.refs = (uint16_t)n;
	v.op.flags = (uint8_t)((v.op.flags & ~OP_INDIRECT) | flags);
	v.refs = s->extents;
	struct entry *e = entry_new(&s->slab, &v);
	if (!e)
		return -ENOMEM;
	e->mark = old->mark; /* a move reveals nothing new */
	v.op.flags |= OP_MOVED;
	v.op.key_length = key_length;
	v.key = key;
	if (!log_add(&s->log[l], (uint32_t)op_size(&v.op))) {
		entry_free(&s->slab, e);
		return -ENOSPC;
	}
	uint64_t sequence = change_log(s, l, &v, DIGEST_NONE);
	if (st)
		stream_set(st, old->version, e);
	else
		tree_replace(&s->keys, key, key_length, e);
	value_own(s, e);
	index_account(s, e, 1);
	entry_moved(s, l, sequence, old);
	return 0;
}

/* Move what the entry has in victims. 0, 1 if a part of it is left for another step, or what failed. */
static int move_entry(struct paste_store *s, struct entry *e, struct stream *st, uint64_t *moved)
{
	uint32_t n;
	uint8_t flags;
	bool more;

	if (e->refs == 0 || (e->flags & OP_LOST))
		return 0;
	int ret = op_each_extent(s->r, e->extent, e->refs, e->flags & OP_INDIRECT, touches_victim, s);
	if (ret <= 0)
		return ret;
	uint64_t here = 0;
	ret = copy_out(s, e, &n, &flags, &here, &more);
	if (ret == 0)
		ret = log_move(s, e, st, n, flags);
	*moved += here;
	return ret < 0 ? ret : more;
}

/* The next entry of the walk, its stream if it is one's; NULL at the end. */
static struct entry *walk_next(struct paste_store *s, struct stream **st)
{
	struct cleaner *c = &s->cleaner;
	struct entry *e = NULL;

	*st = c->stream;
	if (c->again) {
		c->again = false;
		e = c->stream ? stream_get(c->stream, c->sequence - 1)
			      : tree_find(&s->keys, c->cursor.key, c->cursor.length);
		if (e)
			return e;
	}
	if (!c->in_streams) {
		e = tree_cursor_next(&c->cursor);
		if (e)
			return e;
		c->in_streams = true;
		tree_cursor_start(&c->cursor, &s->streams, NULL, 0);
	}
	while (!e) {
		if (!c->stream) {
			c->stream = tree_cursor_next(&c->cursor);
			if (!c->stream)
				return NULL;
			c->sequence = c->stream->first;
		}
		c->sequence = stream_seek(c->stream, c->sequence);
		if (c->sequence >= c->stream->next)
			c->stream = NULL;
		else
			e = stream_get(c->stream, c->sequence++);
	}
	*st = c->stream;
	return e;
}

static void less(uint64_t *left, uint64_t done)
{
	*left -= done < *left ? done : *left;
}

/* Values that are moved one behind the other. The lines of all of them are on their way before the first is moved: each
 * lies where no cache has been for long. */
struct batch {
	struct entry *entry[BATCH];
	struct stream *stream[BATCH];
	uint32_t n;
};

/* Read through lists, or in several steps. */
static bool moves_alone(const struct entry *e)
{
	return (e->flags & OP_INDIRECT) || e->length > MOVE_MAX;
}

static void ask_for(const struct paste_region *r, struct paste_ref ref)
{
	const uint8_t *p = region_ref_data(r, ref);

	for (uint32_t i = 0; i < ref.length && i < AHEAD_LINES * 64; i += 64)
		__builtin_prefetch(p + i);
	__builtin_prefetch(&r->buffer[ref.buffer], 1);
}

/* Take the entry along if it has something in victims: so many bytes. */
static uint64_t batch_add(const struct paste_store *s, struct batch *b, struct entry *e, struct stream *st)
{
	uint64_t bytes = 0;

	if (e->flags & OP_LOST)
		return 0;
	for (uint32_t i = 0; i < e->refs; i++) {
		struct paste_ref ref = e->extent[i].ref;
		if (!region_ref_valid(s->r, ref) || !in_victim(s, ref))
			continue;
		bytes += ref.length;
		ask_for(s->r, ref);
	}
	if (bytes == 0)
		return 0;
	b->entry[b->n] = e;
	b->stream[b->n++] = st;
	return bytes;
}

/* One value, or a part of it. 1: more of it is left. */
static int move_one(struct paste_store *s, struct entry *e, struct stream *st, uint64_t *moved)
{
	int ret = move_entry(s, e, st, moved);

	if (ret != -EBADMSG)
		return ret;
	s->cleaner.skipped++; /* it stays where it is, its neighbours move */
	return 0;
}

static int batch_move(struct paste_store *s, struct batch *b)
{
	uint64_t moved = 0;
	int ret = 0;

	/* No entry of the batch is freed by moving another one: what is replaced waits in limbo. */
	for (uint32_t i = 0; ret == 0 && i < b->n; i++)
		ret = move_one(s, b->entry[i], b->stream[i], &moved);
	b->n = 0;
	return ret;
}

/* The next entry of the walk: into the batch, or moved by itself. 0, 1 at the end of the walk, or what failed. */
static int step_entry(struct paste_store *s, struct batch *b, uint64_t *moved)
{
	struct cleaner *c = &s->cleaner;
	struct stream *st;
	struct entry *e = walk_next(s, &st);
	bool alone = e && moves_alone(e);
	uint64_t here = e && !alone ? batch_add(s, b, e, st) : 0;
	int ret = 0;

	if (!e || alone || b->n == BATCH)
		ret = batch_move(s, b);
	if (alone && ret == 0)
		ret = move_one(s, e, st, &here);
	c->again = ret == 1;
	less(&c->left_bytes, here);
	less(&c->left_entries, 1);
	*moved += here;
	return ret < 0 ? ret : !e;
}

int cleaner_step(struct paste_store *s, uint64_t bytes, uint32_t entries)
{
	struct batch batch = {.n = 0};
	uint64_t moved = 0;
	int ret = 0;

	if (!s->cleaner.active)
		return 0;
	for (uint32_t i = 0; ret == 0 && i < entries && moved < bytes; i++)
		ret = step_entry(s, &batch, &moved);
	if (ret == 0)
		ret = batch_move(s, &batch);
	if (ret == 0)
		return 1;
	cleaner_end(s);
	return ret < 0 ? ret : 0;
}
