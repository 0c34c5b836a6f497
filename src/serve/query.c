/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/query.h"

#include "serve/http_parse.h"

#include <string.h>

static const struct {
	const char *name;
	bool is_number;
} known[QUERY_NAMES] = {
    [QUERY_PREFIX] = {"prefix", false}, [QUERY_AFTER] = {"after", false},  [QUERY_LIMIT] = {"limit", true},
    [QUERY_FROM] = {"from", true},      [QUERY_FOLLOW] = {"follow", true}, [QUERY_BEFORE] = {"before", true},
    [QUERY_EXPECT] = {"expect", true},
};

static int find(struct http_text name)
{
	for (int i = 0; i < QUERY_NAMES; i++)
		if (strlen(known[i].name) == name.length && !memcmp(known[i].name, name.at, name.length))
			return i;
	return -1;
}

static int take_text(struct http_text value, struct query_text *text, const char **why)
{
	int n = http_percent_decode(value, text->bytes, sizeof(text->bytes));

	if (n < 0) {
		*why = "prefix and after are percent-encoded and have at most 1024 bytes\n";
		return -400;
	}
	text->length = (uint32_t)n;
	return 0;
}

static int take_pair(struct http_text pair, uint32_t allowed, struct query *q, struct query_text *prefix,
		     struct query_text *after, const char **why)
{
	const char *equals = pair.length ? memchr(pair.at, '=', pair.length) : NULL;
	struct http_text name = {pair.at, equals ? (uint32_t)(equals - pair.at) : pair.length};
	struct http_text value = {pair.at + name.length + 1, equals ? pair.length - name.length - 1 : 0};
	int i = find(name);

	if (i < 0 || !(allowed & QUERY_BIT(i))) {
		*why = "a query parameter is not known here\n";
		return -400;
	}
	if (!equals || query_has(q, (enum query_name)i)) {
		*why = "a query parameter has no value, or two\n";
		return -400;
	}
	q->given |= QUERY_BIT(i);
	if (!known[i].is_number)
		return take_text(value, i == QUERY_PREFIX ? prefix : after, why);
	if (http_parse_decimal(value, &q->numbers[i])) {
		*why = "a query parameter is no decimal number\n";
		return -400;
	}
	return 0;
}

int query_parse(struct http_text text, uint32_t allowed, struct query *q, struct query_text *prefix,
		struct query_text *after, const char **why)
{
	q->given = 0;
	while (text.length) {
		const char *ampersand = memchr(text.at, '&', text.length);
		struct http_text pair = {text.at, ampersand ? (uint32_t)(ampersand - text.at) : text.length};
		int rc = take_pair(pair, allowed, q, prefix, after, why);

		if (rc)
			return rc;
		uint32_t step = pair.length + (ampersand ? 1 : 0);
		if (ampersand && step == text.length) {
			*why = "a query parameter is not known here\n"; /* nothing stands behind the '&' */
			return -400;
		}
		text.at += step;
		text.length -= step;
	}
	return 0;
}
