/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "store/store_internal.h"

const char *paste_copy_cause_name(enum paste_copy_cause cause)
{
	static const char *const name[PASTE_COPY_CAUSES] = {
		[PASTE_COPY_TINY] = "tiny",   [PASTE_COPY_SMALL] = "small", [PASTE_COPY_COALESCE] = "coalesce",
		[PASTE_COPY_CLEAN] = "clean", [PASTE_COPY_READ] = "read",
	};

	return cause < PASTE_COPY_CAUSES ? name[cause] : "?";
}

static void uuid_text(char *to, size_t size, const uint8_t *u)
{
	snprintf(to, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
		 u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static void region_stats(const struct paste_store *s, struct paste_store_stats *st)
{
	const struct paste_region *r = s->r;
	const struct superblock *sb = &r->sb;

	memcpy(st->name, sb->name, sizeof(st->name));
	uuid_text(st->uuid, sizeof(st->uuid), sb->uuid);
	st->medium = media_kind_name(r->m->kind);
	st->survives = r->m->survives;
	st->instruction = r->m->instruction;
	st->backing = r->m->backing;
	st->format = sb->format;
	st->features_compat = sb->features_compat;
	st->features_ro_compat = sb->features_ro_compat;
	st->features_incompat = sb->features_incompat;
	st->epoch = sb->epoch;
	st->clean = s->was_clean;
	st->no_persist = s->no_persist;
	st->was_no_persist = s->was_no_persist;
	st->size = sb->size;
	st->segment_size = r->segment_size;
	st->segments = r->segments;
	st->segments_free = r->free_segments;
	st->buffer_size = r->buffer_size;
	st->buffers = r->buffers;
	st->buffers_free = (uint64_t)r->free_segments * r->per_segment + r->free_buffers + r->cache_count;
	st->buffers_live = r->live_buffers;
	st->used_bytes = (st->buffers - st->buffers_free) * r->buffer_size;
	st->media_bytes_written = r->m->stats.bytes_written;
	st->media_units = r->m->stats.units;
	st->media_commits = r->m->stats.commits;
	st->medium_error = s->error;
}

void paste_store_stats(struct paste_store *s, struct paste_store_stats *st)
{
	const struct counters *c = &s->c;

	memset(st, 0, sizeof(*st));
	region_stats(s, st);
	st->logs = s->logs;
	st->keys = s->live_keys;
	st->streams = tree_count(&s->streams);
	st->entries = s->entries;
	st->live_bytes = s->live_bytes;
	st->capacity_bytes = space_capacity(s);
	st->puts = c->puts;
	st->deletes = c->deletes;
	st->appends = c->appends;
	st->reads = c->reads;
	st->misses = c->misses;
	st->rejected_full = c->rejected_full;
	st->damaged_reads = c->damaged_reads;
	st->acknowledged_bytes = c->acknowledged_bytes;
	st->rounds = c->rounds;
	for (uint32_t l = 0; l < s->logs; l++) {
		st->records += s->log[l].records;
		if (s->log[l].next - 1 > st->version)
			st->version = s->log[l].next - 1;
	}
	st->log_bytes = space_log_bytes(s);
	st->checkpoints = c->checkpoints;
	st->checkpoint_bytes = c->checkpoint_bytes;
	st->checkpoint_entries = c->checkpoint_entries;
	st->cleaned_segments = s->r->cleaned;
	st->cleaned_bytes = c->cleaned_bytes;
	memcpy(st->copies, c->copies, sizeof(st->copies));
	memcpy(st->copy_bytes, c->copy_bytes, sizeof(st->copy_bytes));
	st->time = s->now;
	st->expiring = s->expiring;
	st->expired = c->expired;
	st->retry_keys = s->retries.count;
	st->retry_bytes = s->retries.bytes;
	st->repeated = c->repeated;
	st->snapshots = s->snapshot.begun;
	st->snapshot_kept_bytes = s->snapshot.kept_bytes;
	st->snapshots_given_up = s->snapshot.gave_up;
	st->scrub_passes = s->scrub.passes;
	st->scrub_entries = s->scrub.entries;
	st->scrub_bytes = s->scrub.bytes;
	st->scrub_damage = s->scrub.damage;
	st->scrub_total = s->live_keys + s->entries;
	st->damage = s->damage_count;
	st->recovery_us = c->recovery_us;
	st->recovered_records = c->recovered_records;
	st->recovered_entries = c->recovered_entries;
	st->torn_records = c->torn;
}
