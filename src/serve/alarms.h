/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alarms.h - times at which something is to be looked at: a wheel of slots of some 8 ms.
 *
 * An alarm stands inside what it is for. Its time is rounded up to the end of a slot, never down. One that is
 * further ahead than the wheel goes round (some 4 s) stays in its slot until its turn; so each costs a look a
 * revolution, and setting, clearing and finding the next one cost the same however many there are.
 */
#ifndef SERVE_ALARMS_H
#define SERVE_ALARMS_H

#include <stdint.h>

#include "base/link.h"

#define ALARM_SLOT_US 8192
#define ALARM_SLOTS 512

struct alarm {
	struct link link;
	int64_t at; /* monotonic us */
};

struct alarms {
	int64_t turned; /* in slots: all before were looked at */
	struct link slots[ALARM_SLOTS];
	uint64_t used[ALARM_SLOTS / 64]; /* a bit a slot: it may have some */
};

void alarms_init(struct alarms *a);

static inline void alarm_init(struct alarm *alarm)
{
	link_init(&alarm->link);
}

/* Set it, again if it was set. */
void alarm_set(struct alarms *a, struct alarm *alarm, int64_t at);

static inline void alarm_clear(struct alarm *alarm)
{
	link_remove(&alarm->link);
}

/* One whose time has come, which is cleared, or NULL: there is none any more. */
struct alarm *alarms_due(struct alarms *a, int64_t now);

/* When alarms_due() is to be asked next; INT64_MAX: none is set. */
int64_t alarms_next(const struct alarms *a);

#endif
