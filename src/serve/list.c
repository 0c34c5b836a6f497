/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * list.c - GET /kv and GET /log: a page of names as JSON.
 *
 * A page is made at one moment, so it is consistent in itself; the next one is asked for behind the last name
 * of this one. It waits for the rounds of everything that it shows or leaves out.
 */
#include "serve/service_inside.h"

#include "base/site.h"
#include "serve/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 1000
#define LIMIT_MAX 10000
#define PAGE_MAX (256 * 1024) /* bytes of text, about */
#define LOOKS_ON 64           /* times that a page looks on where many deleted names stand */

/* The place behind which a page goes on: the last name that was looked at. */
struct place {
	struct query_text *name; /* length 0: at the beginning */
	uint64_t round;
};

static void write_item(struct service *s, struct text *t, bool keys, const struct paste_listed *item)
{
	text_string(t, keys ? "{\"key\":\"" : "{\"stream\":\"");
	text_name(t, item->name, item->name_length, keys);
	text_string(t, "\",\"");
	if (!keys) {
		text_string(t, "first\":");
		text_decimal(t, item->first);
		text_string(t, ",\"next\":");
		text_decimal(t, item->next);
		text_string(t, "}");
		return;
	}
	text_string(t, "version\":\"");
	text_hex(t, item->version);
	text_string(t, "\",\"length\":");
	text_decimal(t, item->length);
	if (item->expires) {
		text_string(t, ",\"ttl\":");
		text_decimal(t, service_ttl(s, item->expires));
	}
	text_string(t, "}");
}

/* The next item behind *place, which goes there. 0, -ENOENT at the end, -EAGAIN: look on, or another error.
 */
static int next_item(struct service *s, const struct request *r, struct place *place,
		     struct paste_listed *item)
{
	const void *after = place->name->length ? place->name->bytes : NULL;
	int rc = r->resource == RESOURCE_KEYS
		     ? paste_store_list(s->store, r->name, r->name_length, after, place->name->length, item)
		     : paste_store_list_streams(s->store, r->name, r->name_length, after, place->name->length,
						item);

	if (item->round > place->round)
		place->round = item->round;
	if (rc == 0 || rc == -EAGAIN) {
		memcpy(place->name->bytes, item->name, item->name_length);
		place->name->length = (uint32_t)item->name_length;
	}
	return rc;
}

/* 1: a page, and there may be more behind *place; 0: the last page; or an error. */
static int write_items(struct service *s, const struct request *r, uint64_t limit, struct place *place,
		       struct text *t)
{
	struct paste_listed item;
	int looked_on = 0;

	for (uint64_t n = 0; n < limit && t->n < PAGE_MAX && looked_on < LOOKS_ON;) {
		int rc = next_item(s, r, place, &item);

		if (rc == -ENOENT)
			return 0;
		if (rc == -EAGAIN) {
			looked_on++;
			continue;
		}
		if (rc)
			return rc;
		text_string(t, n++ ? ",\n" : "\n");
		write_item(s, t, r->resource == RESOURCE_KEYS, &item);
	}
	return 1;
}

void list_get(struct service *s, struct connection *c, const struct request *r)
{
	uint64_t limit = query_has(&r->query, QUERY_LIMIT) ? r->query.numbers[QUERY_LIMIT] : LIMIT;
	bool keys = r->resource == RESOURCE_KEYS;
	struct place place = {.name = &s->after};
	struct text t = {0};

	if (limit > LIMIT_MAX)
		limit = LIMIT_MAX;
	text_string(&t, keys ? "{\"keys\":[" : "{\"streams\":[");
	int more = write_items(s, r, limit, &place, &t);
	if (more < 0) {
		free(t.at);
		request_fail(s, c, r, more);
		return;
	}
	text_string(&t, t.at && t.at[t.n - 1] == '}' ? "\n],\"next\":" : "],\"next\":");
	if (more && place.name->length) {
		text_string(&t, "\"");
		text_name(&t, place.name->bytes, place.name->length, keys);
		text_string(&t, "\"}\n");
	} else {
		text_string(&t, "null}\n");
	}
	request_answer_text(s, c, r, 200, &t, SITE(list_waits_for_round) ? place.round : 0);
}
