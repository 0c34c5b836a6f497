/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/route.h"

#include <errno.h>
#include <string.h>

#include "serve/limit_text.h"

static bool take_prefix(struct http_text *path, const char *prefix)
{
	size_t n = strlen(prefix);

	if (path->length < n || memcmp(path->at, prefix, n))
		return false;
	path->at += n;
	path->length -= (uint32_t)n;
	return true;
}

static bool is_path(struct http_text path, const char *text)
{
	return path.length == strlen(text) && !memcmp(path.at, text, path.length);
}

static int decode_name(struct http_text text, struct request *r, const char **why)
{
	int n = http_percent_decode(text, r->name, PASTE_KEY_MAX);

	if (n == -EINVAL) {
		*why = "bad percent-encoding\n";
		return -400;
	}
	if (n == -EMSGSIZE) {
		*why = "a key has at most 1024 bytes\n";
		return -400;
	}
	if (!n) {
		*why = "a key has at least 1 byte\n";
		return -404;
	}
	r->name_length = (uint32_t)n;
	return 0;
}

/* Decimal, no sign, no leading zero: one entry has one name. */
static int parse_sequence(struct http_text text, uint64_t *sequence)
{
	uint64_t value = 0;

	if (!text.length || text.length > 19 || text.at[0] == '0')
		return -EINVAL;
	for (uint32_t i = 0; i < text.length; i++) {
		uint8_t digit = (uint8_t)(text.at[i] - '0');

		if (digit > 9)
			return -EINVAL;
		value = value * 10 + digit;
	}
	*sequence = value;
	return 0;
}

static int route_log(struct http_text rest, struct request *r, const char **why)
{
	const char *slash = memchr(rest.at, '/', rest.length);
	struct http_text stream = {rest.at, slash ? (uint32_t)(slash - rest.at) : rest.length};

	r->resource = RESOURCE_STREAM;
	if (slash) {
		struct http_text sequence = {slash + 1, rest.length - stream.length - 1};

		r->resource = RESOURCE_ENTRY;
		if (parse_sequence(sequence, &r->sequence)) {
			*why = "an entry is named by a decimal number from 1\n";
			return -404;
		}
	}
	return decode_name(stream, r, why);
}

#define NAMED_BY_QUERY (QUERY_BIT(QUERY_PREFIX) | QUERY_BIT(QUERY_AFTER) | QUERY_BIT(QUERY_LIMIT))

/* A method of a resource, with the parameters that it may and must have. */
struct route_method {
	enum http_method method;
	uint32_t may, must;
	const char *must_why;
};

