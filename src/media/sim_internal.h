/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_internal.h - what sim.c (running) and sim_image.c (crashing) share.
 */
#ifndef MEDIA_SIM_INTERNAL_H
#define MEDIA_SIM_INTERNAL_H

#include "media/sim.h"

/* Units written back together, with what memory held then. `adr` has only the open one. */
struct sim_group {
	struct sim_group *next;
	media_ticket ticket;
	uint32_t polls; /* until it may be seen complete */
	uint32_t n, room;
	uint32_t *unit;
	uint8_t *content; /* n units */
};

/* A packet under way. */
struct sim_held {
	struct sim_held *next;
	uint64_t offset, n;
	uint8_t bytes[];
};

struct sim {
	struct media m;
	enum sim_kind kind;
	bool evict, own_memory;
	bool written; /* something was written back since the last commit */
	struct sim_random random;
	uint8_t *left;
	uint8_t *floor; /* NULL: forgetful, or a kind that forgets nothing */
	uint32_t *slot; /* unit -> its place + 1 in the open group */
	struct sim_group *open;
	struct sim_group *head, **tail; /* `file`: under way, oldest first */
	media_ticket issued, done;
	int64_t commits_left; /* before the medium fails; -1: it does not */
	int fail_error;
	struct sim_held *held;
	sim_hook *hook;
	void *hook_arg;
};

static inline struct sim *sim_of(struct media *m)
{
	return (struct sim *)m;
}

#endif
