/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --check: read back everything that a trace says was acknowledged, and everything it leaves undecided.
 *
 * Items to read: each key that was ever written; each entry that was acknowledged; and of each stream the
 * numbers that nobody was told, up to the highest plus as many as there are undecided appends. Such a number
 * below one that exists must exist (no gaps) and hold an undecided append that is nowhere else.
 */
#include "cli/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_body.h"
#include "cli/bench_client.h"
#include "cli/bench_findings.h"
#include "cli/bench_request.h"
#include "cli/bench_trace.h"
#include "cli/cli.h"

#define SECOND 1000000000u
#define GAPS_READ 1000 /* of numbers that cannot all be there, how many are read one by one */

enum item_kind { ITEM_KEY, ITEM_ENTRY, ITEM_UNTOLD };

struct item {
	uint64_t sequence;
	uint64_t request; /* entry: whose bytes it must have. Untold: whose it has, 0: absent */
	uint32_t target;
	uint32_t length;
	uint8_t kind;
	bool unreadable; /* untold: an answer that is neither of both */
};

struct check {
	const struct bench_options *o;
	struct client client;
	struct bench_body body;
	struct bench_names names;
	struct trace trace;
	struct ledger ledger;
	struct item *items;
	uint64_t count, room, next, done;
	uint64_t *under_way;   /* each connection's item */
	uint64_t acknowledged; /* items that somebody was told of */
	uint64_t keys, entries, decided_present, decided_absent;
	uint64_t began, told_at;
	int trace_error;
	struct findings findings;
};

/* --- what to read --- */

static int add_item(struct check *c, struct item item)
{
	if (c->count == c->room) {
		uint64_t room = c->room ? 2 * c->room : 1024;
		struct item *items = realloc(c->items, room * sizeof(*items));
		if (!items)
			return -ENOMEM;
		c->items = items;
		c->room = room;
	}
	c->items[c->count++] = item;
	return 0;
}

static int add_keys(struct check *c)
{
	for (uint32_t i = 0; i < c->ledger.key_count; i++) {
		const struct ledger_key *k = &c->ledger.keys[i];
		if (!k->told && k->undecided == LEDGER_NONE)
			continue;
		c->keys++;
		c->acknowledged += k->told;
		if (add_item(c, (struct item){.kind = ITEM_KEY, .target = i}))
			return -ENOMEM;
	}
	return 0;
}

static int compare_entries(const void *left, const void *right)
{
	const struct ledger_entry *a = left, *b = right;

	if (a->stream != b->stream)
		return a->stream < b->stream ? -1 : 1;
	if (a->sequence != b->sequence)
		return a->sequence < b->sequence ? -1 : 1;
	return a->request < b->request ? -1 : a->request > b->request;
}

/* The numbers from `from` to before `to` were told to nobody. Of more than there are undecided appends some
 * must be missing; the first ones are read and named, the rest is counted. */
static int add_untold(struct check *c, uint32_t stream, uint64_t from, uint64_t to)
{
	uint64_t limit = (uint64_t)c->ledger.streams[stream].undecided_count + GAPS_READ;
	char name[BENCH_NAME_MAX];

	for (uint64_t i = from; i < to && i - from < limit; i++)
		if (add_item(c, (struct item){.kind = ITEM_UNTOLD, .target = stream, .sequence = i}))
			return -ENOMEM;
	if (to > from && to - from > limit) {
		name_write(&c->names, stream, name);
		finding_add(&c->findings, LEDGER_WRONG,
			    "stream %s: of the numbers %" PRIu64 " to %" PRIu64 " most cannot be there", name,
			    from, to - 1);
	}
	return 0;
}

