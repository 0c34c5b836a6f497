/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known to be damaged: the report, and the keys that may be missing because of it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"

#define DAMAGE_MAX 10000 /* items kept; beyond it the medium is a ruin and one more line helps nobody */

void damage_note(struct paste_store *s, uint64_t offset, bool repaired, const char *format, ...)
{
	struct paste_damage item = {.offset = offset, .repaired = repaired};
	va_list ap;

	va_start(ap, format);
	vsnprintf(item.what, sizeof(item.what), format, ap);
	va_end(ap);
	if (s->damage_count == DAMAGE_MAX)
		return;
	for (size_t i = 0; i < s->damage_count; i++) {
		if (s->damage[i].offset == offset && strcmp(s->damage[i].what, item.what) == 0)
			return;
	}
	struct paste_damage *more = realloc(s->damage, (s->damage_count + 1) * sizeof(*more));
	if (!more)
		return;
	s->damage = more;
	s->damage[s->damage_count++] = item;
}

size_t paste_store_damage(struct paste_store *s, size_t from, void (*report)(void *arg, const struct paste_damage *),
			  void *arg)
{
	size_t told = 0;

	for (size_t i = from; i < s->damage_count; i++, told++)
		report(arg, &s->damage[i]);
	return told;
}

void damage_note_missing(struct paste_store *s, const struct stream *st, const char *name)
{
	for (uint64_t i = st->first; i < st->next;) {
		uint64_t there = stream_seek(st, i);
		if (there == i + 1)
			damage_note(s, 0, false, "stream %s entry %llu: lost", name, (unsigned long long)i);
		else if (there > i)
			damage_note(s, 0, false, "stream %s entries %llu to %llu: lost", name, (unsigned long long)i,
				    (unsigned long long)there - 1);
		i = there + 1;
	}
}

static struct lost *lost_add(struct paste_store *s)
{
	struct lost *more = realloc(s->lost, (s->lost_count + 1) * sizeof(*more));

	if (!more)
		return NULL;
	s->lost = more;
	more[s->lost_count] = (struct lost){0};
	return &more[s->lost_count++];
}

static bool same_end(const uint8_t *a, size_t a_length, const void *b, size_t b_length)
{
	return a_length == b_length && (a_length == 0 || memcmp(a, b, a_length) == 0);
}

int lost_interval(struct paste_store *s, bool streams, const void *low, size_t low_length, const void *high,
		  size_t high_length)
{
	for (size_t i = 0; i < s->lost_count; i++) {
		const struct lost *l = &s->lost[i];
		if (!l->digest && l->streams == streams && same_end(l->low, l->low_length, low, low_length) &&
		    same_end(l->high, l->high_length, high, high_length))
			return 0;
	}
	uint8_t *keys = malloc(low_length + high_length + 1);
	struct lost *lost = keys ? lost_add(s) : NULL;
	if (!lost) {
		free(keys);
		return -ENOMEM;
	}
	lost->streams = streams;
	lost->low = keys;
	lost->low_length = (uint16_t)low_length;
	lost->high = keys + low_length;
	lost->high_length = (uint16_t)high_length;
	if (low_length)
		memcpy(lost->low, low, low_length);
	if (high_length)
		memcpy(lost->high, high, high_length);
	return 0;
}

int lost_digest(struct paste_store *s, bool streams, uint32_t digest)
{
	for (size_t i = 0; i < s->lost_count; i++) {
		if (s->lost[i].digest == digest && s->lost[i].streams == streams)
			return 0;
	}
	struct lost *lost = lost_add(s);
	if (!lost)
		return -ENOMEM;
	lost->streams = streams;
	lost->digest = digest;
	return 0;
}

static bool lost_has(const struct paste_store *s, uint32_t digest)
{
	for (size_t i = 0; i < s->lost_count; i++) {
		if (s->lost[i].digest == digest)
			return true;
	}
	return false;
}

/* The key or stream is there, be it as one that is lost: whatever comes of it is newer. */
static void lost_settled(struct paste_store *s, uint32_t digest)
{
	size_t n = 0;

	if (!lost_has(s, digest))
		return;
	for (size_t i = 0; i < s->lost_count; i++) {
		if (s->lost[i].digest != digest)
			s->lost[n++] = s->lost[i];
	}
	s->lost_count = n;
}

static void lost_settle(struct paste_store *s)
{
	struct tree_cursor c;
	struct entry *e;
	struct stream *st;

	tree_cursor_start(&c, &s->keys, NULL, 0);
	while ((e = tree_cursor_next(&c)))
		lost_settled(s, key_digest(false, entry_key(e), e->key_length));
	tree_cursor_start(&c, &s->streams, NULL, 0);
	while ((st = tree_cursor_next(&c)))
		lost_settled(s, st->digest);
}

void lost_note(struct paste_store *s)
{
	char low[64], high[64];
	bool digests = false;

	for (size_t i = 0; i < s->lost_count; i++)
		digests |= s->lost[i].digest != 0;
	if (digests)
		lost_settle(s);
	for (size_t i = 0; i < s->lost_count; i++) {
		const struct lost *l = &s->lost[i];
		const char *what = l->streams ? "stream" : "key";
		if (l->digest) {
			/* Of one change two are carried, as nothing says whether it was a key's or a stream's. */
			damage_note(s, 0, false, "a key or stream with digest %08x: its newest change is lost", l->digest);
			continue;
		}
		key_text(low, sizeof(low), l->low, l->low_length);
		key_text(high, sizeof(high), l->high, l->high_length);
		damage_note(s, 0, false, "%ss between %s and %s: some may be lost", what, l->low_length ? low : "the first",
			    l->high_length ? high : "the last");
	}
}

static int compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
	int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

	return order ? order : (a_length > b_length) - (a_length < b_length);
}

bool lost_covers(const struct paste_store *s, bool streams, const void *key, size_t length)
{
	for (size_t i = 0; i < s->lost_count; i++) {
		const struct lost *l = &s->lost[i];
		if (l->streams != streams)
			continue;
		if (l->digest) {
			if (key_digest(streams, key, length) == l->digest)
				return true;
			continue;
		}
		bool above = l->low_length == 0 || compare(key, length, l->low, l->low_length) > 0;
		bool below = l->high_length == 0 || compare(key, length, l->high, l->high_length) < 0;
		if (above && below)
			return true;
	}
	return false;
}

void key_text(char *to, size_t size, const void *key, size_t length)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *p = key;
	size_t n = 0;

	/* Percent-encoded as in a URL, so that it can be pasted into a request; cut with "..." if it is long. */
	for (size_t i = 0; i < length; i++) {
		if (n + 8 > size) {
			n += (size_t)snprintf(to + n, size - n, "...");
			return;
		}
		bool plain = p[i] > ' ' && p[i] < 0x7f && p[i] != '%' && p[i] != '"' && p[i] != '\\';
		if (plain) {
			to[n++] = (char)p[i];
			continue;
		}
		to[n++] = '%';
		to[n++] = hex[p[i] >> 4];
		to[n++] = hex[p[i] & 15];
	}
	to[n] = 0;
}
