/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists by prefix, what is known of a key, deleting by prefix. */
#include <errno.h>
#include <string.h>

#include "paste/list.h"
#include "store/store_internal.h"

#define SKIP_MAX 1024 /* entries that are not shown, looked at in one call */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool has_prefix(const void *name, size_t length, const void *prefix, size_t prefix_length)
{
	return length >= prefix_length && (prefix_length == 0 || memcmp(name, prefix, prefix_length) == 0);
}

/* Where a list begins or goes on: behind `after`, but not before the prefix. */
static void *list_seek(const struct tree *t, const void *prefix, size_t prefix_length, const void *after,
		       size_t after_length)
{
	size_t common = after_length < prefix_length ? after_length : prefix_length;
	int order = after && prefix_length ? memcmp(after, prefix, common) : 0;
	bool before = !after || order < 0 || (order == 0 && after_length < prefix_length);

	if (!before)
		return tree_after(t, after, after_length);
	return prefix_length ? tree_at_or_after(t, prefix, prefix_length) : tree_first(t);
}

static bool list_arguments_ok(size_t prefix_length, const void *after, size_t after_length)
{
	return prefix_length <= PASTE_KEY_MAX && after_length <= PASTE_KEY_MAX &&
	       (!after || after_length > 0);
}

static void list_key(const struct paste_store *s, const struct entry *e, struct paste_listed *item)
{
	item->name = entry_key(e);
	item->name_length = e->key_length;
	item->version = e->version;
	item->length = e->length;
	item->expires = entry_expires(e);
	item->round = later(item->round, pending_round(s, e->mark));
}

/* The list leaves out a key that has expired. Saying so may move entries: *e is found again. */
static int reveal_listed(struct paste_store *s, const struct entry **e, struct paste_listed *item)
{
	uint8_t key[PASTE_KEY_MAX];
	uint16_t length = (*e)->key_length;

	memcpy(key, entry_key(*e), length);
	int ret = expiry_reveal(s, *e, &item->round);
	if (ret < 0)
		return ret;
	*e = tree_find(&s->keys, key, length);
	list_key(s, *e, item);
	return 0;
}

int paste_store_list(struct paste_store *s, const void *prefix, size_t prefix_length, const void *after,
		     size_t after_length, struct paste_listed *item)
{
	*item = (struct paste_listed){0};
	if (!list_arguments_ok(prefix_length, after, after_length))
		return -EINVAL;
	const struct entry *e = list_seek(&s->keys, prefix, prefix_length, after, after_length);
	for (uint32_t skipped = 0; e && has_prefix(entry_key(e), e->key_length, prefix, prefix_length);
	     skipped++) {
		list_key(s, e, item);
		int ret =
		    s->error && item->round ? -EIO : 0; /* what the list shows of it will never be durable */
		if (ret == 0 && entry_shown(s, e))
			return 0;
		if (ret == 0 && !(e->flags & ENTRY_ABSENT))
			ret = reveal_listed(s, &e, item);
		if (ret < 0)
			return ret;
		if (skipped == SKIP_MAX)
			return -EAGAIN;
		e = tree_after(&s->keys, entry_key(e), e->key_length);
	}
	item->name = NULL;
	return -ENOENT;
}

int paste_store_list_streams(struct paste_store *s, const void *prefix, size_t prefix_length,
			     const void *after, size_t after_length, struct paste_listed *item)
{
	*item = (struct paste_listed){0};
	if (!list_arguments_ok(prefix_length, after, after_length))
		return -EINVAL;
	const struct stream *st = list_seek(&s->streams, prefix, prefix_length, after, after_length);
	if (!st || !has_prefix(st->name, st->name_length, prefix, prefix_length))
		return -ENOENT;
	*item = (struct paste_listed){
	    .name = st->name,
	    .name_length = st->name_length,
	    .round = pending_round(s, st->mark),
	    .first = st->first,
	    .next = st->next,
	};
	return s->error && item->round ? -EIO : 0;
}

int paste_store_look(struct paste_store *s, const void *key, size_t key_length, struct paste_listed *item)
{
	*item = (struct paste_listed){0};
	if (key_length < 1 || key_length > PASTE_KEY_MAX)
		return -EINVAL;
	const struct entry *e = tree_find(&s->keys, key, key_length);
	if (!e)
		return lost_covers(s, false, key, key_length) ? -EBADMSG : -ENOENT;
	item->round = pending_round(s, e->mark);
	if (s->error && item->round)
		return -EIO;
	if (e->flags & ENTRY_ABSENT)
		return -ENOENT;
	if (entry_expired(s, e) && !(e->flags & OP_LOST)) {
		int ret = expiry_reveal(s, e, &item->round);
		return ret < 0 ? ret : -ENOENT;
	}
	list_key(s, e, item);
	return e->flags & OP_LOST ? -EBADMSG : 0;
}

int paste_store_delete_prefix(struct paste_store *s, const void *prefix, size_t prefix_length, uint32_t most,
			      struct paste_delete_prefix *d)
{
	struct paste_listed item;
	struct paste_result result;
	int ret;

	for (uint32_t i = 0; i < most; i++) {
		ret = paste_store_list(s, prefix, prefix_length, d->at_length ? d->at : NULL, d->at_length,
				       &item);
		d->round = later(d->round, item.round);
		if (ret == -ENOENT)
			return 0;
		if (ret < 0 && ret != -EAGAIN)
			return ret;
		/* The name leads into an entry that deleting it replaces. */
		uint8_t key[PASTE_KEY_MAX];
		uint16_t length = (uint16_t)item.name_length;
		memcpy(key, item.name, length);
		if (ret == 0) {
			ret = paste_store_delete(s, key, length, &result);
			if (ret < 0)
				return ret;
			d->deleted += result.existed;
			d->round = later(d->round, result.round);
		}
		memcpy(d->at, key, length);
		d->at_length = length;
		if (ret == -EAGAIN)
			return 1;
	}
	return 1;
}
