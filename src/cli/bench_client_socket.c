/* SPDX-License-Identifier: BSD-2-Clause */
/* The load generator's connections over kernel sockets. */
#include "cli/bench_client_inside.h"
#include "cli/bench_udp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVENTS 256
#define BUFFER_BYTES (256 * 1024)
#define STASH_STEP 4096
#define SIGNALS UINT32_MAX /* the signal descriptor's place among the connections' numbers */
#define CONNECT_SECONDS 10
#define SPARE_FDS 32

struct sockets {
	struct sockaddr_storage address;
	socklen_t address_length;
	int epoll;
	char buffer[BUFFER_BYTES];
};

static int resolve(struct client *c, struct paste_error *err)
{
	struct addrinfo hints = {.ai_socktype = c->options.udp ? SOCK_DGRAM : SOCK_STREAM};
	struct addrinfo *found;
	struct sockets *s = c->link;
	int error = getaddrinfo(c->options.host, c->options.port, &hints, &found);

	if (error)
		return paste_fail(err, -EHOSTUNREACH, "cannot find %s: %s", c->options.host,
				  gai_strerror(error));
	memcpy(&s->address, found->ai_addr, found->ai_addrlen);
	s->address_length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int allow_files(uint32_t connections, struct paste_error *err)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)connections + SPARE_FDS;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= wanted)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_max < wanted || setrlimit(RLIMIT_NOFILE, &limit))
		return paste_fail(
		    err, -EMFILE, "%u connections need %llu open files, %llu are allowed (ulimit -Hn)",
		    connections, (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
	return 0;
}

/* Blocking: one connection is made at a time, so that a listener's short queue is no trouble. */
static int socket_connect(struct client *c, uint32_t index)
{
	struct client_connection *k = &c->connections[index];
	struct sockets *s = c->link;
	struct timeval limit = {.tv_sec = CONNECT_SECONDS};
	struct timeval none = {0};
	int on = 1;
	int fd = socket(s->address.ss_family, (c->options.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (!c->options.udp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	/* Edge-triggered, both ways, once: no system call to change what is waited for. */
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = index};
	if (connect(fd, (struct sockaddr *)&s->address, s->address_length) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)) ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event)) {
		int error = errno == EINPROGRESS || errno == EAGAIN ? ETIMEDOUT : errno;
		close(fd);
		return -error;
	}
	k->fd = fd;
	return 0;
}

static int sockets_open(struct client *c, struct paste_error *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = SIGNALS};
	struct sockets *s = malloc(sizeof(*s));

	if (!s)
		return paste_fail(err, -ENOMEM, "out of memory");
	c->link = s;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->signals, &event))
		return paste_fail(err, -ENOMEM, "no memory or descriptors for %u connections",
				  c->options.connections);
	int error = allow_files(c->options.connections, err);
	return error ? error : resolve(c, err);
}

static void sockets_close(struct client *c)
{
	struct sockets *s = c->link;

	if (s->epoll >= 0)
		close(s->epoll);
	free(s);
}

static void socket_drop(struct client *c, struct client_connection *k)
{
	close(k->fd);
}

/* --- sending --- */

static void send_datagram(struct client *c, uint32_t index)
{
	struct client_connection *k = &c->connections[index];
	const struct client_request *q = &k->request;
	struct iovec parts[2] = {{(void *)(uintptr_t)q->head, q->head_length},
				 {(void *)(uintptr_t)q->body, q->body_length}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t sent;

	if (k->wanted) /* sent; an empty one has no bytes to tell by */
		return;
	do
		sent = sendmsg(k->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS))
		return; /* EPOLLOUT, or the time-out, says when to go on */
	if (sent < 0) {
		client_lose(c, index, "sending", errno);
		return;
	}
	k->wanted = 8;
	k->sent = q->head_length + q->body_length;
	c->sent_bytes += k->sent;
}

