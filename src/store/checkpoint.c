/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a checkpoint, a piece at a time, while changes go on (docs/format.md, section 7).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/crc.h"
#include "base/site.h"
#include "store/store_internal.h"

bool segment_list_add(struct segment_list *l, uint32_t segment)
{
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 16;
		uint32_t *more = realloc(l->segment, room * sizeof(*more));
		if (!more)
			return false;
		l->segment = more;
		l->room = room;
	}
	l->segment[l->n++] = segment;
	return true;
}

static void segment_list_retire(struct paste_store *s, struct segment_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		region_segment_retire(s->r, l->segment[i]);
	l->n = 0;
}

static int page_begin(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;

	if (c->segments.n == 0 || c->segment_fill == s->r->segment_size) {
		uint32_t segment = region_segment_take(s->r, SEGMENT_CHECKPOINT);
		if (segment == SEGMENT_NONE)
			return -ENOSPC;
		if (!segment_list_add(&c->segments, segment)) {
			region_segment_retire(s->r, segment);
			return -ENOMEM;
		}
		c->segment_fill = 0;
	}
	uint32_t segment = c->segments.segment[c->segments.n - 1];
	c->page = region_segment_data(s->r, segment) + c->segment_fill;
	c->page_offset = region_segment_offset(s->r, segment) + c->segment_fill;
	c->segment_fill += PAGE_SIZE_CHECKPOINT;
	c->fill = sizeof(struct header);
	c->ops = 0;
	c->named = false;
	return 0;
}

/* Where units are blocks each write back is a request to the device, and one more beside the log's turns a group that is
 * one durable write into writes and a sync: so many bytes of pages at once. */
#define RUN_BLOCKS (128 * 1024)

static void pages_write_back(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;

	if (c->run_bytes == 0)
		return;
	if (SITE(page_write_back))
		media_write_back(s->r->m, c->run_offset, c->run_bytes);
	c->pages_pending = true;
	c->run_bytes = 0;
}

static void page_end(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;

	if (!c->page)
		return;
	struct header h = {
		.magic = HEADER_MAGIC,
		.epoch = s->r->sb.epoch,
		.kind = HEADER_CHECKPOINT,
		.id = c->id,
		.index = c->pages,
		.body_crc = paste_crc(s->r->sb.salt, c->page + sizeof(h), c->fill - sizeof(h)),
		.body_length = c->fill - (uint32_t)sizeof(h),
		.ops = c->ops,
	};
	h.crc = header_crc(s->r, &h);
	memcpy(c->page, &h, sizeof(h));
	memset(c->page + c->fill, 0, PAGE_SIZE_CHECKPOINT - c->fill);
	if (c->run_bytes == 0)
		c->run_offset = c->page_offset;
	c->run_bytes += PAGE_SIZE_CHECKPOINT;
	if (s->r->unit <= 64 || c->run_bytes == RUN_BLOCKS || c->segment_fill == s->r->segment_size)
		pages_write_back(s);
	c->pages++;
	c->page = NULL;
	s->c.checkpoint_bytes += PAGE_SIZE_CHECKPOINT;
}

/* Room for `size` bytes in the page, in a new one if need be. */
static int page_room(struct paste_store *s, size_t size)
{
	struct checkpoint *c = &s->checkpoint;

	if (c->page && c->fill + size <= PAGE_SIZE_CHECKPOINT)
		return 0;
	page_end(s);
	return page_begin(s);
}

static int page_add(struct paste_store *s, const struct op_view *v)
{
	struct checkpoint *c = &s->checkpoint;
	int ret = page_room(s, op_size(&v->op));

	if (ret < 0)
		return ret;
	c->fill += (uint32_t)op_encode(c->page + c->fill, v);
	c->ops++;
	c->all_ops++;
	return 0;
}

