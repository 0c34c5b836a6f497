/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int cli_usage(const char *command, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "pst %s: ", command);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, " (try 'pst help %s')\n", command);
	return CLI_USAGE;
}

int cli_bad_option(const char *command, int answer, char *const *argv)
{
	/* A long option was consumed whole; of a short one, maybe in a cluster, getopt says the letter. */
	char letter[3] = {'-', (char)optopt, 0};
	const char *last = argv[optind - 1];
	const char *name = !strncmp(last, "--", 2) || !optopt ? last : letter;

	if (answer == ':')
		return cli_usage(command, "%s needs a value", name);
	if (!strncmp(last, "--", 2) && optopt)
		return cli_usage(command, "%s takes no value", name);
	return cli_usage(command, "there is no option %s", name);
}

int cli_fail(const char *command, int status, const char *text)
{
	fprintf(stderr, "pst %s: %s\n", command, text);
	return status;
}

const char *cli_one_path(const char *command, int argc, char **argv)
{
	if (optind == argc) {
		cli_usage(command, "the PATH of a region is missing");
		return NULL;
	}
	if (optind + 1 < argc) {
		cli_usage(command, "one PATH is wanted, '%s' is one too many", argv[optind + 1]);
		return NULL;
	}
	if (!argv[optind][0]) {
		cli_usage(command, "the PATH is empty");
		return NULL;
	}
	return argv[optind];
}

static void row(FILE *out, const char *name, const char *format, va_list ap)
{
	fprintf(out, "%-14s ", name);
	char *text = NULL;
	int n = vasprintf(&text, format, ap);

	/* A name that somebody chose cannot make lines, nor steer the terminal. */
	for (int i = 0; i < n; i++)
		putc((unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i], out);
	putc('\n', out);
	if (n >= 0)
		free(text);
}

void cli_row_to(FILE *out, const char *name, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	row(out, name, format, ap);
	va_end(ap);
}

void cli_row(const char *name, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	row(stdout, name, format, ap);
	va_end(ap);
}
