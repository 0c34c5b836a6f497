/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_io.h - a disk for the `file` medium that a test controls: it completes requests in random order, knows
 * what is durable, and fails, stalls or cuts requests short when told.
 *
 * A write reaches the disk's cache when it completes, with the memory's content at that moment. It is durable
 * when it was a durable write, or when a sync completes that was queued after it completed: nothing else
 * makes it so. That two writes of one block are never under way at once is checked here, always.
 */
#ifndef TESTS_MEDIA_FAKE_IO_H
#define TESTS_MEDIA_FAKE_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "media/file.h"

struct fake_request {
	enum { FAKE_FREE, FAKE_QUEUED, FAKE_SENT } state;
	enum { FAKE_READ, FAKE_WRITE, FAKE_SYNC } kind;
	void *memory;
	uint32_t bytes;
	uint64_t offset;
	bool durable;
	uint64_t tag;
	uint64_t started; /* writes: nothing; syncs: the clock when it was queued */
};

struct fake_io {
	struct file_io io;
	uint64_t length;
	uint8_t *cache;        /* what the disk would read */
	uint8_t *medium;       /* what a power cut leaves */
	uint64_t *first_write; /* a block: the clock when a write of it completed that no sync has covered; 0:
				  none */
	uint64_t *last_write;  /* ... and the latest one */
	uint64_t clock;
	uint64_t seed;
	struct fake_request requests[FILE_DEPTH];

	bool stalled;     /* nothing completes */
	bool in_order;    /* no reordering, everything completes at once */
	unsigned trouble; /* one in so many requests is cut short or told to try again; 0: none */
	int fail_write;   /* the next write ends with this errno */
	int fail_sync;
	int fail_submit;
	int *closed_with; /* if set: the number of requests under way when it was closed */

	uint64_t writes, syncs; /* completed */
	uint64_t overlaps;      /* writes that were sent while another held one of their blocks */
	unsigned most_under_way;
};

/* A disk that holds `content` (NULL: zeroes). It lives until fake_free(); closing it only notes that. */
struct fake_io *fake_new(uint64_t length, const void *content, uint64_t seed);
void fake_free(struct fake_io *fake);

/* A medium on it; its memory holds the disk's content. */
struct media *fake_medium(struct fake_io *fake);

unsigned fake_under_way(const struct fake_io *fake);
uint64_t fake_random(struct fake_io *fake, uint64_t below);

#endif
