/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.h - the control socket of a running service: questions of people and tools, answered from the loop.
 *
 * A unix socket beside no data: control_place.h says where. A client sends a line, "NAME" or "NAME ARGUMENT",
 *and gets frames back: a word, the length of what follows in bytes, a line feed, the bytes.
 *
 *	more LENGTH	a part of the answer, further frames follow
 *	ok LENGTH	the (rest of the) answer
 *	error LENGTH	a sentence; the answer ends here
 *
 * Then the next line may be sent. What can be asked is registered by name: a section answers in one piece
 *(JSON, if nothing else is said), a stream in steps. "help" lists the names.
 *
 * Nothing here blocks: all of it is behind one descriptor, which any stack can watch (paste_stack_watch), and
 * control_work() does a bounded piece for each client whenever that is readable. A client that does not read
 *its answer holds that one answer in memory and nothing else. At most CONTROL_SESSIONS clients; the one that
 *has been silent for longest makes way for a further one. Who may connect is the file's permissions: the
 *owner's user only.
 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include <stdint.h>
#include <stdio.h>

#include "cli/control_place.h"
#include "paste/error.h"

#define CONTROL_SESSIONS 16
#define CONTROL_LINE_MAX 2048 /* a request, with its line feed */
#define CONTROL_NAMES_MAX 32  /* sections and streams */

struct control;

/* Write the answer to `argument` ("" if there is none) to `out`. It is worked out between two turns of the
 * service, so it has to be done within a millisecond or so: what could be long takes a limit as its argument,
 * or is a stream. A negative errno, with a sentence, makes it an error whatever was written. */
typedef int (*control_section)(void *arg, const char *argument, FILE *out, struct paste_error *err);

struct control_stream {
	/* 0 and a state, or a negative errno and a sentence. */
	int (*begin)(void *arg, const char *argument, void **state, struct paste_error *err);
	/* A bounded step; what it writes (or nothing) goes out before the next. 1: there is more, 0: that was
	 * the last, or a negative errno and a sentence. */
	int (*step)(void *state, FILE *out, struct paste_error *err);
	/* Once, at the end, after an error, or when the client went away. */
	void (*end)(void *state);
};

/* Listen for the region that this process holds for writing. A file that a dead predecessor left is replaced:
 * -EADDRINUSE says that somebody answers on it. The descriptors are made now, so privileges can be dropped
 * afterwards. */
int control_open(struct control **control, const struct control_id *id, struct paste_error *err);

/* Ends answers that are under way, removes the file. Before the region is closed: whoever opens that next
 * replaces the file. NULL is fine. */
void control_close(struct control *c);

/* What an answer tells may follow from changes that are not durable, so no byte of it leaves before they are:
 * commit() starts that and returns the round to wait for, durable() the last one that is; a negative errno of
 * either ends the wait (of durable(): the client as well). Without a gate answers leave at once. */
struct control_gate {
	int64_t (*commit)(void *arg);
	int64_t (*durable)(void *arg);
	void *arg;
};
void control_set_gate(struct control *c, const struct control_gate *gate);

/* `name` must outlive the control. -ENOSPC: too many, -EEXIST. */
int control_register(struct control *c, const char *name, control_section section, void *arg);
int control_register_stream(struct control *c, const char *name, const struct control_stream *stream,
			    void *arg);

int control_fd(const struct control *c); /* readable when there is something to do */
const char *control_path(const struct control *c);
int control_give_to(struct control *c, uint32_t uid,
		    uint32_t gid); /* the file, before privileges are dropped */

void control_work(struct control *c);

#endif
