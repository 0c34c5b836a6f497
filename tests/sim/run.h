/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.h - one seed's run: what is simulated, what was seen on the way, and how a broken promise is told.
 *
 * Everything in a run is drawn from its seed, so the printed command does it all again.
 */
#ifndef TESTS_RUN_H
#define TESTS_RUN_H

#include "media/sim.h"

/* Where crashes come. */
enum run_focus {
	FOCUS_ANYWHERE,    /* drawn from the seed, over long lives */
	FOCUS_EVERY_POINT, /* at each event of short lives */
	FOCUS_SUPERBLOCK,  /* at each event while a superblock is being written, and then again */
};

extern const char *const run_focus_options[]; /* that bring them about: "", "--every-point", ... */

struct run_options {
	const char *program; /* for the replay command */
	enum sim_kind kind;
	uint32_t logs;
	enum run_focus focus;
	const char *more; /* of the replay command; or NULL */
	volatile uint64_t *progress; /* one more with each image, so that others notice a hang; or NULL */
};

/* What the runs came by, so that a test can prove that it did reach the places that it is meant to test. */
struct run_coverage {
	uint64_t seeds, lives, images, crash_points, recoveries_crashed, generations[4];
	uint64_t changes, told, told_absent, refused_full, refilled, indirect, held_values, failed_media;
	uint64_t conditions, together, repeated, expired, lists, snapshots;
	uint64_t checkpoints, cleaned, recovered_records, torn, closed_clean, dribbled, torn_superblocks;
};

struct run {
	struct run_options options;
	uint64_t seed;
	uint64_t size;
	uint32_t buffer_size;
	struct sim_random random;
	struct run_coverage *coverage;
	struct run_frame *frame; /* innermost */
	uint8_t *pool[16];       /* blocks of `size` bytes to be used again */
	uint32_t pooled;
};

/* Where the run is: a life, a crash point in it, an image of that, the life that began with it, ... */
struct run_frame {
	struct run_frame *outer;
	char text[200];
};

void run_enter(struct run *run, struct run_frame *frame, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void run_leave(struct run *run, struct run_frame *frame);

/* A promise is broken: say which and how to see it again, and end the process with status 1. */
_Noreturn void run_broken(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An assertion or a fault in the code under test is told the same way, while `run` is under way. NULL: no
 * longer. */
void run_watch(struct run *run);

/* Memory as large as the medium. */
uint8_t *run_block(struct run *run);
void run_block_put(struct run *run, uint8_t *block);
void run_end(struct run *run);

#endif
