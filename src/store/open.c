/* SPDX-License-Identifier: BSD-2-Clause */
/* Creating, opening and closing a store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/site.h"
#include "region/landing.h"
#include "store/holder.h"
#include "store/recover.h"

#define INDEX_AHEAD (64u << 20) /* bytes: a region as large as this gets an index of some size */
#define TINY_MAX OP_INLINE_MAX
#define SMALL_MAX_LINES 512          /* bytes copied into the record where units are lines, see docs/durability.md */
#define SMALL_MAX_BLOCKS (16 * 1024) /* and where they are blocks: one sequential write instead of several */

int store_create_on(struct media *m, const char *name, uint64_t size, uint32_t buffer_size, uint32_t logs,
		    struct paste_error *err)
{
	if (logs == 0)
		logs = 1;
	if (logs > LOGS_MAX)
		return paste_fail(err, -EINVAL, "a region has at most %d logs", LOGS_MAX);
	int ret = region_format(m, name, size, buffer_size, logs, err);
	if (ret < 0)
		return ret;
	struct paste_region *r;
	ret = region_open(m, &r, err);
	if (ret < 0)
		return ret;
	/* Each log needs segments of its own beside those for the checkpoint and the cleaner. */
	if (r->segments < 32 + 4 * logs)
		ret = paste_fail(err, -EINVAL, "a region of this size has %u segments, too few for %u logs", r->segments,
				 logs);
	r->m = NULL; /* the medium stays the caller's */
	region_close(r);
	return ret;
}

static const char *path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int paste_store_create(const struct paste_create_options *o, struct paste_error *err)
{
	struct media_options mo = {.path = o->path, .size = o->size, .force = o->force};
	struct media *m;

	if (o->medium && media_kind_parse(o->medium, &mo.kind) < 0)
		return paste_fail(err, -EINVAL, "no such medium: %s (pmem, shm or file)", o->medium);
	if (o->size < REGION_SIZE_MIN)
		return paste_fail(err, -EINVAL, "%llu bytes cannot hold a region: the smallest is 1 MiB",
				  (unsigned long long)o->size);
	char name[64] = {0};
	strncpy(name, o->name ? o->name : path_name(o->path), sizeof(name) - (o->name ? 0 : 1));
	if (name[sizeof(name) - 1])
		return paste_fail(err, -ENAMETOOLONG, "a region's name has at most %zu bytes", sizeof(name) - 1);
	int ret = media_create(&mo, &m, err);
	if (ret < 0)
		return ret;
	ret = store_create_on(m, name, o->size, o->buffer_size, o->logs, err);
	if (ret == 0)
		ret = media_publish(m, err);
	media_close(m);
	return ret;
}

static void entry_free_of(void *arg, struct entry *e)
{
	entry_free(arg, e);
}

static void entry_item_free(void *arg, void *item)
{
	entry_free(arg, item);
}

static void stream_item_free(void *arg, void *item)
{
	stream_free(arg, item, entry_free_of, arg);
}

void store_abandon(struct paste_store *s)
{
	if (!s)
		return;
	snapshot_free(s);
	tree_destroy(&s->keys, entry_item_free, &s->slab);
	tree_destroy(&s->streams, stream_item_free, &s->slab);
	retries_free(&s->retries, &s->slab);
	slab_destroy(&s->slab);
	for (uint32_t l = 0; l < s->logs; l++) {
		log_free(&s->log[l]);
		fifo_free(&s->limbo[l]);
	}
	fifo_free(&s->absent);
	for (size_t i = 0; i < s->lost_count; i++)
		free(s->lost[i].low);
	free(s->lost);
	free(s->damage);
	free(s->checkpoint.segments.segment);
	free(s->checkpoint_segments.segment);
	free(s->pack_full.segment);
	free(s->round_log);
	free(s->extents);
	free(s->refs);
	free(s->cleaner.extents);
	free(s->tiny);
	region_close(s->r);
	free(s);
}

static int extent_persist(void *arg, const struct extent *e, bool list)
{
	struct paste_region *r = arg;

	media_write_back(r->m, region_ref_offset(r, e->ref), e->ref.length);
	return 0;
}

static int value_persist(void *arg, const struct op_view *v)
{
	op_each_extent(arg, v->refs, v->op.refs, v->op.flags & OP_INDIRECT, extent_persist, arg);
	return 0;
}

/* What recovery found above the last known stable point may have been read from a cache: make it durable before
 * anything says that it is. (After a process died, lines that it never wrote back are still seen by the next.) */
static int tail_persist(struct paste_store *s, const struct scan *scan)
{
	struct paste_region *r = s->r;

	if (r->unit > 64)
		return 0; /* read from a device that was synced before: the medium saw to that */
	for (size_t i = 0; i < scan->n; i++) {
		const struct record *rec = scan->records[i].record;
		if (rec->sequence <= scan->stable)
			continue;
		media_write_back(r->m, scan->records[i].offset, rec->length);
		struct record_walk w;
		struct op_view v;
		int more;
		record_walk_start(&w, rec);
		while ((more = record_walk_next(&w, &v)) > 0)
			op_each(r, &v, value_persist, r); /* a batch's ops stand in the record */
		if (more < 0)
			return more;
	}
	for (uint32_t i = 0; i < scan->segment_count; i++)
		media_write_back(r->m, region_segment_offset(r, scan->segments[i].segment), sizeof(struct header));
	return 0;
}

