/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "media/memory.h"

/* And no O_NONBLOCK, with which a path is opened that may be anything: io_uring would answer EAGAIN instead of
 * waiting, for ever on devices that cannot tell beforehand whether they wait (pmem and others on Linux 6.1). */
static int set_direct(const struct file_setup *s, struct paste_error *err)
{
	int flags = fcntl(s->fd, F_GETFL);

	if (flags >= 0 && fcntl(s->fd, F_SETFL, (flags & ~O_NONBLOCK) | O_DIRECT) == 0)
		return 0;
	return paste_fail(
	    err, -EOPNOTSUPP,
	    "%s: its file system takes no direct I/O (O_DIRECT), which the file medium is made of: use "
	    "a local disk's file system, or --medium shm on tmpfs",
	    s->path);
}

static int have_memory(const struct file_setup *s, void **memory, uint64_t *mapped, const char **backing,
		       struct paste_error *err)
{
	int rc = s->hugepages ? 0 : memory_check(s->length, s->path, err);

	if (rc < 0)
		return rc;
	rc = memory_resident(s->length, s->hugepages, memory, mapped, backing);
	if (rc < 0)
		return paste_fail(err, rc, "%s: no memory for its %llu bytes: %s", s->path,
				  (unsigned long long)s->length, strerror(-rc));
	return 0;
}

static int fill(const struct file_setup *s, struct media *m, struct paste_error *err)
{
	int rc = file_medium_fill(m);

	if (rc < 0)
		return paste_fail(err, rc, "%s: cannot write its %llu bytes: %s", s->path,
				  (unsigned long long)s->length, strerror(-rc));
	return 0;
}

static int load(const struct file_setup *s, struct file_io *io, void *memory, struct paste_error *err)
{
	int rc = file_load(io, memory, s->length);

	if (rc == -EINVAL)
		return paste_fail(err, rc, "%s: cannot be read in blocks of %u bytes with O_DIRECT", s->path,
				  FILE_BLOCK);
	if (rc < 0)
		return paste_fail(err, rc, "%s: cannot read its %llu bytes: %s", s->path,
				  (unsigned long long)s->length, strerror(-rc));
	return 0;
}

/* The memory's pages, and in them the file's content. */
static int have_content(const struct file_setup *s, struct file_io *io, void *memory, uint64_t mapped,
			struct paste_error *err)
{
	struct memory_populating populating;

	if (!s->fresh && !s->read_only) {
		int rc = file_settle(io);
		if (rc < 0)
			return paste_fail(err, rc, "%s: cannot be synced before it is read: %s", s->path, strerror(-rc));
	}
	memory_populate_begin(&populating, memory, mapped);
	int rc = s->fresh ? 0 : load(s, io, memory, err);
	int populated = memory_populate_end(&populating);
	if (populated < 0)
		return paste_fail(err, -ENOMEM, "%s: not all of the memory for its %llu bytes can be had: %s",
				  s->path, (unsigned long long)s->length, strerror(-populated));
	return rc;
}

int file_medium_open(const struct file_setup *s, struct media **medium, struct paste_error *err)
{
	struct file_io *io;
	struct media *m;
	void *memory = NULL;
	uint64_t mapped = 0;
	const char *backing = NULL;

	int rc = set_direct(s, err);
	if (rc < 0)
		return rc;
	rc = file_io_uring(s->fd, FILE_DEPTH, s->path, &io, err);
	if (rc < 0)
		return rc;
	rc = have_memory(s, &memory, &mapped, &backing, err);
	if (rc == 0)
		rc = have_content(s, io, memory, mapped, err);
	if (rc < 0) {
		io->ops->close(io);
		if (memory)
			munmap(memory, mapped);
		return rc;
	}
	rc = file_medium_new(io, memory, s->length, mapped, backing, &m);
	if (rc < 0)
		return paste_fail(err, rc, "%s: out of memory", s->path);
	if (s->fresh)
		rc = fill(s, m, err);
	if (rc < 0) {
		m->ops->close(m);
		return rc;
	}
	if (s->read_only)
		file_medium_seal(m);
	*medium = m;
	return 0;
}
