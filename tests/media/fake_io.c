/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_io.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct fake_io *fake_of(struct file_io *io)
{
	return (struct fake_io *)io;
}

uint64_t fake_random(struct fake_io *fake, uint64_t below)
{
	/* splitmix64 */
	uint64_t z = fake->seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % below;
}

unsigned fake_under_way(const struct fake_io *fake)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FILE_DEPTH; i++)
		n += fake->requests[i].state != FAKE_FREE;
	return n;
}

static struct fake_request *queue(struct file_io *io, int kind, uint64_t tag)
{
	struct fake_io *fake = fake_of(io);
	struct fake_request *r = fake->requests;

	while (r < fake->requests + FILE_DEPTH && r->state != FAKE_FREE)
		r++;
	assert(r < fake->requests + FILE_DEPTH); /* more under way than the depth */
	*r = (struct fake_request){.state = FAKE_QUEUED, .kind = kind, .tag = tag, .started = ++fake->clock};
	if (fake_under_way(fake) > fake->most_under_way)
		fake->most_under_way = fake_under_way(fake);
	return r;
}

static void fake_read(struct file_io *io, void *memory, uint32_t bytes, uint64_t offset, uint64_t tag)
{
	struct fake_request *r = queue(io, FAKE_READ, tag);

	r->memory = memory;
	r->bytes = bytes;
	r->offset = offset;
}

static bool overlaps(const struct fake_request *r, uint64_t offset, uint32_t bytes)
{
	/* By whole blocks: a write that goes on after a short one has its block for itself all the time. */
	uint64_t first = r->offset / FILE_BLOCK, end = (r->offset + r->bytes + FILE_BLOCK - 1) / FILE_BLOCK;

	return r->state != FAKE_FREE && r->kind == FAKE_WRITE && offset / FILE_BLOCK < end &&
	       (offset + bytes + FILE_BLOCK - 1) / FILE_BLOCK > first;
}

static void fake_write(struct file_io *io, const void *memory, uint32_t bytes, uint64_t offset, bool durable,
		       uint64_t tag)
{
	struct fake_io *fake = fake_of(io);

	assert(bytes && bytes % 512 == 0 && offset % 512 == 0 && offset + bytes <= fake->length);
	for (unsigned i = 0; i < FILE_DEPTH; i++)
		fake->overlaps += overlaps(&fake->requests[i], offset, bytes);
	struct fake_request *r = queue(io, FAKE_WRITE, tag);
	r->memory = (void *)(uintptr_t)memory;
	r->bytes = bytes;
	r->offset = offset;
	r->durable = durable;
}

static void fake_sync(struct file_io *io, uint64_t tag)
{
	queue(io, FAKE_SYNC, tag);
}

static int fake_submit(struct file_io *io)
{
	struct fake_io *fake = fake_of(io);

	if (fake->fail_submit)
		return fake->fail_submit;
	for (unsigned i = 0; i < FILE_DEPTH; i++) {
		if (fake->requests[i].state == FAKE_QUEUED)
			fake->requests[i].state = FAKE_SENT;
	}
	return 0;
}

static int finish_write(struct fake_io *fake, const struct fake_request *r)
{
	uint32_t bytes = r->bytes;

	fake->writes++;
	if (fake->fail_write) {
		int code = fake->fail_write;
		fake->fail_write = 0;
		return code;
	}
	if (fake->trouble && fake_random(fake, fake->trouble) == 0) {
		if (fake_random(fake, 2))
			return fake_random(fake, 2) ? -EAGAIN : -EINTR;
		bytes = 512 * (1 + (uint32_t)fake_random(fake, bytes / 512));
	}
	memcpy(fake->cache + r->offset, r->memory, bytes);
	if (r->durable)
		memcpy(fake->medium + r->offset, r->memory, bytes);
	for (uint64_t b = r->offset / FILE_BLOCK; b * FILE_BLOCK < r->offset + bytes; b++) {
		fake->last_write[b] = ++fake->clock;
		if (!fake->first_write[b])
			fake->first_write[b] = fake->clock;
	}
	return (int)bytes;
}

