/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/alarms.h"

#include <string.h>

void alarms_init(struct alarms *a)
{
	a->turned = 0;
	memset(a->used, 0, sizeof(a->used));
	for (int i = 0; i < ALARM_SLOTS; i++)
		link_init(&a->slots[i]);
}

/* The first slot that ends at or behind a time. */
static int64_t slot_behind(int64_t at)
{
	return (at + ALARM_SLOT_US - 1) / ALARM_SLOT_US;
}

void alarm_set(struct alarms *a, struct alarm *alarm, int64_t at)
{
	int64_t slot = slot_behind(at);

	if (slot < a->turned)
		slot = a->turned;
	link_remove(&alarm->link);
	alarm->at = at;
	link_append(&a->slots[slot % ALARM_SLOTS], &alarm->link);
	a->used[slot % ALARM_SLOTS / 64] |= 1ull << slot % 64;
}

static struct alarm *due_in(struct alarms *a, int64_t slot, int64_t now)
{
	struct link *head = &a->slots[slot % ALARM_SLOTS];

	for (struct link *l = head->next; l != head; l = l->next) {
		struct alarm *alarm = link_owner(l, struct alarm, link);

		if (alarm->at > now)
			continue;
		alarm_clear(alarm);
		return alarm;
	}
	if (link_empty(head))
		a->used[slot % ALARM_SLOTS / 64] &= ~(1ull << slot % 64);
	return NULL;
}

struct alarm *alarms_due(struct alarms *a, int64_t now)
{
	int64_t last = now / ALARM_SLOT_US;

	if (last - a->turned >= ALARM_SLOTS) /* a revolution has them all */
		a->turned = last - ALARM_SLOTS + 1;
	while (a->turned <= last) {
		bool used = a->used[a->turned % ALARM_SLOTS / 64] & 1ull << a->turned % 64;
		struct alarm *alarm = used ? due_in(a, a->turned, now) : NULL;

		if (alarm)
			return alarm;
		a->turned++;
	}
	return NULL;
}

int64_t alarms_next(const struct alarms *a)
{
	/* A word at a time, since each turn of the service asks: the first one from the turned slot on, and at last what
	 * of it is before that slot, a revolution later. */
	uint64_t mask = UINT64_MAX << a->turned % 64;
	int64_t slot = a->turned / 64 * 64;

	for (int word = 0; word <= ALARM_SLOTS / 64; word++, slot += 64, mask = UINT64_MAX) {
		uint64_t used = a->used[slot % ALARM_SLOTS / 64] & mask;

		if (word == ALARM_SLOTS / 64)
			used &= ~(UINT64_MAX << a->turned % 64);
		if (used)
			return (slot + __builtin_ctzll(used)) * ALARM_SLOT_US;
	}
	return INT64_MAX;
}
