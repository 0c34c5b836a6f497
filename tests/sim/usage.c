/* SPDX-License-Identifier: BSD-2-Clause */
#include "usage.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "region/format.h"

/* The newest op of a key, or of an entry of a stream. */
struct live {
	const uint8_t *name;
	uint16_t length;
	bool stream;
	uint64_t number;  /* of a stream's entry */
	uint64_t version; /* of a key */
	const struct op *op;
};

struct reader {
	const uint8_t *image;
	uint64_t size;
	uint8_t *map;
	struct superblock sb;
	struct live *live;
	uint32_t n, room;
};

const char *use_name(enum use use)
{
	static const char *const names[USES] = {"nothing",
						"superblock",
						"log segment header",
						"record",
						"first record of a life",
						"last commit",
						"checkpoint page",
						"value",
						"list"};

	return names[use];
}

static void must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "the image is not as docs/format.md says: %s\n", what);
	exit(1);
}

static void mark(struct reader *r, const void *p, uint64_t n, enum use use)
{
	memset(r->map + ((const uint8_t *)p - r->image), use, n);
}

static const uint8_t *segment_at(const struct reader *r, uint32_t segment)
{
	return r->image + r->sb.area[0].start + (uint64_t)segment * r->sb.segment_size;
}

static uint32_t segments(const struct reader *r)
{
	return r->sb.area[0].length / r->sb.segment_size;
}

/* Section 2: of two valid copies the higher generation counts. */
static bool superblock_valid(const uint8_t *p)
{
	struct superblock sb;

	memcpy(&sb, p, sizeof(sb));
	uint32_t crc = sb.crc;
	sb.crc = 0;
	return memcmp(sb.magic, FORMAT_MAGIC, 8) == 0 && paste_crc(0, &sb, sizeof(sb)) == crc;
}

static void read_superblock(struct reader *r)
{
	const uint8_t *a = r->image, *b = r->image + SUPERBLOCK_B_OFFSET;
	struct superblock second;

	must(superblock_valid(a) && superblock_valid(b), "both superblocks are whole");
	memcpy(&r->sb, a, sizeof(r->sb));
	memcpy(&second, b, sizeof(second));
	if (second.generation > r->sb.generation)
		r->sb = second;
	mark(r, a, SUPERBLOCK_SIZE, USE_SUPERBLOCK);
	mark(r, b, SUPERBLOCK_SIZE, USE_SUPERBLOCK);
	must(r->sb.size == r->size, "the superblock's size");
}

static bool header_valid(const struct reader *r, const struct header *h, uint16_t kind)
{
	return h->magic == HEADER_MAGIC && h->kind == kind &&
	       paste_crc(r->sb.salt, &h->magic, sizeof(*h) - sizeof(h->crc)) == h->crc;
}

/* Section 5: an op's parts. */
static const struct extent *op_extents(const struct op *op)
{
	return (const struct extent *)(op + 1);
}

static const uint8_t *op_key(const struct op *op)
{
	return (const uint8_t *)(op_extents(op) + op->refs);
}

static uint64_t op_bytes(const struct op *op)
{
	uint64_t n = sizeof(*op) + op->refs * sizeof(struct extent) + op->key_length + op->attributes +
		     (op->flags & OP_INLINE ? op->length : 0);

	return (n + 7) / 8 * 8;
}

static struct live *live_find(struct reader *r, bool stream, const uint8_t *name, uint16_t length,
			      uint64_t number)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct live *l = &r->live[i];

		if (l->stream == stream && l->number == number && l->length == length &&
		    memcmp(l->name, name, length) == 0)
			return l;
	}
	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 256;
		r->live = realloc(r->live, r->room * sizeof(*r->live));
		must(r->live, "memory");
	}
	r->live[r->n] = (struct live){.name = name, .length = length, .stream = stream, .number = number};
	return &r->live[r->n++];
}

static void trim(struct reader *r, const uint8_t *name, uint16_t length, uint64_t first)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct live *l = &r->live[i];

		if (l->stream && l->number < first && l->length == length &&
		    memcmp(l->name, name, length) == 0)
			l->op = NULL;
	}
}

/* Section 7: an op applies if its version is not below what the entry has; ops come in the log's order. An
 * APPEND without a name belongs in a page to the STREAM op before it, in a record to the last APPEND with one. */
