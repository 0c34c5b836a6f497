/* SPDX-License-Identifier: BSD-2-Clause */
/* info_write.h - what `pst info` tells of a region, from whoever has it open. */
#ifndef CLI_INFO_WRITE_H
#define CLI_INFO_WRITE_H

#include <stdbool.h>
#include <stdio.h>

#include "paste/store.h"

enum info_state {
	INFO_NOT_IN_USE,
	INFO_IN_USE, /* by another process, which we look over the shoulder */
	INFO_LIVE,   /* by this one */
};

/* A table for people, or one JSON object. */
void info_write(FILE *out, const char *path, const struct paste_store_stats *s, enum info_state state,
		bool as_json);

#endif
