/* SPDX-License-Identifier: BSD-2-Clause */
/* The control request "connections": every connection of the stack, a line of JSON each, in steps between
 * turns; then one of what they have in common. */
#include <errno.h>
#include <stdlib.h>

#include "cli/json.h"
#include "cli/serve_run.h"
#include "paste/tcp.h"

#define A_STEP 64

struct listing {
	const struct serve *serve;
	uint32_t worker; /* whose they are */
	uint32_t cursor;
};

static int begin(void *arg, const char *argument, void **state, struct paste_error *err)
{
	struct listing *l = calloc(1, sizeof(*l));

	if (!l)
		return paste_fail(err, -ENOMEM, "out of memory");
	l->serve = arg;
	*state = l;
	return 0;
}

static void write_connection(FILE *out, const struct paste_conn *c)
{
	struct json j = {.out = out, .flat = true};
	struct paste_conn_info i;

	if (paste_conn_info(c, &i) < 0)
		return;
	json_object(&j, NULL);
	json_string(&j, "state", i.state);
	json_string(&j, "local", i.local);
	json_string(&j, "peer", i.peer);
	json_unsigned(&j, "unsent", i.unsent);
	json_unsigned(&j, "unacknowledged", i.unacknowledged);
	json_unsigned(&j, "held", i.buffers);
	json_unsigned(&j, "rtt_us", i.rtt_us);
	json_unsigned(&j, "rtt_variation_us", i.rtt_variation_us);
	json_unsigned(&j, "rto_us", i.rto_us);
	json_unsigned(&j, "mss", i.mss);
	json_unsigned(&j, "cwnd", i.cwnd);
	json_unsigned(&j, "ssthresh", i.ssthresh);
	json_unsigned(&j, "window", i.window);
	json_unsigned(&j, "peer_window", i.peer_window);
	json_unsigned(&j, "received_bytes", i.received_bytes);
	json_unsigned(&j, "sent_bytes", i.sent_bytes);
	json_unsigned(&j, "retransmitted", i.retransmitted);
	json_end_object(&j);
}

static void write_tcp(struct json *j, const struct paste_stack *stack)
{
	struct paste_tcp_stats s;

	paste_tcp_stats(stack, &s);
	json_unsigned(j, "segments_received", s.segments_received);
	json_unsigned(j, "segments_sent", s.segments_sent);
	json_unsigned(j, "retransmitted", s.retransmitted);
	json_unsigned(j, "timeouts", s.timeouts);
	json_unsigned(j, "fast_recoveries", s.fast_recoveries);
	json_unsigned(j, "tail_probes", s.tail_probes);
	json_unsigned(j, "early", s.early);
	json_unsigned(j, "refused_room", s.refused_room);
	json_unsigned(j, "challenge_acks", s.challenge_acks);
	json_unsigned(j, "resets_sent", s.resets_sent);
	json_unsigned(j, "resets_received", s.resets_received);
	json_unsigned(j, "old_timestamps", s.old_timestamps);
	json_unsigned(j, "out_of_window", s.out_of_window);
	json_unsigned(j, "bad_acks", s.bad_acks);
	json_unsigned(j, "half_open_evicted", s.half_open_evicted);
	json_unsigned(j, "time_wait_evicted", s.time_wait_evicted);
	json_unsigned(j, "syns_dropped", s.syns_dropped);
	json_unsigned(j, "copied_bytes", s.copied_bytes);
	json_unsigned(j, "gathered_bytes", s.gathered_bytes);
	json_unsigned(j, "refused", s.refused);
	json_unsigned(j, "half_open", s.half_open);
	json_unsigned(j, "time_wait", s.waiting_time);
}

static void write_common(FILE *out, const struct serve *o)
{
	struct json j = {.out = out, .flat = true};
	struct paste_stack_stats s;

	service_stack_stats(o->worker[0].service, &s);
	json_object(&j, NULL);
	json_string(&j, "transport", o->tcp_port ? "own" : "kernel");
	json_unsigned(&j, "connections_now", s.connections);
	json_unsigned(&j, "accepted", s.accepted);
	json_unsigned(&j, "closed", s.closed);
	json_unsigned(&j, "refused_connections", s.refused);
	if (o->tcp_port)
		write_tcp(&j, o->worker[0].stack);
	json_end_object(&j);
}

static int step(void *state, FILE *out, struct paste_error *err)
{
	struct listing *l = state;

	for (int i = 0; i < A_STEP; i++) {
		const struct serve_worker *w = &l->serve->worker[l->worker];
		const struct paste_conn *c = w->stack ? paste_stack_next(w->stack, &l->cursor) : NULL;

		if (!c && l->worker + 1 < l->serve->options.workers) {
			l->worker++;
			l->cursor = 0;
			continue;
		}
		if (!c) {
			write_common(out, l->serve);
			return 0;
		}
		write_connection(out, c);
	}
	return 1;
}

static void end(void *state)
{
	free(state);
}

void serve_register_connections(struct serve *o)
{
	static const struct control_stream connections = {begin, step, end};

	control_register_stream(o->control, "connections", &connections, o);
}
