/* SPDX-License-Identifier: BSD-2-Clause */
/* pst serve: the durable HTTP service on a region, over kernel sockets. */
#include "cli/cli.h"
#include "paste/stack.h"
#include "paste/store.h"
#include "serve/service.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIGNAL_COOKIE 2
#define DRAIN_US 10000000    /* how long clients may take to end after SIGTERM */
#define BLOCK_US 1000000     /* the longest sleep of an idle loop */
#define IDLE_SPINS 256       /* empty polls between two looks at maintenance, when spinning */
#define OTHER_DESCRIPTORS 64 /* besides those of connections */

struct serve {
	const char *path, *http;
	bool is_public, spin, hugepages;
	uint64_t max_body, connections;

	struct paste_store *store;
	struct paste_stack *stack;
	struct service *service;
	int signals;
	bool draining, failure_told;
	int64_t drain_until;
};

static int parse(int argc, char **argv, struct serve *o)
{
	static const struct option longs[] = {
	    {"http", required_argument, NULL, 'a'},        {"public", no_argument, NULL, 'p'},
	    {"max-body", required_argument, NULL, 'm'},    {"spin", no_argument, NULL, 's'},
	    {"connections", required_argument, NULL, 'c'}, {"hugepages", no_argument, NULL, 'h'},
	    {NULL},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		switch (option) {
		case 'a':
			o->http = optarg;
			break;
		case 'p':
			o->is_public = true;
			break;
		case 's':
			o->spin = true;
			break;
		case 'h':
			o->hugepages = true;
			break;
		case 'm':
			if (!cli_parse_size(optarg, &o->max_body) || !o->max_body)
				return cli_usage(
				    "serve", "--max-body '%s' is no size: write bytes, 64k or 16M", optarg);
			break;
		case 'c':
			if (!cli_parse_count(optarg, 1, 1000000, &o->connections))
				return cli_usage("serve", "--connections '%s' is not 1 to 1000000", optarg);
			break;
		default:
			return cli_bad_option("serve", option, argv);
		}
	}
	return (o->path = cli_one_path("serve", argc, argv)) ? CLI_OK : CLI_USAGE;
}

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
	if (address->sa_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
	}
	return false;
}

/* Every address that the name stands for. What cannot be resolved is left to listening, which says why. */
static bool only_loopback(const char *text)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	char host[256];
	bool all = true;

	if (!colon || length >= sizeof(host))
		return true;
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	memcpy(host, text, length);
	host[length] = 0;
	if (getaddrinfo(host[0] ? host : NULL, "0", &hints, &found))
		return true;
	for (struct addrinfo *a = found; a; a = a->ai_next)
		all &= is_loopback(a->ai_addr);
	freeaddrinfo(found);
	return all;
}

/* A descriptor a connection: raise the soft limit as far as it goes. Returns how many connections that
 * allows. */
static uint64_t raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1024 - OTHER_DESCRIPTORS;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > 2 * OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS
						      : OTHER_DESCRIPTORS;
}

static void choose_connections(struct serve *o)
{
	uint64_t possible = raise_descriptor_limit();

	if (!o->connections)
		o->connections = possible < 16384 ? possible : 16384;
	else if (o->connections > possible)
		fprintf(stderr,
			"pst serve: the limit of open files allows %" PRIu64 " connections (ulimit -Hn)\n",
			possible);
}

static void tell_recovery(const struct serve *o)
{
	struct paste_store_stats s;

	paste_store_stats(o->store, &s);
	fprintf(stderr,
		"pst serve: %s: %s (survives %s), last time %s, opened in %.1f ms: %" PRIu64 " keys, %" PRIu64
		" streams, %" PRIu64 " entries; %" PRIu64 " from the checkpoint, %" PRIu64
		" records after it, %" PRIu64 " torn records\n",
		o->path, s.medium, s.survives, s.clean ? "closed clean" : "not closed",
		(double)s.recovery_us / 1000, s.keys, s.streams, s.entries, s.recovered_entries,
		s.recovered_records, s.torn_records);
	if (s.damage)
		fprintf(stderr,
			"pst serve: %s: %" PRIu64
			" damaged items, which are not served; 'pst check' names them\n",
			o->path, s.damage);
}

static int watch_signals(struct serve *o)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	o->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return o->signals < 0 ? -errno : paste_stack_watch(o->stack, o->signals, SIGNAL_COOKIE);
}

