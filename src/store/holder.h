/* SPDX-License-Identifier: BSD-2-Clause */
/* holder.h - a region has one writer: opening its medium when that is somebody else, dead or alive. */
#ifndef STORE_HOLDER_H
#define STORE_HOLDER_H

#include "media/media.h"
#include "paste/error.h"

/*
 * media_open(), which waits while the lock is that of a writer who is dead: at most five seconds. -EBUSY: one
 * that lives has it, and the error names the process and its host.
 */
int holder_media_open(const struct media_options *o, struct media **m, struct paste_error *err);

#endif
