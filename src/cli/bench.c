/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench.h"
#include "cli/cli.h"

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
