/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_client.h"
#include "cli/bench_udp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256
#define BUFFER_BYTES (256 * 1024)
#define STASH_STEP 4096
#define STASH_KEEP 65536
#define SIGNALS UINT32_MAX /* the signal descriptor's place among the connections' numbers */
#define WAIT_MS 50         /* how often `round` is called when nothing happens */
#define LOSS_GRACE_NS 2000000000u
#define CONNECT_SECONDS 10
#define SPARE_FDS 32
#define LOOK_NS 20000000u /* how often to look for datagrams without an answer */

uint64_t client_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void client_stop(struct client *c)
{
	c->stopping = true;
}

static void set_idle(struct client *c, struct client_connection *k)
{
	if (k->busy)
		c->busy--;
	k->busy = false;
}

/* The first reason is the one that tells; the others are its consequences. */
static void lose(struct client *c, struct client_connection *k, const char *what, int error)
{
	if (!c->lost++) {
		snprintf(c->why, sizeof(c->why), "%s%s%s", what, error ? ": " : "",
			 error ? strerror(error) : "");
		c->stop_at = client_now() + LOSS_GRACE_NS;
	}
	c->stopping = true;
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	set_idle(c, k);
}

/* --- connecting --- */

static int resolve(struct client *c, struct paste_error *err)
{
	struct addrinfo hints = {.ai_socktype = c->options.udp ? SOCK_DGRAM : SOCK_STREAM};
	struct addrinfo *found;
	int error = getaddrinfo(c->options.host, c->options.port, &hints, &found);

	if (error)
		return paste_fail(err, -EHOSTUNREACH, "cannot find %s: %s", c->options.host,
				  gai_strerror(error));
	memcpy(&c->address, found->ai_addr, found->ai_addrlen);
	c->address_length = found->ai_addrlen;
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
static int connect_one(struct client *c, uint32_t index)
{
	struct client_connection *k = &c->connections[index];
	struct timeval limit = {.tv_sec = CONNECT_SECONDS};
	struct timeval none = {0};
	int on = 1;
	int fd = socket(c->address.ss_family, (c->options.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (!c->options.udp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	/* Edge-triggered, both ways, once: no system call to change what is waited for. */
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = index};
	if (connect(fd, (struct sockaddr *)&c->address, c->address_length) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)) ||
	    epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event)) {
		int error = errno == EINPROGRESS || errno == EAGAIN ? ETIMEDOUT : errno;
		close(fd);
		return -error;
	}
	k->fd = fd;
	return 0;
}

static int connect_all(struct client *c, struct paste_error *err)
{
	for (uint32_t i = 0; i < c->options.connections; i++) {
		int error = connect_one(c, i);
		if (error)
			return paste_fail(err, error, "cannot connect to %s port %s: %s", c->options.host,
					  c->options.port, strerror(-error));
	}
	return 0;
}

static int watch_signals(struct client *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = SIGNALS};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return c->signals < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->signals, &event) ? -errno : 0;
}

int client_open(struct client *c, const struct client_options *options, const struct client_ops *ops,
		void *arg, struct paste_error *err)
{
	*c = (struct client){.options = *options, .ops = ops, .arg = arg, .signals = -1};
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->connections = calloc(options->connections, sizeof(*c->connections));
	c->ready = calloc(options->connections, sizeof(*c->ready));
	c->buffer = malloc(BUFFER_BYTES);
	for (uint32_t i = 0; c->connections && i < options->connections; i++)
		c->connections[i].fd = -1;
	int error = 0;
	if (c->epoll < 0 || !c->connections || !c->ready || !c->buffer || watch_signals(c))
		error = paste_fail(err, -ENOMEM, "no memory or descriptors for %u connections",
				   options->connections);
	if (!error)
		error = allow_files(options->connections, err);
	if (!error)
		error = resolve(c, err);
	if (!error)
		error = connect_all(c, err);
	if (error)
		client_close(c);
	return error;
}

