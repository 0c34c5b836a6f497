/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli/bench_udp.h"
#include "cli/cli.h"

#define SECONDS_MAX 1e6
#define WEIGHT_MAX 1000000

enum long_option {
	OPTION_SIZE = 256,
	OPTION_KEYS,
	OPTION_STREAMS,
	OPTION_MIX,
	OPTION_ZIPF,
	OPTION_VERIFY,
	OPTION_VERIFY_SYNC,
	OPTION_CHECK,
	OPTION_SPIN,
	OPTION_JSON,
	OPTION_PROGRESS,
	OPTION_FILL,
	OPTION_WARMUP,
	OPTION_TIMEOUT,
	OPTION_SEED,
	OPTION_STREAM,
	OPTION_XDP,
	OPTION_ECHO,
};

static const struct option long_options[] = {
    {"size", required_argument, NULL, OPTION_SIZE},
    {"keys", required_argument, NULL, OPTION_KEYS},
    {"streams", required_argument, NULL, OPTION_STREAMS},
    {"mix", required_argument, NULL, OPTION_MIX},
    {"zipf", required_argument, NULL, OPTION_ZIPF},
    {"verify", required_argument, NULL, OPTION_VERIFY},
    {"verify-sync", no_argument, NULL, OPTION_VERIFY_SYNC},
    {"check", required_argument, NULL, OPTION_CHECK},
    {"spin", no_argument, NULL, OPTION_SPIN},
    {"json", no_argument, NULL, OPTION_JSON},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"fill", no_argument, NULL, OPTION_FILL},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"stream", required_argument, NULL, OPTION_STREAM},
    {"xdp", required_argument, NULL, OPTION_XDP},
    {"echo", required_argument, NULL, OPTION_ECHO},
    {NULL},
};

/* "HOST:PORT", HOST a name, an address, or [an IPv6 address]. */
static bool parse_host(struct bench_options *o, const char *host, uint64_t port)
{
	size_t length = strcspn(host, "/");
	char text[sizeof(o->host)];

	if (host[length] && strcmp(host + length, "/"))
		return false;
	if (length >= sizeof(text))
		return false;
	memcpy(text, host, length);
	text[length] = 0;
	bool bracketed = text[0] == '[';
	char *end = bracketed ? strchr(text, ']') : text + strcspn(text, ":");
	if (!end)
		return false;
	char *rest = bracketed ? end + 1 : end;
	if (*rest && (*rest != ':' || !cli_parse_count(rest + 1, 1, 65535, &port)))
		return false;
	*end = 0;
	const char *bare = bracketed ? text + 1 : text;
	if (!*bare || strpbrk(bare, "[] @?#\r\n"))
		return false;
	snprintf(o->host, sizeof(o->host), "%s", bare);
	snprintf(o->port, sizeof(o->port), "%u", (unsigned int)port);
	snprintf(o->authority, sizeof(o->authority), bracketed ? "[%s]:%s" : "%s:%s", o->host, o->port);
	return true;
}

/* "http://HOST:PORT", "udp://HOST:PORT" */
static bool parse_url(struct bench_options *o, const char *url)
{
	o->url = url;
	o->udp = strncasecmp(url, "udp://", 6) == 0;
	return (o->udp || strncasecmp(url, "http://", 7) == 0) && parse_host(o, url + (o->udp ? 6 : 7), 80);
}

/* "1024", "16K", "16-16K" */
static bool parse_sizes(struct bench_options *o, const char *text)
{
	char low[32];
	uint64_t a, b;
	const char *dash = strchr(text, '-');
	size_t length = dash ? (size_t)(dash - text) : strlen(text);

	if (length >= sizeof(low))
		return false;
	memcpy(low, text, length);
	low[length] = 0;
	if (!cli_parse_size(low, &a) || !cli_parse_size(dash ? dash + 1 : low, &b))
		return false;
	if (a > b || b > BENCH_SIZE_MAX)
		return false;
	o->size_low = (uint32_t)a;
	o->size_high = (uint32_t)b;
	return true;
}

