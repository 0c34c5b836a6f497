/* SPDX-License-Identifier: BSD-2-Clause */
/* execute.c - a request on the store, and its reply. */
#include "serve/service_inside.h"

#include "base/site.h"

#include <errno.h>
#include <stdlib.h>

/* The store refused. What it says may follow from changes that are not durable ("full" after a pending PUT),
 * so these replies wait for all that was done so far. */
void request_fail(struct service *s, struct connection *c, const struct request *r, int error)
{
	uint64_t round = service_round(s);
	bool close = !r->keep_alive;

	switch (error) {
	case -ENOSPC:
		answer_text(s, c, 507, "the store is full; deleting makes room\n", round, close);
		break;
	case -EBADMSG:
		answer_text(s, c, 500, "the stored value is damaged\n", round, close);
		break;
	case -EFBIG:
		answer_text(s, c, 413, "the value is larger than the store accepts\n", round, close);
		break;
	case -ENOMEM:
	case -ENOBUFS:
		answer_text(s, c, 503, "out of memory\n", round, close);
		break;
	case -EINVAL:
		answer_text(s, c, 400, "the store does not take this name\n", round, close);
		break;
	default: /* the medium has failed: nothing waits for a round any more */
		answer_text(s, c, 503, "the medium has failed; nothing is stored any more\n", 0, true);
	}
}

struct reply *request_answer(struct service *s, struct connection *c, const struct request *r,
			     uint16_t status, uint64_t round)
{
	struct reply *reply = answer_new(s, c, status, round, !r->keep_alive);

	if (reply)
		reply->keep_1_0 = r->http_1_0 && !reply->close;
	return reply;
}

void request_missing(struct service *s, struct connection *c, const struct request *r, uint64_t round)
{
	struct reply *reply = request_answer(s, c, r, 404, SITE(missing_waits_for_round) ? round : 0);

	if (!reply)
		return;
	reply->body = REPLY_TEXT;
	reply->text = r->resource == RESOURCE_KEY     ? "no such key\n"
		      : r->resource == RESOURCE_ENTRY ? "no such entry\n"
						      : "no such stream\n";
}

/* Also a negative answer reveals what it was computed from, and waits for that. */
static void answer_condition(struct service *s, struct connection *c, const struct request *r, uint64_t round)
{
	struct reply *reply = request_answer(s, c, r, 412, SITE(condition_waits_for_round) ? round : 0);

	if (!reply)
		return;
	reply->body = REPLY_TEXT;
	reply->text = "the condition does not hold\n";
}

static void answer_not_modified(struct service *s, struct connection *c, const struct request *r,
				uint64_t round, uint64_t version)
{
	struct reply *reply = request_answer(s, c, r, 304, SITE(not_modified_waits_for_round) ? round : 0);

	if (reply)
		reply->version = version;
}

static bool has_conditions(const struct request *r)
{
	return r->if_match.present || r->if_none_match.present;
}

/* What a condition is about. version is 0 if it is not there. 0 or an error, but not -ENOENT. */
struct condition_on {
	uint64_t version, round;
};

static int look_at_entry(struct service *s, const struct request *r, struct condition_on *on)
{
	struct paste_value value = {0};
	int rc = paste_store_read(s->store, r->name, r->name_length, r->sequence, &value);

	on->round = value.round;
	if (rc)
		return rc;
	on->version = r->sequence;
	paste_value_put(s->store, &value);
	return 0;
}

static int look(struct service *s, const struct request *r, struct condition_on *on)
{
	struct paste_listed item = {0};
	int rc;

	*on = (struct condition_on){0};
	if (r->resource == RESOURCE_ENTRY) {
		rc = look_at_entry(s, r, on);
	} else {
		rc = paste_store_look(s->store, r->name, r->name_length, &item);
		on->round = item.round;
		on->version = rc ? 0 : item.version;
	}
	return rc == -ENOENT ? 0 : rc;
}

/*
 * May this request be executed? Else it is answered. RFC 9110, 13.2.2: If-Match goes first; 13.2.1:
 * conditions of a request that would fail without them are not looked at. A change follows at once, in the
 * same turn on the same thread, so nothing comes between the look and the change: writes on a key are in one
 * order.
 */
