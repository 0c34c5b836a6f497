/* SPDX-License-Identifier: BSD-2-Clause */
#include "life.h"

#include <errno.h>
#include <stdlib.h>

bool life_medium_failed(struct life *life, const char *what, int64_t rc)
{
	if (life->failing && rc == life->m->error && rc < 0) {
		life->run->coverage->failed_media++;
		return true;
	}
	run_broken(life->run, "%s gives %lld (%s)", what, (long long)rc, strerror((int)-rc));
}

static void told(struct life *life, const struct reply *reply)
{
	const struct state *state = &reply->object->states[reply->state];

	history_told(reply->object, reply->state);
	life->run->coverage->told++;
	life->run->coverage->told_absent += !state->present;
}

void life_reply(struct life *life, struct object *o, uint32_t state, uint64_t round)
{
	struct reply reply = {.round = round, .object = o, .state = state};

	if (round == 0) {
		told(life, &reply);
		sim_event(life->m);
		return;
	}
	if (round <= life->durable)
		run_broken(life->run, "a reply is to wait for round %llu, which is durable",
			   (unsigned long long)round);
	if (life->replies_n == life->replies_room) {
		life->replies_room = life->replies_room ? 2 * life->replies_room : 64;
		life->replies = realloc(life->replies, life->replies_room * sizeof(*life->replies));
		if (!life->replies)
			abort();
	}
	life->replies[life->replies_n++] = reply;
}

static void replies_leave(struct life *life)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < life->replies_n; i++) {
		if (life->replies[i].round <= life->durable)
			told(life, &life->replies[i]);
		else
			life->replies[kept++] = life->replies[i];
	}
	bool left = kept < life->replies_n;
	life->replies_n = kept;
	if (left)
		sim_event(life->m);
}

bool life_commit(struct life *life)
{
	int64_t round = paste_store_commit(life->s);

	if (round < 0)
		return !life_medium_failed(life, "commit", round);
	if ((uint64_t)round < life->committed)
		run_broken(life->run, "commit goes back from round %llu to %lld",
			   (unsigned long long)life->committed, (long long)round);
	life->committed = round;
	for (uint32_t i = 0; i < life->replies_n; i++)
		if (life->replies[i].round > life->committed)
			run_broken(life->run, "a reply waits for round %llu, but commit closed %lld",
				   (unsigned long long)life->replies[i].round, (long long)round);
	return true;
}

static bool durable_until(struct life *life, int64_t durable, const char *what)
{
	if (durable < 0)
		return !life_medium_failed(life, what, durable);
	if ((uint64_t)durable < life->durable)
		run_broken(life->run, "%s goes back from round %llu to %lld", what,
			   (unsigned long long)life->durable, (long long)durable);
	life->durable = durable;
	replies_leave(life);
	return true;
}

bool life_poll(struct life *life)
{
	return durable_until(life, paste_store_poll(life->s), "poll");
}

bool life_wait(struct life *life)
{
	return durable_until(life, paste_store_wait(life->s, life->committed), "wait");
}

/* The packets that made up the value go; nobody may touch what the store keeps of them. */
static bool change_done(struct life *life, struct object *o, int rc, const char *what, bool *full)
{
	life->run->coverage->changes++;
	*full = rc == -ENOSPC;
	if (*full) {
		history_refused(life->h, o);
		life->run->coverage->refused_full++;
		return true;
	}
	return rc == 0 || !life_medium_failed(life, what, rc);
}

bool request_put(struct life *life, struct object *o, const struct blob *b, struct slices *slices, bool *full)
{
	struct paste_result result = {0};
	bool existed = object_there(life->h, o);
	struct state *state = history_change(life->h, o);

	state->present = true;
	state->value = b;
	state->version = 0;
	state->expires = 0;
	int rc = paste_store_put(life->s, o->name, o->name_length, slices->ref, slices->n, &result);
	if (!change_done(life, o, rc, "put", full))
		return false;
	if (*full)
		return true;
	if (result.existed != existed)
		run_broken(life->run, "put says that the key was %s, which is wrong",
			   existed ? "absent" : "there");
	if (result.version <= state[-1].version)
		run_broken(life->run, "put gives version %llu after version %llu",
			   (unsigned long long)result.version, (unsigned long long)state[-1].version);
	state->version = result.version;
	life_reply(life, o, o->n - 1, result.round);
	return true;
}

bool request_append(struct life *life, struct object *o, const struct blob *b, struct slices *slices,
		    bool *full)
{
	struct paste_result result = {0};
	struct state *state = history_change(life->h, o);
	uint64_t sequence = state->next++;

	state->present = true;
	stream_entry_set(o, sequence, b);
	int rc = paste_store_append(life->s, o->name, o->name_length, slices->ref, slices->n, &result);
	if (!change_done(life, o, rc, "append", full))
		return false;
	if (*full)
		return true;
	if (result.version != sequence)
		run_broken(life->run, "append gives entry number %llu, not %llu",
			   (unsigned long long)result.version, (unsigned long long)sequence);
	life_reply(life, o, o->n - 1, result.round);
	return true;
}

bool request_delete(struct life *life, struct object *o)
{
	struct paste_result result = {0};
	bool existed = object_there(life->h, o), timed = object_last(o)->present && !existed, full;
	struct state *state = history_change(life->h, o);

	state->present = false;
	state->value = NULL;
	state->expires = 0;
	state->seen_gone = timed; /* or it was deleted already, its time having come */
	int rc = paste_store_delete(life->s, o->name, o->name_length, &result);
	if (rc == -ENOSPC)
		run_broken(life->run, "a delete is refused because the region is full");
	if (!change_done(life, o, rc, "delete", &full))
		return false;
	if (result.existed != existed)
		run_broken(life->run, "delete says that the key was %s, which is wrong",
			   existed ? "absent" : "there");
	if (!existed && !timed)
		history_refused(life->h, o); /* nothing changed, but the reply says that there is nothing */
	life_reply(life, o, o->n - 1, result.round);
	return true;
}