/* "put:get:append" or "put:get:append:delete" */
static bool parse_mix(struct bench_options *o, const char *text)
{
	uint64_t weight;
	int field = 0;

	memset(o->weight, 0, sizeof(o->weight));
	o->weights = 0;
	for (;; field++) {
		char number[16];
		size_t length = strcspn(text, ":");
		if (field == BENCH_KINDS || length >= sizeof(number))
			return false;
		memcpy(number, text, length);
		number[length] = 0;
		if (!cli_parse_count(number, 0, WEIGHT_MAX, &weight))
			return false;
		o->weight[field] = (uint32_t)weight;
		o->weights += (uint32_t)weight;
		if (!text[length])
			break;
		text += length + 1;
	}
	return field >= BENCH_APPEND && o->weights > 0;
}

static int bad_value(const char *option, const char *value, const char *wanted)
{
	return cli_usage("bench", "%s '%s': %s", option, value, wanted);
}

static int parse_number(const char *option, const char *value, uint64_t high, uint32_t *number)
{
	uint64_t n;

	if (!cli_parse_count(value, 1, high, &n))
		return cli_usage("bench", "%s '%s' is no number from 1 to %llu", option, value,
				 (unsigned long long)high);
	*number = (uint32_t)n;
	return CLI_OK;
}

static int parse_seconds(const char *option, const char *value, double *seconds)
{
	if (!cli_parse_fraction(value, 0, SECONDS_MAX, seconds) || *seconds <= 0)
		return bad_value(option, value, "is no number of seconds");
	return CLI_OK;
}

static int take_option(struct bench_options *o, int option, char **argv)
{
	switch (option) {
	case 'c':
		return parse_number("-c", optarg, BENCH_CONNECTIONS_MAX, &o->connections);
	case 'd':
		return parse_seconds("-d", optarg, &o->seconds);
	case 'n':
		if (!cli_parse_count(optarg, 1, (uint64_t)1 << 62, &o->requests))
			return bad_value("-n", optarg, "is no number of requests");
		return CLI_OK;
	case OPTION_SIZE:
		if (!parse_sizes(o, optarg))
			return bad_value("--size", optarg,
					 "is no size up to 1G, nor two of them as LOW-HIGH");
		return CLI_OK;
	case OPTION_KEYS:
		return parse_number("--keys", optarg, 1000000000, &o->keys);
	case OPTION_STREAMS:
		return parse_number("--streams", optarg, 1000000, &o->streams);
	case OPTION_MIX:
		if (!parse_mix(o, optarg))
			return bad_value("--mix", optarg, "is no put:get:append or put:get:append:delete");
		return CLI_OK;
	case OPTION_ZIPF:
		if (!cli_parse_fraction(optarg, 0, 1, &o->zipf) || o->zipf <= 0 || o->zipf >= 1)
			return bad_value("--zipf", optarg, "is not between 0 and 1");
		return CLI_OK;
	case OPTION_WARMUP:
		return parse_seconds("--warmup", optarg, &o->warmup);
	case OPTION_TIMEOUT:
		return parse_seconds("--timeout", optarg, &o->timeout);
	case OPTION_SEED:
		if (!cli_parse_count(optarg, 0, UINT64_MAX, &o->seed))
			return bad_value("--seed", optarg, "is no number");
		return CLI_OK;
	case OPTION_STREAM:
		o->stream = optarg;
		if (!*optarg || strlen(optarg) >= BENCH_NAME_MAX)
			return cli_usage("bench", "--stream '%s' has not 1 to %d bytes", optarg, BENCH_NAME_MAX - 1);
		return CLI_OK;
	case OPTION_XDP:
		o->xdp = optarg;
		return *optarg ? CLI_OK : cli_usage("bench", "--xdp wants the name of an interface");
	case OPTION_ECHO:
		o->echo = true;
		o->url = optarg;
		return parse_host(o, optarg, 7) ? CLI_OK
						: cli_usage("bench", "--echo '%s' is not HOST:PORT", optarg);
	case OPTION_VERIFY:
		o->verify = optarg;
		return *optarg ? CLI_OK : cli_usage("bench", "--verify wants the name of a file");
	case OPTION_CHECK:
		o->check = optarg;
		return *optarg ? CLI_OK : cli_usage("bench", "--check wants the name of a file");
	case OPTION_VERIFY_SYNC:
		o->verify_sync = true;
		return CLI_OK;
	case OPTION_SPIN:
		o->spin = true;
		return CLI_OK;
	case OPTION_JSON:
		o->json = true;
		return CLI_OK;
	case OPTION_PROGRESS:
		o->progress = true;
		return CLI_OK;
	case OPTION_FILL:
		o->fill = true;
		return CLI_OK;
	default:
		return cli_bad_option("bench", option, argv);
	}
}

