/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_ledger.h - what a service that loses nothing must answer, given what it has told its clients.
 *
 * For each key: what it is (the last write acknowledged, or seen since), and the writes that were sent after
 * that and are undecided: in flight when the connection was lost, or answered by an error that says nothing.
 * Each may have happened or not; the next thing that is seen or acknowledged decides all of them, and what
 * was seen must stay. For each stream: which entry has which number, and the undecided appends, each of which
 * may be the entry of at most one number that nobody was told.
 *
 * Assumed: a write that is undecided is not carried out after the next answer about its key. A service that
 * was killed in between cannot; one that lives on while only the load is killed might, within the blink that
 * a request stays in its queue.
 *
 * The ledger follows from a trace alone (ledger_replay) and is kept up to date by the load that goes on
 * writing it.
 */
#ifndef CLI_BENCH_LEDGER_H
#define CLI_BENCH_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/bench_body.h"
#include "cli/bench_name.h"
#include "cli/bench_trace.h"
#include "cli/http_reply.h"

#define LEDGER_NONE UINT32_MAX

struct ledger_key {
	uint64_t request; /* whose value it has; 0: absent */
	uint32_t length : 31;
	uint32_t told : 1;  /* somebody was told, or has seen it so */
	uint32_t undecided; /* its newest undecided write, LEDGER_NONE */
};

struct ledger_stream {
	uint64_t highest; /* sequence number acknowledged or seen; 0: none */
	uint32_t undecided;
	uint32_t undecided_count;
};

struct ledger_write {
	uint64_t request;
	uint32_t length;
	uint32_t target;
	uint32_t older, newer; /* undecided ones of the same target */
	uint8_t kind;
};

struct ledger_entry {
	uint64_t sequence, request;
	uint32_t stream, length;
};

struct ledger {
	struct ledger_key *keys;
	uint32_t key_count, key_room;
	struct ledger_stream *streams;
	uint32_t stream_count, stream_room;
	struct ledger_write *writes; /* a pool; free ones chained by `older` */
	uint32_t write_room, write_free;
	uint32_t *in_flight; /* of each connection, an index of writes */
	uint32_t connections;
	bool keep_entries; /* wanted for checking; a load spares the memory */
	struct ledger_entry *entries;
	uint64_t entry_count, entry_room;
	uint64_t last_request;
	uint64_t longest;      /* body, bytes */
	uint64_t acknowledged; /* writes */
	uint64_t undecided;    /* writes */
};

void ledger_open(struct ledger *l, bool keep_entries);
void ledger_close(struct ledger *l);

/* Apply one record of a trace. -ENOMEM, or -EBADMSG: it contradicts those before. */
int ledger_replay(void *ledger, const struct trace_record *record);

/* Where key and stream stand; a key nobody wrote is absent and not told. */
struct ledger_key ledger_key(const struct ledger *l, uint32_t key);
struct ledger_stream ledger_stream(const struct ledger *l, uint32_t stream);

enum ledger_verdict {
	LEDGER_RIGHT,
	LEDGER_LOST,  /* something acknowledged is not there */
	LEDGER_WRONG, /* something is there that nobody wrote so */
};

#define LEDGER_WHY 160

/* Judge the answer to a GET of a key. If right, *seen is the request whose value it has, 0 if absent; else
 * `why` says what is the matter. */
enum ledger_verdict ledger_judge_key(const struct ledger *l, const struct bench_body *body, uint32_t key,
				     const struct http_reply *reply, uint64_t *seen, char why[LEDGER_WHY]);

#endif
