/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * superblock.h - the two copies of the superblock: reading, choosing, rewriting.
 *
 * A rewrite is two durable steps, one copy and then the other, so that either copy alone opens the region at any moment
 * (docs/format.md, section 2). What the old superblock pointed to may be given up when both steps are durable.
 */
#ifndef REGION_SUPERBLOCK_H
#define REGION_SUPERBLOCK_H

#include "media/media.h"
#include "region/format.h"

struct superblock_health {
	bool bad[2];      /* copy A, B did not check out */
	bool repaired[2]; /* but one flipped bit was found */
	int older;        /* the copy that is not relied on: bad, or of the lower generation */
};

/* Read both copies and take the valid one with the higher generation. -EBADMSG: not a region, or neither copy is
 * whole; -ENOTSUP: a newer format or an unknown incompatible feature; -EFBIG: the medium is shorter than the region. */
int superblock_load(const struct media *m, struct superblock *sb, struct superblock_health *health,
		    struct paste_error *err);

/* The superblock of a medium of which only the first AREA_START bytes are mapped: no more than whose it is. */
bool superblock_peek(const struct media *m, struct superblock *sb, struct superblock_health *health);

/* Write back the copy that is relied on, for the caller's next commit. It may stand in a cache only (the process that
 * wrote it died before it was durable), and a power cut while the other copy is rewritten would then take both. So:
 * after loading, before the first rewrite. */
void superblock_persist(struct media *m, const struct superblock_health *health);

/* A rewrite under way: first the copy that is not relied on, then the other. superblock_step() returns 1 when both
 * are durable, 0 while it waits, or a negative errno. The content is taken at the beginning. */
struct superblock_rewrite {
	int step;
	int first;
	media_ticket ticket;
	struct superblock content;
};

void superblock_begin(struct superblock_rewrite *w, struct superblock *sb, int first); /* raises sb->generation */
int superblock_step(struct superblock_rewrite *w, struct media *m);

/*
 * Give the region on an open medium (of which the first AREA_START bytes will do) a larger area: `size` bytes in all, of which
 * the caller has made the new ones zero, durably. Both copies have to be whole, and the size still `from`. -EINVAL: not
 * a segment more; -EAGAIN: the size has changed; otherwise as superblock_load().
 */
int superblock_grow(struct media *m, uint64_t from, uint64_t size, struct paste_error *err);

/* Both steps, blocking. */
int superblock_rewrite(struct superblock *sb, struct media *m, int first);

#endif
