/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recover.h - the steps of reading a store back. Nothing is written; what was found damaged is noted in the store.
 */
#ifndef STORE_RECOVER_H
#define STORE_RECOVER_H

#include "store/store_internal.h"

/* Fill the index from the checkpoint and the logs and count who owns what. `scans` (one a log) say where each log
 * ended; the caller frees them. 0, -ENOMEM, or -EBADMSG where nothing can be trusted. */
int store_recover(struct paste_store *s, struct scan *scans);

/* The checkpoint alone. Its segments are given their role. */
int recover_checkpoint(struct paste_store *s, const struct headers *h);

/* One op of a record (its number in `of`) or of a checkpoint page (0). -EBADMSG: it makes no sense. */
int recover_apply(struct paste_store *s, const struct op_view *v, uint64_t of, struct stream **in);

#endif
