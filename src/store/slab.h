/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slab.h - memory for many small objects of few sizes: index entries, tree nodes, separators.
 *
 * The caller remembers each object's size and hands it back with the pointer, so an object has no
 * header. Sizes are rounded up to a class: to 8 bytes up to 128, above that to one of eight steps in
 * each doubling, so that the rounding costs at most 7 bytes or 12.5 %.
 *
 *	chunk (256 KiB .. 2 MiB, aligned to its size, mapped)
 *	┌────────┬───────────────┬────────┬────────┬─ ─ ─┐
 *	│ header │ run 0 (short) │ run 1  │ run 2  │     │   a run is 64 KiB and holds objects of one class
 *	└────────┴───────────────┴────────┴────────┴─ ─ ─┘
 *
 * A run that becomes empty may serve another class, so that a change in the mix of sizes strands no
 * memory, save for one run that stays with each class. Chunks are kept until slab_destroy(). One thread
 * at a time. Objects are aligned to 8 bytes, those of 512 bytes and more to 64. Built with
 * AddressSanitizer, memory that is not handed out is poisoned, the rounding too.
 */
#ifndef STORE_SLAB_H
#define STORE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_MAX 8192 /* bytes, the largest object */
#define SLAB_CLASSES 63

/* Where chunks come from. map() returns `size` bytes aligned to `size` (a power of two), or NULL. */
struct slab_memory {
	void *(*map)(void *arg, size_t size);
	void (*unmap)(void *arg, void *p, size_t size);
	void *arg;
};

struct slab_run;
struct slab_chunk;

struct slab {
	struct slab_run *partial[SLAB_CLASSES]; /* runs that have room, by class */
	struct slab_run *empty;                 /* runs without a class */
	struct slab_chunk *chunks;
	size_t chunk_size;         /* bytes */
	uint64_t in_use, reserved; /* bytes */
	struct slab_memory memory;
};

/* Allocates nothing yet. chunk_size: bytes, a power of two from 256 KiB to 2 MiB, or 0 for 2 MiB. memory:
 * NULL for anonymous mappings, with huge pages where the system has them (from the second chunk on). */
void slab_init(struct slab *s, size_t chunk_size, const struct slab_memory *memory);

/* The first chunk, with all its memory, before the first object asks for it: else those that come first pay for its pages,
 * one fault after the other. A failure shows at the first object. */
void slab_ready(struct slab *s);

/* Gives back every chunk, also those with objects in them. */
void slab_destroy(struct slab *s);

/* 1..SLAB_MAX bytes, content undefined; NULL if no chunk can be had (nothing changed). */
void *slab_alloc(struct slab *s, size_t size);

/* `size` is that of the slab_alloc(). NULL is allowed. */
void slab_free(struct slab *s, void *p, size_t size);

/* What an object of this size really takes, bytes. */
size_t slab_size(size_t size);

/* Bytes handed out (rounded up to classes), and bytes of all chunks. */
uint64_t slab_in_use(const struct slab *s);
uint64_t slab_reserved(const struct slab *s);

#endif
