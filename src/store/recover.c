/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading everything back: checkpoint pages, then each log, then who owns what (docs/format.md, section 8).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/site.h"
#include "store/recover.h"

/* ------------------------------------------------------------------ ops into the index */

/* `of` a record or, 0, the checkpoint: the newer version counts, and of the same version (moved) the later record. */
static bool superseded(const struct entry *e, uint64_t version, uint64_t of)
{
	return e->version > version || (e->version == version && e->mark > of);
}

static bool refs_valid(const struct paste_store *s, const struct op_view *v)
{
	for (uint32_t i = 0; i < v->op.refs; i++) {
		struct extent e = v->refs[i];
		if (!region_ref_valid(s->r, e.ref))
			return false;
	}
	return true;
}

static int apply_key(struct paste_store *s, const struct op_view *v, uint64_t of)
{
	struct tree_position at;
	struct entry *old = tree_locate(&s->keys, v->key, v->op.key_length, &at);

	if (v->op.key_length < 1)
		return -EBADMSG;
	if (old && superseded(old, v->op.version, of) && SITE(replay_version_check))
		return 0;
	struct entry *e = entry_new(&s->slab, v);
	if (!e)
		return -ENOMEM;
	e->mark = of;
	if (v->op.type == OP_DELETE)
		e->flags |= ENTRY_ABSENT;
	if (old) {
		tree_replace_at(&s->keys, &at, e);
		entry_free(&s->slab, old);
		return 0;
	}
	int ret = tree_insert_at(&s->keys, &at, e);
	if (ret < 0)
		entry_free(&s->slab, e);
	return ret;
}

static int stream_find_or_make(struct paste_store *s, const void *name, size_t length, struct stream **stream)
{
	*stream = tree_find(&s->streams, name, length);
	if (*stream)
		return 0;
	if (length < 1)
		return -EBADMSG;
	int ret = stream_add(&s->slab, &s->streams, name, length, stream);
	/* Its counter may have stood in a lost page; what the log has of it may be an old entry that was moved. */
	if (ret == 0)
		(*stream)->unsure = lost_covers(s, true, name, length);
	return ret;
}

/* There are not more entries between two numbers of a stream than the region has bytes. */
static bool span_sane(const struct paste_store *s, uint64_t first, uint64_t last)
{
	return last <= SEQUENCE_MAX && (last < first || last - first <= s->r->sb.size);
}

static int apply_append(struct paste_store *s, struct stream *st, const struct op_view *v, uint64_t of)
{
	uint64_t sequence = v->op.version;

	if (sequence < st->first)
		return 0;
	if (!span_sane(s, st->first, sequence))
		return -EBADMSG;
	struct op_view nameless = *v;
	nameless.op.key_length = 0;
	nameless.attributes = v->attributes;
	int ret = stream_reserve(&s->slab, st, sequence);
	if (ret < 0)
		return ret == -ENOMEM ? ret : -EBADMSG;
	if (sequence >= st->next)
		st->next = sequence + 1;
	struct entry *old = stream_get(st, sequence);
	if (old && superseded(old, sequence, of))
		return 0;
	struct entry *e = entry_new(&s->slab, &nameless);
	if (!e)
		return -ENOMEM;
	e->mark = of;
	stream_set(st, sequence, e);
	entry_free(&s->slab, old);
	return 0;
}

static void apply_trim(struct paste_store *s, struct stream *st, uint64_t before)
{
	for (uint64_t i = st->first; i < before && i < st->next; i++)
		entry_free(&s->slab, stream_get(st, i) ? stream_set(st, i, NULL) : NULL);
	if (before > st->next)
		st->next = before;
	if (before > st->first)
		stream_trim(&s->slab, st, before);
}

