/* SPDX-License-Identifier: BSD-2-Clause */
#include "rig.h"

#include <stdio.h>

#include "base/crc.h"

void rig_begin(struct rig *g, enum sim_kind kind, uint64_t size)
{
	memset(g, 0, sizeof(*g));
	bare_begin(&g->b, kind, size, 4096, 1);
	log_init(&g->l, g->b.r, 0, g->b.r->sb.epoch);
	rig_scan(g);
	rig_begin_life(g);
}

static void scan_drop(struct rig *g)
{
	scan_free(&g->s);
	headers_free(&g->h);
}

void rig_end(struct rig *g)
{
	if (g->b.r) {
		log_truncate(&g->l, UINT64_MAX);
		bare_end(&g->b);
	} else {
		free(g->b.image);
	}
	log_free(&g->l);
	scan_drop(g);
}

uint64_t rig_put(struct rig *g, uint32_t inline_bytes, uint32_t body)
{
	struct paste_region *r = g->b.r;
	uint8_t bytes[1024];
	char key[24];
	struct extent e;
	struct op_view v = {
	    .op = {.type = OP_PUT,
		   .flags = body ? 0 : OP_INLINE,
		   .refs = body ? 1 : 0,
		   .version = g->l.next,
		   .length = body ? body : inline_bytes},
	    .refs = &e,
	    .key = (const uint8_t *)key,
	    .bytes = bytes,
	};

	memset(bytes, (int)g->l.next, sizeof(bytes));
	v.op.key_length = (uint16_t)snprintf(key, sizeof(key), "k%llu", (unsigned long long)g->l.next);
	uint32_t op = (uint32_t)op_size(&v.op), digest = op_digest(&v);
	struct record *rec = log_begin(&g->l, op + (uint32_t)op_padded(body));
	if (!rec)
		return 0;
	uint32_t meta = record_head(RECORD_CHANGE, rec->digests) + op, length = meta + (uint32_t)op_padded(body);
	if (body) {
		uint8_t *place = (uint8_t *)rec + meta;
		memset(place, (int)g->l.next, op_padded(body));
		e.ref = region_ref_at(r, g->l.segment,
				      (uint32_t)(place - region_segment_data(r, g->l.segment)), body);
		e.crc = paste_crc(0, place, body);
	}
	op_encode(record_ops(rec), &v);
	struct log_shape shape = {
	    .type = RECORD_CHANGE, .ops = 1, .meta = meta, .length = length, .digest = &digest};
	return log_end(&g->l, rec, &shape);
}

uint64_t rig_add(struct rig *g, uint32_t inline_bytes, bool stream)
{
	uint8_t bytes[64];
	char key[24];
	struct op_view v = {
	    .op = {.type = stream ? OP_APPEND : OP_PUT, .flags = OP_INLINE, .length = inline_bytes},
	    .key = (const uint8_t *)key,
	    .bytes = bytes,
	};

	memset(bytes, (int)g->l.next, sizeof(bytes));
	v.op.key_length = (uint16_t)(stream ? snprintf(key, sizeof(key), "a-stream")
					    : snprintf(key, sizeof(key), "k%llu", (unsigned long long)g->l.next));
	uint8_t *p = log_add(&g->l, (uint32_t)op_size(&v.op));
	if (!p)
		return 0;
	uint32_t digest = op_digest(&v);
	v.op.version = g->l.next;
	if (stream && log_named(&g->l, key, v.op.key_length))
		v.op.key_length = 0;
	return log_added(&g->l, (uint32_t)op_encode(p, &v), digest);
}

void rig_commit(struct rig *g)
{
	log_commit(&g->l);
	uint64_t last = g->l.next - 1, stated = g->l.stated;
	media_ticket ticket = media_commit(g->b.m);
	assert_true(ticket >= 0);
	assert_true(media_wait(g->b.m, ticket) >= ticket);
	log_closed(&g->l);
	log_durable(&g->l, last, stated);
}

void rig_scan(struct rig *g)
{
	scan_drop(g);
	assert_int_equal(headers_read(g->b.r, &g->h), 0);
	assert_int_equal(log_scan(g->b.r, &g->h, 0, &g->s), 0);
}

void rig_crash(struct rig *g)
{
	log_free(&g->l);
	bare_reopen(&g->b);
	log_init(&g->l, g->b.r, 0, g->b.r->sb.epoch);
	rig_scan(g);
}

void rig_begin_life(struct rig *g)
{
	struct superblock *sb = &g->b.r->sb;

	sb->epoch++;
	sb->log[0].end = g->s.last;
	assert_int_equal(superblock_rewrite(sb, g->b.m, g->b.r->health.older), 0);
	for (uint32_t i = 0; i < g->s.segment_count; i++)
		region_segment_assign(g->b.r, g->s.segments[i].segment, SEGMENT_LOG);
	region_settle(g->b.r);
	g->l.epoch = sb->epoch;
	assert_int_equal(log_resume(&g->l, &g->s), 0);
	assert_int_equal(log_write_open(&g->l, g->s.last + SEQUENCE_JUMP, g->s.last), 0);
	rig_commit(g);
}

uint64_t rig_record(struct rig *g, size_t i)
{
	assert_true(i < g->s.n);
	return g->s.records[i].offset;
}

void rig_flip(struct rig *g, uint64_t offset, uint8_t bits)
{
	g->b.m->base[offset] ^= bits;
	media_write_back(g->b.m, offset, 1);
	media_ticket ticket = media_commit(g->b.m);
	assert_true(media_wait(g->b.m, ticket) >= ticket);
}

size_t rig_records(const struct rig *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->s.n; i++)
		n += g->s.records[i].record->type != RECORD_SEAL;
	return n;
}

void rig_expect(struct rig *g, size_t records, uint64_t last)
{
	assert_int_equal(rig_records(g), records);
	assert_int_equal(g->s.last, last);
	for (size_t i = 1; i < g->s.n; i++) {
		const struct record *rec = g->s.records[i].record;
		assert_true(rec->sequence > g->s.records[i - 1].record->sequence);
		assert_true(rec->epoch >= g->s.records[i - 1].record->epoch);
	}
}
