/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of paste/change.h, list.h and backup.h: conditions, several changes at once, retry keys, time,
 * lists, snapshots. */
#include "life.h"

#include <errno.h>
#include <stdlib.h>

#include "paste/backup.h"
#include "paste/change.h"
#include "paste/list.h"

/* An answer that is no more than it should be; false: the medium failed. */
static bool answered(struct life *life, const char *what, int rc, int wanted)
{
	if (rc == wanted)
		return true;
	if (rc < 0 && rc == life->m->error && life->failing)
		return !life_medium_failed(life, what, rc);
	run_broken(life->run, "%s gives %d instead of %d", what, rc, wanted);
}

/* It is shown as absent. If only because its time has come, that is a state of its own from now on. */
static void shown_absent(struct life *life, struct object *o)
{
	if (!object_last(o)->present)
		return;
	history_gone(life->h, o);
	life->run->coverage->expired++;
}

void life_set_time(struct life *life)
{
	life->clock += sim_below(&life->random, 30);
	paste_store_set_time(life->s, life->clock);
	life->h->now = paste_store_time(life->s);
}

static struct paste_change change_of(const struct object *o, enum paste_change_type type,
				     const struct slices *slices)
{
	return (struct paste_change){
	    .type = type,
	    .key = o->name,
	    .key_length = o->name_length,
	    .slices = slices ? slices->ref : NULL,
	    .n = slices ? slices->n : 0,
	};
}

static uint64_t draw_time(struct life *life)
{
	return sim_chance(&life->random, 2) ? life->h->now + sim_below(&life->random, 200) : 0;
}

/* A condition, and what it must lead to. */
static int draw_condition(struct life *life, const struct object *o, struct paste_change *c)
{
	const struct state *last = object_last(o);
	bool there = object_there(life->h, o);
	uint64_t version = o->stream ? last->next : there ? last->version : 0;

	c->condition = (enum paste_condition)sim_below(&life->random, o->stream ? 4 : 5);
	c->expected = sim_chance(&life->random, 2) ? version : version + sim_below(&life->random, 3);
	bool same = c->expected == version && (there || o->stream);
	switch (c->condition) {
	case PASTE_ALWAYS:
		return 0;
	case PASTE_IF_ABSENT:
		return there ? -EEXIST : 0;
	case PASTE_IF_PRESENT:
		return there ? 0 : -ENOENT;
	case PASTE_IF_VERSION:
		return same ? 0 : there || o->stream ? -ESTALE : -ENOENT;
	case PASTE_IF_NOT_VERSION:
		return same ? -ESTALE : 0;
	}
	return 0;
}

/* The state that the change is to make; false: it changes nothing. */
static bool state_make(struct life *life, struct object *o, const struct paste_change *c,
		       const struct blob *b, bool first)
{
	struct state *state;

	if (c->type == PASTE_DELETE && !object_last(o)->present)
		return false;
	bool timed = object_last(o)->present && !object_there(life->h, o);
	state = first ? history_change(life->h, o) : history_change_more(life->h, o);
	state->present = c->type != PASTE_DELETE;
	if (o->stream) {
		stream_entry_set(o, state->next++, b);
		return true;
	}
	state->value = c->type == PASTE_DELETE ? NULL : b;
	state->version = 0;
	state->expires = c->expires;
	state->seen_gone = c->type == PASTE_DELETE && timed;
	return true;
}

static void state_check(struct life *life, struct object *o, const struct paste_result *r, bool existed)
{
	struct state *state = object_last(o);

	if (o->stream && r->version != state->next - 1)
		run_broken(life->run, "an append gives number %llu instead of %llu",
			   (unsigned long long)r->version, (unsigned long long)state->next - 1);
	if (o->stream)
		return;
	if (r->existed != existed)
		run_broken(life->run, "a change says that the key was %s, which is wrong",
			   r->existed ? "there" : "absent");
	if (state->present && r->version <= state[-1].version)
		run_broken(life->run, "a change gives version %llu after %llu",
			   (unsigned long long)r->version, (unsigned long long)state[-1].version);
	if (state->present)
		state->version = r->version;
}