static void apply(struct reader *r, const struct op *op, const struct op **stream)
{
	const uint8_t *name = op_key(op);
	uint16_t length = op->key_length;
	struct live *l;

	switch (op->type) {
	case OP_PUT:
	case OP_DELETE:
		l = live_find(r, false, name, length, 0);
		if (op->version >= l->version) {
			l->version = op->version;
			l->op = op->type == OP_PUT ? op : NULL;
		}
		break;
	case OP_STREAM:
		*stream = op;
		break;
	case OP_APPEND:
		if (length == 0) {
			must(*stream, "an APPEND without a name follows an op that names its stream");
			name = op_key(*stream);
			length = (*stream)->key_length;
		} else {
			*stream = op;
		}
		live_find(r, true, name, length, op->version)->op = op;
		break;
	case OP_TRIM:
		trim(r, name, length, op->version);
		break;
	}
}

static const struct op *apply_all(struct reader *r, const void *p, uint32_t ops, uint32_t room)
{
	const struct op *op = p, *stream = NULL;

	for (; ops; ops--) {
		must(op_bytes(op) <= room, "ops fit into what holds them");
		apply(r, op, &stream);
		room -= op_bytes(op);
		op = (const struct op *)((const uint8_t *)op + op_bytes(op));
	}
	return op;
}

/* Sections 4 and 7. */
static void read_pages(struct reader *r)
{
	const struct header **pages = calloc(r->sb.root.pages + 1, sizeof(*pages));

	must(pages, "memory");
	for (uint32_t s = 0; r->sb.root.id && s < segments(r); s++) {
		for (uint32_t at = 0; at < r->sb.segment_size; at += PAGE_SIZE_CHECKPOINT) {
			const struct header *h = (const struct header *)(segment_at(r, s) + at);

			if (!header_valid(r, h, HEADER_CHECKPOINT) || h->id != r->sb.root.id ||
			    h->epoch != r->sb.root.epoch)
				continue;
			must(h->index < r->sb.root.pages && !pages[h->index], "each page is there once");
			pages[h->index] = h;
		}
	}
	for (uint64_t i = 0; i < r->sb.root.pages; i++) {
		const struct header *h = pages[i];

		must(h && paste_crc(r->sb.salt, h + 1, h->body_length) == h->body_crc, "all pages are there");
		mark(r, h, sizeof(*h) + h->body_length, USE_PAGE);
		apply_all(r, h + 1, h->ops, h->body_length);
	}
	free(pages);
}

/* The record that follows `last`, if it stands here. */
static const struct record *record_after(const struct reader *r, uint16_t log, uint64_t last, uint32_t epoch,
					 uint32_t segment, uint32_t offset)
{
	if (offset + sizeof(struct record) > r->sb.segment_size)
		return NULL;
	const struct record *rec = (const struct record *)(segment_at(r, segment) + offset);
	uint64_t previous = rec->sequence - 1;

	if (rec->log != log || rec->epoch < epoch || rec->meta < sizeof(*rec) ||
	    rec->meta > r->sb.segment_size - offset ||
	    paste_crc(r->sb.salt, &rec->epoch, rec->meta - sizeof(rec->crc)) != rec->crc)
		return NULL;
	if (rec->type == RECORD_OPEN)
		memcpy(&previous, rec + 1, sizeof(previous));
	return previous == last ? rec : NULL;
}

/* Section 5: behind the header, and what OPEN says, an array of digests, padded; then the ops. A record takes as many
 * numbers as it has ops, one at the least. */
static void apply_record(struct reader *r, const struct record *rec)
{
	uint32_t head = sizeof(*rec) + ((uint32_t)rec->digests * 4 + 7) / 8 * 8;

	must(head <= rec->meta, "digests fit into the record");
	apply_all(r, (const uint8_t *)rec + head, rec->ops, rec->meta - head);
}

static uint64_t last_number(const struct record *rec)
{
	return rec->sequence + (rec->ops > 1 ? rec->ops - 1u : 0);
}

struct place {
	uint32_t segment, offset;
	const struct record *rec;
};

static void try_place(const struct reader *r, uint16_t log, uint64_t last, uint32_t epoch, uint32_t segment,
		      uint32_t offset, struct place *best)
{
	const struct record *rec = record_after(r, log, last, epoch, segment, offset);

	if (rec && (!best->rec || rec->epoch > best->rec->epoch))
		*best = (struct place){segment, offset, rec};
}

/* Section 5: directly behind the last record, at the next unit, or behind the header of a segment that says
 * so. */
