/* SPDX-License-Identifier: BSD-2-Clause */
/* metrics.c - GET /metrics: counters of service, stack and store in Prometheus' text format, version 0.0.4.
 */
#include "serve/service_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct metric {
	const char *name, *type, *help;
	uint64_t value;
};

static void write_metrics(FILE *f, const struct metric *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(f, "# HELP paste_%s %s\n# TYPE paste_%s %s\npaste_%s %" PRIu64 "\n", m[i].name,
			m[i].help, m[i].name, m[i].type, m[i].name, m[i].value);
}

#define WRITE(f, metrics) write_metrics(f, metrics, sizeof(metrics) / sizeof((metrics)[0]))

/* Label values: backslash, quote and line feed are escaped. */
static void write_label(FILE *f, const char *name, const char *value, const char *behind)
{
	fprintf(f, "%s=\"", name);
	for (; value && *value; value++) {
		if (*value == '\\' || *value == '"')
			fputc('\\', f);
		if (*value == '\n')
			fputs("\\n", f);
		else
			fputc(*value, f);
	}
	fprintf(f, "\"%s", behind);
}

static void write_denied(FILE *f, const struct service_stats *stats)
{
	fprintf(f, "# HELP paste_http_denied_total Requests without a token that is known, and with one that may only read.\n"
		   "# TYPE paste_http_denied_total counter\n");
	fprintf(f, "paste_http_denied_total{code=\"401\"} %" PRIu64 "\n", stats->denied[0]);
	fprintf(f, "paste_http_denied_total{code=\"403\"} %" PRIu64 "\n", stats->denied[1]);
}

static void write_broken(FILE *f, const struct service_stats *stats)
{
	fprintf(f, "# HELP paste_http_refused_total Requests refused because they broke this rule of HTTP.\n"
		   "# TYPE paste_http_refused_total counter\n");
	for (int i = RULE_NONE + 1; i < RULES; i++)
		fprintf(f, "paste_http_refused_total{rule=\"%s\"} %" PRIu64 "\n",
			http_rule_name((enum http_rule)i), stats->broken[i]);
}

/* By the names in the token file; tokens without a name are one. */
static void write_tokens(FILE *f, const struct service *s)
{
	uint64_t nameless = 0;
	const char *name;

	if (!s->tokens)
		return;
	fprintf(f, "# HELP paste_http_token_requests_total Requests by the name of their token.\n"
		   "# TYPE paste_http_token_requests_total counter\n");
	for (size_t i = 0; i < tokens_count(s->tokens); i++) {
		uint64_t uses = tokens_uses(s->tokens, i, &name);

		if (name) {
			fprintf(f, "paste_http_token_requests_total{");
			write_label(f, "name", name, "} ");
			fprintf(f, "%" PRIu64 "\n", uses);
		} else {
			nameless += uses;
		}
	}
	fprintf(f, "paste_http_token_requests_total{name=\"\"} %" PRIu64 "\n", nameless);
}

/* From 8 us to 8 s; what took longer is in the last bucket. */
static void write_latency(FILE *f, const struct service *s)
{
	static const char *const kinds[SERVICE_KINDS] = {[SERVICE_READ] = "read", [SERVICE_WRITE] = "write"};

	fprintf(f, "# HELP paste_http_request_seconds Time from when a request was complete until its reply was handed "
		   "to the transport.\n# TYPE paste_http_request_seconds histogram\n");
	for (int k = 0; k < SERVICE_KINDS; k++) {
		struct latency sum, *l = &sum;
		uint64_t below = 0;
		unsigned bin = 0;

		service_latency(s, (enum service_kind)k, l);

		for (unsigned power = 3; power <= 23; power++) {
			while (bin < LATENCY_BINS && latency_bin_end(bin) <= 1ull << power)
				below += l->bins[bin++];
			fprintf(f, "paste_http_request_seconds_bucket{kind=\"%s\",le=\"%.6f\"} %" PRIu64 "\n", kinds[k],
				(double)(1u << power) / 1e6, below);
		}
		fprintf(f, "paste_http_request_seconds_bucket{kind=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", kinds[k],
			l->count);
		fprintf(f, "paste_http_request_seconds_sum{kind=\"%s\"} %.6f\n", kinds[k], (double)l->sum_us / 1e6);
		fprintf(f, "paste_http_request_seconds_count{kind=\"%s\"} %" PRIu64 "\n", kinds[k], l->count);
	}
}

static void write_process(FILE *f, const struct service *s)
{
	if (s->version) {
		fprintf(f, "# HELP paste_build_info The program.\n# TYPE paste_build_info gauge\npaste_build_info{");
		write_label(f, "version", s->version, "} 1\n");
	}
	fprintf(f, "# HELP paste_uptime_seconds Since the service was started.\n# TYPE paste_uptime_seconds gauge\n"
		   "paste_uptime_seconds %.3f\n",
		(double)(s->now.monotonic_us - s->started_us) / 1e6);
}

