/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * echo_server HOST:PORT: sends back what comes, the way it is usually written: one thread, epoll, read,
 * write. It spins: a sleep and a wake-up would hide everything else. What bench/echo.py compares with.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 512
#define BYTES 65536

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_on(char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST}, *found;
	char *colon = strrchr(address, ':');
	int on = 1;

	if (!colon)
		die(address);
	*colon = 0;
	if (getaddrinfo(address, colon + 1, &hints, &found))
		die(address);
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 4096))
		die(address);
	freeaddrinfo(found);
	return fd;
}

static void watch(int epoll, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
}

static void accept_all(int epoll, int listener)
{
	int on = 1;

	for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0; watch(epoll, fd))
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* False: the connection is over. A client has one message under way, so it takes what it is sent. */
static int echo(int fd)
{
	static char bytes[BYTES];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n < 0 && errno == EAGAIN)
		return 1;
	for (ssize_t at = 0, sent; at<n; at += sent> 0 ? sent : 0) {
		sent = write(fd, bytes + at, (size_t)(n - at));
		if (sent < 0 && errno != EAGAIN)
			return 0;
	}
	return n > 0;
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];

	if (argc != 2) {
		fprintf(stderr, "usage: echo_server HOST:PORT\n");
		return 2;
	}
	int listener = listen_on(argv[1]), epoll = epoll_create1(0);
	watch(epoll, listener);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, 0);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == listener)
				accept_all(epoll, listener);
			else if (!echo(fd))
				close(fd);
		}
	}
}
