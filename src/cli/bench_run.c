/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load: which request comes next on each connection, and what its answer means.
 *
 *	fill ──► warm-up ──► measured ──► (nothing new; the last answers) ──► report
 */
#include "cli/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_body.h"
#include "cli/bench_client.h"
#include "cli/bench_pick.h"
#include "cli/bench_request.h"
#include "cli/bench_stats.h"
#include "cli/bench_trace.h"
#include "cli/bench_udp.h"
#include "cli/cli.h"

#define SECOND 1000000000u

enum phase { FILL, WARMUP, MEASURE };

static const char *const phase_names[] = {"fill   ", "warm-up", "measure"};

/* What a connection has under way. */
struct lane {
	enum bench_kind kind;
	uint32_t target;
	uint64_t request;
	uint64_t floor;     /* append: highest sequence number of its stream when it was sent */
	uint32_t fill_next; /* the next key to fill, at least options.keys when done */
};

struct run {
	const struct bench_options *o;
	struct client client;
	struct bench_body body;
	struct bench_names names;
	struct bench_random random;
	struct bench_zipf zipf;
	bool verifying;
	struct trace trace;
	struct ledger ledger;
	int trace_error;
	uint64_t last_request;
	struct lane *lanes;
	enum phase phase;
	uint32_t filling;    /* connections that are not done with it */
	uint64_t phase_ends; /* ns; 0: by count */
	uint64_t left;       /* of options.requests */
	struct bench_stats stats;
	uint64_t sent_before, received_before; /* bytes, when measuring began */
	uint64_t idle_before;                  /* ns */
	struct histogram interval;
	uint64_t interval_began, started;
	struct findings findings;
};

/* --- what next --- */

static enum bench_kind pick_kind(struct run *r)
{
	uint32_t at = random_below(&r->random, r->o->weights);
	int kind = 0;

	while (at >= r->o->weight[kind])
		at -= r->o->weight[kind++];
	return (enum bench_kind)kind;
}

/* With a trace, connection c has the keys c, c + connections, c + 2 connections ...: no two write one key. */
static uint32_t pick_key(struct run *r, uint32_t connection)
{
	uint32_t step = r->verifying ? r->o->connections : 1;
	uint32_t first = r->verifying ? connection : 0;
	uint32_t mine = (r->o->keys - first + step - 1) / step;
	uint32_t rank = r->o->zipf > 0 ? zipf_next(&r->zipf, &r->random) : random_below(&r->random, mine);

	return first + rank * step;
}

static bool choose(struct run *r, uint32_t connection, struct lane *lane)
{
	if (lane->fill_next < r->o->keys) {
		lane->kind = BENCH_PUT;
		lane->target = lane->fill_next;
		return true;
	}
	if (r->phase == MEASURE && r->o->requests && !r->left)
		return false;
	if (r->phase == MEASURE && r->left)
		r->left--;
	lane->kind = pick_kind(r);
	lane->target =
	    lane->kind == BENCH_APPEND ? random_below(&r->random, r->o->streams) : pick_key(r, connection);
	return true;
}

/* Into the trace and, what comes to the same, into the ledger. */
static void note(struct run *r, enum trace_type type, uint32_t connection, uint64_t value)
{
	const struct lane *lane = &r->lanes[connection];
	struct trace_record record = {.type = (uint8_t)type,
				      .kind = (uint8_t)lane->kind,
				      .target = lane->target,
				      .request = lane->request,
				      .value = value,
				      .connection = connection};

	if (!r->verifying || r->trace_error)
		return;
	r->trace_error = trace_add(&r->trace, record);
	if (!r->trace_error)
		r->trace_error = ledger_replay(&r->ledger, &record);
}

