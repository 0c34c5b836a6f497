/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Putting back what a snapshot showed.
 *
 * A version is the number of a change, and of two ops for a key the higher version counts. So what is put
 * back must find nothing newer in the log, not even that the key was deleted, and what is changed later must
 * be numbered above it: restoring begins with a checkpoint, behind which the logs are empty, and with a jump
 * of their numbers, which an OPEN record says like that of an opening.
 */
#include <errno.h>

#include "base/site.h"
#include "paste/backup.h"
#include "paste/change.h"
#include "store/store_internal.h"

int paste_store_restore_begin(struct paste_store *s, uint64_t version)
{
	uint64_t first = version;

	if (s->error)
		return -EIO;
	if (s->read_only)
		return -EROFS;
	for (uint32_t l = 0; l < s->logs; l++) {
		if (s->log[l].next > first)
			first = s->log[l].next;
	}
	if (version >= SEQUENCE_MAX / 2 || first >= SEQUENCE_MAX / 2)
		return -ERANGE;
	/* One that is under way may have begun before the last changes. */
	int ret = s->checkpoint.state == CHECKPOINT_IDLE ? 0 : space_checkpoint(s);
	if (ret == 0)
		ret = space_checkpoint(s);
	/* No round is under way that ends below where the logs go on. */
	int64_t done = ret < 0 ? ret : paste_store_commit(s);
	if (done >= 0)
		done = paste_store_wait(s, (uint64_t)done);
	if (done < 0)
		return (int)done;
	ret = logs_begin(s, first + SEQUENCE_JUMP);
	if (ret == 0)
		s->restoring = version;
	return ret;
}

int paste_store_restore_key(struct paste_store *s, const void *key, size_t key_length,
			    const struct paste_ref *slices, uint32_t n, uint64_t version, uint64_t expires,
			    struct paste_result *result)
{
	const struct paste_change change = {
	    .type = PASTE_PUT,
	    .condition = PASTE_IF_ABSENT,
	    .key = key,
	    .key_length = key_length,
	    .slices = slices,
	    .n = n,
	    .expires = expires,
	};

	if (version < 1 || version > s->restoring)
		return -ERANGE;
	/* One that has expired is there as well. */
	if (key_length >= 1 && key_length <= PASTE_KEY_MAX && tree_find(&s->keys, key, key_length))
		return -EEXIST;
	return apply_versioned(s, &change, version, result);
}

int paste_store_restore_stream(struct paste_store *s, const void *name, size_t name_length, uint64_t first,
			       struct paste_result *result)
{
	struct op_view v = {.op = {.type = OP_TRIM, .key_length = (uint16_t)name_length, .version = first},
			    .key = name};
	struct stream *st;

	*result = (struct paste_result){0};
	if (s->error)
		return -EIO;
	if (s->read_only)
		return -EROFS;
	if (name_length < 1 || name_length > PASTE_KEY_MAX)
		return -EINVAL;
	if (first < 1 || first >= SEQUENCE_MAX)
		return -ERANGE;
	if (tree_find(&s->streams, name, name_length))
		return -EEXIST;
	result->version = first;
	if (first == 1)
		return 0; /* it begins to exist with its first entry */
	uint16_t l = home_log(s, true, name, name_length);
	int ret = log_add_always(s, l, &v.op);
	if (ret == 0)
		ret = stream_for_append(s, name, name_length, &st);
	if (ret < 0)
		return ret;
	change_log(s, l, &v, st->digest);
	st->first = st->next = first;
	st->mark = result->round = s->round;
	return 0;
}