/* One change with a condition, perhaps a time to go. */
bool request_if(struct life *life, struct object *o, const struct blob *b, struct slices *slices, bool *full)
{
	bool deletes = !o->stream && sim_chance(&life->random, 4);
	struct paste_change c = change_of(o,
					  o->stream ? PASTE_APPEND
					  : deletes ? PASTE_DELETE
						    : PASTE_PUT,
					  slices);
	struct paste_result r;
	bool existed = object_there(life->h, o);
	int wanted = draw_condition(life, o, &c);

	*full = false;
	c.expires = c.type == PASTE_PUT ? draw_time(life) : 0;
	bool changes = wanted == 0 && state_make(life, o, &c, b, true);
	int rc = paste_store_apply(life->s, &c, 1, NULL, &r);
	if (rc == -ENOSPC && wanted == 0) {
		if (changes)
			history_refused(life->h, o);
		*full = true;
		life->run->coverage->refused_full++;
		return true;
	}
	if (!answered(life, "a change with a condition", rc, wanted))
		return false;
	life->run->coverage->conditions += c.condition != PASTE_ALWAYS;
	if (changes)
		state_check(life, o, &r, existed);
	else if (!existed && !o->stream)
		shown_absent(life, o);
	life_reply(life, o, o->n - 1, r.round);
	return true;
}

#define TOGETHER_MAX 44 /* beyond 32, they do not stand in the record itself */

static struct object *draw_other(struct life *life, struct object **chosen, uint32_t n)
{
	struct history *h = life->h;

	for (int attempt = 0; attempt < 20; attempt++) {
		struct object *o = &h->objects[sim_below(&life->random, h->keys + h->streams)];
		bool taken = false;
		for (uint32_t i = 0; i < n; i++)
			taken |= chosen[i] == o && !o->stream;
		if (!taken &&
		    home_log(life->s, o->stream, o->name, o->name_length) ==
			home_log(life->s, chosen[0]->stream, chosen[0]->name, chosen[0]->name_length))
			return o;
	}
	return NULL;
}

/* Bytes from..to-1 of what arrived, as slices (freed by the caller; without user counts of their own) and as
 * a blob. */
static struct slices cut(struct life *life, const struct slices *from, const struct blob *whole,
			 uint32_t begin, uint32_t end, const struct blob **b)
{
	struct slices to = {.ref = malloc((from->n + 1) * sizeof(*to.ref))};
	struct blob *part = (struct blob *)history_blob(life->h, &life->random, end - begin);
	uint32_t at = 0, size = paste_buffer_size(life->r);

	if (!to.ref)
		abort();
	memcpy(part->bytes, whole->bytes + begin, end - begin);
	*b = part;
	for (uint32_t i = 0; i < from->n; at += from->ref[i++].length) {
		struct paste_ref ref = from->ref[i];
		uint32_t first = begin > at ? begin - at : 0, last = end > at ? end - at : 0;
		last = last < ref.length ? last : ref.length;
		if (first >= last)
			continue;
		to.ref[to.n++] = (struct paste_ref){.buffer = ref.buffer + (ref.offset + first) / size,
						    .offset = (ref.offset + first) % size,
						    .length = last - first};
	}
	return to;
}

