/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli.h - what the subcommands of `pst` share: the table of commands, exit statuses, reading of options.
 *
 * A subcommand is `int cmd_NAME(int argc, char **argv)` in NAME.c: argv[0] is the subcommand's name, argv[1]
 * the first option, and what it returns is the exit status. `--help` is answered before it is called. Results
 * go to stdout, everything else to stderr. This layer alone prints.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1, /* it ran, and what it was to do or to prove did not hold */
	CLI_USAGE = 2,  /* wrong options; `check`, `bench`: what was named cannot be read */
	CLI_LOST = 3,   /* `bench`: the service could not be reached, or went away */
};

struct cli_command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary; /* for the list of `pst help` */
	const char *help;    /* the whole text of `pst help NAME` */
};

/* Ends with a row whose name is NULL. */
extern const struct cli_command cli_commands[];

int cmd_create(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_port(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_ss(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_grow(int argc, char **argv);

extern const char help_create[], help_info[], help_check[], help_serve[], help_bench[], help_port[], help_top[], help_ss[],
    help_dump[], help_restore[], help_grow[];

/* Say on stderr what is wrong with the command line, and where it is explained. Returns CLI_USAGE. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for an `answer` '?' or ':' of getopt_long() (opterr 0, short options that begin with ':'). */
int cli_bad_option(const char *command, int answer, char *const *argv);

/* "pst COMMAND: TEXT" on stderr. Returns `status`. */
int cli_fail(const char *command, int status, const char *text);

/* The PATH of a subcommand that takes one, after getopt_long() is done. NULL: what is wrong has been told. */
const char *cli_one_path(const char *command, int argc, char **argv);

/*
 * Keep writers away from a region while it is read (they lock it: media.h): a descriptor to close when done,
 * -EBUSY: a writer has it, also after wait_ms (the kernel keeps the lock of one that was killed until its last
 * write in flight is over), -ENOENT: there is nothing to hold, and opening will say why.
 */
int cli_hold(const char *path, unsigned wait_ms);

/* Whole texts only, else false: "4096", "64k", "64M", "1G", "1GiB", "2T"; below 2^64. K is 1024. */
bool cli_parse_size(const char *text, uint64_t *bytes);
/* A decimal number from `low` to `high`. */
bool cli_parse_count(const char *text, uint64_t low, uint64_t high, uint64_t *count);
/* A decimal fraction from `low` to `high`; no exponent, no sign, no "inf". */
bool cli_parse_fraction(const char *text, double low, double high, double *value);

/* "64 MiB (67108864 bytes)", or just "100 bytes". Returns text. */
#define CLI_SIZE_TEXT 64
const char *cli_size_text(char text[CLI_SIZE_TEXT], uint64_t bytes);

/* One row of a table for people: a name, padded, and what is said of it. */
void cli_row_to(FILE *out, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void cli_row(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