static bool conditions_hold(struct service *s, struct connection *c, const struct request *r)
{
	bool reads = r->method == HTTP_GET || r->method == HTTP_HEAD;
	struct condition_on on;

	if (!has_conditions(r))
		return true;
	int rc = look(s, r, &on);
	if (rc) {
		request_fail(s, c, r, rc);
		return false;
	}
	if (!on.version && r->method != HTTP_PUT)
		return true; /* 404 */
	if (r->if_match.present && !http_tags_match(&r->if_match, on.version)) {
		answer_condition(s, c, r, on.round);
		return false;
	}
	if (r->if_none_match.present && http_tags_match(&r->if_none_match, on.version)) {
		if (reads)
			answer_not_modified(s, c, r, on.round, on.version);
		else
			answer_condition(s, c, r, on.round);
		return false;
	}
	return true;
}

static void put(struct service *s, struct connection *c, const struct request *r,
		const struct paste_ref *slices, uint32_t n)
{
	struct paste_result result = {0};
	int rc = paste_store_put(s->store, r->name, r->name_length, slices, n, &result);

	if (rc) {
		request_fail(s, c, r, rc);
		return;
	}
	service_saw_round(s, result.round);
	struct reply *reply = request_answer(s, c, r, result.existed ? 204 : 201, result.round);
	if (reply)
		reply->version = result.version;
}

static void answer_unexpected(struct service *s, struct connection *c, const struct request *r,
			      const struct paste_result *result)
{
	struct reply *reply =
	    request_answer(s, c, r, 412, SITE(unexpected_waits_for_round) ? result->round : 0);

	if (!reply)
		return;
	reply->body = REPLY_TEXT;
	reply->text = "the next entry has another number\n";
	reply->next_entry = result->version;
}

static void append(struct service *s, struct connection *c, const struct request *r,
		   const struct paste_ref *slices, uint32_t n)
{
	bool expects = query_has(&r->query, QUERY_EXPECT);
	struct paste_change change = {
	    .type = PASTE_APPEND,
	    .condition = expects ? PASTE_IF_VERSION : PASTE_ALWAYS,
	    .expected = r->query.numbers[QUERY_EXPECT],
	    .key = r->name,
	    .key_length = r->name_length,
	    .slices = slices,
	    .n = n,
	};
	struct paste_result result = {0};
	int rc = expects ? paste_store_apply(s->store, &change, 1, NULL, &result)
			 : paste_store_append(s->store, r->name, r->name_length, slices, n, &result);

	if (rc == -ESTALE) {
		answer_unexpected(s, c, r, &result);
		return;
	}
	if (rc) {
		request_fail(s, c, r, rc);
		return;
	}
	service_saw_round(s, result.round);
	rounds_appended(s->rounds, r->name, r->name_length);
	struct reply *reply = request_answer(s, c, r, 201, result.round);
	if (!reply)
		return;
	reply->body = REPLY_SEQUENCE;
	reply->version = result.version;
	reply->type = "application/json";
}

static void delete_key(struct service *s, struct connection *c, const struct request *r)
{
	struct paste_result result = {0};
	int rc = paste_store_delete(s->store, r->name, r->name_length, &result);

	if (rc) {
		request_fail(s, c, r, rc);
		return;
	}
	service_saw_round(s, result.round);
	if (result.existed)
		request_answer(s, c, r, 204, result.round);
	else
		request_missing(s, c, r, result.round);
}

static void get(struct service *s, struct connection *c, const struct request *r)
{
	struct paste_value value = {0};
	int rc = r->resource == RESOURCE_KEY
		     ? paste_store_get(s->store, r->name, r->name_length, &value)
		     : paste_store_read(s->store, r->name, r->name_length, r->sequence, &value);

	if (rc == 0)
		answer_value(s, c, r, &value);
	else if (rc == -ENOENT)
		request_missing(s, c, r, value.round);
	else
		request_fail(s, c, r, rc);
}

void request_answer_text(struct service *s, struct connection *c, const struct request *r, struct text *t,
			 uint64_t round)
{
	struct reply *reply = t->failed ? NULL : request_answer(s, c, r, 200, round);

	if (!reply) {
		free(t->at);
		if (t->failed)
			request_fail(s, c, r, -ENOMEM);
		return;
	}
	reply->body = REPLY_BYTES;
	reply->length = t->n;
	reply->heap = t->at;
	reply->on_heap = true;
	reply->head_only = r->method == HTTP_HEAD;
	reply->type = "application/json";
}

