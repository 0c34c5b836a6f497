/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * baseline.h - a durable HTTP service as one writes it without packet buffers that are storage, to compare
 *with.
 *
 *	epoll ──► read() into a private buffer ──► parse ──► memcpy() into a log, record, index
 *	      ... all ready sockets ... ──► write the log back, once ──► write() the replies
 *
 * It has the project's own parser, replies, records, checksums and index, so that what differs is how bytes
 * travel. The log is a mapped file whose lines are written back where its path is on tmpfs, else memory
 * whose blocks go to a file by O_DIRECT and one fdatasync().
 *
 * It is honest up to the point that matters here: an answer means that the log is durable. It never reads
 * the log again at a start, never cleans it, and answers 507 when it has come to its end.
 *
 *	main.c        options, sockets, the loop
 *	connection.c  from bytes read to requests, replies
 *	keep.c        a request on index and log
 *	log.c         the log
 */
#ifndef BENCH_BASELINE_H
#define BENCH_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/op.h"
#include "media/flush.h"
#include "serve/http_parse.h"
#include "serve/reply.h"
#include "serve/route.h"
#include "store/stream.h"
#include "store/tree.h"

enum keep_what {
	KEEP_NOTHING, /* requests are parsed and answered */
	KEEP_BYTES,   /* bare: bodies are copied into the log; no record, checksum or index */
	KEEP_ALL,
};

enum flush_when {
	FLUSH_NEVER,
	FLUSH_REQUEST,
	FLUSH_ROUND,
};

/* --- log.c --- */

struct classic_log {
	uint8_t *memory;
	uint64_t size, tail;
	uint64_t flushed; /* handed to the medium up to here */
	int fd;           /* of the disk's file, or -1 */
	struct flush flush;
};

/* The file is made anew, allocated, written and mapped. 0 or a negative errno. */
int log_file_open(struct classic_log *l, const char *path, uint64_t size);
void log_file_close(struct classic_log *l);

/* A place for so many bytes at the tail, or NULL when the log is full. */
uint8_t *log_place(struct classic_log *l, uint64_t bytes);
/* Make all up to the tail durable, now. 0 or a negative errno. */
int log_flush(struct classic_log *l);

/* --- keep.c --- */

struct keep {
	enum keep_what what;
	struct classic_log log;
	struct slab slab;
	struct tree keys;    /* struct entry */
	struct tree streams; /* struct stream */
	uint64_t sequence;   /* of records */
};

/* The value that an answer brings. */
struct found {
	uint64_t length, version;
	const struct entry *entry; /* its extents are in the log */
};

#define KEEP_EXTENT_MAX 32768u /* bytes; a reference counts them in 16 bits */

static inline uint8_t *extent_bytes(const struct keep *k, const struct extent *e)
{
	return k->log.memory + (uint64_t)e->ref.buffer * 2048 + e->ref.offset;
}

void keep_init(struct keep *k, enum keep_what what);
/* These return a status code. */
int keep_put(struct keep *k, const struct request *r, const void *body, uint64_t length, uint64_t *version);
int keep_append(struct keep *k, const struct request *r, const void *body, uint64_t length,
		uint64_t *sequence);
int keep_delete(struct keep *k, const struct request *r);
int keep_get(struct keep *k, const struct request *r, struct found *found);

/* --- connection.c --- */

struct piece {
	const uint8_t *bytes; /* NULL: of `text`, from `at` on */
	uint32_t at, length;
};

struct client {
	int fd;
	bool closing;   /* after the replies that are queued */
	bool dead;      /* close it now */
	bool listed;    /* on server.replying */
	bool wants_out; /* EPOLLOUT is asked for */
	bool continued; /* 100 was sent for the request that is arriving */
	uint8_t *in;    /* a request that came in pieces */
	uint32_t in_length, in_room;
	struct http_scan scan; /* of it */
	uint8_t *text;         /* heads of replies and short bodies */
	uint32_t text_length, text_room;
	struct piece *pieces;
	uint32_t piece_first, piece_count, piece_room;
	struct client *next; /* of server.replying */
};

struct server {
	int epoll, listener, signals;
	bool spin, stopping;
	enum flush_when when;
	struct keep keep;
	struct reply_date date;
	struct client *replying; /* with replies of this round */
	struct request request;
	uint8_t *scratch; /* what one read() brings */
	int error;        /* the log could not be flushed: nothing is answered any more */
};

#define SCRATCH_BYTES (256 * 1024)
#define BODY_MAX (16ull << 20)

struct client *client_new(int fd);
void client_free(struct client *c);
/* Read what is there, work on whole requests, queue replies. */
void client_read(struct server *s, struct client *c);
/* Write replies out. True: nothing is left. */
bool client_write(struct client *c);

#endif
