/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/sim_random.h"

const char *const key_names[KEYS] = {"a/0", "a/1", "a/2", "a/3", "b/0", "b/1", "b/2", "b/3"};
const char *const stream_names[STREAMS] = {"s0", "s1"};

uint32_t value_length(uint16_t id)
{
	static const uint32_t shapes[][2] = {{8, 64}, {65, 700}, {8, 64}, {1500, 5000}};
	struct sim_random r = sim_random(id);
	const uint32_t *shape = shapes[sim_below(&r, 4)];

	return (uint32_t)sim_between(&r, shape[0], shape[1]);
}

void value_fill(uint16_t id, uint8_t *bytes)
{
	struct sim_random r = sim_random(id * 77u);
	char front[9];

	sim_fill(&r, bytes, value_length(id));
	snprintf(front, sizeof(front), "%08u", id);
	memcpy(bytes, front, 8);
}

uint16_t value_id(const uint8_t *bytes, size_t n)
{
	char front[9] = {0};

	if (n < 8)
		return 0;
	memcpy(front, bytes, 8);
	unsigned long id = strtoul(front, NULL, 10);
	return id < IDS_MAX ? (uint16_t)id : 0;
}

/* ------------------------------------------------------------------ the model */

struct model_key {
	uint16_t id; /* 0: absent */
	uint64_t expires, highest;
};

struct model_stream {
	uint32_t first, next; /* 0: there is none */
	uint16_t ids[ENTRIES_MAX];
};

struct model_retry {
	bool done;
	bool existed[PARTS_MAX];
	uint32_t sequence[PARTS_MAX];
};

struct model {
	uint64_t now;
	struct model_key keys[KEYS];
	struct model_stream streams[STREAMS];
	struct model_retry retries[RETRIES_MAX + 1];
};

static bool there(const struct model *m, uint32_t key)
{
	const struct model_key *k = &m->keys[key];

	return k->id && !(k->expires && k->expires <= m->now);
}

static bool condition_holds(const struct model *m, const struct ask_part *p)
{
	bool is = p->type != ASK_APPEND && there(m, p->name);

	switch (p->condition) {
	case COND_PRESENT:
		return is;
	case COND_ABSENT:
		return !is;
	case COND_VERSION:
		return is && m->keys[p->name].id == p->expected;
	case COND_NOT_VERSION:
		return !is || m->keys[p->name].id != p->expected;
	case COND_NEXT:
		return (m->streams[p->name].next ? m->streams[p->name].next : 1) == p->expected;
	}
	return true;
}

/* Versions of a key only grow; those that nobody was told are not known. */
static bool put(struct model *m, const struct http_history *h, const struct ask_part *p)
{
	struct model_key *k = &m->keys[p->name];
	uint64_t version = h->version[p->id];

	if (version && version <= k->highest)
		return false;
	k->highest = version ? version : k->highest;
	k->id = p->id;
	k->expires = p->ttl ? m->now + p->ttl * 1000u : 0;
	return true;
}

static uint32_t append(struct model *m, const struct ask_part *p)
{
	struct model_stream *s = &m->streams[p->name];

	if (!s->next)
		s->first = s->next = 1;
	if (s->next >= ENTRIES_MAX)
		return 0;
	s->ids[s->next] = p->id;
	return s->next++;
}

/* Do it. What is told of it (if it was answered) must be what comes of it. */
static bool change(struct model *m, const struct http_history *h, const struct ask_part *p, bool told,
		   struct model_retry *made, uint32_t i)
{
	bool existed = p->type != ASK_APPEND && there(m, p->name);
	uint32_t sequence = 0;

	if (p->type == ASK_PUT && !put(m, h, p))
		return false;
	if (p->type == ASK_DELETE)
		m->keys[p->name].id = 0;
	if (p->type == ASK_APPEND && !(sequence = append(m, p)))
		return false;
	if (made) {
		made->existed[i] = existed;
		made->sequence[i] = sequence;
	}
	return !told || (p->type == ASK_APPEND ? p->sequence == sequence : p->existed == existed);
}

