/* SPDX-License-Identifier: BSD-2-Clause */
/* pst info: what a region is, what it holds, and what it has cost. */
#include "cli/cli.h"
#include "cli/control_client.h"
#include "cli/info_write.h"
#include "paste/store.h"

#include <errno.h>
#include <getopt.h>
#include <unistd.h>

/* The service that has it open knows better than what can be read beside it. 1: told, 0: there is none. */
static int ask_owner(const char *path, bool as_json)
{
	struct paste_error error = {{0}};
	struct control_client client;

	if (control_connect(path, &client, &error) < 0)
		return 0;
	int rc = control_ask(&client, as_json ? "info" : "info text", &error);
	if (rc == 0)
		fwrite(client.text, 1, client.length, stdout);
	control_disconnect(&client);
	return rc == 0;
}

int cmd_info(int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'}, {NULL}};
	struct paste_error error = {{0}};
	struct paste_store_stats stats;
	struct paste_store *store;
	bool as_json = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (option != 'j')
			return cli_bad_option("info", option, argv);
		as_json = true;
	}
	struct paste_open_options options = {.path = cli_one_path("info", argc, argv), .read_only = true};
	if (!options.path)
		return CLI_USAGE;
	/* Only asked: whoever looks must not keep a service from starting. */
	int held = cli_hold(options.path, 0);
	if (held >= 0)
		close(held);
	if (held == -EBUSY && ask_owner(options.path, as_json))
		return CLI_OK;
	if (paste_store_open(&options, &store, &error) < 0)
		return cli_fail("info", CLI_FAILED, error.text);
	paste_store_stats(store, &stats);
	paste_store_close(store);
	info_write(stdout, options.path, &stats, held == -EBUSY ? INFO_IN_USE : INFO_NOT_IN_USE, as_json);
	return CLI_OK;
}
