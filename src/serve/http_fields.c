/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/http_fields.h"
#include "serve/http_rule.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

int http_parse_decimal(struct http_text text, uint64_t *value)
{
	uint64_t n = 0;
	bool overflow = false;

	if (!text.length)
		return -EINVAL;
	for (uint32_t i = 0; i < text.length; i++) {
		uint8_t digit = (uint8_t)(text.at[i] - '0');

		if (digit > 9)
			return -EINVAL;
		overflow |= n > (UINT64_MAX - digit) / 10;
		n = n * 10 + digit;
	}
	*value = n;
	return overflow ? -ERANGE : 0;
}

/* The one way in which we write a version: small letters, no leading zero. 0: it is none. */
uint64_t http_version(struct http_text opaque)
{
	uint64_t version = 0;

	if (!opaque.length || opaque.length > 16 || opaque.at[0] == '0')
		return 0;
	for (uint32_t i = 0; i < opaque.length; i++) {
		char c = opaque.at[i];

		if (c >= '0' && c <= '9')
			version = version << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			version = version << 4 | (uint64_t)(c - 'a' + 10);
		else
			return 0;
	}
	return version;
}

/* [W/] DQUOTE *etagc DQUOTE (RFC 9110, 8.8.3) at the front of *text, which goes forward behind it. */
static int take_tag(struct http_text *text, bool *weak, struct http_text *opaque)
{
	const char *at = text->at, *end = text->at + text->length;

	*weak = end - at >= 2 && at[0] == 'W' && at[1] == '/';
	if (*weak)
		at += 2;
	if (at == end || *at++ != '"')
		return -RULE_TAG_FORM;
	opaque->at = at;
	/* What else may not stand in a field's value was refused with the head. */
	while (at < end && *at != '"' && *at != ' ' && *at != '\t')
		at++;
	if (at == end || *at != '"')
		return -RULE_TAG_FORM;
	opaque->length = (uint32_t)(at - opaque->at);
	at++;
	*text = (struct http_text){at, (uint32_t)(end - at)};
	return 0;
}

static void skip_spaces(struct http_text *text)
{
	while (text->length && (*text->at == ' ' || *text->at == '\t')) {
		text->at++;
		text->length--;
	}
}

static int add_tag(struct http_tags *tags, struct http_text opaque)
{
	uint64_t version = http_version(opaque);

	if (!version)
		return 0;
	if (tags->n == HTTP_TAGS_MAX)
		return -RULE_TAGS_MANY;
	tags->versions[tags->n++] = version;
	return 0;
}

int http_add_tags(struct http_tags *tags, struct http_text line, bool weak_too)
{
	bool weak, has_tag = false;
	int rc = 0;

	if (tags->any || (line.length == 1 && *line.at == '*')) {
		if (tags->present)
			return -RULE_TAG_FORM; /* "*" stands alone */
		tags->present = tags->any = true;
		return 0;
	}
	tags->present = true;
	for (skip_spaces(&line); line.length; skip_spaces(&line)) {
		struct http_text opaque;

		if (*line.at == ',') {
			line.at++;
			line.length--;
			has_tag = false;
			continue;
		}
		if (has_tag || take_tag(&line, &weak, &opaque))
			return -RULE_TAG_FORM; /* two without a comma between */
		has_tag = true;
		if (!weak || weak_too)
			rc = add_tag(tags, opaque);
		if (rc)
			return rc;
	}
	return 0;
}

bool http_tags_match(const struct http_tags *tags, uint64_t version)
{
	if (!version)
		return false;
	if (tags->any)
		return true;
	for (int i = 0; i < tags->n; i++)
		if (tags->versions[i] == version)
			return true;
	return false;
}

uint64_t http_strong_tag(struct http_text value)
{
	struct http_text opaque;
	bool weak;

	if (take_tag(&value, &weak, &opaque) || weak || value.length)
		return 0;
	return http_version(opaque);
}

/* A position, too large ones as the largest: they lie behind every value's end all the same. */
static bool take_position(struct http_text *text, uint64_t *position)
{
	uint32_t n = 0;

	while (n < text->length && text->at[n] >= '0' && text->at[n] <= '9')
		n++;
	if (!n)
		return false;
	if (http_parse_decimal((struct http_text){text->at, n}, position))
		*position = UINT64_MAX;
	text->at += n;
	text->length -= n;
	return true;
}

struct http_range http_parse_range(struct http_text value)
{
	static const char unit[] = "bytes=";
	struct http_range range = {0};
	uint32_t n = sizeof(unit) - 1;

	if (value.length <= n || strncasecmp(value.at, unit, n))
		return range;
	value.at += n;
	value.length -= n;
	bool has_first = take_position(&value, &range.first);
	if (!value.length || *value.at != '-')
		return range;
	value.at++;
	value.length--;
	bool has_last = take_position(&value, &range.last);
	if (value.length || (!has_first && !has_last))
		return range;
	if (!has_last)
		range.last = UINT64_MAX;
	if (has_first && range.last < range.first)
		return range;
	range.kind = has_first ? HTTP_RANGE_FIRST : HTTP_RANGE_LAST;
	return range;
}

int http_range_of(const struct http_range *range, uint64_t length, uint64_t *first, uint64_t *count)
{
	if (range->kind == HTTP_RANGE_LAST) {
		*count = range->last < length ? range->last : length;
		*first = length - *count;
		return *count > 0;
	}
	if (range->first >= length)
		return 0;
	*first = range->first;
	*count = length - range->first;
	if (range->last - range->first < *count)
		*count = range->last - range->first + 1;
	return 1;
}
