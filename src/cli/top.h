/* SPDX-License-Identifier: BSD-2-Clause */
/* top.h - the view of `pst top`, out of two answers to "stats" that were given some time apart. */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include <stdio.h>

#include "cli/json_read.h"

void top_write(FILE *out, const struct json_table *before, const struct json_table *now);

#endif
