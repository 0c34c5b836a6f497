/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_store.h"

#include "fake_region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fake_item {
	struct fake_item *next;
	bool is_entry, gone;
	uint8_t name[PASTE_KEY_MAX];
	size_t name_length;
	uint64_t sequence; /* of an entry */
	uint64_t version, round, length, expires;
	struct paste_ref *slices; /* each live in the region */
	uint32_t n;
};

struct paste_store {
	struct paste_region *region;
	struct fake_item *items;
	uint64_t open, committed, durable, versions, time;
	bool changed, hold, look_on;
	int broken, refuse_changes, refuse_reads, refuse_entries, refuse_bodies;
	uint32_t inline_max;
	uint64_t value_max;
	void *given; /* to the last caller */
	size_t given_bytes;
	struct paste_store_stats stats;
};

struct paste_store *fake_store_new(struct paste_region *region)
{
	struct paste_store *s = calloc(1, sizeof(*s));

	s->region = region;
	s->open = 1;
	s->inline_max = 64;
	s->value_max = 1 << 30;
	return s;
}

static void take_back_given(struct paste_store *s)
{
	if (s->given)
		memset(s->given, 0xee, s->given_bytes);
	free(s->given);
	s->given = NULL;
}

static void *give(struct paste_store *s, size_t bytes)
{
	take_back_given(s);
	s->given_bytes = bytes;
	s->given = malloc(bytes ? bytes : 1);
	return s->given;
}

static void clear(struct paste_store *s, struct fake_item *item)
{
	for (uint32_t i = 0; i < item->n; i++)
		fake_region_release(s->region, item->slices[i]);
	free(item->slices);
	item->slices = NULL;
	item->n = 0;
	item->length = 0;
}

void fake_store_free(struct paste_store *s)
{
	take_back_given(s);
	while (s->items) {
		struct fake_item *item = s->items;

		s->items = item->next;
		clear(s, item);
		free(item);
	}
	free(s);
}

void fake_store_hold_rounds(struct paste_store *s, bool hold)
{
	s->hold = hold;
	if (!hold)
		s->durable = s->committed;
}

void fake_store_make_durable(struct paste_store *s, uint64_t round)
{
	s->durable = round < s->committed ? round : s->committed;
}

uint64_t fake_store_committed(const struct paste_store *s)
{
	return s->committed;
}

void fake_store_break(struct paste_store *s, int error)
{
	s->broken = error;
}

void fake_store_refuse_changes(struct paste_store *s, int error)
{
	s->refuse_changes = error;
}

void fake_store_refuse_reads(struct paste_store *s, int error)
{
	s->refuse_reads = error;
}

void fake_store_refuse_entries(struct paste_store *s, int error)
{
	s->refuse_entries = error;
}

void fake_store_refuse_bodies(struct paste_store *s, int error)
{
	s->refuse_bodies = error;
}

void fake_store_look_on(struct paste_store *s, bool look_on)
{
	s->look_on = look_on;
}

void fake_store_set_inline(struct paste_store *s, uint32_t bytes)
{
	s->inline_max = bytes;
}

void fake_store_set_value_max(struct paste_store *s, uint64_t bytes)
{
	s->value_max = bytes;
}

struct paste_region *paste_store_region(struct paste_store *s)
{
	return s->region;
}

static struct fake_item *find(struct paste_store *s, bool is_entry, const void *name, size_t length,
			      uint64_t sequence)
{
	for (struct fake_item *i = s->items; i; i = i->next)
		if (i->is_entry == is_entry && i->name_length == length && !memcmp(i->name, name, length) &&
		    i->sequence == sequence)
			return i;
	return NULL;
}

static struct fake_item *add(struct paste_store *s, bool is_entry, const void *name, size_t length,
			     uint64_t sequence)
{
	struct fake_item *i = calloc(1, sizeof(*i));

	i->is_entry = is_entry;
	memcpy(i->name, name, length);
	i->name_length = length;
	i->sequence = sequence;
	i->gone = true;
	i->next = s->items;
	s->items = i;
	return i;
}

static int may_change(struct paste_store *s, size_t name_length)
{
	take_back_given(s);
	if (s->broken)
		return s->broken;
	if (!name_length || name_length > PASTE_KEY_MAX)
		return -EINVAL;
	return s->refuse_changes;
}

