/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes with conditions, and several at once. */
#include <errno.h>

#include "paste/change.h"
#include "store/store_internal.h"

void paste_store_set_time(struct paste_store *s, uint64_t ms)
{
	if (ms > s->now)
		s->now = ms;
}

uint64_t paste_store_time(const struct paste_store *s)
{
	return s->now;
}

uint64_t paste_store_batch_max(const struct paste_store *s)
{
	return s->r->segment_size / 2;
}

static int judge_version(const struct paste_change *c, bool there, uint64_t version)
{
	switch (c->condition) {
	case PASTE_ALWAYS:
		return 0;
	case PASTE_IF_ABSENT:
		return there ? -EEXIST : 0;
	case PASTE_IF_PRESENT:
		return there ? 0 : -ENOENT;
	case PASTE_IF_VERSION:
		return !there ? -ENOENT : version == c->expected ? 0 : -ESTALE;
	case PASTE_IF_NOT_VERSION:
		return there && version == c->expected ? -ESTALE : 0;
	}
	return -EINVAL;
}

static int judge_key(struct paste_store *s, const struct paste_change *c, struct paste_result *result)
{
	const struct entry *e = tree_find(&s->keys, c->key, c->key_length);
	bool there = e && !(e->flags & ENTRY_ABSENT);

	if (e ? e->flags & OP_LOST : lost_covers(s, false, c->key, c->key_length))
		return -EBADMSG;
	result->round = e ? pending_round(s, e->mark) : 0;
	result->version = there ? e->version : 0;
	return judge_version(c, there, result->version);
}

static int judge_stream(struct paste_store *s, const struct paste_change *c, struct paste_result *result)
{
	const struct stream *st = tree_find(&s->streams, c->key, c->key_length);
	uint64_t next = st ? st->next : 1;

	if (st ? st->unsure : lost_covers(s, true, c->key, c->key_length))
		return -EBADMSG;
	result->round = st ? pending_round(s, st->mark) : 0;
	result->version = next;
	if (c->condition == PASTE_IF_VERSION)
		return next == c->expected ? 0 : -ESTALE;
	if (c->condition == PASTE_IF_NOT_VERSION)
		return -EINVAL;
	return judge_version(c, st != NULL, next);
}

/* The condition holds, or why not. */
static int change_judge(struct paste_store *s, const struct paste_change *c, struct paste_result *result)
{
	*result = (struct paste_result){0};
	if (c->condition == PASTE_ALWAYS)
		return 0;
	return c->type == PASTE_APPEND ? judge_stream(s, c, result) : judge_key(s, c, result);
}

int paste_store_apply(struct paste_store *s, const struct paste_change *changes, uint32_t n,
		      const struct paste_retry *retry, struct paste_result *results)
{
	if (n == 0)
		return -EINVAL;
	if (n > 1 || retry || changes->expires)
		return -EOPNOTSUPP;
	int ret = change_judge(s, changes, results);
	if (ret < 0) {
		results->error = ret;
		return s->error && results->round ? -EIO : ret;
	}
	switch (changes->type) {
	case PASTE_PUT:
		return paste_store_put(s, changes->key, changes->key_length, changes->slices, changes->n, results);
	case PASTE_DELETE:
		return paste_store_delete(s, changes->key, changes->key_length, results);
	case PASTE_APPEND:
		return paste_store_append(s, changes->key, changes->key_length, changes->slices, changes->n, results);
	}
	return -EINVAL;
}
