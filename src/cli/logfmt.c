/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/logfmt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROOM (LINE_MAX_BYTES - 2) /* a quote to close and the line feed always fit */

static void put(struct line *l, const char *bytes, size_t n)
{
	if (n > ROOM - l->length)
		n = ROOM - l->length;
	memcpy(l->text + l->length, bytes, n);
	l->length += n;
}

/* All of it or nothing: half an escape would be a different byte. */
static void put_whole(struct line *l, const char *bytes, size_t n)
{
	if (n <= ROOM - l->length)
		put(l, bytes, n);
}

static void put_key(struct line *l, const char *key)
{
	if (l->length)
		put_whole(l, " ", 1);
	put_whole(l, key, strlen(key));
	put_whole(l, "=", 1);
}

static bool is_plain(const char *value)
{
	for (const char *p = value; *p; p++)
		if (*p <= ' ' || *p > '~' || strchr("\"=\\", *p))
			return false;
	return value[0] != 0;
}

/* UTF-8 goes as it is; control characters, quote and backslash are escaped. */
static void put_quoted(struct line *l, const char *value)
{
	put_whole(l, "\"", 1);
	for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
		char escape[8];

		if (*p == '"' || *p == '\\')
			snprintf(escape, sizeof(escape), "\\%c", *p);
		else if (*p == '\n')
			snprintf(escape, sizeof(escape), "\\n");
		else if (*p < ' ' || *p == 0x7f)
			snprintf(escape, sizeof(escape), "\\x%02x", *p);
		else
			snprintf(escape, sizeof(escape), "%c", *p);
		put_whole(l, escape, strlen(escape));
	}
	l->text[l->length++] = '"';
}

void line_text(struct line *l, const char *key, const char *value)
{
	if (l->length + strlen(key) + 4 > ROOM)
		return;
	put_key(l, key);
	if (is_plain(value) && strlen(value) <= ROOM - l->length)
		put(l, value, strlen(value));
	else
		put_quoted(l, value);
}

void line_number(struct line *l, const char *key, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	line_text(l, key, text);
}

void line_real(struct line *l, const char *key, double value)
{
	char text[64];

	snprintf(text, sizeof(text), "%.3f", value);
	line_text(l, key, text);
}

void line_begin_at(struct line *l, struct timespec now, enum line_level level, const char *message)
{
	static const char *const names[] = {
	    [LINE_ERROR] = "error", [LINE_WARN] = "warn", [LINE_INFO] = "info"};
	char text[64];
	struct tm tm;

	l->length = 0;
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%03ldZ", now.tv_nsec / 1000000);
	line_text(l, "ts", text);
	line_text(l, "level", names[level]);
	line_text(l, "msg", message);
}

void line_begin(struct line *l, enum line_level level, const char *message)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	line_begin_at(l, now, level, message);
}

void line_finish(struct line *l)
{
	l->text[l->length++] = '\n';
}

void line_end(struct line *l)
{
	line_finish(l);
	/* A log that cannot be written is no reason to stop serving. */
	ssize_t n = write(STDERR_FILENO, l->text, l->length);
	(void)n;
}

void line_event(enum line_level level, const char *message, const char *key, const char *text)
{
	struct line l;

	line_begin(&l, level, message);
	if (text)
		line_text(&l, key, text);
	line_end(&l);
}
