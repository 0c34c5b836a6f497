/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logfmt.h - lines of a log for machines and people: key=value, one event a line, on stderr.
 *
 *	ts=2026-11-25T09:41:12.345Z level=info msg="region opened" path=/srv/first keys=12
 *
 *	struct line l;
 *	line_begin(&l, LINE_INFO, "region opened");
 *	line_text(&l, "path", path);
 *	line_number(&l, "keys", 12);
 *	line_end(&l);
 *
 * A line goes out in one write, so that lines of several processes do not mix. Values with anything but
 *letters, digits and plain punctuation are quoted, so nobody outside can begin a new line or a new key. What
 *does not fit is cut off.
 */
#ifndef CLI_LOGFMT_H
#define CLI_LOGFMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum line_level {
	LINE_ERROR, /* something does not work */
	LINE_WARN,  /* it works, and somebody should look */
	LINE_INFO,
};

#define LINE_MAX_BYTES 2048

struct line {
	char text[LINE_MAX_BYTES];
	size_t length;
};

void line_begin(struct line *l, enum line_level level, const char *message);
void line_begin_at(struct line *l, struct timespec now, enum line_level level, const char *message);
void line_text(struct line *l, const char *key, const char *value);
void line_number(struct line *l, const char *key, uint64_t value);
void line_real(struct line *l, const char *key, double value); /* three decimals */
void line_end(struct line *l);                                 /* to stderr */
void line_finish(struct line *l); /* only the line feed: text and length are the line */

/* A whole line; `text` is the value of one key, or NULL. */
void line_event(enum line_level level, const char *message, const char *key, const char *text);

#endif
