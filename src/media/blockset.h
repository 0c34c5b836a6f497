/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blockset.h - a set of a file's blocks, in fixed memory: a bit a block, and a bit a word above them.
 *
 * Adding a range twice, or ranges that touch, makes one run: this is where write-backs of one group coalesce.
 * All operations take time in proportion to the words that they touch.
 */
#ifndef MEDIA_BLOCKSET_H
#define MEDIA_BLOCKSET_H

#include <stdbool.h>
#include <stdint.h>

struct blockset {
	uint64_t *words;   /* bit i % 64 of word i / 64: block i is in the set */
	uint64_t *summary; /* bit i % 64 of word i / 64: words[i] is not zero */
	uint64_t blocks;   /* that there could be */
	uint64_t count;    /* that are in the set */
	uint64_t low;      /* no summary word below this is not zero */
};

int blockset_init(struct blockset *set, uint64_t blocks); /* -ENOMEM */
void blockset_free(struct blockset *set);

void blockset_add(struct blockset *set, uint64_t first, uint64_t count);
void blockset_remove(struct blockset *set, uint64_t first, uint64_t count);
bool blockset_intersects(const struct blockset *set, uint64_t first, uint64_t count);

/* Move everything that is in `from` to `to`. */
void blockset_move(struct blockset *to, struct blockset *from);

/* The lowest run of blocks, cut at `max`. False: the set is empty. */
bool blockset_first_run(struct blockset *set, uint64_t max, uint64_t *first, uint64_t *count);

static inline bool blockset_empty(const struct blockset *set)
{
	return set->count == 0;
}

#endif
