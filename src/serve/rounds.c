/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/rounds.h"

int rounds_init(struct rounds *r, struct paste_store *store, struct paste_error *err)
{
	int64_t durable = paste_store_poll(store);

	if (durable < 0)
		return paste_fail(err, (int)durable, "the medium has failed");
	*r = (struct rounds){
	    .store = store,
	    .open = (uint64_t)durable,
	    .committed = (uint64_t)durable,
	    .durable = (uint64_t)durable,
	    .take_time = paste_store_wait_fd(store) >= 0,
	};
	return 0;
}

uint32_t rounds_bucket(const void *stream, size_t length)
{
	const uint8_t *bytes = stream;
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return (hash ^ hash >> 16) % ROUNDS_BUCKETS;
}

bool rounds_may_commit(const struct rounds *r)
{
	if (r->error || r->open <= r->committed)
		return false;
	return !r->take_time || r->committed - r->durable < ROUNDS_UNDER_WAY;
}

static void fail(struct rounds *r, int error)
{
	if (!r->error)
		r->error = error;
}

void rounds_step(struct rounds *r)
{
	if (rounds_may_commit(r)) {
		int64_t round = paste_store_commit(r->store);

		if (round < 0)
			fail(r, (int)round);
		else
			r->committed = (uint64_t)round;
	}
	/* Where it takes time, rounds of maintenance are to be collected as well. */
	if (r->error || (r->open <= r->durable && !r->take_time))
		return;
	int64_t durable = paste_store_poll(r->store);
	if (durable < 0) {
		fail(r, (int)durable);
	} else if ((uint64_t)durable > r->durable) {
		r->durable = (uint64_t)durable;
		if (r->committed < r->durable) /* maintenance commits, too */
			r->committed = r->durable;
	}
}
