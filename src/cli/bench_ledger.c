/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ledger_open(struct ledger *l, bool keep_entries)
{
	*l = (struct ledger){.keep_entries = keep_entries, .write_free = LEDGER_NONE};
}

void ledger_close(struct ledger *l)
{
	free(l->keys);
	free(l->streams);
	free(l->writes);
	free(l->in_flight);
	free(l->entries);
	ledger_open(l, false);
}

/* The next power of two above index, at least 64: how much room an array that must hold index wants. */
static uint64_t room_for(uint64_t index)
{
	uint64_t room = 64;

	while (room <= index)
		room *= 2;
	return room;
}

static int reach_key(struct ledger *l, uint32_t key)
{
	if (key >= l->key_room) {
		uint64_t room = room_for(key);
		struct ledger_key *keys = room > UINT32_MAX ? NULL : realloc(l->keys, room * sizeof(*keys));
		if (!keys)
			return -ENOMEM;
		l->keys = keys;
		l->key_room = (uint32_t)room;
	}
	for (; l->key_count <= key; l->key_count++)
		l->keys[l->key_count] = (struct ledger_key){.undecided = LEDGER_NONE};
	return 0;
}

static int reach_stream(struct ledger *l, uint32_t stream)
{
	if (stream >= l->stream_room) {
		uint64_t room = room_for(stream);
		struct ledger_stream *streams =
		    room > UINT32_MAX ? NULL : realloc(l->streams, room * sizeof(*streams));
		if (!streams)
			return -ENOMEM;
		l->streams = streams;
		l->stream_room = (uint32_t)room;
	}
	for (; l->stream_count <= stream; l->stream_count++)
		l->streams[l->stream_count] = (struct ledger_stream){.undecided = LEDGER_NONE};
	return 0;
}

static int reach_write(struct ledger *l)
{
	if (l->write_free != LEDGER_NONE)
		return 0;
	uint64_t room = room_for(l->write_room);
	struct ledger_write *writes = room > UINT32_MAX ? NULL : realloc(l->writes, room * sizeof(*writes));
	if (!writes)
		return -ENOMEM;
	l->writes = writes;
	for (uint32_t i = (uint32_t)room; i-- > l->write_room;) {
		writes[i] = (struct ledger_write){.older = l->write_free};
		l->write_free = i;
	}
	l->write_room = (uint32_t)room;
	return 0;
}

/* The head of the list of undecided writes that a write belongs to. */
static uint32_t *list_of(struct ledger *l, const struct ledger_write *w)
{
	return w->kind == BENCH_APPEND ? &l->streams[w->target].undecided : &l->keys[w->target].undecided;
}

static void count_undecided(struct ledger *l, const struct ledger_write *w, int by)
{
	l->undecided += (uint64_t)by;
	if (w->kind == BENCH_APPEND)
		l->streams[w->target].undecided_count += (uint32_t)by;
}

static void forget_write(struct ledger *l, uint32_t index)
{
	struct ledger_write *w = &l->writes[index];

	if (w->older != LEDGER_NONE)
		l->writes[w->older].newer = w->newer;
	if (w->newer != LEDGER_NONE)
		l->writes[w->newer].older = w->older;
	else
		*list_of(l, w) = w->older;
	count_undecided(l, w, -1);
	/* request 0 is nobody's: a connection that still points here finds that it is decided. */
	w->request = 0;
	w->older = l->write_free;
	l->write_free = index;
}

static void decide_key(struct ledger *l, uint32_t key, uint64_t request, uint32_t length)
{
	struct ledger_key *k = &l->keys[key];

	k->request = request;
	k->length = length & 0x7fffffff;
	k->told = 1;
	while (k->undecided != LEDGER_NONE)
		forget_write(l, k->undecided);
}

