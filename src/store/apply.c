/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes with conditions, several at once, with a retry key, or with a time to go.
 *
 * All of a call stands in one record, so that it happened or did not. In memory, too: first everything is
 *prepared that can fail, with the index as it was; then the record is completed and the index changed, and
 *nothing can fail.
 *
 *	judge	arguments, retry key, conditions
 *	admit	room
 *	prepare	the entries for the index with their values' places; the record's place; new keys and streams
 *	record	the ops, one behind the other; behind them the small values
 *	settle	the index, who owns what, results
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "paste/change.h"
#include "store/store_internal.h"

#define OPS_DIRECT_BYTES 3072      /* as many stand in the record itself, more in its body under a BATCH op */
#define OPS_DIRECT LOG_CARRIED_MAX /* so many does the next record name */
#define RETRY_NAME_MAX 1020

/* One change on its way. */
struct part {
	const struct paste_change *change;
	struct paste_result *result;
	struct entry *entry; /* for the index: a value, or that there is none; NULL: nothing changes */
	struct entry *old;   /* of a key: what it replaces */
	struct stream *stream;
	uint64_t sequence; /* of an append */
	bool packed;       /* the value goes into the record's body */
	bool inserted;     /* the entry is in the tree */
};

struct batch {
	struct paste_store *s;
	struct part *part;
	uint32_t n;
	uint16_t log;
	const struct paste_retry *retry;
	uint8_t retry_name[PASTE_KEY_MAX];
	uint16_t retry_length;
	uint8_t retry_attributes[ATTRIBUTE_FINGERPRINT_SIZE];
	uint64_t *remembered;    /* results, for the RETRY op */
	uint32_t ops, ops_bytes; /* that the record will have */
	uint64_t small_bytes;    /* of values in its body */
	bool grows;              /* not only deletes */
	uint64_t version;        /* of puts; 0: the record's number */
};

uint64_t paste_store_batch_max(const struct paste_store *s)
{
	return s->r->segment_size / 2;
}

/* ------------------------------------------------------------------ judging */

static int judge_version(const struct paste_change *c, bool there, uint64_t version)
{
	switch (c->condition) {
	case PASTE_ALWAYS:
		return 0;
	case PASTE_IF_ABSENT:
		return there ? -EEXIST : 0;
	case PASTE_IF_PRESENT:
		return there ? 0 : -ENOENT;
	case PASTE_IF_VERSION:
		return !there ? -ENOENT : version == c->expected ? 0 : -ESTALE;
	case PASTE_IF_NOT_VERSION:
		return there && version == c->expected ? -ESTALE : 0;
	}
	return -EINVAL;
}

static int judge_key(struct paste_store *s, const struct paste_change *c, struct paste_result *result)
{
	const struct entry *e = tree_find(&s->keys, c->key, c->key_length);
	bool there = entry_shown(s, e);

	if (e ? e->flags & OP_LOST : lost_covers(s, false, c->key, c->key_length))
		return -EBADMSG;
	result->round = e ? pending_round(s, e->mark) : 0;
	result->version = there ? e->version : 0;
	int ret = judge_version(c, there, result->version);
	if (ret == -ENOENT && e && !(e->flags & ENTRY_ABSENT)) {
		int shown = expiry_reveal(s, e, &result->round);
		return shown < 0 ? shown : ret;
	}
	return ret;
}

static int judge_stream(struct paste_store *s, const struct paste_change *c, struct paste_result *result)
{
	const struct stream *st = tree_find(&s->streams, c->key, c->key_length);
	uint64_t next = st ? st->next : 1;

	if (st ? st->unsure : lost_covers(s, true, c->key, c->key_length))
		return -EBADMSG;
	result->round = st ? pending_round(s, st->mark) : 0;
	result->version = next;
	if (c->condition == PASTE_IF_VERSION)
		return next == c->expected ? 0 : -ESTALE;
	return judge_version(c, st != NULL, next);
}

static bool condition_fails(int ret)
{
	return ret == -EEXIST || ret == -ENOENT || ret == -ESTALE;
}

