/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/site.h"
#include "region/repair.h"

/* Where a record may be, and what stands there. */
struct candidate {
	uint32_t segment, offset;
	const struct record *record; /* NULL: nothing that counts */
};

/* A segment of this log by the number that its first record follows. */
struct head {
	uint64_t previous;
	uint32_t segment, epoch;
};

struct scanner {
	const struct paste_region *r;
	const struct headers *h;
	struct scan *s;
	uint16_t number;
	uint64_t end;   /* D of the superblock */
	uint32_t epoch; /* least epoch above it */
	struct head *heads; /* ascending */
	size_t head_count;
	int error;
};

static bool grow(void **array, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return true;
	size_t more = *room ? *room * 2 : 256;
	void *p = realloc(*array, more * size);
	if (!p)
		return false;
	*array = p;
	*room = more;
	return true;
}

static bool record_shape_ok(const struct record *rec, uint32_t room)
{
	return rec->meta >= record_head(rec->type, rec->digests) && rec->meta <= rec->length && rec->meta <= RECORD_META_MAX && rec->length <= room &&
	       rec->length % 8 == 0 && rec->sequence <= SEQUENCE_MAX;
}

/* The record at an offset of a segment if it is whole, of this log, and not from before the epoch reached. */
static bool segment_readable(const struct paste_region *r, uint32_t segment, uint32_t offset, uint32_t bytes)
{
	return media_readable(r->m, region_segment_offset(r, segment) + offset, bytes);
}

static const struct record *record_at(const struct scanner *sc, uint32_t segment, uint32_t offset)
{
	const struct paste_region *r = sc->r;

	if (offset % 8 != 0 || offset + sizeof(struct record) > r->segment_size)
		return NULL;
	const struct record *rec = (const struct record *)(region_segment_data(r, segment) + offset);
	if (!segment_readable(r, segment, offset, sizeof(*rec)))
		return NULL;
	if (rec->log != sc->number || rec->sequence <= sc->s->last || !record_shape_ok(rec, r->segment_size - offset))
		return NULL;
	if (rec->epoch < sc->s->epoch && SITE(record_epoch_check))
		return NULL;
	/* Above the superblock's end nothing of an earlier epoch ever happened. */
	if (rec->sequence > sc->end && rec->epoch < sc->epoch && SITE(record_end_check))
		return NULL;
	if (!segment_readable(r, segment, offset, rec->meta))
		return NULL;
	if (record_crc(r, rec, rec->meta) != rec->crc && SITE(record_crc_check))
		return NULL;
	return rec;
}

static void consider(const struct scanner *sc, struct candidate *best, uint32_t segment, uint32_t offset, uint32_t epoch)
{
	const struct record *rec = record_at(sc, segment, offset);

	if (!rec || record_previous(rec) != sc->s->last || rec->epoch < epoch)
		return;
	if (!best->record || rec->epoch > best->record->epoch)
		*best = (struct candidate){segment, offset, rec};
}

static bool header_is_ours(const struct scanner *sc, uint32_t segment)
{
	const struct header *h = &sc->h->header[segment];

	return h->kind == HEADER_LOG && h->log == sc->number && h->epoch >= sc->s->epoch;
}

static int head_order(const void *a, const void *b)
{
	const struct head *x = a, *y = b;

	return x->previous < y->previous ? -1 : x->previous > y->previous;
}

/* The header is what says so, but if it is damaged beyond repair the first record still does. */
static bool heads_collect(struct scanner *sc)
{
	sc->heads = calloc(sc->r->segments, sizeof(*sc->heads));
	if (!sc->heads)
		return false;
	for (uint32_t i = 0; i < sc->r->segments; i++) {
		const struct header *h = &sc->h->header[i];
		const struct record *rec = h->kind == 0 ? record_at(sc, i, sizeof(*h)) : NULL;
		if (h->kind == HEADER_LOG && h->log == sc->number)
			sc->heads[sc->head_count++] = (struct head){h->index, i, h->epoch};
		else if (rec)
			sc->heads[sc->head_count++] = (struct head){record_previous(rec), i, rec->epoch};
	}
	qsort(sc->heads, sc->head_count, sizeof(*sc->heads), head_order);
	return true;
}

