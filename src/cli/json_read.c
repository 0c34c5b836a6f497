/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/json_read.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	struct json_table *table;
	const char *at, *end;
	char path[JSON_PATH_MAX];
	size_t path_length;
	unsigned depth;
};

static void skip_space(struct reader *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
		r->at++;
}

static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static int keep(struct reader *r, char *text)
{
	struct json_table *t = r->table;

	if (!text)
		return -ENOMEM;
	if (r->path_length >= sizeof(r->path)) {
		free(text);
		return 0;
	}
	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct json_value *grown = realloc(t->values, room * sizeof(*grown));

		if (!grown) {
			free(text);
			return -ENOMEM;
		}
		t->values = grown;
		t->room = room;
	}
	char *path = strndup(r->path, r->path_length);
	if (!path) {
		free(text);
		return -ENOMEM;
	}
	t->values[t->count++] = (struct json_value){path, text};
	return 0;
}

/* One step down; what was the path's length before is what to go back to. */
static size_t descend(struct reader *r, const char *name, size_t length)
{
	size_t before = r->path_length, dot = before ? 1 : 0;

	if (before + dot + length < sizeof(r->path)) {
		if (dot)
			r->path[before] = '.';
		memcpy(r->path + before + dot, name, length);
		r->path_length = before + dot + length;
	} else {
		r->path_length = sizeof(r->path); /* and stays too long below */
	}
	return before;
}

static size_t encode(char *to, unsigned c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	to[0] = (char)(0xe0 | c >> 12);
	to[1] = (char)(0x80 | (c >> 6 & 0x3f));
	to[2] = (char)(0x80 | (c & 0x3f));
	return 3;
}

/* After the backslash. Surrogates are encoded one by one: nobody here sends any. The number of bytes, 0: no
 * escape. */
static size_t read_escape(struct reader *r, char *to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *found = r->at < r->end && *r->at ? strchr(from, *r->at) : NULL;
	unsigned code = 0;

	if (found) {
		*to = into[found - from];
		r->at++;
		return 1;
	}
	if (r->end - r->at < 5 || *r->at++ != 'u')
		return 0;
	for (int i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)*r->at++, folded = c | 0x20;

		if (c >= '0' && c <= '9')
			code = code << 4 | (c - '0');
		else if (folded >= 'a' && folded <= 'f')
			code = code << 4 | (folded - 'a' + 10u);
		else
			return 0;
	}
	return encode(to, code);
}

/* NULL: not a string (errno EINVAL), or no memory. */
static char *read_string(struct reader *r, size_t *length)
{
	errno = EINVAL;
	if (!take(r, '"'))
		return NULL;
	char *text = malloc((size_t)(r->end - r->at) + 1);
	size_t n = 0;
	while (text && r->at < r->end && *r->at != '"') {
		char c = *r->at++;
		size_t wrote = 1;

		if (c == '\\')
			wrote = read_escape(r, text + n);
		else
			text[n] = c;
		if (!wrote || (unsigned char)c < ' ') {
			free(text);
			errno = EINVAL;
			return NULL;
		}
		n += wrote;
	}
	if (text && r->at == r->end) {
		free(text);
		errno = EINVAL;
		return NULL;
	}
	if (text) {
		r->at++;
		text[n] = 0;
		*length = n;
	}
	return text;
}

static int read_value(struct reader *r);

static int read_members(struct reader *r, char close, bool named)
{
	unsigned long index = 0;

	if (take(r, close))
		return 0;
	do {
		char number[24], *name = NULL;
		size_t length;

		if (named) {
			skip_space(r);
			name = read_string(r, &length);
			if (!name)
				return -errno;
			if (!take(r, ':')) {
				free(name);
				return -EINVAL;
			}
		} else {
			length = (size_t)snprintf(number, sizeof(number), "%lu", index++);
		}
		size_t before = descend(r, name ? name : number, length);
		int rc = read_value(r);
		r->path_length = before;
		free(name);
		if (rc < 0)
			return rc;
	} while (take(r, ','));
	return take(r, close) ? 0 : -EINVAL;
}

static int read_bare(struct reader *r)
{
	const char *from = r->at;

	while (r->at < r->end && *r->at && strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *r->at))
		r->at++;
	return r->at == from ? -EINVAL : keep(r, strndup(from, (size_t)(r->at - from)));
}

static int read_value(struct reader *r)
{
	size_t length;
	int rc;

	skip_space(r);
	if (r->at == r->end)
		return -EINVAL;
	if (*r->at == '"') {
		char *text = read_string(r, &length);

		return text ? keep(r, text) : -errno;
	}
	if (*r->at != '{' && *r->at != '[')
		return read_bare(r);
	if (r->depth == JSON_DEPTH_MAX)
		return -EINVAL;
	r->depth++;
	rc = *r->at++ == '{' ? read_members(r, '}', true) : read_members(r, ']', false);
	r->depth--;
	return rc;
}

int json_read(struct json_table *t, const char *text, size_t length)
{
	struct reader r = {.table = t, .at = text, .end = text + length};

	*t = (struct json_table){NULL};
	int rc = read_value(&r);
	skip_space(&r);
	return rc ? rc : r.at == r.end ? 0 : -EINVAL;
}

void json_free(struct json_table *t)
{
	for (size_t i = 0; i < t->count; i++) {
		free(t->values[i].path);
		free(t->values[i].text);
	}
	free(t->values);
	*t = (struct json_table){NULL};
}

const char *json_find(const struct json_table *t, const char *path)
{
	for (size_t i = 0; i < t->count; i++)
		if (!strcmp(t->values[i].path, path))
			return t->values[i].text;
	return "";
}

uint64_t json_find_unsigned(const struct json_table *t, const char *path)
{
	return strtoull(json_find(t, path), NULL, 10);
}
