/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * change.h - changes with conditions, several at once, repeated without harm, and keys that expire.
 *
 * paste_store_apply() makes one change or several, all or none, also across crashes: they stand in one
 * record. What store.h says of rounds, slices and errors holds here too.
 *
 * Versions. Each put that takes effect gives its key a version that the key never had before, also if it was
 * deleted meanwhile or the store crashed in between. So a version is a strong ETag. Changes made by one call
 * may have the same version, each for a key of its own: a key is named once in a call.
 *
 * Time. The store never reads a clock. Who uses expiry calls paste_store_set_time() once a poll round with
 * the time in milliseconds since 1970. The store's time never goes back: an earlier time is ignored, and when
 * a reply shows that a key has expired, the time that says so becomes durable with the reply's round, so that
 * a key which a client saw absent stays absent even if the clock of the next life is behind. (Until the clock
 * has caught up, the store's time stands still. Compute what expires from paste_store_time(), not from the
 * clock.) A store just opened has the latest time that was made durable, 0 if none was.
 */
#ifndef PASTE_CHANGE_H
#define PASTE_CHANGE_H

#include "paste/store.h"

enum paste_change_type {
	PASTE_PUT,
	PASTE_DELETE,
	PASTE_APPEND,
};

/* What must be so, or nothing is changed. Expired keys are absent. */
enum paste_condition {
	PASTE_ALWAYS,
	PASTE_IF_ABSENT,      /* else -EEXIST. For an append: the stream does not exist */
	PASTE_IF_PRESENT,     /* else -ENOENT */
	PASTE_IF_VERSION,     /* the key has version `expected`, else -ESTALE, -ENOENT if it is absent. For an
			       * append: its     sequence number will be `expected`, else -ESTALE; 1 if there is no
			       * such stream */
	PASTE_IF_NOT_VERSION, /* the key is absent or has another version than `expected`, else -ESTALE. No
				 append */
};

struct paste_change {
	enum paste_change_type type;
	enum paste_condition condition;
	uint64_t expected;
	const void *key; /* or the stream's name */
	size_t key_length;
	const struct paste_ref *slices; /* of a put's or append's value, as for paste_store_put() */
	uint32_t n;
	uint64_t expires; /* of a put: absent from this time on, ms since 1970; 0: never */
};

/*
 * A retry key: chosen by the client, the same for each attempt of one request. If the store remembers that
 * this call was made with it, nothing is changed (nor are conditions looked at): the results are those of the
 * first time, with `repeated` set. It is remembered with the changes, in the same record, so across crashes,
 * if and only if they happened; a call that failed is not remembered.
 *
 * A fingerprint, if it is not 0, says what the call asks for: a call with the same key and another one is refused. It is
 * remembered with the call; without one on either side nothing is compared.
 *
 * The same key means the same call only for the same kind of call: a put, delete or append to the same key or
 * stream, or any call with more than one change (or `whole`).
 *
 * Remembered for PASTE_RETRY_MS of the store's time, but at most the last PASTE_RETRY_KEYS and so many as
 * take 1/64 of the region in a checkpoint (24 bytes + name + key + 8 for each change + 6 for a fingerprint), yet always the last
 * PASTE_RETRY_KEYS_LEAST.
 */
struct paste_retry {
	const void *key;
	size_t length; /* 1..PASTE_RETRY_KEY_MAX, and with the key's or stream's name at most 1020 */
	uint32_t fingerprint;
	bool whole; /* it belongs to the call, not to a key or stream, also if the call makes one change */
};

#define PASTE_RETRY_KEY_MAX 255
#define PASTE_RETRY_MS (24ull * 3600 * 1000)
#define PASTE_RETRY_KEYS (1u << 20)
#define PASTE_RETRY_KEYS_LEAST 32
#define PASTE_RETRY_CHANGES_MAX 256 /* changes in a call with a retry key */

/*
 * Make n changes, all or none; results[i] is the i-th one's. A key may be named by one of them only; appends
 * to one stream may be several, and get consecutive numbers. retry: NULL for none.
 *
 * 0: all took effect (or had before: results[0].repeated).
 * -EEXIST, -ENOENT, -ESTALE: a condition does not hold, nothing changed. results[i].error tells which ones;
 * of these, round is what the negative answer depends on, and version what the key has (0: absent), or the
 * stream's next number. -EFBIG: a value is longer than paste_store_value_max(), or the call needs more than
 * paste_store_batch_max() bytes: for each change 24 + key + 12 for each piece of its value (a value of up to
 * 64 bytes: its bytes instead), + 10 if it expires, rounded up to 8; what paste_store_put() copies into the
 * record counts as well. -EINVAL: n is 0, a key has a wrong length or is named twice (then
 * results[i].error is -EINVAL where it is named again), a retry key is too long, too many changes with one. -EXDEV: the region has several logs and the names live in different ones.
 * -ENOTUNIQ: the retry key stands for a call with another fingerprint (which may not be durable yet).
 * -EBADMSG: a condition asks about what damage may have hidden. -ENOSPC, -EIO, -ENOMEM, -EROFS: as for
 * paste_store_put().
 */
int paste_store_apply(struct paste_store *s, const struct paste_change *changes, uint32_t n,
		      const struct paste_retry *retry, struct paste_result *results);

/* See -EFBIG. About half a segment, at least 4 KiB: 1 MiB for a region of 4 GiB. */
uint64_t paste_store_batch_max(const struct paste_store *s);

void paste_store_set_time(struct paste_store *s, uint64_t ms);
uint64_t paste_store_time(const struct paste_store *s);

#endif
