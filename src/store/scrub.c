/* SPDX-License-Identifier: BSD-2-Clause */
/* Verifying all values' bytes a piece at a time, beside the load. */
#include <errno.h>
#include <stdio.h>

#include "store/store_internal.h"

#define ENTRIES_A_STEP 4096

struct piece {
	struct paste_store *s;
	uint64_t left; /* bytes that this step may still read */
	uint64_t skip; /* extents of the value that earlier steps have read */
	uint64_t at;   /* extent reached */
	uint64_t bad;  /* where in the region the first bad one stands, or 0 */
};

/* 1: enough for this step. */
static int scrub_extent(void *arg, const struct extent *e, bool list)
{
	struct piece *p = arg;

	if (list)
		return 0;
	if (p->at >= p->skip) {
		if (p->left == 0)
			return 1;
		if (!extent_whole(p->s->r, e) && !p->bad)
			p->bad = region_ref_offset(p->s->r, e->ref);
		p->left = e->ref.length < p->left ? p->left - e->ref.length : 0;
		p->s->scrub.bytes += e->ref.length;
	}
	p->at++;
	return 0;
}

static void report(struct paste_store *s, const struct entry *e, const struct stream *st, uint64_t offset,
		   bool list)
{
	char name[128], what[176];

	key_text(name, sizeof(name), st ? st->name : entry_key(e), st ? st->name_length : e->key_length);
	if (st)
		snprintf(what, sizeof(what), "stream %s entry %llu", name, (unsigned long long)e->version);
	else
		snprintf(what, sizeof(what), "key %s", name);
	size_t known = s->damage_count;
	damage_note(s, offset, false, "%s: %s", what,
		    list ? "the list of its references is damaged" : "its bytes do not match their checksum");
	s->scrub.damage += s->damage_count - known;
}

/* 1 if a part of the value is left for the next step. */
static int scrub_entry(struct paste_store *s, const struct entry *e, const struct stream *st, uint64_t *left)
{
	struct scrub *sc = &s->scrub;

	if (e->flags & (ENTRY_ABSENT | OP_LOST))
		return 0;
	struct piece p = {.s = s, .left = *left, .skip = e->version == sc->version ? sc->extent : 0};
	int ret = op_each_extent(s->r, e->extent, e->refs, e->flags & OP_INDIRECT, scrub_extent, &p);
	*left = p.left;
	if (ret == -EBADMSG)
		report(s, e, st, region_ref_offset(s->r, e->extent[0].ref), true);
	else if (p.bad)
		report(s, e, st, p.bad, false);
	sc->version = ret == 1 ? e->version : 0;
	sc->extent = ret == 1 ? p.at : 0;
	return ret == 1;
}

/* The entry that was left in the middle, or the next one. NULL: the end. */
static struct entry *scrub_next(struct paste_store *s, struct stream **st)
{
	struct scrub *sc = &s->scrub;
	struct entry *e = NULL;

	*st = sc->stream;
	if (sc->extent) {
		e = sc->stream ? stream_get(sc->stream, sc->sequence - 1)
			       : tree_find(&s->keys, sc->cursor.key, sc->cursor.length);
		if (e)
			return e;
	}
	if (!sc->in_streams) {
		e = tree_cursor_next(&sc->cursor);
		if (e)
			return e;
		sc->in_streams = true;
		tree_cursor_start(&sc->cursor, &s->streams, NULL, 0);
	}
	while (!e) {
		if (!sc->stream) {
			sc->stream = tree_cursor_next(&sc->cursor);
			if (!sc->stream)
				return NULL;
			sc->sequence = sc->stream->first;
		}
		sc->sequence = stream_seek(sc->stream, sc->sequence);
		if (sc->sequence >= sc->stream->next)
			sc->stream = NULL;
		else
			e = stream_get(sc->stream, sc->sequence++);
	}
	*st = sc->stream;
	return e;
}

int paste_store_scrub_step(struct paste_store *s, uint64_t bytes)
{
	struct scrub *sc = &s->scrub;
	uint64_t left = bytes;

	if (!sc->active) {
		sc->active = true;
		sc->in_streams = false;
		sc->stream = NULL;
		sc->extent = sc->entries = 0;
		tree_cursor_start(&sc->cursor, &s->keys, NULL, 0);
	}
	for (uint32_t i = 0; i < ENTRIES_A_STEP && left > 0; i++) {
		struct stream *st;
		struct entry *e = scrub_next(s, &st);
		if (!e) {
			sc->active = false;
			sc->passes++;
			return 0;
		}
		if (scrub_entry(s, e, st, &left))
			return 1;
		sc->entries++;
	}
	return 1;
}
