/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump_write.h - a snapshot of a store as a dump, in steps: by `pst dump` itself, or by a service for whoever
 * asks.
 */
#ifndef CLI_DUMP_WRITE_H
#define CLI_DUMP_WRITE_H

#include <stdio.h>

#include "paste/store.h"

struct dump_write;

/* Begin a snapshot of the store. -EBUSY: there is one already. */
int dump_write_begin(struct dump_write **w, struct paste_store *store, struct paste_error *err);
/* Write on, about 256 KiB. 1: there is more, 0: that was the end, or a negative errno and a sentence. */
int dump_write_step(struct dump_write *w, FILE *out, struct paste_error *err);
void dump_write_end(struct dump_write *w);

#endif
