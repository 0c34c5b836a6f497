/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch.c - POST /batch: several changes, all or none.
 *
 *	put KEY LENGTH [if-match=VERSION|*] [if-none-match=VERSION|*] [ttl=SECONDS] LF  BYTES LF
 *	delete KEY [if-match=VERSION|*] LF
 *	append STREAM LENGTH [expect=SEQ] LF  BYTES LF
 *
 * one behind the other, names percent-encoded. Values are not copied together: each is the slices of the body
 *that it lies in. The reply has a result for each change, in their order.
 */
#include "serve/service_inside.h"

#include "base/site.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096 /* a name of 1024 bytes in escapes, and the rest */
#define CHANGES_MAX 4096
#define WORDS_MAX 6

struct batch {
	const struct paste_ref *body; /* not read yet */
	uint32_t body_n, offset;      /* bytes of the first one that were read */
	struct paste_change *changes;
	struct paste_result *results;
	uint32_t n, room;
	struct text names;        /* decoded; changes have offsets until it is complete */
	struct paste_ref *slices; /* of values; the same */
	uint32_t slices_n, slices_room;
	char line[LINE_MAX_BYTES];
	const char *why;
	uint16_t status; /* that goes with it */
};

static bool at_end(const struct batch *b)
{
	return !b->body_n;
}

static void step(struct batch *b, uint32_t n)
{
	b->offset += n;
	if (b->offset == b->body->length) {
		b->body++;
		b->body_n--;
		b->offset = 0;
	}
}

/* What is left of the first slice. */
static struct http_text front(struct service *s, const struct batch *b)
{
	return (struct http_text){(const char *)paste_ref_data(s->region, *b->body) + b->offset,
				  b->body->length - b->offset};
}

/* Up to a line feed, which is taken too. */
static int take_line(struct service *s, struct batch *b, struct http_text *line)
{
	uint32_t n = 0;

	while (!at_end(b)) {
		struct http_text part = front(s, b);
		const char *lf = memchr(part.at, '\n', part.length);
		uint32_t take = lf ? (uint32_t)(lf - part.at) : part.length;

		if (n + take > sizeof(b->line))
			break;
		memcpy(b->line + n, part.at, take);
		n += take;
		step(b, take + (lf ? 1 : 0));
		if (lf) {
			*line = (struct http_text){b->line, n};
			return 0;
		}
	}
	b->why = "a line of the batch has no end";
	return -EINVAL;
}

