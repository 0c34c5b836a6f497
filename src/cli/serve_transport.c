/* SPDX-License-Identifier: BSD-2-Clause */
/* What `pst serve` is reached by. */
#include "cli/cli.h"
#include "cli/serve_run.h"

#include <inttypes.h>
#include <sys/resource.h>

#define OTHER_DESCRIPTORS 64 /* besides those of connections */

/* A descriptor a connection: raise the soft limit as far as it goes. Returns how many connections that
 * allows. */
static uint64_t raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1024 - OTHER_DESCRIPTORS;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > 2 * OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS
						      : OTHER_DESCRIPTORS;
}

void serve_choose_connections(struct serve_options *o)
{
	uint64_t possible = raise_descriptor_limit();

	if (!o->connections)
		o->connections = possible < 16384 ? possible : 16384;
	else if (o->connections > possible)
		fprintf(stderr,
			"pst serve: the limit of open files allows %" PRIu64 " connections (ulimit -Hn)\n",
			possible);
}

int serve_open_transports(struct serve *o, struct paste_error *err)
{
	struct paste_stack_limits limits = {.connections = (uint32_t)o->options.connections};

	return paste_sock_open(paste_store_region(o->store), &limits, &o->stack, err);
}

int serve_listen(struct serve *o, struct paste_error *err)
{
	return paste_stack_listen(o->stack, o->options.http, o->bound, sizeof(o->bound), err);
}

void serve_close_transports(struct serve *o)
{
	if (o->stack)
		paste_stack_close(o->stack);
}