static const struct {
	const char *allow;
	struct route_method methods[5]; /* as many as it has; the others are zero: GET without parameters */
	int n;
} routes[RESOURCES] = {
    [RESOURCE_KEY] = {"GET, HEAD, PUT, DELETE, OPTIONS",
		      {{HTTP_GET}, {HTTP_HEAD}, {HTTP_PUT}, {HTTP_DELETE}},
		      4},
    [RESOURCE_KEYS] = {"GET, HEAD, DELETE, OPTIONS",
		       {{HTTP_GET, NAMED_BY_QUERY},
			{HTTP_HEAD, NAMED_BY_QUERY},
			{HTTP_DELETE, QUERY_BIT(QUERY_PREFIX), QUERY_BIT(QUERY_PREFIX),
			 "say which keys: prefix=P (an empty one: all)\n"}},
		       3},
    [RESOURCE_STREAM] =
	{"GET, HEAD, POST, DELETE, OPTIONS",
	 {{HTTP_GET, QUERY_BIT(QUERY_FROM) | QUERY_BIT(QUERY_LIMIT) | QUERY_BIT(QUERY_FOLLOW)},
	  {HTTP_HEAD, QUERY_BIT(QUERY_FROM) | QUERY_BIT(QUERY_LIMIT)},
	  {HTTP_POST, QUERY_BIT(QUERY_EXPECT)},
	  {HTTP_DELETE, QUERY_BIT(QUERY_BEFORE), QUERY_BIT(QUERY_BEFORE), "say which entries: before=SEQ\n"}},
	 4},
    [RESOURCE_ENTRY] = {"GET, HEAD, OPTIONS", {{HTTP_GET}, {HTTP_HEAD}}, 2},
    [RESOURCE_STREAMS] = {"GET, HEAD, OPTIONS", {{HTTP_GET, NAMED_BY_QUERY}, {HTTP_HEAD, NAMED_BY_QUERY}}, 2},
    [RESOURCE_BATCH] = {"POST, OPTIONS", {{HTTP_POST}}, 1},
    /* Scrapers may add parameters of their own. */
    [RESOURCE_METRICS] = {"GET, HEAD, OPTIONS", {{HTTP_GET, UINT32_MAX}, {HTTP_HEAD, UINT32_MAX}}, 2},
    [RESOURCE_HEALTH] = {"GET, HEAD, OPTIONS", {{HTTP_GET, UINT32_MAX}, {HTTP_HEAD, UINT32_MAX}}, 2},
    [RESOURCE_READY] = {"GET, HEAD, OPTIONS", {{HTTP_GET, UINT32_MAX}, {HTTP_HEAD, UINT32_MAX}}, 2},
    [RESOURCE_SERVER] = {"GET, HEAD, PUT, POST, DELETE, OPTIONS", {{HTTP_GET}}, 0},
};

static const struct route_method *find_method(const struct request *r)
{
	static const struct route_method options = {HTTP_OPTIONS, UINT32_MAX, 0, NULL};

	if (r->method == HTTP_OPTIONS)
		return &options;
	for (int i = 0; i < routes[r->resource].n; i++)
		if (routes[r->resource].methods[i].method == r->method)
			return &routes[r->resource].methods[i];
	return NULL;
}

const char *route_methods(enum resource resource)
{
	return routes[resource].allow;
}

#define RETRY_NAME_MAX 1020 /* change.h: a retry key and the name that it belongs to */
#define TTL_MAX 4000000000  /* seconds: a hundred years and some */
#define FOLLOW_MAX 3600     /* seconds: the longest wait for entries */

/* PST-TTL and Idempotency-Key, which a request that does not know what to do with them may not pass over. */
static int take_change_fields(const struct http_request *http, struct request *r, const char **why)
{
	struct http_text ttl = http->fields[HTTP_TTL], retry = http->fields[HTTP_IDEMPOTENCY_KEY];

	r->ttl = 0;
	r->retry_length = 0;
	if (ttl.at && (http_parse_decimal(ttl, &r->ttl) || !r->ttl || r->ttl > TTL_MAX ||
		       r->resource != RESOURCE_KEY || r->method != HTTP_PUT)) {
		*why = "PST-TTL is a number of seconds, from 1 to " LIMIT_TEXT(TTL_MAX) ", and belongs to the PUT of a key\n";
		return -400;
	}
	if (!retry.at)
		return 0;
	bool known = (r->resource == RESOURCE_KEY && (r->method == HTTP_PUT || r->method == HTTP_DELETE)) ||
		     r->method == HTTP_POST;
	if (!known || !retry.length || retry.length > PASTE_RETRY_KEY_MAX ||
	    retry.length + r->name_length > RETRY_NAME_MAX) {
		*why =
		    "an Idempotency-Key has 1 to " LIMIT_TEXT(PASTE_RETRY_KEY_MAX) " bytes and belongs to PUT, POST, and DELETE of a key\n";
		return -400;
	}
	r->retry_length = retry.length;
	memcpy(r->retry, retry.at, retry.length);
	return 0;
}