static bool is_repeated(const struct model_retry *t, const struct ask *o)
{
	if (!o->repeated)
		return false;
	for (uint32_t i = 0; i < o->n; i++) {
		const struct ask_part *p = &o->part[i];

		if (p->type == ASK_APPEND ? p->sequence != t->sequence[i] : p->existed != t->existed[i])
			return false;
	}
	return true;
}

static bool refused_for_room(const struct ask *o)
{
	return o->status == 507 || o->status == 503;
}

/* PUT, DELETE, POST to a stream, POST to /batch. */
static bool step_change(struct model *m, const struct http_history *h, const struct ask *o)
{
	struct model_retry *made = o->retry ? &m->retries[o->retry] : NULL;
	bool fails = false;

	if (refused_for_room(o))
		return true;
	if (made && made->done)
		return o->open || is_repeated(made, o);
	if (o->repeated)
		return false;
	for (uint32_t i = 0; i < o->n; i++) {
		bool holds = condition_holds(m, &o->part[i]);

		if (o->kind == ASK_BATCH && o->status == 412 && o->part[i].failed == holds)
			return false;
		fails |= !holds;
	}
	if (o->kind == ASK_DELETE && !there(m, o->part[0].name))
		return o->open || o->status == 404;
	if (fails || o->status == 412)
		return o->open ||
		       (fails && o->status == 412 &&
			(o->kind != ASK_APPEND ||
			 o->next ==
			     (m->streams[o->part[0].name].next ? m->streams[o->part[0].name].next : 1)));
	if (o->status == 404)
		return false;
	for (uint32_t i = 0; i < o->n; i++)
		if (!change(m, h, &o->part[i], !o->open, made, i))
			return false;
	if (made)
		made->done = true;
	return true;
}

static bool same_piece(uint16_t id, const struct ask *o)
{
	uint8_t bytes[5000];
	uint32_t length = value_length(id);

	value_fill(id, bytes);
	if (o->from >= length)
		return o->status == 416;
	uint32_t n = length - o->from < o->piece ? length - o->from : o->piece;
	return o->status == 206 && o->length == n && !memcmp(o->bytes, bytes + o->from, n);
}

/* The value of the key that has this version; 0: not known. */
static uint16_t whose(const struct http_history *h, uint64_t version, uint32_t key)
{
	for (uint16_t i = 1; i <= h->ids; i++)
		if (h->version[i] == version && h->key_of[i] == key)
			return i;
	return 0;
}

/* The version is another value's. */
static bool is_of_another(const struct http_history *h, uint64_t version, uint32_t key, uint16_t id)
{
	uint16_t of = whose(h, version, key);

	return of && of != id;
}

static bool step_get(const struct model *m, const struct http_history *h, const struct ask *o)
{
	const struct ask_part *p = &o->part[0];
	const struct model_key *k = &m->keys[p->name];

	if (!there(m, p->name))
		return o->status == 404;
	if (o->version && (h->version[k->id] ? h->version[k->id] != o->version
					     : is_of_another(h, o->version, p->name, k->id)))
		return false;
	if (!condition_holds(m, p))
		return o->status == (p->condition == COND_VERSION ? 412 : 304);
	if (o->piece)
		return same_piece(k->id, o);
	return o->status == 200 && (o->head ? o->length == value_length(k->id) : o->id == k->id);
}

static bool step_entry(const struct model *m, const struct ask *o)
{
	const struct model_stream *s = &m->streams[o->part[0].name];

	if (!s->next || o->from < s->first || o->from >= s->next)
		return o->status == 404;
	return o->status == 200 && o->id == s->ids[o->from];
}

/* Entries that a trim takes while the reply leaves are left out. */
static bool trimmed_meanwhile(const struct http_history *h, const struct ask *o, uint32_t until)
{
	for (int32_t i = 0; i < h->n; i++) {
		const struct ask *t = &h->asks[i];

		if (t->kind == ASK_TRIM && t->part[0].name == o->part[0].name && t->from >= until &&
		    t->begins < o->ends && t->ends > o->begins)
			return true;
	}
	return false;
}

