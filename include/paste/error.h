/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * error.h - what went wrong, for a person.
 *
 * Functions that can fail return 0 (or a count) or a negative errno. Those that are called at set-up time
 * (create, open, listen) also take a struct paste_error and leave a sentence in it: what was tried, on what,
 * and what to do. Nothing below src/cli prints. A NULL struct paste_error is allowed everywhere.
 */
#ifndef PASTE_ERROR_H
#define PASTE_ERROR_H

struct paste_error {
	char text[512];
};

/* Format the sentence into err (if not NULL) and return code, a negative errno: `return paste_fail(err,
 * -EINVAL, "%s: ...", path);`. */
int paste_fail(struct paste_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