static int judge_conditions(struct batch *b)
{
	struct paste_store *s = b->s;
	int first = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		const struct paste_change *c = b->part[i].change;
		struct paste_result *result = b->part[i].result;
		int ret = 0;
		if (c->condition != PASTE_ALWAYS)
			ret = c->type == PASTE_APPEND ? judge_stream(s, c, result) : judge_key(s, c, result);
		if (ret < 0 && !condition_fails(ret))
			return ret;
		if (ret < 0 && s->error && result->round)
			return -EIO;
		result->error = ret;
		first = first ? first : ret;
	}
	return first;
}

static int judge_change(const struct paste_change *c)
{
	if (c->key_length < 1 || c->key_length > PASTE_KEY_MAX)
		return -EINVAL;
	if (c->type > PASTE_APPEND || c->condition > PASTE_IF_NOT_VERSION)
		return -EINVAL;
	if (c->type == PASTE_APPEND && c->condition == PASTE_IF_NOT_VERSION)
		return -EINVAL;
	return c->type != PASTE_PUT && c->expires ? -EINVAL : 0;
}

static int part_order(const void *a, const void *b)
{
	const struct paste_change *x = *(const struct paste_change *const *)a,
				  *y = *(const struct paste_change *const *)b;
	bool x_stream = x->type == PASTE_APPEND, y_stream = y->type == PASTE_APPEND;
	size_t common = x->key_length < y->key_length ? x->key_length : y->key_length;
	int order = x_stream != y_stream ? x_stream - y_stream : memcmp(x->key, y->key, common);

	return order ? order : (x->key_length > y->key_length) - (x->key_length < y->key_length);
}

static int judge_names(const struct batch *b)
{
	if (b->n == 1)
		return 0;
	const struct paste_change **sorted = malloc(b->n * sizeof(*sorted));
	int ret = sorted ? 0 : -ENOMEM;

	for (uint32_t i = 0; ret == 0 && i < b->n; i++) {
		const struct paste_change *c = sorted[i] = b->part[i].change;
		if (home_log(b->s, c->type == PASTE_APPEND, c->key, c->key_length) != b->log)
			ret = -EXDEV;
	}
	if (ret == 0)
		qsort(sorted, b->n, sizeof(*sorted), part_order);
	for (uint32_t i = 1; ret == 0 && i < b->n; i++) {
		if (sorted[i]->type == PASTE_APPEND || part_order(&sorted[i - 1], &sorted[i]) != 0)
			continue;
		const struct paste_change *again = sorted[i] > sorted[i - 1] ? sorted[i] : sorted[i - 1];
		ret = b->part[again - b->part[0].change].result->error = -EINVAL;
	}
	free(sorted);
	return ret;
}

/* ------------------------------------------------------------------ retry keys */

static int retry_name(struct batch *b)
{
	const struct paste_retry *retry = b->retry;
	const struct paste_change *c = b->part[0].change;

	if (!retry)
		return 0;
	bool single = b->n == 1 && !retry->whole;
	size_t name = single ? c->key_length : 0;
	if (retry->length < 1 || retry->length > PASTE_RETRY_KEY_MAX ||
	    retry->length + name > RETRY_NAME_MAX || b->n > PASTE_RETRY_CHANGES_MAX)
		return -EINVAL;
	uint8_t *p = b->retry_name;
	*p++ = single ? (uint8_t)c->type : 'B';
	*p++ = (uint8_t)retry->length;
	memcpy(p, retry->key, retry->length);
	if (name)
		memcpy(p + retry->length, c->key, name);
	b->retry_length = (uint16_t)(2 + retry->length + name);
	return 0;
}

/* 1: the call was made before: its results. 0: it was not. -ENOTUNIQ: another one was, with its key. */
static int repeat(struct batch *b)
{
	struct paste_store *s = b->s;
	const struct retry *t = b->retry ? retries_find(&s->retries, b->retry_name, b->retry_length) : NULL;

	if (!t)
		return 0;
	if (t->fingerprint && b->retry->fingerprint && t->fingerprint != b->retry->fingerprint)
		return -ENOTUNIQ;
	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t was = 0;
		if (i < t->changes)
			memcpy(&was, retry_results(t) + 8u * i, sizeof(was));
		*b->part[i].result = (struct paste_result){
		    .round = pending_round(s, t->mark),
		    .version = was & ~RETRY_EXISTED,
		    .existed = was & RETRY_EXISTED,
		    .repeated = true,
		};
	}
	s->c.repeated++;
	return 1;
}