static bool run_next(void *arg, uint32_t connection, struct client_request *q)
{
	struct run *r = arg;
	struct lane *lane = &r->lanes[connection];
	char name[BENCH_NAME_MAX];
	uint32_t length = 0;

	if (!choose(r, connection, lane))
		return false;
	if (lane->kind == BENCH_PUT || lane->kind == BENCH_APPEND)
		length = random_size(&r->random, r->o->size_low, r->o->size_high);
	if (lane->kind != BENCH_GET) {
		lane->request = ++r->last_request;
		if (r->verifying && lane->kind == BENCH_APPEND)
			lane->floor = ledger_stream(&r->ledger, lane->target).highest;
		note(r, TRACE_ISSUED, connection, length);
	}
	name_write(&r->names, lane->target, name);
	if (r->o->udp || r->o->echo)
		bench_udp_request(q, &r->body, lane->request, length);
	else
		request_write(q, r->o->authority, lane->kind, name, &r->body, lane->request, length);
	return true;
}

/* --- what it meant --- */

/* {"seq":N}, spaces allowed; nothing else in it is ours to know. 0: it is not that. */
static uint64_t parse_sequence(const struct http_reply *reply)
{
	static const char field[] = "\"seq\"";
	const char *end = reply->body + reply->body_length;
	const char *p = memmem(reply->body, reply->body_length, field, sizeof(field) - 1);
	uint64_t n = 0;

	if (!p)
		return 0;
	for (p += sizeof(field) - 1; p < end && (*p == ' ' || *p == ':'); p++)
		;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return 0;
	return n;
}

static void took_append(struct run *r, uint32_t connection, const struct http_reply *reply)
{
	const struct lane *lane = &r->lanes[connection];
	char name[BENCH_NAME_MAX];

	if (!r->verifying)
		return;
	uint64_t sequence = parse_sequence(reply);
	name_write(&r->names, lane->target, name);
	if (!sequence) {
		finding_add(&r->findings, LEDGER_WRONG, "stream %s: an append was answered without its seq",
			    name);
		return;
	}
	if (sequence <= lane->floor)
		finding_add(&r->findings, LEDGER_WRONG,
			    "stream %s: an append got seq %" PRIu64 " when %" PRIu64 " was given already",
			    name, sequence, lane->floor);
	note(r, TRACE_ACKED, connection, sequence);
}

/* A write was acknowledged. 201 or 204, 204 or 404: the answer also says what was there before, and by that
 * whether earlier acknowledgements were kept. */
static void took_write(struct run *r, uint32_t connection, const struct http_reply *reply)
{
	const struct lane *lane = &r->lanes[connection];

	r->stats.acknowledged++;
	if (lane->kind == BENCH_APPEND) {
		took_append(r, connection, reply);
		return;
	}
	if (!r->verifying)
		return;
	struct ledger_key k = ledger_key(&r->ledger, lane->target);
	if (k.undecided == LEDGER_NONE) /* only after the trace failed */
		return;
	/* Its own record is the newest undecided one: with another below it, before is not known. */
	bool known = r->ledger.writes[k.undecided].older == LEDGER_NONE;
	unsigned int expected = lane->kind == BENCH_PUT ? (k.request ? 204 : 201) : (k.request ? 204 : 404);
	if (known && reply->status != expected && reply->status != 200) {
		char name[BENCH_NAME_MAX];
		name_write(&r->names, lane->target, name);
		finding_add(&r->findings, k.request ? LEDGER_LOST : LEDGER_WRONG,
			    "key %s: %s was answered with status %u, but it was %s", name,
			    bench_kind_names[lane->kind], reply->status, k.request ? "there" : "absent");
	}
	note(r, TRACE_ACKED, connection, 0);
}

/* Each connection reads its own writes. */
static void took_value(struct run *r, uint32_t connection, const struct http_reply *reply)
{
	struct lane *lane = &r->lanes[connection];
	char why[LEDGER_WHY], name[BENCH_NAME_MAX];
	uint64_t seen;

	if (!r->verifying)
		return;
	enum ledger_verdict verdict = ledger_judge_key(&r->ledger, &r->body, lane->target, reply, &seen, why);
	if (verdict != LEDGER_RIGHT) {
		name_write(&r->names, lane->target, name);
		finding_add(&r->findings, verdict, "key %s: %s", name, why);
		return;
	}
	if (ledger_key(&r->ledger, lane->target).undecided == LEDGER_NONE)
		return;
	lane->kind = BENCH_PUT; /* a record is about the write that was seen */
	lane->request = seen;
	note(r, TRACE_SEEN, connection, 0);
}

