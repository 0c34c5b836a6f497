/* SPDX-License-Identifier: BSD-2-Clause */
#include "region/landing.h"

#include <errno.h>
#include <string.h>

#include "base/site.h"

static void to_format(const struct paste_landing *from, struct format_landing *to)
{
	memset(to, 0, sizeof(*to));
	to->boot = from->boot;
	to->space = from->space;
	to->interface = from->interface;
	to->first_queue = from->first_queue;
	to->queues = from->queues;
	memcpy(to->name, from->name, strnlen(from->name, sizeof(to->name) - 1));
}

static void from_format(const struct format_landing *from, struct paste_landing *to)
{
	*to = (struct paste_landing){.boot = from->boot,
				     .space = from->space,
				     .interface = from->interface,
				     .first_queue = from->first_queue,
				     .queues = from->queues};
	memcpy(to->name, from->name, strnlen(from->name, sizeof(to->name) - 1));
}

static struct format_landing *find(struct superblock *sb, const struct format_landing *wanted)
{
	for (int i = 0; i < LANDINGS_MAX; i++)
		if (memcmp(&sb->landing[i], wanted, sizeof(*wanted)) == 0)
			return &sb->landing[i];
	return NULL;
}

int region_landing_add(struct paste_region *r, const struct paste_landing *landing)
{
	static const struct format_landing none;
	struct format_landing f;

	to_format(landing, &f);
	if (!find(&r->sb, &f)) {
		struct format_landing *place = find(&r->sb, &none);
		if (!place)
			return -ENOSPC;
		*place = f;
		r->sb.features_ro_compat |= FEATURE_RO_COMPAT_LANDINGS;
	}
	/* Both copies, before the device gets a buffer: either may be the one that a successor finds. */
	return SITE(landing_note) ? superblock_rewrite(&r->sb, r->m, r->health.older) : 0;
}

void region_landing_remove(struct paste_region *r, const struct paste_landing *landing)
{
	struct format_landing f;

	to_format(landing, &f);
	struct format_landing *place = find(&r->sb, &f);
	if (place)
		memset(place, 0, sizeof(*place));
}

int region_landings_wait(struct paste_region *r, paste_landing_released *released, void *arg,
			 struct paste_error *err)
{
	for (int i = 0; i < LANDINGS_MAX; i++) {
		struct format_landing *f = &r->sb.landing[i];
		struct paste_landing landing;

		if (f->queues == 0)
			continue;
		from_format(f, &landing);
		if (SITE(landing_released)) {
			if (!released)
				return paste_fail(
				    err, -EBUSY,
				    "packets from %s were landing in the region when its last owner died, "
				    "and this program does not know how to ask whether they still do",
				    landing.name);
			int ret = released(arg, &landing, err);
			if (ret < 0)
				return ret;
		}
		memset(f, 0, sizeof(*f)); /* durable with the superblock of this opening */
	}
	r->sb.features_ro_compat &= ~FEATURE_RO_COMPAT_LANDINGS;
	return 0;
}
