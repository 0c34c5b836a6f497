/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port_judge.h - what AF_XDP could do on an interface, and what stands in its way; asked, not tried.
 */
#ifndef CLI_PORT_JUDGE_H
#define CLI_PORT_JUDGE_H

#include "port/steer.h"
#include "port/xdp_interface.h"
#include "port/xdp_memory.h"

#define JUDGE_FINDINGS 16

struct port_finding {
	bool refusal; /* else a port can be opened, but this should be known */
	char reason[256], remedy[256];
};

struct port_region {
	const char *path;
	uint64_t bytes; /* of buffers */
	uint32_t buffer_size;
	const char *backing;
};

struct port_judgement {
	const char *ifname;
	struct xdp_interface interface;
	int attached; /* 1: a program is, 0, or a negative errno */
	struct steer_attached program;
	bool taken_known;
	uint32_t taken;            /* queues that have a socket */
	uint32_t buffer_size;      /* the region's, or the one a region would have if not told otherwise */
	uint32_t mtu_most;         /* in one such buffer */
	bool fragments;            /* packets over several buffers can be had */
	bool checksum;             /* transmit checksums can be asked for */
	const char *mode;          /* what would be obtained: "zero-copy", "copy", "generic" */
	bool mode_known;           /* else it shows only when it is tried */
	uint64_t memory_per_queue; /* kernel memory, bytes; without a region for 1 GiB of it */
	struct port_region region; /* path NULL: none was named */
	struct port_finding finding[JUDGE_FINDINGS];
	unsigned findings;
};

/* region_path: NULL, or a region that packets are to land in. -ENODEV, or what reading the region failed
 * with. */
int port_judge(struct port_judgement *j, const char *ifname, const char *region_path,
	       struct paste_error *err);

bool port_refused(const struct port_judgement *j);

#endif
