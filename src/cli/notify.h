/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify.h - telling the service manager how far we are (sd_notify(3), a datagram to $NOTIFY_SOCKET).
 *
 * The socket is opened before privileges are dropped; without $NOTIFY_SOCKET everything here does nothing.
 */
#ifndef CLI_NOTIFY_H
#define CLI_NOTIFY_H

struct notify {
	int fd; /* -1: nobody wants to know */
};

void notify_open(struct notify *n);
/* "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=...", "STATUS=..."; never blocks, failures are
 * nobody's business. */
void notify_say(const struct notify *n, const char *state);
void notify_close(struct notify *n);

#endif
