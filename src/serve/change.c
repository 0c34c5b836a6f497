/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * change.c - PUT and DELETE of a key, POST to a stream and DELETE of its entries.
 *
 * A plain change is one call of the store. One with an Idempotency-Key must not look at its conditions if it
 * was made before, so the store judges them.
 */
#include "serve/service_inside.h"

#include "base/crc.h"
#include "base/site.h"

#include <errno.h>

/* The conditions as the store knows them: one, about one version. False: there are more. */
static bool take_condition(const struct http_tags *tags, enum paste_condition any, enum paste_condition one,
			   struct paste_change *change)
{
	if (!tags->present)
		return true;
	if (change->condition != PASTE_ALWAYS || (!tags->any && tags->n != 1))
		return false;
	change->condition = tags->any ? any : one;
	change->expected = tags->any ? 0 : tags->versions[0];
	return true;
}

static struct paste_change change_of(const struct service *s, const struct request *r,
				     const struct paste_ref *slices, uint32_t n)
{
	struct paste_change change = {
	    .type = r->method == HTTP_PUT    ? PASTE_PUT
		    : r->method == HTTP_POST ? PASTE_APPEND
					     : PASTE_DELETE,
	    .key = r->name,
	    .key_length = r->name_length,
	    .slices = slices,
	    .n = n,
	    .expires = r->ttl ? paste_store_time(s->store) + r->ttl * 1000 : 0,
	};

	if (query_has(&r->query, QUERY_EXPECT)) {
		change.condition = PASTE_IF_VERSION;
		change.expected = r->query.numbers[QUERY_EXPECT];
	}
	return change;
}

struct paste_retry retry_of(struct service *s, const struct request *r, const struct paste_ref *slices, uint32_t n)
{
	uint32_t crc = 0;

	if (r->retry_length)
		for (uint32_t i = 0; i < n; i++)
			crc = paste_crc(crc, paste_ref_data(s->region, slices[i]), slices[i].length);
	return (struct paste_retry){.key = r->retry, .length = r->retry_length, .fingerprint = crc ? crc : 1};
}

static int make(struct service *s, const struct request *r, const struct paste_change *change,
		struct paste_result *result)
{
	struct paste_retry retry = retry_of(s, r, change->slices, change->n);

	if (change->condition != PASTE_ALWAYS || change->expires || retry.length)
		return paste_store_apply(s->store, change, 1, retry.length ? &retry : NULL, result);
	switch (change->type) {
	case PASTE_PUT:
		return paste_store_put(s->store, r->name, r->name_length, change->slices, change->n, result);
	case PASTE_APPEND:
		return paste_store_append(s->store, r->name, r->name_length, change->slices, change->n,
					  result);
	default:
		return paste_store_delete(s->store, r->name, r->name_length, result);
	}
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

static void answer_key(struct service *s, struct connection *c, const struct request *r,
		       const struct paste_result *result)
{
	struct reply *reply;

	if (r->method == HTTP_DELETE && !result->existed) {
		reply = request_missing(s, c, r, result->round);
		if (reply)
			reply->repeated = result->repeated;
		return;
	}
	reply = request_answer(s, c, r, r->method == HTTP_PUT && !result->existed ? 201 : 204,
			       SITE(change_waits_for_round) ? result->round : 0);
	if (!reply)
		return;
	reply->repeated = result->repeated;
	if (r->method == HTTP_PUT)
		reply->version = result->version;
}

static void answer_entry(struct service *s, struct connection *c, const struct request *r,
			 const struct paste_result *result)
{
	struct reply *reply = request_answer(s, c, r, 201, SITE(append_waits_for_round) ? result->round : 0);

	if (!reply)
		return;
	reply->repeated = result->repeated;
	reply->body = REPLY_SEQUENCE;
	reply->version = result->version;
	reply->type = "application/json";
}

void change_key(struct service *s, struct connection *c, const struct request *r,
		const struct paste_ref *slices, uint32_t n)
{
	struct paste_change change = change_of(s, r, slices, n);
	struct paste_result result = {0};

	if (!r->retry_length) {
		if (!conditions_hold(s, c, r))
			return;
	} else if (!take_condition(&r->if_match, PASTE_IF_PRESENT, PASTE_IF_VERSION, &change) ||
		   !take_condition(&r->if_none_match, PASTE_IF_ABSENT, PASTE_IF_NOT_VERSION, &change)) {
		answer_text(s, c, 400, "with an Idempotency-Key there can be one condition on one version\n",
			    0, !r->keep_alive);
		return;
	}
	int rc = make(s, r, &change, &result);
	if (rc == -ENOENT && change.type == PASTE_DELETE) {
		request_missing(s, c, r, result.round);
	} else if (rc == -ENOENT || rc == -EEXIST || rc == -ESTALE) {
		request_failed_condition(s, c, r, result.round);
	} else if (rc) {
		request_fail(s, c, r, rc);
	} else {
		service_saw_round(s, result.round);
		answer_key(s, c, r, &result);
	}
}

void change_append(struct service *s, struct connection *c, const struct request *r,
		   const struct paste_ref *slices, uint32_t n)
{
	struct paste_change change = change_of(s, r, slices, n);
	struct paste_result result = {0};
	int rc = make(s, r, &change, &result);

	if (rc == -ESTALE) {
		answer_unexpected(s, c, r, &result);
	} else if (rc) {
		request_fail(s, c, r, rc);
	} else {
		service_saw_round(s, result.round);
		rounds_appended(s->rounds, r->name, r->name_length);
		answer_entry(s, c, r, &result);
	}
}

void change_trim(struct service *s, struct connection *c, const struct request *r)
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