static int decide_entry(struct ledger *l, const struct ledger_entry *e)
{
	struct ledger_stream *s = &l->streams[e->stream];

	if (e->sequence > s->highest)
		s->highest = e->sequence;
	if (!l->keep_entries)
		return 0;
	if (l->entry_count == l->entry_room) {
		uint64_t room = room_for(l->entry_room);
		struct ledger_entry *entries = realloc(l->entries, room * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		l->entries = entries;
		l->entry_room = room;
	}
	l->entries[l->entry_count++] = *e;
	return 0;
}

static int begin_run(struct ledger *l, uint64_t connections)
{
	if (!connections || connections > UINT32_MAX)
		return -EBADMSG;
	uint32_t *in_flight = realloc(l->in_flight, connections * sizeof(*in_flight));
	if (!in_flight)
		return -ENOMEM;
	for (uint64_t i = 0; i < connections; i++)
		in_flight[i] = LEDGER_NONE;
	l->in_flight = in_flight;
	l->connections = (uint32_t)connections;
	return 0;
}

static int issue(struct ledger *l, const struct trace_record *r)
{
	int error = r->kind == BENCH_APPEND ? reach_stream(l, r->target) : reach_key(l, r->target);

	if (!error)
		error = reach_write(l);
	if (error)
		return error;
	if (r->request <= l->last_request || r->value > INT32_MAX)
		return -EBADMSG;
	uint32_t index = l->write_free;
	struct ledger_write *w = &l->writes[index];
	l->write_free = w->older;
	*w = (struct ledger_write){.request = r->request,
				   .length = (uint32_t)r->value,
				   .target = r->target,
				   .kind = r->kind,
				   .newer = LEDGER_NONE};
	uint32_t *list = list_of(l, w);
	w->older = *list;
	if (w->older != LEDGER_NONE)
		l->writes[w->older].newer = index;
	*list = index;
	count_undecided(l, w, 1);
	l->in_flight[r->connection] = index;
	l->last_request = r->request;
	if (w->length > l->longest)
		l->longest = w->length;
	return 0;
}

/* The write that is in flight on the record's connection, taken off it. NULL: it is another one. */
static struct ledger_write *in_flight(struct ledger *l, const struct trace_record *r)
{
	uint32_t index = l->in_flight[r->connection];

	l->in_flight[r->connection] = LEDGER_NONE;
	if (index == LEDGER_NONE)
		return NULL;
	struct ledger_write *w = &l->writes[index];
	return w->request == r->request && w->kind == r->kind && w->target == r->target ? w : NULL;
}

static int acknowledge(struct ledger *l, const struct trace_record *r)
{
	struct ledger_write *w = in_flight(l, r);

	if (!w)
		return -EBADMSG;
	l->acknowledged++;
	if (w->kind == BENCH_APPEND) {
		struct ledger_entry e = {r->value, w->request, w->target, w->length};
		forget_write(l, (uint32_t)(w - l->writes));
		return r->value ? decide_entry(l, &e) : -EBADMSG;
	}
	decide_key(l, w->target, w->kind == BENCH_DELETE ? 0 : w->request, w->length);
	return 0;
}

static int refuse(struct ledger *l, const struct trace_record *r)
{
	struct ledger_write *w = in_flight(l, r);

	if (!w)
		return -EBADMSG;
	forget_write(l, (uint32_t)(w - l->writes));
	return 0;
}

static uint32_t find_write(const struct ledger *l, uint32_t newest, uint64_t request)
{
	while (newest != LEDGER_NONE && l->writes[newest].request != request)
		newest = l->writes[newest].older;
	return newest;
}

static int see(struct ledger *l, const struct trace_record *r)
{
	if (r->kind == BENCH_APPEND) {
		if (r->target >= l->stream_count)
			return -EBADMSG;
		uint32_t index = find_write(l, l->streams[r->target].undecided, r->request);
		if (index == LEDGER_NONE)
			return -EBADMSG;
		struct ledger_entry e = {r->value, r->request, r->target, l->writes[index].length};
		forget_write(l, index);
		return r->value ? decide_entry(l, &e) : 0;
	}
	if (r->target >= l->key_count)
		return -EBADMSG;
	const struct ledger_key *k = &l->keys[r->target];
	if (!r->request || r->request == k->request) {
		decide_key(l, r->target, r->request, k->length);
		return 0;
	}
	uint32_t index = find_write(l, k->undecided, r->request);
	if (index == LEDGER_NONE)
		return -EBADMSG;
	decide_key(l, r->target, r->request, l->writes[index].length);
	return 0;
}

int ledger_replay(void *ledger, const struct trace_record *r)
{
	struct ledger *l = ledger;

	if (r->type == TRACE_RUN)
		return begin_run(l, r->value);
	if (r->kind >= BENCH_KINDS || r->kind == BENCH_GET)
		return -EBADMSG;
	if (r->type == TRACE_SEEN)
		return see(l, r);
	if (r->connection >= l->connections)
		return -EBADMSG;
	switch (r->type) {
	case TRACE_ISSUED:
		return issue(l, r);
	case TRACE_ACKED:
		return acknowledge(l, r);
	case TRACE_REFUSED:
		return refuse(l, r);
	default:
		return -EBADMSG;
	}
}

struct ledger_key ledger_key(const struct ledger *l, uint32_t key)
{
	return key < l->key_count ? l->keys[key] : (struct ledger_key){.undecided = LEDGER_NONE};
}

struct ledger_stream ledger_stream(const struct ledger *l, uint32_t stream)
{
	return stream < l->stream_count ? l->streams[stream]
					: (struct ledger_stream){.undecided = LEDGER_NONE};
}

static enum ledger_verdict judge_absent(const struct ledger *l, const struct ledger_key *k, uint64_t *seen,
					char why[LEDGER_WHY])
{
	*seen = 0;
	if (!k->request)
		return LEDGER_RIGHT;
	for (uint32_t i = k->undecided; i != LEDGER_NONE; i = l->writes[i].older)
		if (l->writes[i].kind == BENCH_DELETE)
			return LEDGER_RIGHT;
	snprintf(why, LEDGER_WHY, "absent, should hold request %" PRIu64, k->request);
	return LEDGER_LOST;
}

static enum ledger_verdict judge_value(const struct ledger *l, const struct bench_body *body,
				       const struct ledger_key *k, const struct http_reply *reply,
				       uint64_t *seen, char why[LEDGER_WHY])
{
	uint64_t origin;

	*seen = k->request;
	if (k->request && body_matches(body, k->request, k->length, reply->body, reply->body_length))
		return LEDGER_RIGHT;
	for (uint32_t i = k->undecided; i != LEDGER_NONE; i = l->writes[i].older) {
		const struct ledger_write *w = &l->writes[i];
		*seen = w->request;
		if (w->kind == BENCH_PUT &&
		    body_matches(body, w->request, w->length, reply->body, reply->body_length))
			return LEDGER_RIGHT;
	}
	bool ours = body_origin(body, reply->body, reply->body_length, &origin);
	if (!ours || origin == k->request) {
		snprintf(why, LEDGER_WHY, "%" PRIu64 " bytes that are not those of request %" PRIu64,
			 reply->body_length, k->request);
		return LEDGER_WRONG;
	}
	if (k->request)
		snprintf(why, LEDGER_WHY, "holds request %" PRIu64 ", should hold request %" PRIu64, origin,
			 k->request);
	else
		snprintf(why, LEDGER_WHY, "holds request %" PRIu64 ", should be absent", origin);
	/* An older value, or a deleted one: an acknowledged change got lost. Else it is another key's. */
	return origin < k->request || (!k->request && k->told) ? LEDGER_LOST : LEDGER_WRONG;
}

enum ledger_verdict ledger_judge_key(const struct ledger *l, const struct bench_body *body, uint32_t key,
				     const struct http_reply *reply, uint64_t *seen, char why[LEDGER_WHY])
{
	struct ledger_key k = ledger_key(l, key);

	if (reply->status == 404)
		return judge_absent(l, &k, seen, why);
	if (reply->status == 200)
		return judge_value(l, body, &k, reply, seen, why);
	snprintf(why, LEDGER_WHY, "answered with status %u", reply->status);
	return LEDGER_WRONG;
}
