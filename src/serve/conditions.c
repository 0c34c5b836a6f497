/* SPDX-License-Identifier: BSD-2-Clause */
/* conditions.c - If-Match and If-None-Match. */
#include "serve/service_inside.h"

#include "base/site.h"

#include <errno.h>

/* Also a negative answer reveals what it was computed from, and waits for that. */
void request_failed_condition(struct service *s, struct connection *c, const struct request *r,
			      uint64_t round)
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
bool conditions_hold(struct service *s, struct connection *c, const struct request *r)
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
		request_failed_condition(s, c, r, on.round);
		return false;
	}
	if (r->if_none_match.present && http_tags_match(&r->if_none_match, on.version)) {
		if (reads)
			answer_not_modified(s, c, r, on.round, on.version);
		else
			request_failed_condition(s, c, r, on.round);
		return false;
	}
	return true;
}