static void change(struct paste_store *s, struct fake_item *item, const struct paste_ref *slices, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		fake_region_keep(s->region, slices[i]);
	clear(s, item);
	item->slices = calloc(n ? n : 1, sizeof(*slices));
	item->n = n;
	for (uint32_t i = 0; i < n; i++) {
		item->slices[i] = slices[i];
		item->length += slices[i].length;
	}
	item->gone = false;
	item->expires = 0;
	item->version = ++s->versions;
	item->round = s->open;
	s->changed = true;
}

int paste_store_put(struct paste_store *s, const void *key, size_t key_length, const struct paste_ref *slices,
		    uint32_t n, struct paste_result *result)
{
	int rc = may_change(s, key_length);

	if (rc)
		return rc;
	struct fake_item *item = find(s, false, key, key_length, 0);
	if (!item)
		item = add(s, false, key, key_length, 0);
	result->existed = !item->gone;
	change(s, item, slices, n);
	result->round = s->open;
	result->version = item->version;
	s->stats.puts++;
	return 0;
}

int paste_store_delete(struct paste_store *s, const void *key, size_t key_length, struct paste_result *result)
{
	int rc = may_change(s, key_length);

	if (rc)
		return rc;
	struct fake_item *item = find(s, false, key, key_length, 0);
	result->existed = item && !item->gone;
	result->round = item && item->round > s->durable ? item->round : 0;
	if (!result->existed)
		return 0;
	clear(s, item);
	item->gone = true;
	item->round = s->open;
	s->changed = true;
	result->round = s->open;
	return 0;
}

int paste_store_append(struct paste_store *s, const void *name, size_t name_length,
		       const struct paste_ref *slices, uint32_t n, struct paste_result *result)
{
	int rc = may_change(s, name_length);
	uint64_t sequence = 1;

	if (rc)
		return rc;
	while (find(s, true, name, name_length, sequence))
		sequence++;
	change(s, add(s, true, name, name_length, sequence), slices, n);
	result->round = s->open;
	result->version = sequence;
	result->existed = sequence > 1;
	return 0;
}

static int look_up(struct paste_store *s, struct fake_item *item, struct paste_value *value)
{
	take_back_given(s);
	*value = (struct paste_value){.round = item && item->round > s->durable ? item->round : 0};
	if (s->refuse_reads)
		return s->refuse_reads;
	if (!item || item->gone)
		return -ENOENT;
	value->version = item->version;
	value->expires = item->expires;
	value->length = item->length;
	if (item->length <= s->inline_max && s->inline_max) {
		uint8_t *at = give(s, item->length);

		value->bytes = at;
		for (uint32_t i = 0; i < item->n; i++) {
			memcpy(at, paste_ref_data(s->region, item->slices[i]), item->slices[i].length);
			at += item->slices[i].length;
		}
		return 0;
	}
	struct paste_ref *slices = give(s, item->n * sizeof(*slices));
	for (uint32_t i = 0; i < item->n; i++) {
		slices[i] = item->slices[i];
		paste_ref_get(s->region, slices[i]);
	}
	value->slices = slices;
	value->n = item->n;
	return 0;
}

int paste_store_get(struct paste_store *s, const void *key, size_t key_length, struct paste_value *value)
{
	return look_up(s, find(s, false, key, key_length, 0), value);
}

int paste_store_read(struct paste_store *s, const void *name, size_t name_length, uint64_t sequence,
		     struct paste_value *value)
{
	if (s->refuse_entries)
		return s->refuse_entries;
	return look_up(s, find(s, true, name, name_length, sequence), value);
}

static int order(const void *a, size_t a_length, const void *b, size_t b_length)
{
	int rc = memcmp(a, b, a_length < b_length ? a_length : b_length);

	return rc ? rc : (a_length > b_length) - (a_length < b_length);
}

static uint64_t pending(const struct paste_store *s, const struct fake_item *i)
{
	return i->round > s->durable ? i->round : 0;
}

/* The first of them that begins with the prefix and is greater than `after`; absent ones, too. */
static struct fake_item *next_item(struct paste_store *s, bool entries, const void *prefix,
				   size_t prefix_length, const void *after, size_t after_length)
{
	struct fake_item *found = NULL;

	for (struct fake_item *i = s->items; i; i = i->next) {
		if (i->is_entry != entries || i->name_length < prefix_length ||
		    memcmp(i->name, prefix, prefix_length))
			continue;
		if (after && order(i->name, i->name_length, after, after_length) <= 0)
			continue;
		if (!found || order(i->name, i->name_length, found->name, found->name_length) < 0)
			found = i;
	}
	return found;
}