static bool is_for_check(int option)
{
	return option == 'c' || option == OPTION_CHECK || option == OPTION_SPIN || option == OPTION_JSON ||
	       option == OPTION_PROGRESS || option == OPTION_TIMEOUT || option == OPTION_STREAM ||
	       option == OPTION_XDP;
}

/* What is wrong only together. `loading`: an option was given that means nothing to --check. */
static int check_together(struct bench_options *o, const char *loading)
{
	if (o->check && loading)
		return cli_usage("bench", "--check reads back, %s has no meaning there", loading);
	if (o->udp && o->xdp)
		return cli_usage("bench", "--xdp is for http://HOST:PORT: datagrams are sent over kernel sockets");
	if (o->udp && o->check)
		return cli_usage("bench", "entries are read back over HTTP: pst bench http://HOST:PORT --check %s "
					  "[--stream NAME]", o->check);
	if (o->udp && (o->size_high > BENCH_UDP_SIZE_MAX || o->fill || o->zipf > 0))
		return cli_usage("bench", "datagrams have up to %d bytes, and no keys (--fill, --zipf)",
				 BENCH_UDP_SIZE_MAX);
	if (o->echo && (o->verify || o->check || o->stream || o->fill || o->zipf > 0 || o->size_low == 0))
		return cli_usage("bench", "--echo sends bytes and has them back, at least one: no --verify, --check, "
					  "--stream, --fill, --zipf");
	if (o->stream && !o->udp && !o->check)
		return cli_usage("bench", "--stream names the stream of udp://HOST:PORT, or what --check is to read of it");
	if (o->udp || o->echo) { /* one kind of message; appends to one stream */
		memset(o->weight, 0, sizeof(o->weight));
		o->weight[BENCH_APPEND] = o->weights = o->streams = 1;
		o->keys = o->connections;
	}
	if (o->udp && !o->stream)
		o->stream = "udp";
	if (o->seconds > 0 && o->requests)
		return cli_usage("bench", "-d and -n are two ways to say when to end: give one");
	if (o->verify_sync && !o->verify)
		return cli_usage("bench", "--verify-sync says how to write the FILE of --verify");
	if (o->verify && o->keys < o->connections)
		return cli_usage(
		    "bench", "--verify gives each connection keys of its own: --keys %u is less than -c %u",
		    o->keys, o->connections);
	if (!o->requests && o->seconds <= 0)
		o->seconds = 10;
	return CLI_OK;
}

static int parse_positional(struct bench_options *o, int argc, char **argv)
{
	if (o->echo)
		return optind == argc ? CLI_OK : cli_usage("bench", "--echo says where, '%s' is one too many", argv[optind]);
	if (optind == argc)
		return cli_usage("bench", "the URL is missing");
	if (optind + 1 < argc)
		return cli_usage("bench", "one URL is wanted, '%s' is one too many", argv[optind + 1]);
	if (!parse_url(o, argv[optind]))
		return cli_usage("bench", "'%s' is no URL like http://127.0.0.1:8080 or udp://127.0.0.1:9000",
				 argv[optind]);
	return CLI_OK;
}

int bench_options_parse(struct bench_options *o, int argc, char **argv)
{
	const char *loading = NULL;
	int option, status;

	*o = (struct bench_options){.connections = 50,
				    .timeout = 30,
				    .size_low = 1024,
				    .size_high = 1024,
				    .keys = 10000,
				    .streams = 8,
				    .weight = {50, 50, 0, 0},
				    .weights = 100,
				    .progress = isatty(STDERR_FILENO)};
	if (getrandom(&o->seed, sizeof(o->seed), 0) != sizeof(o->seed))
		o->seed = (uint64_t)getpid();
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:d:n:", long_options, NULL)) != -1) {
		status = take_option(o, option, argv);
		if (status != CLI_OK)
			return status;
		if (!is_for_check(option))
			loading = argv[optind - 1][0] == '-' ? argv[optind - 1] : argv[optind - 2];
	}
	status = parse_positional(o, argc, argv);
	return status == CLI_OK ? check_together(o, loading) : status;
}
