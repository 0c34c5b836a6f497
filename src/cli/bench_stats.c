/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/cli.h"

static const struct {
	const char *table, *json;
	double percent;
} percentiles[] = {
    {"p50", "p50", 50}, {"p90", "p90", 90}, {"p99", "p99", 99}, {"p99.9", "p99_9", 99.9}, {"max", "max", 100},
};

#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static uint64_t nanoseconds(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

uint64_t bench_cpu_time(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
}

void bench_stats_begin(struct bench_stats *s, uint64_t now)
{
	memset(s, 0, sizeof(*s));
	s->began = now;
	s->cpu_began = bench_cpu_time();
}

static double seconds_of(const struct bench_stats *s)
{
	return s->ended > s->began ? (double)(s->ended - s->began) / 1e9 : 0;
}

static double rate(uint64_t count, double seconds)
{
	return seconds > 0 ? (double)count / seconds : 0;
}

static double cpu_us(const struct bench_stats *s, uint64_t requests)
{
	return requests ? (double)(s->cpu_ended - s->cpu_began) / 1e3 / (double)requests : 0;
}

/* The share of the time in which the client had work. Near 1, it is what limits the throughput. */
static double busy(const struct bench_stats *s)
{
	double seconds = seconds_of(s), idle = (double)s->idle / 1e9;

	return seconds > idle ? 1 - idle / seconds : 0;
}

/* All kinds together; NULL if there is no memory. */
static struct histogram *all_kinds(const struct bench_stats *s)
{
	struct histogram *all = calloc(1, sizeof(*all));

	for (int kind = 0; all && kind < BENCH_KINDS; kind++)
		histogram_merge(all, &s->latency[kind]);
	return all;
}

/* The one kind of --echo is no append. */
static const char *kind_name(const struct bench_options *o, int kind)
{
	return o->echo ? "echo" : bench_kind_names[kind];
}

static void latency_row(const char *name, const struct histogram *h)
{
	printf("  %-8s %12" PRIu64 " %9.1f", name, h->count, histogram_mean(h) / 1e3);
	for (size_t i = 0; i < PERCENTILES; i++)
		printf(" %9.1f", (double)histogram_percentile(h, percentiles[i].percent) / 1e3);
	putchar('\n');
}

static void latency_table(const struct bench_options *o, const struct bench_stats *s, const struct histogram *all)
{
	int kinds = 0;

	printf("  %-8s %12s %9s", "us", "answers", "mean");
	for (size_t i = 0; i < PERCENTILES; i++)
		printf(" %9s", percentiles[i].table);
	putchar('\n');
	for (int kind = 0; kind < BENCH_KINDS; kind++) {
		if (!s->latency[kind].count)
			continue;
		latency_row(kind_name(o, kind), &s->latency[kind]);
		kinds++;
	}
	if (kinds != 1)
		latency_row("all", all);
}

static void status_row(const struct bench_stats *s)
{
	printf("%-14s", "status");
	for (int i = 0; i < BENCH_STATUSES; i++)
		if (s->status[i])
			printf("  %d: %" PRIu64, i, s->status[i]);
	putchar('\n');
}

void bench_report_table(const struct bench_options *o, const struct bench_stats *s, const struct findings *f,
			const struct bench_outcome *outcome)
{
	struct histogram *all = all_kinds(s);

	if (!all)
		return;
	double seconds = seconds_of(s);
	printf("%s, %u connections, bodies of %u", o->url, o->connections, o->size_low);
	if (o->size_low != o->size_high)
		printf(" to %u", o->size_high);
	printf(" bytes, %.2f s%s\n", seconds, outcome->interrupted ? ", interrupted" : "");
	cli_row("throughput", "%.0f requests/s", rate(all->count, seconds));
	cli_row("sent", "%.1f MB/s, received %.1f MB/s", rate(s->sent_bytes, seconds) / 1e6,
		rate(s->received_bytes, seconds) / 1e6);
	cli_row("client CPU", "%.2f us a request, busy %.0f %% of the time", cpu_us(s, all->count), busy(s) * 100);
	latency_table(o, s, all);
	if (!o->echo) {
		status_row(s);
		cli_row("acknowledged", "%" PRIu64 " writes", s->acknowledged);
		cli_row("full (507)", "%" PRIu64, s->full);
	}
	if (o->udp)
		cli_row("unanswered", "%" PRIu64 " datagrams, within 1 s", s->unanswered);
	cli_row("errors", "%" PRIu64, s->errors);
	if (o->verify) {
		cli_row("lost, wrong", "%" PRIu64 ", %" PRIu64, f->lost, f->wrong);
		cli_row("written down", "%" PRIu64 " acknowledged, %" PRIu64 " undecided: %s",
			outcome->file_acknowledged, outcome->in_flight, o->verify);
		findings_print(f);
	}
	free(all);
}

