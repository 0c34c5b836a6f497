/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Create and open: find what is at the path, choose the kind, take the lock, have the memory. The order keeps
 * a failure harmless: nothing is visible under the final name before media_publish().
 */
#include "media/media.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "media/backing.h"
#include "media/badblocks.h"
#include "media/file.h"
#include "media/memory.h"
#include "media/place.h"
#include "media/platform.h"
#include "media/pmem.h"

static const char *const kind_names[] = {"auto", "pmem", "shm", "file", "sim"};

const char *media_kind_name(enum media_kind kind)
{
	return (unsigned)kind < sizeof(kind_names) / sizeof(kind_names[0]) ? kind_names[kind] : "unknown";
}

int media_kind_parse(const char *name, enum media_kind *kind)
{
	for (unsigned i = 0; i < sizeof(kind_names) / sizeof(kind_names[0]); i++) {
		if (strcmp(name, kind_names[i]) == 0) {
			*kind = (enum media_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

static bool is_device(const struct place *place)
{
	return place->type == PLACE_DAX || place->type == PLACE_BLOCK;
}

static int choose_flush(const struct place *place, const char *path, enum media_kind kind,
			struct flush *flush, struct paste_error *err)
{
	/* shm is in ordinary memory, whatever the caches of persistent memory do. */
	bool persist =
	    kind == MEDIA_PMEM && platform_caches_persist("/sys", place->type != PLACE_DAX, place->device);
	int rc = flush_choose(flush_cpu_detect(), persist, flush);

	if (rc < 0)
		return paste_fail(err, rc, "%s: this CPU has no instruction to write a cache line back",
				  path);
	return 0;
}

bool media_overlaps_bad(const struct media *m, uint64_t offset, uint64_t bytes)
{
	for (uint32_t i = 0; i < m->bad.n; i++) {
		const struct media_range *b = &m->bad.range[i];
		if (offset < b->offset + b->bytes && b->offset < offset + bytes)
			return true;
	}
	return false;
}

static int range_order(const void *a, const void *b)
{
	const struct media_range *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The next part from *at on that is good, in whole units of `unit`. False: there is none. */
static bool good_part(const struct media_bad *bad, uint64_t length, uint64_t unit, uint64_t *at, uint64_t *bytes)
{
	while (*at < length) {
		uint64_t end = length, past = 0;
		for (uint32_t i = 0; i < bad->n && end > *at; i++) {
			uint64_t from = bad->range[i].offset & ~(unit - 1);
			uint64_t to = (bad->range[i].offset + bad->range[i].bytes + unit - 1) & ~(unit - 1);
			if (from <= *at && to > *at)
				past = to > past ? to : past;
			else if (from > *at && from < end)
				end = from;
		}
		if (!past) {
			*bytes = end - *at;
			return true;
		}
		*at = past;
	}
	return false;
}

static int find_bad(const struct backing *b, const struct place *place, enum media_kind kind, uint64_t length,
		    struct media_bad *bad)
{
	if (kind != MEDIA_PMEM)
		return 0;
	int rc = place->type == PLACE_DAX
			 ? badblocks_device("/sys", false, place->device, 0, length, 0, bad)
			 : badblocks_file("/sys", b->fd, place->device, length, bad);
	if (bad->n)
		qsort(bad->range, bad->n, sizeof(*bad->range), range_order);
	return rc;
}

static int populate(uint8_t *memory, uint64_t length, const struct media_bad *bad)
{
	uint64_t at = 0, bytes;
	int rc = 0;

	for (; rc == 0 && good_part(bad, length, 4096, &at, &bytes); at += bytes)
		rc = memory_populate(memory + at, bytes, true);
	return rc;
}

/* Map the whole of it, every page present but those that are lost. */
static int map(const struct backing *b, uint64_t length, enum media_kind kind, bool read_only,
	       const struct media_bad *bad, void **memory, struct paste_error *err)
{
	int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	int flags = kind == MEDIA_PMEM ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;

	void *p = mmap(NULL, length, protection, flags, b->fd, 0);
	if (p == MAP_FAILED) {
		int code = -errno;
		return paste_fail(err, code, "%s: cannot map its %llu bytes: %s", b->path,
				  (unsigned long long)length, strerror(-code));
	}
	/* A file that somebody made sparse would raise SIGBUS at a store when the file system is full. A
	 * mapping without struct pages cannot be populated (-EINVAL) and needs not: its memory is there. */
	int rc = read_only ? 0 : populate(p, length, bad);
	if (rc < 0 && rc != -EINVAL) {
		munmap(p, length);
		return paste_fail(
		    err, rc == -EFAULT ? -ENOSPC : rc,
		    "%s: not all of its %llu bytes can be had (is its file system or memory full, or a "
		    "page of it broken?): %s",
		    b->path, (unsigned long long)length, strerror(-rc));
	}
	*memory = p;
	return 0;
}

static int open_mapped(const struct backing *b, const struct place *place, enum media_kind kind,
		       uint64_t length, bool read_only, bool fresh, struct media **medium,
		       struct paste_error *err)
{
	struct pmem_setup setup = {.kind = kind, .backing = place_backing(place), .read_only = read_only};
	struct media_bad bad = {0};
	void *memory = NULL;

	int rc = choose_flush(place, b->path, kind, &setup.flush, err);
	if (rc < 0)
		return rc;
	if (find_bad(b, place, kind, length, &bad) < 0) {
		free(bad.range);
		return paste_fail(err, -ENOMEM, "%s: out of memory", b->path);
	}
	rc = map(b, length, kind, read_only, &bad, &memory, err);
	if (rc < 0) {
		free(bad.range);
		return rc;
	}
	rc = pmem_medium_new(&setup, memory, length, medium);
	if (rc < 0) {
		munmap(memory, length);
		free(bad.range);
		return paste_fail(err, rc, "%s: out of memory", b->path);
	}
	(*medium)->bad = bad;
	if (fresh && is_device(place)) {
		uint8_t *p = memory;
		for (uint64_t at = 0, bytes; good_part(&bad, length, FLUSH_LINE, &at, &bytes); at += bytes) {
			memset(p + at, 0, bytes);
			setup.flush.lines(p + at, p + at + bytes);
		}
		setup.flush.fence();
	}
	return 0;
}

static int open_kind(struct backing *b, const struct place *place, const struct media_options *options,
		     enum media_kind kind, uint64_t length, bool fresh, struct media **medium,
		     struct paste_error *err)
{
	if (kind != MEDIA_FILE)
		return open_mapped(b, place, kind, length, options->read_only && !fresh, fresh, medium, err);
	struct file_setup setup = {
	    .fd = b->fd,
	    .length = length,
	    .read_only = options->read_only && !fresh,
	    .hugepages = options->hugepages,
	    .fresh = fresh,
	    .path = b->path,
	};
	return file_medium_open(&setup, medium, err);
}

/* The size that create makes: what was asked for, checked; on a device, 0 asks for all of it. */
static int wanted_size(const struct media_options *options, const struct place *place, uint64_t *size,
		       struct paste_error *err)
{
	char granule[32], have[32];

	*size = options->size;
	if (!*size && is_device(place))
		*size = place->size - place->size % place->granule;
	if (!*size || *size % place->granule || *size > INT64_MAX) {
		memory_size_text(place->granule, granule);
		return paste_fail(err, -EINVAL, "%s: the size must be a multiple of %s here, and not 0",
				  options->path, granule);
	}
	if (is_device(place) && *size > place->size) {
		memory_size_text(place->size, have);
		return paste_fail(err, -ENOSPC, "%s: this device has only %s", options->path, have);
	}
	return 0;
}

static int create_on(struct backing *b, const struct place *place, const struct media_options *options,
		     uint64_t size, struct media **medium, struct paste_error *err)
{
	enum media_kind kind;

	int rc = place_kind(place, options->path, b->fd, options->kind, &kind, err);
	if (rc == 0 && !is_device(place))
		rc = backing_allocate(b, place, 0, size, err);
	if (rc == 0 && kind == MEDIA_PMEM && !is_device(place))
		rc = backing_write_zeroes(b, 0, size, err);
	if (rc < 0)
		return rc;
	return open_kind(b, place, options, kind, size, true, medium, err);
}

int media_create(const struct media_options *options, struct media **medium, struct paste_error *err)
{
	struct place place;
	struct backing *b;
	uint64_t size;

	int rc = place_find(options->path, &place, err);
	if (rc < 0)
		return rc;
	rc = wanted_size(options, &place, &size, err);
	if (rc < 0)
		return rc;
	rc = backing_create(options, &place, &b, err);
	if (rc < 0)
		return rc;
	rc = create_on(b, &place, options, size, medium, err);
	if (rc < 0) {
		backing_close(b);
		return rc;
	}
	(*medium)->file = b;
	return 0;
}

int media_publish(struct media *m, struct paste_error *err)
{
	return m->file ? backing_publish(m->file, err) : 0;
}

/* The length that open maps: all there is, or, if asked for, only the first `size` bytes. */
static int present_length(const struct media_options *options, const struct place *place, uint64_t *length,
			  struct paste_error *err)
{
	*length = place->size;
	if (options->size && options->size < *length) {
		uint64_t granules = (options->size + place->granule - 1) / place->granule;
		*length = granules * place->granule < *length ? granules * place->granule : *length;
	}
	if (is_device(place))
		*length -= *length % place->granule;
	if (!*length)
		return paste_fail(err, -EINVAL, "%s: is empty, so it is no region", options->path);
	if (*length % place->granule)
		return paste_fail(
		    err, -EINVAL,
		    "%s: its %llu bytes are not whole blocks of %llu, so it is no region, or a part of one",
		    options->path, (unsigned long long)*length, (unsigned long long)place->granule);
	return 0;
}

int media_open(const struct media_options *options, struct media **medium, struct paste_error *err)
{
	struct place place;
	struct backing *b;
	enum media_kind kind;
	uint64_t length;

	int rc = backing_open(options, &place, &b, err);
	if (rc < 0)
		return rc;
	rc = present_length(options, &place, &length, err);
	if (rc == 0)
		rc = place_kind(&place, options->path, b->fd, options->kind, &kind, err);
	if (rc == 0)
		rc = open_kind(b, &place, options, kind, length, false, medium, err);
	if (rc < 0) {
		backing_close(b);
		return rc;
	}
	(*medium)->file = b;
	return 0;
}

/* The part from `from` on is there, written, and zero, durably. What is mapped holds the part, or (FILE) only the head. */
static int have_zeroes(struct backing *b, const struct place *place, enum media_kind kind, uint64_t from, uint64_t size,
		       struct media *m, struct paste_error *err)
{
	if (kind == MEDIA_FILE)
		return backing_write_zeroes(b, from, size, err);
	memset(m->base + from, 0, size - from);
	media_write_back(m, from, size - from);
	media_ticket ticket = media_commit(m);
	media_ticket done = ticket < 0 ? ticket : media_wait(m, ticket);
	return done < 0 ? paste_fail(err, (int)done, "%s: writing its new part: %s", b->path, strerror((int)-done)) : 0;
}

static int extend(struct backing *b, const struct place *place, const struct media_options *options, uint64_t from,
		  struct media **medium, struct paste_error *err)
{
	enum media_kind kind;
	uint64_t size;

	int rc = wanted_size(options, place, &size, err);
	if (rc == 0)
		rc = place_kind(place, options->path, b->fd, options->kind, &kind, err);
	/* An attempt that was cut short may have made the file longer already, without having written all of it. */
	if (rc == 0 && !is_device(place) && place->size < size)
		rc = backing_allocate(b, place, place->size, size, err);
	if (rc == 0)
		rc = open_kind(b, place, options, kind, kind == MEDIA_FILE ? MEDIA_HEAD : size, false, medium, err);
	if (rc < 0)
		return rc;
	rc = have_zeroes(b, place, kind, from, size, *medium, err);
	if (rc < 0)
		media_close(*medium);
	return rc;
}

int media_extend(const struct media_options *options, uint64_t from, struct media **medium, struct paste_error *err)
{
	struct place place;
	struct backing *b;

	int rc = backing_open(options, &place, &b, err);
	if (rc < 0)
		return rc;
	rc = extend(b, &place, options, from, medium, err);
	if (rc < 0) {
		backing_close(b);
		return rc;
	}
	(*medium)->file = b;
	return 0;
}

void media_close(struct media *m)
{
	struct backing *b = m->file;
	struct media_range *bad = m->bad.range;

	m->ops->close(m);
	free(bad);
	/* Last, because the lock goes with it: nobody else may write before our writes have ended. */
	if (b)
		backing_close(b);
}
