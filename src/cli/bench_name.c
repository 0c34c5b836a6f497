/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const bench_kind_names[BENCH_KINDS] = {"put", "get", "append", "delete"};

void names_open(struct bench_names *names, uint64_t id)
{
	names->fixed = NULL;
	if (id)
		snprintf(names->prefix, sizeof(names->prefix), "v%016" PRIx64 "-", id);
	else
		snprintf(names->prefix, sizeof(names->prefix), "bench-");
}

uint32_t decimal_write(uint64_t number, char *text)
{
	char reversed[20];
	uint32_t n = 0;

	do
		reversed[n++] = (char)('0' + number % 10);
	while (number /= 10);
	for (uint32_t i = 0; i < n; i++)
		text[i] = reversed[n - 1 - i];
	return n;
}

uint32_t name_write(const struct bench_names *names, uint32_t number, char name[BENCH_NAME_MAX])
{
	if (names->fixed)
		return (uint32_t)snprintf(name, BENCH_NAME_MAX, "%s", names->fixed);
	uint32_t length = (uint32_t)strlen(names->prefix);
	memcpy(name, names->prefix, length);
	length += decimal_write(number, name + length);
	name[length] = 0;
	return length;
}
