/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the pages of a checkpoint: finding them, putting one flipped bit right, and saying what a lost page held. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/site.h"
#include "region/repair.h"
#include "store/recover.h"

struct pages {
	struct paste_store *s;
	const uint8_t **page; /* by number; NULL: not found */
	uint64_t count;
	/* The last key before the place we are at, for naming what a lost page held. */
	bool in_streams;
	uint8_t last[PASTE_KEY_MAX];
	uint16_t last_length;
	bool gap; /* a page was lost since */
};

static bool page_header_ours(const struct pages *p, const struct header *h)
{
	const struct format_root *root = &p->s->r->sb.root;

	return h->magic == HEADER_MAGIC && h->kind == HEADER_CHECKPOINT && h->id == root->id &&
	       (h->epoch == root->epoch || !SITE(page_epoch_check)) && h->index < p->count;
}

/* The header of the page at `at`, mended if need be; false if it is none of ours. */
static bool page_header(const struct pages *p, const uint8_t *at, struct header *h, bool *mended)
{
	*mended = false;
	if (!media_readable(p->s->r->m, (uint64_t)(at - p->s->r->m->base), PAGE_SIZE_CHECKPOINT))
		return false;
	memcpy(h, at, sizeof(*h));
	if (header_crc(p->s->r, h) != h->crc)
		*mended = header_mend(p->s->r, h);
	return header_crc(p->s->r, h) == h->crc && page_header_ours(p, h);
}

static void pages_in_segment(struct pages *p, uint32_t segment, bool assign)
{
	const uint8_t *data = region_segment_data(p->s->r, segment);
	bool found = false;

	for (uint32_t o = 0; o < p->s->r->segment_size; o += PAGE_SIZE_CHECKPOINT) {
		struct header h;
		bool mended;
		if (!page_header(p, data + o, &h, &mended) || p->page[h.index])
			continue;
		p->page[h.index] = data + o;
		found = true;
	}
	if (found && assign) {
		region_segment_assign(p->s->r, segment, SEGMENT_CHECKPOINT);
		segment_list_add(&p->s->checkpoint_segments, segment);
	}
}

static uint64_t pages_missing(const struct pages *p)
{
	uint64_t missing = 0;

	for (uint64_t i = 0; i < p->count; i++)
		missing += p->page[i] == NULL;
	return missing;
}

/* By the segments' first headers; if pages are missing, by every page of every segment that said nothing. */
static void pages_find(struct pages *p, const struct headers *h)
{
	struct paste_region *r = p->s->r;

	for (uint32_t i = 0; i < r->segments; i++) {
		if (page_header_ours(p, &h->header[i]))
			pages_in_segment(p, i, true);
	}
	if (pages_missing(p) == 0)
		return;
	for (uint32_t i = 0; i < r->segments; i++) {
		if (!page_header_ours(p, &h->header[i]))
			pages_in_segment(p, i, true);
	}
}

/* What was lost lies between the last key before and `v`, the first op of the next good page (NULL: the end). */
static int close_gap(struct pages *p, const struct op_view *v)
{
	struct paste_store *s = p->s;
	bool to_streams = !v || v->op.type == OP_STREAM;
	const void *high = v ? v->key : NULL;
	size_t high_length = v ? v->op.key_length : 0;
	int ret = 0;

	p->gap = false;
	if (!p->in_streams)
		ret = lost_interval(s, false, p->last, p->last_length, to_streams ? NULL : high,
				    to_streams ? 0 : high_length);
	if (ret == 0 && to_streams)
		ret = lost_interval(s, true, p->last, p->in_streams ? p->last_length : 0, high, high_length);
	return ret;
}

static void remember(struct pages *p, const struct op_view *v)
{
	if (v->op.type != OP_PUT && v->op.type != OP_STREAM)
		return;
	p->in_streams = v->op.type == OP_STREAM;
	p->last_length = v->op.key_length;
	memcpy(p->last, v->key, v->op.key_length);
}

static int page_apply(struct pages *p, const uint8_t *body, uint32_t length, uint32_t ops)
{
	struct stream *in = NULL;

	for (uint32_t i = 0; i < ops; i++) {
		struct op_view v;
		int64_t size = op_decode(body, length, &v);
		if (size < 0)
			return -EBADMSG;
		int ret = 0;
		if (p->gap && (v.op.type == OP_PUT || v.op.type == OP_STREAM))
			ret = close_gap(p, &v);
		if (ret == 0)
			ret = recover_apply(p->s, &v, 0, &in);
		if (ret < 0)
			return ret;
		remember(p, &v);
		body += size;
		length -= (uint32_t)size;
	}
	return 0;
}

/* A whole body in `copy` (4096 bytes of the page), one flipped bit put right. */
static bool page_body(struct pages *p, const uint8_t *at, const struct header *h, uint8_t *copy, bool *mended)
{
	uint32_t length = h->body_length;

	if (length > PAGE_SIZE_CHECKPOINT - sizeof(*h))
		return false;
	memcpy(copy, at + sizeof(*h), length);
	uint32_t syndrome = paste_crc(p->s->r->sb.salt, copy, length) ^ h->body_crc;
	if (syndrome == 0 || !SITE(page_crc_check))
		return true;
	int64_t bit = repair_find_bit(length, syndrome);
	if (bit < 0)
		return false;
	copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	*mended = true;
	return true;
}

static int page_read(struct pages *p, uint64_t number)
{
	struct paste_store *s = p->s;
	const uint8_t *at = p->page[number];
	/* Aligned as ops in a record are. */
	_Alignas(8) uint8_t body[PAGE_SIZE_CHECKPOINT];
	struct header h;
	bool mended = false, whole = false;
	uint64_t offset = at ? (uint64_t)(at - s->r->m->base) : 0;

	if (at && page_header(p, at, &h, &mended))
		whole = page_body(p, at, &h, body, &mended);
	int ret = whole ? page_apply(p, body, h.body_length, h.ops) : -EBADMSG;
	if (ret == -EBADMSG) {
		damage_note(s, offset, false, "checkpoint page %llu of %llu: %s", (unsigned long long)number,
			    (unsigned long long)p->count,
			    at ? "damaged; keys that it held are answered with an error" : "missing");
		p->gap = true;
		return 0;
	}
	if (ret == 0 && mended)
		damage_note(s, offset, true, "checkpoint page %llu: one flipped bit", (unsigned long long)number);
	return ret;
}

int recover_checkpoint(struct paste_store *s, const struct headers *h)
{
	const struct format_root *root = &s->r->sb.root;
	struct pages p = {.s = s, .count = root->pages};

	s->checkpoint.id = root->id;
	if (root->id == 0 || root->pages == 0)
		return 0;
	if (root->pages > s->r->sb.size / PAGE_SIZE_CHECKPOINT)
		return -EBADMSG;
	p.page = calloc(root->pages, sizeof(*p.page));
	if (!p.page)
		return -ENOMEM;
	pages_find(&p, h);
	int ret = 0;
	for (uint64_t i = 0; ret == 0 && i < p.count; i++)
		ret = page_read(&p, i);
	if (ret == 0 && p.gap)
		ret = close_gap(&p, NULL);
	free(p.page);
	return ret;
}