bool request_trim(struct life *life, struct object *o, uint64_t before)
{
	struct paste_result result = {0};
	struct state *state = history_change(life->h, o);
	bool full;

	state->first = before;
	int rc = paste_store_trim(life->s, o->name, o->name_length, before, &result);
	if (rc == -ENOSPC)
		run_broken(life->run, "a trim is refused because the region is full");
	if (!change_done(life, o, rc, "trim", &full))
		return false;
	life_reply(life, o, o->n - 1, result.round);
	return true;
}

static void holds_verify(struct life *life, const struct hold *hold)
{
	struct paste_value v = {.slices = hold->slices, .n = hold->n, .length = hold->length};

	if (!value_equals(life->s, &v, hold->value))
		run_broken(life->run, "bytes that a reader still holds were overwritten");
}

static void hold_drop(struct life *life, struct hold *hold)
{
	struct paste_value v = {.slices = hold->slices, .n = hold->n, .length = hold->length};

	if (!hold->slices)
		return;
	holds_verify(life, hold);
	paste_value_put(life->s, &v);
	free(hold->slices);
	hold->slices = NULL;
}

void holds_put(struct life *life)
{
	for (uint32_t i = 0; i < HOLDS_MAX; i++)
		hold_drop(life, &life->holds[i]);
}

/* The reader sends the value: its slices are his for a while. */
static void value_sent(struct life *life, const struct paste_value *v, const struct blob *b)
{
	struct hold *hold = &life->holds[sim_below(&life->random, HOLDS_MAX)];

	if (v->bytes || v->n == 0 || sim_chance(&life->random, 2)) {
		paste_value_put(life->s, v);
		return;
	}
	struct hold old = *hold;
	hold->slices = malloc(v->n * sizeof(*v->slices));
	if (!hold->slices)
		abort();
	memcpy(hold->slices, v->slices, v->n * sizeof(*v->slices));
	hold->n = v->n;
	hold->length = v->length;
	hold->value = b;
	life->run->coverage->held_values++;
	hold_drop(life, &old);
}

bool request_get(struct life *life, struct object *o)
{
	const struct state *state = object_last(o);
	bool there = object_there(life->h, o);
	struct paste_value v = {0};
	int rc = paste_store_get(life->s, o->name, o->name_length, &v);

	if (rc != (there ? 0 : -ENOENT))
		return (rc == 0 || rc == -ENOENT) ? (run_broken(life->run, "get of a key that is %s",
								rc ? "there: absent" : "absent: a value"),
						     false)
						  : !life_medium_failed(life, "get", rc);
	if (rc == 0 && !value_equals(life->s, &v, state->value))
		run_broken(life->run, "get serves other bytes than were put (%llu bytes)",
			   (unsigned long long)v.length);
	if (rc == 0 && state->version && v.version != state->version)
		run_broken(life->run, "get gives version %llu instead of %llu", (unsigned long long)v.version,
			   (unsigned long long)state->version);
	uint64_t round = v.round;
	if (rc == -ENOENT && state->present) {
		history_gone(life->h, o);
		life->run->coverage->expired++;
	}
	if (rc == 0)
		value_sent(life, &v, state->value);
	life_reply(life, o, o->n - 1, round);
	return true;
}

/* The first state in which it is as the reply about entry `sequence` says. */
static uint32_t entry_state(const struct object *o, uint64_t sequence, bool there)
{
	const struct state *last = object_last(o);

	if (!there && sequence >= last->next)
		return 0; /* it may come yet: nothing that must stay */
	for (uint32_t i = 0; i < o->n; i++)
		if (there ? o->states[i].next > sequence : o->states[i].first > sequence)
			return i;
	return o->n - 1;
}

bool request_read(struct life *life, struct object *o, uint64_t sequence)
{
	const struct state *state = object_last(o);
	bool there = state->present && sequence >= state->first && sequence < state->next;
	struct paste_value v = {0};
	int rc = paste_store_read(life->s, o->name, o->name_length, sequence, &v);

	if (rc != (there ? 0 : -ENOENT))
		return (rc == 0 || rc == -ENOENT)
			   ? (run_broken(life->run, "entry %llu of a stream with %llu to %llu: %s",
					 (unsigned long long)sequence, (unsigned long long)state->first,
					 (unsigned long long)state->next, rc ? "absent" : "a value"),
			      false)
			   : !life_medium_failed(life, "read", rc);
	if (there && !value_equals(life->s, &v, o->entries[sequence]))
		run_broken(life->run, "read serves other bytes than were appended");
	uint64_t round = v.round;
	if (there)
		value_sent(life, &v, o->entries[sequence]);
	life_reply(life, o, entry_state(o, sequence, there), round);
	return true;
}

bool request_range(struct life *life, struct object *o)
{
	const struct state *state = object_last(o);
	uint64_t first = 1, next = 1, round = 0;
	int rc = paste_store_stream(life->s, o->name, o->name_length, &first, &next, &round);

	if (rc != (state->present ? 0 : -ENOENT) && rc != 0 && rc != -ENOENT)
		return !life_medium_failed(life, "stream", rc);
	if (rc != (state->present ? 0 : -ENOENT) ||
	    (rc == 0 && (first != state->first || next != state->next)))
		run_broken(life->run, "a stream has entries %llu to %llu where it should have %llu to %llu",
			   (unsigned long long)first, (unsigned long long)next,
			   (unsigned long long)state->first, (unsigned long long)state->next);
	life_reply(life, o, o->n - 1, round);
	return true;
}
