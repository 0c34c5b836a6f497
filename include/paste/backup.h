/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backup.h - everything as it was at one moment, while changes go on; putting it back; making a region
 * larger.
 */
#ifndef PASTE_BACKUP_H
#define PASTE_BACKUP_H

#include "paste/store.h"

/*
 * A snapshot shows the store as it was when it began: all keys in order, then all streams in order, each
 * followed by its entries. There is at most one at a time. It costs nothing to begin; what is changed before
 * the walk comes by is kept for it, in memory and on the medium, until then: at most 1/8 of the region's
 * bytes, and never at the cost of a change being refused. Beyond that the snapshot is given up (-ESTALE) and
 * has to be begun again, when there is less to do or more room.
 */
enum paste_snapshot_kind {
	PASTE_SNAPSHOT_KEY,
	PASTE_SNAPSHOT_STREAM, /* name, first, next; then its entries */
	PASTE_SNAPSHOT_ENTRY,  /* sequence, value */
};

struct paste_snapshot_item {
	enum paste_snapshot_kind kind;
	const void *name; /* of the key or the stream; valid until the next call on the store */
	size_t name_length;
	uint64_t expires;         /* key */
	uint64_t first, next;     /* stream */
	uint64_t sequence;        /* entry */
	struct paste_value value; /* key, entry: to be put; value.version is the key's */
};

/* Begin one; what it shows is durable when *round is: write nothing of it to anywhere before. -EBUSY: there
 * is one. */
int paste_store_snapshot_begin(struct paste_store *s, uint64_t *round);
/*
 * The next item. -ENOENT: that was all. -EBADMSG: this item's value is damaged; all but `value` is set, and
 * the walk goes on. -EAGAIN: nothing to show for a long stretch, call again. -ESTALE: given up. -EINVAL: none
 * was begun.
 */
int paste_store_snapshot_next(struct paste_store *s, struct paste_snapshot_item *item);
void paste_store_snapshot_end(struct paste_store *s);

/*
 * Putting back what was shown, versions and sequence numbers the same, into a store in which those keys and
 * streams do not exist. Between begin and the last call nothing else is changed. Rounds, slices and errors as
 * for paste_store_put(); what a crash in between leaves is a part of it, and to be thrown away.
 */
/* `version`: the highest that will be put back. Later changes get higher ones. Waits for what is not durable
 * yet. */
int paste_store_restore_begin(struct paste_store *s, uint64_t version);
/* -EEXIST: the key is there. -ERANGE: version 0 or above what was announced. */
int paste_store_restore_key(struct paste_store *s, const void *key, size_t key_length,
			    const struct paste_ref *slices, uint32_t n, uint64_t version, uint64_t expires,
			    struct paste_result *result);
/* A stream without entries whose next one gets number `first` (from 1 on); entries are appended as usual. */
int paste_store_restore_stream(struct paste_store *s, const void *name, size_t name_length, uint64_t first,
			       struct paste_result *result);

/*
 * Make the region at `path` larger, to `size` bytes, while nobody has it open. The file is extended and its
 * new part written before the superblock says that it is there, so that a crash at any moment leaves the
 * region as it was or grown; asked again, it goes on. -EINVAL: not larger by at least a segment (it is
 * rounded down to whole ones). -EBUSY: somebody has it open. -ENOSPC, -EIO.
 */
int paste_store_grow(const char *path, uint64_t size, struct paste_error *err);

#endif
