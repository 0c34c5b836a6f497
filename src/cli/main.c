/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cli.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const struct cli_command cli_commands[] = {
    {"create", cmd_create, "make a region", help_create},
    {"info", cmd_info, "say what a region is and holds", help_info},
    {"check", cmd_check, "read everything in a region and verify it", help_check},
    {"top", cmd_top, "watch what a running service does", help_top},
    {"ss", cmd_ss, "list the connections of a running service", help_ss},
    {"dump", cmd_dump, "write down everything as it is at one moment", help_dump},
    {"restore", cmd_restore, "make a region out of a dump", help_restore},
    {"grow", cmd_grow, "give a region more room", help_grow},
    {"serve", cmd_serve, "serve keys and streams of a region over HTTP", help_serve},
    {"bench", cmd_bench, "load a service, and prove what it acknowledged", help_bench},
    {"port", cmd_port, "say what a network interface can do for a region", help_port},
    {NULL},
};

static const struct cli_command *find_command(const char *name)
{
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static int unknown_command(const char *name)
{
	fprintf(stderr, "pst: '%s' is no subcommand (try 'pst help')\n", name);
	return CLI_USAGE;
}

static void list_commands(FILE *out)
{
	fprintf(out, "pst: a durable key-value and log store in packet buffers\n\n"
		     "usage: pst SUBCOMMAND ...\n\n");
	for (const struct cli_command *c = cli_commands; c->name; c++)
		fprintf(out, "  %-8s %s\n", c->name, c->summary);
	fprintf(out, "  %-8s %s\n\n", "help", "this list, or 'pst help SUBCOMMAND' for one of them");
	fprintf(out, "'pst --version' prints the version.\n");
}

static int help(const char *name)
{
	if (!name || !strcmp(name, "help")) {
		list_commands(stdout);
		return CLI_OK;
	}
	const struct cli_command *c = find_command(name);
	if (!c)
		return unknown_command(name);
	fputs(c->help, stdout);
	return CLI_OK;
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

/* What was printed into a full disk or a closed pipe was not said: that is no success. */
static int flushed(int status)
{
	if ((fflush(stdout) || ferror(stdout)) && status == CLI_OK) {
		fprintf(stderr, "pst: cannot write to standard output\n");
		return CLI_FAILED;
	}
	return status;
}

/* Whoever started us may have closed a standard descriptor. What is opened next must not get its number: the
 * log would be written into the region. What stands there instead can neither be read nor written. */
static void hold_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/", O_PATH);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	hold_standard_descriptors();
	if (argc < 2) {
		fprintf(stderr, "pst: no subcommand was given\n\n");
		list_commands(stderr);
		return CLI_USAGE;
	}
	const char *name = argv[1];
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		printf("pst %s\n", PST_VERSION);
		return flushed(CLI_OK);
	}
	if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
		if (argc > 3) {
			fprintf(stderr, "pst: help takes one subcommand (try 'pst help')\n");
			return CLI_USAGE;
		}
		return flushed(help(argv[2]));
	}
	const struct cli_command *c = find_command(name);
	if (!c)
		return unknown_command(name);
	if (asks_for_help(argc - 1, argv + 1))
		return flushed(help(name));
	return flushed(c->run(argc - 1, argv + 1));
}