static void send_rest(struct client *c, uint32_t index)
{
	struct client_connection *k = &c->connections[index];
	const struct client_request *q = &k->request;

	while (k->sent < q->head_length + q->body_length) {
		struct iovec parts[2];
		int n = 0;
		uint64_t body_sent = k->sent > q->head_length ? k->sent - q->head_length : 0;
		if (k->sent < q->head_length)
			parts[n++] =
			    (struct iovec){(void *)(uintptr_t)(q->head + k->sent), q->head_length - k->sent};
		if (body_sent < q->body_length)
			parts[n++] = (struct iovec){(void *)(uintptr_t)(q->body + body_sent),
						    q->body_length - body_sent};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)n};
		ssize_t sent = sendmsg(k->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent >= 0) {
			k->sent += (uint64_t)sent;
			c->sent_bytes += (uint64_t)sent;
		} else if (errno == EAGAIN) {
			return; /* EPOLLOUT says when to go on */
		} else if (errno != EINTR) {
			/* What the server still said is read before the connection is given up. */
			if (errno != EPIPE && errno != ECONNRESET)
				client_lose(c, index, "sending", errno);
			return;
		}
	}
}

static void socket_send(struct client *c, uint32_t index)
{
	if (c->options.udp)
		send_datagram(c, index);
	else
		send_rest(c, index);
}

/* --- receiving --- */

/* What one recv() said. Mostly an answer is whole in the shared buffer and copied nowhere. */
static ssize_t receive_once(struct client *c, uint32_t index, bool *taken)
{
	struct client_connection *k = &c->connections[index];
	struct sockets *s = c->link;
	size_t before = k->stash_length;

	if (before && client_stash_reserve(k, k->wanted ? k->wanted : before + STASH_STEP))
		return -ENOMEM;
	char *into = before ? k->stash + before : s->buffer;
	ssize_t n = recv(k->fd, into, before ? k->stash_room - before : BUFFER_BYTES, MSG_DONTWAIT);
	if (n <= 0)
		return n ? -errno : 0;
	c->received_bytes += (uint64_t)n;
	size_t length = before + (size_t)n;
	*taken = client_take(c, index, before ? k->stash : s->buffer, length);
	if (*taken)
		return n;
	if (!before) {
		if (client_stash_reserve(k, length > k->wanted ? length : k->wanted))
			return -ENOMEM;
		memcpy(k->stash, s->buffer, length);
	}
	k->stash_length = length;
	return n;
}

/* Read until the answer is whole or nothing more is there. With edge-triggered events bytes that come later
 * are announced anew, so an answer that is whole needs no further read that would find nothing. */
static void receive(struct client *c, uint32_t index)
{
	bool taken = false;

	while (!taken) {
		ssize_t n = receive_once(c, index, &taken);
		if (n == -EAGAIN)
			return;
		if (n > 0 || n == -EINTR)
			continue;
		client_lose(c, index, n ? "receiving" : "the service closed the connection", (int)-n);
		return;
	}
}

static void handle(struct client *c, const struct epoll_event *event)
{
	uint32_t index = event->data.u32;
	struct client_connection *k = &c->connections[index];
	uint32_t generation = k->generation;
	bool ended = event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

	if (!k->open)
		return;
	if (ended && !k->busy) {
		client_ended(c, index);
		return;
	}
	if ((event->events & EPOLLOUT) && k->busy)
		socket_send(c, index);
	if (k->open && ((event->events & EPOLLIN) || ended))
		receive(c, index);
	/* The end came together with an answer: no further event will tell of it. */
	if (ended && k->busy && k->generation == generation)
		client_ended(c, index);
}

static int sockets_wait(struct client *c, int wait_ms)
{
	struct epoll_event events[EVENTS];
	struct sockets *s = c->link;
	int n = epoll_wait(s->epoll, events, EVENTS, wait_ms);

	if (n <= 0)
		return n;
	uint64_t woken = client_now();
	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 == SIGNALS)
			client_interrupt(c);
		else
			handle(c, &events[i]);
	}
	c->handling_ns += client_now() - woken;
	return n;
}

const struct client_transport client_sockets = {
    .open = sockets_open,
    .connect = socket_connect,
    .send = socket_send,
    .wait = sockets_wait,
    .drop = socket_drop,
    .close = sockets_close,
};
