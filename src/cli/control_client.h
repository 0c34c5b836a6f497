/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_client.h - asking a running service through its control socket (control.h). Blocks, with a
 * time-out.
 */
#ifndef CLI_CONTROL_CLIENT_H
#define CLI_CONTROL_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "paste/error.h"

#define CONTROL_TIMEOUT_S 10

struct control_client {
	int fd;
	char *text; /* the last frame's bytes, ended by a 0 that does not count */
	size_t length, room;
};

/* The service that has the region at `path` open; or `path` is the socket itself. -ENOENT: none answers
 * there; -EACCES: it belongs to another user; -EBADMSG, ...: there is no region at `path`. */
int control_connect(const char *path, struct control_client *client, struct paste_error *err);
void control_disconnect(struct control_client *client);

/* Ask, and take the answer whole: 0 with it in client->text. A negative errno with a sentence: -EREMOTEIO is
 * the service's own "error", anything else means that it went away or does not keep to the protocol. */
int control_ask(struct control_client *client, const char *line, struct paste_error *err);

/* Ask, and take the answer frame by frame: control_next() returns 1: a part, 0: the last part, or a negative
 * errno. */
int control_send(struct control_client *client, const char *line, struct paste_error *err);
int control_next(struct control_client *client, struct paste_error *err);

#endif
