/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 512

static bool reserve(struct text *t, size_t n)
{
	size_t room = t->room ? t->room : FIRST_ROOM;

	while (room - t->n < n)
		room *= 2;
	if (room != t->room) {
		char *grown = t->failed ? NULL : realloc(t->at, room);

		if (!grown) {
			t->failed = true;
			return false;
		}
		t->at = grown;
		t->room = room;
	}
	return true;
}

void text_bytes(struct text *t, const void *bytes, size_t n)
{
	if (!n || !reserve(t, n))
		return;
	memcpy(t->at + t->n, bytes, n);
	t->n += n;
}

void text_string(struct text *t, const char *s)
{
	text_bytes(t, s, strlen(s));
}

void text_decimal(struct text *t, uint64_t value)
{
	char digits[20];
	int n = sizeof(digits);

	do
		digits[--n] = (char)('0' + value % 10);
	while (value /= 10);
	text_bytes(t, digits + n, sizeof(digits) - (size_t)n);
}

void text_hex(struct text *t, uint64_t value)
{
	char digits[16];
	int n = sizeof(digits);

	do
		digits[--n] = "0123456789abcdef"[value & 15];
	while (value >>= 4);
	text_bytes(t, digits + n, sizeof(digits) - (size_t)n);
}

static bool stands_for_itself(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

void text_name(struct text *t, const uint8_t *name, size_t length, bool slash)
{
	if (!reserve(t, 3 * length))
		return;
	char *at = t->at + t->n;
	for (size_t i = 0; i < length; i++) {
		if (stands_for_itself(name[i]) || (slash && name[i] == '/')) {
			*at++ = (char)name[i];
		} else {
			*at++ = '%';
			*at++ = "0123456789ABCDEF"[name[i] >> 4];
			*at++ = "0123456789ABCDEF"[name[i] & 15];
		}
	}
	t->n = (size_t)(at - t->at);
}
