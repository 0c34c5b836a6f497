/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/chunk.h"

#include "serve/http_parse.h"
#include "serve/http_rule.h"

#include <assert.h>

#define SIZE_DIGITS_MAX 16

enum {
	SIZE_FIRST, /* a digit must come */
	SIZE,
	SIZE_SPACE,      /* behind it; only an extension may follow */
	EXTENSION_FIRST, /* behind ';' */
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_FIRST, /* a field's name, or the end */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
	DONE,
	BAD,
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static int scan_size(struct chunk_scan *k, char c)
{
	int digit = http_hex_digit((uint8_t)c);

	if (digit >= 0) {
		if (k->digits++ == SIZE_DIGITS_MAX)
			return BAD;
		k->left = k->left << 4 | (uint64_t)digit;
		return SIZE;
	}
	if (!k->digits)
		return BAD;
	return c == '\r' ? SIZE_LF : c == ';' ? EXTENSION_FIRST : is_space(c) ? SIZE_SPACE : BAD;
}

static int scan_size_lf(struct chunk_scan *k, char c)
{
	if (c != '\n')
		return BAD;
	if (k->left)
		return DATA;
	k->overhead = 0;
	return TRAILER_FIRST;
}

/* The state after `c`. */
static int scan_byte(struct chunk_scan *k, char c)
{
	uint8_t byte = (uint8_t)c;

	switch (k->state) {
	case SIZE_FIRST:
	case SIZE:
		return scan_size(k, c);
	case SIZE_SPACE:
		return c == ';' ? EXTENSION_FIRST : is_space(c) ? SIZE_SPACE : BAD;
	case EXTENSION_FIRST:
		return http_is_token(byte) ? EXTENSION : is_space(c) ? EXTENSION_FIRST : BAD;
	case EXTENSION:
		return c == '\r' ? SIZE_LF : http_is_value(byte) ? EXTENSION : BAD;
	case SIZE_LF:
		return scan_size_lf(k, c);
	case DATA_CR:
		return c == '\r' ? DATA_LF : BAD;
	case DATA_LF:
		return c == '\n' ? SIZE_FIRST : BAD;
	case TRAILER_FIRST:
		return c == '\r' ? END_LF : http_is_token(byte) ? TRAILER_NAME : BAD;
	case TRAILER_NAME:
		return c == ':' ? TRAILER_VALUE : http_is_token(byte) ? TRAILER_NAME : BAD;
	case TRAILER_VALUE:
		return c == '\r' ? TRAILER_LF : http_is_value(byte) ? TRAILER_VALUE : BAD;
	case TRAILER_LF:
		return c == '\n' ? TRAILER_FIRST : BAD;
	case END_LF:
		return c == '\n' ? DONE : BAD;
	default:
		return BAD;
	}
}

/* Which rule does `c` break, that no state follows `state` with? */
static int broken_rule(const struct chunk_scan *k, uint8_t state, char c)
{
	if (state == SIZE_LF || state == DATA_LF || state == TRAILER_LF || state == END_LF)
		return -RULE_CHUNK_BARE_CR;
	if (c == '\n')
		return -RULE_CHUNK_BARE_LF;
	switch (state) {
	case SIZE_FIRST:
		return -RULE_CHUNK_SIZE;
	case SIZE:
		return k->digits > SIZE_DIGITS_MAX ? -RULE_CHUNK_SIZE_LONG : -RULE_CHUNK_SIZE;
	case SIZE_SPACE:
		return -RULE_CHUNK_SIZE_END;
	case EXTENSION_FIRST:
	case EXTENSION:
		return -RULE_CHUNK_EXTENSION;
	case DATA_CR:
		return -RULE_CHUNK_END;
	default:
		return -RULE_TRAILER_FORM;
	}
}

/* Bytes that are no part of the body and of which a client could send any number. */
static int count_overhead(struct chunk_scan *k)
{
	switch (k->state) {
	case SIZE_SPACE:
	case EXTENSION_FIRST:
	case EXTENSION:
		return k->overhead++ == CHUNK_EXTENSIONS_MAX ? -RULE_CHUNK_EXTENSIONS_LARGE : 0;
	case TRAILER_NAME:
	case TRAILER_VALUE:
	case TRAILER_LF:
		return k->overhead++ == CHUNK_TRAILER_MAX ? -RULE_TRAILER_LARGE : 0;
	default:
		return 0;
	}
}

int chunk_scan(struct chunk_scan *k, const char *bytes, uint32_t length)
{
	uint32_t n = 0;

	while (n < length && k->state != DATA && k->state != DONE) {
		uint8_t before = k->state;

		k->state = (uint8_t)scan_byte(k, bytes[n++]);
		if (k->state == BAD)
			return broken_rule(k, before, bytes[n - 1]);
		int rc = count_overhead(k);
		if (rc) {
			k->state = BAD;
			return rc;
		}
	}
	return (int)n;
}

void chunk_took(struct chunk_scan *k, uint32_t n)
{
	assert(k->state == DATA && n <= k->left);
	k->left -= n;
	if (k->left)
		return;
	k->state = DATA_CR;
	k->digits = 0;
}

bool chunk_has_data(const struct chunk_scan *k)
{
	return k->state == DATA;
}

bool chunk_is_done(const struct chunk_scan *k)
{
	return k->state == DONE;
}
