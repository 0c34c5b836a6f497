/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard.h - several threads with a stack (stack.h) each, that work on one region and on what else they share one at a
 * time, and are in the kernel all at once.
 *
 * A stack calls `leave` before the system call in which it submits, sends, receives and waits, and `enter` behind it.
 * Everything else it does between the two calls of its owner's, as if it were alone.
 */
#ifndef PASTE_GUARD_H
#define PASTE_GUARD_H

#include "paste/stack.h"

struct paste_stack_guard {
	void (*leave)(void *arg);
	void (*enter)(void *arg);
	/* Which of them gets a connection that this one accepted; NULL: none, it is closed. Its owner is to be woken: it finds
	 * the ACCEPT event at its next poll. */
	struct paste_stack *(*choose)(void *arg);
	void *arg;
	uint32_t stacks; /* so many share the region's buffers */
};

#endif
