/* SPDX-License-Identifier: BSD-2-Clause */
#include "region/region.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/site.h"
#include "media/memory.h"

static uint32_t segment_size_for(uint64_t size)
{
	uint32_t s = SEGMENT_SIZE_MIN;

	while (s < SEGMENT_SIZE_MAX && (uint64_t)s * 2 * 1024 <= size)
		s *= 2;
	return s;
}

static int random_fill(void *p, size_t n)
{
	return getrandom(p, n, 0) == (ssize_t)n ? 0 : -EIO;
}

int region_format(struct media *m, const char *name, uint64_t size, uint32_t buffer_size, uint32_t logs,
		  struct paste_error *err)
{
	struct superblock sb = {.format = FORMAT_VERSION};

	if (size < REGION_SIZE_MIN)
		return paste_fail(err, -EINVAL, "a region needs at least %d MiB", REGION_SIZE_MIN >> 20);
	if (buffer_size == 0)
		buffer_size = m->unit == 4096 ? 4096 : 2048;
	if (buffer_size != 2048 && buffer_size != 4096)
		return paste_fail(err, -EINVAL, "buffers are 2048 or 4096 bytes, not %u", buffer_size);
	if (buffer_size < m->unit)
		return paste_fail(err, -EINVAL,
				  "this medium writes blocks of %u bytes, and a block must not be shared by two buffers: use --buffer-size %u",
				  m->unit, m->unit);
	if (strlen(name) >= sizeof(sb.name))
		return paste_fail(err, -ENAMETOOLONG, "a region's name has at most %zu bytes", sizeof(sb.name) - 1);
	memcpy(sb.magic, FORMAT_MAGIC, sizeof(sb.magic));
	if (random_fill(sb.uuid, sizeof(sb.uuid)) || random_fill(&sb.salt, sizeof(sb.salt)))
		return paste_fail(err, -EIO, "no random numbers from the kernel");
	/* RFC 9562, section 5.4: version 4, variant 10. */
	sb.uuid[6] = (sb.uuid[6] & 0x0f) | 0x40;
	sb.uuid[8] = (sb.uuid[8] & 0x3f) | 0x80;
	sb.size = size;
	sb.features_incompat = FEATURE_INCOMPAT_CHANGES;
	sb.buffer_size = buffer_size;
	sb.segment_size = segment_size_for(size);
	sb.unit = m->unit;
	sb.state = REGION_CLEAN;
	sb.medium = m->kind;
	sb.created = (uint64_t)time(NULL);
	memcpy(sb.name, name, strlen(name));
	sb.areas = 1;
	sb.logs = (uint16_t)logs;
	sb.objects = 1;
	sb.area[0].start = AREA_START;
	sb.area[0].length = (size - AREA_START) / sb.segment_size * sb.segment_size;
	sb.area[0].buffer_size = buffer_size;
	for (uint32_t i = 0; i < logs; i++)
		sb.log[i].start = 1;
	strcpy(sb.object[0].name, "store");
	sb.object[0].type = OBJECT_STORE;
	if (sb.area[0].length / buffer_size > UINT32_MAX)
		return paste_fail(err, -EFBIG, "a region has at most 2^32 buffers: use larger ones or a smaller region");
	int ret = superblock_rewrite(&sb, m, 0);
	if (ret < 0)
		return paste_fail(err, ret, "writing the superblock: %s", strerror(-ret));
	return 0;
}

/* Zeroed memory that is there already: else serving would pay for each page of it at the first request that comes to it. */
static void *states(size_t n, size_t size)
{
	const uintptr_t page = 4096;
	void *p = calloc(n, size);
	uintptr_t from = ((uintptr_t)p + page - 1) & ~(page - 1), to = ((uintptr_t)p + n * size) & ~(page - 1);

	/* No harm where it cannot be (a kernel older than 5.14, want of memory): it comes page by page then. */
	if (p && from < to)
		memory_populate((void *)from, to - from, true);
	return p;
}

