/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/badblocks.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "media/platform.h"

#define SECTOR 512u
#define EXTENTS 128 /* asked for at a time */

static int bad_add(struct media_bad *bad, uint64_t offset, uint64_t bytes)
{
	struct media_range *more = realloc(bad->range, (bad->n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	bad->range = more;
	bad->range[bad->n++] = (struct media_range){offset, bytes};
	return 0;
}

/* A number in a file of sysfs. False: there is none, or it may not be read. */
static bool read_number(const char *folder, const char *attribute, uint64_t *number)
{
	FILE *f = platform_attribute_open(folder, attribute);

	if (!f)
		return false;
	bool got = fscanf(f, "%" SCNi64, (int64_t *)number) == 1;
	fclose(f);
	return got;
}

/* The list of the device, and where the device begins in what the list is of. */
static FILE *list_find(const char *sys, bool block, dev_t device, uint64_t *begin)
{
	char link[PATH_MAX], root[PATH_MAX], folder[PATH_MAX];
	uint64_t own = 0, of = 0;

	if (snprintf(link, sizeof(link), "%s/dev/%s/%u:%u", sys, block ? "block" : "char", major(device),
		     minor(device)) >= (int)sizeof(link) ||
	    !realpath(sys, root) || !realpath(link, folder))
		return NULL;
	/* A partition says where it begins on its disk, a device-DAX one and its region where they are in memory. */
	bool told = block ? read_number(folder, "start", &own) : read_number(folder, "resource", &own);
	for (bool first = true; strlen(folder) > strlen(root); *strrchr(folder, '/') = 0, first = false) {
		FILE *f = platform_attribute_open(folder, "badblocks");
		if (!f)
			continue;
		bool known = block ? first || told : told && read_number(folder, "resource", &of) && own >= of;
		*begin = !block ? own - of : first ? 0 : own * SECTOR;
		if (known)
			return f;
		fclose(f);
		return NULL;
	}
	return NULL;
}

int badblocks_device(const char *sys, bool block, dev_t device, uint64_t start, uint64_t length, uint64_t at,
		     struct media_bad *bad)
{
	uint64_t begin = 0, sector, sectors;
	int ret = 0;
	FILE *f = list_find(sys, block, device, &begin);

	if (!f)
		return 0;
	begin += start;
	while (ret == 0 && fscanf(f, "%" SCNu64 " %" SCNu64, &sector, &sectors) == 2) {
		uint64_t from = sector * SECTOR, to = from + sectors * SECTOR;
		if (from < begin)
			from = begin;
		if (to > begin + length)
			to = begin + length;
		if (from < to)
			ret = bad_add(bad, at + from - begin, to - from);
	}
	fclose(f);
	return ret;
}

int badblocks_file(const char *sys, int fd, dev_t device, uint64_t length, struct media_bad *bad)
{
	size_t size = sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent);
	struct fiemap *map = malloc(size);
	bool last = false;
	int ret = map ? 0 : -ENOMEM;

	for (uint64_t at = 0; ret == 0 && at < length && !last;) {
		memset(map, 0, size);
		map->fm_start = at;
		map->fm_length = length - at;
		map->fm_extent_count = EXTENTS;
		if (ioctl(fd, FS_IOC_FIEMAP, map) < 0 || map->fm_mapped_extents == 0)
			break;
		for (uint32_t i = 0; ret == 0 && i < map->fm_mapped_extents; i++) {
			const struct fiemap_extent *e = &map->fm_extents[i];
			uint64_t bytes = e->fe_length;
			at = e->fe_logical + e->fe_length;
			last |= e->fe_flags & FIEMAP_EXTENT_LAST;
			if (e->fe_logical >= length || e->fe_flags & FIEMAP_EXTENT_UNKNOWN)
				continue;
			if (bytes > length - e->fe_logical)
				bytes = length - e->fe_logical;
			ret = badblocks_device(sys, true, device, e->fe_physical, bytes, e->fe_logical, bad);
		}
	}
	free(map);
	return ret;
}