static void retry_view(struct batch *b, struct op_view *v)
{
	*v = (struct op_view){
	    .op = {.type = OP_RETRY,
		   .flags = OP_INLINE,
		   .key_length = b->retry_length,
		   .version = b->s->now,
		   .length = 8u * b->n},
	    .key = b->retry_name,
	    .attributes = b->retry_attributes,
	    .bytes = (const uint8_t *)b->remembered,
	};
	if (!b->retry->fingerprint)
		return;
	v->op.attributes = ATTRIBUTE_FINGERPRINT_SIZE;
	attribute_fingerprint_put(b->retry_attributes, b->retry->fingerprint);
}

int store_remember(struct paste_store *s, const struct op_view *v, uint64_t mark)
{
	uint64_t before = s->retries.bytes, total = (uint64_t)s->r->segments << s->r->segment_shift;
	int ret = retries_add(&s->retries, &s->slab, v, mark);

	retries_forget(&s->retries, &s->slab, s->now, total / 64);
	s->index_bytes += s->retries.bytes - before;
	return ret;
}

/* ------------------------------------------------------------------ preparing */

static uint64_t slices_bytes(const struct paste_change *c)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; c->type != PASTE_DELETE && i < c->n; i++)
		bytes += c->slices[i].length;
	return bytes;
}

static int admit(struct batch *b)
{
	struct paste_store *s = b->s;
	uint64_t placed = 0, index = 0, replaced = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		const struct paste_change *c = b->part[i].change;
		uint64_t bytes = slices_bytes(c);
		if (bytes > paste_store_value_max(s))
			return -EFBIG;
		if (c->type == PASTE_DELETE)
			continue;
		b->grows = true;
		placed += bytes > s->tiny_max ? bytes : 0;
		const struct entry *old =
		    c->type == PASTE_PUT ? tree_find(&s->keys, c->key, c->key_length) : NULL;
		if (!old || (old->flags & ENTRY_ABSENT))
			index += sizeof(struct op) + sizeof(struct extent) + c->key_length + 8;
		else if (old->refs)
			replaced += old->length;
	}
	if (b->retry)
		index += sizeof(struct op) + b->retry_length + ATTRIBUTE_FINGERPRINT_SIZE + 8u * b->n;
	int ret = b->grows || b->retry ? space_admit(s, placed, index, replaced) : 0;
	if (ret == -ENOSPC)
		s->c.rejected_full++;
	return ret;
}

/* The entry that the index will hold. Its version is set when it is known, and the place of a packed value.
 */
static int prepare_entry(struct batch *b, struct part *p)
{
	struct paste_store *s = b->s;
	const struct paste_change *c = p->change;
	struct value_plan plan = {0};
	uint8_t attributes[ATTRIBUTE_EXPIRES_SIZE];
	struct op_view v = {.refs = s->extents, .key = c->key, .attributes = attributes};

	if (c->type != PASTE_DELETE) {
		int ret = value_plan(s, c->slices, c->n, &plan);
		if (ret < 0)
			return ret;
	}
	v.op = (struct op){
	    .type = c->type == PASTE_APPEND ? OP_APPEND
		    : c->type == PASTE_PUT  ? OP_PUT
					    : OP_DELETE,
	    .flags = plan.flags,
	    .key_length = (uint16_t)c->key_length,
	    .refs = (uint16_t)plan.refs,
	    .attributes = c->expires ? ATTRIBUTE_EXPIRES_SIZE : 0,
	    .length = plan.length,
	};
	if (c->expires)
		attribute_expires_put(attributes, c->expires);
	v.refs = s->extents; /* may have moved */
	v.bytes = plan.bytes;
	b->ops_bytes += (uint32_t)op_size(&v.op);
	b->ops++;
	p->packed = plan.packed;
	b->small_bytes += plan.packed ? plan.length : 0;
	if (c->type == PASTE_APPEND)
		v.op.key_length = 0; /* the entry does not repeat the stream's name */
	p->entry = entry_new(&s->slab, &v);
	if (!p->entry)
		return -ENOMEM;
	p->entry->mark = s->round;
	if (c->type == PASTE_DELETE)
		p->entry->flags |= ENTRY_ABSENT;
	return 0;
}

