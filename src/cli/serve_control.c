/* SPDX-License-Identifier: BSD-2-Clause */
/* What a running `pst serve` answers on its control socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/info_write.h"
#include "cli/json.h"
#include "cli/logfmt.h"
#include "cli/serve_run.h"

/* After the medium failed, the counters count changes that will never be durable. */
static int still_true(const struct serve *o, struct paste_error *err)
{
	int error = service_error(o->worker[0].service);

	return error ? paste_fail(err, error, "the medium has failed: %s", strerror(-error)) : 0;
}

/* "info", "info text" */
static int answer_info(void *arg, const char *argument, FILE *out, struct paste_error *err)
{
	const struct serve *o = arg;
	struct paste_store_stats stats;
	int rc = still_true(o, err);

	if (rc < 0)
		return rc;
	paste_store_stats(o->store, &stats);
	info_write(out, o->full_path ? o->full_path : o->options.path, &stats, INFO_LIVE,
		   strcmp(argument, "text") != 0);
	return 0;
}

static void write_service(struct json *j, const struct serve *o)
{
	struct service_stats s;

	service_stats(o->worker[0].service, &s);
	json_object(j, "http");
	json_string(j, "address", o->bound);
	json_unsigned(j, "requests", s.requests);
	json_unsigned(j, "replies_1xx", s.replies[1]);
	json_unsigned(j, "replies_2xx", s.replies[2]);
	json_unsigned(j, "replies_3xx", s.replies[3]);
	json_unsigned(j, "replies_4xx", s.replies[4]);
	json_unsigned(j, "replies_5xx", s.replies[5]);
	json_unsigned(j, "connections", s.connections);
	json_unsigned(j, "stalled", s.stalled);
	json_unsigned(j, "waited_room", s.waited_room);
	json_end_object(j);
}

static void write_bins(struct json *j, const char *name, const struct serve *o, enum service_kind kind)
{
	struct latency sum, *l = &sum;

	service_latency(o->worker[0].service, kind, l);
	json_object(j, name);
	json_unsigned(j, "count", l->count);
	json_unsigned(j, "sum_us", l->sum_us);
	json_list(j, "bins");
	for (int i = 0; i < LATENCY_BINS; i++)
		json_unsigned(j, NULL, l->bins[i]);
	json_end_list(j);
	json_end_object(j);
}

static void write_latency(struct json *j, const struct serve *o)
{
	json_object(j, "latency");
	write_bins(j, "read", o, SERVICE_READ);
	write_bins(j, "write", o, SERVICE_WRITE);
	json_end_object(j);
}

static void write_stack(struct json *j, const struct serve *o)
{
	struct paste_stack_stats s;

	service_stack_stats(o->worker[0].service, &s);
	json_object(j, "stack");
	json_unsigned(j, "connections", s.connections);
	json_unsigned(j, "accepted", s.accepted);
	json_unsigned(j, "closed", s.closed);
	json_unsigned(j, "refused", s.refused);
	json_unsigned(j, "received_bytes", s.received_bytes);
	json_unsigned(j, "received_slices", s.received_slices);
	json_unsigned(j, "sent_bytes", s.sent_bytes);
	json_unsigned(j, "sends", s.sends);
	json_unsigned(j, "starved", s.starved);
	json_unsigned(j, "waiting", s.waiting);
	json_unsigned(j, "posted", s.posted);
	json_end_object(j);
}

static void write_space(struct json *j, const struct paste_store_stats *s)
{
	json_string(j, "name", s->name);
	json_string(j, "medium", s->medium);
	json_string(j, "survives", s->survives);
	json_unsigned(j, "keys", s->keys);
	json_unsigned(j, "streams", s->streams);
	json_unsigned(j, "entries", s->entries);
	json_unsigned(j, "size", s->size);
	json_unsigned(j, "live_bytes", s->live_bytes);
	json_unsigned(j, "capacity_bytes", s->capacity_bytes);
	json_unsigned(j, "used_bytes", s->used_bytes);
	json_unsigned(j, "segments", s->segments);
	json_unsigned(j, "segments_free", s->segments_free);
	json_unsigned(j, "buffers", s->buffers);
	json_unsigned(j, "buffers_free", s->buffers_free);
	json_unsigned(j, "damage", s->damage);
	json_unsigned(j, "scrub_passes", s->scrub_passes);
	json_unsigned(j, "scrub_entries", s->scrub_entries);
	json_unsigned(j, "scrub_total", s->scrub_total);
	json_unsigned(j, "scrub_damage", s->scrub_damage);
}

