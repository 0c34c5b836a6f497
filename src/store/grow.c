/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a region larger while nobody has it open: first the bytes, then the superblock that says that they
 * are there. The new segments are free: nothing leads into them, and their heads are zero. Segments keep
 * their size.
 */
#include <errno.h>

#include "paste/backup.h"
#include "store/store_internal.h"

/* What the superblock says, read without the lock: looked at again under it. */
static int present_size(const struct media_options *options, uint64_t *size, struct paste_error *err)
{
	struct media_options look = *options;
	struct superblock_health health;
	struct superblock sb;
	struct media *m;

	look.read_only = true;
	look.size = AREA_START;
	int ret = media_open(&look, &m, err);
	if (ret < 0)
		return ret;
	bool region = m->length >= AREA_START && superblock_peek(m, &sb, &health);
	media_close(m);
	if (!region)
		return paste_fail(err, -EBADMSG,
				  "%s: not a region, or both copies of its superblock are damaged",
				  options->path);
	*size = sb.size;
	return 0;
}

int paste_store_grow(const char *path, uint64_t size, struct paste_error *err)
{
	struct media_options options = {.path = path, .size = size};
	struct paste_error why = {{0}};
	struct media *m;
	uint64_t from = 0;

	int ret = present_size(&options, &from, err);
	if (ret < 0)
		return ret;
	if (size <= from)
		return paste_fail(err, -EINVAL, "%s: it has %llu bytes already, and can not shrink", path,
				  (unsigned long long)from);
	ret = media_extend(&options, from, &m, err);
	if (ret < 0)
		return ret;
	ret = superblock_grow(m, from, size, &why);
	media_close(m);
	return ret < 0 ? paste_fail(err, ret, "%s: %s", path, why.text) : 0;
}
