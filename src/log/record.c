/* SPDX-License-Identifier: BSD-2-Clause */
#include "log/record.h"

#include <errno.h>

bool record_names(const struct record *rec, uint64_t number, uint32_t *digest)
{
	uint64_t previous = record_previous(rec);

	if (number > previous)
		return false;
	uint64_t back = previous - number;
	if (back < rec->digests)
		memcpy(digest, record_digests(rec) + (rec->digests - 1 - back) * sizeof(*digest),
		       sizeof(*digest));
	else if (back == 0)
		*digest = rec->digest;
	else
		return false;
	return *digest != DIGEST_MANY;
}

void record_walk_start(struct record_walk *w, const struct record *rec)
{
	uint32_t head = record_head(rec->type, rec->digests);

	*w = (struct record_walk){
	    .p = record_ops(rec),
	    .room = rec->meta > head ? rec->meta - head : 0,
	    .number = rec->sequence - 1,
	    .left = rec->type == RECORD_CHANGE ? rec->ops : 0,
	};
}

int record_walk_next(struct record_walk *w, struct op_view *v)
{
	if (w->left == 0)
		return 0;
	int64_t size = op_decode(w->p, w->room, v);
	if (size < 0)
		return (int)size;
	w->p += size;
	w->room -= (size_t)size;
	w->left--;
	w->number++;
	if (v->op.type != OP_APPEND)
		return 1;
	if (v->op.key_length) {
		w->name = v->key;
		w->name_length = v->op.key_length;
	} else {
		v->key = w->name;
		v->op.key_length = w->name_length;
	}
	return v->op.key_length ? 1 : -EBADMSG;
}