static int add_stream(struct check *c, uint32_t stream, const struct ledger_entry *e, uint64_t n)
{
	char name[BENCH_NAME_MAX];
	uint64_t expected = 1;

	for (uint64_t i = 0; i < n; i++) {
		c->entries++;
		c->acknowledged++;
		if (e[i].sequence < expected) {
			name_write(&c->names, stream, name);
			finding_add(&c->findings, LEDGER_WRONG,
				    "stream %s: seq %" PRIu64 " was given to two appends, requests %" PRIu64
				    " and %" PRIu64,
				    name, e[i].sequence, e[i - 1].request, e[i].request);
			continue;
		}
		if (add_untold(c, stream, expected, e[i].sequence) ||
		    add_item(c, (struct item){.kind = ITEM_ENTRY,
					      .target = stream,
					      .sequence = e[i].sequence,
					      .request = e[i].request,
					      .length = e[i].length}))
			return -ENOMEM;
		expected = e[i].sequence + 1;
	}
	return add_untold(c, stream, expected, expected + c->ledger.streams[stream].undecided_count);
}

static int add_streams(struct check *c)
{
	const struct ledger *l = &c->ledger;
	uint64_t at = 0;

	if (l->entry_count)
		qsort(l->entries, l->entry_count, sizeof(*l->entries), compare_entries);
	for (uint32_t stream = 0; stream < l->stream_count; stream++) {
		uint64_t first = at;
		while (at < l->entry_count && l->entries[at].stream == stream)
			at++;
		if (add_stream(c, stream, l->entries + first, at - first))
			return -ENOMEM;
	}
	return 0;
}

/* --- reading --- */

static bool check_next(void *arg, uint32_t connection, struct client_request *q)
{
	struct check *c = arg;
	char name[BENCH_NAME_MAX];

	if (c->next == c->count)
		return false;
	const struct item *item = &c->items[c->next];
	c->under_way[connection] = c->next++;
	name_write(&c->names, item->target, name);
	if (item->kind == ITEM_KEY)
		request_write(q, c->o->authority, BENCH_GET, name, &c->body, 0, 0);
	else
		request_write_read(q, c->o->authority, name, item->sequence);
	return true;
}

/* What was undecided has been seen: it is written down, and must stay so. */
static void decide(struct check *c, const struct item *item, uint64_t request, uint64_t sequence)
{
	struct trace_record record = {.type = TRACE_SEEN,
				      .kind = item->kind == ITEM_KEY ? BENCH_PUT : BENCH_APPEND,
				      .target = item->target,
				      .request = request,
				      .value = sequence};

	if (!c->trace_error)
		c->trace_error = trace_add(&c->trace, record);
	if (!c->trace_error)
		c->trace_error = ledger_replay(&c->ledger, &record);
}

static void judge_key(struct check *c, const struct item *item, const struct http_reply *reply,
		      const char *name)
{
	struct ledger_key before = ledger_key(&c->ledger, item->target);
	char why[LEDGER_WHY];
	uint64_t seen;
	enum ledger_verdict verdict = ledger_judge_key(&c->ledger, &c->body, item->target, reply, &seen, why);

	if (verdict != LEDGER_RIGHT) {
		finding_add(&c->findings, verdict, "key %s: %s", name, why);
		return;
	}
	if (before.undecided == LEDGER_NONE)
		return;
	if (seen != before.request)
		c->decided_present++;
	else
		c->decided_absent++;
	decide(c, item, seen, 0);
}

static void judge_entry(struct check *c, const struct item *item, const struct http_reply *reply,
			const char *name)
{
	uint64_t origin;

	if (reply->status == 404) {
		finding_add(&c->findings, LEDGER_LOST,
			    "stream %s seq %" PRIu64 ": absent, should hold request %" PRIu64, name,
			    item->sequence, item->request);
	} else if (reply->status != 200) {
		finding_add(&c->findings, LEDGER_WRONG, "stream %s seq %" PRIu64 ": answered with status %u",
			    name, item->sequence, reply->status);
	} else if (!body_matches(&c->body, item->request, item->length, reply->body, reply->body_length)) {
		if (body_origin(&c->body, reply->body, reply->body_length, &origin) &&
		    origin != item->request)
			finding_add(&c->findings, LEDGER_WRONG,
				    "stream %s seq %" PRIu64 ": holds request %" PRIu64
				    ", should hold request %" PRIu64,
				    name, item->sequence, origin, item->request);
		else
			finding_add(&c->findings, LEDGER_WRONG,
				    "stream %s seq %" PRIu64 ": %" PRIu64
				    " bytes that are not those of request %" PRIu64,
				    name, item->sequence, reply->body_length, item->request);
	}
}

