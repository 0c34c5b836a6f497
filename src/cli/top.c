/* SPDX-License-Identifier: BSD-2-Clause */
/* pst top: what a running service does, second by second. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/control_client.h"
#include "cli/top.h"

#define INTERVAL_S 1.0

static int take_sample(struct control_client *client, struct json_table *sample, struct paste_error *err)
{
	int rc = control_ask(client, "stats", err);

	*sample = (struct json_table){NULL};
	if (rc < 0)
		return rc;
	rc = json_read(sample, client->text, client->length);
	return rc < 0 ? paste_fail(err, rc, "what the service answered is not understood") : 0;
}

static void sleep_for(double seconds)
{
	struct timespec t = {.tv_sec = (time_t)seconds,
			     .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

	nanosleep(&t, NULL);
}

static int watch(struct control_client *client, double interval, bool once, struct paste_error *err)
{
	bool terminal = isatty(STDOUT_FILENO) && !once;
	struct json_table before, now;
	int rc = take_sample(client, &before, err);

	while (rc == 0) {
		sleep_for(interval);
		rc = take_sample(client, &now, err);
		if (rc == 0) {
			if (terminal)
				fputs("\033[H\033[J", stdout);
			top_write(stdout, &before, &now);
			if (!terminal && !once)
				putchar('\n');
			/* A pipe whose reader has gone ends it as well. */
			if (fflush(stdout))
				rc = paste_fail(err, -EPIPE, "cannot write to standard output");
		}
		json_free(&before);
		before = now;
		if (once)
			break;
	}
	json_free(&before);
	return rc;
}

int cmd_top(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"once", no_argument, NULL, 'o'}, {"interval", required_argument, NULL, 'i'}, {NULL}};
	struct paste_error error = {{0}};
	struct control_client client;
	double interval = INTERVAL_S;
	bool once = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		switch (option) {
		case 'o':
			once = true;
			break;
		case 'i':
			if (!cli_parse_fraction(optarg, 0.01, 3600, &interval))
				return cli_usage("top", "--interval '%s' is not 0.01 to 3600 seconds",
						 optarg);
			break;
		default:
			return cli_bad_option("top", option, argv);
		}
	}
	const char *path = cli_one_path("top", argc, argv);
	if (!path)
		return CLI_USAGE;
	int rc = control_connect(path, &client, &error);
	if (rc == 0) {
		rc = watch(&client, interval, once, &error);
		control_disconnect(&client);
	}
	return rc < 0 ? cli_fail("top", CLI_FAILED, error.text) : CLI_OK;
}
