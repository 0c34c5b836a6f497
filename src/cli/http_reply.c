/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/http_reply.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define BODY_LIMIT ((uint64_t)1 << 31) /* more than a body of ours can have */

struct head {
	struct http_reply *reply;
	bool has_length;
};

/* "HTTP/1.1 200 ..." */
static bool parse_status_line(const char *line, size_t length, struct http_reply *reply)
{
	if (length < 12 || memcmp(line, "HTTP/1.", 7) || (line[7] != '0' && line[7] != '1') || line[8] != ' ')
		return false;
	reply->status = 0;
	for (int i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return false;
		reply->status = reply->status * 10 + (unsigned int)(line[i] - '0');
	}
	reply->close = line[7] == '0';
	return reply->status >= 200 && reply->status < 600 && (length == 12 || line[12] == ' ');
}

static bool is_name(const char *line, size_t length, const char *name, size_t name_length)
{
	return length == name_length && !strncasecmp(line, name, name_length);
}

static bool parse_length(const char *value, size_t length, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < length; i++) {
		if (value[i] < '0' || value[i] > '9' || *number > BODY_LIMIT)
			return false;
		*number = *number * 10 + (uint64_t)(value[i] - '0');
	}
	return length > 0 && *number <= BODY_LIMIT;
}

static bool parse_field(const char *line, size_t length, struct head *h)
{
	const char *colon = memchr(line, ':', length);

	if (!colon)
		return false;
	size_t name = (size_t)(colon - line);
	const char *value = colon + 1;
	const char *end = line + length;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (is_name(line, name, "content-length", 14)) {
		h->has_length = true;
		return parse_length(value, (size_t)(end - value), &h->reply->body_length);
	}
	if (is_name(line, name, "transfer-encoding", 17))
		return false;
	if (is_name(line, name, "connection", 10) && is_name(value, (size_t)(end - value), "close", 5))
		h->reply->close = true;
	return true;
}

/* The first end of a line in [from, to), or NULL. memmem() is several times slower for what is so short. */
static const char *line_ends(const char *from, const char *to)
{
	for (const char *at = from; (at = memchr(at, '\n', (size_t)(to - at))); at++)
		if (at > from && at[-1] == '\r')
			return at - 1;
	return NULL;
}

/* Where the empty line that ends the head is: the end of the line before it, or NULL. */
static const char *head_ends(const char *data, size_t length)
{
	const char *at = data, *to = data + length;

	while ((at = line_ends(at, to)) && (to - at < 4 || at[2] != '\r' || at[3] != '\n'))
		at += 2;
	return at;
}

int64_t http_reply_parse(const char *data, size_t length, struct http_reply *reply)
{
	size_t look = length < HTTP_REPLY_HEAD_MAX ? length : HTTP_REPLY_HEAD_MAX;
	const char *end = head_ends(data, look);
	struct head h = {.reply = reply};

	if (!end)
		return length < HTTP_REPLY_HEAD_MAX ? 0 : -EPROTO;
	reply->body = end + 4;
	reply->body_length = 0;
	const char *line = data;
	while (line < end + 2) {
		const char *line_end = line_ends(line, end + 2);
		if (!line_end)
			return -EPROTO;
		size_t line_length = (size_t)(line_end - line);
		bool good = line == data ? parse_status_line(line, line_length, reply)
					 : parse_field(line, line_length, &h);
		if (!good)
			return -EPROTO;
		line = line_end + 2;
	}
	/* RFC 9112, 6.3: these two never have a body, whatever their fields say. */
	if (reply->status == 204 || reply->status == 304)
		reply->body_length = 0;
	else if (!h.has_length)
		return -EPROTO;
	return reply->body - data + (int64_t)reply->body_length;
}
