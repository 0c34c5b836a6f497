/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * baseline LOG --size BYTES [--http HOST:PORT] [--keep nothing|bytes|all] [--flush never|request|round]
 * [--spin]
 *
 * Prints "ready http=HOST:PORT" and serves until SIGTERM. LOG is overwritten. baseline.h says what it is.
 */
#include "baseline.h"

#include <errno.h>
#include <getopt.h>
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 512
#define BACKLOG 4096

struct options {
	const char *path, *http;
	uint64_t size;
	enum keep_what keep;
	enum flush_when flush;
	bool spin;
};

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "baseline: %s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
	exit(error ? 1 : 2);
}

/* The place of a word in a list that ends with NULL. */
static int choice(const char *word, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(word, words[i]))
			return i;
	die("--keep is nothing, bytes or all; --flush is never, request or round", 0);
}

static struct options parse(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"http", required_argument, NULL, 'h'}, {"size", required_argument, NULL, 'z'},
	    {"keep", required_argument, NULL, 'k'}, {"flush", required_argument, NULL, 'f'},
	    {"spin", no_argument, NULL, 's'},       {NULL},
	};
	struct options o = {
	    .http = "127.0.0.1:8080", .size = 256 << 20, .keep = KEEP_ALL, .flush = FLUSH_ROUND};
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (option) {
		case 'h':
			o.http = optarg;
			break;
		case 'z':
			o.size = strtoull(optarg, NULL, 10);
			break;
		case 'k':
			o.keep = (enum keep_what)choice(
			    optarg, (const char *const[]){"nothing", "bytes", "all", NULL});
			break;
		case 'f':
			o.flush = (enum flush_when)choice(
			    optarg, (const char *const[]){"never", "request", "round", NULL});
			break;
		case 's':
			o.spin = true;
			break;
		default:
			die("see bench/baseline/main.c for its options", 0);
		}
	}
	if (optind + 1 != argc)
		die("the path of the log is wanted", 0);
	o.path = argv[optind];
	return o;
}

static int listen_on(const char *text, char *bound, size_t size)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST}, *found;
	char host[64];
	const char *colon = strrchr(text, ':');
	int on = 1;

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		die("--http wants HOST:PORT", 0);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (getaddrinfo(host, colon + 1, &hints, &found))
		die("--http wants a numeric HOST:PORT", 0);
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket", errno);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, BACKLOG))
		die(text, errno);
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	getsockname(fd, (struct sockaddr *)&address, &length);
	snprintf(bound, size, "%s:%u", host, ntohs(address.sin_port));
	freeaddrinfo(found);
	return fd;
}

static void watch(const struct server *s, int fd, void *what)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};

	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl", errno);
}

static void open_server(struct server *s, const struct options *o, char *bound, size_t size)
{
	struct rlimit limit;
	sigset_t set;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);

	s->spin = o->spin;
	s->when = o->keep == KEEP_NOTHING ? FLUSH_NEVER : o->flush;
	keep_init(&s->keep, o->keep);
	int rc = log_file_open(&s->keep.log, o->path, o->size);
	if (rc)
		die(o->path, -rc);
	s->scratch = malloc(SCRATCH_BYTES);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->listener = listen_on(o->http, bound, size);
	if (!s->scratch || s->epoll < 0 || s->signals < 0)
		die("no memory or descriptors", ENOMEM);
	watch(s, s->listener, &s->listener);
	watch(s, s->signals, &s->signals);
}

static void accept_all(struct server *s)
{
	int on = 1;

	for (;;) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		struct client *c = client_new(fd);
		if (!c)
			die("accept", ENOMEM);
		watch(s, fd, c);
	}
}

/* Ask for EPOLLOUT exactly while a reply does not go out. */
static void want_out(const struct server *s, struct client *c, bool wanted)
{
	struct epoll_event e = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = c};

	if (c->wants_out == wanted)
		return;
	c->wants_out = wanted;
	epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void send_replies(const struct server *s, struct client *c)
{
	bool done = client_write(c);

	if (done && c->closing)
		c->dead = true;
	if (!c->dead)
		want_out(s, c, !done);
}

/* The log, once; then every reply. */
static void finish_round(struct server *s)
{
	if (s->when == FLUSH_ROUND && log_flush(&s->keep.log))
		s->error = -EIO;
	while (s->replying) {
		struct client *c = s->replying;

		s->replying = c->next;
		c->listed = false;
		if (!s->error)
			send_replies(s, c);
		if (c->dead || s->error)
			client_free(c);
	}
}

static void handle(struct server *s, const struct epoll_event *e)
{
	struct client *c = e->data.ptr;

	if (e->data.ptr == &s->listener) {
		accept_all(s);
	} else if (e->data.ptr == &s->signals) {
		s->stopping = true;
	} else {
		if (e->events & EPOLLOUT)
			send_replies(s, c);
		if (!c->dead && (e->events & ~(uint32_t)EPOLLOUT))
			client_read(s, c);
		/* One that is on the round's list is freed at its end. Where no round is waited for, a reply
		 * leaves while its connection is warm. */
		if (c->dead && !c->listed)
			client_free(c);
		else if (s->when != FLUSH_ROUND)
			finish_round(s);
	}
}

static void run(struct server *s)
{
	struct epoll_event events[EVENTS];

	while (!s->stopping && !s->error) {
		int n = epoll_wait(s->epoll, events, EVENTS, s->spin ? 0 : -1);
		if (n <= 0)
			continue;
		reply_date_set(&s->date, time(NULL));
		for (int i = 0; i < n; i++)
			handle(s, &events[i]);
		finish_round(s);
	}
}

int main(int argc, char **argv)
{
	static struct server s;
	struct options o = parse(argc, argv);
	char bound[96];

	open_server(&s, &o, bound, sizeof(bound));
	printf("ready http=%s\n", bound);
	fflush(stdout);
	run(&s);
	log_file_close(&s.keep.log);
	unlink(o.path);
	return s.error ? 1 : 0;
}