static void write_work(struct json *j, const struct paste_store_stats *s)
{
	json_unsigned(j, "puts", s->puts);
	json_unsigned(j, "deletes", s->deletes);
	json_unsigned(j, "appends", s->appends);
	json_unsigned(j, "reads", s->reads);
	json_unsigned(j, "misses", s->misses);
	json_unsigned(j, "rejected_full", s->rejected_full);
	json_unsigned(j, "damaged_reads", s->damaged_reads);
	json_unsigned(j, "acknowledged_bytes", s->acknowledged_bytes);
	json_unsigned(j, "rounds", s->rounds);
	json_unsigned(j, "records", s->records);
	json_unsigned(j, "log_bytes", s->log_bytes);
	json_unsigned(j, "checkpoints", s->checkpoints);
	json_unsigned(j, "checkpoint_bytes", s->checkpoint_bytes);
	json_unsigned(j, "cleaned_segments", s->cleaned_segments);
	json_unsigned(j, "cleaned_bytes", s->cleaned_bytes);
	json_unsigned(j, "media_bytes_written", s->media_bytes_written);
	json_unsigned(j, "media_commits", s->media_commits);
	json_object(j, "copies");
	for (int i = 0; i < PASTE_COPY_CAUSES; i++)
		json_unsigned(j, paste_copy_cause_name((enum paste_copy_cause)i), s->copies[i]);
	json_end_object(j);
	json_object(j, "copied_bytes");
	for (int i = 0; i < PASTE_COPY_CAUSES; i++)
		json_unsigned(j, paste_copy_cause_name((enum paste_copy_cause)i), s->copy_bytes[i]);
	json_end_object(j);
}

/* "stats": the counters of everything, for `pst top`. */
static int answer_stats(void *arg, const char *argument, FILE *out, struct paste_error *err)
{
	const struct serve *o = arg;
	struct json j = {.out = out, .flat = true};
	struct paste_store_stats store;
	int rc = still_true(o, err);

	if (rc < 0)
		return rc;
	paste_store_stats(o->store, &store);
	json_object(&j, NULL);
	json_string(&j, "path", o->full_path ? o->full_path : o->options.path);
	json_unsigned(&j, "pid", (uint64_t)getpid());
	json_unsigned(&j, "time_us", (uint64_t)serve_clocks().monotonic_us);
	json_unsigned(&j, "started_us", (uint64_t)o->started_us);
	write_service(&j, o);
	write_latency(&j, o);
	write_stack(&j, o);
	json_object(&j, "store");
	write_space(&j, &store);
	write_work(&j, &store);
	json_end_object(&j);
	json_end_object(&j);
	return 0;
}

static int64_t gate_commit(void *arg)
{
	return paste_store_commit(((struct serve *)arg)->store);
}

static int64_t gate_durable(void *arg)
{
	return paste_store_poll(((struct serve *)arg)->store);
}

static int open_control(struct serve *o, struct paste_error *err)
{
	struct paste_store_stats stats;
	struct control_id id = {.uuid = ""};
	struct stat st;

	paste_store_stats(o->store, &stats);
	memcpy(id.uuid, stats.uuid, sizeof(id.uuid));
	if (stat(o->options.path, &st))
		return paste_fail(err, -errno, "%s: %s", o->options.path, strerror(errno));
	id.inode = st.st_ino;
	id.owner = st.st_uid;
	int rc = control_open(&o->control, &id, err);
	if (rc < 0)
		return rc;
	control_set_gate(o->control, &(struct control_gate){gate_commit, gate_durable, o});
	control_register(o->control, "info", answer_info, o);
	control_register(o->control, "stats", answer_stats, o);
	serve_port_control(o);
	serve_register_check(o);
	serve_register_connections(o);
	serve_register_dump(o);
	rc = paste_stack_watch(o->worker[0].stack, control_fd(o->control), SERVE_CONTROL_COOKIE);
	if (rc < 0) {
		control_close(o->control);
		o->control = NULL;
		return paste_fail(err, rc, "it cannot be watched: %s", strerror(-rc));
	}
	return 0;
}

void serve_open_control(struct serve *o)
{
	struct paste_error error = {{0}};

	o->full_path = realpath(o->options.path, NULL);
	if (open_control(o, &error) < 0)
		line_event(LINE_WARN, "no control socket: pst info, top and check cannot ask", "error", error.text);
}