/* What of the fields outlives the head. */
static void take_fields(const struct http_request *http, struct request *r)
{
	r->range.kind = HTTP_RANGE_NONE;
	if (http->fields[HTTP_RANGE].at && http->method == HTTP_GET) {
		r->range = http_parse_range(http->fields[HTTP_RANGE]);
		r->has_if_range = http->fields[HTTP_IF_RANGE].at != NULL;
		r->if_range = r->has_if_range ? http_strong_tag(http->fields[HTTP_IF_RANGE]) : 0;
	}
	r->if_match.present = r->if_none_match.present = false;
	if (http->if_match.present)
		r->if_match = http->if_match;
	if (http->if_none_match.present)
		r->if_none_match = http->if_none_match;
}

static int find_resource(struct http_text path, struct request *r, const char **why)
{
	if (take_prefix(&path, "/kv/")) {
		r->resource = RESOURCE_KEY;
		return decode_name(path, r, why);
	}
	if (take_prefix(&path, "/log/"))
		return route_log(path, r, why);
	if (is_path(path, "/kv")) {
		r->resource = RESOURCE_KEYS;
	} else if (is_path(path, "/log")) {
		r->resource = RESOURCE_STREAMS;
	} else if (is_path(path, "/batch")) {
		r->resource = RESOURCE_BATCH;
	} else if (is_path(path, "/metrics")) {
		r->resource = RESOURCE_METRICS;
	} else if (is_path(path, "/healthz")) {
		r->resource = RESOURCE_HEALTH;
	} else if (is_path(path, "/readyz")) {
		r->resource = RESOURCE_READY;
	} else if (path.length && *path.at == '*') {
		r->resource = RESOURCE_SERVER;
	} else {
		*why = "there are /kv/KEY, /kv, /log/STREAM, /log/STREAM/SEQ, /log, /batch, /metrics, /healthz and /readyz\n";
		return -404;
	}
	return 0;
}

static int take_query(const struct http_request *http, const struct route_method *m, struct request *r,
		      struct query_text *after, const char **why)
{
	struct query_text prefix;

	prefix.length = 0;
	if (m->may == UINT32_MAX) {
		r->query.given = 0;
		return 0;
	}
	int rc = query_parse(http->query, m->may, &r->query, &prefix, after, why);
	if (rc)
		return rc;
	if ((r->query.given & m->must) != m->must) {
		*why = m->must_why;
		return -400;
	}
	if (query_has(&r->query, QUERY_FOLLOW) && r->query.numbers[QUERY_FOLLOW] > FOLLOW_MAX) {
		*why = "follow has at most " LIMIT_TEXT(FOLLOW_MAX) " seconds\n";
		return -400;
	}
	if (r->resource == RESOURCE_KEYS || r->resource == RESOURCE_STREAMS) {
		/* Such a page could not say what to ask for next. */
		if (query_has(&r->query, QUERY_LIMIT) && !r->query.numbers[QUERY_LIMIT]) {
			*why = "a page has at least 1 key or stream\n";
			return -400;
		}
		memcpy(r->name, prefix.bytes, prefix.length);
		r->name_length = prefix.length;
	}
	return 0;
}

int route(const struct http_request *http, struct request *r, struct query_text *after, const char **why)
{
	r->method = http->method;
	r->keep_alive = http->keep_alive;
	r->http_1_0 = http->http_1_0;
	r->name_length = 0;
	take_fields(http, r);
	*why = "";
	int rc = find_resource(http->path, r, why);
	if (rc)
		return rc;
	const struct route_method *m = find_method(r);
	if (!m) {
		*why = "this has other methods: Allow names them\n";
		return -405;
	}
	r->query.given = 0;
	if (http->fields[HTTP_TTL].at || http->fields[HTTP_IDEMPOTENCY_KEY].at)
		rc = take_change_fields(http, r, why);
	else
		r->ttl = r->retry_length = 0;
	if (rc)
		return rc;
	after->length = 0;
	if (!http->query.length && !m->must) /* most */
		return 0;
	return take_query(http, m, r, after, why);
}
