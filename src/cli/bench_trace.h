/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_trace.h - the file in which a load writes down what it asked for and what it was told.
 *
 * Records are collected in memory and written by trace_flush(), once a poll round: after the round's answers
 * were taken, before its requests are sent. So at any instant the file (a) names every request that may have
 * reached the service, and (b) holds every acknowledgement that anything later was based on. The process may
 * be killed at any instruction; a record that was cut is dropped by the next opening.
 *
 * One process uses a file at a time (flock). Layout: bench_trace.c.
 */
#ifndef CLI_BENCH_TRACE_H
#define CLI_BENCH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "paste/error.h"

enum trace_type {
	/* A load begins; value: its connections. What was in flight before stays undecided. */
	TRACE_RUN = 'R',
	/* A write is about to be sent; value: length of its body. */
	TRACE_ISSUED = 'I',
	/* The write in flight on `connection` was acknowledged; append: value is the sequence number. */
	TRACE_ACKED = 'A',
	/* It was answered by a refusal, which means that nothing changed. */
	TRACE_REFUSED = 'N',
	/* An undecided write turned out so. Key: request is the one whose value it has, 0: absent. Stream:
	 * value is the number of the entry that holds request, 0: none does. */
	TRACE_SEEN = 'S',
};

struct trace_record {
	uint8_t type; /* enum trace_type */
	uint8_t kind; /* enum bench_kind: put, append, delete */
	uint16_t zero;
	uint32_t target;  /* number of the key, or of the stream for an append */
	uint64_t request; /* counted from 1 over all runs of the file */
	uint64_t value;
	uint32_t connection;
	uint32_t check; /* CRC32C of the 28 bytes before */
};

_Static_assert(sizeof(struct trace_record) == 32, "a record is 32 bytes");

struct trace {
	int fd;
	bool read_only;
	char path[256];    /* for messages */
	uint64_t id, seed; /* of names and bodies */
	struct trace_record *pending;
	size_t count, room;
};

enum trace_mode {
	TRACE_LOAD,  /* continue, or make with `seed` */
	TRACE_CHECK, /* must exist; read-only where the file is */
};

/* Open, and hand every whole record to `replay`, which returns 0 or a negative errno that ends the opening.
 * -EBUSY: another process writes it. -EBADMSG: not a trace, or damaged. */
int trace_open(struct trace *t, const char *path, enum trace_mode mode, uint64_t seed, bool sync,
	       int (*replay)(void *arg, const struct trace_record *), void *arg, struct paste_error *err);
void trace_close(struct trace *t);

/* Add a record (type, kind, target, request, value, connection are set). 0 or -ENOMEM. A trace that is
 * read_only takes nothing. */
int trace_add(struct trace *t, struct trace_record record);

/* Write what was added. 0 or a negative errno. */
int trace_flush(struct trace *t);

#endif
