/* SPDX-License-Identifier: BSD-2-Clause */
/* listen_unix.c - listening on a path: who may connect is the file's permissions, 0660. */
#include "sock/sock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PREFIX "unix:"

const char *listen_unix_path(const char *address)
{
	return strncmp(address, PREFIX, sizeof(PREFIX) - 1) ? NULL : address + sizeof(PREFIX) - 1;
}

/* A socket that refuses connections was left by a process that died. Anything else is not ours to remove. */
static bool is_left_over(const struct sockaddr_un *a)
{
	struct stat st;

	if (lstat(a->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return dead;
}

static int bind_and_listen(int fd, const struct sockaddr_un *a)
{
	mode_t mask = umask(0117); /* 0660 from the first moment on */
	int rc = bind(fd, (const struct sockaddr *)a, sizeof(*a)) ? -errno : 0;

	umask(mask);
	return rc == 0 && listen(fd, 4096) ? -errno : rc;
}

int listen_unix_open(struct sock_listener *l, const char *path, struct paste_error *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat st;

	if (path[0] != '/' || strlen(path) >= sizeof(a.sun_path))
		return paste_fail(err, -EINVAL, "unix:%s: write unix:/PATH, of at most %zu bytes", path,
				  sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return paste_fail(err, -errno, "unix:%s: %s", path, strerror(errno));
	if (is_left_over(&a))
		unlink(path);
	int rc = bind_and_listen(fd, &a);
	if (rc < 0) {
		close(fd);
		return rc == -EADDRINUSE
			   ? paste_fail(err, rc, "unix:%s: something is there already", path)
			   : paste_fail(err, rc, "unix:%s: cannot listen: %s", path, strerror(-rc));
	}
	l->fd = fd;
	memcpy(l->path, path, strlen(path) + 1);
	if (!lstat(path, &st)) {
		l->device = st.st_dev;
		l->inode = st.st_ino;
	}
	return 0;
}

/* Ours only: somebody may have put another one there. */
void listen_unix_remove(const struct sock_listener *l)
{
	struct stat st;

	if (l->path[0] && !lstat(l->path, &st) && st.st_dev == l->device && st.st_ino == l->inode)
		unlink(l->path);
}
