/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * list.h - keys and streams in order, by prefix; what is known of a key without its value.
 *
 * Nothing is kept between two calls: each goes on after a name, whatever changed meanwhile. A list depends on
 * the rounds of all its items and on that of its end (`round`, to be waited for before it is shown): wait for
 * the highest.
 */
#ifndef PASTE_LIST_H
#define PASTE_LIST_H

#include "paste/store.h"

struct paste_listed {
	const void *name; /* valid until the next call on the store */
	size_t name_length;
	uint64_t round;       /* 0: nothing to wait for; also set with -ENOENT and -EAGAIN */
	uint64_t version;     /* of a key */
	uint64_t length;      /* of a key's value */
	uint64_t expires;     /* of a key: ms since 1970, 0: never */
	uint64_t first, next; /* of a stream */
};

/*
 * The first key that begins with the prefix (NULL: any) and is greater than `after` (NULL: the very first).
 * -ENOENT: there is no further one. -EAGAIN: so many deleted and expired ones stand there that looking on
 * would take long: ask again after item->name. -ENOSPC, -EIO as for paste_store_get().
 */
int paste_store_list(struct paste_store *s, const void *prefix, size_t prefix_length, const void *after,
		     size_t after_length, struct paste_listed *item);
/* The same for streams. */
int paste_store_list_streams(struct paste_store *s, const void *prefix, size_t prefix_length,
			     const void *after, size_t after_length, struct paste_listed *item);

/* What is known of a key; the value is not looked at. -ENOENT, -EBADMSG, -EIO as for paste_store_get(). */
int paste_store_look(struct paste_store *s, const void *key, size_t key_length, struct paste_listed *item);

/* Keys deleted by prefix, a piece at a time. */
struct paste_delete_prefix {
	uint64_t deleted, round; /* so far; wait for the round before saying so */
	uint16_t at_length;
	uint8_t at[PASTE_KEY_MAX];
};

/*
 * Delete up to `most` keys that begin with the prefix (length 0: all). `d` is zeroed before the first call.
 * Each key is deleted by itself, in the order of keys: a crash between two calls leaves the later ones, and
 * so does a key that is put behind the place which has been reached; whoever asked gets no answer before the
 * last call's round is durable. Returns 1 if there may be more, 0 at the end, or a negative errno (call again
 * or give up: what is deleted stays so).
 */
int paste_store_delete_prefix(struct paste_store *s, const void *prefix, size_t prefix_length, uint32_t most,
			      struct paste_delete_prefix *d);

#endif
