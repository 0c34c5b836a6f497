/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * query.h - what stands behind the '?' of a target: name=value pairs, '&' between them.
 *
 * A parameter may change what a request means, so one that is not known, or comes twice, is refused and not
 * passed over. Values are percent-encoded like paths: a '+' is a plus sign.
 */
#ifndef SERVE_QUERY_H
#define SERVE_QUERY_H

#include "paste/store.h"
#include "serve/http_fields.h"

enum query_name {
	QUERY_PREFIX,
	QUERY_AFTER,
	QUERY_LIMIT,
	QUERY_FROM,
	QUERY_FOLLOW,
	QUERY_BEFORE,
	QUERY_EXPECT,
	QUERY_NAMES,
};

#define QUERY_BIT(name) (1u << (name))

struct query_text {
	uint32_t length;
	uint8_t bytes[PASTE_KEY_MAX];
};

struct query {
	uint32_t given;                /* bits */
	uint64_t numbers[QUERY_NAMES]; /* of those that are numbers */
};

static inline bool query_has(const struct query *q, enum query_name name)
{
	return q->given & QUERY_BIT(name);
}

/* `allowed`: bits. The texts of `prefix` and `after` are written if they are allowed and given. 0, or -400
 * and a sentence why. */
int query_parse(struct http_text text, uint32_t allowed, struct query *q, struct query_text *prefix,
		struct query_text *after, const char **why);

#endif
