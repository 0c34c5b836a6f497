/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_region.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

struct fake_buffer {
	uint32_t users, live;
};

struct paste_region {
	int64_t standing;
	uint32_t count, size, free_count, reserve;
	uint32_t *free;
	struct fake_buffer *buffers;
	uint8_t *data;
};

static void check(bool good, const char *what, uint32_t buffer)
{
	if (good)
		return;
	fprintf(stderr, "fake region: %s, buffer %u\n", what, buffer);
	abort();
}

/* The memory of the last region, for the next of its size: to fault pages in takes longer than what a test does. */
static struct {
	uint8_t *data;
	size_t size;
} kept;

static uint8_t *data_new(size_t size)
{
	uint8_t *data = kept.data;

	if (data && kept.size == size) {
		kept.data = NULL;
		unpoison(data, size);
		return data;
	}
	return aligned_alloc(4096, size);
}

static void data_free(uint8_t *data, size_t size)
{
	if (kept.data) {
		unpoison(kept.data, kept.size);
		free(kept.data);
	}
	kept.data = data;
	kept.size = size;
	poison(data, size);
}

static size_t data_size(const struct paste_region *r)
{
	return ((size_t)r->count * r->size + 4095) & ~(size_t)4095;
}

struct paste_region *fake_region_new(uint32_t buffers, uint32_t buffer_size)
{
	struct paste_region *r = calloc(1, sizeof(*r));

	r->count = r->free_count = buffers;
	r->size = buffer_size;
	r->free = calloc(buffers, sizeof(*r->free));
	r->buffers = calloc(buffers, sizeof(*r->buffers));
	r->data = data_new(data_size(r));
	for (uint32_t i = 0; i < buffers; i++)
		r->free[i] = buffers - 1 - i;
	return r;
}

void fake_region_free(struct paste_region *r)
{
	free(r->free);
	free(r->buffers);
	data_free(r->data, data_size(r));
	free(r);
}

uint32_t fake_region_out(const struct paste_region *r)
{
	return r->count - r->free_count;
}

void fake_region_set_reserve(struct paste_region *r, uint32_t reserve)
{
	r->reserve = reserve;
}

static void free_if_unused(struct paste_region *r, uint32_t buffer)
{
	if (r->buffers[buffer].users || r->buffers[buffer].live)
		return;
	/* Whoever still reads it shall notice. */
	memset(paste_buffer_data(r, buffer), 0xdb, r->size);
	r->free[r->free_count++] = buffer;
}

int paste_buffer_alloc(struct paste_region *r, uint32_t *buffer)
{
	if (!r->free_count || r->free_count <= r->reserve)
		return -ENOBUFS;
	*buffer = r->free[--r->free_count];
	check(!r->buffers[*buffer].users, "free buffer has users", *buffer);
	r->buffers[*buffer].users = 1;
	return 0;
}

void paste_buffer_get(struct paste_region *r, uint32_t buffer)
{
	check(r->buffers[buffer].users || r->buffers[buffer].live, "get of a free buffer", buffer);
	r->buffers[buffer].users++;
}

void paste_buffer_put(struct paste_region *r, uint32_t buffer)
{
	check(buffer < r->count && r->buffers[buffer].users > 0, "put of a buffer without users", buffer);
	r->buffers[buffer].users--;
	free_if_unused(r, buffer);
}

bool paste_buffer_renew(struct paste_region *r, uint32_t buffer)
{
	check(buffer < r->count && r->buffers[buffer].users > 0, "renewal of a buffer without users", buffer);
	return r->buffers[buffer].users == 1 && !r->buffers[buffer].live;
}

static uint32_t last_buffer(const struct paste_region *r, struct paste_ref ref)
{
	return ref.buffer + ((uint32_t)ref.offset + ref.length - 1) / r->size;
}

bool paste_buffer_adjoins_next(const struct paste_region *r, uint32_t buffer)
{
	return buffer + 1 < paste_buffer_count(r);
}

void paste_ref_get(struct paste_region *r, struct paste_ref ref)
{
	for (uint32_t b = ref.buffer; b <= last_buffer(r, ref); b++)
		paste_buffer_get(r, b);
}

void paste_ref_put(struct paste_region *r, struct paste_ref ref)
{
	for (uint32_t b = ref.buffer; b <= last_buffer(r, ref); b++)
		paste_buffer_put(r, b);
}

void fake_region_keep(struct paste_region *r, struct paste_ref ref)
{
	for (uint32_t b = ref.buffer; b <= last_buffer(r, ref); b++) {
		check(r->buffers[b].users || r->buffers[b].live, "slice of a free buffer kept", b);
		r->buffers[b].live++;
	}
}

void fake_region_release(struct paste_region *r, struct paste_ref ref)
{
	for (uint32_t b = ref.buffer; b <= last_buffer(r, ref); b++) {
		check(r->buffers[b].live > 0, "release of a slice that is not live", b);
		r->buffers[b].live--;
		free_if_unused(r, b);
	}
}

uint8_t *paste_buffer_data(struct paste_region *r, uint32_t buffer)
{
	return r->data + (size_t)buffer * r->size;
}

uint8_t *paste_ref_data(struct paste_region *r, struct paste_ref ref)
{
	return paste_buffer_data(r, ref.buffer) + ref.offset;
}

uint32_t paste_buffer_size(const struct paste_region *r)
{
	return r->size;
}

uint32_t paste_buffer_count(const struct paste_region *r)
{
	return r->count;
}

void paste_buffer_standing(struct paste_region *r, int32_t more)
{
	r->standing += more;
}

uint32_t paste_buffer_free(const struct paste_region *r)
{
	return r->free_count > r->reserve ? r->free_count - r->reserve : 0;
}
