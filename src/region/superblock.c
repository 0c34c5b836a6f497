/* SPDX-License-Identifier: BSD-2-Clause */
#include "region/superblock.h"

#include <errno.h>
#include <string.h>

#include "base/crc.h"
#include "base/site.h"
#include "region/repair.h"

static const uint64_t copy_offset[2] = {0, SUPERBLOCK_B_OFFSET};

static uint32_t superblock_crc(const struct superblock *sb)
{
	static const uint32_t zero;
	uint32_t crc = paste_crc(0, sb, offsetof(struct superblock, crc));

	crc = paste_crc(crc, &zero, sizeof(zero));
	return paste_crc(crc, &sb->format, sizeof(*sb) - offsetof(struct superblock, format));
}

static bool superblock_whole(const struct superblock *sb)
{
	return memcmp(sb->magic, FORMAT_MAGIC, sizeof(sb->magic)) == 0 &&
	       (sb->crc == superblock_crc(sb) || !SITE(superblock_crc_check));
}

/* Find the one bit whose flip makes the copy whole. The magic is not part of the search by CRC alone: a foreign
 * file must not be talked into being a region, so seven of its eight bytes have to match. */
static bool superblock_mend(struct superblock *sb)
{
	int equal = 0;
	for (int i = 0; i < 8; i++)
		equal += sb->magic[i] == FORMAT_MAGIC[i];
	if (equal < 7)
		return false;
	uint32_t syndrome = superblock_crc(sb) ^ sb->crc;
	if (repair_in_checksum(syndrome)) {
		sb->crc = superblock_crc(sb);
		return superblock_whole(sb);
	}
	int64_t bit = repair_find_bit(sizeof(*sb), syndrome);
	if (bit < 0 || (bit / 8 >= 8 && bit / 8 < 12))
		return false;
	((uint8_t *)sb)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	return superblock_whole(sb);
}

static bool tables_sane(const struct superblock *sb)
{
	if (sb->areas != 1 || sb->logs < 1 || sb->logs > LOGS_MAX || sb->objects > OBJECTS_MAX)
		return false;
	for (int i = 0; i < sb->logs; i++) {
		if (sb->log[i].start < 1 || sb->log[i].start > SEQUENCE_MAX || sb->log[i].end > SEQUENCE_MAX)
			return false;
	}
	return sb->name[sizeof(sb->name) - 1] == 0 && sb->owner_host[sizeof(sb->owner_host) - 1] == 0;
}

/* Values that a right CRC vouches for, but which the code divides by and allocates from. */
static int superblock_sane(const struct superblock *sb, const struct media *m, struct paste_error *err)
{
	if (sb->format > FORMAT_VERSION)
		return paste_fail(err, -ENOTSUP,
				  "the region has format version %u, this program knows up to %u: use a newer pst",
				  sb->format, FORMAT_VERSION);
	uint32_t unknown = sb->features_incompat & ~FEATURES_INCOMPAT_KNOWN;
	if (unknown)
		return paste_fail(err, -ENOTSUP,
				  "the region uses features this program does not know (incompatible flags 0x%x): use a newer pst",
				  unknown);
	unknown = sb->features_ro_compat & ~FEATURES_RO_COMPAT_KNOWN;
	if (unknown && !m->read_only)
		return paste_fail(err, -EROFS,
				  "the region uses features this program can only read (flags 0x%x): open it read-only or use a newer pst",
				  unknown);
	if (sb->size > m->length)
		return paste_fail(err, -EFBIG,
				  "the region is %llu bytes long, the file or device holds only %llu: it was truncated",
				  (unsigned long long)sb->size, (unsigned long long)m->length);
	bool buffers = sb->buffer_size == 2048 || sb->buffer_size == 4096;
	bool segments = sb->segment_size >= SEGMENT_SIZE_MIN && sb->segment_size <= SEGMENT_SIZE_MAX &&
			(sb->segment_size & (sb->segment_size - 1)) == 0;
	bool unit = (sb->unit == 64 || sb->unit == 4096) && sb->unit <= sb->buffer_size;
	if (!buffers || !segments || !unit || !tables_sane(sb) || sb->size < REGION_SIZE_MIN ||
	    sb->area[0].start != AREA_START || sb->area[0].buffer_size != sb->buffer_size ||
	    sb->area[0].length > sb->size - AREA_START || sb->area[0].length < sb->segment_size)
		return paste_fail(err, -EBADMSG, "the superblock's checksum is right but its values make no sense");
	if (sb->unit < m->unit)
		return paste_fail(err, -ENOTSUP,
				  "the region was made for a medium that writes %u bytes at a time, this one writes %u: copy it entry by entry into a region made here",
				  sb->unit, m->unit);
	return 0;
}