static void write_service(FILE *f, const struct service *s, const struct service_stats *stats)
{
	const struct metric metrics[] = {
	    {"http_requests_total", "counter", "Requests whose head was complete.", stats->requests},
	    {"http_connections", "gauge", "Connections of clients.", stats->connections},
	    {"http_stalled_total", "counter",
	     "Times a connection was not read because its client did not take its replies, or for want of "
	     "room.",
	     stats->stalled},
	    {"http_waited_room_total", "counter", "Bodies that waited for room.", stats->waited_room},
	    {"http_timed_out_total", "counter",
	     "Connections ended because a request, or taking its reply, took too long.", stats->timed_out},
	    {"medium_failed", "gauge", "1 when the medium has failed and nothing is stored any more.",
	     s->rounds->error != 0},
	};

	WRITE(f, metrics);
	write_denied(f, stats);
	write_broken(f, stats);
	fprintf(f, "# HELP paste_http_replies_total Replies by the class of their status code.\n"
		   "# TYPE paste_http_replies_total counter\n");
	for (int i = 1; i < 6; i++)
		fprintf(f, "paste_http_replies_total{code=\"%dxx\"} %" PRIu64 "\n", i, stats->replies[i]);
}

static void write_stack(FILE *f, const struct paste_stack_stats *s)
{
	const struct metric metrics[] = {
	    {"stack_accepted_total", "counter", "Connections accepted.", s->accepted},
	    {"stack_closed_total", "counter", "Connections closed.", s->closed},
	    {"stack_refused_total", "counter", "Connections refused for want of descriptors or by the limit.",
	     s->refused},
	    {"stack_connections", "gauge", "Connections, those in the course of closing included.",
	     s->connections},
	    {"stack_received_slices_total", "counter", "Buffers that were received into.",
	     s->received_slices},
	    {"stack_received_bytes_total", "counter", "Bytes received.", s->received_bytes},
	    {"stack_sends_total", "counter", "Sends that completed.", s->sends},
	    {"stack_sent_bytes_total", "counter", "Bytes sent.", s->sent_bytes},
	    {"stack_starved_total", "counter", "Times reading stopped for want of buffers.", s->starved},
	    {"stack_waiting", "gauge", "Connections that are not read for want of buffers.", s->waiting},
	    {"stack_posted_buffers", "gauge", "Buffers posted for receiving.", s->posted},
	};

	WRITE(f, metrics);
}

static void write_store_space(FILE *f, const struct paste_store_stats *s)
{
	const struct metric metrics[] = {
	    {"store_size_bytes", "gauge", "Size of the region.", s->size},
	    {"store_segments", "gauge", "Segments of the region.", s->segments},
	    {"store_segments_free", "gauge", "Segments that are free.", s->segments_free},
	    {"store_buffers", "gauge", "Buffers of the region.", s->buffers},
	    {"store_buffers_free", "gauge", "Buffers that are free.", s->buffers_free},
	    {"store_buffers_live", "gauge", "Buffers that hold live bytes.", s->buffers_live},
	    {"store_live_bytes", "gauge", "Bytes of live keys and values.", s->live_bytes},
	    {"store_used_bytes", "gauge", "Bytes of the medium that are not free.", s->used_bytes},
	    {"store_capacity_bytes", "gauge", "Live bytes at which the store is full, about.",
	     s->capacity_bytes},
	    {"store_keys", "gauge", "Keys.", s->keys},
	    {"store_streams", "gauge", "Streams.", s->streams},
	    {"store_entries", "gauge", "Entries of streams.", s->entries},
	};

	WRITE(f, metrics);
}

