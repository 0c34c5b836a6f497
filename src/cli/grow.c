/* SPDX-License-Identifier: BSD-2-Clause */
/* pst grow: more room for a region that is not in use. */
#include <getopt.h>

#include "cli/cli.h"
#include "paste/backup.h"

int cmd_grow(int argc, char **argv)
{
	static const struct option longs[] = {{"size", required_argument, NULL, 's'}, {NULL}};
	struct paste_error error = {{0}};
	char text[CLI_SIZE_TEXT];
	uint64_t size = 0;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (option != 's')
			return cli_bad_option("grow", option, argv);
		if (!cli_parse_size(optarg, &size) || !size)
			return cli_usage("grow", "--size '%s' is no size: write bytes, 64M, 1G or 1GiB",
					 optarg);
	}
	const char *path = cli_one_path("grow", argc, argv);
	if (!path)
		return CLI_USAGE;
	if (!size)
		return cli_usage("grow", "--size is missing: how many bytes may the region have now?");
	if (paste_store_grow(path, size, &error) < 0)
		return cli_fail("grow", CLI_FAILED, error.text);
	printf("%s: grown to %s\n", path, cli_size_text(text, size));
	return CLI_OK;
}
