/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_log.c - log segments and checkpoint pages spoilt in any way, also with right checksums.
 *
 * The input is a list of changes to a small valid region: bytes at a place counted from a segment's start or
 * from a record or page of it, and then the record, header or page there sealed again with the region's salt,
 * or not. Sealed ones are what no accident makes; they show that nothing is believed for its checksum alone.
 * The first byte says whether the rest is instead laid over a segment as it is, and whether the region is
 * written to afterwards.
 */
#include "fuzz_image.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLACES_MAX 4096

struct place {
	uint32_t offset; /* in the region */
	uint8_t kind;
};

enum place_kind {
	PLACE_SEGMENT,
	PLACE_RECORD,
	PLACE_PAGE,
	PLACE_BUFFER,
};

static struct place places[PLACES_MAX];
static uint32_t place_count;

static void place_add(uint64_t offset, enum place_kind kind)
{
	if (place_count < PLACES_MAX)
		places[place_count++] = (struct place){(uint32_t)offset, kind};
}

static uint32_t salt_of(const uint8_t *image)
{
	return ((const struct superblock *)image)->salt;
}

static bool record_whole(const uint8_t *image, uint64_t at, uint64_t end)
{
	const struct record *rec = (const struct record *)(image + at);

	return at + sizeof(*rec) <= end && rec->meta >= sizeof(*rec) && rec->meta <= RECORD_META_MAX &&
	       at + rec->meta <= end && paste_crc(salt_of(image), image + at + 4, rec->meta - 4) == rec->crc;
}

/* What is worth changing. */
static void places_find(const uint8_t *image)
{
	const struct superblock *sb = (const struct superblock *)image;

	for (uint64_t at = AREA_START; at + sb->segment_size <= FUZZ_SIZE; at += sb->segment_size) {
		const struct header *h = (const struct header *)(image + at);
		bool log = h->magic == HEADER_MAGIC && h->kind == HEADER_LOG;
		bool pages = h->magic == HEADER_MAGIC && h->kind == HEADER_CHECKPOINT;
		place_add(at, PLACE_SEGMENT);
		for (uint64_t in = 64; log && in < sb->segment_size; in += 8) {
			if (record_whole(image, at + in, at + sb->segment_size))
				place_add(at + in, PLACE_RECORD);
		}
		for (uint64_t in = 0; pages && in < sb->segment_size; in += PAGE_SIZE_CHECKPOINT)
			place_add(at + in, PLACE_PAGE);
		for (uint64_t in = 0; !log && !pages && in < sb->segment_size; in += sb->buffer_size)
			place_add(at + in, PLACE_BUFFER);
	}
}

static void seal(uint8_t *image, const struct place *place)
{
	uint32_t salt = salt_of(image);
	uint8_t *p = image + place->offset;
	struct header *h = (struct header *)p;
	struct record *rec = (struct record *)p;

	if (place->kind == PLACE_RECORD) {
		if (rec->meta >= sizeof(*rec) && rec->meta <= FUZZ_SIZE - place->offset)
			rec->crc = paste_crc(salt, p + 4, rec->meta - 4);
		return;
	}
	if (place->kind == PLACE_PAGE && h->body_length <= PAGE_SIZE_CHECKPOINT - sizeof(*h))
		h->body_crc = paste_crc(salt, p + sizeof(*h), h->body_length);
	h->crc = paste_crc(salt, p + 4, sizeof(*h) - 4);
}

/* A place, how far in, what to put there, and whether to seal it. */
static void change(uint8_t *image, struct fuzz_input *in)
{
	const struct place *place = &places[fuzz_take(in, 2) % place_count];
	uint64_t how = fuzz_take(in, 1), far = fuzz_take(in, how & 1 ? 1 : 2), n = 1 + (how >> 1) % 16;

	for (uint64_t i = 0; i < n && place->offset + far + i < FUZZ_SIZE; i++)
		image[place->offset + far + i] = (uint8_t)fuzz_take(in, 1);
	if (how & 0x20)
		seal(image, place);
	/* Another record in this one's place. */
	if (how & 0x40) {
		const struct place *from = &places[fuzz_take(in, 2) % place_count];
		uint64_t end = place->offset > from->offset ? place->offset : from->offset;
		memmove(image + place->offset, image + from->offset,
			FUZZ_SIZE - end < 4096 ? FUZZ_SIZE - end : 4096);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *image = aligned_alloc(4096, FUZZ_SIZE);
	struct fuzz_input in = {data, size};

	memcpy(image, fuzz_image(), FUZZ_SIZE);
	if (place_count == 0)
		places_find(image);
	uint64_t choice = fuzz_take(&in, 1);
	if (choice & 1) {
		const struct place *place = &places[fuzz_take(&in, 2) % place_count];
		uint64_t room = FUZZ_SIZE - place->offset;
		memcpy(image + place->offset, in.p, in.n < room ? in.n : room);
	} else {
		for (int i = 0; in.n > 0 && i < 200; i++)
			change(image, &in);
	}
	fuzz_use(image, choice & 2);
	free(image);
	return 0;
}
