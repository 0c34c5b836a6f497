/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim.h - a simulated medium, for tests: it forgets what was not made durable, in every way it may.
 *
 * It keeps apart what the CPU sees (the mapping, which the code under test reads and writes directly) and
 *what the medium is certain to hold (the floor). Stores are not traced: what is uncertain is found by
 *comparing the two.
 *
 *	kind	unit	certain to be there after a crash
 *	adr	64	lines written back and fenced since they were last changed
 *	eadr	64	every store (power loss on a platform that flushes its caches)
 *	shm	64	every store (the process died, the machine did not)
 *	file	4096	blocks of groups that were seen complete
 *
 * `adr`: of everything else, any subset of the aligned 8-byte words may have reached the medium, whether
 *written back or not (a cache may evict a line at any time). That is more than hardware does, which keeps the
 *order of stores within a line; code that relies on that order would fail here. A line that was written back
 *and changed again before the fence may hold the old, the written-back, or the new word.
 *
 * `file`: blocks of groups under way may be old, new, or torn: mixed at 512 or 8 bytes, or with a sector that
 * holds neither. What memory held at the write-back or at any time up to the completion counts as new. Blocks
 *that nobody wrote back never change. Groups are seen complete in order, after a number of polls that the
 *seed decides.
 *
 * Device writes (packets arriving) land in the mapping and are as uncertain as stores. Held ones are under
 *way: not in the mapping yet, but they may reach the image after the crash, whole or in part.
 *
 * At any moment sim_crash_begin() tells what is uncertain, and sim_crash_image() builds one of the possible
 *images from it. The hook is called where a crash is of interest: around each call of the medium and at each
 * sim_event(). Taking images disturbs nothing; the code under test just goes on.
 */
#ifndef MEDIA_SIM_H
#define MEDIA_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "media/media.h"
#include "media/sim_random.h"

enum sim_kind {
	SIM_ADR,
	SIM_EADR,
	SIM_SHM,
	SIM_FILE,
	SIM_KINDS,
};

const char *sim_kind_name(enum sim_kind kind);
int sim_kind_parse(const char *name, enum sim_kind *kind); /* -EINVAL */

struct sim_options {
	enum sim_kind kind;
	uint64_t size; /* bytes, a multiple of 4096 */
	uint64_t seed;
	const void *image; /* `size` bytes that are there at the start; NULL: zeroes */
	const void *floor; /* `adr`: what of it the medium is certain to hold, if a process died and its
			      stores stand in the caches still; NULL: all */
	uint8_t
	    *memory;    /* the mapping, page-aligned; stays the caller's, with its content. NULL: made here */
	uint8_t *left;  /* at close, what the medium is certain to hold is left here; NULL: nowhere */
	bool evict;     /* `adr`: now and then a few changed words reach the floor by themselves */
	bool forgetful; /* no crash will be asked for: keep no floor (faster) */
	bool read_only;
};

/* NULL: no memory. media_close() frees it. */
struct media *sim_open(const struct sim_options *options);

enum sim_event {
	SIM_BEFORE_WRITE_BACK,
	SIM_AFTER_WRITE_BACK,
	SIM_BEFORE_COMMIT,
	SIM_AFTER_COMMIT,
	SIM_POLL,
	SIM_WAIT,
	SIM_VISIBLE, /* something left for the outside: a reply was sent */
};

const char *sim_event_name(enum sim_event event);

typedef void sim_hook(void *arg, struct media *m, enum sim_event event);

/* NULL: none. The hook must not call the medium's operations; it may take images of it. */
void sim_set_hook(struct media *m, sim_hook *hook, void *arg);

/* To be called by whoever talks to the outside, at the moment he did. */
void sim_event(struct media *m);

/* The medium fails for good with `error` (negative) when `commits` more commits were begun; 0: now. */
void sim_fail(struct media *m, unsigned int commits, int error);

/* A packet lands in the mapping. */
void sim_device_write(struct media *m, uint64_t offset, const void *bytes, uint64_t n);

/* A packet is under way to [offset, offset + n): a device write that may land after the crash. */
void sim_device_hold(struct media *m, uint64_t offset, const void *bytes, uint64_t n);

/* The packets held for places in [offset, offset + n) land (`land`), or will never come. */
void sim_device_release(struct media *m, uint64_t offset, uint64_t n, bool land);

/*
 * What is uncertain at this moment, in units: lines of 64 bytes (`adr`) or blocks (`file`). Those that were
 * written back come first, in that order, then the others by address. Valid until the next call on the medium
 * or store to the mapping.
 */
struct sim_crash;

struct sim_crash *sim_crash_begin(struct media *m);
void sim_crash_end(struct sim_crash *c);

uint32_t sim_crash_units(const struct sim_crash *c);
uint32_t sim_crash_written_back(const struct sim_crash *c); /* of them, leading */
/* Some unit lies in [offset, offset + n). */
bool sim_crash_touches(const struct sim_crash *c, uint64_t offset, uint64_t n);

enum sim_image_kind {
	SIM_IMAGE_FLOOR,    /* nothing uncertain arrived */
	SIM_IMAGE_ALL,      /* everything did */
	SIM_IMAGE_ONE_KEPT, /* only unit `unit` did */
	SIM_IMAGE_ONE_LOST, /* all but unit `unit` did */
	SIM_IMAGE_PREFIX,   /* those before unit `unit` did */
	SIM_IMAGE_SUFFIX,   /* those from unit `unit` on did */
	SIM_IMAGE_RANDOM,   /* drawn from `seed`, down to words; blocks may be torn */
};

struct sim_image {
	enum sim_image_kind kind;
	uint32_t unit;
	uint64_t seed;
	bool late; /* held device writes arrive, in part if `seed` says so */
};

/* Write the image (as long as the medium) to `out`. */
void sim_crash_image(struct sim_crash *c, const struct sim_image *image, uint8_t *out);

/*
 * Choose at most `room` images (room >= 2) worth looking at: floor and all, each unit alone, each alone lost,
 * prefixes and random ones; drawn from `r` where there would be more. Returns their number: one where nothing
 * is uncertain.
 */
uint32_t sim_crash_plan(const struct sim_crash *c, struct sim_random *r, struct sim_image *images,
			uint32_t room);

/* "one lost: unit 3 at 0x10040", for a person. */
const char *sim_image_text(const struct sim_crash *c, const struct sim_image *image, char *text,
			   uint32_t room);

#endif
