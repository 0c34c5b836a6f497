/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_place.h - where the control socket of a region is, known from the region's path alone.
 *
 * The file is called UUID-INODE.sock: a copy of a region has the same UUID, and may be served beside it. It
 *is in
 *
 *	$PST_CONTROL_DIR	if that is set, and nowhere else
 *	/run/paste		a service of root's, or one that may write there
 *	$RUNTIME_DIRECTORY	(systemd's) and $XDG_RUNTIME_DIR/paste, /run/user/UID/paste, /tmp/paste-UID,
 *the first of them that can be used
 *
 * Whoever asks looks at all of these, for its own user and for the owner of the region's file.
 */
#ifndef CLI_CONTROL_PLACE_H
#define CLI_CONTROL_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "paste/error.h"

#define CONTROL_PATH_MAX 108 /* sun_path */
#define CONTROL_PLACES 8

struct control_id {
	char uuid[37];
	uint64_t inode;
	uint32_t owner; /* of the region's file */
};

/* Reads the superblock, without the lock. */
int control_identify(const char *region, struct control_id *id, struct paste_error *err);

/* Where a service puts it: the first folder that exists or can be made, and that nobody else can write to. */
int control_choose(const struct control_id *id, char path[CONTROL_PATH_MAX], struct paste_error *err);

/* Where it may be. Returns how many. */
unsigned control_candidates(const struct control_id *id, char paths[CONTROL_PLACES][CONTROL_PATH_MAX]);

#endif
