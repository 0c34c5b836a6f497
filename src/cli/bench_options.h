/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_options.h - the command line of `pst bench`, read and checked as a whole. */
#ifndef CLI_BENCH_OPTIONS_H
#define CLI_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/bench_name.h"

#define BENCH_SIZE_MAX ((uint32_t)1 << 30)
#define BENCH_CONNECTIONS_MAX 10000

struct bench_options {
	const char *url;
	char host[256], port[8];
	char authority[272]; /* HOST:PORT as a Host field wants it */
	uint32_t connections;
	double seconds, warmup, timeout;
	uint64_t requests;            /* 0: measure `seconds` */
	uint32_t size_low, size_high; /* bytes of a body */
	uint32_t keys, streams;
	uint32_t weight[BENCH_KINDS];
	uint32_t weights; /* their sum */
	double zipf;      /* 0: uniform */
	uint64_t seed;
	const char *verify, *check; /* files */
	const char *xdp;            /* our own TCP on this interface; NULL: kernel sockets */
	bool verify_sync, spin, json, progress, fill;
	bool udp;           /* the URL is udp://HOST:PORT */
	bool echo;          /* no service: what is sent comes back. `url` is HOST:PORT */
	const char *stream; /* the one that the datagrams go to; NULL: not given */
};

/* CLI_OK, or CLI_USAGE after having told what is wrong. */
int bench_options_parse(struct bench_options *o, int argc, char **argv);

#endif
