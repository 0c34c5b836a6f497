/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes: put, delete, append, trim. Each is one record, then the index. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/copy.h"
#include "base/crc.h"
#include "store/store_internal.h"

#define PREFETCH_BYTES 2048 /* more takes longer to come than what is done before */

uint64_t entry_cost(const struct entry *e)
{
	return op_padded(sizeof(struct op) + entry_size(e) - sizeof(struct entry));
}

void index_account(struct paste_store *s, const struct entry *e, int sign)
{
	uint64_t live = e->key_length + e->length;

	if (e->flags & ENTRY_ABSENT)
		return;
	s->index_bytes += sign > 0 ? entry_cost(e) : -entry_cost(e);
	s->live_bytes += sign > 0 ? live : -live;
	if (e->attributes && entry_expires(e))
		s->expiring += sign > 0 ? 1 : -1ull;
	if (e->refs)
		s->placed_bytes += sign > 0 ? e->length : -e->length;
	if (e->key_length)
		s->live_keys += sign > 0 ? 1 : -1ull;
	else
		s->entries += sign > 0 ? 1 : -1ull;
}

uint16_t home_log(const struct paste_store *s, bool stream, const void *key, size_t length)
{
	return s->logs == 1 ? 0 : (uint16_t)(key_digest(stream, key, length) % s->logs);
}

/* Out of the index and wanted by nobody. */
static void entry_drop(struct paste_store *s, uint16_t l, uint64_t sequence, struct entry *e)
{
	if (e->flags & ENTRY_ABSENT)
		e->flags |= ENTRY_DROPPED; /* the absent queue frees it */
	else if (e->refs == 0)
		entry_free(&s->slab, e);
	else
		fifo_push(&s->limbo[l], e, sequence);
}

void entry_moved(struct paste_store *s, uint16_t l, uint64_t sequence, struct entry *e)
{
	index_account(s, e, -1);
	s->retired++;
	entry_drop(s, l, sequence, e);
}

void entry_retire(struct paste_store *s, uint16_t l, uint64_t sequence, struct entry *e)
{
	index_account(s, e, -1);
	s->retired++;
	if (!s->snapshot.active || !snapshot_keep(s, l, e))
		entry_drop(s, l, sequence, e);
}

static void entry_trim(struct paste_store *s, uint16_t l, uint64_t sequence, struct stream *st, uint64_t number)
{
	struct entry *e = stream_get(st, number);

	if (!e)
		return;
	stream_set(st, number, NULL);
	index_account(s, e, -1);
	s->retired++;
	if (!s->snapshot.active || !snapshot_keep_entry(s, st, number, e))
		entry_drop(s, l, sequence, e);
}

uint64_t change_log(struct paste_store *s, uint16_t l, struct op_view *v, uint32_t digest)
{
	struct log *log = &s->log[l];
	uint8_t *p = log_add(log, (uint32_t)op_size(&v->op));

	if (v->op.type == OP_APPEND && log_named(log, v->key, v->op.key_length))
		v->op.key_length = 0; /* the op before it in the record that names one has named it */
	return log_added(log, (uint32_t)op_encode(p, v), digest);
}

struct record *record_begin(struct paste_store *s, uint16_t l, size_t op_bytes, uint32_t body, uint8_t **place)
{
	struct record *rec = log_begin(&s->log[l], (uint32_t)(op_bytes + op_padded(body)));

	if (rec)
		*place = record_ops(rec) + op_bytes;
	return rec;
}

uint64_t record_end(struct paste_store *s, uint16_t l, struct record *rec, const struct op_view *v, uint32_t body,
		    uint32_t digest)
{
	uint8_t *ops = record_ops(rec);
	uint32_t meta = (uint32_t)((size_t)(ops - (uint8_t *)rec) + op_encode(ops, v));
	uint32_t padded = (uint32_t)op_padded(body);

	memset((uint8_t *)rec + meta + body, 0, padded - body);
	struct log_shape shape = {
		.type = RECORD_CHANGE,
		.ops = 1,
		.meta = meta,
		.length = meta + padded,
		.digest = &digest,
	};
	return log_end(&s->log[l], rec, &shape);
}