void client_close(struct client *c)
{
	for (uint32_t i = 0; c->connections && i < c->options.connections; i++) {
		if (c->connections[i].fd >= 0)
			close(c->connections[i].fd);
		free(c->connections[i].stash);
	}
	if (c->signals >= 0)
		close(c->signals);
	if (c->epoll >= 0)
		close(c->epoll);
	free(c->connections);
	free(c->ready);
	free(c->buffer);
	*c = (struct client){.signals = -1, .epoll = -1};
}

/* --- sending --- */

static void send_datagram(struct client *c, struct client_connection *k)
{
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
		lose(c, k, "sending", errno);
		return;
	}
	k->wanted = 8;
	k->sent = q->head_length + q->body_length;
	c->sent_bytes += k->sent;
}

static void send_rest(struct client *c, struct client_connection *k)
{
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
				lose(c, k, "sending", errno);
			return;
		}
	}
}

static void ask_next(struct client *c, uint32_t index)
{
	struct client_connection *k = &c->connections[index];

	if (c->stopping || k->fd < 0)
		return;
	k->request.body = NULL;
	k->request.body_length = 0;
	if (!c->ops->next(c->arg, index, &k->request))
		return;
	k->sent = 0;
	k->wanted = 0;
	k->stash_length = 0;
	k->busy = true;
	c->busy++;
	c->ready[c->ready_count++] = index;
}

/* The end of a round. What must be written down is written before anything is sent. */
static int finish_round(struct client *c, uint64_t now)
{
	int error = c->ops->round(c->arg, now);

	for (uint32_t i = 0; i < c->ready_count && !error; i++) {
		struct client_connection *k = &c->connections[c->ready[i]];
		k->sent_at = client_now();
		if (c->options.udp)
			send_datagram(c, k);
		else
			send_rest(c, k);
	}
	c->ready_count = 0;
	return error;
}

/* --- receiving --- */

static int reserve_stash(struct client_connection *k, size_t room)
{
	if (room <= k->stash_room)
		return 0;
	char *stash = realloc(k->stash, room);
	if (!stash)
		return -ENOMEM;
	k->stash = stash;
	k->stash_room = room;
	return 0;
}

static void deliver(struct client *c, uint32_t index, const struct http_reply *reply)
{
	struct client_connection *k = &c->connections[index];
	uint64_t now = client_now();
	bool sent_whole = k->sent == k->request.head_length + k->request.body_length;

	set_idle(c, k);
	c->answered_at = now;
	c->ops->answer(c->arg, index, reply, now - k->sent_at);
	if (k->stash_room > STASH_KEEP) {
		free(k->stash);
		k->stash = NULL;
		k->stash_room = 0;
	}
	if (reply->close || !sent_whole) { /* or no answer at all */
		close(k->fd);
		k->fd = -1;
		k->generation++;
		int error = c->stopping ? 0 : connect_one(c, index);
		if (error)
			lose(c, k, "connecting again", -error);
	}
	ask_next(c, index);
}

/* Received bytes of the answer, from its start. True: it was whole and is delivered, or all is lost. */
static bool take(struct client *c, uint32_t index, const char *data, size_t length)
{
	struct client_connection *k = &c->connections[index];
	struct http_reply reply;

	if (c->options.udp) {
		char text[BENCH_UDP_TEXT];
		if (k->busy && bench_udp_answer(data, length, &reply, text))
			deliver(c, index, &reply);
		else
			lose(c, k, "the service sent something that is no answer", 0);
		return true;
	}
	if (k->busy && length < k->wanted)
		return false;
	int64_t whole = k->busy ? http_reply_parse(data, length, &reply) : 0;
	if (!k->busy || (whole > 0 && (uint64_t)whole < length)) {
		lose(c, k, "the service sent bytes that nobody asked for", 0);
		return true;
	}
	if (whole < 0) {
		lose(c, k, "an answer that is not HTTP as we know it", 0);
		return true;
	}
	if (whole && (size_t)whole == length) {
		deliver(c, index, &reply);
		return true;
	}
	k->wanted = (uint64_t)whole;
	return false;
}