static int finish_sync(struct fake_io *fake, const struct fake_request *r)
{
	fake->syncs++;
	if (fake->fail_sync) {
		int code = fake->fail_sync;
		fake->fail_sync = 0;
		return code;
	}
	if (fake->trouble && fake_random(fake, fake->trouble) == 0)
		return -EINTR;
	for (uint64_t b = 0; b < fake->length / FILE_BLOCK; b++) {
		if (!fake->first_write[b] || fake->first_write[b] > r->started)
			continue;
		memcpy(fake->medium + b * FILE_BLOCK, fake->cache + b * FILE_BLOCK, FILE_BLOCK);
		fake->first_write[b] = fake->last_write[b] > r->started ? fake->last_write[b] : 0;
	}
	return 0;
}

static int finish_read(struct fake_io *fake, const struct fake_request *r)
{
	uint32_t bytes = r->bytes;

	if (r->offset >= fake->length)
		return 0;
	if (fake->trouble && fake_random(fake, fake->trouble) == 0) {
		if (fake_random(fake, 2))
			return -EINTR;
		bytes = 512 * (1 + (uint32_t)fake_random(fake, bytes / 512));
	}
	if (bytes > fake->length - r->offset)
		bytes = (uint32_t)(fake->length - r->offset);
	memcpy(r->memory, fake->cache + r->offset, bytes);
	return (int)bytes;
}

static int finish(struct fake_io *fake, struct fake_request *r)
{
	struct fake_request request = *r;

	r->state = FAKE_FREE;
	switch (request.kind) {
	case FAKE_READ:
		return finish_read(fake, &request);
	case FAKE_WRITE:
		return finish_write(fake, &request);
	default:
		return finish_sync(fake, &request);
	}
}

static int complete_some(struct fake_io *fake, struct file_io_done *done, unsigned max)
{
	int n = 0;

	/* Each request that was sent ends now with an even chance, beginning at a random one. */
	unsigned first = fake->in_order ? 0 : (unsigned)fake_random(fake, FILE_DEPTH);
	for (unsigned i = 0; i < FILE_DEPTH && (unsigned)n < max; i++) {
		struct fake_request *r = &fake->requests[(first + i) % FILE_DEPTH];
		if (r->state != FAKE_SENT || (!fake->in_order && fake_random(fake, 2)))
			continue;
		done[n].tag = r->tag;
		done[n++].result = finish(fake, r);
	}
	return n;
}

static int fake_complete(struct file_io *io, struct file_io_done *done, unsigned max, bool wait)
{
	struct fake_io *fake = fake_of(io);
	int n = 0;

	if (wait)
		fake_submit(io);
	assert(!wait || (fake_under_way(fake) && !fake->stalled)); /* would block for ever */
	while (!fake->stalled) {
		n = complete_some(fake, done, max);
		if (n || !wait)
			break;
	}
	return n;
}

static void fake_close(struct file_io *io)
{
	struct fake_io *fake = fake_of(io);

	if (fake->closed_with)
		*fake->closed_with = (int)fake_under_way(fake);
}

static const struct file_io_ops fake_ops = {fake_read,   fake_write,    fake_sync,
					    fake_submit, fake_complete, fake_close};

struct fake_io *fake_new(uint64_t length, const void *content, uint64_t seed)
{
	struct fake_io *fake = calloc(1, sizeof(*fake));

	assert(fake);
	fake->io = (struct file_io){.ops = &fake_ops, .depth = FILE_DEPTH, .wait_fd = -1};
	fake->length = length;
	fake->seed = seed;
	fake->cache = calloc(1, length);
	fake->medium = calloc(1, length);
	fake->first_write = calloc(length / FILE_BLOCK, sizeof(uint64_t));
	fake->last_write = calloc(length / FILE_BLOCK, sizeof(uint64_t));
	assert(fake->cache && fake->medium && fake->first_write && fake->last_write);
	if (content) {
		memcpy(fake->cache, content, length);
		memcpy(fake->medium, content, length);
	}
	return fake;
}

void fake_free(struct fake_io *fake)
{
	free(fake->cache);
	free(fake->medium);
	free(fake->first_write);
	free(fake->last_write);
	free(fake);
}

struct media *fake_medium(struct fake_io *fake)
{
	struct media *m;
	void *memory = mmap(NULL, fake->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert(memory != MAP_FAILED);
	memcpy(memory, fake->medium, fake->length);
	int rc = file_medium_new(&fake->io, memory, fake->length, fake->length, "test", &m);
	assert(rc == 0);
	(void)rc;
	return m;
}