uint64_t record_end_ops(struct paste_store *s, uint16_t l, struct record *rec, uint32_t ops, uint32_t op_bytes,
			uint32_t body)
{
	uint8_t *p = record_ops(rec);
	uint32_t meta = (uint32_t)(p - (uint8_t *)rec) + op_bytes, padded = (uint32_t)op_padded(body);
	uint32_t digest[DIGESTS_MAX];

	assert(ops <= DIGESTS_MAX);
	for (uint32_t i = 0; i < ops; i++) {
		struct op_view v;
		p += op_decode(p, op_bytes, &v);
		digest[i] = op_digest(&v);
	}
	memset((uint8_t *)rec + meta + body, 0, padded - body);
	struct log_shape shape = {
		.type = RECORD_CHANGE,
		.ops = (uint16_t)ops,
		.meta = meta,
		.length = meta + padded,
		.digest = digest,
	};
	return log_end(&s->log[l], rec, &shape);
}

/* A value on its way in: the plan, the record of its own that it may have, and the entry for the index. */
struct incoming {
	struct value_plan plan;
	struct op_view v;
	uint16_t log;
	struct record *record; /* NULL: the op shares one */
	struct entry *entry;
};

static int incoming_begin(struct paste_store *s, struct incoming *in, uint8_t type, const void *key,
			  size_t key_length, const struct paste_ref *slices, uint32_t n)
{
	struct log *l = &s->log[in->log];
	int ret = value_plan(s, slices, n, &in->plan);

	if (ret < 0)
		return ret;
	in->v = (struct op_view){
		.op = {.type = type,
		       .flags = in->plan.flags,
		       .key_length = (uint16_t)key_length,
		       .refs = (uint16_t)in->plan.refs,
		       .length = in->plan.length},
		.refs = s->extents,
		.key = key,
		.bytes = in->plan.bytes,
	};
	if (in->plan.packed) {
		uint32_t body = (uint32_t)in->plan.length;
		uint8_t *place;
		in->record = record_begin(s, in->log, op_size(&in->v.op), body, &place);
		if (!in->record)
			return -ENOSPC;
		uint32_t offset = (uint32_t)(place - region_segment_data(s->r, l->segment));
		struct paste_ref ref = region_ref_at(s->r, l->segment, offset, body);
		extent_put(&s->extents[0], ref, value_gather(s, slices, n, place));
		s->c.copies[PASTE_COPY_SMALL]++;
		s->c.copy_bytes[PASTE_COPY_SMALL] += body;
	} else if (!log_add(l, (uint32_t)op_size(&in->v.op))) {
		return -ENOSPC;
	}
	in->v.op.version = type == OP_PUT ? l->next : 0;
	return 0;
}

static int incoming_entry(struct paste_store *s, struct incoming *in)
{
	in->entry = entry_new(&s->slab, &in->v);
	if (!in->entry)
		return -ENOMEM;
	in->entry->mark = s->round;
	return 0;
}

/* What can no longer fail: the record and the ownership. The change's number. */
static uint64_t incoming_end(struct paste_store *s, struct incoming *in, uint32_t digest)
{
	value_own(s, in->entry);
	index_account(s, in->entry, 1);
	s->c.acknowledged_bytes += in->v.op.key_length + in->plan.length;
	if (in->record)
		return record_end(s, in->log, in->record, &in->v, (uint32_t)in->plan.length, digest);
	return change_log(s, in->log, &in->v, digest);
}

/* The bytes will be asked for when the index was looked at. */
static void value_prefetch(const struct paste_store *s, const struct paste_ref *slices, uint32_t n)
{
	if (n == 0)
		return;
	const uint8_t *p = region_ref_data(s->r, slices[0]);
	for (uint32_t i = 0; i < slices[0].length && i < PREFETCH_BYTES; i += 64)
		__builtin_prefetch(p + i);
}

static int change_check(const struct paste_store *s, size_t key_length)
{
	if (s->error)
		return -EIO;
	if (s->read_only)
		return -EROFS;
	return key_length < 1 || key_length > PASTE_KEY_MAX ? -EINVAL : 0;
}

static uint64_t slices_bytes(const struct paste_ref *slices, uint32_t n)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n; i++)
		bytes += slices[i].length;
	return bytes;
}

