/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "media/memory.h"

#define CHUNK (1u << 20)

static int no_space(const struct backing *b, const struct place *place, uint64_t size, uint64_t available,
		    struct paste_error *err)
{
	char needed[32], free_text[32];

	memory_size_text(size, needed);
	memory_size_text(available, free_text);
	return paste_fail(
	    err, -ENOSPC, "%s: needs %s, the file system has %s free%s%s", b->path, needed, free_text,
	    b->replaced >= 0 ? " (the file to be replaced goes only when the new one is complete)" : "",
	    place->fs == PLACE_FS_HUGETLBFS ? "; more huge pages: sysctl vm.nr_hugepages" : "");
}

static bool space_available(const struct backing *b, uint64_t *available)
{
	struct statvfs fs;

	/* No blocks at all: a tmpfs or hugetlbfs without a limit of its own. */
	if (fstatvfs(b->fd, &fs) < 0 || fs.f_blocks == 0)
		return false;
	*available = (uint64_t)fs.f_bavail * fs.f_frsize;
	return true;
}

int backing_allocate(struct backing *b, const struct place *place, uint64_t from, uint64_t size, struct paste_error *err)
{
	uint64_t available = 0, more = size - from;
	int rc;

	/* Ask before, so that a file system that is too small does not run full for a while first. */
	if (space_available(b, &available) && available < more)
		return no_space(b, place, more, available, err);
	/* There may come to be more huge pages than are free now: ask for them in any case. */
	if (place->fs == PLACE_FS_HUGETLBFS && !available)
		available = memory_huge_available(place->granule);
	if (place->fs == PLACE_FS_TMPFS) {
		rc = memory_check(more, b->path, err);
		if (rc < 0)
			return rc;
	}
	do {
		rc = fallocate(b->fd, 0, (off_t)from, (off_t)more) < 0 ? -errno : 0;
	} while (rc == -EINTR);
	if (rc == -EOPNOTSUPP) /* then the zeroes that are written next allocate */
		rc = ftruncate(b->fd, (off_t)size) < 0 ? -errno : 0;
	if (rc == -ENOSPC || (rc == -ENOMEM && place->fs == PLACE_FS_HUGETLBFS))
		return no_space(b, place, more, available, err);
	if (rc < 0)
		return paste_fail(err, rc, "%s: cannot allocate its space: %s", b->path, strerror(-rc));
	return 0;
}

static int write_all(int fd, const uint8_t *bytes, uint64_t length, uint64_t offset)
{
	while (length) {
		ssize_t n = pwrite(fd, bytes, length, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		length -= (uint64_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int backing_write_zeroes(struct backing *b, uint64_t from, uint64_t size, struct paste_error *err)
{
	/* Aligned, since the descriptor may be one for O_DIRECT. */
	uint8_t *zeroes = aligned_alloc(4096, CHUNK);
	int rc = zeroes ? 0 : -ENOMEM;

	if (zeroes)
		memset(zeroes, 0, CHUNK);
	for (uint64_t offset = from; rc == 0 && offset < size; offset += CHUNK)
		rc = write_all(b->fd, zeroes, size - offset < CHUNK ? size - offset : CHUNK, offset);
	free(zeroes);
	if (rc == 0 && fsync(b->fd) < 0)
		rc = -errno;
	if (rc < 0)
		return paste_fail(err, rc, "%s: cannot write its %llu bytes: %s", b->path,
				  (unsigned long long)(size - from), strerror(-rc));
	return 0;
}
