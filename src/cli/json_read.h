/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_read.h - what a service answered, as a table of paths: "store.copies.tiny" of {"store": {"copies":
 * {"tiny": 3}}}, "bins.0" of {"bins": [7]}. Numbers, truth values and null are kept as their text, strings
 * decoded (RFC 8259).
 */
#ifndef CLI_JSON_READ_H
#define CLI_JSON_READ_H

#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16
#define JSON_PATH_MAX 256 /* bytes, what is longer is left out */

struct json_value {
	char *path;
	char *text;
};

struct json_table {
	struct json_value *values; /* in the order of the text */
	size_t count, room;
};

/* 0, -EINVAL: not JSON, or nested too deep, -ENOMEM. The table is to be freed in any case. */
int json_read(struct json_table *t, const char *text, size_t length);
void json_free(struct json_table *t);

/* "" and 0 if it is not there. */
const char *json_find(const struct json_table *t, const char *path);
uint64_t json_find_unsigned(const struct json_table *t, const char *path);

#endif