/* The undecided append that has these bytes is decided by that: so none is found twice. */
static void judge_untold(struct check *c, struct item *item, const struct http_reply *reply, const char *name)
{
	const struct ledger *l = &c->ledger;

	if (reply->status == 404)
		return;
	if (reply->status != 200) {
		item->unreadable = true;
		finding_add(&c->findings, LEDGER_WRONG, "stream %s seq %" PRIu64 ": answered with status %u",
			    name, item->sequence, reply->status);
		return;
	}
	for (uint32_t i = l->streams[item->target].undecided; i != LEDGER_NONE; i = l->writes[i].older) {
		const struct ledger_write *w = &l->writes[i];
		if (!body_matches(&c->body, w->request, w->length, reply->body, reply->body_length))
			continue;
		item->request = w->request;
		c->decided_present++;
		decide(c, item, w->request, item->sequence);
		return;
	}
	item->unreadable = true;
	finding_add(&c->findings, LEDGER_WRONG,
		    "stream %s seq %" PRIu64 ": an entry that no open append accounts for", name,
		    item->sequence);
}

static void check_answer(void *arg, uint32_t connection, const struct http_reply *reply, uint64_t latency)
{
	struct check *c = arg;
	struct item *item = &c->items[c->under_way[connection]];
	char name[BENCH_NAME_MAX];

	name_write(&c->names, item->target, name);
	c->done++;
	if (item->kind == ITEM_KEY)
		judge_key(c, item, reply, name);
	else if (item->kind == ITEM_ENTRY)
		judge_entry(c, item, reply, name);
	else
		judge_untold(c, item, reply, name);
}

static int check_round(void *arg, uint64_t now)
{
	struct check *c = arg;

	if (now > c->told_at + SECOND) {
		c->told_at = now;
		if (c->o->progress)
			fprintf(stderr,
				"checked %" PRIu64 " of %" PRIu64 ": lost %" PRIu64 ", wrong %" PRIu64 "\n",
				c->done, c->count, c->findings.lost, c->findings.wrong);
	}
	if (!c->trace_error)
		c->trace_error = trace_flush(&c->trace);
	return c->trace_error;
}

/* --- what only all of a stream tells --- */

static void find_gaps(struct check *c)
{
	char name[BENCH_NAME_MAX];
	uint64_t highest = 0;
	uint32_t stream = LEDGER_NONE;

	/* From the end: items of a stream are in ascending order of their numbers. */
	for (uint64_t i = c->count; i-- > 0 && c->items[i].kind != ITEM_KEY;) {
		const struct item *item = &c->items[i];
		if (item->target != stream)
			highest = 0;
		stream = item->target;
		bool there = item->kind == ITEM_ENTRY || item->request || item->unreadable;
		if (there && item->sequence > highest)
			highest = item->sequence;
		if (there || item->sequence > highest)
			continue;
		name_write(&c->names, stream, name);
		finding_add(&c->findings, LEDGER_WRONG,
			    "stream %s seq %" PRIu64 ": a gap, there are entries up to %" PRIu64, name,
			    item->sequence, highest);
	}
}

/* Every number was read: an append that is still undecided is nowhere. */
static void decide_rest(struct check *c)
{
	struct ledger *l = &c->ledger;

	for (uint32_t stream = 0; stream < l->stream_count; stream++) {
		while (l->streams[stream].undecided != LEDGER_NONE && !c->trace_error) {
			struct item item = {.kind = ITEM_UNTOLD, .target = stream};
			c->decided_absent++;
			decide(c, &item, l->writes[l->streams[stream].undecided].request, 0);
		}
	}
	if (!c->trace_error)
		c->trace_error = trace_flush(&c->trace);
}

/* --- telling --- */

