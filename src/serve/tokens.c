/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/tokens.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORDS (TOKEN_LENGTH_MAX / 8)

/* Padded with zeroes, which no token contains, so that equal words mean equal tokens. */
struct token {
	uint64_t word[WORDS];
	uint64_t right;
	uint64_t uses;
	char name[TOKEN_NAME_MAX + 1];
};

struct tokens {
	size_t count;
	struct token token[TOKENS_MAX];
};

/* token68 (RFC 9110, 11.2) */
static bool is_token_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~+/=", c));
}

struct span {
	const char *at;
	size_t length;
};

static struct span next_word(struct span *rest)
{
	while (rest->length && (*rest->at == ' ' || *rest->at == '\t' || *rest->at == '\r')) {
		rest->at++;
		rest->length--;
	}
	struct span word = {rest->at, 0};
	while (rest->length && *rest->at != ' ' && *rest->at != '\t' && *rest->at != '\r') {
		rest->at++;
		rest->length--;
		word.length++;
	}
	return word;
}

static bool is(struct span word, const char *text)
{
	return word.length == strlen(text) && !memcmp(word.at, text, word.length);
}

/* NULL, or what is wrong. Never the token itself: it would end in a log. */
static const char *parse_line(struct tokens *t, struct span line)
{
	struct span secret = next_word(&line), right = next_word(&line), name = next_word(&line),
		    more = next_word(&line);
	struct token token = {.right = is(right, "rw") ? TOKEN_WRITE : TOKEN_READ};

	if (secret.length < TOKEN_LENGTH_MIN || secret.length > TOKEN_LENGTH_MAX)
		return "a token has 16 to 128 characters";
	for (size_t i = 0; i < secret.length; i++)
		if (!is_token_character(secret.at[i]))
			return "a token has letters, digits and -._~+/= only";
	if (!is(right, "rw") && !is(right, "ro"))
		return "rw or ro has to stand behind the token";
	if (name.length > TOKEN_NAME_MAX || more.length)
		return "a name is one word of at most 63 bytes, and nothing stands behind it";
	if (t->count == TOKENS_MAX)
		return "at most 256 tokens";
	memcpy(token.word, secret.at, secret.length);
	memcpy(token.name, name.at, name.length);
	for (size_t i = 0; i < t->count; i++)
		if (!memcmp(t->token[i].word, token.word, sizeof(token.word)))
			return "this token stands there twice";
	t->token[t->count++] = token;
	explicit_bzero(&token, sizeof(token));
	return NULL;
}

int tokens_parse(struct tokens **tokens, const char *name, const char *text, size_t length,
		 struct paste_error *err)
{
	struct tokens *t = calloc(1, sizeof(*t));
	const char *end = text + length;
	int line = 0;

	if (!t)
		return paste_fail(err, -ENOMEM, "no memory for tokens");
	while (text < end) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		struct span rest = {text, (size_t)((lf ? lf : end) - text)}, look = rest;
		struct span first = next_word(&look);
		const char *wrong = NULL;

		line++;
		text = lf ? lf + 1 : end;
		if (first.length && *first.at != '#')
			wrong = parse_line(t, rest);
		if (wrong) {
			tokens_free(t);
			return paste_fail(err, -EINVAL, "%s, line %d: %s", name, line, wrong);
		}
	}
	if (!t->count) {
		tokens_free(t);
		return paste_fail(err, -EINVAL, "%s: no token is in it", name);
	}
	*tokens = t;
	return 0;
}

void tokens_free(struct tokens *t)
{
	if (!t)
		return;
	explicit_bzero(t, sizeof(*t));
	free(t);
}

/* All ones if equal, else 0, without a branch on what differs. */
static uint64_t equal_mask(const uint64_t *a, const uint64_t *b)
{
	uint64_t differ = 0;

	for (int i = 0; i < WORDS; i++)
		differ |= a[i] ^ b[i];
	return ((differ | -differ) >> 63) - 1;
}

/* The scheme is no secret (and case does not count, RFC 9110, 11.1). */
static bool take_scheme(struct span *value)
{
	if (value->length < 7 || strncasecmp(value->at, "Bearer ", 7))
		return false;
	value->at += 7;
	value->length -= 7;
	while (value->length && *value->at == ' ') {
		value->at++;
		value->length--;
	}
	return value->length > 0 && value->length <= TOKEN_LENGTH_MAX && !memchr(value->at, 0, value->length);
}

enum token_right tokens_check(struct tokens *t, const char *at, size_t length)
{
	struct span sent = {at, length};
	uint64_t word[WORDS] = {0}, right = TOKEN_NONE;

	if (!at || !take_scheme(&sent))
		return TOKEN_NONE;
	memcpy(word, sent.at, sent.length);
	for (size_t i = 0; i < t->count; i++) {
		uint64_t mask = equal_mask(word, t->token[i].word);

		right |= mask & t->token[i].right;
		t->token[i].uses += mask & 1;
	}
	return (enum token_right)right;
}

size_t tokens_count(const struct tokens *t)
{
	return t->count;
}

uint64_t tokens_uses(const struct tokens *t, size_t i, const char **name)
{
	*name = t->token[i].name[0] ? t->token[i].name : NULL;
	return t->token[i].uses;
}