/* 1: there is nothing more of the kind. */
static int add_retry(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;
	struct op_view v = {.op = {.type = OP_CLOCK, .version = s->clock}};
	uint8_t attributes[ATTRIBUTE_FINGERPRINT_SIZE];

	if (!c->clock) {
		c->clock = true;
		return s->clock && SITE(checkpoint_clock) ? page_add(s, &v) : 0;
	}
	const struct retry *t = retries_from(&s->retries, &c->retry);
	if (!t)
		return 1;
	c->retry++;
	retry_op(t, &v, attributes);
	return page_add(s, &v);
}

static int add_damage(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;
	const struct lost *lost = &s->lost[c->damage++];
	struct op_view v = {
		.op = {.type = OP_DAMAGE,
		       .flags = OP_INLINE | (lost->streams ? OP_OF_STREAMS : 0),
		       .key_length = lost->low_length,
		       .version = lost->digest,
		       .length = lost->high_length},
		.key = lost->low,
		.bytes = lost->high,
	};

	return page_add(s, &v);
}

/* One key, or one step in a stream. 1: the walk is at its end. */
static int add_key(struct paste_store *s)
{
	struct entry *e = tree_cursor_next(&s->checkpoint.cursor);
	struct op_view v;

	if (!e)
		return 1;
	if (e->flags & ENTRY_ABSENT)
		return 0;
	entry_op(e, OP_PUT, &v);
	return page_add(s, &v);
}

static int add_stream_head(struct paste_store *s, const struct stream *st)
{
	struct op_view v = {
		.op = {.type = OP_STREAM,
		       .flags = st->unsure ? OP_LOST : 0,
		       .key_length = st->name_length,
		       .version = st->first,
		       .length = st->next},
		.key = st->name,
	};
	int ret = page_add(s, &v);

	s->checkpoint.named = true;
	return ret;
}

static int add_stream_entry(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;
	struct stream *st = c->stream;
	struct op_view v;

	c->sequence = stream_seek(st, c->sequence); /* trimmed while we were walking, or lost */
	if (c->sequence >= st->next) {
		c->stream = NULL;
		return c->named ? 0 : add_stream_head(s, st);
	}
	struct entry *e = stream_get(st, c->sequence++);
	if (!e)
		return 0;
	entry_op(e, OP_APPEND, &v);
	/* An entry belongs to the STREAM op before it in the same page. */
	size_t head = op_padded(sizeof(struct op) + st->name_length);
	int ret = page_room(s, op_size(&v.op) + (c->named ? 0 : head));
	if (ret == 0 && !c->named)
		ret = add_stream_head(s, st);
	return ret < 0 ? ret : page_add(s, &v);
}

static int add_stream(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;

	if (!c->stream) {
		c->stream = tree_cursor_next(&c->cursor);
		if (!c->stream)
			return 1;
		c->sequence = c->stream->first;
		c->named = false;
	}
	return add_stream_entry(s);
}

int checkpoint_begin(struct paste_store *s, bool clean)
{
	struct checkpoint *c = &s->checkpoint;

	assert(c->state == CHECKPOINT_IDLE);
	if (s->error)
		return s->error;
	/* Asked before the logs are made to begin new segments, which an attempt in vain would waste. */
	if (!space_checkpoint_fits(s))
		return -ENOSPC;
	c->state = CHECKPOINT_RETRIES;
	c->id++; /* a new one for each attempt, so that pages of one given up are never taken for this one's */
	c->clock = false;
	c->retry = 0;
	c->damage = 0;
	c->page = NULL;
	c->pages = c->all_ops = 0;
	c->segment_fill = 0;
	c->run_bytes = 0;
	c->clean = clean;
	c->log_end = s->pace.seen_log + space_log_limit(s) / 4 * 3;
	for (uint32_t l = 0; l < s->logs; l++)
		c->start[l] = log_rotate(&s->log[l]);
	return 0;
}

static void checkpoint_abort(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;

	/* What was written back may still be on its way: nothing may be put into these segments before it is over. */
	int64_t round = paste_store_commit(s);
	if (round > 0)
		paste_store_wait(s, (uint64_t)round);
	segment_list_retire(s, &c->segments);
	c->page = NULL;
	c->stream = NULL;
	c->state = CHECKPOINT_IDLE;
	c->failed++;
}