static void count(struct run *r, const struct lane *lane, unsigned int status, uint64_t latency)
{
	r->stats.status[status]++;
	if (r->o->udp && status == 504) {
		r->stats.unanswered++;
		return;
	}
	histogram_add(&r->stats.latency[lane->kind], latency);
	histogram_add(&r->interval, latency);
	if (status == 507)
		r->stats.full++;
	else if (status == 404 && (lane->kind == BENCH_GET || lane->kind == BENCH_DELETE))
		r->stats.missing++;
	else if (status >= 300)
		r->stats.errors++;
}

static void run_answer(void *arg, uint32_t connection, const struct http_reply *reply, uint64_t latency)
{
	struct run *r = arg;
	struct lane *lane = &r->lanes[connection];
	unsigned int status = reply->status;

	count(r, lane, status, latency);
	if (status < 300 || (status == 404 && (lane->kind == BENCH_GET || lane->kind == BENCH_DELETE))) {
		if (lane->kind == BENCH_GET)
			took_value(r, connection, reply);
		else
			took_write(r, connection, reply);
	} else if (lane->kind != BENCH_GET && (status < 500 || status == 507)) {
		note(r, TRACE_REFUSED, connection, 0);
	} /* else it is not said whether the write happened: it stays undecided */
	if (lane->fill_next < r->o->keys) {
		lane->fill_next += r->o->connections;
		if (lane->fill_next >= r->o->keys)
			r->filling--;
	}
}

/* --- phases and progress --- */

static void progress(struct run *r, uint64_t now)
{
	if (now < r->interval_began + SECOND)
		return;
	if (r->o->progress)
		bench_report_progress(phase_names[r->phase], (double)(now - r->started) / 1e9,
				      (double)(now - r->interval_began) / 1e9, &r->interval, &r->stats,
				      &r->findings);
	histogram_reset(&r->interval);
	r->interval_began = now;
}

static void begin_phase(struct run *r, enum phase phase, uint64_t now)
{
	double seconds = phase == WARMUP ? r->o->warmup : r->o->seconds;

	r->phase = phase;
	r->phase_ends = seconds > 0 ? now + (uint64_t)(seconds * 1e9) : 0;
	if (phase == MEASURE) {
		uint64_t under_way = r->client.busy; /* their answers count */
		r->left = r->o->requests > under_way ? r->o->requests - under_way : 0;
		bench_stats_begin(&r->stats, now);
		r->sent_before = r->client.sent_bytes;
		r->received_before = r->client.received_bytes;
		r->idle_before = r->client.idle_ns;
	}
}

static int run_round(void *arg, uint64_t now)
{
	struct run *r = arg;

	if (r->phase == FILL && !r->filling)
		begin_phase(r, WARMUP, now);
	if (r->phase == WARMUP && now >= r->phase_ends)
		begin_phase(r, MEASURE, now);
	if (r->phase == MEASURE && r->phase_ends && now >= r->phase_ends)
		client_stop(&r->client);
	progress(r, now);
	if (!r->trace_error && r->verifying)
		r->trace_error = trace_flush(&r->trace);
	return r->trace_error;
}

/* --- beginning and end --- */

static int open_trace(struct run *r, struct paste_error *err)
{
	struct trace_record run = {.type = TRACE_RUN, .value = r->o->connections};

	ledger_open(&r->ledger, false);
	int error = trace_open(&r->trace, r->o->verify, TRACE_LOAD, r->o->seed, r->o->verify_sync,
			       ledger_replay, &r->ledger, err);
	if (error)
		return error;
	r->verifying = true;
	r->last_request = r->ledger.last_request;
	error = trace_add(&r->trace, run);
	if (!error)
		error = ledger_replay(&r->ledger, &run);
	return error ? paste_fail(err, error, "%s: %s", r->o->verify, strerror(-error)) : 0;
}