/* The first head whose first record follows `previous`, or head_count. */
static size_t heads_find(const struct scanner *sc, uint64_t previous)
{
	size_t low = 0, high = sc->head_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (sc->heads[middle].previous < previous)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Where the record after the last one may be, one place after the other. */
struct places {
	size_t head; /* the first one that follows the last record */
	size_t n;    /* places so far, those that are not there included */
};

/* Behind the last record and at the next unit; then, of each segment whose head follows it, behind the header, or at the
 * next unit if the header had to be committed without a record. */
static bool place_next(const struct scanner *sc, struct places *p, struct candidate *place)
{
	const struct scan *s = sc->s;
	uint32_t unit = sc->r->unit;

	if (p->n == 0 && s->segment == SEGMENT_NONE)
		p->n = 2;
	for (;;) {
		size_t n = p->n++;
		*place = (struct candidate){s->segment, s->tail, NULL};
		if (n >= 2) {
			size_t head = p->head + (n - 2) / 2;
			if (head == sc->head_count || sc->heads[head].previous != s->last)
				return false;
			*place = (struct candidate){sc->heads[head].segment, sizeof(struct header), NULL};
		}
		if (n % 2 == 0)
			return true;
		uint32_t aligned = (place->offset + unit - 1) & ~(unit - 1);
		if (aligned != place->offset) {
			place->offset = aligned;
			return true;
		}
	}
}

/*
 * The record after the last one. A head of a later epoch says that this epoch took over no more than the last record,
 * whatever else of an earlier one stands behind it (the first record at that head would say the same, and may be damaged).
 */
static struct candidate find_next(const struct scanner *sc)
{
	const struct scan *s = sc->s;
	struct places places = {.head = heads_find(sc, s->last)};
	struct candidate best = {0}, place;
	uint32_t epoch = 0;

	for (size_t i = places.head; i < sc->head_count && sc->heads[i].previous == s->last; i++)
		epoch = sc->heads[i].epoch > epoch ? sc->heads[i].epoch : epoch;
	while (place_next(sc, &places, &place))
		consider(sc, &best, place.segment, place.offset, epoch);
	return best;
}

static bool accept(struct scanner *sc, uint32_t segment, uint32_t offset, const struct record *rec)
{
	struct scan *s = sc->s;

	if (!grow((void **)&s->records, s->n, &s->room, sizeof(*s->records)))
		return false;
	s->records[s->n++] = (struct scan_record){rec, region_segment_offset(sc->r, segment) + offset};
	if (segment != s->segment) {
		if (s->segment_count == s->segment_room) {
			uint32_t room = s->segment_room ? s->segment_room * 2 : 64;
			struct log_segment *more = realloc(s->segments, room * sizeof(*more));
			if (!more)
				return false;
			s->segments = more;
			s->segment_room = room;
		}
		s->segments[s->segment_count++] = (struct log_segment){segment, rec->sequence};
	}
	s->segment = segment;
	s->tail = offset + rec->length;
	s->last = record_last(rec);
	s->epoch = rec->epoch;
	uint64_t stable = rec->sequence - rec->lag;
	if (rec->lag <= rec->sequence && stable > s->stable)
		s->stable = stable;
	return true;
}

#define HIDDEN_HEAD 8192 /* bytes: beyond what damage takes with the header, and a few commits more */

/* It was written when the record after the last one was durable. */
static bool proves_next(const struct scan *s, const struct record *rec)
{
	return rec->lag <= rec->sequence && rec->sequence - rec->lag > s->last;
}

/* The lowest later record of this log, none of which follows the last one directly: of an epoch and up to `limit`, or
 * (epoch 0) one that proves that the next one had been durable. In the rest of the segment, and in the others. */
static struct candidate find_beyond(const struct scanner *sc, uint32_t epoch, uint64_t limit)
{
	const struct scan *s = sc->s;
	struct candidate best = {0};

	for (uint32_t i = 0; i < sc->r->segments; i++) {
		bool current = i == s->segment;
		uint32_t offset = current ? (s->tail + 7) & ~7u : (uint32_t)sizeof(struct header);
		uint32_t end = sc->r->segment_size, step = 8;
		bool hidden = sc->h->header[i].kind == 0;
		if (!current && !hidden && !(header_is_ours(sc, i) && sc->h->header[i].id > s->last))
			continue;
		/* A header whose own damage hides a segment of this log, perhaps with the first records. A region is full of
		 * segments without headers: as long as nothing is proven, look where commits near their heads begin. */
		if (!current && hidden && epoch == 0) {
			step = sc->r->unit;
			end = step > 64 || end < HIDDEN_HEAD ? end : HIDDEN_HEAD;
		}
		for (; offset < end; offset = step == 8 ? offset + 8 : (offset / step + 1) * step) {
			const struct record *rec = record_at(sc, i, offset);
			if (!rec || !(epoch ? rec->epoch == epoch && rec->sequence <= limit : proves_next(s, rec)))
				continue;
			if (!best.record || rec->sequence < best.record->sequence)
				best = (struct candidate){i, offset, rec};
			break;
		}
	}
	return best;
}

/*
 * Where to go on behind what is lost, if something proves that anything is. The proof need not be the first record
 * behind it: those of its own epoch before it were not cut off either, as that happens only between epochs. Those of the
 * last record's epoch were not if they are within what the next epoch took over, which its OPEN says, or the superblock.
 * (Numbers less than a jump apart are of one epoch, or the limit would say nothing about this one.)
 */
static struct candidate find_later(const struct scanner *sc)
{
	const struct scan *s = sc->s;
	struct candidate proof = find_beyond(sc, 0, UINT64_MAX);
	const struct record *rec = proof.record;
	uint64_t limit = rec && rec->type == RECORD_OPEN ? record_previous(rec) : sc->end;

	if (s->epoch && limit > s->last && limit - s->last < SEQUENCE_JUMP && (!rec || rec->epoch != s->epoch)) {
		struct candidate same = find_beyond(sc, s->epoch, limit);
		if (same.record)
			return same;
	}
	return rec ? find_beyond(sc, rec->epoch, rec->sequence) : proof;
}

/* How many records of the scan are up to that number, if one of them ends with it; else 0. */
static size_t records_upto(const struct scan *s, uint64_t last)
{
	size_t n = s->n;

	while (n > 0 && record_last(s->records[n - 1].record) > last)
		n--;
	return n > 0 && record_last(s->records[n - 1].record) == last ? n : 0;
}

/* The first record of an epoch that took over less than what was scanned: it cut off the rest, whose values were torn, and
 * as long as it was damaged itself nothing said so. */
static bool overtakes(const struct scan *s, const struct record *rec)
{
	return rec->type == RECORD_OPEN && rec->epoch > s->epoch && record_previous(rec) < s->last &&
	       records_upto(s, record_previous(rec)) > 0;
}

static void cut_off(struct scan *s, uint64_t last)
{
	s->n = records_upto(s, last);
	s->last = last;
	while (s->gap_count > 0 && s->gaps[s->gap_count - 1].next > s->n)
		s->gap_count--;
}

/* Where the next record should have been, is there one with a single flipped bit? Only asked where a later record
 * proves damage. */
static struct record *record_mend(struct scanner *sc, uint32_t segment, uint32_t offset)
{
	const struct paste_region *r = sc->r;

	if (offset + sizeof(struct record) > r->segment_size ||
	    !segment_readable(r, segment, offset, r->segment_size - offset))
		return NULL;
	uint32_t room = r->segment_size - offset;
	const uint8_t *p = region_segment_data(r, segment) + offset;
	struct record *copy = malloc(room);
	if (!copy)
		return NULL;
	memcpy(copy, p, room);
	for (int flip = -1; flip < 32; flip++) {
		/* flip >= 0: suppose that the bit is in `meta`, which says how far the checksum goes. */
		copy->meta = ((const struct record *)p)->meta ^ (flip >= 0 ? 1u << flip : 0);
		if (copy->meta < sizeof(*copy) || copy->meta > room)
			continue;
		uint32_t syndrome = record_crc(r, copy, copy->meta) ^ copy->crc;
		if (flip < 0 && repair_in_checksum(syndrome)) {
			copy->crc ^= syndrome;
		} else if (flip < 0 && syndrome) {
			int64_t bit = repair_find_bit(copy->meta - sizeof(copy->crc), syndrome);
			if (bit < 0)
				continue;
			((uint8_t *)copy)[sizeof(copy->crc) + bit / 8] ^= (uint8_t)(1u << (bit % 8));
		} else if (syndrome) {
			continue;
		}
		if (record_shape_ok(copy, room) && copy->log == sc->number && copy->epoch >= sc->s->epoch &&
		    record_crc(r, copy, copy->meta) == copy->crc &&
		    (record_previous(copy) == sc->s->last || overtakes(sc->s, copy)))
			return copy;
		memcpy(copy, p, room);
	}
	free(copy);
	return NULL;
}

/* Try to put right the record that should follow; true if it was accepted. */
static bool mend_next(struct scanner *sc)
{
	struct scan *s = sc->s;
	struct places places = {.head = heads_find(sc, s->last)};
	struct record *copy = NULL;
	struct candidate place;

	while (!copy && place_next(sc, &places, &place))
		copy = record_mend(sc, place.segment, place.offset);
	if (!copy)
		return false;
	struct record **copies = realloc(s->copies, (s->copy_count + 1) * sizeof(*copies));
	if (copies)
		s->copies = copies;
	uint64_t *offsets = realloc(s->copy_offset, (s->copy_count + 1) * sizeof(*offsets));
	if (offsets)
		s->copy_offset = offsets;
	if (record_previous(copy) != s->last)
		cut_off(s, record_previous(copy));
	if (!copies || !offsets || !accept(sc, place.segment, place.offset, copy)) {
		free(copy);
		sc->error = -ENOMEM;
		return false;
	}
	s->copies[s->copy_count] = copy;
	s->copy_offset[s->copy_count++] = s->records[s->n - 1].offset;
	return true;
}

static bool record_gap(struct scanner *sc, uint64_t before)
{
	struct scan *s = sc->s;
	uint64_t offset = s->segment == SEGMENT_NONE ? 0 : region_segment_offset(sc->r, s->segment) + s->tail;

	if (!grow((void **)&s->gaps, s->gap_count, &s->gap_room, sizeof(*s->gaps)))
		return false;
	s->gaps[s->gap_count++] = (struct scan_gap){.after = s->last, .before = before, .offset = offset, .next = s->n};
	return true;
}

static int value_whole(void *arg, const struct op_view *v)
{
	const struct scanner *sc = arg;

	return op_verify(sc->r, v->refs, v->op.refs, v->op.flags & OP_INDIRECT);
}

/* Records from here on have values that may be torn: the first bad one ends the log. */
static void cut_torn_values(struct scanner *sc)
{
	struct scan *s = sc->s;

	for (size_t i = 0; i < s->n; i++) {
		const struct record *rec = s->records[i].record;
		if (rec->sequence <= s->stable || rec->type != RECORD_CHANGE)
			continue;
		struct record_walk w;
		struct op_view v;
		int more = 1;
		bool whole = true;
		record_walk_start(&w, rec);
		while (whole && (more = record_walk_next(&w, &v)) > 0)
			whole = op_verify(sc->r, v.refs, v.op.refs, v.op.flags & OP_INDIRECT) == 0 &&
				(op_each(sc->r, &v, value_whole, sc) == 0 || !SITE(batch_values_verified));
		whole = whole && more == 0;
		if (whole || !SITE(tail_values_verified))
			continue;
		s->torn += s->n - i;
		s->n = i;
		break;
	}
}

/* The digests of a record's changes, the last one first, behind what is in the scan already. */
static void record_digests_take(struct scan *s, const struct record *rec)
{
	uint32_t n = rec->ops ? rec->ops : 1, first = s->digests;
	struct record_walk w;
	struct op_view v;

	s->digests = first + n > DIGESTS_MAX ? DIGESTS_MAX : first + n;
	for (uint32_t i = first; i < s->digests; i++)
		s->digest[i] = rec->type == RECORD_CHANGE ? DIGEST_MANY : DIGEST_NONE;
	record_walk_start(&w, rec);
	for (uint32_t left = n; left > 0 && record_walk_next(&w, &v) > 0; left--) {
		if (first + left - 1 < DIGESTS_MAX)
			s->digest[first + left - 1] = op_digest(&v);
	}
}

/* What the next record has to say of those before it. */
static void digests_collect(struct scan *s)
{
	s->digests = 0;
	for (size_t i = s->n; i-- > 0 && s->digests < DIGESTS_MAX;) {
		const struct record *rec = s->records[i].record;
		if (i + 1 < s->n && record_last(rec) + 1 != s->records[i + 1].record->sequence)
			return;
		record_digests_take(s, rec);
	}
}

/* After a cut: the end is behind the last record that is left. */
static void settle_end(struct scanner *sc)
{
	struct scan *s = sc->s;

	s->digests = 0;
	if (s->lost_end) {
		s->segment = SEGMENT_NONE;
		return;
	}
	s->last = sc->r->sb.log[sc->number].start - 1;
	s->segment = SEGMENT_NONE;
	s->tail = 0;
	if (s->n > 0) {
		const struct scan_record *last = &s->records[s->n - 1];
		uint64_t in_area = last->offset - AREA_START;
		s->segment = (uint32_t)(in_area >> sc->r->segment_shift);
		s->tail = (uint32_t)(in_area & (sc->r->segment_size - 1)) + last->record->length;
		s->last = record_last(last->record);
		digests_collect(s);
	}
	while (s->segment_count > 0 && s->segments[s->segment_count - 1].first > s->last)
		s->segment_count--;
}

static int scan_all(struct scanner *sc)
{
	struct scan *s = sc->s;

	for (;;) {
		struct candidate c = find_next(sc);
		if (!c.record) {
			c = find_later(sc);
			if (!c.record && s->last >= sc->end)
				return 0;
			if (mend_next(sc))
				continue;
			if (sc->error)
				return sc->error;
			/* An OPEN record's own number is far above the one that it follows. */
			if (!record_gap(sc, c.record ? record_previous(c.record) + 1 : sc->end + 1))
				return -ENOMEM;
			if (!c.record) {
				/* The end of the log is lost. Where it was is unknown: go on elsewhere. */
				s->last = sc->end;
				s->lost_end = true;
				return 0;
			}
		}
		if (!accept(sc, c.segment, c.offset, c.record))
			return -ENOMEM;
	}
}

int log_scan(const struct paste_region *r, const struct headers *h, uint16_t number, struct scan *s)
{
	const struct format_log *descriptor = &r->sb.log[number];
	struct scanner sc = {
		.r = r, .h = h, .s = s, .number = number, .end = descriptor->end, .epoch = r->sb.epoch};

	memset(s, 0, sizeof(*s));
	s->segment = SEGMENT_NONE;
	s->last = descriptor->start - 1;
	s->stable = descriptor->end > s->last && SITE(scan_starts_stable) ? descriptor->end : s->last;
	s->epoch = SITE(scan_start_epoch) ? r->sb.root.epoch : 0;
	if (!heads_collect(&sc))
		return -ENOMEM;
	int ret = scan_all(&sc);
	free(sc.heads);
	if (ret < 0)
		return ret;
	cut_torn_values(&sc);
	settle_end(&sc);
	return 0;
}

bool scan_lost_digest(const struct scan *s, const struct scan_gap *gap, uint64_t number, uint32_t *digest)
{
	/* The record behind the gap, and the next few lists: they reach back so far and not farther. */
	for (size_t i = gap->next; i < s->n; i++) {
		const struct record *rec = s->records[i].record;
		if (record_names(rec, number, digest))
			return true;
		if (record_previous(rec) > number + 2 * DIGESTS_MAX)
			break;
	}
	return false;
}

void scan_free(struct scan *s)
{
	for (size_t i = 0; i < s->copy_count; i++)
		free(s->copies[i]);
	free(s->copies);
	free(s->copy_offset);
	free(s->records);
	free(s->gaps);
	free(s->segments);
	memset(s, 0, sizeof(*s));
}

int log_resume(struct log *l, const struct scan *s)
{
	for (uint32_t i = 0; i < s->segment_count; i++) {
		if (l->n == l->room) {
			uint32_t room = l->room ? l->room * 2 : 64;
			struct log_segment *more = realloc(l->segments, room * sizeof(*more));
			if (!more)
				return -ENOMEM;
			l->segments = more;
			l->room = room;
		}
		l->segments[l->n++] = s->segments[i];
	}
	if (s->segment != SEGMENT_NONE && !l->r->segment[s->segment].bad) {
		uint32_t unit = l->r->unit;
		l->segment = s->segment;
		l->tail = (s->tail + unit - 1) & ~(unit - 1);
		l->committed = l->tail;
	}
	l->next = s->last + 1;
	l->durable = l->marked = s->last;
	l->known = l->next - s->digests;
	for (uint32_t i = 0; i < s->digests; i++)
		l->digest[(s->last - i) % DIGESTS_MAX] = s->digest[i];
	if (s->digests == 0)
		l->digest[s->last % DIGESTS_MAX] = s->lost_end ? DIGEST_MANY : DIGEST_NONE;
	return 0;
}

bool header_mend(const struct paste_region *r, struct header *h)
{
	uint32_t syndrome = header_crc(r, h) ^ h->crc;

	if (__builtin_popcount(h->magic ^ HEADER_MAGIC) > 1)
		return false;
	if (repair_in_checksum(syndrome)) {
		h->crc ^= syndrome;
	} else {
		int64_t bit = repair_find_bit(sizeof(*h) - sizeof(h->crc), syndrome);
		if (bit < 0)
			return false;
		((uint8_t *)h)[sizeof(h->crc) + bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	return h->magic == HEADER_MAGIC && header_crc(r, h) == h->crc;
}

int headers_read(const struct paste_region *r, struct headers *h)
{
	h->header = calloc(r->segments, sizeof(*h->header));
	h->mended = calloc(r->segments, sizeof(*h->mended));
	if (!h->header || !h->mended) {
		headers_free(h);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < r->segments; i++) {
		struct header *to = &h->header[i];
		if (segment_readable(r, i, 0, sizeof(*to)))
			memcpy(to, region_segment_data(r, i), sizeof(*to));
		bool whole = to->magic == HEADER_MAGIC && (header_crc(r, to) == to->crc || !SITE(header_crc_check));
		if (!whole && header_mend(r, to)) {
			h->mended[i] = whole = true;
		}
		if (!whole)
			memset(to, 0, sizeof(*to));
	}
	return 0;
}

void headers_free(struct headers *h)
{
	free(h->header);
	free(h->mended);
	h->header = NULL;
	h->mended = NULL;
}
