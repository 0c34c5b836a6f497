/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * media.h - how bytes of a region become durable.
 *
 * A medium is a mapping of the whole region, [base, base + length), and a way to make parts of it durable:
 *
 *	media_write_back(m, offset, bytes);	any number of ranges, in any order
 *	media_write_back(m, ...);
 *	ticket = media_commit(m);		all ranges so far, as one group
 *	...
 *	if (media_poll(m) >= ticket) ...	durable
 *
 * Tickets count up from 1 and are cumulative: when ticket t is done, so is every ticket below it. On `pmem` and
 * `shm` media_commit() is a fence and its ticket is done on return; on `file` it is done when the blocks are
 * written and the device's cache is flushed, and several may be under way. Nothing above this layer may assume
 * that durable means "already".
 *
 * What a write-back covers: the range widened to whole units on both sides (64-byte lines, or 4096-byte
 * blocks on `file`). The bytes that become durable are those in memory at the call or later, up to the
 * ticket's completion: whoever wants a definite content does not store to the widened range in between.
 * A block that holds acknowledged bytes must never be written back again with other content beside them: a
 * power cut in the middle of the write would tear them. Keeping to that is the caller's work (`unit` says the
 * size), the medium does not check it.
 *
 * A failure to make something durable is final: media_poll() and media_wait() return the negative errno from
 * then on, `error` holds it, no later ticket is ever done. (After a failed sync the kernel may have dropped the
 * dirty state, so that a retry would succeed without having written anything.)
 *
 * A medium is used by one thread at a time.
 */
#ifndef MEDIA_MEDIA_H
#define MEDIA_MEDIA_H

#include <stdbool.h>
#include <stdint.h>

#include "media/probe.h"
#include "paste/error.h"

enum media_kind {
	MEDIA_AUTO = 0, /* decided by the path */
	MEDIA_PMEM = 1,
	MEDIA_SHM = 2,
	MEDIA_FILE = 3,
	MEDIA_SIM = 4, /* tests only */
};

typedef int64_t media_ticket; /* > 0; negative values are errnos */

struct media_stats {
	uint64_t write_backs;   /* ranges handed to media_write_back */
	uint64_t units;         /* lines or blocks written back */
	uint64_t commits;       /* media_commit calls that had something to do */
	uint64_t bytes_written; /* units times the unit's size */
};

struct media;
struct backing;

struct media_ops {
	void (*write_back)(struct media *m, uint64_t offset, uint64_t bytes);
	media_ticket (*commit)(struct media *m);
	media_ticket (*poll)(struct media *m);
	media_ticket (*wait)(struct media *m, media_ticket ticket);
	void (*close)(struct media *m);
};

struct media_range {
	uint64_t offset, bytes;
};

/* Allocated; in no order. */
struct media_bad {
	struct media_range *range;
	uint32_t n;
};

struct media {
	const struct media_ops *ops;
	uint8_t *base;           /* start of the mapping */
	uint64_t length;         /* bytes */
	uint32_t unit;           /* smallest piece that is written back: 64 or 4096 */
	enum media_kind kind;
	bool read_only;
	const char *instruction; /* "clwb", "clflushopt", "clflush", "none (eADR)", "O_DIRECT + fdatasync" */
	const char *survives;    /* "power loss" or "the process dying, not the machine" */
	const char *backing;     /* what the mapping is: "device DAX", "DAX file", "tmpfs", "hugetlbfs", "memory", ... */
	int wait_fd;             /* readable when a pending ticket may be done; -1 where tickets complete at once */
	int error;               /* 0, or the negative errno of the failure that poisoned the medium */
	struct media_bad bad;    /* known to be lost: never to be loaded from or stored to (written back they may be: no cache has them) */
	bool mapped;             /* the mapping is the medium itself: a part of it may be lost while it is open */
	struct media_stats stats;
	struct {                 /* while it is suspended: what it was before */
		const struct media_ops *ops; /* NULL: it is not */
		media_ticket ticket;
		int wait_fd;
		const char *survives;
	} suspended;
	struct backing *file;    /* the file or device under it: its lock and name; NULL where there is none (sim) */
};