static int media_commit_wait(struct media *m)
{
	media_ticket ticket = media_commit(m);
	media_ticket done = ticket < 0 ? ticket : media_wait(m, ticket);

	return done < 0 ? (int)done : 0;
}

/* Write back all but the superblock: somebody has changed it who did not. */
static void area_persist(struct paste_region *r)
{
	media_write_back(r->m, AREA_START, r->sb.size - AREA_START);
}

/* Take over for writing: the superblock says how far each log counts, and only then does anything follow it. */
static int begin_epoch(struct paste_store *s, const struct scan *scans, uint64_t *highest)
{
	struct superblock *sb = &s->r->sb;
	int ret = 0;

	*highest = 0;
	for (uint32_t l = 0; ret == 0 && l < s->logs; l++) {
		if (SITE(open_tail_persist))
			ret = tail_persist(s, &scans[l]);
		if (scans[l].last > *highest)
			*highest = scans[l].last;
	}
	/* What a process left that wrote nothing back may stand in caches only. (Where units are blocks it was read from
	 * the device.) The mark that says so goes with the new superblock, after it. */
	if (s->was_no_persist && s->r->m->unit == 64 && SITE(open_unpersisted))
		area_persist(s->r);
	superblock_persist(s->r->m, &s->r->health);
	if (ret == 0)
		ret = media_commit_wait(s->r->m);
	if (ret < 0)
		return ret;
	if (sb->epoch == UINT32_MAX)
		return -EOVERFLOW;
	if (SITE(epoch_raise))
		sb->epoch++;
	sb->state = REGION_OPEN;
	sb->features_incompat |= FEATURE_INCOMPAT_CHANGES; /* from here on the logs may have what needs it */
	sb->features_incompat &= ~FEATURE_INCOMPAT_UNPERSISTED;
	if (s->no_persist && SITE(unpersisted_mark))
		sb->features_incompat |= FEATURE_INCOMPAT_UNPERSISTED;
	sb->owner_pid = (uint64_t)getpid();
	gethostname(sb->owner_host, sizeof(sb->owner_host) - 1);
	for (uint32_t l = 0; l < s->logs; l++) {
		if (SITE(epoch_log_end))
			sb->log[l].end = scans[l].last;
	}
	return superblock_rewrite(sb, s->r->m, s->r->health.older);
}

int logs_begin(struct paste_store *s, uint64_t first)
{
	for (uint32_t l = 0; l < s->logs; l++) {
		struct log *log = &s->log[l];
		int ret = log_write_open(log, first, log->next - 1);
		if (ret < 0)
			return ret;
		log_commit(log);
	}
	int ret = media_commit_wait(s->r->m);
	for (uint32_t l = 0; ret == 0 && l < s->logs; l++) {
		log_closed(&s->log[l]);
		log_durable(&s->log[l], first, first - 1);
		s->log[l].changed = 0;
	}
	return ret;
}

static int begin_logs(struct paste_store *s, const struct scan *scans, uint64_t highest)
{
	for (uint32_t l = 0; l < s->logs; l++) {
		s->log[l].epoch = s->r->sb.epoch;
		int ret = log_resume(&s->log[l], &scans[l]);
		if (ret < 0)
			return ret;
	}
	return logs_begin(s, highest + SEQUENCE_JUMP);
}

