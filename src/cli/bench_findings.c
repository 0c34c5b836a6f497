/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_findings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void finding_add(struct findings *f, enum ledger_verdict verdict, const char *format, ...)
{
	va_list ap;

	if (verdict == LEDGER_LOST)
		f->lost++;
	else
		f->wrong++;
	if (f->named == FINDINGS_NAMED)
		return;
	char *text = f->text[f->named++];
	int n = snprintf(text, FINDING_TEXT, "%s: ", verdict == LEDGER_LOST ? "lost" : "wrong");
	va_start(ap, format);
	vsnprintf(text + n, FINDING_TEXT - (size_t)n, format, ap);
	va_end(ap);
}

void findings_print(const struct findings *f)
{
	for (uint32_t i = 0; i < f->named; i++)
		printf("  %s\n", f->text[i]);
	if (f->lost + f->wrong > f->named)
		printf("  ... and %" PRIu64 " more\n", f->lost + f->wrong - f->named);
}

void findings_json(const struct findings *f, struct json *j)
{
	json_unsigned(j, "lost", f->lost);
	json_unsigned(j, "wrong", f->wrong);
	json_list(j, "findings");
	for (uint32_t i = 0; i < f->named; i++)
		json_string(j, NULL, f->text[i]);
	json_end_list(j);
}
