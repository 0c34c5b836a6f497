/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/retry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "paste/change.h"

static const void *key_of(const void *item, size_t *length)
{
	const struct retry *t = item;

	*length = t->key_length;
	return retry_key(t);
}

static size_t retry_size(const struct retry *t)
{
	return sizeof(*t) + 8u * t->changes + t->key_length;
}

static uint64_t retry_cost(const struct retry *t)
{
	return op_padded(sizeof(struct op) + 8u * t->changes + t->key_length +
			 (t->fingerprint ? ATTRIBUTE_FINGERPRINT_SIZE : 0));
}

void retries_init(struct retries *rs)
{
	*rs = (struct retries){0};
	tree_init(&rs->tree, key_of, NULL);
}

static void item_free(void *arg, void *item)
{
	slab_free(arg, item, retry_size(item));
}

void retries_free(struct retries *rs, struct slab *slab)
{
	tree_destroy(&rs->tree, item_free, slab);
	free(rs->order);
}

struct retry *retries_find(const struct retries *rs, const void *key, size_t length)
{
	return tree_find(&rs->tree, key, length);
}

static struct retry **slot(const struct retries *rs, uint64_t place)
{
	return &rs->order[place & (rs->room - 1)];
}

int retries_reserve(struct retries *rs)
{
	if (rs->next - rs->first < rs->room)
		return 0;
	size_t room = rs->room ? rs->room * 2 : 64;
	struct retry **order = calloc(room, sizeof(*order));
	if (!order)
		return -ENOMEM;
	for (uint64_t place = rs->first; place < rs->next; place++)
		order[place & (room - 1)] = *slot(rs, place);
	free(rs->order);
	rs->order = order;
	rs->room = room;
	return 0;
}

static void forget(struct retries *rs, struct slab *slab, struct retry *t)
{
	tree_remove(&rs->tree, retry_key(t), t->key_length);
	*slot(rs, t->place) = NULL;
	rs->count--;
	rs->bytes -= retry_cost(t);
	slab_free(slab, t, retry_size(t));
	while (rs->first < rs->next && !*slot(rs, rs->first))
		rs->first++;
}

int retries_add(struct retries *rs, struct slab *slab, const struct op_view *v, uint64_t mark)
{
	struct retry shape = {
	    .time = v->op.version,
	    .mark = mark,
	    .key_length = v->op.key_length,
	    .changes = (uint16_t)(v->op.length / 8),
	    .fingerprint = attributes_fingerprint(v->attributes, v->op.attributes),
	};

	if (!(v->op.flags & OP_INLINE) || v->op.length % 8 || v->op.length == 0 || v->op.key_length == 0)
		return -EBADMSG;
	int ret = retries_reserve(rs);
	struct retry *t = ret < 0 ? NULL : slab_alloc(slab, retry_size(&shape));
	if (!t)
		return -ENOMEM;
	struct retry *old = retries_find(rs, v->key, v->op.key_length);
	if (old)
		forget(rs, slab, old);
	*t = shape;
	memcpy(t->bytes, v->bytes, v->op.length);
	memcpy(t->bytes + v->op.length, v->key, v->op.key_length);
	ret = tree_insert(&rs->tree, retry_key(t), t->key_length, t, NULL);
	if (ret < 0) {
		slab_free(slab, t, retry_size(t));
		return ret;
	}
	t->place = rs->next++;
	*slot(rs, t->place) = t;
	rs->count++;
	rs->bytes += retry_cost(t);
	return 0;
}

void retries_forget(struct retries *rs, struct slab *slab, uint64_t now, uint64_t bytes_max)
{
	while (rs->count > PASTE_RETRY_KEYS_LEAST) {
		struct retry *oldest = *slot(rs, rs->first);
		bool old = oldest->time + PASTE_RETRY_MS <= now;
		if (!old && rs->count <= PASTE_RETRY_KEYS && rs->bytes <= bytes_max)
			return;
		forget(rs, slab, oldest);
	}
}

struct retry *retries_from(const struct retries *rs, uint64_t *place)
{
	if (*place < rs->first)
		*place = rs->first;
	while (*place < rs->next && !*slot(rs, *place))
		++*place;
	return *place < rs->next ? *slot(rs, *place) : NULL;
}

void retry_op(const struct retry *t, struct op_view *v, uint8_t *attributes)
{
	*v = (struct op_view){
	    .op = {.type = OP_RETRY,
		   .flags = OP_INLINE,
		   .key_length = t->key_length,
		   .version = t->time,
		   .length = 8u * t->changes},
	    .key = retry_key(t),
	    .attributes = attributes,
	    .bytes = retry_results(t),
	};
	if (!t->fingerprint)
		return;
	v->op.attributes = ATTRIBUTE_FINGERPRINT_SIZE;
	attribute_fingerprint_put(attributes, t->fingerprint);
}
