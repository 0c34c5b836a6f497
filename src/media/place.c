/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "media/platform.h"

#define PAGE 4096u

static int find_file_system(struct place *place, const char *path, struct paste_error *err)
{
	struct statfs fs;

	if (statfs(path, &fs) < 0) {
		int code = -errno;
		return paste_fail(err, code, "%s: cannot find out its file system: %s", path,
				  strerror(-code));
	}
	place->granule = PAGE;
	place->fs = PLACE_FS_OTHER;
	if (fs.f_type == TMPFS_MAGIC)
		place->fs = PLACE_FS_TMPFS;
	if (fs.f_type == HUGETLBFS_MAGIC) {
		place->fs = PLACE_FS_HUGETLBFS;
		place->granule = (uint64_t)fs.f_bsize;
	}
	return 0;
}

/* Cut a path with at least one '/' into directory and name. */
static int split(const char *path, struct place *place, struct paste_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	size_t length = slash ? (size_t)(slash - path) : 0;

	if (!*name)
		return paste_fail(err, -EISDIR, "%s: names a directory; a region needs a file's name", path);
	if (strlen(name) > NAME_MAX || length >= PATH_MAX)
		return paste_fail(err, -ENAMETOOLONG, "%s: the name is too long", path);
	memcpy(place->directory, path, length);
	place->directory[length] = 0;
	if (!length)
		strcpy(place->directory, slash ? "/" : ".");
	strcpy(place->name, name);
	return 0;
}

static int find_free(const char *path, struct place *place, struct paste_error *err)
{
	struct stat st;
	int rc = split(path, place, err);

	if (rc < 0)
		return rc;
	if (lstat(path, &st) == 0)
		return paste_fail(err, -ENOENT, "%s: is a link to something that does not exist", path);
	if (stat(place->directory, &st) < 0) {
		int code = -errno;
		return paste_fail(err, code, "%s: directory %s: %s", path, place->directory, strerror(-code));
	}
	place->type = PLACE_FREE;
	place->device = st.st_dev;
	return find_file_system(place, place->directory, err);
}

static int find_file(const char *path, const struct stat *st, struct place *place, struct paste_error *err)
{
	char resolved[PATH_MAX];

	if (!realpath(path, resolved)) {
		int code = -errno;
		return paste_fail(err, code, "%s: %s", path, strerror(-code));
	}
	int rc = split(resolved, place, err);
	if (rc < 0)
		return rc;
	place->type = PLACE_FILE;
	place->device = st->st_dev;
	place->size = (uint64_t)st->st_size;
	return find_file_system(place, path, err);
}

static int find_dax(const char *path, dev_t device, struct place *place, struct paste_error *err)
{
	if (!platform_is_dax_device("/sys", device))
		return paste_fail(
		    err, -EINVAL,
		    "%s: is a character device, but not device DAX (/dev/daxN.M): it cannot hold a "
		    "region",
		    path);
	place->type = PLACE_DAX;
	place->device = device;
	place->size = platform_dax_number("/sys", device, "size");
	place->granule = platform_dax_number("/sys", device, "align");
	if (!place->size)
		return paste_fail(err, -EINVAL, "%s: sysfs does not tell the size of this device", path);
	if (!place->granule)
		place->granule = 2u << 20; /* the kernel's own default */
	return 0;
}

static int find_block(const char *path, dev_t device, struct place *place, struct paste_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : ioctl(fd, BLKGETSIZE64, &place->size);
	int code = rc < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	if (code < 0)
		return paste_fail(err, code, "%s: cannot find out the size of this device: %s", path,
				  strerror(-code));
	place->type = PLACE_BLOCK;
	place->device = device;
	place->granule = PAGE;
	place->size -= place->size % PAGE;
	return 0;
}

