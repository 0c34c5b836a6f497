/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_history.h - what clients asked of the service over HTTP and what they were answered, across crashes;
 * and whether there is an order of all of it that explains every answer.
 *
 * An operation has an interval: from the moment its request was on its way to the moment its whole reply had
 * left the service. One without a reply may have taken effect until its life ended, or not at all, and never
 * later: that is all a crash may do. http_history_explain() looks for one order that keeps to the intervals
 * and to the order on each connection, in which a plain model of keys, streams and retry keys gives exactly
 * the answers that were seen: values, versions, absences, refusals, lists and ranges alike. Several changes
 * at once are one step of it.
 */
#ifndef TESTS_HTTP_HISTORY_H
#define TESTS_HTTP_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS 8    /* "a/0" .. "b/3" */
#define STREAMS 2 /* "s0", "s1" */
#define ENTRIES_MAX 120
#define IDS_MAX 1200 /* values written in a history, each once */
#define RETRIES_MAX 24
#define PARTS_MAX 4
#define PIECE_MAX 48
#define ASKS_MAX 900

enum ask_kind {
	ASK_PUT,
	ASK_DELETE,
	ASK_GET,
	ASK_APPEND,
	ASK_ENTRY,
	ASK_ENTRIES, /* a range of them, or its head only; perhaps waited for */
	ASK_TRIM,
	ASK_KEYS, /* a page of the list */
	ASK_STREAMS,
	ASK_DELETE_PREFIX,
	ASK_BATCH,
	ASK_TIME, /* the clock goes on */
	ASK_KINDS,
};

enum ask_condition {
	COND_NONE,
	COND_PRESENT,     /* If-Match: * */
	COND_ABSENT,      /* If-None-Match: * */
	COND_VERSION,     /* If-Match: the version of `expected` */
	COND_NOT_VERSION, /* If-None-Match, the same */
	COND_NEXT,        /* expect=`expected` */
};

/* One change of a batch, or of an operation that is one change. */
struct ask_part {
	uint8_t type; /* ASK_PUT, ASK_DELETE, ASK_APPEND */
	uint8_t name; /* index of the key or stream */
	uint8_t condition;
	uint16_t id; /* of the value written */
	uint32_t expected;
	uint32_t ttl;
	/* Of the reply. */
	bool existed, failed;
	uint32_t sequence;
};

struct ask {
	uint8_t kind, client;
	bool head, follows, limited;
	bool open;      /* no reply came: it happened by `ends`, or never */
	int16_t before; /* the operation before it on its connection; -1: none */
	int32_t begins, ends;
	uint8_t n; /* parts */
	struct ask_part part[PARTS_MAX];
	uint8_t retry; /* number of a retry key; 0: none */
	/* GET: bytes from..from+piece of the value, if piece. ENTRIES: from, limit. TRIM: from. KEYS: prefix,
	 * after, limit. */
	uint32_t from, limit;
	uint8_t piece;
	int8_t prefix; /* index of a letter; -1: none */
	int8_t after;  /* index of a key; -1: none */
	uint64_t now;  /* TIME: ms */

	int status; /* 0: not answered */
	bool repeated, more;
	uint16_t id;      /* of the value read */
	uint64_t version; /* as told, 0: not */
	uint32_t length, first, next, count;
	uint16_t ids[ENTRIES_MAX]; /* ENTRIES: of first_seen.. */
	uint32_t first_seen;
	uint8_t listed[KEYS];
	uint64_t versions[KEYS];
	uint32_t lengths[KEYS];
	uint8_t bytes[PIECE_MAX];
};

struct http_history {
	struct ask asks[ASKS_MAX];
	int32_t n;
	int32_t clock;
	uint64_t now;              /* ms, of the wall clock */
	uint16_t ids;              /* used so far, from 1 */
	uint64_t version[IDS_MAX]; /* of the value, 0: nobody told */
	uint8_t key_of[IDS_MAX];
	uint8_t retries;
};

/* The bytes of a value: its length and content follow from its number. */
uint32_t value_length(uint16_t id);
void value_fill(uint16_t id, uint8_t *bytes);
/* The number of the value that begins with these bytes; 0: none does. */
uint16_t value_id(const uint8_t *bytes, size_t n);

extern const char *const key_names[KEYS], *const stream_names[STREAMS];

/* NULL: there is an order. Else a sentence on where the search ended. */
const char *http_history_explain(const struct http_history *h, char *why, size_t room);

/* An operation in words. */
const char *ask_text(const struct ask *o, char *text, size_t room);

#endif
