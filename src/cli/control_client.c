/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/control_client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/control_place.h"

#define FRAME_MAX (1ull << 30)

/* The answer comes from root, from us, or from who owns the region; nobody else is believed. */
static bool is_trusted(int fd, uint32_t owner)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return false;
	return peer.uid == 0 || peer.uid == geteuid() || peer.uid == owner;
}

static int connect_to(const char *path, uint32_t owner)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = CONTROL_TIMEOUT_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	int rc = connect(fd, (const struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
	if (rc == 0 && !is_trusted(fd, owner))
		rc = -EACCES;
	if (rc < 0) {
		close(fd);
		return rc == -ECONNREFUSED ? -ENOENT : rc;
	}
	return fd;
}

static int connect_by_region(const char *path, struct paste_error *err)
{
	char places[CONTROL_PLACES][CONTROL_PATH_MAX];
	struct control_id id;
	int rc = control_identify(path, &id, err), denied = -1;

	if (rc < 0)
		return rc;
	unsigned n = control_candidates(&id, places);
	for (unsigned i = 0; i < n; i++) {
		int fd = connect_to(places[i], id.owner);

		if (fd >= 0)
			return fd;
		if (fd == -EACCES || fd == -EPERM)
			denied = (int)i;
	}
	if (denied >= 0)
		return paste_fail(err, -EACCES, "%s: the service may only be asked by its own user (%s)",
				  path, places[denied]);
	return paste_fail(err, -ENOENT, "%s: no service answers for it", path);
}

static int connect_by_socket(const char *path, struct paste_error *err)
{
	if (strlen(path) >= CONTROL_PATH_MAX)
		return paste_fail(err, -ENAMETOOLONG, "%s: too long for a socket's address", path);
	int fd = connect_to(path, geteuid());

	return fd >= 0 ? fd
		       : paste_fail(err, fd, "%s: %s", path,
				    fd == -ENOENT ? "nobody listens there" : strerror(-fd));
}

int control_connect(const char *path, struct control_client *client, struct paste_error *err)
{
	struct stat st;
	bool is_socket = !stat(path, &st) && S_ISSOCK(st.st_mode);
	int fd = is_socket ? connect_by_socket(path, err) : connect_by_region(path, err);

	*client = (struct control_client){.fd = fd};
	return fd < 0 ? fd : 0;
}

void control_disconnect(struct control_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->text);
	*client = (struct control_client){.fd = -1};
}

static int gone(struct paste_error *err, ssize_t n)
{
	if (n == 0 || errno == EPIPE || errno == ECONNRESET)
		return paste_fail(err, -ECONNRESET, "the service went away");
	if (errno == EAGAIN)
		return paste_fail(err, -ETIMEDOUT, "the service did not answer within %d s",
				  CONTROL_TIMEOUT_S);
	return paste_fail(err, -errno, "asking the service: %s", strerror(errno));
}

int control_send(struct control_client *client, const char *line, struct paste_error *err)
{
	size_t length = strlen(line);
	char request[2048];

	if (length + 1 > sizeof(request) || strchr(line, '\n'))
		return paste_fail(err, -EINVAL, "this is no request to a service");
	memcpy(request, line, length);
	request[length++] = '\n';
	for (size_t sent = 0; sent < length;) {
		ssize_t n = send(client->fd, request + sent, length - sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return gone(err, n);
		sent += (size_t)n;
	}
	return 0;
}

static int read_all(struct control_client *client, char *to, size_t length, struct paste_error *err)
{
	while (length) {
		ssize_t n = recv(client->fd, to, length, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return gone(err, n);
		to += n;
		length -= (size_t)n;
	}
	return 0;
}

/* Byte by byte: what follows the line is not ours to read ahead. */
static int read_head(struct control_client *client, char *head, size_t size, struct paste_error *err)
{
	for (size_t i = 0; i < size; i++) {
		int rc = read_all(client, head + i, 1, err);
		if (rc < 0)
			return rc;
		if (head[i] == '\n') {
			head[i] = 0;
			return 0;
		}
	}
	return paste_fail(err, -EPROTO, "what answers is no control socket");
}

static int read_body(struct control_client *client, uint64_t length, struct paste_error *err)
{
	if (length + 1 > client->room) {
		char *grown = realloc(client->text, length + 1);

		if (!grown)
			return paste_fail(err, -ENOMEM, "no memory for an answer of %llu bytes",
					  (unsigned long long)length);
		client->text = grown;
		client->room = length + 1;
	}
	client->length = length;
	client->text[length] = 0;
	return read_all(client, client->text, length, err);
}

int control_next(struct control_client *client, struct paste_error *err)
{
	char head[32], *end;
	int rc = read_head(client, head, sizeof(head), err);

	if (rc < 0)
		return rc;
	char *space = strchr(head, ' ');
	uint64_t length = space ? strtoull(space + 1, &end, 10) : 0;
	if (!space || end == space + 1 || *end || length > FRAME_MAX)
		return paste_fail(err, -EPROTO, "what answers is no control socket");
	*space = 0;
	rc = read_body(client, length, err);
	if (rc < 0)
		return rc;
	if (!strcmp(head, "error"))
		return paste_fail(err, -EREMOTEIO, "%s", client->text);
	if (!strcmp(head, "more"))
		return 1;
	return strcmp(head, "ok") ? paste_fail(err, -EPROTO, "what answers is no control socket") : 0;
}

int control_ask(struct control_client *client, const char *line, struct paste_error *err)
{
	int rc = control_send(client, line, err);

	if (rc == 0)
		rc = control_next(client, err);
	return rc > 0 ? paste_fail(err, -EPROTO, "the service answers in parts; one was wanted") : rc;
}
