/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/top.h"

#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "serve/latency.h"

#define BAR 40

struct view {
	FILE *out;
	const struct json_table *before, *now;
	double seconds;
};

static uint64_t value(const struct view *v, const char *path)
{
	return json_find_unsigned(v->now, path);
}

/* A counter that went down belongs to a service that was started anew meanwhile. */
static uint64_t difference(const struct view *v, const char *path)
{
	uint64_t before = json_find_unsigned(v->before, path), now = value(v, path);

	return now > before ? now - before : 0;
}

static double rate(const struct view *v, const char *path)
{
	return v->seconds > 0 ? (double)difference(v, path) / v->seconds : 0;
}

/* "12.3 MiB" */
static const char *bytes_text(char text[32], double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	int unit = 0;

	while (bytes >= 1024 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
	return text;
}

static void write_head(const struct view *v)
{
	uint64_t up = (value(v, "time_us") - value(v, "started_us")) / 1000000;

	fprintf(v->out, "%s  %s, survives %s  process %s  up %" PRIu64 ":%02u:%02u\n\n",
		json_find(v->now, "path"), json_find(v->now, "store.medium"),
		json_find(v->now, "store.survives"), json_find(v->now, "pid"), up / 3600,
		(unsigned)(up / 60 % 60), (unsigned)(up % 60));
}

static void write_requests(const struct view *v)
{
	char in[32], out[32];

	cli_row_to(v->out, "requests", "%.0f/s   2xx %.0f  3xx %.0f  4xx %.0f  5xx %.0f",
		   rate(v, "http.requests"), rate(v, "http.replies_2xx"), rate(v, "http.replies_3xx"),
		   rate(v, "http.replies_4xx"), rate(v, "http.replies_5xx"));
	cli_row_to(v->out, "connections",
		   "%" PRIu64 "   new %.0f/s  without buffers %" PRIu64 "  refused %" PRIu64,
		   value(v, "stack.connections"), rate(v, "stack.accepted"), value(v, "stack.waiting"),
		   value(v, "stack.refused"));
	cli_row_to(v->out, "network", "in %s/s  out %s/s", bytes_text(in, rate(v, "stack.received_bytes")),
		   bytes_text(out, rate(v, "stack.sent_bytes")));
}

/* Of the requests of this interval alone. */
static void write_latency(const struct view *v, const char *name, const char *kind)
{
	struct latency l = {.count = 0};
	char path[64];

	for (unsigned i = 0; i < LATENCY_BINS; i++) {
		snprintf(path, sizeof(path), "latency.%s.bins.%u", kind, i);
		l.bins[i] = difference(v, path);
		l.count += l.bins[i];
	}
	if (!l.count) {
		cli_row_to(v->out, name, "-");
		return;
	}
	cli_row_to(
	    v->out, name,
	    "p50 %" PRIu64 " us  p90 %" PRIu64 "  p99 %" PRIu64 "  p99.9 %" PRIu64 "  mean %.1f",
	    latency_percentile(&l, 50), latency_percentile(&l, 90), latency_percentile(&l, 99),
	    latency_percentile(&l, 99.9),
	    (double)difference(v, strcmp(kind, "read") ? "latency.write.sum_us" : "latency.read.sum_us") /
		(double)l.count);
}

static void write_fill(const struct view *v)
{
	double live = (double)value(v, "store.live_bytes"), fits = (double)value(v, "store.capacity_bytes");
	double part = fits > 0 ? live / fits : 0;
	char bar[BAR + 1], a[32], b[32], c[32];
	int full = part >= 1 ? BAR : (int)(part * BAR);

	memset(bar, '#', (size_t)full);
	memset(bar + full, '.', (size_t)(BAR - full));
	bar[BAR] = 0;
	cli_row_to(v->out, "fill", "[%s] %.1f %%", bar, 100 * part);
	cli_row_to(v->out, "", "live %s of %s that fit, occupied %s", bytes_text(a, live),
		   bytes_text(b, fits), bytes_text(c, (double)value(v, "store.used_bytes")));
	cli_row_to(v->out, "",
		   "segments free %" PRIu64 " of %" PRIu64 ", buffers free %" PRIu64 " of %" PRIu64,
		   value(v, "store.segments_free"), value(v, "store.segments"),
		   value(v, "store.buffers_free"), value(v, "store.buffers"));
	cli_row_to(v->out, "objects", "%" PRIu64 " keys, %" PRIu64 " streams with %" PRIu64 " entries",
		   value(v, "store.keys"), value(v, "store.streams"), value(v, "store.entries"));
	cli_row_to(v->out, "changes",
		   "put %.0f/s  delete %.0f/s  append %.0f/s  read %.0f/s  refused (full) %.0f/s",
		   rate(v, "store.puts"), rate(v, "store.deletes"), rate(v, "store.appends"),
		   rate(v, "store.reads"), rate(v, "store.rejected_full"));
}

static void write_log(const struct view *v)
{
	double rounds = (double)difference(v, "store.rounds"),
	       records = (double)difference(v, "store.records");
	double acknowledged = (double)difference(v, "store.acknowledged_bytes");
	char a[32], b[32], c[32];

	cli_row_to(v->out, "log",
		   "%.0f records/s, %.1f a commit; %s since the checkpoint; checkpoints %.2f/s, %s/s",
		   rate(v, "store.records"), rounds > 0 ? records / rounds : 0,
		   bytes_text(a, (double)value(v, "store.log_bytes")), rate(v, "store.checkpoints"),
		   bytes_text(b, rate(v, "store.checkpoint_bytes")));
	cli_row_to(v->out, "cleaner", "%.1f segments/s, moved %s/s", rate(v, "store.cleaned_segments"),
		   bytes_text(a, rate(v, "store.cleaned_bytes")));
	cli_row_to(v->out, "medium", "written %s/s, %.2f bytes for each acknowledged one; flushes %.0f/s",
		   bytes_text(c, rate(v, "store.media_bytes_written")),
		   acknowledged > 0 ? (double)difference(v, "store.media_bytes_written") / acknowledged : 0,
		   rate(v, "store.media_commits"));
}

/* Whatever causes the service knows. */
static void write_copies(const struct view *v)
{
	static const char prefix[] = "store.copies.";

	fprintf(v->out, "%-14s", "copies");
	for (size_t i = 0; i < v->now->count; i++) {
		const char *path = v->now->values[i].path, *cause = path + sizeof(prefix) - 1;
		char bytes_path[JSON_PATH_MAX], text[32];

		if (strncmp(path, prefix, sizeof(prefix) - 1))
			continue;
		snprintf(bytes_path, sizeof(bytes_path), "store.copied_bytes.%s", cause);
		fprintf(v->out, " %s %.0f/s (%s/s)", cause, rate(v, path),
			bytes_text(text, rate(v, bytes_path)));
	}
	fputc('\n', v->out);
}

static void write_health(const struct view *v)
{
	uint64_t total = value(v, "store.scrub_total"), at = value(v, "store.scrub_entries");

	cli_row_to(v->out, "damage",
		   "%" PRIu64 " items, %" PRIu64 " reads that found some; scrub: pass %" PRIu64
		   ", %.1f %% of it done",
		   value(v, "store.damage"), value(v, "store.damaged_reads"),
		   value(v, "store.scrub_passes") + 1,
		   total ? 100.0 * (double)(at < total ? at : total) / (double)total : 0);
}

void top_write(FILE *out, const struct json_table *before, const struct json_table *now)
{
	struct view v = {.out = out, .before = before, .now = now};

	v.seconds = (double)difference(&v, "time_us") / 1e6;
	write_head(&v);
	write_requests(&v);
	write_latency(&v, "reads", "read");
	write_latency(&v, "writes", "write");
	fputc('\n', out);
	write_fill(&v);
	fputc('\n', out);
	write_log(&v);
	write_copies(&v);
	write_health(&v);
}
