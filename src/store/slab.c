/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/slab.h"

#include <assert.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "base/poison.h"
#include "media/memory.h"

#define RUN_SIZE 65536
#define CHUNK_MIN (256 << 10)
#define CHUNK_MAX (2 << 20)
#define NO_CLASS UINT8_MAX
#define AHEAD 512 /* bytes: fresh objects are written in order, and no cache has them */

/* A freed object holds the address of the next one. Objects above `fresh` were never handed out: they are
 * taken in ascending order, so that memory is touched page after page. */
struct slab_run {
	struct slab_run *next, *previous; /* in the list of its class, or (next only) of empty runs */
	void *freed;
	uint8_t *fresh, *end; /* objects not yet handed out; end: where no further one fits */
	uint32_t live;        /* objects handed out */
	uint8_t class;
};

struct slab_chunk {
	struct slab_chunk *next;
	_Alignas(64) struct slab_run run[];
};

static unsigned class_of(size_t size)
{
	if (size <= 16)
		return 0;
	if (size <= 128)
		return (unsigned)((size + 7) / 8 - 2);
	unsigned doubling =
	    63 - (unsigned)__builtin_clzll(size - 1); /* 2^doubling < size <= 2^(doubling + 1) */
	return 15 + (doubling - 7) * 8 + (unsigned)((size - 1) >> (doubling - 3)) - 8;
}

static size_t class_size(unsigned class)
{
	if (class < 15)
		return 16 + 8 * (size_t) class;
	unsigned doubling = 7 + (class - 15) / 8;
	return ((size_t)9 + (class - 15) % 8) << (doubling - 3);
}

static void *map_chunk(size_t size)
{
	/* Twice the size, so that an aligned piece is in it; the rest goes back. */
	uint8_t *p = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	size_t before = -(uintptr_t)p & (size - 1);
	if (before)
		munmap(p, before);
	munmap(p + before + size, size - before);
	return p + before;
}

static uint8_t *run_start(const struct slab *s, const struct slab_run *run)
{
	struct slab_chunk *chunk = (struct slab_chunk *)((uintptr_t)run & ~(s->chunk_size - 1));
	size_t index = (size_t)(run - chunk->run);

	/* The header takes the start of the first run. */
	size_t header = (sizeof(*chunk) + s->chunk_size / RUN_SIZE * sizeof(*run) + 63) & ~(size_t)63;
	return (uint8_t *)chunk + (index ? index * RUN_SIZE : header);
}

static uint8_t *run_end(const struct slab *s, const struct slab_run *run)
{
	struct slab_chunk *chunk = (struct slab_chunk *)((uintptr_t)run & ~(s->chunk_size - 1));
	return (uint8_t *)chunk + (size_t)(run - chunk->run + 1) * RUN_SIZE;
}

/* `ready`: all of it will be used, and is to be there before. */
static bool chunk_add(struct slab *s, bool ready)
{
	struct slab_chunk *chunk =
	    s->memory.map ? s->memory.map(s->memory.arg, s->chunk_size) : map_chunk(s->chunk_size);
	if (!chunk)
		return false;
	assert(((uintptr_t)chunk & (s->chunk_size - 1)) == 0);
	/* Not the first: a small index should not take a whole huge page. Hints, so failing does no harm. */
	if (!s->memory.map && (s->chunks || ready))
		madvise(chunk, s->chunk_size, MADV_HUGEPAGE);
	if (!s->memory.map && ready)
		memory_populate(chunk, s->chunk_size, true);
	chunk->next = s->chunks;
	s->chunks = chunk;
	s->reserved += s->chunk_size;
	for (size_t i = s->chunk_size / RUN_SIZE; i-- > 0;) {
		struct slab_run *run = &chunk->run[i];
		run->live = 0;
		run->class = NO_CLASS;
		run->next = s->empty;
		s->empty = run;
		poison(run_start(s, run), (size_t)(run_end(s, run) - run_start(s, run)));
	}
	return true;
}

void slab_ready(struct slab *s)
{
	if (!s->chunks)
		chunk_add(s, true);
}