/* Room for a value and an entry, on the medium and in the queues that must not fail later. */
static int change_admit(struct paste_store *s, uint16_t l, uint64_t value, size_t key_length, const struct entry *old)
{
	if (value > value_max(s))
		return -EFBIG;
	/* What replaces a value takes its place in the index, too. */
	bool new = !old || (old->flags & ENTRY_ABSENT);
	uint64_t index = new ? sizeof(struct op) + sizeof(struct extent) + key_length + 8 : 0;
	int ret = space_admit(s, value, index, old && old->refs ? old->length : 0);
	if (ret == -ENOSPC)
		s->c.rejected_full++;
	if (ret < 0)
		return ret;
	/* Only now: making room uses these places, too. */
	return fifo_reserve(&s->limbo[l], 1) || fifo_reserve(&s->absent, 1) ? -ENOMEM : 0;
}

/* Making room may have put other entries in the place of those found before it, or dropped absent ones. */
static bool position_stale(const struct paste_store *s, const struct tree_position *at, uint64_t retired)
{
	return s->retired != retired || s->keys.version != at->version;
}

int paste_store_put(struct paste_store *s, const void *key, size_t key_length, const struct paste_ref *slices,
		    uint32_t n, struct paste_result *result)
{
	int ret = change_check(s, key_length);

	if (ret < 0)
		return ret;
	value_prefetch(s, slices, n);
	struct incoming in = {.log = home_log(s, false, key, key_length)};
	struct tree_position at;
	struct entry *old = tree_locate(&s->keys, key, key_length, &at);
	uint64_t retired = s->retired;
	ret = change_admit(s, in.log, slices_bytes(slices, n), key_length, old);
	if (ret < 0)
		return ret;
	if (position_stale(s, &at, retired))
		old = tree_locate(&s->keys, key, key_length, &at);
	ret = incoming_begin(s, &in, OP_PUT, key, key_length, slices, n);
	if (ret == 0)
		ret = incoming_entry(s, &in);
	if (ret < 0)
		return ret;
	if (old) {
		tree_replace_at(&s->keys, &at, in.entry);
	} else {
		/* The tree looks at the item's key: it stands in the entry. */
		ret = tree_insert_at(&s->keys, &at, in.entry);
		if (ret < 0) {
			entry_free(&s->slab, in.entry);
			return ret;
		}
	}
	uint64_t sequence = incoming_end(s, &in, op_digest(&in.v));
	*result = (struct paste_result){.round = s->round, .version = sequence};
	if (old) {
		result->existed = entry_shown(s, old);
		entry_retire(s, in.log, sequence, old);
	}
	s->c.puts++;
	return 0;
}

int log_add_always(struct paste_store *s, uint16_t l, const struct op *op)
{
	uint32_t bytes = (uint32_t)op_size(op);

	if (log_add(&s->log[l], bytes))
		return 0;
	int ret = space_make_room(s);
	if (ret < 0)
		return ret;
	return log_add(&s->log[l], bytes) ? 0 : -ENOSPC;
}

int paste_store_delete(struct paste_store *s, const void *key, size_t key_length, struct paste_result *result)
{
	int ret = change_check(s, key_length);

	if (ret < 0)
		return ret;
	uint16_t l = home_log(s, false, key, key_length);
	struct tree_position at;
	struct entry *old = tree_locate(&s->keys, key, key_length, &at);
	if (!old || (old->flags & ENTRY_ABSENT)) {
		*result = (struct paste_result){.round = old ? pending_round(s, old->mark) : 0};
		return 0;
	}
	struct op_view v = {.op = {.type = OP_DELETE, .key_length = (uint16_t)key_length}, .key = key};
	uint64_t retired = s->retired;
	ret = log_add_always(s, l, &v.op);
	if (ret == 0 && (fifo_reserve(&s->limbo[l], 1) || fifo_reserve(&s->absent, 1)))
		ret = -ENOMEM;
	if (ret < 0)
		return ret;
	if (position_stale(s, &at, retired))
		old = tree_locate(&s->keys, key, key_length, &at);
	v.op.version = s->log[l].next;
	struct entry *gone = entry_new(&s->slab, &v);
	if (!gone)
		return -ENOMEM;
	gone->flags |= ENTRY_ABSENT;
	gone->mark = s->round;
	tree_replace_at(&s->keys, &at, gone);
	fifo_push(&s->absent, gone, s->round);
	uint64_t sequence = change_log(s, l, &v, op_digest(&v));
	*result = (struct paste_result){.round = s->round, .version = sequence, .existed = entry_shown(s, old)};
	entry_retire(s, l, sequence, old);
	s->c.deletes++;
	s->c.acknowledged_bytes += key_length;
	return 0;
}