static int store_init(struct paste_store *s, struct paste_region *r)
{
	s->r = r;
	s->read_only = r->m->read_only;
	s->was_clean = r->sb.state == REGION_CLEAN;
	s->was_no_persist = r->sb.features_incompat & FEATURE_INCOMPAT_UNPERSISTED;
	s->logs = r->sb.logs;
	s->round = 1;
	s->pack.segment = SEGMENT_NONE;
	s->tiny_max = TINY_MAX;
	s->small_max = r->unit > 64 ? SMALL_MAX_BLOCKS : SMALL_MAX_LINES;
	if (s->small_max > r->segment_size / 8)
		s->small_max = r->segment_size / 8;
	s->round_log = calloc((size_t)ROUNDS_MAX * s->logs, sizeof(*s->round_log));
	s->tiny = malloc(TINY_MAX);
	if (!s->read_only && r->sb.size >= INDEX_AHEAD)
		slab_ready(&s->slab);
	for (uint32_t l = 0; l < s->logs; l++)
		log_init(&s->log[l], r, (uint16_t)l, r->sb.epoch);
	return s->round_log && s->tiny && extents_reserve(s, OP_REFS_MAX) == 0 ? 0 : -ENOMEM;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int store_begin(struct paste_store *s, struct paste_error *err)
{
	struct scan scans[LOGS_MAX] = {0};
	uint64_t highest, before = now_us();

	int ret = store_recover(s, scans);
	if (ret == -EBADMSG)
		paste_fail(err, ret, "damaged beyond use: the checkpoint's description makes no sense%s",
			   s->was_no_persist ? " (it was served with --no-persist, and not closed)" : "");
	else if (ret < 0)
		paste_fail(err, ret, "reading the region back: %s", strerror(-ret));
	if (s->read_only) {
		/* For the counters: nothing is written. */
		for (uint32_t l = 0; ret == 0 && l < s->logs; l++)
			ret = log_resume(&s->log[l], &scans[l]);
	} else if (ret == 0) {
		ret = begin_epoch(s, scans, &highest);
		if (ret == 0)
			ret = begin_logs(s, scans, highest);
		if (ret == 0 && s->no_persist)
			media_suspend(s->r->m); /* not before: the mark is durable */
		if (ret < 0)
			paste_fail(err, ret, ret == -ENOSPC ? "no free segment to go on writing in"
							    : "writing the new epoch: %s", strerror(-ret));
	}
	for (uint32_t l = 0; l < s->logs; l++)
		scan_free(&scans[l]);
	space_set_reserve(s);
	s->c.recovery_us = now_us() - before;
	return ret;
}

int store_open_with(struct media *m, const struct paste_open_options *options, struct paste_store **store,
		    struct paste_error *err)
{
	struct paste_region *r;
	int ret = region_open(m, &r, err);

	if (ret < 0) {
		media_close(m);
		return ret;
	}
	if (!m->read_only)
		ret = region_landings_wait(r, options->released, options->released_arg, err);
	struct paste_store *s = ret < 0 ? NULL : calloc(1, sizeof(*s));
	if (ret < 0) {
		region_close(r);
		return ret;
	}
	if (!s) {
		region_close(r);
		return paste_fail(err, -ENOMEM, "out of memory");
	}
	slab_init(&s->slab, 0, NULL);
	tree_init(&s->keys, entry_key_of, NULL);
	tree_init(&s->streams, stream_name_of, NULL);
	retries_init(&s->retries);
	snapshot_init(&s->snapshot);
	ret = store_init(s, r);
	s->no_persist = options->no_persist && !m->read_only;
	if (ret < 0)
		paste_fail(err, ret, "out of memory");
	else
		ret = store_begin(s, err);
	if (ret < 0) {
		store_abandon(s);
		return ret;
	}
	*store = s;
	return 0;
}

int store_open_on(struct media *m, struct paste_store **store, struct paste_error *err)
{
	static const struct paste_open_options nothing;

	return store_open_with(m, &nothing, store, err);
}

int paste_store_open(const struct paste_open_options *o, struct paste_store **store, struct paste_error *err)
{
	struct media_options mo = {.path = o->path, .read_only = o->read_only, .hugepages = o->hugepages};
	struct paste_error why = {{0}};
	struct media *m;

	if (o->medium && media_kind_parse(o->medium, &mo.kind) < 0)
		return paste_fail(err, -EINVAL, "no such medium: %s (pmem, shm or file)", o->medium);
	int ret = holder_media_open(&mo, &m, err);
	if (ret < 0)
		return ret;
	ret = store_open_with(m, o, store, &why);
	return ret < 0 ? paste_fail(err, ret, "%s: %s", o->path, why.text) : 0;
}

static int checkpoint_finish(struct paste_store *s)
{
	int ret = 1;

	while (ret > 0 && s->checkpoint.state != CHECKPOINT_IDLE) {
		ret = checkpoint_step(s, UINT32_MAX);
		/* On media that take their time, wait for what the step started. */
		int waited = ret > 0 ? media_commit_wait(s->r->m) : 0;
		if (waited < 0)
			ret = waited;
	}
	return ret < 0 ? ret : 0;
}

static int close_clean(struct paste_store *s)
{
	int64_t round = paste_store_commit(s);
	int64_t done = round < 0 ? round : paste_store_wait(s, (uint64_t)round);

	if (done < 0)
		return (int)done;
	/* One that is under way began before the last changes: it is not the last one. */
	int ret = checkpoint_finish(s);
	pack_close(s);
	if (ret == 0)
		ret = checkpoint_begin(s, true);
	if (ret == 0)
		ret = checkpoint_finish(s);
	/* No room for a last checkpoint: all is durable, and the next opening reads the log. */
	return ret == -ENOSPC ? 0 : ret;
}

/* All that was not made durable while the region was open, then the superblock, and with it the mark goes. */
static int close_unpersisted(struct paste_store *s)
{
	struct media *m = s->r->m;

	media_resume(m);
	if (SITE(close_unpersisted))
		area_persist(s->r);
	int ret = media_commit_wait(m);
	s->r->sb.features_incompat &= ~FEATURE_INCOMPAT_UNPERSISTED;
	return ret < 0 ? ret : superblock_rewrite(&s->r->sb, m, 0);
}

int paste_store_close(struct paste_store *s)
{
	int ret = s->error ? s->error : 0;

	if (ret == 0 && !s->read_only)
		ret = close_clean(s);
	if (ret == 0 && s->no_persist)
		ret = close_unpersisted(s);
	store_abandon(s);
	return ret;
}

struct paste_region *paste_store_region(struct paste_store *s)
{
	return s->r;
}
