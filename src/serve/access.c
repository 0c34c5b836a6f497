/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * access.c - who may ask for what.
 *
 * With tokens, a request is looked at no further than its head before its token is: what is refused for want
 * of one tells nothing of what is there, not even which paths exist. Open to everybody are /healthz and
 * /readyz, so that who only balances load needs no secret; they tell nothing else.
 */
#include "serve/service_inside.h"

#define REALM "Bearer realm=\"paste\""

static bool is_open(const struct service *s)
{
	return s->current.resource == RESOURCE_HEALTH || s->current.resource == RESOURCE_READY;
}

static enum token_right wanted(const struct http_request *http)
{
	bool reads = http->method == HTTP_GET || http->method == HTTP_HEAD || http->method == HTTP_OPTIONS;

	return reads ? TOKEN_READ : TOKEN_WRITE;
}

int access_check(struct service *s, const struct http_request *http, bool known)
{
	struct http_text field = http->fields[HTTP_AUTHORIZATION];

	if (!s->tokens || (known && is_open(s)))
		return 0;
	enum token_right right = tokens_check(s->tokens, field.at, field.length);
	if (right == TOKEN_NONE) {
		s->stats.denied[0]++;
		return 401;
	}
	if ((right & wanted(http)) != wanted(http)) {
		s->stats.denied[1]++;
		return 403;
	}
	return 0;
}

/* RFC 6750, 3: what is wrong is told only to who sent something. */
const char *access_challenge(bool was_sent, int status)
{
	if (status == 403)
		return REALM ", error=\"insufficient_scope\"";
	return was_sent ? REALM ", error=\"invalid_token\"" : REALM;
}