static int prepare_entries(struct batch *b)
{
	struct paste_store *s = b->s;

	for (uint32_t i = 0; i < b->n; i++) {
		struct part *p = &b->part[i];
		const struct paste_change *c = p->change;
		const struct entry *e =
		    c->type == PASTE_APPEND ? NULL : tree_find(&s->keys, c->key, c->key_length);
		if (c->type == PASTE_DELETE && (!e || (e->flags & ENTRY_ABSENT))) {
			p->result->round = e ? pending_round(s, e->mark) : 0;
			continue;
		}
		int ret = prepare_entry(b, p);
		if (ret < 0)
			return ret;
	}
	if (b->retry) {
		struct op_view v;
		retry_view(b, &v);
		b->ops_bytes += (uint32_t)op_size(&v.op);
		b->ops++;
	}
	return b->ops_bytes + b->small_bytes > paste_store_batch_max(s) ? -EFBIG : 0;
}

/* New keys and streams enter the index, so that nothing that follows can fail. */
static int prepare_index(struct batch *b)
{
	struct paste_store *s = b->s;
	int ret = 0;

	/* Only now: making room for the record uses the queues, too. */
	if (fifo_reserve(&s->limbo[b->log], b->n) || fifo_reserve(&s->absent, b->n) ||
	    (b->retry && retries_reserve(&s->retries)))
		return -ENOMEM;
	for (uint32_t i = 0; ret == 0 && i < b->n; i++) {
		struct part *p = &b->part[i];
		const struct paste_change *c = p->change;
		if (!p->entry)
			continue;
		if (c->type == PASTE_APPEND) {
			ret = stream_for_append(s, c->key, c->key_length, &p->stream);
			if (ret < 0)
				continue;
			/* Numbers are taken at once: a later append of this call gets the next. */
			ret = stream_reserve(&s->slab, p->stream, p->stream->next);
			if (ret == 0 && s->snapshot.active)
				snapshot_touch(s, p->stream);
			if (ret == 0)
				p->sequence = p->stream->next++;
			else
				stream_unmake(s, p->stream);
			continue;
		}
		p->old = tree_find(&s->keys, c->key, c->key_length);
		if (p->old)
			continue;
		ret = tree_insert(&s->keys, entry_key(p->entry), p->entry->key_length, p->entry, NULL);
		p->inserted = ret == 0;
	}
	return ret;
}

/* It was in vain: the index is as it was. */
static void take_back(struct batch *b)
{
	struct paste_store *s = b->s;

	for (uint32_t i = b->n; i-- > 0;) {
		struct part *p = &b->part[i];
		if (p->sequence) {
			p->stream->next--;
			stream_unmake(s, p->stream);
		}
		if (p->inserted)
			tree_remove(&s->keys, entry_key(p->entry), p->entry->key_length);
		entry_free(&s->slab, p->entry);
	}
}

/* ------------------------------------------------------------------ the record */

struct place {
	struct record *record;
	uint8_t *ops; /* in the record, or in its body */
	uint8_t *small;
	bool direct;
	uint32_t body;        /* bytes */
	struct op_view outer; /* the BATCH op, if they stand in the body */
	struct extent extent[OP_REFS_MAX];
};

/* Deleting must not fail for want of room. With values on their way no room can be made any more: lists of
 * their references are owned by nobody yet. */
static int place_begin(struct batch *b, struct place *pl)
{
	struct paste_store *s = b->s;
	uint8_t *body = NULL;
	int ret = 0;

	pl->direct = b->ops_bytes <= OPS_DIRECT_BYTES && b->ops <= OPS_DIRECT;
	pl->body = (uint32_t)b->small_bytes + (pl->direct ? 0 : b->ops_bytes);
	pl->outer = (struct op_view){.op = {.type = OP_BATCH, .length = b->ops_bytes}, .refs = pl->extent};
	pl->outer.op.refs = (uint16_t)((b->ops_bytes + BATCH_EXTENT_MAX - 1) / BATCH_EXTENT_MAX);
	size_t meta = pl->direct ? b->ops_bytes : op_size(&pl->outer.op);
	pl->record = record_begin(s, b->log, meta, pl->body, &body);
	if (!pl->record && !b->grows) {
		ret = space_make_room(s);
		pl->record = ret < 0 ? NULL : record_begin(s, b->log, meta, pl->body, &body);
	}
	if (!pl->record)
		return ret < 0 ? ret : -ENOSPC;
	pl->ops = pl->direct ? record_ops(pl->record) : body;
	pl->small = body + (pl->direct ? 0 : b->ops_bytes);
	return 0;
}