static void latency_json(struct json *j, const char *key, const struct histogram *h)
{
	json_object(j, key);
	json_unsigned(j, "count", h->count);
	json_real(j, "mean", histogram_mean(h) / 1e3);
	for (size_t i = 0; i < PERCENTILES; i++)
		json_real(j, percentiles[i].json,
			  (double)histogram_percentile(h, percentiles[i].percent) / 1e3);
	json_end_object(j);
}

static void load_json(struct json *j, const struct bench_options *o)
{
	json_string(j, "url", o->url);
	json_unsigned(j, "connections", o->connections);
	json_unsigned(j, "size_low", o->size_low);
	json_unsigned(j, "size_high", o->size_high);
	json_unsigned(j, "keys", o->keys);
	json_unsigned(j, "streams", o->streams);
	json_real(j, "zipf", o->zipf);
	json_bool(j, "spin", o->spin);
	json_object(j, "mix");
	for (int kind = 0; kind < BENCH_KINDS; kind++)
		json_unsigned(j, bench_kind_names[kind], o->weight[kind]);
	json_end_object(j);
}

static void answers_json(struct json *j, const struct bench_stats *s)
{
	char status[8];

	json_unsigned(j, "acknowledged", s->acknowledged);
	json_unsigned(j, "full", s->full);
	json_unsigned(j, "missing", s->missing);
	json_unsigned(j, "unanswered", s->unanswered);
	json_unsigned(j, "errors", s->errors);
	json_object(j, "status");
	for (int i = 0; i < BENCH_STATUSES; i++) {
		snprintf(status, sizeof(status), "%d", i);
		if (s->status[i])
			json_unsigned(j, status, s->status[i]);
	}
	json_end_object(j);
}

void bench_report_json(const struct bench_options *o, const struct bench_stats *s, const struct findings *f,
		       const struct bench_outcome *outcome)
{
	struct json json = {.out = stdout};
	struct json *j = &json;
	struct histogram *all = all_kinds(s);

	if (!all)
		return;
	json_object(j, NULL);
	load_json(j, o);
	json_real(j, "began", (double)s->began / 1e9);
	json_real(j, "seconds", seconds_of(s));
	json_unsigned(j, "requests", all->count);
	json_real(j, "requests_per_second", rate(all->count, seconds_of(s)));
	json_real(j, "sent_bytes_per_second", rate(s->sent_bytes, seconds_of(s)));
	json_real(j, "received_bytes_per_second", rate(s->received_bytes, seconds_of(s)));
	json_real(j, "client_cpu_us_per_request", cpu_us(s, all->count));
	json_real(j, "client_busy", busy(s));
	latency_json(j, "latency_us", all);
	json_object(j, "latency_us_by_kind");
	for (int kind = 0; kind < BENCH_KINDS; kind++)
		if (s->latency[kind].count)
			latency_json(j, kind_name(o, kind), &s->latency[kind]);
	json_end_object(j);
	answers_json(j, s);
	json_bool(j, "connection_lost", outcome->lost);
	json_string(j, "connection_lost_why", outcome->lost ? outcome->why : "");
	json_bool(j, "interrupted", outcome->interrupted);
	if (o->verify) {
		json_string(j, "file", o->verify);
		json_unsigned(j, "file_acknowledged", outcome->file_acknowledged);
		json_unsigned(j, "undecided", outcome->in_flight);
		findings_json(f, j);
	}
	json_end_object(j);
	free(all);
}

void bench_report_progress(const char *phase, double at, double seconds, const struct histogram *interval,
			   const struct bench_stats *s, const struct findings *f)
{
	fprintf(stderr, "%s %6.0f s  %9.0f requests/s  p50 %8.1f us  p99 %8.1f us  max %8.1f us", phase, at,
		rate(interval->count, seconds), (double)histogram_percentile(interval, 50) / 1e3,
		(double)histogram_percentile(interval, 99) / 1e3, (double)interval->max / 1e3);
	if (s->full || s->errors)
		fprintf(stderr, "  full %" PRIu64 "  errors %" PRIu64, s->full, s->errors);
	if (f->lost || f->wrong)
		fprintf(stderr, "  lost %" PRIu64 "  wrong %" PRIu64, f->lost, f->wrong);
	putc('\n', stderr);
}