static void print_result(const struct check *c, uint64_t acknowledged_writes, double seconds)
{
	printf("checked %" PRIu64 " acknowledged: lost %" PRIu64 ", wrong %" PRIu64 "\n", c->acknowledged,
	       c->findings.lost, c->findings.wrong);
	printf("  %" PRIu64 " keys and %" PRIu64 " entries, which %" PRIu64
	       " acknowledged writes came to; %.2f s, %.0f reads/s\n",
	       c->keys, c->entries, acknowledged_writes, seconds,
	       seconds > 0 ? (double)c->done / seconds : 0);
	if (c->decided_present || c->decided_absent)
		printf("  undecided changes: %" PRIu64 " happened, %" PRIu64 " did not\n", c->decided_present,
		       c->decided_absent);
	findings_print(&c->findings);
}

static void write_result(const struct check *c, uint64_t acknowledged_writes, double seconds)
{
	struct json j = {.out = stdout};

	json_object(&j, NULL);
	json_string(&j, "url", c->o->url);
	json_string(&j, "file", c->o->check);
	json_unsigned(&j, "checked", c->acknowledged);
	json_unsigned(&j, "acknowledged_writes", acknowledged_writes);
	json_unsigned(&j, "keys", c->keys);
	json_unsigned(&j, "entries", c->entries);
	json_unsigned(&j, "undecided_happened", c->decided_present);
	json_unsigned(&j, "undecided_did_not", c->decided_absent);
	findings_json(&c->findings, &j);
	json_bool(&j, "complete", c->done == c->count);
	json_real(&j, "seconds", seconds);
	json_real(&j, "reads_per_second", seconds > 0 ? (double)c->done / seconds : 0);
	json_end_object(&j);
}

static int finish(struct check *c)
{
	bool complete = c->done == c->count;
	uint64_t acknowledged_writes = c->ledger.acknowledged;
	double seconds = (double)(client_now() - c->began) / 1e9;

	if (complete) {
		find_gaps(c);
		decide_rest(c);
	}
	if (c->trace_error) {
		fprintf(stderr, "pst bench: %s: cannot go on writing it: %s\n", c->o->check,
			strerror(-c->trace_error));
		return CLI_USAGE;
	}
	if (c->o->json)
		write_result(c, acknowledged_writes, seconds);
	else if (complete)
		print_result(c, acknowledged_writes, seconds);
	else
		findings_print(&c->findings);
	fflush(stdout);
	if (!complete)
		fprintf(stderr, "pst bench: not checked to the end, %" PRIu64 " of %" PRIu64 " read: %s\n",
			c->done, c->count, c->client.lost ? c->client.why : "interrupted");
	if (c->findings.lost || c->findings.wrong)
		return CLI_FAILED;
	return complete ? CLI_OK : CLI_LOST;
}

static int prepare(struct check *c, struct paste_error *err)
{
	ledger_open(&c->ledger, true);
	int error = trace_open(&c->trace, c->o->check, TRACE_CHECK, 0, false, ledger_replay, &c->ledger, err);
	if (error)
		return error;
	names_open(&c->names, c->trace.id);
	c->names.fixed = c->o->stream;
	body_open(&c->body, c->trace.seed);
	c->under_way = calloc(c->o->connections, sizeof(*c->under_way));
	if (!c->under_way || body_reserve(&c->body, c->ledger.longest) || add_keys(c) || add_streams(c))
		return paste_fail(err, -ENOMEM, "out of memory");
	return 0;
}

static void release(struct check *c)
{
	client_close(&c->client);
	trace_close(&c->trace);
	ledger_close(&c->ledger);
	body_close(&c->body);
	free(c->items);
	free(c->under_way);
	free(c);
}

int bench_check(const struct bench_options *o)
{
	static const struct client_ops ops = {check_next, check_answer, check_round};
	struct client_options wanted = bench_client_options(o);
	struct paste_error err = {{0}};
	struct check *c = calloc(1, sizeof(*c));
	int status, error;

	if (!c)
		return cli_fail("bench", CLI_FAILED, "out of memory");
	c->o = o;
	c->client.signals = -1;
	c->trace.fd = -1;
	if (prepare(c, &err)) {
		status = cli_fail("bench", CLI_USAGE, err.text);
	} else if ((error = client_open(&c->client, &wanted, &ops, c, &err))) {
		status = bench_not_connected(error, &err);
	} else {
		c->began = c->told_at = client_now();
		client_run(&c->client);
		status = finish(c);
	}
	release(c);
	return status;
}
