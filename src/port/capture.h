/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capture.h - what goes through ports, as a pcapng file (draft-ietf-opsawg-pcapng): AF_XDP takes packets
 *before tcpdump can see them.
 *
 *	port ──► tap ──► stack
 *	          │ copy of each packet
 *	          ▼
 *	        buffer ──► file, by io_uring
 *
 * A tap is a port in front of another one: it shows the same rings, and copies what a sync brings and what is
 * handed to a sync. The buffer is bounded: when the file does not keep up packets are left out, counted, and
 * the count stands at the file's end. No call but opening and closing waits for the file.
 *
 * One thread, as for the ports.
 */
#ifndef PORT_CAPTURE_H
#define PORT_CAPTURE_H

#include "paste/port.h"

struct capture;

struct capture_stats {
	uint64_t packets, dropped; /* written or in the buffer; left out */
	int error;                 /* of the file: nothing more is written */
};

/* Make the file anew, with mode 0600. `interface` is named in it. `buffer`: bytes, a power of two; 0: 4 MiB.
 */
int capture_open(const char *path, const char *interface, uint32_t buffer, struct capture **trace,
		 struct paste_error *err);
/* Writes what is left: waits for the file. NULL is fine. */
void capture_close(struct capture *t, struct capture_stats *stats);

/* A port in front of `port`, which stays the caller's: closing the tap leaves it open. Close it before
 * either. */
int capture_tap(struct capture *t, struct paste_port *port, struct paste_port **tap, struct paste_error *err);

#endif