/* `in` is the stream that entries of a checkpoint page belong to; STREAM sets it. */
int recover_apply(struct paste_store *s, const struct op_view *v, uint64_t of, struct stream **in)
{
	struct stream *st = NULL;
	int ret = 0;

	if (!refs_valid(s, v))
		return -EBADMSG;
	switch (v->op.type) {
	case OP_PUT:
	case OP_DELETE:
		return apply_key(s, v, of);
	case OP_APPEND:
		st = in ? *in : NULL;
		if (v->op.key_length)
			ret = stream_find_or_make(s, v->key, v->op.key_length, &st);
		if (ret == 0 && !st)
			return -EBADMSG;
		if (ret == 0 && of && !(v->op.flags & OP_MOVED))
			st->unsure = false; /* was the newest when it was written */
		return ret < 0 ? ret : apply_append(s, st, v, of);
	case OP_TRIM:
	case OP_STREAM:
		if (v->op.version < 1 || v->op.version > SEQUENCE_MAX ||
		    (v->op.type == OP_STREAM && !span_sane(s, v->op.version, v->op.length)))
			return -EBADMSG;
		ret = stream_find_or_make(s, v->key, v->op.key_length, &st);
		if (ret < 0)
			return ret;
		if (v->op.type == OP_STREAM) {
			st->unsure = v->op.flags & OP_LOST;
			/* Empty slots up to there, so that what is missing is seen to be missing. */
			if (v->op.length > st->next)
				st->next = v->op.length;
		}
		apply_trim(s, st, v->op.version);
		if (in)
			*in = st;
		return 0;
	case OP_RETRY:
		return store_remember(s, v, 0);
	case OP_CLOCK:
		if (v->op.version > s->clock && SITE(clock_recovered))
			s->now = s->clock = v->op.version;
		return 0;
	case OP_DAMAGE:
		if (!(v->op.flags & OP_INLINE))
			return -EBADMSG;
		if (v->op.version)
			return lost_digest(s, v->op.flags & OP_OF_STREAMS, (uint32_t)v->op.version);
		return lost_interval(s, v->op.flags & OP_OF_STREAMS, v->key, v->op.key_length, v->bytes,
				     v->op.length);
	}
	return -EBADMSG;
}

/* ------------------------------------------------------------------ the log */

/* A change that is lost, and whose key it was. */
struct lost_change {
	uint32_t digest;
	uint64_t number;
};

static int lost_order(const void *a, const void *b)
{
	const struct lost_change *x = a, *y = b;

	if (x->digest != y->digest)
		return x->digest < y->digest ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* What later records say of the changes in a gap. How many of them changed a key; *unknown: of some nothing is said. */
static size_t gap_changes(const struct scan *scan, const struct scan_gap *gap, struct lost_change *lost, size_t room,
			  bool *unknown)
{
	size_t n = 0;

	*unknown = false;
	if (gap->before - gap->after - 1 == SEQUENCE_JUMP)
		return 0; /* nothing but the first record of an epoch, whose number is so far above */
	*unknown = gap->before - gap->after - 1 > room;
	for (uint64_t i = 1; i <= room && gap->before - i > gap->after; i++) {
		struct lost_change change = {.number = gap->before - i};
		if (!scan_lost_digest(scan, gap, change.number, &change.digest))
			*unknown = true;
		else if (change.digest != DIGEST_NONE)
			lost[n++] = change;
	}
	qsort(lost, n, sizeof(*lost), lost_order);
	return n;
}

/* How many of the changes are this key's; the last one's number. */
static size_t lost_count(const struct lost_change *lost, size_t n, uint32_t digest, uint64_t *number)
{
	size_t low = 0, high = n, count = 0;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (lost[middle].digest < digest)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < n && lost[low].digest == digest; low++, count++)
		*number = lost[low].number;
	return count;
}