/* Several at once: they share what arrived. */
bool request_together(struct life *life, struct object *first, const struct blob *b, struct slices *slices,
		      bool *full)
{
	struct object *o[TOGETHER_MAX] = {first};
	struct paste_change c[TOGETHER_MAX];
	struct paste_result r[TOGETHER_MAX];
	bool existed[TOGETHER_MAX], changes[TOGETHER_MAX];
	bool many = sim_chance(&life->random, 3);
	uint32_t n = 1, wanted = many ? sim_between(&life->random, 33, TOGETHER_MAX)
				      : sim_between(&life->random, 2, 12);
	struct slices part[TOGETHER_MAX] = {0};
	uint32_t reached = 0;

	*full = false;
	while (n < wanted && (o[n] = draw_other(life, o, n)))
		n++;
	for (uint32_t i = 0, made = 0; i < n; i++) {
		const struct blob *value = NULL;
		bool deletes = i > 0 && !o[i]->stream && sim_chance(&life->random, 3);
		if (!deletes) {
			uint32_t end =
			    reached +
			    sim_below(&life->random,
				      (b->length - reached) / (sim_chance(&life->random, 2) ? 1 : 4) + 1);
			part[i] = cut(life, slices, b, reached, end, &value);
			reached = end;
		}
		c[i] = change_of(o[i],
				 o[i]->stream ? PASTE_APPEND
				 : deletes    ? PASTE_DELETE
					      : PASTE_PUT,
				 &part[i]);
		c[i].expires = c[i].type == PASTE_PUT ? draw_time(life) : 0;
		existed[i] = object_there(life->h, o[i]);
		changes[i] = state_make(life, o[i], &c[i], value, made == 0);
		made += changes[i];
	}
	int rc = paste_store_apply(life->s, c, n, NULL, r);
	for (uint32_t i = 0; i < n; i++)
		free(part[i].ref);
	if (rc == -ENOSPC || rc == -EFBIG) {
		for (uint32_t i = n; i-- > 0;)
			if (changes[i])
				history_refused(life->h, o[i]);
		*full = rc == -ENOSPC;
		life->run->coverage->refused_full += *full;
		return true;
	}
	if (!answered(life, "several changes", rc, 0))
		return false;
	life->run->coverage->together++;
	uint64_t next = 0;
	for (uint32_t i = n; i-- > 0;) {
		if (o[i]->stream) { /* several to one stream: consecutive */
			next = object_last(o[i])->next;
			for (uint32_t k = i + 1; k < n; k++)
				next -= o[k] == o[i];
			if (r[i].version != next - 1)
				run_broken(life->run,
					   "of several appends one gets number %llu instead of %llu",
					   (unsigned long long)r[i].version, (unsigned long long)next - 1);
		} else if (changes[i]) {
			state_check(life, o[i], &r[i], existed[i]);
		}
		life_reply(life, o[i], o[i]->n - 1, r[i].round);
	}
	return true;
}

/* ------------------------------------------------------------------ retry keys */

static struct repeatable *draw_repeatable(struct life *life)
{
	struct history *h = life->h;

	if (h->repeatables == 0 || sim_chance(&life->random, 2))
		return NULL;
	struct repeatable *again = &h->repeatable[sim_below(&life->random, h->repeatables)];
	return h->repeatables_made - again->made < PASTE_RETRY_KEYS_LEAST - 4 ? again : NULL;
}

static struct repeatable *new_repeatable(struct life *life, struct object *o)
{
	struct history *h = life->h;
	uint32_t i =
	    h->repeatables < REPEATABLES_MAX ? h->repeatables++ : sim_below(&life->random, REPEATABLES_MAX);
	struct repeatable *again = &h->repeatable[i];

	*again = (struct repeatable){.object = (uint32_t)(o - h->objects),
				     .length = sim_between(&life->random, 1, 16)};
	sim_fill(&life->random, again->key, again->length);
	for (uint32_t k = 0; k < h->repeatables; k++) /* another one with these few bytes? */
		if (k != i && h->repeatable[k].length == again->length &&
		    memcmp(h->repeatable[k].key, again->key, again->length) == 0)
			again->object = h->repeatable[k].object, *again = h->repeatable[k];
	return again;
}

