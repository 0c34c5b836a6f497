/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/copy.h"
#include "base/crc.h"
#include "base/site.h"

#define SHARED_OPS 8  /* changes that share a record: what goes with one of them if it is damaged beyond a bit */
#define AHEAD 512     /* bytes: the line of the op that comes some ten ops later is fetched meanwhile. The log goes where no
			 cache has been for long, and stores that wait for their line hold up all after them, as
			 write-backs do. */
#define LIST_EVERY 96 /* changes; two lists and a few records more fit DIGESTS_MAX */
#define LIST_LEAST 64 /* digests in a list, if so many changes are known */

uint32_t record_crc(const struct paste_region *r, const struct record *rec, uint32_t meta)
{
	/* The epoch by itself: what follows is aligned as it was written (base/copy.h). */
	uint32_t crc = paste_crc_short(r->sb.salt, &rec->epoch, sizeof(rec->epoch));

	return paste_crc(crc, &rec->sequence, meta - offsetof(struct record, sequence));
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
	l->next = l->known = 1;
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

static struct record *record_of(const struct log *l, uint32_t offset)
{
	return (struct record *)(region_segment_data(l->r, l->segment) + offset);
}

static uint32_t *digest_of(struct log *l, uint64_t number)
{
	return &l->digest[number % DIGESTS_MAX];
}

/* Write the record's header. It takes the numbers from `sequence` on, which are below l->next already. */
static void record_finish(struct log *l, struct record *rec, uint64_t sequence, uint32_t digest,
			  const struct log_shape *shape)
{
	uint64_t lag = sequence - l->durable;

	assert(lag <= UINT32_MAX && shape->length % 8 == 0 && shape->meta <= RECORD_META_MAX);
	if (!SITE(log_lag_honest))
		lag = 1; /* claims that everything before this record is durable */
	uint64_t *word = (uint64_t *)(void *)rec;
	word[0] = (uint64_t)l->epoch << 32;
	word[1] = sequence;
	word[2] = shape->length | (uint64_t)shape->meta << 32;
	word[3] = lag | (uint64_t)digest << 32;
	word[4] = l->number | (uint64_t)shape->ops << 16 | (uint64_t)shape->type << 32 | (uint64_t)rec->digests << 48;
	rec->crc = record_crc(l->r, rec, shape->meta);
	l->stated = sequence - lag;
	l->last_ops = shape->ops;
	l->bytes += shape->length;
	l->records++;
}

/* Whose keys changed is told again, behind what damage to one place takes: at the latest after so many changes. */
static void list_if_due(struct log *l)
{
	if (l->changed >= l->listed[0] + LIST_EVERY)
		log_write_seal(l); /* without a free segment there is none, and then another attempt */
}

/* The record that takes ops is complete. */
static void log_close(struct log *l)
{
	if (!l->filling)
		return;
	struct record *rec = record_of(l, l->filling);
	uint32_t bytes = l->tail - l->filling;
	if (l->ops == 0) {
		l->tail = l->filling; /* nothing came of it */
		l->filling = 0;
		return;
	}
	l->filling = 0;
	uint64_t sequence = l->next - l->ops;
	struct log_shape shape = {.type = RECORD_CHANGE, .ops = l->ops, .meta = bytes, .length = bytes};
	record_finish(l, rec, sequence, *digest_of(l, sequence - 1), &shape);
	list_if_due(l);
}

/* Hand what was appended to the medium. The header of a fresh segment goes with its first records: if a crash
 * tears them apart, the records are not reachable and were not acknowledged. */
void log_commit(struct log *l)
{
	log_close(l);
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

/* A place for a record with `bytes` behind its digests, of which it gets `digests`. */
static struct record *place(struct log *l, uint8_t type, uint32_t digests, uint32_t bytes, uint64_t first,
			    uint64_t previous)
{
	uint32_t length = record_head(type, digests) + bytes;

	assert(length <= l->r->segment_size - sizeof(struct header));
	if (l->segment == SEGMENT_NONE || l->tail + length > l->r->segment_size) {
		if (!segment_begin(l, first, previous))
			return NULL;
	}
	struct record *rec = record_of(l, l->tail);
	rec->type = type;
	rec->digests = (uint16_t)digests;
	if (digests == 0)
		return rec;
	uint8_t *p = record_digests(rec);
	uint32_t from = (uint32_t)((l->next - digests) % DIGESTS_MAX);
	uint32_t straight = digests < DIGESTS_MAX - from ? digests : DIGESTS_MAX - from;
	memset(p + record_digest_bytes(digests) - 8, 0, 8);
	copy_short(p, l->digest + from, straight * sizeof(uint32_t));
	copy_short(p + straight * sizeof(uint32_t), l->digest, (digests - straight) * sizeof(uint32_t));
	return rec;
}

/* A record says of each change of the one before it whose key it was; of a single one its header does. */
static uint32_t carried(const struct log *l)
{
	uint64_t known = l->next - l->known;
	uint32_t n = l->last_ops < 2 ? 0 : l->last_ops > LOG_CARRIED_MAX ? LOG_CARRIED_MAX : l->last_ops;

	return known < n ? (uint32_t)known : n;
}

static struct record *place_changes(struct log *l, uint32_t bytes)
{
	log_close(l);
	return place(l, RECORD_CHANGE, carried(l), bytes, l->next, l->next - 1);
}

struct record *log_begin(struct log *l, uint32_t bytes)
{
	return place_changes(l, bytes);
}

uint64_t log_end(struct log *l, struct record *rec, const struct log_shape *shape)
{
	uint64_t sequence = l->next;
	uint32_t digest = *digest_of(l, sequence - 1);

	assert(!l->filling && shape->ops > 0);
	for (uint16_t i = 0; i < shape->ops; i++)
		*digest_of(l, l->next++) = shape->digest[i];
	l->tail += shape->length;
	l->changed = l->next - 1;
	record_finish(l, rec, sequence, digest, shape);
	list_if_due(l);
	return sequence;
}

uint8_t *log_add(struct log *l, uint32_t bytes)
{
	uint32_t so_far = l->tail - l->filling;

	if (!l->filling || l->ops == SHARED_OPS || so_far + bytes > RECORD_META_MAX ||
	    l->tail + bytes > l->r->segment_size) {
		struct record *rec = place_changes(l, bytes);
		if (!rec)
			return NULL;
		l->filling = l->tail;
		l->tail += record_head(RECORD_CHANGE, rec->digests);
		l->ops = 0;
		l->name = 0;
	}
	uint8_t *p = (uint8_t *)record_of(l, l->tail);
	__builtin_prefetch(p + AHEAD, 1);
	return p;
}

uint64_t log_added(struct log *l, uint32_t bytes, uint32_t digest)
{
	const struct op *op = (const struct op *)record_of(l, l->tail);

	if (op->type == OP_APPEND && op->key_length)
		l->name = l->tail;
	l->tail += bytes;
	l->ops++;
	l->changed = l->next;
	*digest_of(l, l->next) = digest;
	return l->next++;
}

bool log_named(const struct log *l, const void *name, uint16_t length)
{
	if (!l->name)
		return false;
	const struct op *op = (const struct op *)record_of(l, l->name);
	return op->key_length == length &&
	       same_short((const uint8_t *)(op + 1) + op->refs * sizeof(struct extent), name, length);
}

/* A record without ops, behind its digests. It takes a number, too. */
static void end_without_ops(struct log *l, struct record *rec, uint64_t sequence, uint32_t digest)
{
	uint32_t length = record_head(rec->type, rec->digests);
	struct log_shape shape = {.type = rec->type, .meta = length, .length = length};

	l->tail += length;
	l->next = sequence + 1;
	*digest_of(l, sequence) = DIGEST_NONE;
	record_finish(l, rec, sequence, digest, &shape);
	l->listed[1] = l->listed[0];
	l->listed[0] = sequence;
}

int log_write_open(struct log *l, uint64_t sequence, uint64_t previous)
{
	uint64_t known = l->next - l->known;
	uint32_t digest = *digest_of(l, previous);

	assert(!l->filling && l->next == previous + 1);
	struct record *rec = place(l, RECORD_OPEN, known < LIST_LEAST ? (uint32_t)known : LIST_LEAST, 0, sequence,
				   previous);
	if (!rec)
		return -ENOSPC;
	memcpy(rec + 1, &previous, sizeof(previous));
	/* All that was recovered is durable: it was read from the medium. */
	l->durable = sequence - 1;
	end_without_ops(l, rec, sequence, digest);
	l->listed[1] = l->known = sequence;
	l->changed = sequence;
	return 0;
}

/* A list goes back to the last but one: what took the last one along with what it listed is damage to two places. */
int log_write_seal(struct log *l)
{
	log_close(l);
	uint64_t from = l->next > LIST_LEAST ? l->next - LIST_LEAST : 0;
	if (l->listed[1] < from)
		from = l->listed[1];
	if (from + DIGESTS_MAX < l->next)
		from = l->next - DIGESTS_MAX;
	if (from < l->known)
		from = l->known;
	struct record *rec = place(l, RECORD_SEAL, (uint32_t)(l->next - from), 0, l->next, l->next - 1);
	if (!rec)
		return -ENOSPC;
	end_without_ops(l, rec, l->next, *digest_of(l, l->next - 1));
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