struct media_options {
	const char *path;
	enum media_kind kind;
	bool read_only;      /* open: map without write permission and without the writer's lock */
	uint64_t size;       /* create, extend: bytes, a multiple of 4096 (on device DAX of its alignment, on hugetlbfs of the
				huge page); 0 on a device: all of it. open: 0, or map only the first so many bytes,
				as for a region that does not fill its device */
	bool force;          /* create: overwrite what is there */
	bool hugepages;      /* `file`: resident memory from hugetlb if there is any */
};

/*
 * Create the backing of a region: a file of `size` bytes (allocated and written with zeroes, so that there is no
 * SIGBUS and no metadata commit later) or an existing device, and map it for writing with the writer's lock held.
 * A file is made under a temporary name beside the target and linked into place by media_publish(), so that a
 * failure leaves nothing behind; a device is zeroed as far as it is used. -EEXIST: there is something already (a
 * file; a device whose first 64 KiB are not zero) and !force. -ENOSPC, -EISDIR, -EBUSY (held by a writer, also under
 * force), -EOPNOTSUPP (the kind cannot be had there), ...
 */
int media_create(const struct media_options *options, struct media **medium, struct paste_error *err);

/* Give a created medium its name (atomic; a no-op on devices). Everything committed before is in it. */
int media_publish(struct media *m, struct paste_error *err);

/*
 * Map an existing region's backing. For writing, take the writer's lock: an exclusive lock on the open file
 * description, which the kernel drops when the last reference is gone, in-flight writes included. -EBUSY: held by
 * another; the caller says by whom (the owner's pid stands in the superblock). `file`: reads the whole file into
 * memory. kind MEDIA_AUTO finds the kind from the path, as create does.
 */
int media_open(const struct media_options *options, struct media **medium, struct paste_error *err);

/*
 * Open an existing region's backing for writing, locked, and make it options->size bytes long, those from `from` on zero,
 * durably, before it returns; a device has to have them. Nothing before `from` is touched. What is mapped is all of it, or
 * on `file` the first MEDIA_HEAD bytes. Errors as for media_create() and media_open(); a file may be longer then.
 */
int media_extend(const struct media_options *options, uint64_t from, struct media **medium, struct paste_error *err);

#define MEDIA_HEAD (64u * 1024)

/*
 * Unmap, unlock, free. Makes nothing durable: requests to the device that are under way are waited for, since they
 * refer to the memory, new ones are not made. A created medium that was not published leaves nothing behind.
 */
void media_close(struct media *m);

/*
 * From now on make nothing durable: no range is written back, nothing is fenced or synced, every ticket is done at once.
 * Only for measuring what durability costs: what the medium holds after a crash is what it held before, or whatever
 * caches let go of. No earlier commit is under way.
 */
void media_suspend(struct media *m);

/* Make things durable again, from here on: what was changed meanwhile is the caller's to write back. Tickets of before
 * mean nothing any more. */
void media_resume(struct media *m);

const char *media_kind_name(enum media_kind kind);                   /* "pmem", ... */
int media_kind_parse(const char *name, enum media_kind *kind);       /* -EINVAL */

/* One of these bytes is known to be lost. */
bool media_overlaps_bad(const struct media *m, uint64_t offset, uint64_t bytes);

/* None of these bytes is known to be lost, and where the mapping is the medium itself each line of them has been loaded
 * just now: to be asked before anything is read that a checksum is to vouch for. */
static inline bool media_readable(const struct media *m, uint64_t offset, uint64_t bytes)
{
	return (m->bad.n == 0 || !media_overlaps_bad(m, offset, bytes)) &&
	       (!m->mapped || probe_lines(m->base + offset, bytes));
}

static inline void media_write_back(struct media *m, uint64_t offset, uint64_t bytes)
{
	m->ops->write_back(m, offset, bytes);
}

/* Close the group of ranges written back since the last call. Returns its ticket, or the last ticket if there
 * were none, or a negative errno. */
static inline media_ticket media_commit(struct media *m)
{
	return m->ops->commit(m);
}

/* Collect completions without blocking: the highest ticket done, or a negative errno once the medium failed. */
static inline media_ticket media_poll(struct media *m)
{
	return m->ops->poll(m);
}

/* Block until `ticket` is done: the highest ticket done, or a negative errno. */
static inline media_ticket media_wait(struct media *m, media_ticket ticket)
{
	return m->ops->wait(m, ticket);
}

#endif