static bool step_entries(const struct model *m, const struct http_history *h, const struct ask *o)
{
	const struct model_stream *s = &m->streams[o->part[0].name];
	uint32_t first = s->next ? s->first : 1, next = s->next ? s->next : 1;
	uint32_t at = o->from > first ? o->from : first, end = at;

	if (!s->next && !o->follows)
		return o->status == 404;
	if (o->status != 200 || o->first != first || o->next != next)
		return false;
	if (at < next)
		end = o->limited && o->limit < next - at ? at + o->limit : next;
	if (o->head)
		return true;
	uint32_t begin = o->count ? o->first_seen : end;
	if (begin + o->count != end || begin < at || (begin > at && !trimmed_meanwhile(h, o, begin)))
		return false;
	for (uint32_t i = 0; i < o->count; i++)
		if (o->ids[i] != s->ids[begin + i])
			return false;
	return true;
}

static bool step_trim(struct model *m, const struct ask *o)
{
	struct model_stream *s = &m->streams[o->part[0].name];

	if (!s->next)
		return o->open || o->status == 404;
	uint32_t to = o->from < s->next ? o->from : s->next;
	if (to > s->first)
		s->first = to;
	return o->open || o->status == 204;
}

static bool has_prefix(const struct ask *o, uint32_t key)
{
	return o->prefix < 0 || key_names[key][0] == 'a' + o->prefix;
}

static bool step_keys(const struct model *m, const struct http_history *h, const struct ask *o)
{
	uint32_t n = 0, limit = o->limited ? o->limit : 1000;

	for (uint32_t i = 0; i < KEYS && n < limit; i++) {
		uint16_t id = m->keys[i].id;

		if (!has_prefix(o, i) || (int)i <= o->after || !there(m, i))
			continue;
		if (n >= o->count || o->listed[n] != i || o->lengths[n] != value_length(id))
			return false;
		if (h->version[id] ? o->versions[n] != h->version[id] : is_of_another(h, o->versions[n], i, id))
			return false;
		n++;
	}
	return n == o->count && o->more == (n == limit);
}

static bool step_streams(const struct model *m, const struct ask *o)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < STREAMS; i++) {
		if (!m->streams[i].next)
			continue;
		if (n >= o->count || o->listed[n] != i || o->lengths[n] != m->streams[i].first ||
		    o->versions[n] != m->streams[i].next)
			return false;
		n++;
	}
	return n == o->count;
}

/* `most`: of an unanswered one, how many keys it got as far as; 0: there was none. */
static bool step_delete_prefix(struct model *m, const struct ask *o, uint32_t most)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < KEYS && n <= most; i++) {
		if (!has_prefix(o, i) || !there(m, i))
			continue;
		if (n == most)
			return most > 0;
		m->keys[i].id = 0;
		n++;
	}
	return o->open ? n == most : o->status == 200 && o->count == n;
}

static bool step(struct model *m, const struct http_history *h, const struct ask *o, uint32_t variant)
{
	if (!o->open && refused_for_room(o))
		return true;
	switch ((enum ask_kind)o->kind) {
	case ASK_PUT:
	case ASK_DELETE:
	case ASK_APPEND:
	case ASK_BATCH:
		return step_change(m, h, o);
	case ASK_GET:
		return o->open || step_get(m, h, o);
	case ASK_ENTRY:
		return o->open || step_entry(m, o);
	case ASK_ENTRIES:
		return o->open || step_entries(m, h, o);
	case ASK_TRIM:
		return step_trim(m, o);
	case ASK_KEYS:
		return o->open || step_keys(m, h, o);
	case ASK_STREAMS:
		return o->open || step_streams(m, o);
	case ASK_DELETE_PREFIX:
		return step_delete_prefix(m, o, o->open ? variant : KEYS);
	case ASK_TIME:
		m->now = o->now;
		return true;
	case ASK_KINDS:
		break;
	}
	return false;
}