int place_find(const char *path, struct place *place, struct paste_error *err)
{
	struct stat st;

	memset(place, 0, sizeof(*place));
	if (!path || !*path)
		return paste_fail(err, -EINVAL, "a region needs a path");
	if (stat(path, &st) < 0) {
		int code = -errno;
		if (code == -ENOENT)
			return find_free(path, place, err);
		return paste_fail(err, code, "%s: %s", path, strerror(-code));
	}
	if (S_ISREG(st.st_mode))
		return find_file(path, &st, place, err);
	if (S_ISCHR(st.st_mode))
		return find_dax(path, st.st_rdev, place, err);
	if (S_ISBLK(st.st_mode))
		return find_block(path, st.st_rdev, place, err);
	if (S_ISDIR(st.st_mode))
		return paste_fail(err, -EISDIR, "%s: is a directory; a region is a file or a device", path);
	return paste_fail(err, -EINVAL, "%s: is neither a file nor a device", path);
}

bool place_maps_sync(int fd)
{
	/* A file system without DAX, and virtio-pmem, which needs an fsync to the host, answer EOPNOTSUPP. */
	void *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);

	if (p == MAP_FAILED)
		return false;
	munmap(p, PAGE);
	return true;
}

static bool in_memory(const struct place *place)
{
	return place->fs != PLACE_FS_OTHER;
}

static int refuse_pmem(const struct place *place, const char *path, struct paste_error *err)
{
	if (in_memory(place))
		return paste_fail(
		    err, -EOPNOTSUPP,
		    "%s: is on %s, which is ordinary memory: use --medium shm, or a path on persistent "
		    "memory (/dev/daxN.M, or a file system mounted with -o dax)",
		    path, place_backing(place));
	if (place->type == PLACE_BLOCK)
		return paste_fail(
		    err, -EOPNOTSUPP,
		    "%s: a block device cannot be written back by cache lines: make it device DAX "
		    "(ndctl create-namespace -m devdax), use a file on it mounted with -o dax, or "
		    "--medium file",
		    path);
	return paste_fail(
	    err, -EOPNOTSUPP,
	    "%s: its file system refuses MAP_SYNC, so it is not persistent memory mounted with -o dax "
	    "(virtio-pmem always refuses): use --medium file, or a path that is",
	    path);
}

static int refuse_file(const struct place *place, const char *path, struct paste_error *err)
{
	if (place->type == PLACE_DAX)
		return paste_fail(err, -EOPNOTSUPP,
				  "%s: device DAX is memory and takes no block writes: use --medium pmem",
				  path);
	return paste_fail(
	    err, -EOPNOTSUPP,
	    "%s: is on %s, where nothing can reach a disk: use --medium shm, or a path on a disk's file "
	    "system",
	    path, place_backing(place));
}

int place_kind(const struct place *place, const char *path, int fd, enum media_kind asked,
	       enum media_kind *kind, struct paste_error *err)
{
	enum media_kind natural = MEDIA_FILE;

	if (place->type == PLACE_DAX)
		natural = MEDIA_PMEM;
	else if (in_memory(place))
		natural = MEDIA_SHM;
	else if (place->type != PLACE_BLOCK && asked != MEDIA_FILE && place_maps_sync(fd))
		natural = MEDIA_PMEM;
	*kind = natural;
	if (asked == MEDIA_AUTO || asked == natural)
		return 0;
	switch (asked) {
	case MEDIA_PMEM:
		return refuse_pmem(place, path, err);
	case MEDIA_FILE:
		return refuse_file(place, path, err);
	case MEDIA_SHM:
		return paste_fail(err, -EOPNOTSUPP,
				  "%s: is neither on tmpfs nor on hugetlbfs: use --medium %s, or a path like "
				  "/dev/shm/NAME",
				  path, media_kind_name(natural));
	default:
		return paste_fail(err, -EINVAL, "%s: no medium for a path is called '%s'", path,
				  media_kind_name(asked));
	}
}

const char *place_backing(const struct place *place)
{
	if (place->type == PLACE_DAX)
		return "device DAX";
	if (place->fs == PLACE_FS_TMPFS)
		return "tmpfs";
	if (place->fs == PLACE_FS_HUGETLBFS)
		return "hugetlbfs";
	return "DAX file";
}
