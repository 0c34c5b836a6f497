/* SPDX-License-Identifier: BSD-2-Clause */
/* serve_options.h - the command line of `pst serve`. */
#ifndef CLI_SERVE_OPTIONS_H
#define CLI_SERVE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/serve_udp.h"

#define SERVE_WORKERS_MOST 64

struct serve_options {
	const char *path;
	uint32_t workers;
	const char *http; /* HOST:PORT, or NULL: none */
	const char *xdp;  /* an interface, or NULL */
	bool http_xdp;    /* HTTP is served over it: by our own TCP */
	struct serve_udp_options udp[SERVE_UDP_MOST];
	uint32_t udp_n;
	bool bare_sums, forget_landings;
	bool is_public; /* addresses that are not loopback are meant */
	bool spin, hugepages;
	bool no_persist;        /* measure only: make nothing durable */
	const char *trace;      /* a file, or NULL */
	const char *token_file; /* NULL: everybody may */
	const char *user;       /* whom to become; NULL: stay */
	bool no_seccomp;
	uint64_t scrub_us;      /* how long a pass may take; 0: none */
	uint64_t max_body, connections; /* 0: not given */
	int64_t idle_us, request_us;    /* 0: not given; SERVICE_NEVER */
};

/* Defaults, then what was given. A cli_status; what is wrong has been told. */
int serve_parse_options(int argc, char **argv, struct serve_options *o);

#endif