static int apply_lost(struct paste_store *s, const struct lost_change *lost, size_t n)
{
	struct tree_cursor c;
	struct entry *e;
	struct stream *st;
	uint64_t number;

	tree_cursor_start(&c, &s->keys, NULL, 0);
	while ((e = tree_cursor_next(&c))) {
		if (!lost_count(lost, n, key_digest(false, entry_key(e), e->key_length), &number))
			continue;
		/* The checkpoint was written later and shows what the lost change did, or something newer. */
		if (e->version >= number)
			continue;
		struct op_view v;
		entry_op(e, OP_PUT, &v);
		v.op.flags = OP_LOST;
		v.op.refs = 0;
		v.op.length = 0;
		int ret = apply_key(s, &v, UINT64_MAX);
		if (ret < 0)
			return ret;
	}
	tree_cursor_start(&c, &s->streams, NULL, 0);
	while ((st = tree_cursor_next(&c))) {
		/* So many appends more than we know of: their numbers are taken. */
		st->next += lost_count(lost, n, st->digest, &number);
	}
	for (size_t i = 0; i < n; i++) {
		int ret = lost_digest(s, false, lost[i].digest);
		if (ret == 0)
			ret = lost_digest(s, true, lost[i].digest);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Later records say whose changes were lost in a gap: those keys' older values must not be served for them. */
static int apply_gap(struct paste_store *s, const struct scan *scan, const struct scan_gap *gap, uint16_t l)
{
	struct lost_change lost[2 * DIGESTS_MAX];
	bool unknown;
	size_t n = gap_changes(scan, gap, lost, 2 * DIGESTS_MAX, &unknown);

	damage_note(s, gap->offset, false, "log %u: changes %llu to %llu are lost%s", l,
		    (unsigned long long)gap->after + 1, (unsigned long long)gap->before - 1,
		    unknown  ? ": which keys some of them changed is not known, older values may be served"
		    : n == 0 ? ", none of them changed a key"
			     : ": the keys that they changed are answered with an error");
	return n ? apply_lost(s, lost, n) : 0;
}

struct applying {
	struct paste_store *s;
	uint64_t of;
};

static int apply_op(void *arg, const struct op_view *v)
{
	const struct applying *a = arg;

	return recover_apply(a->s, v, a->of, NULL);
}

static int apply_record(struct paste_store *s, const struct scan_record *at)
{
	struct record_walk w;
	struct op_view v;
	int more;

	record_walk_start(&w, at->record);
	while ((more = record_walk_next(&w, &v)) > 0) {
		struct applying a = {s, w.number};
		int ret = op_each(s->r, &v, apply_op, &a);
		if (ret < 0 && ret != -EBADMSG)
			return ret;
		if (ret < 0)
			more = ret;
		if (more < 0)
			break;
	}
	if (more < 0)
		damage_note(s, at->offset, false, "log: record %llu makes no sense although its checksum is right",
			    (unsigned long long)at->record->sequence);
	return 0;
}

static int apply_log(struct paste_store *s, struct scan *scan, uint16_t l)
{
	size_t gap = 0;

	for (size_t i = 0; i <= scan->n; i++) {
		uint64_t sequence = i < scan->n ? scan->records[i].record->sequence : UINT64_MAX;
		while (gap < scan->gap_count && scan->gaps[gap].after < sequence &&
		       (i == scan->n || scan->gaps[gap].before <= sequence)) {
			int ret = apply_gap(s, scan, &scan->gaps[gap++], l);
			if (ret < 0)
				return ret;
		}
		if (i == scan->n)
			break;
		int ret = apply_record(s, &scan->records[i]);
		if (ret < 0)
			return ret;
	}
	for (size_t i = 0; i < scan->copy_count; i++)
		damage_note(s, scan->copy_offset[i], true, "log %u: one flipped bit in record %llu", l,
			    (unsigned long long)scan->copies[i]->sequence);
	s->c.recovered_records += scan->n;
	s->c.torn += scan->torn;
	return 0;
}

/* ------------------------------------------------------------------ ownership */

struct owner {
	struct paste_store *s;
	int error;
};

static int count_extent(void *arg, const struct extent *e, bool list)
{
	struct paste_store *s = arg;

	region_live_add(s->r, e->ref);
	return 0;
}

static int check_extent(void *arg, const struct extent *e, bool list)
{
	return 0;
}

/* Count an entry's slices. One whose lists cannot be read owns nothing and is lost. */
static void own_entry(struct paste_store *s, struct entry *e, const char *what)
{
	bool indirect = e->flags & OP_INDIRECT;

	e->mark = 0;
	if (indirect && op_each_extent(s->r, e->extent, e->refs, true, check_extent, s) < 0) {
		damage_note(s, region_ref_offset(s->r, e->extent[0].ref), false, "%s: the list of its references is damaged",
			    what);
		e->flags |= OP_LOST; /* refs stay: an entry does not change its size; they are owned by nobody */
		index_account(s, e, 1);
		return;
	}
	index_account(s, e, 1);
	if (!(e->flags & OP_LOST))
		op_each_extent(s->r, e->extent, e->refs, indirect, count_extent, s);
}

/* Walk the finished index: drop the deleted, count what is owned. */
static int own_all(struct paste_store *s)
{
	struct tree_cursor c;
	struct entry *e;
	struct stream *st;
	char what[128];

	tree_cursor_start(&c, &s->keys, NULL, 0);
	while ((e = tree_cursor_next(&c))) {
		if (e->flags & ENTRY_ABSENT) {
			tree_remove(&s->keys, entry_key(e), e->key_length);
			entry_free(&s->slab, e);
			continue;
		}
		what[0] = 0;
		if (e->flags & (OP_INDIRECT | OP_LOST))
			key_text(what, sizeof(what), entry_key(e), e->key_length);
		own_entry(s, e, what);
		if (e->flags & OP_LOST)
			damage_note(s, 0, false, "key %s: its newest version is lost", what);
	}
	tree_cursor_start(&c, &s->streams, NULL, 0);
	while ((st = tree_cursor_next(&c))) {
		key_text(what, sizeof(what) / 2, st->name, st->name_length);
		s->index_bytes += op_padded(sizeof(struct op) + st->name_length);
		damage_note_missing(s, st, what);
		for (uint64_t i = stream_seek(st, st->first); i < st->next; i = stream_seek(st, i + 1))
			own_entry(s, stream_get(st, i), what);
	}
	s->c.recovered_entries = s->live_keys + s->entries;
	return 0;
}

static int replay_logs(struct paste_store *s, const struct headers *h, struct scan *scans)
{
	for (uint16_t l = 0; l < s->logs; l++) {
		int ret = log_scan(s->r, h, l, &scans[l]);
		if (ret == 0)
			ret = apply_log(s, &scans[l], l);
		if (ret < 0)
			return ret;
		for (uint32_t i = 0; i < scans[l].segment_count; i++) {
			uint32_t segment = scans[l].segments[i].segment;
			region_segment_assign(s->r, segment, SEGMENT_LOG);
			if (h->mended[segment])
				damage_note(s, region_segment_offset(s->r, segment), true,
					    "log %u: one flipped bit in a segment's header", l);
		}
	}
	return 0;
}

int store_recover(struct paste_store *s, struct scan *scans)
{
	struct headers h;

	int ret = headers_read(s->r, &h);
	if (ret < 0)
		return ret;
	for (int i = 0; i < 2; i++) {
		if (s->r->health.bad[i])
			damage_note(s, i ? SUPERBLOCK_B_OFFSET : 0, s->r->health.repaired[i],
				    "superblock copy %c: the other copy is used", 'A' + i);
	}
	for (uint32_t i = 0; i < s->r->m->bad.n; i++) {
		const struct media_range *bad = &s->r->m->bad.range[i];
		damage_note(s, bad->offset, false, "medium: %llu bytes cannot be read; their surroundings are not used again",
			    (unsigned long long)bad->bytes);
	}
	ret = recover_checkpoint(s, &h);
	if (ret == 0)
		ret = replay_logs(s, &h, scans);
	if (ret == 0)
		ret = own_all(s);
	if (ret == 0) {
		lost_note(s);
		region_settle(s->r);
	}
	headers_free(&h);
	return ret;
}
