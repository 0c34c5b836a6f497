/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers as people write them on a command line. Everything that is not wholly a number is refused: a size
 * that was misread would be noticed only when the region is made, or later.
 */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

static bool parse_digits(const char **text, uint64_t *number)
{
	const char *p = *text;
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return false;
	if (p == *text)
		return false;
	*text = p;
	*number = n;
	return true;
}

bool cli_parse_count(const char *text, uint64_t low, uint64_t high, uint64_t *count)
{
	uint64_t n;

	if (!parse_digits(&text, &n) || *text || n < low || n > high)
		return false;
	*count = n;
	return true;
}

bool cli_parse_size(const char *text, uint64_t *bytes)
{
	static const char letters[] = "kmgt";
	uint64_t n;

	if (!parse_digits(&text, &n))
		return false;
	if (*text) {
		const char *letter = strchr(letters, *text | 0x20);
		if (!letter || !*letter)
			return false;
		text++;
		if (!strcmp(text, "iB"))
			text += 2;
		if (*text || __builtin_mul_overflow(n, (uint64_t)1 << (10 * (letter - letters + 1)), &n))
			return false;
	}
	*bytes = n;
	return true;
}

bool cli_parse_fraction(const char *text, double low, double high, double *value)
{
	size_t digits = strspn(text, "0123456789.");
	char *end;

	if (!digits || text[digits])
		return false;
	double v = strtod(text, &end);
	if (*end || v < low || v > high)
		return false;
	*value = v;
	return true;
}

const char *cli_size_text(char text[CLI_SIZE_TEXT], uint64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double scaled = (double)bytes;
	unsigned int unit = 0;

	for (; scaled >= 1024 && unit < 4; unit++)
		scaled /= 1024;
	if (!unit)
		snprintf(text, CLI_SIZE_TEXT, "%llu bytes", (unsigned long long)bytes);
	else
		snprintf(text, CLI_SIZE_TEXT, "%.*f %s (%llu bytes)",
			 scaled == (double)(uint64_t)scaled ? 0 : 1, scaled, units[unit],
			 (unsigned long long)bytes);
	return text;
}