/* What one recv() said. Mostly an answer is whole in the shared buffer and copied nowhere. */
static ssize_t receive_once(struct client *c, uint32_t index, bool *taken)
{
	struct client_connection *k = &c->connections[index];
	size_t before = k->stash_length;

	if (before && reserve_stash(k, k->wanted ? k->wanted : before + STASH_STEP))
		return -ENOMEM;
	char *into = before ? k->stash + before : c->buffer;
	ssize_t n = recv(k->fd, into, before ? k->stash_room - before : BUFFER_BYTES, MSG_DONTWAIT);
	if (n <= 0)
		return n ? -errno : 0;
	c->received_bytes += (uint64_t)n;
	size_t length = before + (size_t)n;
	*taken = take(c, index, before ? k->stash : c->buffer, length);
	if (*taken)
		return n;
	if (!before) {
		if (reserve_stash(k, length > k->wanted ? length : k->wanted))
			return -ENOMEM;
		memcpy(k->stash, c->buffer, length);
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
		lose(c, &c->connections[index], n ? "receiving" : "the service closed the connection",
		     (int)-n);
		return;
	}
}

/* --- the loop --- */

static void take_signal(struct client *c)
{
	struct signalfd_siginfo info;

	if (read(c->signals, &info, sizeof(info)) == sizeof(info)) {
		c->interrupted = true;
		c->stopping = true;
	}
}

static void handle(struct client *c, const struct epoll_event *event)
{
	uint32_t index = event->data.u32;
	struct client_connection *k = &c->connections[index];
	uint32_t generation = k->generation;
	bool ended = event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

	if (k->fd < 0)
		return;
	if (ended && !k->busy) { /* it has nothing to do any more: nothing is lost */
		close(k->fd);
		k->fd = -1;
		return;
	}
	if ((event->events & EPOLLOUT) && k->busy) {
		if (c->options.udp)
			send_datagram(c, k);
		else
			send_rest(c, k);
	}
	if (k->fd >= 0 && ((event->events & EPOLLIN) || ended))
		receive(c, index);
	/* The end came together with an answer: no further event will tell of it. */
	if (ended && k->busy && k->generation == generation)
		lose(c, k, "the service closed the connection", 0);
}

/* Silence for too long, or the grace after a loss is over: nobody else will answer. */
static void give_up(struct client *c, uint64_t now)
{
	bool silent = now > c->answered_at + c->options.timeout_ns;

	if (!silent && !(c->lost && now > c->stop_at))
		return;
	for (uint32_t i = 0; i < c->options.connections; i++)
		if (c->connections[i].busy)
			lose(c, &c->connections[i], "no answer for too long", 0);
}

/* Datagrams that got no answer in time: what became of them is not known, and others follow. */
static void look_for_silence(struct client *c, uint64_t now)
{
	struct http_reply reply;
	uint64_t answered_at = c->answered_at;

	if (now < c->looked_at + LOOK_NS)
		return;
	c->looked_at = now;
	bench_udp_silence(&reply);
	reply.close = true; /* go on from another port */
	for (uint32_t i = 0; i < c->options.connections; i++) {
		const struct client_connection *k = &c->connections[i];
		if (k->fd >= 0 && k->busy && now > k->sent_at + BENCH_UDP_TIMEOUT_NS)
			deliver(c, i, &reply);
	}
	c->answered_at = answered_at; /* that was no answer */
}

int client_run(struct client *c)
{
	struct epoll_event events[EVENTS];
	uint64_t now = client_now();

	c->answered_at = now;
	for (uint32_t i = 0; i < c->options.connections; i++)
		ask_next(c, i);
	int error = finish_round(c, now);
	uint64_t waiting = client_now();
	while (c->busy && !error) {
		int n = epoll_wait(c->epoll, events, EVENTS, c->options.spin ? 0 : WAIT_MS);
		uint64_t woken = client_now();
		/* A wait that sleeps is idle time, and so is one that spins in vain. */
		if (n <= 0 || !c->options.spin)
			c->idle_ns += woken - waiting;
		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == SIGNALS)
				take_signal(c);
			else
				handle(c, &events[i]);
		}
		now = n > 0 ? client_now() : woken;
		if (c->options.udp)
			look_for_silence(c, now);
		error = finish_round(c, now);
		give_up(c, now);
		waiting = n > 0 ? client_now() : woken;
	}
	return error;
}
