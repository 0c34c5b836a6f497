/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fixture.h - a store on a simulated medium, for tests: made, filled, closed or cut off, opened again,
 * proved.
 *
 * The medium's content outlives each opening in `image`, so that a test can damage it in between. Values are
 * made from a seed and a length, so that a test need not keep them. A step that must not fail asserts.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "media/sim.h"
#include "store/store_internal.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

struct fixture {
	enum sim_kind kind;
	uint64_t size;
	uint64_t seed;  /* of the medium: when commits are done */
	uint8_t *image; /* what the medium holds while nobody has it open */
	const uint8_t *floor; /* what of the image it is certain to hold; NULL: all */
	struct media *m;
	struct paste_store *s;
	struct paste_region *r;
	struct paste_open_options options; /* `released` counts */
	int64_t damage_expected; /* unrepaired items that fixture_end() must find */
};

/* Slices of received bytes, with a user count each. */
struct landing {
	struct paste_ref *slices;
	uint32_t n;
};

/* A new region, opened. buffer_size and logs: 0 for the default. */
void fixture_begin(struct fixture *f, enum sim_kind kind, uint64_t size, uint32_t buffer_size, uint32_t logs);
void fixture_open(struct fixture *f);
int fixture_try_open(struct fixture *f, bool read_only);
void fixture_close(struct fixture *f);
void fixture_crash(struct fixture *f); /* what was not durable is lost */

/* Nobody holds a buffer, the store finds nothing wrong, also after a clean close and after being opened
 * again. */
void fixture_prove(struct fixture *f);
void fixture_end(struct fixture *f);

/* All that was done is durable, and what was freed is free. */
void settle(struct fixture *f);
/* A poll round of a server: upkeep, commit, poll. */
void turn(struct fixture *f);

void fill_bytes(uint64_t seed, uint8_t *bytes, size_t n);

/* `n` bytes arrive in pieces of at most `piece` bytes, each in its own buffer at a changing offset; piece 0:
 * in whole buffers. False: no buffer was to be had. */
bool land(struct fixture *f, const uint8_t *bytes, size_t n, uint32_t piece, struct landing *l);
void land_put(struct fixture *f, struct landing *l);

/* The value `seed` of `length` bytes in pieces. What the store said; -ENOBUFS if the bytes could not even
 * arrive. */
int put_value(struct fixture *f, const void *key, size_t key_length, uint64_t seed, size_t length,
	      uint32_t piece, struct paste_result *result);
int append_value(struct fixture *f, const char *name, uint64_t seed, size_t length, uint32_t piece,
		 struct paste_result *result);

/* For keys that are C strings. */
void put_text(struct fixture *f, const char *key, uint64_t seed, size_t length);
void delete_text(struct fixture *f, const char *key);
void expect_text(struct fixture *f, const char *key, uint64_t seed, size_t length);
int get_status(struct fixture *f, const char *key);

void expect_key(struct fixture *f, const void *key, size_t key_length, uint64_t seed, size_t length);
void expect_entry(struct fixture *f, const char *name, uint64_t sequence, uint64_t seed, size_t length);
int64_t check_quietly(struct fixture *f);

#endif