int stream_for_append(struct paste_store *s, const void *name, size_t length, struct stream **stream)
{
	struct stream *found = s->recent;
	if (!found || found->name_length != length || !same_short(found->name, name, length))
		found = tree_find(&s->streams, name, length);
	*stream = found;
	if (found) {
		s->recent = found;
		return found->unsure ? -EBADMSG : 0;
	}
	if (lost_covers(s, true, name, length))
		return -EBADMSG;
	int ret = stream_add(&s->slab, &s->streams, name, length, stream);
	if (ret == 0)
		s->index_bytes += op_padded(sizeof(struct op) + length);
	return ret;
}

void stream_unmake(struct paste_store *s, struct stream *st)
{
	if (st->next > 1)
		return;
	s->index_bytes -= op_padded(sizeof(struct op) + st->name_length);
	tree_remove(&s->streams, st->name, st->name_length);
	s->recent = NULL;
	stream_free(&s->slab, st, NULL, NULL);
}

int paste_store_append(struct paste_store *s, const void *name, size_t name_length, const struct paste_ref *slices,
		       uint32_t n, struct paste_result *result)
{
	struct stream *st = NULL;
	int ret = change_check(s, name_length);

	if (ret < 0)
		return ret;
	value_prefetch(s, slices, n);
	struct incoming in; /* not zeroed as a whole, which would take as long as the rest */
	in.log = home_log(s, true, name, name_length);
	in.record = NULL;
	ret = change_admit(s, in.log, slices_bytes(slices, n), name_length, NULL);
	if (ret == 0)
		ret = stream_for_append(s, name, name_length, &st);
	if (ret == 0 && !stream_has_slot(st, st->next))
		ret = stream_reserve(&s->slab, st, st->next);
	if (ret == 0)
		ret = incoming_begin(s, &in, OP_APPEND, name, name_length, slices, n);
	if (ret == 0) {
		in.v.op.version = st->next;
		/* The entry in the index does not repeat the stream's name. */
		in.v.op.key_length = 0;
		ret = incoming_entry(s, &in);
		in.v.op.key_length = (uint16_t)name_length;
	}
	if (ret < 0) {
		if (st)
			stream_unmake(s, st);
		return ret;
	}
	stream_set(st, st->next, in.entry);
	incoming_end(s, &in, st->digest);
	*result = (struct paste_result){.round = s->round, .version = st->next, .existed = st->next > 1};
	if (s->snapshot.active)
		snapshot_touch(s, st);
	st->next++;
	st->mark = s->round;
	s->c.appends++;
	return 0;
}

int paste_store_trim(struct paste_store *s, const void *name, size_t name_length, uint64_t before,
		     struct paste_result *result)
{
	int ret = change_check(s, name_length);

	if (ret < 0)
		return ret;
	struct stream *st = tree_find(&s->streams, name, name_length);
	if (!st)
		return -ENOENT;
	if (before > st->next)
		before = st->next;
	*result = (struct paste_result){.round = pending_round(s, st->mark), .existed = true};
	if (before <= st->first)
		return 0;
	uint16_t l = home_log(s, true, name, name_length);
	struct op_view v = {
		.op = {.type = OP_TRIM, .key_length = (uint16_t)name_length, .version = before}, .key = name};
	ret = log_add_always(s, l, &v.op);
	if (ret == 0 && fifo_reserve(&s->limbo[l], before - st->first))
		ret = -ENOMEM;
	if (ret < 0)
		return ret;
	uint64_t sequence = change_log(s, l, &v, st->digest);
	if (s->snapshot.active)
		snapshot_touch(s, st);
	for (uint64_t i = st->first; i < before; i++)
		entry_trim(s, l, sequence, st, i);
	stream_trim(&s->slab, st, before);
	st->mark = s->round;
	result->round = s->round;
	return 0;
}