/* ------------------------------------------------------------------ the search */

#define SEEN_BITS 18
#define STEPS_MAX 3000000

struct search {
	const struct http_history *h;
	bool done[ASKS_MAX];
	bool was[ASKS_MAX]; /* without an answer, but somebody saw what it did */
	uint64_t *seen;     /* configurations that lead nowhere, by hash */
	uint16_t shown[IDS_MAX];               /* answers that are not placed and show this value of a key */
	uint16_t entry[STREAMS][ENTRIES_MAX]; /* values that some answer shows there */
	uint32_t steps;
	int32_t deepest, stuck; /* how far it came; the answer that could not be explained there */
};

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	while (n--)
		hash = (hash ^ *p++) * 1099511628211u;
	return hash;
}

static uint64_t configuration(const struct search *s, const struct model *m, int32_t low)
{
	uint64_t hash = mix(1469598103934665603u, m, sizeof(*m));

	hash = mix(hash, &low, sizeof(low));
	hash = mix(hash, s->done + low, (size_t)(s->h->n - low) * sizeof(*s->done));
	return hash ? hash : 1;
}

static bool seen(struct search *s, uint64_t hash)
{
	uint64_t *slot = &s->seen[hash & ((1u << SEEN_BITS) - 1)];

	if (*slot == hash)
		return true;
	*slot = hash;
	return false;
}

/* Of those that are not placed, the one that ends first bounds what may come next. */
static int32_t ends_first(const struct search *s, int32_t low)
{
	int32_t first = -1;

	for (int32_t i = low; i < s->h->n; i++) {
		const struct ask *o = &s->h->asks[i];

		if (first >= 0 && o->begins >= s->h->asks[first].ends)
			break; /* they stand in the order in which they begin */
		if (!s->done[i] && (first < 0 || o->ends < s->h->asks[first].ends))
			first = i;
	}
	return first;
}

/* An answer is placed (less by one), or is not any more: the values that it shows. */
static void count_shown(struct search *s, const struct ask *o, int more)
{
	if (o->open)
		return;
	if (o->kind == ASK_GET)
		s->shown[o->id] = (uint16_t)(s->shown[o->id] + more);
	for (uint32_t i = 0; o->kind == ASK_KEYS && i < o->count; i++) {
		uint16_t *n = &s->shown[whose(s->h, o->versions[i], o->listed[i])];
		*n = (uint16_t)(*n + more);
	}
}

/* Each value is written once. One that is gone, or an entry that is another one, cannot be shown later on. */
static bool hopeless(const struct search *s, const struct model *before, const struct model *m)
{
	for (uint32_t i = 0; i < KEYS; i++) {
		uint16_t id = before->keys[i].id;

		if (id && id != m->keys[i].id && s->shown[id])
			return true;
	}
	for (uint32_t i = 0; i < STREAMS; i++) {
		const struct model_stream *t = &m->streams[i];

		for (uint32_t n = before->streams[i].next ? before->streams[i].next : 1; n < t->next; n++)
			if (s->entry[i][n] && s->entry[i][n] != t->ids[n])
				return true;
	}
	return false;
}

static bool explain(struct search *s, const struct model *m, int32_t low, int32_t depth);

static bool place(struct search *s, const struct model *m, int32_t low, int32_t depth, int32_t i,
		  uint32_t variant)
{
	struct model next = *m;

	if (!step(&next, s->h, &s->h->asks[i], variant))
		return false;
	s->done[i] = true;
	count_shown(s, &s->h->asks[i], -1);
	bool found = !hopeless(s, m, &next) && explain(s, &next, low, depth + 1);
	count_shown(s, &s->h->asks[i], 1);
	s->done[i] = false;
	return found;
}

static bool may_come(const struct search *s, int32_t i, int32_t end)
{
	const struct ask *o = &s->h->asks[i];

	return !s->done[i] && o->begins < end && (o->before < 0 || s->done[o->before]);
}