static struct place next_place(const struct reader *r, uint16_t log, uint64_t last, uint32_t epoch,
			       uint32_t segment, uint32_t tail)
{
	struct place best = {0};
	uint32_t unit = r->sb.unit;

	if (segment != UINT32_MAX) {
		try_place(r, log, last, epoch, segment, tail, &best);
		try_place(r, log, last, epoch, segment, (tail + unit - 1) / unit * unit, &best);
	}
	for (uint32_t s = 0; s < segments(r); s++) {
		const struct header *h = (const struct header *)segment_at(r, s);

		if (!header_valid(r, h, HEADER_LOG) || h->log != log || h->index != last)
			continue;
		try_place(r, log, last, epoch, s, sizeof(*h), &best);
		try_place(r, log, last, epoch, s, (sizeof(*h) + unit - 1) / unit * unit, &best);
	}
	return best;
}

/* Section 8: what is above the highest stable number is in doubt. */
static void read_log(struct reader *r, uint16_t log)
{
	uint64_t last = r->sb.log[log].start - 1, stable = r->sb.log[log].end;
	uint32_t epoch = 0, segment = UINT32_MAX, tail = 0, n = 0;
	const struct record *first = NULL, *recent[64]; /* the last ones; a seal leaves one in doubt */

	for (;; n++) {
		struct place p = next_place(r, log, last, epoch, segment, tail);

		if (!p.rec)
			break;
		if (p.segment != segment) {
			mark(r, segment_at(r, p.segment), sizeof(struct header), USE_HEADER);
			first = p.rec;
		}
		enum use use = p.rec->type == RECORD_OPEN ? USE_OPEN : USE_RECORD;
		mark(r, p.rec, p.rec->meta, use);
		mark(r, p.rec, 1, use | USE_BEGINS);
		if (p.rec->type == RECORD_CHANGE)
			apply_record(r, p.rec);
		last = last_number(p.rec);
		epoch = p.rec->epoch;
		segment = p.segment;
		tail = p.offset + p.rec->length;
		if (p.rec->sequence - p.rec->lag > stable)
			stable = p.rec->sequence - p.rec->lag;
		recent[n % 64] = p.rec;
	}
	for (uint32_t i = 0; i < n && i < 64; i++)
		if (recent[i]->sequence > stable)
			mark(r, recent[i], recent[i]->meta, USE_TAIL);
	if (first)
		r->map[(const uint8_t *)first - r->image] |= USE_FIRST;
	if (n) {
		const struct record *end = recent[(n - 1) % 64];

		for (uint32_t i = 0; i < end->meta; i++)
			r->map[(const uint8_t *)end - r->image + i] |= USE_LAST;
		r->map[(const uint8_t *)end - r->image] |= USE_BEGINS;
	}
}

static const uint8_t *slice_bytes(const struct reader *r, struct paste_ref ref)
{
	return r->image + r->sb.area[0].start + (uint64_t)ref.buffer * r->sb.buffer_size + ref.offset;
}

/* A list stands wherever its bytes were packed, aligned to nothing. */
static void mark_value(struct reader *r, const void *extents, uint32_t n, bool lists)
{
	for (uint32_t i = 0; i < n; i++) {
		struct extent e;

		memcpy(&e, (const uint8_t *)extents + i * sizeof(e), sizeof(e));
		const uint8_t *p = slice_bytes(r, e.ref);
		must(paste_crc(0, p, e.ref.length) == e.crc, "the bytes of live slices are whole");
		mark(r, p, e.ref.length, lists ? USE_LIST : USE_VALUE);
		if (lists)
			mark_value(r, p, e.ref.length / sizeof(e), false);
	}
}

void usage_map(const uint8_t *image, uint64_t size, uint8_t *map, uint64_t counts[USES])
{
	struct reader r = {.image = image, .size = size, .map = map};

	memset(map, USE_NONE, size);
	read_superblock(&r);
	read_pages(&r);
	for (uint16_t log = 0; log < r.sb.logs; log++)
		read_log(&r, log);
	for (uint32_t i = 0; i < r.n; i++)
		if (r.live[i].op)
			mark_value(&r, op_extents(r.live[i].op), r.live[i].op->refs,
				   r.live[i].op->flags & OP_INDIRECT);
	memset(counts, 0, USES * sizeof(*counts));
	for (uint64_t i = 0; i < size; i++)
		counts[use_of(map[i])]++;
	free(r.live);
}
