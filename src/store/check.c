/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and verifying everything: every value's bytes, and that every buffer is owned as often as it is named. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"

/* A slice that somebody owns. */
struct claim {
	uint64_t offset;
	uint32_t length;
};

struct check {
	struct paste_store *s;
	struct claim *claim;
	size_t n, room;
	uint16_t *live; /* counted anew, a buffer each */
	uint64_t bad_offset;
	bool unknown; /* a list could not be read: what it names has an owner that we do not see */
};

static int claim_extent(void *arg, const struct extent *e, bool list)
{
	struct check *c = arg;
	const struct paste_region *r = c->s->r;

	if (c->n == c->room) {
		size_t room = c->room ? c->room * 2 : 4096;
		struct claim *more = realloc(c->claim, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->claim = more;
		c->room = room;
	}
	c->claim[c->n++] = (struct claim){region_ref_offset(r, e->ref), e->ref.length};
	uint32_t last = e->ref.buffer + ((e->ref.offset + e->ref.length - 1u) >> r->buffer_shift);
	for (uint32_t b = e->ref.buffer; b <= last; b++)
		c->live[b]++;
	if (!list && !extent_whole(r, e) && !c->bad_offset)
		c->bad_offset = region_ref_offset(r, e->ref);
	return 0;
}

static int check_entry(struct check *c, const struct entry *e, const char *what)
{
	struct paste_store *s = c->s;

	if (e->flags & (ENTRY_ABSENT | OP_LOST))
		return 0;
	c->bad_offset = 0;
	int ret = op_each_extent(s->r, e->extent, e->refs, e->flags & OP_INDIRECT, claim_extent, c);
	if (ret == -ENOMEM)
		return ret;
	c->unknown |= ret == -EBADMSG;
	if (ret == -EBADMSG)
		damage_note(s, region_ref_offset(s->r, e->extent[0].ref), false, "%s: the list of its references is damaged",
			    what);
	else if (c->bad_offset)
		damage_note(s, c->bad_offset, false, "%s: its bytes do not match their checksum", what);
	return 0;
}

static int check_keys(struct check *c)
{
	struct tree_cursor cursor;
	struct entry *e;
	char text[160], what[176];
	int ret = 0;

	tree_cursor_start(&cursor, &c->s->keys, NULL, 0);
	while (ret == 0 && (e = tree_cursor_next(&cursor))) {
		key_text(text, sizeof(text), entry_key(e), e->key_length);
		snprintf(what, sizeof(what), "key %s", text);
		ret = check_entry(c, e, what);
	}
	return ret;
}

static int check_streams(struct check *c)
{
	struct tree_cursor cursor;
	struct stream *st;
	char text[128], what[176];
	int ret = 0;

	tree_cursor_start(&cursor, &c->s->streams, NULL, 0);
	while (ret == 0 && (st = tree_cursor_next(&cursor))) {
		key_text(text, sizeof(text), st->name, st->name_length);
		damage_note_missing(c->s, st, text);
		for (uint64_t i = stream_seek(st, st->first); ret == 0 && i < st->next; i = stream_seek(st, i + 1)) {
			snprintf(what, sizeof(what), "stream %s entry %llu", text, (unsigned long long)i);
			ret = check_entry(c, stream_get(st, i), what);
		}
	}
	return ret;
}

/* An entry that is out of the index and still owns its slices. */
static int check_aside(void *arg, const struct entry *e)
{
	struct check *c = arg;

	if (e->flags & OP_LOST)
		return 0; /* owns nothing */
	size_t n = c->n;
	int ret = op_each_extent(c->s->r, e->extent, e->refs, e->flags & OP_INDIRECT, claim_extent, c);
	if (ret == -ENOMEM)
		return ret;
	c->unknown |= ret == -EBADMSG;
	c->n = n; /* a moved value shares what was not moved with its old entry */
	return 0;
}

/* Entries on their way out, and those that a snapshot has kept. */
static int check_limbo(struct check *c)
{
	int ret = snapshot_each(c->s, check_aside, c);

	for (uint32_t l = 0; l < c->s->logs; l++) {
		const struct fifo *f = &c->s->limbo[l];
		for (size_t i = 0; ret == 0 && i < f->count; i++)
			ret = check_aside(c, f->item[(f->head + i) & (f->room - 1)].entry);
	}
	return ret;
}

static int claim_order(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void check_ownership(struct check *c)
{
	const struct paste_region *r = c->s->r;

	if (c->n > 0)
		qsort(c->claim, c->n, sizeof(*c->claim), claim_order);
	for (size_t i = 1; i < c->n; i++) {
		if (c->claim[i - 1].offset + c->claim[i - 1].length > c->claim[i].offset)
			damage_note(c->s, c->claim[i].offset, false, "two values own the same bytes");
	}
	uint64_t free_buffers = 0, free_segments = 0;
	for (uint32_t i = 0; i < r->segments; i++) {
		free_segments += r->segment[i].role == SEGMENT_FREE;
		free_buffers += r->segment[i].role == SEGMENT_DATA ? r->segment[i].free : 0;
	}
	if (free_segments != r->free_segments || free_buffers != r->free_buffers)
		damage_note(c->s, 0, false, "the free buffers do not add up");
	for (uint32_t b = 0; !c->unknown && b < r->buffers; b++) {
		const struct segment *seg = &r->segment[b / r->per_segment];
		uint32_t i = b % r->per_segment;
		bool marked = r->free_bits[(uint64_t)(b / r->per_segment) * r->words + i / 64] >> (i % 64) & 1;
		uint64_t offset = AREA_START + ((uint64_t)b << r->buffer_shift);
		if (c->live[b] != r->buffer[b].live)
			damage_note(c->s, offset, false, "buffer %u is named by %u slices but counted for %u", b, c->live[b],
				    r->buffer[b].live);
		bool taken = c->live[b] || r->buffer[b].users || r->buffer[b].cached;
		if (seg->role == SEGMENT_DATA && marked == taken)
			damage_note(c->s, offset, false, "buffer %u is %s", b,
				    marked ? "free but in use" : "neither free nor in use");
		if (seg->role == SEGMENT_FREE && taken)
			damage_note(c->s, offset, false, "buffer %u is in use in a free segment", b);
	}
}

int64_t paste_store_check(struct paste_store *s, void (*report)(void *arg, const struct paste_damage *), void *arg)
{
	struct check c = {.s = s, .live = calloc(s->r->buffers, sizeof(uint16_t))};
	int ret = c.live ? 0 : -ENOMEM;

	if (ret == 0)
		ret = check_keys(&c);
	if (ret == 0)
		ret = check_streams(&c);
	if (ret == 0)
		ret = check_limbo(&c);
	if (ret == 0)
		check_ownership(&c);
	free(c.claim);
	free(c.live);
	if (ret < 0)
		return ret;
	int64_t bad = 0;
	for (size_t i = 0; i < s->damage_count; i++) {
		bad += !s->damage[i].repaired;
		if (report)
			report(arg, &s->damage[i]);
	}
	return bad;
}
