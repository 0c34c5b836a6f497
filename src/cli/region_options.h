/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * region_options.h - the options of every subcommand that makes a region: what it is to be like.
 */
#ifndef CLI_REGION_OPTIONS_H
#define CLI_REGION_OPTIONS_H

#include "paste/store.h"

#include <getopt.h>

/* Rows of a getopt_long() table; each of these letters goes to cli_region_option(). */
#define CLI_REGION_OPTIONS                                                                                   \
	{"size", required_argument, NULL, 's'}, {"name", required_argument, NULL, 'n'},                      \
	    {"medium", required_argument, NULL, 'm'}, {"buffer-size", required_argument, NULL, 'b'},         \
	{                                                                                                    \
		"force", no_argument, NULL, 'f'                                                              \
	}
#define CLI_REGION_LETTERS "snmbf"

/* `value` must outlive `o`. CLI_OK, or CLI_USAGE when what is wrong with it has been told. */
int cli_region_option(const char *command, int letter, const char *value, struct paste_create_options *o);

#endif