bool request_again(struct life *life, struct object *o, const struct blob *b, struct slices *slices,
		   bool *full)
{
	struct repeatable *again = draw_repeatable(life);

	*full = false;
	if (!again && (!o->stream || o->name_length > 1000))
		return request_if(life, o, b, slices, full);
	if (!again)
		again = new_repeatable(life, o);
	o = &life->h->objects[again->object];
	struct paste_change c = change_of(o, PASTE_APPEND, slices);
	struct paste_retry retry = {again->key, again->length};
	struct paste_result r;
	bool known = again->sequence != 0;
	if (!known)
		state_make(life, o, &c, b, true);
	int rc = paste_store_apply(life->s, &c, 1, &retry, &r);
	if (rc == -ENOSPC && !known) {
		history_refused(life->h, o);
		*full = true;
		life->run->coverage->refused_full++;
		return true;
	}
	if (!answered(life, "an append with a retry key", rc, 0))
		return false;
	if (r.repeated != known)
		run_broken(life->run, "an append with a retry key is taken for %s one",
			   known ? "a new" : "a repeated");
	if (known && r.version != again->sequence)
		run_broken(life->run, "a repeated append gives number %llu instead of %llu",
			   (unsigned long long)r.version, (unsigned long long)again->sequence);
	if (!known) {
		state_check(life, o, &r, false);
		again->sequence = r.version;
		again->made = ++life->h->repeatables_made;
	} else {
		life->run->coverage->repeated++;
	}
	/* It shows that the entry was appended, no more. */
	uint32_t i = 0;
	while (object_last(o)->present && o->states[i].next <= again->sequence)
		i++;
	life_reply(life, o, i, r.round);
	return true;
}

/* ------------------------------------------------------------------ lists */

static bool begins_with(const struct object *o, const uint8_t *prefix, size_t length)
{
	return o->name_length >= length && memcmp(o->name, prefix, length) == 0;
}

bool request_list(struct life *life)
{
	uint8_t prefix[2] = {'k', 'a' + sim_below(&life->random, 3)}, after[PASTE_KEY_MAX];
	struct paste_listed item;
	size_t after_length = 0;
	uint64_t round = 0;
	uint32_t i = 0;
	int rc;

	while ((rc = paste_store_list(life->s, prefix, 2, after_length ? after : NULL, after_length,
				      &item)) != -ENOENT) {
		round = item.round > round ? item.round : round;
		if (rc < 0 && rc != -EAGAIN)
			return answered(life, "a list", rc, 0);
		memcpy(after, item.name, item.name_length);
		after_length = item.name_length;
		if (rc == -EAGAIN)
			continue;
		for (; i < life->h->keys; i++)
			if (begins_with(&life->h->objects[i], prefix, 2) &&
			    object_there(life->h, &life->h->objects[i]))
				break;
		const struct object *o = &life->h->objects[i];
		if (i++ == life->h->keys || o->name_length != item.name_length ||
		    memcmp(o->name, item.name, item.name_length))
			run_broken(life->run, "a list has another key than it should have");
		const struct state *state = object_last(o);
		if (item.length != state->value->length || item.expires != state->expires ||
		    (state->version && item.version != state->version))
			run_broken(life->run, "a list says something else of a key than it should");
	}
	round = item.round > round ? item.round : round;
	for (; i < life->h->keys; i++)
		if (begins_with(&life->h->objects[i], prefix, 2) &&
		    object_there(life->h, &life->h->objects[i]))
			run_broken(life->run, "a list leaves out a key");
	for (i = 0; i < life->h->keys; i++) {
		struct object *o = &life->h->objects[i];
		if (!begins_with(o, prefix, 2))
			continue;
		if (!object_there(life->h, o))
			shown_absent(life, o);
		life_reply(life, o, o->n - 1, round > life->durable ? round : 0);
	}
	life->run->coverage->lists++;
	return true;
}

/* ------------------------------------------------------------------ snapshots */

/* The object's state at the moment of the snapshot, if it was there. */
static const struct state *then(const struct life *life, const struct object *o)
{
	const struct state *state = &o->states[life->snapshot.state[o - life->h->objects]];

	return state->present && !(state->expires && state->expires <= life->snapshot.now) ? state : NULL;
}