static int finish_pages(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;

	page_end(s);
	pages_write_back(s);
	/* Cumulative: when this round is durable, so are the pages and every change that they show. */
	int64_t round = paste_store_commit(s);
	if (round < 0)
		return (int)round;
	c->round = (uint64_t)round;
	c->state = CHECKPOINT_PAGES;
	return 1;
}

static int begin_root(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;
	struct superblock *sb = &s->r->sb;
	int64_t durable = paste_store_poll(s);

	if (durable < 0)
		return (int)durable;
	if ((uint64_t)durable < c->round && SITE(checkpoint_pages_durable))
		return 1;
	sb->root = (struct format_root){
		.id = c->id,
		.epoch = sb->epoch,
		.pages = c->pages,
		.ops = c->all_ops,
		.time = (uint64_t)time(NULL),
		.bytes = c->pages * PAGE_SIZE_CHECKPOINT,
	};
	for (uint32_t l = 0; l < s->logs; l++)
		sb->log[l] = (struct format_log){.start = c->start[l], .end = s->log[l].durable};
	if (c->clean) {
		sb->state = REGION_CLEAN;
		sb->owner_pid = 0;
		memset(sb->owner_host, 0, sizeof(sb->owner_host));
	}
	superblock_begin(&c->rewrite, sb, s->r->health.older);
	c->state = CHECKPOINT_ROOT;
	return 1;
}

static int finish_root(struct paste_store *s)
{
	struct checkpoint *c = &s->checkpoint;
	int ret = superblock_step(&c->rewrite, s->r->m);

	if (ret < 0)
		return store_fail(s, ret);
	if (ret == 0)
		return 1;
	/* Both copies are durable: nothing leads to the old checkpoint and the old log any more. */
	segment_list_retire(s, &s->checkpoint_segments);
	struct segment_list empty = s->checkpoint_segments;
	s->checkpoint_segments = c->segments;
	c->segments = empty;
	for (uint32_t l = 0; l < s->logs; l++)
		log_truncate(&s->log[l], c->start[l]);
	c->state = CHECKPOINT_IDLE;
	s->c.checkpoints++;
	s->c.checkpoint_entries += c->all_ops;
	return 0;
}

/* Up to `ops` ops of one part; moves on to the next part at its end. */
static int write_part(struct paste_store *s, uint32_t ops)
{
	struct checkpoint *c = &s->checkpoint;

	for (uint32_t i = 0; i < ops; i++) {
		int ret;
		if (c->state == CHECKPOINT_RETRIES)
			ret = add_retry(s);
		else if (c->state == CHECKPOINT_DAMAGE)
			ret = c->damage == s->lost_count ? 1 : add_damage(s);
		else
			ret = c->state == CHECKPOINT_KEYS ? add_key(s) : add_stream(s);
		if (ret < 0) {
			if (s->error)
				return ret;
			checkpoint_abort(s);
			return ret;
		}
		if (ret == 0)
			continue;
		if (c->state == CHECKPOINT_STREAMS)
			return finish_pages(s);
		if (c->state == CHECKPOINT_RETRIES) {
			c->state = CHECKPOINT_DAMAGE;
			continue;
		}
		const struct tree *next = c->state == CHECKPOINT_DAMAGE ? &s->keys : &s->streams;
		tree_cursor_start(&c->cursor, next, NULL, 0);
		c->stream = NULL;
		c->state++;
	}
	return 1;
}

int checkpoint_step(struct paste_store *s, uint32_t ops)
{
	switch (s->checkpoint.state) {
	case CHECKPOINT_IDLE:
		return 0;
	case CHECKPOINT_RETRIES:
	case CHECKPOINT_DAMAGE:
	case CHECKPOINT_KEYS:
	case CHECKPOINT_STREAMS:
		return write_part(s, ops);
	case CHECKPOINT_PAGES:
		return begin_root(s);
	case CHECKPOINT_ROOT:
		return finish_root(s);
	}
	return 0;
}