static void partial_push(struct slab *s, struct slab_run *run)
{
	struct slab_run **head = &s->partial[run->class];

	run->previous = NULL;
	run->next = *head;
	if (run->next)
		run->next->previous = run;
	*head = run;
}

static void partial_remove(struct slab *s, struct slab_run *run)
{
	if (run->previous)
		run->previous->next = run->next;
	else
		s->partial[run->class] = run->next;
	if (run->next)
		run->next->previous = run->previous;
}

static struct slab_run *run_add(struct slab *s, unsigned class)
{
	if (!s->empty && !chunk_add(s, false))
		return NULL;
	struct slab_run *run = s->empty;
	size_t size = class_size(class);

	s->empty = run->next;
	run->class = (uint8_t) class;
	run->freed = NULL;
	run->fresh = run_start(s, run);
	run->end = run->fresh + (size_t)(run_end(s, run) - run->fresh) / size * size;
	partial_push(s, run);
	return run;
}

void slab_init(struct slab *s, size_t chunk_size, const struct slab_memory *memory)
{
	*s = (struct slab){.chunk_size = chunk_size ? chunk_size : CHUNK_MAX};
	assert(s->chunk_size >= CHUNK_MIN && s->chunk_size <= CHUNK_MAX);
	assert((s->chunk_size & (s->chunk_size - 1)) == 0);
	if (memory)
		s->memory = *memory;
}

void slab_destroy(struct slab *s)
{
	while (s->chunks) {
		struct slab_chunk *chunk = s->chunks;
		s->chunks = chunk->next;
		unpoison(chunk, s->chunk_size);
		if (s->memory.map)
			s->memory.unmap(s->memory.arg, chunk, s->chunk_size);
		else
			munmap(chunk, s->chunk_size);
	}
	struct slab_memory memory = s->memory;
	slab_init(s, s->chunk_size, &memory);
}

void *slab_alloc(struct slab *s, size_t size)
{
	assert(size - 1 < SLAB_MAX);
	unsigned class = class_of(size);
	size_t rounded = class_size(class);
	struct slab_run *run = s->partial[class];

	if (__builtin_expect(!run, 0)) {
		run = run_add(s, class);
		if (!run)
			return NULL;
	}
	void *p = run->freed;
	if (p) {
		unpoison(p, rounded);
		run->freed = *(void **)p;
		poison(p, rounded);
	} else {
		p = run->fresh;
		__builtin_prefetch((uint8_t *)p + AHEAD, 1);
		run->fresh += rounded;
	}
	run->live++;
	if (!run->freed && run->fresh == run->end)
		partial_remove(s, run);
	s->in_use += rounded;
	unpoison(p, size);
	return p;
}

void slab_free(struct slab *s, void *p, size_t size)
{
	if (!p)
		return;
	struct slab_chunk *chunk = (struct slab_chunk *)((uintptr_t)p & ~(s->chunk_size - 1));
	struct slab_run *run = &chunk->run[((uintptr_t)p - (uintptr_t)chunk) / RUN_SIZE];
	unsigned class = class_of(size);
	size_t rounded = class_size(class);

	assert(run->class == class && run->live > 0); /* else freed twice, or with another size */
	bool was_full = !run->freed && run->fresh == run->end;
	unpoison(p, rounded);
	*(void **)p = run->freed;
	poison(p, rounded);
	run->freed = p;
	run->live--;
	s->in_use -= rounded;
	if (was_full)
		partial_push(s, run);
	/* The last run with room stays with its class: else one object freed and taken again and again would
	 * set up a run each time. */
	if (run->live == 0 && (run->next || run->previous)) {
		partial_remove(s, run);
		run->class = NO_CLASS;
		run->next = s->empty;
		s->empty = run;
	}
}

size_t slab_size(size_t size)
{
	return class_size(class_of(size));
}

uint64_t slab_in_use(const struct slab *s)
{
	return s->in_use;
}

uint64_t slab_reserved(const struct slab *s)
{
	return s->reserved;
}