static void trim(struct service *s, struct connection *c, const struct request *r)
{
	struct paste_result result = {0};
	int rc = paste_store_trim(s->store, r->name, r->name_length, r->query.numbers[QUERY_BEFORE], &result);

	if (rc == -ENOENT) {
		request_missing(s, c, r, result.round);
		return;
	}
	if (rc) {
		request_fail(s, c, r, rc);
		return;
	}
	service_saw_round(s, result.round);
	request_answer(s, c, r, 204, SITE(trim_waits_for_round) ? result.round : 0);
}

/* The counters follow from every change so far, so they wait for all of them. */
static void metrics(struct service *s, struct connection *c, const struct request *r)
{
	size_t length;
	char *text = metrics_text(s, &length);

	if (!text) {
		request_fail(s, c, r, -ENOMEM);
		return;
	}
	struct reply *reply = request_answer(s, c, r, 200, s->rounds->error ? 0 : service_round(s));
	if (!reply) {
		free(text);
		return;
	}
	reply->body = REPLY_BYTES;
	reply->length = length;
	reply->heap = text;
	reply->on_heap = true;
	reply->type = "text/plain; version=0.0.4";
}

static void tell_methods(struct service *s, struct connection *c, const struct request *r)
{
	struct reply *reply = request_answer(s, c, r, 204, 0);

	if (reply)
		reply->allow = route_methods(r->resource);
}

static void execute_key_or_entry(struct service *s, struct connection *c, const struct request *r,
				 const struct paste_ref *slices, uint32_t n)
{
	if (!conditions_hold(s, c, r))
		return;
	if (r->method == HTTP_PUT)
		put(s, c, r, slices, n);
	else if (r->method == HTTP_DELETE)
		delete_key(s, c, r);
	else
		get(s, c, r);
}

static void execute_stream(struct service *s, struct connection *c, const struct request *r,
			   const struct paste_ref *slices, uint32_t n)
{
	if (r->method == HTTP_POST)
		append(s, c, r, slices, n);
	else if (r->method == HTTP_DELETE)
		trim(s, c, r);
	else
		entries_get(s, c, r);
}

/* For who balances load or restarts services: is it there, can it store. */
static void tell_health(struct service *s, struct connection *c, const struct request *r)
{
	const char *text = "ok\n";
	uint16_t status = 200;

	/* The store knows of a failure before a round meets it. */
	if (r->resource == RESOURCE_READY && (s->rounds->error || paste_store_poll(s->store) < 0))
		text = "the medium has failed; nothing is stored any more\n";
	else if (r->resource == RESOURCE_READY && s->draining)
		text = "the service is about to end\n";
	if (text[0] != 'o')
		status = 503;
	struct reply *reply = request_answer(s, c, r, status, 0);
	if (!reply)
		return;
	reply->body = REPLY_TEXT;
	reply->text = text;
}

static void do_it(struct service *s, struct connection *c, const struct request *r, const struct paste_ref *slices,
		  uint32_t n)
{
	if (r->method == HTTP_OPTIONS) {
		tell_methods(s, c, r);
		return;
	}
	switch (r->resource) {
	case RESOURCE_KEY:
	case RESOURCE_ENTRY:
		execute_key_or_entry(s, c, r, slices, n);
		break;
	case RESOURCE_STREAM:
		execute_stream(s, c, r, slices, n);
		break;
	case RESOURCE_KEYS:
	case RESOURCE_STREAMS:
		list_get(s, c, r); /* DELETE is a job */
		break;
	case RESOURCE_HEALTH:
	case RESOURCE_READY:
		tell_health(s, c, r);
		break;
	default:
		metrics(s, c, r);
	}
}

void execute(struct service *s, struct connection *c, const struct request *r, const struct paste_ref *slices,
	     uint32_t n)
{
	bool reads = r->method == HTTP_GET || r->method == HTTP_HEAD || r->method == HTTP_OPTIONS;

	s->asked = (struct asked){
	    .head = r->method == HTTP_HEAD, .writes = !reads, .counted = r->resource < RESOURCE_METRICS};
	do_it(s, c, r, slices, n);
	s->asked = (struct asked){.head = false};
}
