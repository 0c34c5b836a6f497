/* SPDX-License-Identifier: BSD-2-Clause */
/* listen.c - addresses, listening, accepting. */
#include "sock/sock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* "ADDRESS:PORT", "[ADDRESS]:PORT" for IPv6, "?" for what is neither. */
void address_format(const void *sockaddr, char *text, size_t size)
{
	const struct sockaddr *any = sockaddr;
	char host[INET6_ADDRSTRLEN];

	if (any->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = sockaddr;

		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(v4->sin_port));
	} else if (any->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = sockaddr;

		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, ntohs(v6->sin6_port));
	} else {
		snprintf(text, size, any->sa_family == AF_UNIX ? "unix" : "?");
	}
}

/* Split at the last colon, take the brackets off. */
static int split_address(const char *address, char *host, size_t host_size, const char **port)
{
	const char *colon = strrchr(address, ':');
	size_t length = colon ? (size_t)(colon - address) : 0;

	/* getaddrinfo() would take a port modulo 65536. */
	if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    strlen(colon) > 6 || atoi(colon + 1) > 65535)
		return -EINVAL;
	if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
		address++;
		length -= 2;
	} else if (memchr(address, ':', length)) {
		return -EINVAL;
	}
	if (length >= host_size)
		return -EINVAL;
	memcpy(host, address, length);
	host[length] = 0;
	*port = colon + 1;
	return 0;
}

int resolve_address(const char *address, int socktype, struct addrinfo **found, struct paste_error *err)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = socktype, .ai_flags = AI_PASSIVE};
	char host[256];
	const char *port;

	if (split_address(address, host, sizeof(host), &port))
		return paste_fail(err, -EINVAL, "%s: not an address; write HOST:PORT or [IPV6]:PORT",
				  address);
	int rc = getaddrinfo(host[0] ? host : NULL, port, &hints, found);
	if (rc)
		return paste_fail(err, -EINVAL, "%s: %s", address, gai_strerror(rc));
	return 0;
}

static int bound_socket(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* Accepted sockets inherit it: small replies leave at once. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 4096)) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

static int listen_tcp(struct sock_listener *l, const char *address, char *bound, size_t bound_size,
		      struct paste_error *err)
{
	struct addrinfo *found;
	int rc = resolve_address(address, SOCK_STREAM, &found, err);

	if (rc)
		return rc;
	int fd = bound_socket(found);
	freeaddrinfo(found);
	if (fd == -EADDRINUSE)
		return paste_fail(err, fd, "%s: another process listens there", address);
	if (fd < 0)
		return paste_fail(err, fd, "%s: cannot listen: %s", address, strerror(-fd));

	struct sockaddr_storage name = {0};
	socklen_t length = sizeof(name);
	getsockname(fd, (struct sockaddr *)&name, &length);
	if (bound)
		address_format(&name, bound, bound_size);
	l->fd = fd;
	return 0;
}

int listen_open(struct paste_stack *base, const char *address, char *bound, size_t bound_size,
		struct paste_error *err)
{
	struct sock *s = (struct sock *)base;
	struct sock_listener l = {.sock = s};
	const char *path = listen_unix_path(address);

	if (s->listener_count == SOCK_LISTENERS)
		return paste_fail(err, -ENOSPC, "%s: at most %d listening addresses", address,
				  SOCK_LISTENERS);
	int rc = path ? listen_unix_open(&l, path, err) : listen_tcp(&l, address, bound, bound_size, err);
	if (rc < 0)
		return rc;
	if (path && bound)
		snprintf(bound, bound_size, "%s", address);
	s->listeners[s->listener_count++] = l;
	return 0;
}

static void cancel_accept(struct sock_listener *l)
{
	struct io_uring_sqe *sqe = sock_sqe(l->sock);

	io_uring_prep_cancel64(sqe, sock_tag(l, SOCK_OP_ACCEPT), 0);
	io_uring_sqe_set_data64(sqe, SOCK_OP_IGNORE);
}

void listen_close_all(struct paste_stack *base)
{
	struct sock *s = (struct sock *)base;

	for (uint32_t i = 0; i < s->listener_count; i++) {
		struct sock_listener *l = &s->listeners[i];

		if (l->closing)
			continue;
		l->closing = true;
		listen_unix_remove(l);
		/* The port refuses connections from here on. The descriptor must outlive the accept. */
		shutdown(l->fd, SHUT_RDWR);
		if (l->accepting)
			cancel_accept(l);
		else
			close(l->fd);
	}
}

/* Accept wherever we do not, unless descriptors ran out a moment ago. */
void listen_work(struct sock *s, int64_t now)
{
	for (uint32_t i = 0; i < s->listener_count; i++) {
		struct sock_listener *l = &s->listeners[i];

		if (l->accepting || l->closing || l->retry_at > now)
			continue;
		struct io_uring_sqe *sqe = sock_sqe(s);
		io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
		io_uring_sqe_set_data64(sqe, sock_tag(l, SOCK_OP_ACCEPT));
		l->accepting = true;
		l->retry_at = 0;
	}
}

int listen_accepted(struct sock_listener *l, const struct io_uring_cqe *cqe, struct paste_event *event)
{
	struct sock *s = l->sock;

	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		l->accepting = false;
		if (l->closing)
			close(l->fd);
	}
	if (cqe->res < 0) {
		/* A connection that died in the queue is no reason to wait; anything else may persist. */
		if (cqe->res != -ECONNABORTED && cqe->res != -EINTR && cqe->res != -ECANCELED) {
			l->retry_at = sock_clock_us() + SOCK_ACCEPT_RETRY_US;
			s->stats.refused++;
		}
		return 0;
	}

	const struct paste_stack_guard *guard = s->limits.guard;
	struct sock *to = s->shutting_down ? NULL : guard ? (struct sock *)guard->choose(guard->arg) : s;
	struct sock_conn *c = to ? conn_new(to, cqe->res) : NULL;
	if (!c) {
		close(cqe->res);
		s->stats.refused++;
		return 0;
	}
	if (to != s) {
		conn_announce(c);
		return 0;
	}
	*event = (struct paste_event){.type = PASTE_EVENT_ACCEPT, .conn = &c->base};
	return 1;
}