static void place_small(struct batch *b, struct part *p, uint8_t **to)
{
	struct paste_store *s = b->s;
	uint32_t segment = s->log[b->log].segment, length = (uint32_t)p->entry->length;
	uint32_t offset = (uint32_t)(*to - region_segment_data(s->r, segment));

	p->entry->extent[0].crc = value_gather(s, p->change->slices, p->change->n, *to);
	p->entry->extent[0].ref = region_ref_at(s->r, segment, offset, length);
	s->c.copies[PASTE_COPY_SMALL]++;
	s->c.copy_bytes[PASTE_COPY_SMALL] += length;
	*to += length;
}

static void place_ops(struct batch *b, struct place *pl, uint64_t version)
{
	struct paste_store *s = b->s;
	uint8_t *to = pl->ops, *small = pl->small;
	struct op_view v;

	for (uint32_t i = 0; i < b->n; i++) {
		struct part *p = &b->part[i];
		const struct paste_change *c = p->change;
		if (!p->entry)
			continue;
		if (p->packed)
			place_small(b, p, &small);
		p->entry->version = c->type == PASTE_APPEND ? p->sequence : version;
		version += pl->direct; /* ops of a record have a number each, those of a BATCH have its */
		entry_op(p->entry,
			 c->type == PASTE_APPEND ? OP_APPEND
			 : c->type == PASTE_PUT  ? OP_PUT
						 : OP_DELETE,
			 &v);
		v.key = c->key;
		v.op.key_length = (uint16_t)c->key_length;
		to += op_encode(to, &v);
		p->result->version = p->entry->version;
		p->result->existed = c->type == PASTE_APPEND ? p->sequence > 1 : entry_shown(s, p->old);
	}
	if (!b->retry)
		return;
	for (uint32_t i = 0; i < b->n; i++) {
		const struct paste_result *r = b->part[i].result;
		b->remembered[i] = r->version | (r->existed ? RETRY_EXISTED : 0);
	}
	retry_view(b, &v);
	op_encode(to, &v);
}

static uint64_t place_end(struct batch *b, struct place *pl)
{
	struct paste_store *s = b->s;
	uint32_t segment = s->log[b->log].segment;

	if (pl->direct)
		return record_end_ops(s, b->log, pl->record, b->ops, b->ops_bytes, pl->body);
	uint32_t offset = (uint32_t)(pl->ops - region_segment_data(s->r, segment));
	for (uint32_t i = 0, done = 0; i < pl->outer.op.refs; i++) {
		uint32_t now =
		    b->ops_bytes - done < BATCH_EXTENT_MAX ? b->ops_bytes - done : BATCH_EXTENT_MAX;
		pl->extent[i] = (struct extent){region_ref_at(s->r, segment, offset + done, now),
						paste_crc(0, pl->ops + done, now)};
		done += now;
	}
	return record_end(s, b->log, pl->record, &pl->outer, pl->body, op_digest(&pl->outer));
}

/* ------------------------------------------------------------------ what is so from now on */

static void settle_part(struct batch *b, struct part *p, uint64_t sequence)
{
	struct paste_store *s = b->s;
	const struct paste_change *c = p->change;

	p->result->round = s->round;
	if (c->type == PASTE_APPEND) {
		stream_set(p->stream, p->sequence, p->entry);
		p->stream->mark = s->round;
		s->c.appends++;
	} else {
		if (p->old)
			tree_replace(&s->keys, c->key, c->key_length, p->entry);
		if (c->type == PASTE_DELETE)
			fifo_push(&s->absent, p->entry, s->round);
		s->c.puts += c->type == PASTE_PUT;
		s->c.deletes += c->type == PASTE_DELETE;
		if (c->expires)
			expiry_note(s, c->expires);
	}
	value_own(s, p->entry);
	index_account(s, p->entry, 1);
	s->c.acknowledged_bytes += c->key_length + p->entry->length;
	if (p->old)
		entry_retire(s, b->log, sequence, p->old);
}