static int open_all(struct serve *o, char *bound, size_t bound_size, struct paste_error *err)
{
	struct paste_open_options open = {.path = o->path, .hugepages = o->hugepages};
	int rc = paste_store_open(&open, &o->store, err);

	if (rc < 0)
		return rc;
	tell_recovery(o);
	struct paste_stack_limits limits = {.connections = (uint32_t)o->connections};
	rc = paste_sock_open(paste_store_region(o->store), &limits, &o->stack, err);
	if (rc < 0)
		return rc;
	struct service_options service = {.stack = o->stack, .store = o->store, .max_body = o->max_body};
	rc = service_open(&service, &o->service, err);
	if (rc < 0)
		return rc;
	rc = watch_signals(o);
	if (rc < 0)
		return paste_fail(err, rc, "cannot wait for signals: %s", strerror(-rc));
	return paste_stack_listen(o->stack, o->http, bound, bound_size, err);
}

/* Returns 0, or the errno with which the region could not be closed clean. */
static int close_all(struct serve *o)
{
	if (o->service)
		service_close(o->service);
	if (o->stack)
		paste_stack_close(o->stack);
	if (o->signals >= 0)
		close(o->signals);
	return o->store ? paste_store_close(o->store) : 0;
}

static struct service_time look_at_clocks(void)
{
	struct timespec monotonic, real;

	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	clock_gettime(CLOCK_REALTIME_COARSE, &real);
	return (struct service_time){.monotonic_us = monotonic.tv_sec * 1000000 + monotonic.tv_nsec / 1000,
				     .unix_seconds = real.tv_sec};
}

static void begin_to_drain(struct serve *o, int64_t now)
{
	struct signalfd_siginfo info;

	while (read(o->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		;
	if (o->draining)
		o->drain_until = now; /* a second signal: at once */
	else
		o->drain_until = now + DRAIN_US;
	o->draining = true;
	service_drain(o->service);
}

static bool is_drained(const struct serve *o, int64_t now)
{
	struct paste_stack_stats stats;

	paste_stack_stats(o->stack, &stats);
	return !stats.connections || now >= o->drain_until;
}

static void tell_failure(struct serve *o, int error)
{
	if (o->failure_told)
		return;
	o->failure_told = true;
	fprintf(
	    stderr,
	    "pst serve: %s: the medium has failed: %s; nothing is stored any more, what was stored is still "
	    "served. Stop, repair the medium, start again\n",
	    o->path, strerror(-error));
}

/* 1: there is more to do, 0: the loop may sleep. */
static int maintain(struct serve *o, bool idle)
{
	int rc = paste_store_maintain(o->store, idle);

	if (rc < 0)
		tell_failure(o, rc);
	return rc > 0;
}

static int run(struct serve *o)
{
	struct paste_event events[SERVICE_BATCH];
	int64_t sleep_us = 0;
	unsigned empty = 0;

	for (;;) {
		int n = paste_stack_poll(o->stack, events, SERVICE_BATCH, o->spin ? 0 : sleep_us);
		if (n < 0) {
			fprintf(stderr, "pst serve: polling the sockets: %s\n", strerror(-n));
			return n;
		}
		struct service_time now = look_at_clocks();
		for (int i = 0; i < n; i++)
			if (events[i].type == PASTE_EVENT_FD && events[i].cookie == SIGNAL_COOKIE)
				begin_to_drain(o, now.monotonic_us);

		int soon = service_turn(o->service, now, events, n);
		if (soon < 0)
			tell_failure(o, soon);
		if (o->draining && is_drained(o, now.monotonic_us))
			return 0;

		empty = n ? 0 : empty + 1;
		int more = 0;
		if (!o->spin || n || empty % IDLE_SPINS == 0)
			more = maintain(o, n == 0);
		sleep_us = more ? 0 : soon > 0 || o->draining ? SERVICE_SOON_US : BLOCK_US;
	}
}

int cmd_serve(int argc, char **argv)
{
	struct serve o = {.http = "127.0.0.1:8080", .signals = -1};
	struct paste_error error = {{0}};
	char bound[128];
	int status = parse(argc, argv, &o);

	if (status != CLI_OK)
		return status;
	if (!o.is_public && !only_loopback(o.http))
		return cli_usage(
		    "serve",
		    "--http %s can be reached from other machines, and there is no authentication; "
		    "add --public to allow that",
		    o.http);
	choose_connections(&o);
	if (open_all(&o, bound, sizeof(bound), &error) < 0) {
		close_all(&o);
		return cli_fail("serve", CLI_FAILED, error.text);
	}
	printf("ready http=%s\n", bound);
	fflush(stdout);

	int rc = run(&o), failed = service_error(o.service);
	int closed = close_all(&o);
	if (closed < 0)
		fprintf(stderr, "pst serve: %s: closing: %s\n", o.path, strerror(-closed));
	return rc < 0 || failed || closed < 0 ? CLI_FAILED : CLI_OK;
}