static const struct object *next_there(struct life *life, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		if (then(life, &life->h->objects[i]))
			return &life->h->objects[i];
	return NULL;
}

static const struct object *named(struct life *life, const struct paste_snapshot_item *item)
{
	for (uint32_t i = life->h->keys; i < life->h->keys + life->h->streams; i++) {
		const struct object *o = &life->h->objects[i];
		if (o->name_length == item->name_length && memcmp(o->name, item->name, o->name_length) == 0)
			return o;
	}
	run_broken(life->run, "a snapshot has a stream that can not be there");
}

static void item_judge(struct life *life, const struct paste_snapshot_item *item)
{
	struct life_snapshot *sn = &life->snapshot;
	const struct object *o;

	if (item->kind == PASTE_SNAPSHOT_KEY) {
		o = next_there(life, sn->key, life->h->keys);
		if (!o || o->name_length != item->name_length || memcmp(o->name, item->name, o->name_length))
			run_broken(life->run, "a snapshot has another key than was there");
		sn->key = (uint32_t)(o - life->h->objects) + 1;
		if (!value_equals(life->s, &item->value, then(life, o)->value))
			run_broken(life->run, "a snapshot has another value than was there");
		return;
	}
	o = named(life, item);
	const struct state *state = then(life, o);
	if (!state)
		run_broken(life->run, "a snapshot has a stream that was not there");
	if (item->kind == PASTE_SNAPSHOT_STREAM) {
		if (item->first != state->first || item->next != state->next)
			run_broken(life->run,
				   "a snapshot has a stream with %llu to %llu instead of %llu to %llu",
				   (unsigned long long)item->first, (unsigned long long)item->next,
				   (unsigned long long)state->first, (unsigned long long)state->next);
		sn->streams++;
	} else if (item->sequence >= state->next || item->sequence < state->first ||
		   !value_equals(life->s, &item->value, o->entries[item->sequence])) {
		run_broken(life->run, "a snapshot has an entry that was not there");
	}
}

static void snapshot_complete(struct life *life)
{
	uint32_t streams = 0;

	for (uint32_t i = life->h->keys; i < life->h->keys + life->h->streams; i++)
		streams += then(life, &life->h->objects[i]) != NULL;
	if (next_there(life, life->snapshot.key, life->h->keys) || streams != life->snapshot.streams)
		run_broken(life->run, "a snapshot leaves something out");
	life->run->coverage->snapshots++;
}

bool life_snapshot(struct life *life)
{
	struct life_snapshot *sn = &life->snapshot;
	uint32_t n = life->h->keys + life->h->streams, items = sim_below(&life->random, 40);
	struct paste_snapshot_item item;
	uint64_t round;
	int rc = 0;

	if (!sn->state) {
		if (!sim_chance(&life->random, 8))
			return true;
		rc = paste_store_snapshot_begin(life->s, &round);
		if (rc)
			return answered(life, "beginning a snapshot", rc, 0);
		*sn = (struct life_snapshot){.state = malloc(n * sizeof(*sn->state)),
					     .now = paste_store_time(life->s)};
		if (!sn->state)
			abort();
		for (uint32_t i = 0; i < n; i++)
			sn->state[i] = life->h->objects[i].n - 1;
	}
	while (items-- > 0 && ((rc = paste_store_snapshot_next(life->s, &item)) == 0 || rc == -EAGAIN)) {
		if (rc == -EAGAIN)
			continue;
		item_judge(life, &item);
		paste_value_put(life->s, &item.value);
	}
	if (rc == 0 || rc == -EAGAIN)
		return true;
	if (rc == -ENOENT)
		snapshot_complete(life);
	else if (rc != -ESTALE && !answered(life, "a snapshot", rc, 0))
		return false;
	life_snapshot_end(life);
	paste_store_snapshot_end(life->s);
	return true;
}

void life_snapshot_end(struct life *life)
{
	free(life->snapshot.state);
	life->snapshot.state = NULL;
}
