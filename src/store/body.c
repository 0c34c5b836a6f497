/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bodies under arrival. A slice pins its whole buffer, so a client that sends a byte at a time could pin a buffer a
 * byte. When the buffers held exceed twice the bytes, the slices since the last dense one are copied together; when
 * space is low, when they exceed the bytes by an eighth: else bodies that were let in starve each other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"

#define SLACK_BUFFERS 4 /* held beyond twice the bytes before anything is copied: head and tail of an honest body */

void paste_body_init(struct paste_body *b)
{
	*b = (struct paste_body){0};
}

static uint64_t slice_held(const struct paste_region *r, struct paste_ref ref)
{
	return (uint64_t)(((ref.offset + ref.length - 1u) >> r->buffer_shift) + 1) << r->buffer_shift;
}

static int body_push(struct paste_body *b, struct paste_ref slice)
{
	if (b->n == b->room) {
		uint32_t room = b->room ? b->room * 2 : 16;
		struct paste_ref *more = realloc(b->slices, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		b->slices = more;
		b->room = room;
	}
	b->slices[b->n++] = slice;
	return 0;
}

/* Where the dense bytes end: a buffer of our own with room, or nothing yet. */
static uint32_t tail_room(const struct paste_store *s, const struct paste_body *b)
{
	return b->open_tail ? s->r->buffer_size - b->slices[b->packed - 1].length : 0;
}

static int fresh_buffers(struct paste_region *r, struct paste_ref *fresh, uint32_t need)
{
	for (uint32_t i = 0; i < need; i++) {
		uint32_t buffer;
		int ret = paste_buffer_alloc(r, &buffer);
		if (ret < 0) {
			while (i-- > 0)
				paste_buffer_put(r, fresh[i].buffer);
			return ret;
		}
		fresh[i] = (struct paste_ref){.buffer = buffer};
	}
	return 0;
}

/* Copy the slices from `packed` on into buffers of our own, dense. On failure what was there stays. */
static int body_coalesce(struct paste_store *s, struct paste_body *b)
{
	struct paste_region *r = s->r;
	uint64_t bytes = 0;

	for (uint32_t i = b->packed; i < b->n; i++)
		bytes += b->slices[i].length;
	uint32_t room = tail_room(s, b);
	uint64_t beyond = bytes > room ? bytes - room : 0;
	uint32_t need = (uint32_t)((beyond + r->buffer_size - 1) >> r->buffer_shift);
	uint32_t total = need + (b->open_tail ? 1 : 0), k = 0;
	struct paste_ref *to = malloc((total + 1) * sizeof(*to));
	if (!to)
		return -ENOMEM;
	int ret = fresh_buffers(r, to + total - need, need);
	if (ret < 0) {
		free(to);
		return ret;
	}
	if (b->open_tail)
		to[0] = b->slices[b->packed - 1];
	for (uint32_t i = b->packed; i < b->n; i++) {
		const uint8_t *p = region_ref_data(r, b->slices[i]);
		uint32_t left = b->slices[i].length;
		while (left > 0) {
			if (to[k].length == r->buffer_size)
				k++;
			uint32_t now = r->buffer_size - to[k].length < left ? r->buffer_size - to[k].length : left;
			memcpy(paste_buffer_data(r, to[k].buffer) + to[k].length, p, now);
			to[k].length = (uint16_t)(to[k].length + now);
			p += now;
			left -= now;
		}
		b->held -= slice_held(r, b->slices[i]);
		paste_ref_put(r, b->slices[i]);
	}
	uint32_t first = b->packed - (b->open_tail ? 1 : 0);
	memcpy(&b->slices[first], to, total * sizeof(*to));
	b->n = b->packed = first + total;
	b->open_tail = to[total - 1].length < r->buffer_size;
	b->held += (uint64_t)need << r->buffer_shift;
	free(to);
	s->c.copies[PASTE_COPY_COALESCE]++;
	s->c.copy_bytes[PASTE_COPY_COALESCE] += bytes;
	return 0;
}

int paste_body_add(struct paste_store *s, struct paste_body *b, struct paste_ref slice)
{
	if (slice.length == 0)
		return 0;
	int ret = body_push(b, slice);
	if (ret < 0) {
		paste_ref_put(s->r, slice);
		return ret;
	}
	b->bytes += slice.length;
	b->held += slice_held(s->r, slice);
	uint64_t slack = space_is_low(s) ? b->bytes / 8 : b->bytes;
	if (b->held <= b->bytes + slack + (uint64_t)SLACK_BUFFERS * s->r->buffer_size)
		return 0;
	return body_coalesce(s, b);
}

void paste_body_free(struct paste_store *s, struct paste_body *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		paste_ref_put(s->r, b->slices[i]);
	free(b->slices);
	*b = (struct paste_body){0};
}