static void list(struct paste_store *s, const struct fake_item *i, struct paste_listed *item)
{
	uint8_t *name = give(s, i->name_length);

	memcpy(name, i->name, i->name_length);
	item->name = name;
	item->name_length = i->name_length;
	item->version = i->version;
	item->length = i->length;
	item->expires = i->expires;
	if (pending(s, i) > item->round)
		item->round = pending(s, i);
}

int paste_store_list(struct paste_store *s, const void *prefix, size_t prefix_length, const void *after,
		     size_t after_length, struct paste_listed *item)
{
	uint8_t from[PASTE_KEY_MAX];
	struct fake_item *i;

	*item = (struct paste_listed){0};
	if (after)
		memcpy(from, after, after_length); /* it may be what was given last */
	take_back_given(s);
	if (s->refuse_reads)
		return s->refuse_reads;
	while ((i = next_item(s, false, prefix, prefix_length, after ? from : NULL, after_length))) {
		list(s, i, item);
		if (!i->gone)
			return 0;
		if (s->look_on)
			return -EAGAIN;
		after = from;
		after_length = i->name_length;
		memcpy(from, i->name, after_length);
	}
	return -ENOENT;
}

int paste_store_stream(struct paste_store *s, const void *name, size_t name_length, uint64_t *first,
		       uint64_t *next, uint64_t *round)
{
	uint64_t end = 1, begin = 1;

	take_back_given(s);
	*round = 0;
	if (s->refuse_reads)
		return s->refuse_reads;
	for (struct fake_item *i; (i = find(s, true, name, name_length, end)); end++) {
		if (i->gone)
			begin = end + 1;
		if (pending(s, i) > *round)
			*round = pending(s, i);
	}
	*first = begin;
	*next = end;
	return end > 1 ? 0 : -ENOENT;
}

int paste_store_list_streams(struct paste_store *s, const void *prefix, size_t prefix_length,
			     const void *after, size_t after_length, struct paste_listed *item)
{
	uint8_t from[PASTE_KEY_MAX];

	*item = (struct paste_listed){0};
	if (after)
		memcpy(from, after, after_length);
	take_back_given(s);
	struct fake_item *i = next_item(s, true, prefix, prefix_length, after ? from : NULL, after_length);
	if (!i)
		return -ENOENT;
	uint64_t round;
	paste_store_stream(s, i->name, i->name_length, &item->first, &item->next, &round);
	list(s, i, item);
	item->round = round;
	return 0;
}

int paste_store_look(struct paste_store *s, const void *key, size_t key_length, struct paste_listed *item)
{
	struct fake_item *i = find(s, false, key, key_length, 0);

	take_back_given(s);
	*item = (struct paste_listed){0};
	if (s->refuse_reads)
		return s->refuse_reads;
	if (!i)
		return -ENOENT;
	list(s, i, item);
	return i->gone ? -ENOENT : 0;
}

int paste_store_delete_prefix(struct paste_store *s, const void *prefix, size_t prefix_length, uint32_t most,
			      struct paste_delete_prefix *d)
{
	struct paste_listed item;
	struct paste_result result;

	for (uint32_t n = 0; n < most; n++) {
		int rc = paste_store_list(s, prefix, prefix_length, d->at_length ? d->at : NULL, d->at_length,
					  &item);

		if (item.round > d->round)
			d->round = item.round;
		if (rc == -ENOENT)
			return 0;
		if (rc)
			return rc;
		memcpy(d->at, item.name, item.name_length);
		d->at_length = (uint16_t)item.name_length;
		rc = paste_store_delete(s, d->at, d->at_length, &result);
		if (rc)
			return rc;
		d->deleted++;
		d->round = result.round;
	}
	return 1;
}

int paste_store_trim(struct paste_store *s, const void *name, size_t name_length, uint64_t before,
		     struct paste_result *result)
{
	int rc = may_change(s, name_length);
	struct fake_item *i;

	*result = (struct paste_result){0};
	if (rc)
		return rc;
	for (uint64_t sequence = 1; (i = find(s, true, name, name_length, sequence)); sequence++) {
		result->existed = true;
		if (pending(s, i) > result->round)
			result->round = pending(s, i);
		if (sequence >= before || i->gone)
			continue;
		clear(s, i);
		i->gone = true;
		i->round = result->round = s->open;
		s->changed = true;
	}
	return result->existed ? 0 : -ENOENT;
}

