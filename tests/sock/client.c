/* SPDX-License-Identifier: BSD-2-Clause */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct server server_begin(uint32_t buffers, const struct paste_stack_limits *limits)
{
	struct server s = {.region = fake_region_new(buffers, 2048)};
	struct paste_error error = {{0}};
	int rc = paste_sock_open(s.region, limits, &s.stack, &error);

	if (rc == -EPERM) {
		printf("skipped: %s\n", error.text);
		exit(77);
	}
	if (rc)
		fail_msg("%s", error.text);
	rc = paste_stack_listen(s.stack, "127.0.0.1:0", s.address, sizeof(s.address), &error);
	if (rc)
		fail_msg("%s", error.text);
	s.port = atoi(strrchr(s.address, ':') + 1);
	return s;
}

void server_end(struct server *s)
{
	paste_stack_close(s->stack);
	assert_int_equal(fake_region_out(s->region), 0);
	fake_region_free(s->region);
}

void put_event(struct server *s, const struct paste_event *e)
{
	if (e->type == PASTE_EVENT_DATA)
		paste_ref_put(s->region, e->slice);
}

int server_poll(struct server *s, struct paste_event *events, int max, int64_t timeout_us)
{
	int n = paste_stack_poll(s->stack, events, max, timeout_us);

	assert_in_range(n, 0, max);
	return n;
}

struct paste_event server_expect(struct server *s, enum paste_event_type type)
{
	struct paste_event e;
	int64_t end = now_us() + 5000000;

	while (now_us() < end) {
		if (!server_poll(s, &e, 1, 100000))
			continue;
		if (e.type == type)
			return e;
		put_event(s, &e);
	}
	fail_msg("no event of type %d", type);
	return e;
}

void server_expect_quiet(struct server *s, int64_t us)
{
	struct paste_event e;

	assert_int_equal(server_poll(s, &e, 1, us), 0);
}

void server_until_empty(struct server *s)
{
	struct paste_stack_stats stats;
	int64_t end = now_us() + 5000000;

	do {
		struct paste_event e;

		if (server_poll(s, &e, 1, 1000))
			put_event(s, &e);
		paste_stack_stats(s->stack, &stats);
	} while (stats.connections && now_us() < end);
	assert_int_equal(stats.connections, 0);
}

int client_connect(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 5};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	/* Without a time-out the kernel restarts what io_uring's notifications interrupt in this thread. */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		fail_msg("connect: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

void client_send(int fd, const void *bytes, size_t n)
{
	assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
}

void client_expect(int fd, const void *bytes, size_t n)
{
	uint8_t *got = malloc(n);

	for (size_t have = 0; have < n;) {
		ssize_t more = recv(fd, got + have, n - have, MSG_WAITALL);

		if (more < 0 && errno == EINTR)
			continue;
		if (more <= 0)
			fail_msg("received %zu of %zu: %s", have, n, more ? strerror(errno) : "end");
		have += (size_t)more;
	}
	assert_memory_equal(got, bytes, n);
	free(got);
}

void client_expect_end(int fd)
{
	char byte;

	ssize_t n;

	do
		n = recv(fd, &byte, 1, 0);
	while (n < 0 && errno == EINTR);
	assert_int_equal(n, 0);
}

void client_reset(int fd)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}
