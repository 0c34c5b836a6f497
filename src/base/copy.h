/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * copy.h - a few bytes whose number is not known to the compiler: names, references. Below 64 a call of
 * memcpy() costs more than what it does.
 */
#ifndef BASE_COPY_H
#define BASE_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline void copy_short(void *to, const void *from, size_t n)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	if (n > 64) {
		memcpy(t, f, n);
	} else if (n >= 16) {
		/* The last piece overlaps the one before it. */
		for (size_t i = 0; i + 16 < n; i += 16)
			memcpy(t + i, f + i, 16);
		memcpy(t + n - 16, f + n - 16, 16);
	} else if (n >= 8) {
		memcpy(t, f, 8);
		memcpy(t + n - 8, f + n - 8, 8);
	} else if (n >= 4) {
		memcpy(t, f, 4);
		memcpy(t + n - 4, f + n - 4, 4);
	} else {
		for (size_t i = 0; i < n; i++)
			t[i] = f[i];
	}
}

/*
 * Many bytes that nobody reads soon: whole pieces are stored past the caches, which need not fetch what they overwrite, and
 * keep what they have. Such stores are ordered by an sfence only: what makes the bytes durable has one.
 */
static inline void copy_past_cache(void *to, const void *from, size_t n)
{
	uint8_t *t = to;
	const uint8_t *f = from;
#ifdef __SSE2__
	size_t head = -(uintptr_t)t & 15;

	if (n >= 256) {
		copy_short(t, f, head);
		for (t += head, f += head, n -= head; n >= 64; t += 64, f += 64, n -= 64) {
			for (int i = 0; i < 64; i += 16)
				_mm_stream_si128((__m128i *)(void *)(t + i), _mm_loadu_si128((const void *)(f + i)));
		}
	}
#endif
	memcpy(t, f, n);
}

/*
 * Words. What is read again soon (for its checksum) is written with stores as wide as those loads, and aligned
 * like them: a load of what several stores have just written waits until they are in the cache, behind all
 * stores before them, and lines that were written back are far away.
 */
static inline uint64_t load_word(const void *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline void store_word(void *p, uint64_t word)
{
	memcpy(p, &word, sizeof(word));
}

/* The same bytes, both n long. */
static inline int same_short(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;
	uint64_t u, v;

	if (n < 8) {
		size_t i = 0;
		while (i < n && x[i] == y[i])
			i++;
		return i == n;
	}
	if (n > 32)
		return memcmp(x, y, n) == 0;
	for (size_t i = 0; i + 8 < n; i += 8) {
		memcpy(&u, x + i, 8);
		memcpy(&v, y + i, 8);
		if (u != v)
			return 0;
	}
	memcpy(&u, x + n - 8, 8);
	memcpy(&v, y + n - 8, 8);
	return u == v;
}

#endif
