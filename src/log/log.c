/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/site.h"

uint32_t record_crc(const struct paste_region *r, const struct record *rec, uint32_t meta)
{
	return paste_crc(r->sb.salt, (const uint8_t *)rec + sizeof(rec->crc), meta - sizeof(rec->crc));
}

uint32_t header_crc(const struct paste_region *r, const struct header *h)
{
	return paste_crc(r->sb.salt, (const uint8_t *)h + sizeof(h->crc), sizeof(*h) - sizeof(h->crc));
}

void log_init(struct log *l, struct paste_region *r, uint16_t number, uint32_t epoch)
{
	memset(l, 0, sizeof(*l));
	l->r = r;
	l->number = number;
	l->epoch = epoch;
	l->segment = SEGMENT_NONE;
	l->next = 1;
}

void log_free(struct log *l)
{
	free(l->segments);
	l->segments = NULL;
}

static bool segments_push(struct log *l, uint32_t segment, uint64_t first)
{
	if (l->n == l->room) {
		uint32_t room = l->room ? l->room * 2 : 64;
		struct log_segment *more = realloc(l->segments, room * sizeof(*more));
		if (!more)
			return false;
		l->segments = more;
		l->room = room;
	}
	l->segments[l->n++] = (struct log_segment){segment, first};
	return true;
}

/* Hand what was appended to the medium. The header of a fresh segment goes with its first records: if a crash
 * tears them apart, the records are not reachable and were not acknowledged. */
void log_commit(struct log *l)
{
	if (l->segment == SEGMENT_NONE || l->tail == l->committed)
		return;
	if (SITE(log_write_back))
		media_write_back(l->r->m, region_segment_offset(l->r, l->segment) + l->committed,
				 l->tail - l->committed);
	/* The next commit must not touch a unit of this one: a torn write would take acknowledged bytes along. */
	if (SITE(log_unit_padding))
		l->tail = (l->tail + l->r->unit - 1) & ~(l->r->unit - 1);
	l->committed = l->tail;
	l->handed = true;
}

static bool segment_begin(struct log *l, uint64_t first, uint64_t previous)
{
	struct paste_region *r = l->r;

	log_commit(l);
	uint32_t s = region_segment_take(r, SEGMENT_LOG);
	if (s == SEGMENT_NONE)
		return false;
	if (!segments_push(l, s, first)) {
		region_segment_retire(r, s);
		return false;
	}
	struct header h = {
		.magic = HEADER_MAGIC,
		.epoch = l->epoch,
		.kind = HEADER_LOG,
		.log = l->number,
		.id = first,
		.index = previous,
	};
	h.crc = header_crc(r, &h);
	memcpy(region_segment_data(r, s), &h, sizeof(h));
	l->segment = s;
	l->tail = sizeof(h);
	l->committed = 0;
	return true;
}

static struct record *place(struct log *l, uint32_t bytes, uint64_t first, uint64_t previous)
{
	assert(bytes <= log_record_max(l->r));
	if (l->segment == SEGMENT_NONE || l->tail + bytes > l->r->segment_size) {
		if (!segment_begin(l, first, previous))
			return NULL;
	}
	return (struct record *)(region_segment_data(l->r, l->segment) + l->tail);
}

struct record *log_begin(struct log *l, uint32_t bytes)
{
	return place(l, bytes, l->next, l->next - 1);
}

uint64_t log_end(struct log *l, struct record *rec, const struct log_shape *shape)
{
	uint64_t lag = l->next - l->durable;

	assert(lag <= UINT32_MAX && shape->length % 8 == 0 && shape->meta <= RECORD_META_MAX);
	if (!SITE(log_lag_honest))
		lag = 1; /* claims that everything before this record is durable */
	*rec = (struct record){
		.epoch = l->epoch,
		.sequence = l->next,
		.length = shape->length,
		.meta = shape->meta,
		.lag = (uint32_t)lag,
		.digest = l->digest,
		.log = l->number,
		.ops = shape->ops,
		.type = shape->type,
	};
	rec->crc = record_crc(l->r, rec, shape->meta);
	l->digest = shape->digest;
	l->stated = l->next - lag;
	l->tail += shape->length;
	l->bytes += shape->length;
	l->records++;
	if (shape->type != RECORD_SEAL)
		l->changed = l->next;
	return l->next++;
}

int log_write_open(struct log *l, uint64_t sequence, uint64_t previous)
{
	struct log_shape shape = {.type = RECORD_OPEN, .meta = sizeof(struct record) + 8, .length = sizeof(struct record) + 8};
	struct record *rec = place(l, shape.length, sequence, previous);

	if (!rec)
		return -ENOSPC;
	l->next = sequence;
	/* All that was recovered is durable: it was read from the medium. */
	l->durable = sequence - 1;
	memcpy(rec + 1, &previous, sizeof(previous));
	log_end(l, rec, &shape);
	return 0;
}

int log_write_seal(struct log *l)
{
	struct log_shape shape = {.type = RECORD_SEAL, .meta = sizeof(struct record), .length = sizeof(struct record)};
	struct record *rec = log_begin(l, shape.length);

	if (!rec)
		return -ENOSPC;
	log_end(l, rec, &shape);
	return 0;
}

void log_durable(struct log *l, uint64_t sequence, uint64_t marked)
{
	assert(sequence >= l->durable && sequence < l->next);
	l->durable = sequence;
	if (marked > l->marked)
		l->marked = marked;
}

uint64_t log_rotate(struct log *l)
{
	log_commit(l);
	l->segment = SEGMENT_NONE;
	l->tail = l->committed = 0;
	return l->next;
}

void log_truncate(struct log *l, uint64_t start)
{
	uint32_t gone = 0;

	/* A segment is below start as a whole: log_rotate() made start the first record of one. */
	while (gone < l->n && l->segments[gone].first < start)
		region_segment_retire(l->r, l->segments[gone++].segment);
	if (gone == 0)
		return;
	l->n -= gone;
	memmove(l->segments, l->segments + gone, l->n * sizeof(*l->segments));
}
