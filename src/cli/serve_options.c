/* SPDX-License-Identifier: BSD-2-Clause */
/* What `pst serve` is asked to do. */
#include "cli/serve_options.h"

#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cli/cli.h"
#include "serve/service.h"

/* Seconds, 0 for never, as microseconds. */
static bool parse_seconds(const char *text, int64_t *us)
{
	uint64_t seconds;

	if (!cli_parse_count(text, 0, 1000000000, &seconds))
		return false;
	*us = seconds ? (int64_t)seconds * 1000000 : SERVICE_NEVER;
	return true;
}

#define SCRUB_HOURS 24

static int parse(int argc, char **argv, struct serve_options *o)
{
	static const struct option longs[] = {
	    {"http", required_argument, NULL, 'a'},
	    {"public", no_argument, NULL, 'p'},
	    {"max-body", required_argument, NULL, 'm'},
	    {"idle-timeout", required_argument, NULL, 'i'},
	    {"request-timeout", required_argument, NULL, 'r'},
	    {"spin", no_argument, NULL, 's'},
	    {"workers", required_argument, NULL, 'w'},
	    {"connections", required_argument, NULL, 'c'},
	    {"hugepages", no_argument, NULL, 'h'},
	    {"udp", required_argument, NULL, 'u'},
	    {"xdp", required_argument, NULL, 'x'},
	    {"trace", required_argument, NULL, 'T'},
	    {"bare-sums", no_argument, NULL, 'b'},
	    {"token-file", required_argument, NULL, 't'},
	    {"forget-landings", no_argument, NULL, 'f'},
	    {"scrub", required_argument, NULL, 'S'},
	    {"user", required_argument, NULL, 'U'},
	    {"no-seccomp", no_argument, NULL, 'F'},
	    {"no-persist", no_argument, NULL, 'P'},
	    {NULL},
	};
	uint64_t workers;
	double hours;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		switch (option) {
		case 'a':
			o->http = optarg;
			break;
		case 'u':
			if (o->udp_n == SERVE_UDP_MOST || !serve_udp_parse(optarg, &o->udp[o->udp_n++]))
				return cli_usage("serve",
						 "--udp '%s' is not [HOST:]PORT[:STREAM], or one too many "
						 "(%d are possible)",
						 optarg, SERVE_UDP_MOST);
			break;
		case 'x':
			o->xdp = optarg;
			break;
		case 'T':
			o->trace = optarg;
			break;
		case 'b':
			o->bare_sums = true;
			break;
		case 't':
			o->token_file = optarg;
			break;
		case 'U':
			o->user = optarg;
			break;
		case 'F':
			o->no_seccomp = true;
			break;
		case 'P':
			o->no_persist = true;
			break;
		case 'S':
			if (!cli_parse_fraction(optarg, 0, 100000, &hours))
				return cli_usage("serve", "--scrub '%s' is not a number of hours, or 0",
						 optarg);
			o->scrub_us = (uint64_t)(hours * 3600e6);
			break;
		case 'f':
			o->forget_landings = true;
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
		case 'i':
			if (!parse_seconds(optarg, &o->idle_us))
				return cli_usage("serve", "--idle-timeout '%s' is no number of seconds",
						 optarg);
			break;
		case 'r':
			if (!parse_seconds(optarg, &o->request_us))
				return cli_usage("serve", "--request-timeout '%s' is no number of seconds",
						 optarg);
			break;
		case 'w':
			if (!cli_parse_count(optarg, 1, SERVE_WORKERS_MOST, &workers))
				return cli_usage("serve", "--workers '%s' is not 1 to %d", optarg,
						 SERVE_WORKERS_MOST);
			o->workers = (uint32_t)workers;
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

/* HOST:PORT, [IPV6]:PORT or unix:/PATH; whether the host is one is for listening to find out. */
static bool is_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t host = colon ? (size_t)(colon - text) : 0;

	if (strncmp(text, "unix:", 5) == 0)
		return text[5] == '/' && strlen(text + 5) < sizeof(((struct sockaddr_un *)0)->sun_path);
	if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    strlen(colon + 1) > 5 || atoi(colon + 1) > 65535)
		return false;
	return !memchr(text, ':', host) || (text[0] == '[' && text[host - 1] == ']');
}

static int refuse_public(const char *option, const char *value)
{
	return cli_usage(
	    "serve",
	    "--%s %s can be reached from other machines, and nothing is encrypted; add --public "
	    "to allow that",
	    option, value);
}

/* What goes over loopback never passes the interface: it stays with the kernel. */
static void choose_http_transport(struct serve_options *o)
{
	o->http_xdp = o->xdp && o->http && strncmp(o->http, "unix:", 5) != 0 && !only_loopback(o->http);
}

static int check_loopback(const struct serve_options *o)
{
	if (o->http && strncmp(o->http, "unix:", 5) && !only_loopback(o->http))
		return refuse_public("http", o->http);
	if (o->xdp)
		return refuse_public("xdp", o->xdp);
	for (uint32_t i = 0; i < o->udp_n; i++) {
		char address[sizeof(o->udp[i].host) + 2];

		snprintf(address, sizeof(address), "%s:0", o->udp[i].host);
		if (o->udp[i].host[0] && !only_loopback(address))
			return refuse_public("udp", o->udp[i].text);
	}
	return CLI_OK;
}

/* Several workers take turns, and are side by side only in the kernel's part of the work. */
static int check_workers(const struct serve_options *o)
{
	const char *with = o->xdp ? "--xdp" : o->udp_n ? "--udp" : o->spin ? "--spin" : NULL;

	if (o->workers == 1)
		return CLI_OK;
	if (with)
		return cli_usage("serve", "--workers %u cannot go with %s: more than one worker serve HTTP over kernel sockets, "
					  "and sleep in between",
				 o->workers, with);
	return o->http ? CLI_OK : cli_usage("serve", "--workers %u need --http: that is what they serve", o->workers);
}

int serve_parse_options(int argc, char **argv, struct serve_options *o)
{
	*o = (struct serve_options){.workers = 1, .http = "127.0.0.1:8080", .scrub_us = SCRUB_HOURS * 3600000000ull};
	int status = parse(argc, argv, o);

	if (status != CLI_OK)
		return status;
	if (strcmp(o->http, "none") == 0)
		o->http = NULL;
	if (o->http && !is_address(o->http))
		return cli_usage("serve", "--http '%s' is no address: write HOST:PORT, [IPV6]:PORT or unix:/PATH",
				 o->http);
	if (check_workers(o) != CLI_OK)
		return CLI_USAGE;
	choose_http_transport(o);
	if (o->trace && !o->http_xdp && !(o->xdp && o->udp_n))
		return cli_usage("serve", "--trace is of what our own stack receives: it goes with --xdp and what is "
					  "served over it (tcpdump sees the rest)");
	return o->is_public ? CLI_OK : check_loopback(o);
}