static int prepare(struct run *r, struct paste_error *err)
{
	uint32_t keys = r->o->keys;

	if (r->o->verify) {
		int error = open_trace(r, err);
		if (error)
			return error;
		keys /= r->o->connections;
	}
	names_open(&r->names, r->verifying ? r->trace.id : 0);
	r->names.fixed = r->o->stream;
	body_open(&r->body, r->verifying ? r->trace.seed : r->o->seed);
	random_seed(&r->random, r->o->seed);
	if (r->o->zipf > 0)
		zipf_open(&r->zipf, keys, r->o->zipf);
	r->lanes = calloc(r->o->connections, sizeof(*r->lanes));
	/* A GET may bring back a longer value of an earlier run of the same file. */
	uint64_t longest = r->o->size_high > r->ledger.longest ? r->o->size_high : r->ledger.longest;
	if (!r->lanes || body_reserve(&r->body, longest))
		return paste_fail(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < r->o->connections; i++) {
		r->lanes[i].fill_next = r->o->fill ? i : UINT32_MAX;
		r->filling += r->lanes[i].fill_next < r->o->keys;
	}
	return 0;
}

static int finish(struct run *r)
{
	struct bench_outcome outcome = {.lost = r->client.lost,
					.interrupted = r->client.interrupted,
					.why = r->client.why,
					.in_flight = r->ledger.undecided,
					.file_acknowledged = r->ledger.acknowledged};

	if (!outcome.lost && r->stats.unanswered && !r->stats.acknowledged && !r->stats.errors && !r->stats.full) {
		outcome.lost = true;
		outcome.why = "not one datagram was answered";
	}
	r->stats.ended = r->client.answered_at;
	r->stats.cpu_ended = bench_cpu_time();
	r->stats.sent_bytes = r->client.sent_bytes - r->sent_before;
	r->stats.received_bytes = r->client.received_bytes - r->received_before;
	r->stats.idle = r->client.idle_ns - r->idle_before;
	if (r->o->json)
		bench_report_json(r->o, &r->stats, &r->findings, &outcome);
	else
		bench_report_table(r->o, &r->stats, &r->findings, &outcome);
	fflush(stdout);
	if (r->trace_error) {
		fprintf(stderr, "pst bench: %s: cannot go on writing it: %s\n", r->o->verify,
			strerror(-r->trace_error));
		return CLI_USAGE;
	}
	if (outcome.lost)
		fprintf(stderr, "pst bench: connection lost after %" PRIu64 " acknowledged: %s\n",
			r->stats.acknowledged, outcome.why);
	if (r->findings.lost || r->findings.wrong)
		return CLI_FAILED;
	if (outcome.lost)
		return CLI_LOST;
	return r->stats.errors ? CLI_FAILED : CLI_OK;
}

static void release(struct run *r)
{
	client_close(&r->client);
	if (r->verifying)
		trace_close(&r->trace);
	ledger_close(&r->ledger);
	body_close(&r->body);
	free(r->lanes);
	free(r);
}

int bench_run(const struct bench_options *o)
{
	static const struct client_ops ops = {run_next, run_answer, run_round};
	struct client_options wanted = bench_client_options(o);
	struct paste_error err = {{0}};
	struct run *r = calloc(1, sizeof(*r));
	int status, error;

	if (!r)
		return cli_fail("bench", CLI_FAILED, "out of memory");
	r->o = o;
	r->client.signals = -1;
	if (prepare(r, &err)) {
		status = cli_fail("bench", CLI_USAGE, err.text);
	} else if ((error = client_open(&r->client, &wanted, &ops, r, &err))) {
		status = bench_not_connected(error, &err);
	} else {
		r->started = r->interval_began = client_now();
		bench_stats_begin(&r->stats, r->started);
		begin_phase(r, r->filling ? FILL : r->o->warmup > 0 ? WARMUP : MEASURE, r->started);
		/* What client_run() returns is the trace's error, which finish() tells. */
		client_run(&r->client);
		status = finish(r);
	}
	release(r);
	return status;
}
