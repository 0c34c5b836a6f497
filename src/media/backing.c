/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICE_HEAD (64u << 10) /* bytes at a device's start that must be zero for it to count as unused */

static struct backing *backing_new(const char *path)
{
	struct backing *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->fd = b->directory = b->replaced = -1;
	snprintf(b->path, sizeof(b->path), "%s", path);
	return b;
}

static int fail_errno(const struct backing *b, struct paste_error *err, int code, const char *what)
{
	return paste_fail(err, code, "%s: %s: %s", b->path, what, strerror(-code));
}

static int lock(const struct backing *b, int fd, struct paste_error *err)
{
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int code = -errno;
		if (code == -EINTR)
			continue;
		if (code == -EWOULDBLOCK)
			return paste_fail(err, -EBUSY, "%s: another process has it open for writing",
					  b->path);
		return fail_errno(b, err, code, "cannot lock it");
	}
	return 0;
}

static void temporary_name(char name[32])
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		number = (uint64_t)getpid();
	snprintf(name, 32, ".pst-%016llx.tmp", (unsigned long long)number);
}

static int open_unnamed(struct backing *b, struct paste_error *err)
{
	b->unnamed = true;
	b->fd = openat(b->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (b->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		temporary_name(b->temporary);
		b->fd = openat(b->directory, b->temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
		if (b->fd < 0)
			b->temporary[0] = 0;
	}
	if (b->fd < 0)
		return fail_errno(b, err, -errno, "cannot make a file in its directory");
	return lock(b, b->fd, err);
}

/* The file that is in the way is held locked until it is replaced, so that no writer gets hold of it
 * meanwhile. */
static int hold_replaced(struct backing *b, const struct media_options *options, struct paste_error *err)
{
	if (!options->force)
		return paste_fail(err, -EEXIST, "%s: exists already; --force replaces it", b->path);
	b->replaced = open(b->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (b->replaced < 0)
		return fail_errno(b, err, -errno, "cannot look at the file to replace");
	return lock(b, b->replaced, err);
}

static int create_file(struct backing *b, const struct media_options *options, const struct place *place,
		       struct paste_error *err)
{
	int rc = place->type == PLACE_FILE ? hold_replaced(b, options, err) : 0;

	if (rc < 0)
		return rc;
	strcpy(b->name, place->name);
	b->directory = open(place->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->directory < 0)
		return fail_errno(b, err, -errno, "cannot open its directory");
	return open_unnamed(b, err);
}

static bool all_zero(const uint8_t *p, uint64_t bytes)
{
	return p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0;
}

/* 1: the device's start is not zero. Read as the device is going to be used: device DAX has no read(2). */
static int device_in_use(const struct backing *b, const struct place *place)
{
	uint64_t bytes = place->size < DEVICE_HEAD ? place->size : DEVICE_HEAD;
	int rc;

	if (place->type == PLACE_DAX) {
		void *p = mmap(NULL, place->granule, PROT_READ, MAP_SHARED, b->fd, 0);
		if (p == MAP_FAILED)
			return -errno;
		rc = !all_zero(p, bytes < place->granule ? bytes : place->granule);
		munmap(p, place->granule);
		return rc;
	}
	uint8_t *head = malloc(bytes);
	if (!head)
		return -ENOMEM;
	ssize_t got = pread(b->fd, head, bytes, 0);
	if (got < 0)
		rc = -errno;
	else
		rc = got == (ssize_t)bytes ? !all_zero(head, bytes) : -EIO;
	free(head);
	return rc;
}

static int open_device(struct backing *b, const struct place *place, bool read_only, struct paste_error *err)
{
	/* O_EXCL on a block device: not while it is mounted or part of something. */
	int exclusive = place->type == PLACE_BLOCK && !read_only ? O_EXCL : 0;

	b->fd = open(b->path, (read_only ? O_RDONLY : O_RDWR) | exclusive | O_CLOEXEC);
	if (b->fd < 0) {
		int code = -errno;
		if (code == -EBUSY)
			return paste_fail(err, code, "%s: is mounted or otherwise in use", b->path);
		return fail_errno(b, err, code, "cannot open this device");
	}
	return read_only ? 0 : lock(b, b->fd, err);
}

static int create_on_device(struct backing *b, const struct media_options *options, const struct place *place,
			    struct paste_error *err)
{
	int rc = open_device(b, place, false, err);

	if (rc < 0 || options->force)
		return rc;
	rc = device_in_use(b, place);
	if (rc < 0)
		return fail_errno(b, err, rc, "cannot read this device");
	if (rc)
		return paste_fail(
		    err, -EEXIST,
		    "%s: the start of this device is not zero, so something may be on it; --force "
		    "overwrites it",
		    b->path);
	return 0;
}

int backing_create(const struct media_options *options, const struct place *place, struct backing **backing,
		   struct paste_error *err)
{
	struct backing *b = backing_new(options->path);

	if (!b)
		return paste_fail(err, -ENOMEM, "%s: out of memory", options->path);
	int rc = place->type == PLACE_FREE || place->type == PLACE_FILE
		     ? create_file(b, options, place, err)
		     : create_on_device(b, options, place, err);
	if (rc < 0) {
		backing_close(b);
		return rc;
	}
	*backing = b;
	return 0;
}

/* Does the path still lead to the file that we have open? Not if it was replaced before we had the lock. */
static bool still_there(const struct backing *b)
{
	struct stat ours, named;

	return fstat(b->fd, &ours) == 0 && stat(b->path, &named) == 0 && ours.st_dev == named.st_dev &&
	       ours.st_ino == named.st_ino;
}

static int open_file(struct backing *b, bool read_only, struct paste_error *err)
{
	b->fd = open(b->path, (read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC);
	if (b->fd < 0)
		return fail_errno(b, err, -errno, "cannot open it");
	if (read_only)
		return 0;
	int rc = lock(b, b->fd, err);
	if (rc == 0 && !still_there(b))
		return -EAGAIN;
	return rc;
}

static int open_once(const struct media_options *options, struct place *place, struct backing **backing,
		     struct paste_error *err)
{
	int rc = place_find(options->path, place, err);

	if (rc < 0)
		return rc;
	if (place->type == PLACE_FREE)
		return paste_fail(err, -ENOENT, "%s: there is no such file", options->path);
	struct backing *b = backing_new(options->path);
	if (!b)
		return paste_fail(err, -ENOMEM, "%s: out of memory", options->path);
	rc = place->type == PLACE_FILE ? open_file(b, options->read_only, err)
				       : open_device(b, place, options->read_only, err);
	if (rc < 0) {
		backing_close(b);
		return rc;
	}
	*backing = b;
	return 0;
}

int backing_open(const struct media_options *options, struct place *place, struct backing **backing,
		 struct paste_error *err)
{
	for (int attempt = 0; attempt < 10; attempt++) {
		int rc = open_once(options, place, backing, err);
		if (rc != -EAGAIN)
			return rc;
	}
	return paste_fail(err, -EBUSY, "%s: is being replaced again and again", options->path);
}

/* The new file's data is in it (the caller committed it); what is left is its metadata and its name. */
static int link_as(struct backing *b, const char *name)
{
	char self[64];

	if (b->temporary[0])
		return linkat(b->directory, b->temporary, b->directory, name, 0) < 0 ? -errno : 0;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", b->fd);
	if (linkat(AT_FDCWD, self, b->directory, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	/* No /proc: the direct way, which asks for CAP_DAC_READ_SEARCH. */
	return linkat(b->fd, "", b->directory, name, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* A link cannot replace a name, a rename can; so the file passes through a temporary name. */
static int replace(struct backing *b)
{
	if (!b->temporary[0]) {
		char name[32];
		temporary_name(name);
		int rc = link_as(b, name);
		if (rc < 0)
			return rc;
		strcpy(b->temporary, name);
	}
	if (renameat(b->directory, b->temporary, b->directory, b->name) < 0)
		return -errno;
	b->temporary[0] = 0;
	return 0;
}

int backing_publish(struct backing *b, struct paste_error *err)
{
	if (!b->unnamed)
		return 0;
	/* First the inode, so that a name that is found after a power cut leads to a whole file. */
	if (fsync(b->fd) < 0)
		return fail_errno(b, err, -errno, "cannot sync the new file");
	int rc = b->replaced >= 0 ? replace(b) : link_as(b, b->name);
	if (rc == -EEXIST)
		return paste_fail(err, rc, "%s: has appeared meanwhile; --force replaces it", b->path);
	if (rc < 0)
		return fail_errno(b, err, rc, "cannot give the new file its name");
	b->unnamed = false;
	if (b->temporary[0]) {
		unlinkat(b->directory, b->temporary, 0);
		b->temporary[0] = 0;
	}
	if (fsync(b->directory) < 0)
		return fail_errno(b, err, -errno, "cannot sync its directory");
	if (b->replaced >= 0)
		close(b->replaced);
	b->replaced = -1;
	return 0;
}

void backing_close(struct backing *b)
{
	if (b->temporary[0])
		unlinkat(b->directory, b->temporary, 0);
	if (b->fd >= 0)
		close(b->fd);
	if (b->directory >= 0)
		close(b->directory);
	if (b->replaced >= 0)
		close(b->replaced);
	free(b);
}
