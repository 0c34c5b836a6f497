/* SPDX-License-Identifier: BSD-2-Clause */
/* pst ss: the connections of a running service. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/control_client.h"
#include "cli/json_read.h"

#define NO_THRESHOLD (1u << 30) /* none was met yet */

static void write_heading(void)
{
	printf("%-13s %-24s %-24s %8s %8s %6s\n", "state", "local", "peer", "unsent", "unacked", "held");
}

static void write_times(const struct json_table *t)
{
	if (!json_find_unsigned(t, "rtt_us"))
		return;
	printf(" rtt:%.3f/%.3f rto:%" PRIu64, (double)json_find_unsigned(t, "rtt_us") / 1000,
	       (double)json_find_unsigned(t, "rtt_variation_us") / 1000,
	       json_find_unsigned(t, "rto_us") / 1000);
}

static void write_connection(const struct json_table *t)
{
	uint64_t threshold = json_find_unsigned(t, "ssthresh");

	printf("%-13s %-24s %-24s %8s %8s %6s\n\t", json_find(t, "state"), json_find(t, "local"),
	       json_find(t, "peer"), json_find(t, "unsent"), json_find(t, "unacknowledged"),
	       json_find(t, "held"));
	write_times(t);
	printf(" mss:%s cwnd:%s", json_find(t, "mss"), json_find(t, "cwnd"));
	if (threshold && threshold < NO_THRESHOLD)
		printf(" ssthresh:%" PRIu64, threshold);
	printf(" window:%s peer_window:%s received:%s sent:%s", json_find(t, "window"),
	       json_find(t, "peer_window"), json_find(t, "received_bytes"), json_find(t, "sent_bytes"));
	if (json_find_unsigned(t, "retransmitted"))
		printf(" retransmitted:%s", json_find(t, "retransmitted"));
	putchar('\n');
}

/* The last line: counters, those that are not 0. */
static void write_common(const struct json_table *t)
{
	printf("%s TCP:", strcmp(json_find(t, "transport"), "own") == 0 ? "our own" : "the kernel's");
	for (size_t i = 1; i < t->count; i++) {
		if (strcmp(t->values[i].text, "0") != 0)
			printf(" %s:%s", t->values[i].path, t->values[i].text);
	}
	putchar('\n');
}

static int write_text(const char *line, size_t length, struct paste_error *err)
{
	struct json_table t = {NULL};
	int rc = json_read(&t, line, length);

	if (rc < 0)
		paste_fail(err, rc, "what the service answered is not understood");
	else if (json_find(&t, "transport")[0])
		write_common(&t);
	else
		write_connection(&t);
	json_free(&t);
	return rc;
}

/* {"connections": [...], "transport": "own", ...}: the last line is the object around the others. */
static void write_json(const char *line, size_t length, uint64_t n)
{
	bool last = strncmp(line, "{\"transport\"", 12) == 0;

	if (last)
		printf("%s],%.*s\n", n ? "\n" : "{\"connections\":[", (int)length - 1, line + 1);
	else
		printf("%s\n%.*s", n ? "," : "{\"connections\":[", (int)length, line);
}

static int list(struct control_client *client, bool json, struct paste_error *err)
{
	uint64_t n = 0;
	int rc = control_send(client, "connections", err);

	if (rc < 0)
		return rc;
	if (!json)
		write_heading();
	while ((rc = control_next(client, err)) >= 0) {
		for (const char *line = client->text, *end; *line; line = end + 1) {
			end = strchr(line, '\n');
			if (!end)
				return paste_fail(err, -EPROTO, "the service answered with half a line");
			if (json)
				write_json(line, (size_t)(end - line), n++);
			else if (write_text(line, (size_t)(end - line), err) < 0)
				return -EPROTO;
		}
		if (rc == 0)
			return 0;
	}
	return rc;
}

int cmd_ss(int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'}, {NULL}};
	struct paste_error error = {{0}};
	struct control_client client;
	bool json = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		if (option != 'j')
			return cli_bad_option("ss", option, argv);
		json = true;
	}
	const char *path = cli_one_path("ss", argc, argv);
	if (!path)
		return CLI_USAGE;
	int rc = control_connect(path, &client, &error);
	if (rc == 0) {
		rc = list(&client, json, &error);
		control_disconnect(&client);
	}
	return rc < 0 ? cli_fail("ss", CLI_FAILED, error.text) : CLI_OK;
}
