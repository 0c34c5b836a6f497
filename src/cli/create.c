/* SPDX-License-Identifier: BSD-2-Clause */
/* pst create: make a region, and say what it is good for. */
#include "cli/cli.h"
#include "cli/region_options.h"

#include <inttypes.h>
#include <string.h>

static int parse(int argc, char **argv, struct paste_create_options *o)
{
	static const struct option longs[] = {CLI_REGION_OPTIONS, {NULL}};
	int option, status;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (!strchr(CLI_REGION_LETTERS, option))
			return cli_bad_option("create", option, argv);
		if ((status = cli_region_option("create", option, optarg, o)) != CLI_OK)
			return status;
	}
	if (!(o->path = cli_one_path("create", argc, argv)))
		return CLI_USAGE;
	if (!o->size)
		return cli_usage("create", "--size is missing: how many bytes may the region have?");
	return CLI_OK;
}

static void print_summary(const char *path, const struct paste_store_stats *s)
{
	char size[CLI_SIZE_TEXT];

	printf("created %s\n", path);
	cli_row("name", "%s", s->name);
	cli_row("medium", "%s (%s)", s->medium, s->backing);
	if (!strcmp(s->medium, "shm"))
		cli_row("survives", "%s: does not survive power loss", s->survives);
	else
		cli_row("survives", "%s", s->survives);
	cli_row("size", "%s", cli_size_text(size, s->size));
	cli_row("buffers", "%" PRIu64 " of %" PRIu32 " bytes", s->buffers, s->buffer_size);
}

int cmd_create(int argc, char **argv)
{
	struct paste_create_options options = {0};
	struct paste_error error = {{0}};
	struct paste_store_stats stats;
	struct paste_store *store;
	int status = parse(argc, argv, &options);

	if (status != CLI_OK)
		return status;
	if (paste_store_create(&options, &error) < 0)
		return cli_fail("create", CLI_FAILED, error.text);
	/* Told from the region itself, opened as anybody would: what was created can be read. */
	struct paste_open_options look = {.path = options.path, .read_only = true, .medium = options.medium};
	if (paste_store_open(&look, &store, &error) < 0)
		return cli_fail("create", CLI_FAILED, error.text);
	paste_store_stats(store, &stats);
	print_summary(options.path, &stats);
	paste_store_close(store);
	return CLI_OK;
}