static int take_value(struct service *s, struct batch *b, uint64_t length, struct paste_change *change)
{
	uint32_t size = paste_buffer_size(s->region);

	change->slices = (const void *)(uintptr_t)b->slices_n;
	while (length && !at_end(b)) {
		uint32_t have = b->body->length - b->offset, take = length < have ? (uint32_t)length : have;
		uint32_t from = b->body->offset + b->offset;

		if (b->slices_n == b->slices_room) {
			uint32_t room = b->slices_room ? 2 * b->slices_room : 64;
			struct paste_ref *grown = realloc(b->slices, room * sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			b->slices = grown;
			b->slices_room = room;
		}
		b->slices[b->slices_n++] = (struct paste_ref){b->body->buffer + from / size,
							      (uint16_t)(from % size), (uint16_t)take};
		change->n++;
		length -= take;
		step(b, take);
	}
	if (length || at_end(b) || *front(s, b).at != '\n') {
		b->why = "a value of the batch has not the length that it says, or no line feed behind it";
		return -EINVAL;
	}
	step(b, 1);
	return 0;
}

static int split(struct http_text line, struct http_text words[WORDS_MAX])
{
	int n = 0;

	for (;;) {
		const char *space = line.length ? memchr(line.at, ' ', line.length) : NULL;
		uint32_t length = space ? (uint32_t)(space - line.at) : line.length;

		if (!length || n == WORDS_MAX)
			return 0;
		words[n++] = (struct http_text){line.at, length};
		if (!space)
			return n;
		line.at += length + 1;
		line.length -= length + 1;
	}
}

static bool is_word(struct http_text word, const char *text)
{
	return word.length == strlen(text) && !memcmp(word.at, text, word.length);
}

/* NAME= at the front of the word, which goes behind it. */
static bool take_option(struct http_text *word, const char *name)
{
	size_t n = strlen(name);

	if (word->length <= n || memcmp(word->at, name, n))
		return false;
	word->at += n;
	word->length -= (uint32_t)n;
	return true;
}

static bool take_tag(struct http_text word, enum paste_condition any, enum paste_condition one,
		     struct paste_change *change)
{
	if (change->condition != PASTE_ALWAYS)
		return false;
	if (is_word(word, "*")) {
		change->condition = any;
		return true;
	}
	change->condition = one;
	change->expected = http_version(word);
	return change->expected != 0;
}

static bool take_word(struct service *s, struct http_text word, struct paste_change *change)
{
	uint64_t seconds;

	if (change->type == PASTE_APPEND) {
		if (change->condition != PASTE_ALWAYS || !take_option(&word, "expect="))
			return false;
		change->condition = PASTE_IF_VERSION;
		return http_parse_decimal(word, &change->expected) == 0;
	}
	if (take_option(&word, "if-match="))
		return take_tag(word, PASTE_IF_PRESENT, PASTE_IF_VERSION, change);
	if (change->type != PASTE_PUT)
		return false;
	if (take_option(&word, "if-none-match="))
		return take_tag(word, PASTE_IF_ABSENT, PASTE_IF_NOT_VERSION, change);
	if (change->expires || !take_option(&word, "ttl=") || http_parse_decimal(word, &seconds) ||
	    !seconds || seconds > 4000000000u)
		return false;
	change->expires = paste_store_time(s->store) + seconds * 1000;
	return true;
}

static int take_name(struct batch *b, struct http_text word, struct paste_change *change)
{
	uint8_t name[PASTE_KEY_MAX];
	int n = http_percent_decode(word, name, sizeof(name));

	if (n < 1) {
		b->why = "a name of the batch is badly encoded, or too long";
		return -EINVAL;
	}
	change->key = (const void *)(uintptr_t)b->names.n;
	change->key_length = (size_t)n;
	text_bytes(&b->names, name, (size_t)n);
	return b->names.failed ? -ENOMEM : 0;
}

static int take_change(struct service *s, struct batch *b, struct paste_change *change)
{
	struct http_text line, words[WORDS_MAX];
	uint64_t length = 0;
	int rc = take_line(s, b, &line);

	if (rc)
		return rc;
	int n = split(line, words), next = 3;
	b->why = "a line of the batch is not understood: put KEY LENGTH, delete KEY, append STREAM LENGTH";
	if (n < 2)
		return -EINVAL;
	if (is_word(words[0], "put"))
		change->type = PASTE_PUT;
	else if (is_word(words[0], "append"))
		change->type = PASTE_APPEND;
	else if (is_word(words[0], "delete"))
		change->type = PASTE_DELETE;
	else
		return -EINVAL;
	if (change->type == PASTE_DELETE)
		next = 2;
	else if (n < 3 || http_parse_decimal(words[2], &length))
		return -EINVAL;
	for (; next < n; next++)
		if (!take_word(s, words[next], change))
			return -EINVAL;
	rc = take_name(b, words[1], change);
	if (rc || change->type == PASTE_DELETE)
		return rc;
	return take_value(s, b, length, change);
}

static int take_changes(struct service *s, struct batch *b)
{
	while (!at_end(b)) {
		if (b->n == CHANGES_MAX) {
			b->why = "a batch has at most 4096 changes";
			b->status = 413;
			return -EINVAL;
		}
		if (b->n == b->room) {
			uint32_t room = b->room ? 2 * b->room : 16;
			struct paste_change *grown = realloc(b->changes, room * sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			b->changes = grown;
			b->room = room;
		}
		b->changes[b->n] = (struct paste_change){.condition = PASTE_ALWAYS};
		int rc = take_change(s, b, &b->changes[b->n]);
		if (rc)
			return rc;
		b->n++;
	}
	for (uint32_t i = 0; i < b->n; i++) {
		b->changes[i].key = b->names.at + (uintptr_t)b->changes[i].key;
		b->changes[i].slices = b->changes[i].n ? b->slices + (uintptr_t)b->changes[i].slices : NULL;
	}
	return 0;
}

static int refuse(struct batch *b, uint16_t status, const char *why)
{
	b->status = status;
	b->why = why;
	return -EINVAL;
}

/* What concerns all of it. */
static int make(struct service *s, const struct request *r, struct batch *b, const struct paste_retry *retry)
{
	if (!b->n)
		return refuse(b, 400, "the batch is empty");
	if (r->retry_length && b->n > PASTE_RETRY_CHANGES_MAX)
		return refuse(b, 413, "with an Idempotency-Key a batch has at most 256 changes");
	b->results = calloc(b->n, sizeof(*b->results));
	if (!b->results)
		return -ENOMEM;
	int rc = paste_store_apply(s->store, b->changes, b->n, r->retry_length ? retry : NULL, b->results);
	if (rc == -EFBIG)
		return refuse(b, 413, "the batch, or a value of it, is larger than the store accepts");
	if (rc == -EXDEV)
		return refuse(b, 400, "the names of the batch live in different logs of the region");
	for (uint32_t i = 0; rc == -EINVAL && i < b->n; i++)
		if (b->results[i].error)
			b->n = i; /* the one that is told */
	return rc == -EINVAL ? refuse(b, 400, "the batch names a key twice") : rc;
}

static void write_result(struct text *t, const struct paste_change *change, const struct paste_result *result)
{
	if (change->type == PASTE_APPEND) {
		text_string(t, "{\"seq\":");
		text_decimal(t, result->version);
		text_string(t, "}");
		return;
	}
	text_string(t, result->existed ? "{\"existed\":true" : "{\"existed\":false");
	if (change->type == PASTE_PUT) {
		text_string(t, ",\"version\":\"");
		text_hex(t, result->version);
		text_string(t, "\"");
	}
	text_string(t, "}");
}

static void write_failed(struct text *t, uint32_t i, const struct paste_change *change,
			 const struct paste_result *result)
{
	text_string(t, "{\"change\":");
	text_decimal(t, i);
	if (change->type == PASTE_APPEND) {
		text_string(t, ",\"next\":");
		text_decimal(t, result->version);
	} else if (result->version) {
		text_string(t, ",\"version\":\"");
		text_hex(t, result->version);
		text_string(t, "\"");
	}
	text_string(t, "}");
}

static void answer_done(struct service *s, struct connection *c, const struct request *r,
			const struct batch *b)
{
	struct text t = {0};
	uint64_t round = 0;

	text_string(&t, "{\"results\":[");
	for (uint32_t i = 0; i < b->n; i++) {
		if (b->results[i].round > round)
			round = b->results[i].round;
		if (b->changes[i].type == PASTE_APPEND)
			rounds_appended(s->rounds, b->changes[i].key, b->changes[i].key_length);
		text_string(&t, i ? ",\n" : "\n");
		write_result(&t, &b->changes[i], &b->results[i]);
	}
	text_string(&t, "\n]}\n");
	service_saw_round(s, round);
	struct reply *reply =
	    request_answer_text(s, c, r, 200, &t, SITE(batch_waits_for_round) ? round : 0);
	if (reply)
		reply->repeated = b->results[0].repeated;
}

static void answer_conditions(struct service *s, struct connection *c, const struct request *r,
			      const struct batch *b)
{
	struct text t = {0};
	uint64_t round = 0;
	int failed = 0;

	text_string(&t, "{\"failed\":[");
	for (uint32_t i = 0; i < b->n; i++) {
		if (b->results[i].round > round)
			round = b->results[i].round;
		if (!b->results[i].error)
			continue;
		text_string(&t, failed++ ? ",\n" : "\n");
		write_failed(&t, i, &b->changes[i], &b->results[i]);
	}
	text_string(&t, "\n]}\n");
	request_answer_text(s, c, r, 412, &t, SITE(batch_conditions_wait_for_round) ? round : 0);
}

static void answer_bad(struct service *s, struct connection *c, const struct request *r,
		       const struct batch *b)
{
	struct text t = {0};

	text_string(&t, "{\"change\":");
	text_decimal(&t, b->n);
	text_string(&t, ",\"error\":\"");
	text_string(&t, b->why);
	text_string(&t, "\"}\n");
	request_answer_text(s, c, r, b->status, &t, 0);
}

static void batch_free(struct batch *b)
{
	free(b->changes);
	free(b->results);
	free(b->names.at);
	free(b->slices);
	free(b);
}

void batch_post(struct service *s, struct connection *c, const struct request *r,
		const struct paste_ref *slices, uint32_t n)
{
	struct paste_retry retry = retry_of(s, r, slices, n);
	struct batch *b = calloc(1, sizeof(*b));
	int rc = -ENOMEM;

	retry.whole = true;
	if (!b) {
		request_fail(s, c, r, rc);
		return;
	}
	b->body = slices;
	b->body_n = n;
	b->status = 400;
	rc = take_changes(s, b);
	if (rc == 0)
		rc = make(s, r, b, &retry);
	if (rc == 0) {
		answer_done(s, c, r, b);
	} else if (rc == -EEXIST || rc == -ENOENT || rc == -ESTALE) {
		answer_conditions(s, c, r, b);
	} else if (rc == -EINVAL) {
		answer_bad(s, c, r, b);
	} else {
		request_fail(s, c, r, rc);
	}
	batch_free(b);
}
