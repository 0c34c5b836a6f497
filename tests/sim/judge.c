/* SPDX-License-Identifier: BSD-2-Clause */
/* history_judge(): what a recovered store holds against what clients were told. */
#include "history.h"

#include "paste/change.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct judge {
	const struct history *h;
	struct paste_store *s;
	struct history *found; /* or NULL */
	int32_t *
	    covered; /* differences, by number of changes: at how many objects a prefix of the changes fits */
	char *why;
	size_t room;
};

static bool broken(struct judge *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool broken(struct judge *j, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(j->why, j->room, format, ap);
	va_end(ap);
	return false;
}

/* "key #3 (14 bytes)" */
struct object_text {
	char text[48];
};

static struct object_text text_of(const struct judge *j, const struct object *o)
{
	struct object_text t;

	snprintf(t.text, sizeof(t.text), "%s #%u (%u bytes of name)", o->stream ? "stream" : "key",
		 (unsigned int)(o - j->h->objects), o->name_length);
	return t;
}

bool value_equals(struct paste_store *s, const struct paste_value *v, const struct blob *b)
{
	uint64_t at = 0;

	if (v->length != b->length)
		return false;
	if (v->bytes || v->length == 0)
		return v->length == 0 || memcmp(v->bytes, b->bytes, b->length) == 0;
	for (uint32_t i = 0; i < v->n; at += v->slices[i++].length)
		if (at + v->slices[i].length > b->length ||
		    memcmp(paste_ref_data(paste_store_region(s), v->slices[i]), b->bytes + at,
			   v->slices[i].length) != 0)
			return false;
	return at == b->length;
}

/* The object as found fits after any number of changes from states[i] up to the next state. */
static void cover(struct judge *j, const struct object *o, uint32_t i)
{
	/* A state that another one of the same moment follows was never there. */
	j->covered[o->states[i].at]++;
	j->covered[i + 1 < o->n ? o->states[i + 1].at : j->h->changes + 1]--;
}

static void found_set(struct judge *j, const struct object *o, const struct state *state)
{
	if (!j->found)
		return;
	struct object *f = &j->found->objects[o - j->h->objects];

	f->states[0] = *state;
	f->states[0].at = 0;
	if (o->stream)
		for (uint64_t sequence = state->first; state->present && sequence < state->next; sequence++)
			stream_entry_set(f, sequence, o->entries[sequence]);
}

static bool key_state_fits(struct judge *j, const struct state *state, int rc, const struct paste_value *v)
{
	if (rc == -ENOENT)
		return !state->present || (state->expires && state->expires <= j->h->now);
	if (!state->present || state->expires != v->expires || (state->version && state->version != v->version))
		return false;
	return value_equals(j->s, v, state->value);
}

/* What a client was told is no more than that the time of state i has come: it was absent before that, too. */
static bool same_absence(const struct object *o, uint32_t i)
{
	while (i < o->told && o->states[i + 1].seen_gone)
		i++;
	return i == o->told;
}

static bool judge_key(struct judge *j, const struct object *o, bool *present, uint64_t *length)
{
	struct paste_value v = {0};
	int rc = paste_store_get(j->s, o->name, o->name_length, &v);
	const struct state *fits = NULL;
	bool older = false;

	if (rc != 0 && rc != -ENOENT)
		return broken(j, "reading %s fails: %s", text_of(j, o).text, strerror(-rc));
	for (uint32_t i = 0; i < o->n; i++) {
		if (!key_state_fits(j, &o->states[i], rc, &v))
			continue;
		if (i < o->told && !(rc && same_absence(o, i))) {
			older = true;
			continue;
		}
		cover(j, o, i);
		fits = &o->states[i];
	}
	*present = rc == 0;
	*length = v.length;
	struct state now = fits ? *fits : (struct state){0};
	now.version = v.version;
	if (rc == -ENOENT)
		now = (struct state){.version = now.version};
	if (rc == 0)
		paste_value_put(j->s, &v);
	if (fits) {
		found_set(j, o, &now);
		return true;
	}
	const struct state *told = &o->states[o->told];
	if (older)
		return broken(j, "%s is back in a state older than change %llu, which a client was told (%s)",
			      text_of(j, o).text, (unsigned long long)told->at,
			      told->present ? "a value" : "absent");
	if (rc == -ENOENT)
		return broken(j,
			      "%s is gone: change %llu was told to a client, and it was never absent since",
			      text_of(j, o).text, (unsigned long long)told->at);
	return broken(j, "%s has a value of %llu bytes, version %llu, that is none of those it was given",
		      text_of(j, o).text, (unsigned long long)v.length, (unsigned long long)v.version);
}

static bool judge_entry(struct judge *j, const struct object *o, uint64_t sequence, bool there)
{
	struct paste_value v = {0};
	int rc = paste_store_read(j->s, o->name, o->name_length, sequence, &v);

	if (!there)
		return rc == -ENOENT ||
		       broken(j, "entry %llu of %s is outside its range, and reading it gives %d",
			      (unsigned long long)sequence, text_of(j, o).text, rc);
	if (rc != 0)
		return broken(j, "reading entry %llu of %s fails: %s", (unsigned long long)sequence,
			      text_of(j, o).text, strerror(-rc));
	bool equal = value_equals(j->s, &v, o->entries[sequence]);
	paste_value_put(j->s, &v);
	return equal || broken(j, "entry %llu of %s has other bytes than it was given",
			       (unsigned long long)sequence, text_of(j, o).text);
}

static bool judge_stream(struct judge *j, const struct object *o)
{
	uint64_t first = 1, next = 1, round;
	int rc = paste_store_stream(j->s, o->name, o->name_length, &first, &next, &round);
	const struct state *fits = NULL;

	if (rc != 0 && rc != -ENOENT)
		return broken(j, "asking for %s fails: %s", text_of(j, o).text, strerror(-rc));
	for (uint32_t i = o->told; i < o->n; i++) {
		const struct state *state = &o->states[i];

		if (state->present == (rc == 0) && (rc || (state->first == first && state->next == next))) {
			cover(j, o, i);
			fits = state;
		}
	}
	if (!fits) {
		const struct state *told = &o->states[o->told];
		return broken(
		    j,
		    "%s has entries %llu to %llu (%s), but a client was told change %llu, when it had %llu "
		    "to %llu",
		    text_of(j, o).text, (unsigned long long)first, (unsigned long long)next,
		    rc ? "absent" : "present", (unsigned long long)told->at, (unsigned long long)told->first,
		    (unsigned long long)told->next);
	}
	if (rc == 0) {
		for (uint64_t sequence = first; sequence < next; sequence++)
			if (!judge_entry(j, o, sequence, true))
				return false;
		if ((first > 1 && !judge_entry(j, o, first - 1, false)) || !judge_entry(j, o, next, false))
			return false;
	}
	found_set(j, o, fits);
	return true;
}

/* The list of keys is the keys that are present, in order. */
static bool judge_list(struct judge *j, const bool *present, const uint64_t *lengths)
{
	uint8_t after[PASTE_KEY_MAX];
	size_t after_length = 0;
	uint32_t i = 0;

	for (;;) {
		const void *key;
		size_t key_length;
		uint64_t length;
		int rc = paste_store_next(j->s, after_length ? after : NULL, after_length, &key, &key_length,
					  &length);

		while (i < j->h->keys && !present[i])
			i++;
		if (rc == -ENOENT)
			return i == j->h->keys || broken(j, "the list of keys leaves out %s",
							 text_of(j, &j->h->objects[i]).text);
		if (rc)
			return broken(j, "listing keys fails: %s", strerror(-rc));
		if (i == j->h->keys)
			return broken(j, "the list of keys has one that can not be there");
		const struct object *o = &j->h->objects[i];
		if (key_length != o->name_length || memcmp(key, o->name, key_length) != 0)
			return broken(j, "the list of keys has another key where %s should be",
				      text_of(j, o).text);
		if (length != lengths[i])
			return broken(j, "the list of keys has another length than the value of %s",
				      text_of(j, o).text);
		after_length = key_length;
		memcpy(after, key, key_length);
		i++;
	}
}

/* Which appends with a retry key are still there: by their numbers, which are not given again to anything else before. */
static void judge_repeatables(struct judge *j)
{
	struct history *f = j->found;

	if (!f)
		return;
	f->now = paste_store_time(j->s);
	for (uint32_t i = 0; i < f->repeatables; i++) {
		struct repeatable *again = &f->repeatable[i];
		if (f->objects[again->object].states[0].next <= again->sequence)
			again->sequence = 0;
	}
}

/* All objects are as they were after one and the same number of changes. */
static bool judge_order(struct judge *j)
{
	int32_t objects = 0;

	for (uint64_t at = 0; at <= j->h->changes; at++) {
		objects += j->covered[at];
		if (objects == (int32_t)(j->h->keys + j->h->streams))
			return true;
	}
	return broken(
	    j, "every object is as it was at some time, but not all at the same: a change is missing while "
	       "a later one is there");
}

bool history_judge(const struct history *h, struct paste_store *s, struct history **found, char *why,
		   size_t room)
{
	struct judge j = {.h = h, .s = s, .why = why, .room = room};
	bool *present = calloc(h->keys + 1, sizeof(*present)), right = true;
	uint64_t *lengths = calloc(h->keys + 1, sizeof(*lengths));

	j.covered = calloc(h->changes + 2, sizeof(*j.covered));
	if (!present || !lengths || !j.covered)
		abort();
	if (found)
		*found = j.found = history_successor(h);
	for (uint32_t i = 0; right && i < h->keys; i++)
		right = judge_key(&j, &h->objects[i], &present[i], &lengths[i]);
	for (uint32_t i = h->keys; right && i < h->keys + h->streams; i++)
		right = judge_stream(&j, &h->objects[i]);
	if (right)
		judge_repeatables(&j);
	right = right && judge_list(&j, present, lengths) && (!h->ordered || judge_order(&j));
	free(present);
	free(lengths);
	free(j.covered);
	if (!right && found) {
		history_free(*found);
		*found = NULL;
	}
	return right;
}
