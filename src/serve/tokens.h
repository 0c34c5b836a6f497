/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tokens.h - who may ask for what: bearer tokens (RFC 6750) and their rights.
 *
 * A token file has lines "TOKEN rw" or "TOKEN ro", with a name behind if wanted; empty lines and lines that
 * begin with
 * '#' are skipped. A token has 16 to 128 characters of those that the Authorization field may carry.
 *
 * Looking one up takes the same time whatever was sent and whatever is right: it is compared whole with every
 * token, so an attacker learns nothing from how long a refusal takes. That costs some 10 ns a token; at most
 * TOKENS_MAX.
 */
#ifndef SERVE_TOKENS_H
#define SERVE_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "paste/error.h"

#define TOKENS_MAX 256
#define TOKEN_LENGTH_MIN 16
#define TOKEN_LENGTH_MAX 128
#define TOKEN_NAME_MAX 63

enum token_right {
	TOKEN_NONE = 0, /* no such token, or none was sent */
	TOKEN_READ = 1,
	TOKEN_WRITE = 3, /* and read */
};

struct tokens;

/* Out of a file's text. -EINVAL with the line that is wrong; no token at all is wrong, too. `name` is used in
 * sentences. */
int tokens_parse(struct tokens **tokens, const char *name, const char *text, size_t length,
		 struct paste_error *err);
void tokens_free(struct tokens *t); /* wipes them; NULL is fine */

/* The right of the value of an Authorization field ("Bearer TOKEN"); `at` NULL: there is no such field. */
enum token_right tokens_check(struct tokens *t, const char *at, size_t length);

/* For counting: how often each was used. NULL for `name`: the line says none. */
size_t tokens_count(const struct tokens *t);
uint64_t tokens_uses(const struct tokens *t, size_t i, const char **name);

#endif