int region_open(struct media *m, struct paste_region **region, struct paste_error *err)
{
	struct paste_region *r = calloc(1, sizeof(*r));

	if (!r)
		return paste_fail(err, -ENOMEM, "out of memory");
	int ret = superblock_load(m, &r->sb, &r->health, err);
	if (ret < 0)
		goto fail;
	r->m = m;
	r->area = m->base + AREA_START;
	r->buffer_size = r->sb.buffer_size;
	r->buffer_shift = (uint32_t)__builtin_ctz(r->buffer_size);
	r->segment_size = r->sb.segment_size;
	r->segment_shift = (uint32_t)__builtin_ctz(r->segment_size);
	r->segments = (uint32_t)(r->sb.area[0].length >> r->segment_shift);
	r->per_segment = r->segment_size / r->buffer_size;
	r->buffers = r->segments * r->per_segment;
	r->unit = r->sb.unit;
	r->words = (r->per_segment + 63) / 64;
	r->fill = SEGMENT_NONE;
	/* About 1/64 of the region, so that what is cached never decides about full or not full. */
	r->cache_size = r->buffers / 64 < 16 ? 16 : r->buffers / 64 > 1024 ? 1024 : r->buffers / 64;
	r->segment = states(r->segments, sizeof(*r->segment));
	r->buffer = states(r->buffers, sizeof(*r->buffer));
	r->free_bits = states((size_t)r->segments * r->words, sizeof(uint64_t));
	r->free_segment = calloc(r->segments, sizeof(uint32_t));
	r->cache = calloc(r->cache_size, sizeof(uint32_t));
	if (!r->segment || !r->buffer || !r->free_bits || !r->free_segment || !r->cache) {
		ret = paste_fail(err, -ENOMEM, "out of memory for %u buffers' states", r->buffers);
		goto fail;
	}
	for (uint32_t s = 0; m->bad.n && s < r->segments; s++)
		r->segment[s].bad = media_overlaps_bad(m, region_segment_offset(r, s), r->segment_size);
	*region = r;
	return 0;
fail:
	r->m = NULL; /* still the caller's */
	region_close(r);
	return ret;
}

void region_close(struct paste_region *r)
{
	if (!r)
		return;
	if (r->m)
		media_close(r->m);
	free(r->segment);
	free(r->buffer);
	free(r->free_bits);
	free(r->free_segment);
	free(r->cache);
	free(r);
}

void region_write_back(struct paste_region *r, struct paste_ref ref)
{
	if (r->unit <= 64) {
		media_write_back(r->m, region_ref_offset(r, ref), ref.length);
		return;
	}
	uint32_t last = ref.buffer + ((ref.offset + ref.length - 1u) >> r->buffer_shift);
	for (uint32_t b = ref.buffer; b <= last; b++) {
		if (r->buffer[b].written)
			continue;
		r->buffer[b].written = 1;
		media_write_back(r->m, AREA_START + ((uint64_t)b << r->buffer_shift), r->buffer_size);
	}
}

bool paste_buffer_renew(struct paste_region *r, uint32_t b)
{
	struct buffer *buf = &r->buffer[b];

	assert(buf->users > 0);
	/* Live slices are counted until their removal cannot be undone by recovery, so zero of them is enough. */
	if (buf->users > 1 || buf->live > 0)
		return false;
	if (SITE(renewed_unwritten))
		buf->written = 0; /* what will be received has not been written back, even if something in it once was */
	return true;
}

bool paste_buffer_adjoins_next(const struct paste_region *r, uint32_t buffer)
{
	return ((buffer + 1) & (r->per_segment - 1)) != 0;
}

void paste_ref_get(struct paste_region *r, struct paste_ref ref)
{
	uint32_t last = ref.buffer + ((ref.offset + ref.length - 1u) >> r->buffer_shift);
	for (uint32_t b = ref.buffer; b <= last; b++)
		paste_buffer_get(r, b);
}

void paste_ref_put(struct paste_region *r, struct paste_ref ref)
{
	uint32_t last = ref.buffer + ((ref.offset + ref.length - 1u) >> r->buffer_shift);
	for (uint32_t b = ref.buffer; b <= last; b++)
		paste_buffer_put(r, b);
}

uint8_t *paste_buffer_data(struct paste_region *r, uint32_t buffer)
{
	return r->area + ((uint64_t)buffer << r->buffer_shift);
}

uint8_t *paste_ref_data(struct paste_region *r, struct paste_ref ref)
{
	return region_ref_data(r, ref);
}

uint32_t paste_buffer_size(const struct paste_region *r)
{
	return r->buffer_size;
}

uint32_t paste_buffer_count(const struct paste_region *r)
{
	return r->buffers;
}

void paste_buffer_standing(struct paste_region *r, int32_t more)
{
	r->standing += (uint32_t)more;
}

uint32_t paste_buffer_free(const struct paste_region *r)
{
	uint32_t whole = r->free_segments > r->landing_reserve ? r->free_segments - r->landing_reserve : 0;
	return whole * r->per_segment + r->free_buffers + r->cache_count;
}
