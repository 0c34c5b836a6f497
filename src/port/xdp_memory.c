/* SPDX-License-Identifier: BSD-2-Clause */
#include "port/xdp_memory.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define PAGE 4096

static int check_mapping(const struct media *m, struct paste_error *err)
{
	switch (m->kind) {
	case MEDIA_SHM:  /* tmpfs, hugetlbfs */
	case MEDIA_FILE: /* packets land in memory and are written from there */
	case MEDIA_SIM:
		return 0;
	case MEDIA_PMEM:
		if (!strcmp(m->backing, "device DAX"))
			return 0;
		return paste_fail(err, -EOPNOTSUPP,
				  "packets cannot land in a region on a DAX file system: the kernel pins "
				  "none of its files for "
				  "long. Make the persistent memory a device (`ndctl create-namespace -f -e "
				  "namespaceN.M -m "
				  "devdax`) and the region on /dev/daxN.M, or use --medium file, or serve it "
				  "without AF_XDP");
	default:
		return paste_fail(err, -EOPNOTSUPP, "packets cannot land in a region on %s", m->backing);
	}
}

int xdp_memory_check(const struct media *m, const void *start, uint64_t bytes, uint32_t chunk,
		     struct paste_error *err)
{
	uint64_t most = XDP_MEMORY_MOST / XDP_MEMORY_PER_CHUNK;
	int ret = check_mapping(m, err);

	if (ret < 0)
		return ret;
	if (((uintptr_t)start & (PAGE - 1)) || (bytes & (PAGE - 1)))
		return paste_fail(err, -EINVAL, "the region's buffers do not lie on page boundaries");
	if (bytes / chunk > most)
		return paste_fail(err, -EFBIG,
				  "the region has %llu buffers of %u bytes; the kernel lets at most %llu be "
				  "used for AF_XDP (%llu "
				  "GiB): %s",
				  (unsigned long long)(bytes / chunk), chunk, (unsigned long long)most,
				  (unsigned long long)(most * chunk >> 30),
				  chunk < 4096 ? "make a smaller region, or one with --buffer-size 4096"
					       : "make a smaller region");
	return 0;
}

uint64_t xdp_memory_per_queue(uint64_t bytes, uint32_t chunk, uint32_t slots)
{
	/* Fill and completion entries are 8 bytes, descriptors 16; the heads' pages do not count. */
	return bytes / chunk * XDP_MEMORY_PER_CHUNK + (uint64_t)slots * 48;
}