bool superblock_peek(const struct media *m, struct superblock *sb, struct superblock_health *health)
{
	struct superblock copy[2];
	bool usable[2];

	memset(health, 0, sizeof(*health));
	for (int i = 0; i < 2; i++) {
		memset(&copy[i], 0, sizeof(copy[i]));
		if (media_readable(m, copy_offset[i], sizeof(copy[i])))
			memcpy(&copy[i], m->base + copy_offset[i], sizeof(copy[i]));
		usable[i] = superblock_whole(&copy[i]);
		health->bad[i] = !usable[i];
		if (!usable[i])
			usable[i] = health->repaired[i] = superblock_mend(&copy[i]);
	}
	/* A mended copy may hold the newer generation: either copy opens the region, so take the higher. Of two with the
	 * same content the one that needs no mending is relied on: the other is to be rewritten first. */
	int best = 1;
	if (usable[0] && usable[1] && copy[0].generation == copy[1].generation)
		best = health->bad[0] ? 1 : 0;
	else if (usable[0] && (!usable[1] || copy[0].generation > copy[1].generation))
		best = 0;
	health->older = 1 - best;
	*sb = copy[best];
	return usable[best];
}

int superblock_load(const struct media *m, struct superblock *sb, struct superblock_health *health,
		    struct paste_error *err)
{
	if (m->length < REGION_SIZE_MIN)
		return paste_fail(err, -EBADMSG, "not a region: shorter than the smallest region (%d bytes)",
				  REGION_SIZE_MIN);
	if (superblock_peek(m, sb, health))
		return superblock_sane(sb, m, err);
	bool ours = false;
	for (int i = 0; i < 2; i++)
		ours |= media_readable(m, copy_offset[i], 8) &&
			memcmp(m->base + copy_offset[i], FORMAT_MAGIC, 8) == 0;
	return paste_fail(err, -EBADMSG, "%s",
			  ours ? "both copies of the superblock are damaged" : "not a region: no superblock");
}

void superblock_persist(struct media *m, const struct superblock_health *health)
{
	/* Where units are blocks it was read from a device that was synced before (file_settle). To write a block again,
	 * though with what it holds, could tear it. */
	if (m->unit == 64 && SITE(superblock_persist))
		media_write_back(m, copy_offset[1 - health->older], sizeof(struct superblock));
}

static void superblock_store(struct superblock_rewrite *w, struct media *m, int which)
{
	/* A copy that is lost stays so: the other one has to do. */
	if (!media_readable(m, copy_offset[which], sizeof(w->content))) {
		w->ticket = media_commit(m);
		return;
	}
	memcpy(m->base + copy_offset[which], &w->content, sizeof(w->content));
	if (SITE(superblock_write_back))
		media_write_back(m, copy_offset[which], sizeof(w->content));
	w->ticket = media_commit(m);
}

void superblock_begin(struct superblock_rewrite *w, struct superblock *sb, int first)
{
	sb->generation++;
	sb->crc = superblock_crc(sb);
	w->content = *sb;
	w->step = 0;
	w->first = first;
	w->ticket = 0;
}

int superblock_step(struct superblock_rewrite *w, struct media *m)
{
	media_ticket done = media_poll(m);

	while (done >= 0) {
		if (w->step > 0 && w->ticket < 0)
			return (int)w->ticket;
		/* The first copy is durable before the other is touched, or a crash could tear both. */
		if (w->step > 0 && done < w->ticket && SITE(superblock_order))
			return 0;
		if (w->step == 2)
			return 1;
		superblock_store(w, m, w->step ^ w->first);
		w->step++;
		done = media_poll(m);
	}
	return (int)done;
}

int superblock_rewrite(struct superblock *sb, struct media *m, int first)
{
	struct superblock_rewrite w;
	int ret;

	superblock_begin(&w, sb, first);
	while ((ret = superblock_step(&w, m)) == 0) {
		media_ticket done = media_wait(m, w.ticket);
		if (done < 0)
			return (int)done;
	}
	return ret < 0 ? ret : 0;
}

int superblock_grow(struct media *m, uint64_t from, uint64_t size, struct paste_error *err)
{
	struct superblock_health health;
	struct superblock sb;
	struct media whole = *m;

	if (!superblock_peek(m, &sb, &health))
		return paste_fail(err, -EBADMSG, "not a region, or both copies of the superblock are damaged");
	whole.length = size;
	int ret = superblock_sane(&sb, &whole, err);
	if (ret < 0)
		return ret;
	if (health.bad[0] || health.bad[1])
		return paste_fail(err, -EBADMSG, "one copy of the superblock is damaged: open the region for writing first, which rewrites it");
	if (sb.size != from)
		return paste_fail(err, -EAGAIN, "the region has changed its size meanwhile");
	uint64_t length = (size - AREA_START) / sb.segment_size * sb.segment_size;
	if (size <= from || length <= sb.area[0].length)
		return paste_fail(err, -EINVAL, "it is %llu bytes long, and grows by at least %u",
				  (unsigned long long)from, sb.segment_size);
	if (length / sb.buffer_size > UINT32_MAX)
		return paste_fail(err, -EFBIG, "a region has at most 2^32 buffers");
	/* The copy that is relied on may stand in a cache only, of the process that wrote it last. */
	superblock_persist(m, &health);
	media_ticket ticket = media_commit(m);
	media_ticket done = ticket < 0 ? ticket : media_wait(m, ticket);
	sb.size = size;
	sb.area[0].length = length;
	ret = done < 0 ? (int)done : superblock_rewrite(&sb, m, health.older);
	return ret < 0 ? paste_fail(err, ret, "writing the superblock: %s", strerror(-ret)) : 0;
}
