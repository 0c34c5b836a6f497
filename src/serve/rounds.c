/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/rounds.h"

/* Waiting for more requests, as parts of the time that a round takes: for the next one, for all. */
#define GATHER_NEXT_PART 16
#define GATHER_ALL_PART 2
#define GATHER_AGAIN 16 /* rounds until it is tried again after it was in vain */
#define GATHER_NOT_BEGUN INT64_MAX
#define REST_PART 8     /* of the same: between two looks at the sockets */
#define REST_LEAST_US 30
#define REST_MOST_US 500

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
	link_init(&r->services);
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

static bool is_under_way(const struct rounds *r)
{
	return r->committed > r->durable;
}

bool rounds_may_commit(const struct rounds *r)
{
	if (r->error || r->open <= r->committed)
		return false;
	if (!r->take_time)
		return true;
	return !is_under_way(r) && (r->changes >= r->expected || r->now_us >= r->gather_until);
}

int64_t rounds_gather_us(const struct rounds *r)
{
	if (r->error || !r->take_time || r->open <= r->committed || is_under_way(r))
		return INT64_MAX;
	if (r->gather_end == GATHER_NOT_BEGUN)
		return 0; /* no sleep before that look */
	return r->gather_until > r->now_us ? r->gather_until - r->now_us : 0;
}

int64_t rounds_rest_us(const struct rounds *r)
{
	if (r->error || !r->take_time || !is_under_way(r) || !r->changes)
		return 0;
	int64_t rest = r->took_us / REST_PART;
	return rest < REST_LEAST_US ? 0 : rest > REST_MOST_US ? REST_MOST_US : rest;
}

/* The round that was under way is durable: how long it took, and how many are to be expected of the next one.
 */
static void learn(struct rounds *r)
{
	int64_t took = r->now_us - r->committed_us;

	r->took_us += (took - r->took_us) / (r->took_us ? 8 : 1);
	r->expected = r->vain ? 0 : r->changes + r->under_way;
	r->seen = r->changes;
	/* The clock starts at the next step, after another look at the sockets: sending the answers takes time, too, often
	 * more than the medium did. */
	r->gather_until = r->gather_end = GATHER_NOT_BEGUN;
}

/* They keep coming. */
static void gather(struct rounds *r)
{
	if (r->gather_end == GATHER_NOT_BEGUN)
		r->gather_end = r->now_us + r->took_us / GATHER_ALL_PART;
	else if (r->changes == r->seen)
		return;
	r->seen = r->changes;
	r->gather_until = r->now_us + r->took_us / GATHER_NEXT_PART;
	if (r->gather_until > r->gather_end)
		r->gather_until = r->gather_end;
}

bool rounds_news(const struct rounds *r)
{
	if (r->error || !is_under_way(r))
		return false;
	int64_t durable = paste_store_poll(r->store);
	return durable < 0 || (uint64_t)durable > r->durable;
}

static void fail(struct rounds *r, int error)
{
	if (!r->error)
		r->error = error;
}

void rounds_step(struct rounds *r)
{
	gather(r);
	if (rounds_may_commit(r)) {
		int64_t round = paste_store_commit(r->store);

		if (round < 0)
			fail(r, (int)round);
		else
			r->committed = (uint64_t)round;
		if (r->vain)
			r->vain--;
		else if (r->changes < r->expected - r->expected / 8)
			r->vain = GATHER_AGAIN;
		r->under_way = r->changes;
		r->changes = r->seen = 0;
		r->committed_us = r->now_us;
	}
	/* Where it takes time, rounds of maintenance are to be collected as well. */
	if (r->error || (r->open <= r->durable && !r->take_time))
		return;
	int64_t durable = paste_store_poll(r->store);
	if (durable < 0) {
		fail(r, (int)durable);
	} else if ((uint64_t)durable > r->durable) {
		bool was_under_way = is_under_way(r);
		r->durable = (uint64_t)durable;
		if (was_under_way && !is_under_way(r))
			learn(r);
		if (r->committed < r->durable) /* maintenance commits, too */
			r->committed = r->durable;
	}
}
