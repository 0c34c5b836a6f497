/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

int cli_hold(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -ENOENT;
	if (!flock(fd, LOCK_SH | LOCK_NB))
		return fd;
	int error = errno == EWOULDBLOCK ? -EBUSY : -ENOENT;
	close(fd);
	return error;
}
