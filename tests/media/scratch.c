/* SPDX-License-Identifier: BSD-2-Clause */
#include "scratch.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool make(struct scratch *s, const char *parent)
{
	memset(s, 0, sizeof(*s));
	snprintf(s->directory, sizeof(s->directory), "%s/media-test-XXXXXX", parent);
	if (!mkdtemp(s->directory))
		return false;
	snprintf(s->file, sizeof(s->file), "%s/region", s->directory);
	return true;
}

bool scratch_tmpfs(struct scratch *s, const char **why)
{
	struct statfs fs;

	*why = "/dev/shm is not a tmpfs that one can write to";
	return statfs("/dev/shm", &fs) == 0 && fs.f_type == TMPFS_MAGIC && make(s, "/dev/shm");
}

static bool takes_direct_io(const struct scratch *s)
{
	int fd = open(s->directory, O_TMPFILE | O_RDWR | O_DIRECT, 0600);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

bool scratch_disk(struct scratch *s, const char **why)
{
	static const char *const parents[] = {".", "/var/tmp", "/tmp"};
	struct statfs fs;

	*why = "no directory here is on a file system with O_DIRECT that is not in memory";
	for (unsigned i = 0; i < 3; i++) {
		if (statfs(parents[i], &fs) < 0 || fs.f_type == TMPFS_MAGIC || !make(s, parents[i]))
			continue;
		if (takes_direct_io(s))
			return true;
		scratch_remove(s);
	}
	return false;
}

bool scratch_mount(struct scratch *s, const char *type, const char *options, const char **why)
{
	*why = "mounting a file system for the test needs root";
	if (geteuid() != 0 || !make(s, "/tmp"))
		return false;
	if (mount("none", s->directory, type, 0, options) < 0) {
		*why = strerror(errno);
		rmdir(s->directory);
		return false;
	}
	s->mounted = true;
	return true;
}

unsigned scratch_entries(const struct scratch *s)
{
	DIR *d = opendir(s->directory);
	unsigned n = 0;

	assert(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2; /* . and .. */
}

void scratch_remove(struct scratch *s)
{
	unlink(s->file);
	unsigned left = scratch_entries(s);
	if (s->mounted)
		umount2(s->directory, MNT_DETACH);
	rmdir(s->directory);
	assert(left == 0);
	(void)left;
}