static bool changes(const struct ask *o)
{
	return o->kind <= ASK_DELETE || o->kind == ASK_APPEND || o->kind == ASK_TRIM ||
	       o->kind == ASK_DELETE_PREFIX || o->kind == ASK_BATCH;
}

/* One that changes nothing, wherever it stands, and fits now can as well come now: that rules out no other
 * order. (A trim that finds nothing to trim here may find something later.) */
static int32_t comes_now(const struct search *s, const struct model *m, int32_t low, int32_t end)
{
	struct model next;

	for (int32_t i = low; i < s->h->n && s->h->asks[i].begins < end; i++) {
		const struct ask *o = &s->h->asks[i];

		if (!may_come(s, i, end) || (o->open && changes(o)) ||
		    (o->kind == ASK_TRIM && o->status == 204))
			continue;
		next = *m;
		if (step(&next, s->h, &s->h->asks[i], 0) && !memcmp(&next, m, sizeof(next)))
			return i;
	}
	return -1;
}

/* What ends without an answer may never have been, and then what was behind it on its connection has not been
 * either. */
static bool explain_without(struct search *s, const struct model *m, int32_t low, int32_t depth, int32_t i)
{
	bool without[ASKS_MAX] = {false};

	for (int32_t j = i; j < s->h->n; j++) {
		const struct ask *o = &s->h->asks[j];

		without[j] = !s->done[j] && (j == i || (o->before >= i && without[o->before]));
		s->done[j] |= without[j];
	}
	bool found = explain(s, m, low, depth);
	for (int32_t j = i; j < s->h->n; j++)
		s->done[j] &= !without[j];
	return found;
}

static bool explain(struct search *s, const struct model *m, int32_t low, int32_t depth)
{
	const struct http_history *h = s->h;

	while (low < h->n && s->done[low])
		low++;
	if (low == h->n)
		return true;
	if (++s->steps > STEPS_MAX || seen(s, configuration(s, m, low)))
		return false;
	int32_t bound = ends_first(s, low), end = h->asks[bound].ends;
	if (depth > s->deepest) {
		s->deepest = depth;
		s->stuck = bound;
	}
	int32_t now = comes_now(s, m, low, end);
	if (now >= 0) {
		s->done[now] = true;
		count_shown(s, &h->asks[now], -1);
		bool found = explain(s, m, low, depth + 1);
		count_shown(s, &h->asks[now], 1);
		s->done[now] = false;
		return found;
	}
	if (h->asks[bound].open && !s->was[bound] && explain_without(s, m, low, depth, bound))
		return true;
	for (int pass = 0; pass < 2; pass++) { /* answered ones first */
		for (int32_t i = low; i < h->n && h->asks[i].begins < end; i++) {
			const struct ask *o = &h->asks[i];

			if (o->open != pass || !may_come(s, i, end))
				continue;
			uint32_t variants = o->open && o->kind == ASK_DELETE_PREFIX ? KEYS : 1;
			for (uint32_t v = variants + 1; v--;)
				if ((v || variants > 1) && place(s, m, low, depth, i, v))
					return true;
		}
	}
	return false;
}

/* Values that were read were written, and what stands before them on the connection was done as well. */
static void find_seen(struct search *s)
{
	const struct http_history *h = s->h;
	bool *read = calloc(IDS_MAX, sizeof(*read));

	if (!read)
		abort();
	for (int32_t i = 0; i < h->n; i++) {
		const struct ask *o = &h->asks[i];

		read[o->id] = true;
		for (uint32_t j = 0; o->kind == ASK_ENTRIES && j < o->count; j++)
			read[o->ids[j]] = true;
	}
	for (int32_t i = h->n - 1; i >= 0; i--) {
		const struct ask *o = &h->asks[i];

		for (uint32_t j = 0; o->open && !o->retry && j < o->n; j++)
			s->was[i] |= o->part[j].id && read[o->part[j].id];
		if (s->was[i] && o->before >= 0)
			s->was[o->before] = true;
	}
	free(read);
}