static int judge(struct paste_store *s, const struct paste_change *c, struct paste_result *result)
{
	struct paste_listed item = {0};
	uint64_t first, next = 1;
	bool there;

	if (c->type == PASTE_APPEND) {
		there = paste_store_stream(s, c->key, c->key_length, &first, &next, &result->round) == 0;
		result->version = next;
	} else {
		there = paste_store_look(s, c->key, c->key_length, &item) == 0;
		result->round = item.round;
		result->version = there ? item.version : 0;
	}
	switch (c->condition) {
	case PASTE_IF_ABSENT:
		return there ? -EEXIST : 0;
	case PASTE_IF_PRESENT:
		return there ? 0 : -ENOENT;
	case PASTE_IF_VERSION:
		return result->version == c->expected     ? 0
		       : there || c->type == PASTE_APPEND ? -ESTALE
							  : -ENOENT;
	case PASTE_IF_NOT_VERSION:
		return there && result->version == c->expected ? -ESTALE : 0;
	default:
		return 0;
	}
}

/* Retry keys are the store's own affair: the fake one forgets them. */
int paste_store_apply(struct paste_store *s, const struct paste_change *changes, uint32_t n,
		      const struct paste_retry *retry, struct paste_result *results)
{
	int rc = n ? may_change(s, changes->key_length) : -EINVAL;

	memset(results, 0, n * sizeof(*results));
	for (uint32_t i = 0; i < n; i++) {
		results[i].error = judge(s, &changes[i], &results[i]);
		if (results[i].error && !rc)
			rc = results[i].error;
	}
	for (uint32_t i = 0; i < n && !rc; i++) {
		const struct paste_change *c = &changes[i];

		if (c->type == PASTE_PUT) {
			rc = paste_store_put(s, c->key, c->key_length, c->slices, c->n, &results[i]);
			find(s, false, c->key, c->key_length, 0)->expires = c->expires;
		} else if (c->type == PASTE_DELETE) {
			rc = paste_store_delete(s, c->key, c->key_length, &results[i]);
		} else {
			rc = paste_store_append(s, c->key, c->key_length, c->slices, c->n, &results[i]);
		}
	}
	return rc;
}

void paste_store_set_time(struct paste_store *s, uint64_t ms)
{
	if (ms > s->time)
		s->time = ms;
}

uint64_t paste_store_time(const struct paste_store *s)
{
	return s->time;
}

uint64_t paste_store_batch_max(const struct paste_store *s)
{
	return 1 << 20;
}

void paste_value_put(struct paste_store *s, const struct paste_value *value)
{
	if (!value->bytes)
		for (uint32_t i = 0; i < value->n; i++)
			paste_ref_put(s->region, value->slices[i]);
}

int64_t paste_store_commit(struct paste_store *s)
{
	take_back_given(s);
	if (s->broken)
		return s->broken;
	if (s->changed) {
		s->changed = false;
		s->committed = s->open++;
		s->stats.rounds++;
		if (!s->hold)
			s->durable = s->committed;
	}
	return (int64_t)s->committed;
}

int64_t paste_store_poll(struct paste_store *s)
{
	return s->broken ? s->broken : (int64_t)s->durable;
}

int paste_store_wait_fd(const struct paste_store *s)
{
	return -1;
}

uint64_t paste_store_value_max(const struct paste_store *s)
{
	return s->value_max;
}

void paste_store_stats(struct paste_store *s, struct paste_store_stats *stats)
{
	*stats = s->stats;
	strcpy(stats->name, "fa\"ke");
	stats->medium = stats->survives = stats->instruction = stats->backing = "none";
	stats->buffers = paste_buffer_count(s->region);
	stats->buffers_free = paste_buffer_free(s->region);
}

const char *paste_copy_cause_name(enum paste_copy_cause cause)
{
	static const char *const names[] = {"tiny", "small", "coalesce", "clean", "read"};

	return names[cause];
}

void paste_body_init(struct paste_body *b)
{
	*b = (struct paste_body){0};
}

int paste_body_add(struct paste_store *s, struct paste_body *b, struct paste_ref slice)
{
	if (s->refuse_bodies) {
		paste_ref_put(s->region, slice);
		return s->refuse_bodies;
	}
	if (b->n == b->room) {
		b->room = b->room ? b->room * 2 : 16;
		b->slices = realloc(b->slices, b->room * sizeof(slice));
	}
	b->slices[b->n++] = slice;
	b->bytes += slice.length;
	return 0;
}

void paste_body_free(struct paste_store *s, struct paste_body *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		paste_ref_put(s->region, b->slices[i]);
	free(b->slices);
	*b = (struct paste_body){0};
}
