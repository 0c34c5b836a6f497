/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_findings.h - what was lost or wrong: all of it counted, the first of it in words. */
#ifndef CLI_BENCH_FINDINGS_H
#define CLI_BENCH_FINDINGS_H

#include <stdint.h>

#include "cli/bench_ledger.h"
#include "cli/json.h"

#define FINDINGS_NAMED 20
#define FINDING_TEXT 256

struct findings {
	uint64_t lost, wrong;
	uint32_t named;
	char text[FINDINGS_NAMED][FINDING_TEXT];
};

void finding_add(struct findings *f, enum ledger_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void findings_print(const struct findings *f);
void findings_json(const struct findings *f, struct json *j);

#endif
