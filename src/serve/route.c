/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/route.h"

#include <errno.h>
#include <string.h>

static bool take_prefix(struct http_text *path, const char *prefix)
{
	size_t n = strlen(prefix);

	if (path->length < n || memcmp(path->at, prefix, n))
		return false;
	path->at += n;
	path->length -= (uint32_t)n;
	return true;
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

static bool has_method(const struct request *r)
{
	if (r->method == HTTP_OPTIONS)
		return true;
	switch (r->resource) {
	case RESOURCE_KEY:
		return r->method != HTTP_POST && r->method != HTTP_OTHER;
	case RESOURCE_STREAM:
		return r->method == HTTP_POST;
	default:
		return r->method == HTTP_GET || r->method == HTTP_HEAD;
	}
}

const char *route_methods(enum resource resource)
{
	static const char *const methods[RESOURCES] = {
	    [RESOURCE_KEY] = "GET, HEAD, PUT, DELETE, OPTIONS",
	    [RESOURCE_STREAM] = "POST, OPTIONS",
	    [RESOURCE_ENTRY] = "GET, HEAD, OPTIONS",
	    [RESOURCE_METRICS] = "GET, HEAD, OPTIONS",
	    [RESOURCE_SERVER] = "GET, HEAD, PUT, POST, DELETE, OPTIONS",
	};

	return methods[resource];
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

int route(const struct http_request *http, struct request *r, const char **why)
{
	struct http_text path = http->path;
	int rc = 0;

	r->method = http->method;
	r->keep_alive = http->keep_alive;
	r->http_1_0 = http->http_1_0;
	r->name_length = 0;
	take_fields(http, r);
	*why = "";
	if (take_prefix(&path, "/kv/")) {
		r->resource = RESOURCE_KEY;
		rc = decode_name(path, r, why);
	} else if (take_prefix(&path, "/log/")) {
		rc = route_log(path, r, why);
	} else if (take_prefix(&path, "/metrics") && !path.length) {
		r->resource = RESOURCE_METRICS;
	} else if (*path.at == '*') {
		r->resource = RESOURCE_SERVER;
	} else {
		*why = "there are /kv/KEY, /log/STREAM, /log/STREAM/SEQ and /metrics\n";
		return -404;
	}
	if (rc)
		return rc;
	if (!has_method(r))
		return -405;
	/* A parameter may change what a request means; one that we do not know is not to be passed over. */
	if (http->query.length && r->resource != RESOURCE_METRICS) {
		*why = "no query parameter is known here\n";
		return -400;
	}
	return 0;
}
