/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * confine.h - giving up, once everything is open, what a service that answers does not need: another user's
 * rights, and most system calls.
 */
#ifndef CLI_CONFINE_H
#define CLI_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "paste/error.h"

#define CONFINE_GROUPS 64

/* Who to become. Looked up before anything is given up. */
struct confine_user {
	uid_t uid;
	gid_t gid;
	gid_t groups[CONFINE_GROUPS];
	int n;
};

/* By name or number. -ENOENT: no such user. */
int confine_find(const char *name, struct confine_user *user, struct paste_error *err);

/* No capability can be gained any more by this thread and what it could start. confine_become() does it for the thread that
 * calls it. -EPERM: only root can. */
int confine_bounds(struct paste_error *err);

/* Become that user, with its groups and no others, without any capability, for good: tried, and checked
 * afterwards. -EPERM: only root can. */
int confine_become(const struct confine_user *user, struct paste_error *err);

/* From here on this process and what it could start get no more rights than it has (PR_SET_NO_NEW_PRIVS). */
int confine_no_new_privileges(struct paste_error *err);

struct confine_options {
	bool files;   /* files may still be opened for reading (tokens are read again) */
	bool packets; /* AF_XDP, and asking the kernel for neighbours */
};

/*
 * Allow the system calls that serving and ending take, and no others. One that is not allowed is not done: a
 * line on stderr names its number, and the process ends with status CONFINE_STATUS. Nothing is executable
 * that is not now.
 */
#define CONFINE_STATUS 159 /* 128 + SIGSYS */
int confine_filter(const struct confine_options *options, struct paste_error *err);

#endif
