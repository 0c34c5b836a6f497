/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer.h - which packets of an interface are ours: loading the XDP program, its rules, its place on the
 * interface.
 *
 * The program is loaded and attached by steer_open(); it passes everything until there are rules. It is held
 * by a link that the kernel removes with the last descriptor: when this process ends, however it ends, the
 * interface is the kernel's alone again. Packets that a rule names go to the socket of their receive queue;
 * without one they are dropped.
 *
 * Needs CAP_BPF and CAP_NET_ADMIN (root). Used by one thread at a time.
 */
#ifndef PORT_STEER_H
#define PORT_STEER_H

#include <stdbool.h>
#include <stdint.h>

#include "paste/error.h"
#include "paste/port.h"
#include "port/steer_shared.h"

struct steer;

struct steer_options {
	const char *ifname; /* for the error's text */
	int ifindex;        /* 0: load, do not attach (tests) */
	uint32_t queues;    /* counters and places for sockets */
	bool fragments;     /* packets over several buffers: without it the kernel shows the program none */
	bool native;        /* try the driver's hook ... */
	bool generic;       /* ... then the one that every interface has */
};

/* -EPERM, -EBUSY (another program is attached, the error says which), -EOPNOTSUPP, ... */
int steer_open(const struct steer_options *options, struct steer **steer, struct paste_error *err);
void steer_close(struct steer *s);

/* The driver's hook it is. */
bool steer_is_native(const struct steer *s);

/* Take packets of this rule, or leave them to the kernel. -ENOSPC: too many rules; -ENOENT: there is none
 * such. */
int steer_take(struct steer *s, const struct paste_xdp_rule *rule);
int steer_leave(struct steer *s, const struct paste_xdp_rule *rule);

/* Packets of `queue` go to this AF_XDP socket from now on; until it is closed. */
int steer_socket(struct steer *s, uint32_t queue, int fd);

/* Since it was opened, of one queue. */
void steer_counts(const struct steer *s, uint32_t queue, struct steer_counts *counts);

/* For running it by hand over a packet. */
int steer_program(const struct steer *s);

/* What is attached to an interface now: 1, 0 if nothing, or a negative errno. */
struct steer_attached {
	uint32_t id;
	char name[16];
	const char *hook; /* "native", "generic", "hardware" */
};
int steer_find_attached(int ifindex, struct steer_attached *attached);

#endif
