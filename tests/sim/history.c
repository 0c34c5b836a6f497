/* SPDX-License-Identifier: BSD-2-Clause */
#include "history.h"

#include <assert.h>
#include <stdlib.h>

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static int compare_names(const void *a, const void *b)
{
	const struct object *x = a, *y = b;
	uint16_t common = x->name_length < y->name_length ? x->name_length : y->name_length;
	int order = memcmp(x->name, y->name, common);

	return order ? order : (int)x->name_length - (int)y->name_length;
}

static uint16_t draw_name_length(struct sim_random *r)
{
	switch (sim_below(r, 16)) {
	case 0:
		return PASTE_KEY_MAX;
	case 1:
		return sim_between(r, 200, PASTE_KEY_MAX);
	case 2:
	case 3:
		return sim_between(r, 30, 200);
	default:
		return sim_between(r, 4, 30);
	}
}

/* The number inside the name keeps names apart; the rest is any bytes, zeroes too. */
static void name_object(struct object *o, struct sim_random *r, uint8_t *name, uint32_t number, bool stream)
{
	o->stream = stream;
	o->name = name;
	o->name_length = draw_name_length(r);
	sim_fill(r, name, o->name_length);
	name[0] = stream ? 's' : 'k';
	name[1] = 'a' + sim_below(r, 3);
	name[2] = number >> 8;
	name[3] = number;
}

static void state_add(struct object *o, struct state state)
{
	if (o->n == o->room) {
		o->room = o->room ? 2 * o->room : 4;
		o->states = need(realloc(o->states, o->room * sizeof(*o->states)));
	}
	o->states[o->n++] = state;
}

struct history *history_new(struct sim_random *r, uint32_t keys, uint32_t streams, bool ordered)
{
	struct history *h = need(calloc(1, sizeof(*h)));
	uint32_t n = keys + streams;

	h->keys = keys;
	h->streams = streams;
	h->ordered = ordered;
	h->objects = need(calloc(n, sizeof(*h->objects)));
	h->names = need(malloc((size_t)n * PASTE_KEY_MAX));
	for (uint32_t i = 0; i < n; i++) {
		name_object(&h->objects[i], r, h->names + (size_t)i * PASTE_KEY_MAX, i, i >= keys);
		state_add(&h->objects[i], (struct state){.first = 1, .next = 1});
	}
	qsort(h->objects, keys, sizeof(*h->objects), compare_names);
	return h;
}

struct history *history_successor(const struct history *h)
{
	struct history *successor = need(calloc(1, sizeof(*successor)));
	uint32_t n = h->keys + h->streams;

	successor->keys = h->keys;
	successor->streams = h->streams;
	successor->ordered = h->ordered;
	memcpy(successor->repeatable, h->repeatable, sizeof(h->repeatable));
	successor->repeatables = h->repeatables;
	successor->repeatables_made = h->repeatables_made;
	successor->objects = need(calloc(n, sizeof(*successor->objects)));
	for (uint32_t i = 0; i < n; i++) {
		const struct object *o = &h->objects[i];
		struct object *to = &successor->objects[i];

		*to = (struct object){.name = o->name, .name_length = o->name_length, .stream = o->stream};
		state_add(to, (struct state){.first = 1, .next = 1});
	}
	return successor;
}

void history_free(struct history *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; i < h->keys + h->streams; i++) {
		free(h->objects[i].states);
		free(h->objects[i].entries);
	}
	while (h->blobs) {
		struct blob *b = h->blobs;
		h->blobs = b->next;
		free(b);
	}
	free(h->objects);
	free(h->names);
	free(h);
}

const struct blob *history_blob(struct history *h, struct sim_random *r, uint32_t length)
{
	struct blob *b = need(malloc(sizeof(*b) + length));

	b->length = length;
	sim_fill(r, b->bytes, length);
	b->next = h->blobs;
	h->blobs = b;
	return b;
}

struct state *history_change(struct history *h, struct object *o)
{
	struct state state = *object_last(o);

	state.at = ++h->changes;
	state.seen_gone = false;
	state_add(o, state);
	return object_last(o);
}

struct state *history_change_more(struct history *h, struct object *o)
{
	struct state state = *object_last(o);

	state.at = h->changes;
	state.seen_gone = false;
	state_add(o, state);
	return object_last(o);
}

void history_refused(struct history *h, struct object *o)
{
	assert(o->n > 1 && object_last(o)->at == h->changes && o->told < o->n - 1);
	o->n--;
}

void stream_entry_set(struct object *o, uint64_t sequence, const struct blob *value)
{
	if (sequence >= o->entries_room) {
		uint64_t room = sequence + 64;
		o->entries = need(realloc(o->entries, room * sizeof(*o->entries)));
		memset(o->entries + o->entries_room, 0, (room - o->entries_room) * sizeof(*o->entries));
		o->entries_room = room;
	}
	o->entries[sequence] = value;
}

void history_gone(struct history *h, struct object *o)
{
	struct state *state = history_change(h, o);

	state->present = false;
	state->value = NULL;
	state->expires = 0;
	state->seen_gone = true;
}

void history_told(struct object *o, uint32_t index)
{
	assert(index < o->n);
	if (index > o->told)
		o->told = index;
}
