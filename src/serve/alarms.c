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
	for (int64_t slot = a->turned; slot < a->turned + ALARM_SLOTS; slot++)
		if (a->used[slot % ALARM_SLOTS / 64] & 1ull << slot % 64)
			return slot * ALARM_SLOT_US;
	return INT64_MAX;
}