static void find_shown(struct search *s)
{
	for (int32_t i = 0; i < s->h->n; i++) {
		const struct ask *o = &s->h->asks[i];

		count_shown(s, o, 1);
		if (o->kind == ASK_ENTRY && o->id)
			s->entry[o->part[0].name][o->from] = o->id;
		for (uint32_t j = 0; o->kind == ASK_ENTRIES && j < o->count; j++)
			s->entry[o->part[0].name][o->first_seen + j] = o->ids[j];
		for (uint32_t j = 0; j < o->n; j++)
			if (o->part[j].type == ASK_APPEND && o->part[j].sequence)
				s->entry[o->part[j].name][o->part[j].sequence] = o->part[j].id;
	}
}

const char *http_history_explain(const struct http_history *h, char *why, size_t room)
{
	struct search s = {.h = h, .stuck = -1};
	struct model *m = calloc(1, sizeof(*m));
	char text[300];

	s.seen = calloc(1u << SEEN_BITS, sizeof(*s.seen));
	if (!m || !s.seen)
		abort();
	find_seen(&s);
	find_shown(&s);
	bool found = explain(&s, m, 0, 0);
	free(m);
	free(s.seen);
	if (found)
		return NULL;
	if (s.steps > STEPS_MAX)
		snprintf(
		    why, room,
		    "no order of the answers was found in %u steps; it came as far as number %d of %d: %s",
		    s.steps, s.stuck, h->n, ask_text(&h->asks[s.stuck], text, sizeof(text)));
	else
		snprintf(why, room,
			 "no order explains the answers; it fails at the latest with number %d of %d: %s",
			 s.stuck, h->n, ask_text(&h->asks[s.stuck], text, sizeof(text)));
	return why;
}

/* ------------------------------------------------------------------ words */

static size_t part_text(const struct ask_part *p, char *text, size_t room)
{
	static const char *const conditions[] = {
	    "", " if there", " if absent", " if version of", " if not version of", " if next is"};
	const char *verb = p->type == ASK_PUT      ? "put"
			   : p->type == ASK_DELETE ? "delete"
			   : p->type == ASK_APPEND ? "append"
						   : "";
	int n = snprintf(text, room, " %s %s", verb,
			 p->type == ASK_APPEND ? stream_names[p->name] : key_names[p->name]);

	if (p->id)
		n += snprintf(text + n, room - (size_t)n, " value %u", p->id);
	if (p->ttl)
		n += snprintf(text + n, room - (size_t)n, " for %u s", p->ttl);
	if (p->condition)
		n += snprintf(text + n, room - (size_t)n, "%s %u", conditions[p->condition], p->expected);
	if (p->sequence)
		n += snprintf(text + n, room - (size_t)n, " (got %u)", p->sequence);
	return (size_t)n;
}

const char *ask_text(const struct ask *o, char *text, size_t room)
{
	static const char *const names[] = {"PUT",          "DELETE",        "GET",   "APPEND",
					    "ENTRY",        "ENTRIES",       "TRIM",  "LIST KEYS",
					    "LIST STREAMS", "DELETE PREFIX", "BATCH", "TIME"};
	size_t n = (size_t)snprintf(text, room, "client %u, %d..%d: %s", o->client, o->begins, o->ends,
				    names[o->kind]);

	for (uint32_t i = 0; i < o->n && n + 100 < room; i++)
		n += part_text(&o->part[i], text + n, room - n);
	if (n + 120 < room)
		snprintf(text + n, room - n,
			 "%s, prefix %d, from %u, limit %u, retry key %u: %s %d%s, value %u, entries %u..%u, count %u",
			 o->head ? " (head)" : "", o->prefix, o->from, o->limit, o->retry,
			 o->open ? "no reply" : "status", o->status, o->repeated ? " repeated" : "", o->id,
			 o->first, o->next, o->count);
	return text;
}
