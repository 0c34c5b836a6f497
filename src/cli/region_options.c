/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/region_options.h"
#include "cli/cli.h"

#include <string.h>

#define NAME_MAX_BYTES 63

int cli_region_option(const char *command, int letter, const char *value, struct paste_create_options *o)
{
	uint64_t number;

	switch (letter) {
	case 's':
		if (!cli_parse_size(value, &o->size) || !o->size)
			return cli_usage(command, "--size '%s' is no size: write bytes, 64M, 1G or 1GiB", value);
		return CLI_OK;
	case 'n':
		if (!value[0] || strlen(value) > NAME_MAX_BYTES)
			return cli_usage(command, "--name wants 1 to %d bytes", NAME_MAX_BYTES);
		o->name = value;
		return CLI_OK;
	case 'b':
		if (!cli_parse_size(value, &number) || (number != 2048 && number != 4096))
			return cli_usage(command, "--buffer-size '%s' is neither 2048 nor 4096", value);
		o->buffer_size = (uint32_t)number;
		return CLI_OK;
	case 'm':
		if (strcmp(value, "pmem") && strcmp(value, "shm") && strcmp(value, "file"))
			return cli_usage(command, "--medium '%s' is none of pmem, shm, file", value);
		o->medium = value;
		return CLI_OK;
	default:
		o->force = true;
		return CLI_OK;
	}
}
