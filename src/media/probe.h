/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe.h - loading from mapped memory that may be lost.
 *
 * A load from a line that persistent memory has lost, or from a page of a mapped file that is not there any
 * more, is answered with SIGBUS. Here the lines are loaded once under a guard, before anybody relies on them:
 * a SIGBUS for one of them, on the thread that loads it, is a result. Any other goes where it went before,
 * mostly to the end of the process: who stores to memory that is gone cannot go on.
 *
 * The handler is the process's, as signals are: it is installed once and stays, and calls the one that was
 * there before.
 */
#ifndef MEDIA_PROBE_H
#define MEDIA_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Before the first probe. 0 or -errno. */
int probe_install(void);

/* Each line of [first, first + bytes) can be loaded. No system calls. */
bool probe_lines(const uint8_t *first, size_t bytes);

#endif
