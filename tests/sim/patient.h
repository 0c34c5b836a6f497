/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * patient.h - a region that has seen some lives, for the damage test: checkpoint, log, cleaned segments,
 * values of all sizes, and remains of torn tails. Nothing in it is in doubt: the last life was sealed, or
 * closed, or followed by an opening that got as far as saying what counts.
 */
#ifndef TESTS_PATIENT_H
#define TESTS_PATIENT_H

#include "damage.h"
#include "life.h"

#define LIVES_MAX 3

struct patient {
	struct run *run;
	struct sim_random random;
	uint8_t *image; /* what is certain to be on the medium at the end */
	struct history *h[LIVES_MAX];
	uint32_t lives;

	bool dies_opening;       /* the image is from the middle of one more opening */
	uint32_t epoch, moments; /* before that; to be seen of it */

	uint8_t *map; /* usage.h */
	struct damage_counts *counts;
};

/* run, random and image (zeroed) are set. Ends the process if a promise is broken on the way. */
void patient_fill(struct patient *p);
void patient_free(struct patient *p); /* the histories */

/* What is right: each object's last state. */
static inline const struct history *patient_right(const struct patient *p)
{
	return p->h[p->lives - 1];
}

#endif
