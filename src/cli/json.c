/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void write_quoted(FILE *out, const char *text)
{
	putc('"', out);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p < 0x20 || *p > 0x7e)
			fprintf(out, "\\u%04x", *p);
		else
			putc(*p, out);
	}
	putc('"', out);
}

static void next_line(struct json *j)
{
	putc('\n', j->out);
	for (unsigned int i = 0; i < j->depth; i++)
		fputs("  ", j->out);
}

static void begin_value(struct json *j, const char *key)
{
	if (j->filled)
		putc(',', j->out);
	if (j->depth && !j->flat)
		next_line(j);
	else if (j->filled && j->flat)
		putc(' ', j->out);
	if (key) {
		write_quoted(j->out, key);
		fputs(": ", j->out);
	}
	j->filled = true;
}

static void begin_nested(struct json *j, const char *key, char bracket)
{
	begin_value(j, key);
	putc(bracket, j->out);
	j->depth++;
	j->filled = false;
}

static void end_nested(struct json *j, char bracket)
{
	j->depth--;
	if (j->filled && !j->flat)
		next_line(j);
	putc(bracket, j->out);
	j->filled = true;
	if (!j->depth) {
		putc('\n', j->out);
		j->filled = false; /* what follows is a text of its own */
	}
}

void json_object(struct json *j, const char *key)
{
	begin_nested(j, key, '{');
}

void json_list(struct json *j, const char *key)
{
	begin_nested(j, key, '[');
}

void json_end_object(struct json *j)
{
	end_nested(j, '}');
}

void json_end_list(struct json *j)
{
	end_nested(j, ']');
}

void json_string(struct json *j, const char *key, const char *value)
{
	begin_value(j, key);
	write_quoted(j->out, value ? value : "");
}

void json_unsigned(struct json *j, const char *key, uint64_t value)
{
	begin_value(j, key);
	fprintf(j->out, "%" PRIu64, value);
}

void json_signed(struct json *j, const char *key, int64_t value)
{
	begin_value(j, key);
	fprintf(j->out, "%" PRId64, value);
}

void json_real(struct json *j, const char *key, double value)
{
	begin_value(j, key);
	/* JSON has no infinity: a rate over no time at all is nothing. */
	fprintf(j->out, "%.3f", isfinite(value) ? value : 0.0);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin_value(j, key);
	fputs(value ? "true" : "false", j->out);
}

void json_raw(struct json *j, const char *key, const char *value)
{
	size_t length = strlen(value);

	begin_value(j, key);
	while (length > 0 && value[length - 1] == '\n')
		length--;
	fwrite(value, 1, length, j->out);
}
