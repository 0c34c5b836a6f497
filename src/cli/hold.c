/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define STEP_MS 10

int cli_hold(const char *path, unsigned wait_ms)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -ENOENT;
	for (unsigned waited_ms = 0;; waited_ms += STEP_MS) {
		if (!flock(fd, LOCK_SH | LOCK_NB))
			return fd;
		if (errno != EWOULDBLOCK || waited_ms >= wait_ms)
			break;
		usleep(STEP_MS * 1000);
	}
	int error = errno == EWOULDBLOCK ? -EBUSY : -ENOENT;
	close(fd);
	return error;
}
