/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_store.h - store.h in memory, with a durability that the test decides.
 *
 * Rounds become durable when the test says so (or at once), and any call can be made to fail. What a result
 * points to is made unreadable by the next call, as the contract allows.
 */
#ifndef TESTS_FAKE_STORE_H
#define TESTS_FAKE_STORE_H

#include "paste/change.h"
#include "paste/list.h"
#include "paste/store.h"

struct paste_store *fake_store_new(struct paste_region *region);
void fake_store_free(struct paste_store *s);

/* Rounds complete only by fake_store_make_durable(). */
void fake_store_hold_rounds(struct paste_store *s, bool hold);
void fake_store_make_durable(struct paste_store *s, uint64_t round); /* committed ones up to it */
uint64_t fake_store_committed(const struct paste_store *s);

/* The medium has failed: commit and poll, and all that changes, return this errno from now on. */
void fake_store_break(struct paste_store *s, int error);
/* Refuse the next changes, or the next reads, with this errno; 0: no more. */
void fake_store_refuse_changes(struct paste_store *s, int error);
void fake_store_refuse_reads(struct paste_store *s, int error);
void fake_store_refuse_entries(struct paste_store *s, int error); /* reads of entries alone */
void fake_store_refuse_bodies(struct paste_store *s, int error);

/* Lists are answered -EAGAIN at each deleted key. */
void fake_store_look_on(struct paste_store *s, bool look_on);

/* Values up to so many bytes are given as bytes, larger ones as slices. 0: all in slices. */
void fake_store_set_inline(struct paste_store *s, uint32_t bytes);
void fake_store_set_value_max(struct paste_store *s, uint64_t bytes);

#endif
