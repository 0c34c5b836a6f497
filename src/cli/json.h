/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json.h - writing JSON, indented, to a stream. The caller opens and closes objects and lists in pairs; the
 * writer puts commas, escapes and numbers. `key` is NULL inside a list and for the outermost object.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *out;
	unsigned int depth;
	bool filled; /* something stands already in the object or list that is open */
	bool flat;   /* all on one line */
};

void json_object(struct json *j, const char *key);
void json_list(struct json *j, const char *key);
void json_end_object(struct json *j); /* the outermost one ends the line */
void json_end_list(struct json *j);

/* Bytes that are not printable ASCII are written as \u00XX: names are bytes, and the output stays valid. */
void json_string(struct json *j, const char *key, const char *value);
void json_unsigned(struct json *j, const char *key, uint64_t value);
void json_signed(struct json *j, const char *key, int64_t value);
void json_real(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
/* A value that is JSON already; a line feed at its end is left out. */
void json_raw(struct json *j, const char *key, const char *value);

#endif