static void write_store_work(FILE *f, const struct paste_store_stats *s)
{
	const struct metric metrics[] = {
	    {"store_puts_total", "counter", "Keys set.", s->puts},
	    {"store_deletes_total", "counter", "Keys removed.", s->deletes},
	    {"store_appends_total", "counter", "Entries appended.", s->appends},
	    {"store_reads_total", "counter", "Values read.", s->reads},
	    {"store_misses_total", "counter", "Reads that found nothing.", s->misses},
	    {"store_rejected_full_total", "counter", "Changes refused because the store was full.",
	     s->rejected_full},
	    {"store_damaged_reads_total", "counter", "Reads that found damage.", s->damaged_reads},
	    {"store_damage", "gauge", "Damaged items found since the region was opened.", s->damage},
	    {"store_acknowledged_bytes_total", "counter", "Bytes of keys and values made durable.",
	     s->acknowledged_bytes},
	    {"store_rounds_total", "counter", "Rounds committed.", s->rounds},
	    {"store_records_total", "counter", "Log records written.", s->records},
	    {"store_log_bytes", "gauge", "Bytes in the log since the checkpoint.", s->log_bytes},
	    {"store_checkpoints_total", "counter", "Checkpoints written.", s->checkpoints},
	    {"store_checkpoint_bytes_total", "counter", "Bytes of checkpoints.", s->checkpoint_bytes},
	    {"store_checkpoint_entries_total", "counter", "Entries of checkpoints.", s->checkpoint_entries},
	    {"store_cleaned_segments_total", "counter", "Segments that the cleaner emptied.",
	     s->cleaned_segments},
	    {"store_cleaned_bytes_total", "counter", "Live bytes that the cleaner moved.", s->cleaned_bytes},
	    {"media_written_bytes_total", "counter", "Bytes written to the medium.", s->media_bytes_written},
	    {"media_units_total", "counter", "Lines or blocks written to the medium.", s->media_units},
	    {"media_commits_total", "counter", "Commits of the medium (fences or device flushes).",
	     s->media_commits},
	    {"media_no_persist", "gauge", "1 when nothing is made durable, whatever replies say (--no-persist).",
	     s->no_persist},
	    {"store_recovery_microseconds", "gauge", "How long opening took.", s->recovery_us},
	    {"store_recovered_records", "gauge", "Log records replayed at opening.", s->recovered_records},
	    {"store_recovered_entries", "gauge", "Checkpoint entries read at opening.", s->recovered_entries},
	    {"store_scrub_passes_total", "counter", "Times that every value was read and verified.", s->scrub_passes},
	    {"store_scrub_entries", "gauge", "Values verified in the pass under way.", s->scrub_entries},
	    {"store_scrub_entries_expected", "gauge", "Values that a pass looks at, about.", s->scrub_total},
	    {"store_scrub_damage_total", "counter", "Damaged items that scrubbing found.", s->scrub_damage},
	    {"store_snapshots", "gauge", "Snapshots (dumps) under way.", s->snapshots},
	    {"store_snapshot_kept_bytes", "gauge", "Bytes that are kept for a snapshot only.", s->snapshot_kept_bytes},
	    {"store_snapshots_given_up_total", "counter", "Snapshots given up because too much changed.",
	     s->snapshots_given_up},
	    {"store_expiring_keys", "gauge", "Keys that expire.", s->expiring},
	    {"store_expired_total", "counter", "Keys removed because their time had come.", s->expired},
	    {"store_retry_keys", "gauge", "Retry keys that are remembered.", s->retry_keys},
	    {"store_repeated_total", "counter", "Calls answered from retry keys.", s->repeated},
	    {"store_torn_records", "gauge",
	     "Unacknowledged records cut off at opening because their bytes were torn.", s->torn_records},
	};

	WRITE(f, metrics);
}

static void write_copies(FILE *f, const struct paste_store_stats *s)
{
	fprintf(f, "# HELP paste_copies_total Copies of payload by the CPU, by cause.\n"
		   "# TYPE paste_copies_total counter\n");
	for (int i = 0; i < PASTE_COPY_CAUSES; i++)
		fprintf(f, "paste_copies_total{cause=\"%s\"} %" PRIu64 "\n",
			paste_copy_cause_name((enum paste_copy_cause)i), s->copies[i]);
	fprintf(f, "# HELP paste_copied_bytes_total Bytes of payload copied by the CPU, by cause.\n"
		   "# TYPE paste_copied_bytes_total counter\n");
	for (int i = 0; i < PASTE_COPY_CAUSES; i++)
		fprintf(f, "paste_copied_bytes_total{cause=\"%s\"} %" PRIu64 "\n",
			paste_copy_cause_name((enum paste_copy_cause)i), s->copy_bytes[i]);
}

static void write_identity(FILE *f, const struct paste_store_stats *s)
{
	fprintf(f, "# HELP paste_store_info The region.\n# TYPE paste_store_info gauge\npaste_store_info{");
	write_label(f, "name", s->name, ",");
	write_label(f, "uuid", s->uuid, ",");
	write_label(f, "medium", s->medium, ",");
	write_label(f, "survives", s->survives, ",");
	write_label(f, "instruction", s->instruction, ",");
	write_label(f, "backing", s->backing, "");
	fprintf(f, "} 1\n");
	fprintf(f,
		"# HELP paste_store_epoch Times the region was opened for writing.\n"
		"# TYPE paste_store_epoch counter\npaste_store_epoch %" PRIu64 "\n",
		s->epoch);
}

char *metrics_text(struct service *s, size_t *length)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, length);

	if (!f)
		return NULL;
	struct paste_store_stats store = {0};
	struct paste_stack_stats stack;
	struct service_stats stats;
	paste_store_stats(s->store, &store);
	service_stack_stats(s, &stack);
	service_stats(s, &stats);
	write_identity(f, &store);
	write_process(f, s);
	write_service(f, s, &stats);
	write_latency(f, s);
	write_tokens(f, s);
	write_stack(f, &stack);
	if (s->more_metrics)
		s->more_metrics(s->more_arg, f);
	if (!s->rounds->error) { /* else they count changes that will never be durable */
		write_store_space(f, &store);
		write_store_work(f, &store);
		write_copies(f, &store);
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
