/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading values: found, verified, pinned. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/site.h"
#include "paste/list.h"
#include "store/store_internal.h"

/* Verifies the extents and lists them in s->refs. */
struct reader {
	struct paste_store *s;
	uint32_t n;
};

static int read_extent(void *arg, const struct extent *e, bool list)
{
	struct reader *rd = arg;
	struct paste_store *s = rd->s;

	if (list)
		return 0;
	if (!extent_whole(s->r, e) && SITE(read_crc_check))
		return -EBADMSG;
	if (rd->n == s->refs_room) {
		size_t room = s->refs_room ? s->refs_room * 2 : 256;
		struct paste_ref *more = realloc(s->refs, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->refs = more;
		s->refs_room = room;
	}
	s->refs[rd->n++] = e->ref;
	return 0;
}

int read_entry(struct paste_store *s, const struct entry *e, struct paste_value *value)
{
	struct reader rd = {.s = s};

	*value = (struct paste_value){
		.round = pending_round(s, e->mark), .version = e->version, .length = e->length};
	if (e->attributes)
		value->expires = entry_expires(e);
	if (s->error && value->round)
		return -EIO; /* it will never be durable, and what it replaced is gone */
	if (e->flags & OP_INLINE) {
		value->bytes = entry_bytes(e);
		return 0;
	}
	int ret = e->flags & OP_LOST
			  ? -EBADMSG
			  : op_each_extent(s->r, e->extent, e->refs, e->flags & OP_INDIRECT, read_extent, &rd);
	if (ret < 0) {
		s->c.damaged_reads += ret == -EBADMSG;
		return ret;
	}
	value->slices = s->refs;
	value->n = rd.n;
	for (uint32_t i = 0; i < rd.n; i++)
		paste_ref_get(s->r, s->refs[i]);
	return 0;
}

int paste_store_get(struct paste_store *s, const void *key, size_t key_length, struct paste_value *value)
{
	*value = (struct paste_value){0};
	if (key_length < 1 || key_length > PASTE_KEY_MAX)
		return -EINVAL;
	s->c.reads++;
	const struct entry *e = tree_find(&s->keys, key, key_length);
	if (entry_shown(s, e))
		return read_entry(s, e, value);
	s->c.misses++;
	if (e && !(e->flags & ENTRY_ABSENT)) {
		int ret = e->flags & OP_LOST ? -EBADMSG : expiry_reveal(s, e, &value->round);
		return ret < 0 ? ret : -ENOENT;
	}
	if (e)
		value->round = pending_round(s, e->mark);
	else if (lost_covers(s, false, key, key_length))
		return -EBADMSG;
	return s->error && value->round ? -EIO : -ENOENT;
}

int paste_store_read(struct paste_store *s, const void *name, size_t name_length, uint64_t sequence,
		     struct paste_value *value)
{
	*value = (struct paste_value){0};
	if (name_length < 1 || name_length > PASTE_KEY_MAX)
		return -EINVAL;
	s->c.reads++;
	const struct stream *st = tree_find(&s->streams, name, name_length);
	const struct entry *e = st ? stream_get(st, sequence) : NULL;
	if (e)
		return read_entry(s, e, value);
	s->c.misses++;
	if (st)
		value->round = pending_round(s, st->mark);
	bool lost = st ? sequence >= st->first && (sequence < st->next || st->unsure)
		       : lost_covers(s, true, name, name_length);
	if (lost)
		return -EBADMSG; /* its number was given, its bytes are lost */
	return s->error && value->round ? -EIO : -ENOENT;
}

void paste_value_put(struct paste_store *s, const struct paste_value *value)
{
	for (uint32_t i = 0; i < value->n; i++)
		paste_ref_put(s->r, value->slices[i]);
}

int paste_store_next(struct paste_store *s, const void *after, size_t after_length, const void **key,
		     size_t *key_length, uint64_t *length)
{
	struct paste_listed item = {.name = after, .name_length = after_length};
	uint8_t reached[PASTE_KEY_MAX];
	int ret;

	while ((ret = paste_store_list(s, NULL, 0, item.name, item.name_length, &item)) == -EAGAIN) {
		memcpy(reached, item.name, item.name_length);
		item.name = reached;
	}
	*key = item.name;
	*key_length = item.name_length;
	*length = item.length;
	return ret;
}

int paste_store_stream(struct paste_store *s, const void *name, size_t name_length, uint64_t *first, uint64_t *next,
		       uint64_t *round)
{
	const struct stream *st = tree_find(&s->streams, name, name_length);

	*round = 0;
	if (st ? st->unsure : lost_covers(s, true, name, name_length))
		return -EBADMSG;
	if (!st)
		return -ENOENT;
	*first = st->first;
	*next = st->next;
	*round = pending_round(s, st->mark);
	return 0;
}

uint64_t paste_store_value_max(const struct paste_store *s)
{
	return value_max(s);
}
