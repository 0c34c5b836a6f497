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
	case -ENOTUNIQ:
		answer_text(s, c, 422, "this Idempotency-Key was used with another body\n", round, close);
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

struct reply *request_missing(struct service *s, struct connection *c, const struct request *r, uint64_t round)
{
	struct reply *reply = request_answer(s, c, r, 404, SITE(missing_waits_for_round) ? round : 0);

	if (!reply)
		return NULL;
	reply->body = REPLY_TEXT;
	reply->text = r->resource == RESOURCE_KEY     ? "no such key\n"
		      : r->resource == RESOURCE_ENTRY ? "no such entry\n"
						      : "no such stream\n";
	return reply;
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

struct reply *request_answer_text(struct service *s, struct connection *c, const struct request *r,
				  uint16_t status, struct text *t, uint64_t round)
{
	struct reply *reply = t->failed ? NULL : request_answer(s, c, r, status, round);

	if (!reply) {
		free(t->at);
		if (t->failed)
			request_fail(s, c, r, -ENOMEM);
		return NULL;
	}
	reply->body = REPLY_BYTES;
	reply->length = t->n;
	reply->heap = t->at;
	reply->on_heap = true;
	reply->head_only = r->method == HTTP_HEAD;
	reply->type = "application/json";
	return reply;
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
	if (r->method == HTTP_PUT || r->method == HTTP_DELETE)
		change_key(s, c, r, slices, n);
	else if (conditions_hold(s, c, r))
		get(s, c, r);
}

static void execute_stream(struct service *s, struct connection *c, const struct request *r,
			   const struct paste_ref *slices, uint32_t n)
{
	if (r->method == HTTP_POST)
		change_append(s, c, r, slices, n);
	else if (r->method == HTTP_DELETE)
		change_trim(s, c, r);
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

static void do_it(struct service *s, struct connection *c, const struct request *r,
		  const struct paste_ref *slices, uint32_t n)
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
	case RESOURCE_BATCH:
		batch_post(s, c, r, slices, n);
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
