/* SPDX-License-Identifier: BSD-2-Clause */
/* execute.c - a request on the store, and its reply. */
#include "serve/service_inside.h"

#include <errno.h>
#include <stdlib.h>

/* The store refused. What it says may follow from changes that are not durable ("full" after a pending PUT),
 * so these replies wait for all that was done so far. */
static void answer_error(struct service *s, struct connection *c, const struct request *r, int error)
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

static struct reply *answer(struct service *s, struct connection *c, const struct request *r, uint16_t status,
			    uint64_t round)
{
	struct reply *reply = answer_new(s, c, status, round, !r->keep_alive);

	if (reply)
		reply->keep_1_0 = r->http_1_0 && !reply->close;
	return reply;
}

static void answer_missing(struct service *s, struct connection *c, const struct request *r, uint64_t round)
{
	struct reply *reply = answer(s, c, r, 404, round);

	if (!reply)
		return;
	reply->body = REPLY_TEXT;
	reply->text = r->resource == RESOURCE_KEY ? "no such key\n" : "no such entry\n";
	reply->head_only = r->method == HTTP_HEAD;
}

static void put(struct service *s, struct connection *c, const struct request *r,
		const struct paste_ref *slices, uint32_t n)
{
	struct paste_result result = {0};
	int rc = paste_store_put(s->store, r->name, r->name_length, slices, n, &result);

	if (rc) {
		answer_error(s, c, r, rc);
		return;
	}
	service_saw_round(s, result.round);
	struct reply *reply = answer(s, c, r, result.existed ? 204 : 201, result.round);
	if (reply)
		reply->version = result.version;
}

static void append(struct service *s, struct connection *c, const struct request *r,
		   const struct paste_ref *slices, uint32_t n)
{
	struct paste_result result = {0};
	int rc = paste_store_append(s->store, r->name, r->name_length, slices, n, &result);

	if (rc) {
		answer_error(s, c, r, rc);
		return;
	}
	service_saw_round(s, result.round);
	struct reply *reply = answer(s, c, r, 201, result.round);
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
		answer_error(s, c, r, rc);
		return;
	}
	service_saw_round(s, result.round);
	if (result.existed)
		answer(s, c, r, 204, result.round);
	else
		answer_missing(s, c, r, result.round);
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
		answer_missing(s, c, r, value.round);
	else
		answer_error(s, c, r, rc);
}

/* The counters follow from every change so far, so they wait for all of them. */
static void metrics(struct service *s, struct connection *c, const struct request *r)
{
	size_t length;
	char *text = metrics_text(s, &length);

	if (!text) {
		answer_error(s, c, r, -ENOMEM);
		return;
	}
	struct reply *reply = answer(s, c, r, 200, s->error ? 0 : service_round(s));
	if (!reply) {
		free(text);
		return;
	}
	reply->body = REPLY_BYTES;
	reply->length = length;
	reply->heap = text;
	reply->on_heap = true;
	reply->head_only = r->method == HTTP_HEAD;
	reply->type = "text/plain; version=0.0.4";
}

void execute(struct service *s, struct connection *c, const struct request *r, const struct paste_ref *slices,
	     uint32_t n)
{
	switch (r->method) {
	case HTTP_PUT:
		put(s, c, r, slices, n);
		break;
	case HTTP_POST:
		append(s, c, r, slices, n);
		break;
	case HTTP_DELETE:
		delete_key(s, c, r);
		break;
	default:
		if (r->resource == RESOURCE_METRICS)
			metrics(s, c, r);
		else
			get(s, c, r);
	}
}