/* A failure here forgets no more than that the call was made: it is remembered on the medium. */
static void settle_retry(struct batch *b)
{
	struct paste_store *s = b->s;
	struct op_view v;

	retry_view(b, &v);
	store_remember(s, &v, s->round);
}

static int perform(struct batch *b)
{
	struct paste_store *s = b->s;
	struct place pl;
	int ret = prepare_entries(b);

	if (ret == 0 && b->ops == 0)
		return 0; /* there was nothing to delete */
	if (ret == 0)
		ret = place_begin(b, &pl);
	if (ret == 0)
		ret = prepare_index(b);
	if (ret < 0) {
		take_back(b);
		return ret;
	}
	place_ops(b, &pl, b->version ? b->version : s->log[b->log].next);
	uint64_t sequence = place_end(b, &pl);
	for (uint32_t i = 0; i < b->n; i++) {
		if (b->part[i].entry)
			settle_part(b, &b->part[i], sequence);
		else if (b->retry)
			b->part[i].result->round = s->round;
	}
	if (b->retry)
		settle_retry(b);
	return 0;
}

static int plain(struct batch *b)
{
	const struct paste_change *c = b->part[0].change;
	struct paste_result *result = b->part[0].result;

	if (c->type == PASTE_DELETE)
		return paste_store_delete(b->s, c->key, c->key_length, result);
	return (c->type == PASTE_PUT ? paste_store_put : paste_store_append)(b->s, c->key, c->key_length,
									     c->slices, c->n, result);
}

static int run(struct batch *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		int ret = judge_change(b->part[i].change);
		if (ret < 0)
			return ret;
	}
	const struct paste_change *first = b->part[0].change;
	b->log = home_log(b->s, first->type == PASTE_APPEND, first->key, first->key_length);
	int ret = judge_names(b);
	if (ret == 0)
		ret = retry_name(b);
	if (ret < 0)
		return ret;
	ret = repeat(b);
	if (ret < 0)
		return ret;
	if (ret)
		return b->s->error && b->part[0].result->round ? -EIO : 0;
	ret = judge_conditions(b);
	if (ret < 0)
		return ret;
	if (b->n == 1 && !b->retry && !first->expires && !b->version)
		return plain(b);
	ret = admit(b);
	return ret < 0 ? ret : perform(b);
}

static int may_change(const struct paste_store *s)
{
	return s->error ? -EIO : s->read_only ? -EROFS : 0;
}

int apply_versioned(struct paste_store *s, const struct paste_change *put, uint64_t version,
		    struct paste_result *result)
{
	struct part part = {.change = put, .result = result};
	struct batch b = {.s = s, .part = &part, .n = 1, .version = version};
	int ret = may_change(s);

	*result = (struct paste_result){0};
	return ret < 0 ? ret : run(&b);
}

int paste_store_apply(struct paste_store *s, const struct paste_change *changes, uint32_t n,
		      const struct paste_retry *retry, struct paste_result *results)
{
	struct batch b = {.s = s, .n = n, .retry = retry};
	struct part one;
	uint64_t remember_one;
	int ret = may_change(s);

	if (n == 0)
		return -EINVAL;
	if (ret < 0)
		return ret;
	/* An op takes 32 bytes or more: beyond that the call is refused whatever it says. */
	if (n > paste_store_batch_max(s) / 32)
		return -EFBIG;
	b.part = n == 1 ? &one : malloc(n * sizeof(*b.part));
	b.remembered = n == 1 || !retry ? &remember_one : malloc(n * sizeof(*b.remembered));
	ret = b.part && b.remembered ? 0 : -ENOMEM;
	for (uint32_t i = 0; ret == 0 && i < n; i++) {
		results[i] = (struct paste_result){0};
		b.part[i] = (struct part){.change = &changes[i], .result = &results[i]};
	}
	if (ret == 0)
		ret = run(&b);
	if (b.part != &one)
		free(b.part);
	if (b.remembered != &remember_one)
		free(b.remembered);
	return ret;
}
