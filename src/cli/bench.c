/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench.h"
#include "cli/cli.h"

#include <errno.h>

struct client_options bench_client_options(const struct bench_options *o)
{
	return (struct client_options){.transport = o->xdp ? &client_xdp : &client_sockets,
				       .xdp = o->xdp,
				       .host = o->host,
				       .port = o->port,
				       .connections = o->connections,
				       .timeout_ns = (uint64_t)(o->timeout * 1e9),
				       .spin = o->spin,
				       .udp = o->udp,
				       .echo = o->echo};
}

int bench_not_connected(int error, const struct paste_error *err)
{
	/* Too much for this machine is no fault of the service. */
	return cli_fail("bench", error == -EMFILE || error == -ENOMEM ? CLI_USAGE : CLI_LOST, err->text);
}

int cmd_bench(int argc, char **argv)
{
	struct bench_options options;
	int status = bench_options_parse(&options, argc, argv);

	if (status != CLI_OK)
		return status;
	if (options.verify && options.check)
		return cli_usage("bench", "--verify writes FILE, --check reads it: one after the other");
	return options.check ? bench_check(&options) : bench_run(&options);
}
