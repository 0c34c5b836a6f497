/* SPDX-License-Identifier: BSD-2-Clause */
/* pst dump: everything in a region as it was at one moment, into a file; of one that is being served by
 * asking its service. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/control_client.h"
#include "cli/dump_write.h"

#define DEAD_WRITER_MS 1000

static int write_failed(struct paste_error *err, const char *to)
{
	return paste_fail(err, -EIO, "%s: cannot be written: %s", to, strerror(errno));
}

static int dump_offline(const char *path, FILE *out, const char *to, struct paste_error *err)
{
	struct paste_open_options options = {.path = path, .read_only = true};
	struct paste_store *store;
	struct dump_write *w;
	int rc = paste_store_open(&options, &store, err);

	if (rc < 0)
		return rc;
	rc = dump_write_begin(&w, store, err);
	if (rc == 0) {
		while ((rc = dump_write_step(w, out, err)) > 0)
			if (ferror(out)) {
				rc = write_failed(err, to);
				break;
			}
		dump_write_end(w);
	}
	paste_store_close(store);
	return rc;
}

static int dump_online(struct control_client *client, FILE *out, const char *to, struct paste_error *err)
{
	int rc = control_send(client, "dump", err), more = 1;

	while (rc == 0 && more) {
		more = rc = control_next(client, err);
		if (rc < 0)
			break;
		rc = fwrite(client->text, 1, client->length, out) == client->length ? 0
										    : write_failed(err, to);
	}
	return rc;
}

static int dump(const char *path, FILE *out, const char *to, struct paste_error *err)
{
	struct control_client client;
	int held = cli_hold(path, 0), rc;

	if (held == -EBUSY || held == -ENOENT) { /* or PATH is the socket itself */
		rc = control_connect(path, &client, err);
		if (rc == 0) {
			rc = dump_online(&client, out, to, err);
			control_disconnect(&client);
			return rc;
		}
	}
	if (held == -EBUSY)
		held = cli_hold(path, DEAD_WRITER_MS);
	if (held == -EBUSY)
		return paste_fail(err, -EBUSY, "%s: a process is writing it, and it cannot be asked: %s",
				  path, err->text);
	rc = dump_offline(path, out, to, err);
	if (held >= 0)
		close(held);
	return rc;
}

/* Under its name only when it is whole and on the disk. */
static int dump_to_file(const char *path, const char *to, struct paste_error *err)
{
	size_t size = strlen(to) + sizeof(".partial");
	char *partial = malloc(size);

	if (!partial)
		return paste_fail(err, -ENOMEM, "out of memory");
	snprintf(partial, size, "%s.partial", to);
	int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
	int rc = out ? dump(path, out, partial, err) : write_failed(err, partial);
	if (rc == 0 && (fflush(out) || fsync(fd)))
		rc = write_failed(err, partial);
	if (out)
		fclose(out);
	if (rc == 0 && rename(partial, to))
		rc = write_failed(err, to);
	if (rc < 0 && fd >= 0)
		unlink(partial);
	free(partial);
	return rc;
}

int cmd_dump(int argc, char **argv)
{
	static const struct option longs[] = {{"output", required_argument, NULL, 'o'}, {NULL}};
	struct paste_error error = {{0}};
	const char *to = NULL;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":o:", longs, NULL)) != -1) {
		if (option != 'o')
			return cli_bad_option("dump", option, argv);
		to = optarg;
	}
	const char *path = cli_one_path("dump", argc, argv);
	if (!path)
		return CLI_USAGE;
	if (!to)
		return cli_usage("dump", "-o FILE is missing: where to? (-o - is standard output)");
	bool standard = !strcmp(to, "-");
	if (standard && isatty(STDOUT_FILENO))
		return cli_usage("dump", "a dump is no text for a terminal");
	int rc = standard ? dump(path, stdout, "standard output", &error) : dump_to_file(path, to, &error);
	return rc < 0 ? cli_fail("dump", CLI_FAILED, error.text) : CLI_OK;
}
