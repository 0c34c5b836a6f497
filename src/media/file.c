/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/site.h"
#include "media/blockset.h"

#define DONE_BATCH 32u

enum group_state {
	GROUP_WRITING, /* some of its blocks are not written */
	GROUP_WRITTEN, /* all are, and no sync that began after that is under way */
	GROUP_SYNCING,
	GROUP_DURABLE,
};

struct group {
	media_ticket ticket; /* and all below it down to the group before */
	enum group_state state;
	bool issued;        /* all its writes are under way or completed */
	bool durable_write; /* it is one write, which is durable when it completes */
	unsigned writes;    /* under way */
	unsigned sync;      /* GROUP_SYNCING: by which one */
};

struct write {
	uint64_t offset; /* of what is still to be written */
	uint32_t bytes;
	uint32_t group;
	uint64_t first; /* the blocks that it holds in `writing` */
	uint64_t blocks;
};

struct file_medium {
	struct media m;
	struct file_io *io; /* NULL: read-only */
	uint64_t mapped;    /* bytes of the mapping */

	struct blockset open;    /* written back since the last commit */
	struct blockset waiting; /* committed, but their group has not begun */
	struct blockset issuing; /* of the newest group: not sent yet */
	struct blockset writing; /* in a write that is under way, of any group */
	media_ticket last;       /* the last ticket given out: that of `waiting` if there is anything in it */
	media_ticket done;       /* the highest that is durable, with all below it */

	struct group groups[FILE_GROUPS]; /* a ring */
	unsigned oldest, newest;          /* and one past it; modulo FILE_GROUPS */

	struct write writes[FILE_WRITES];
	unsigned free_writes[FILE_WRITES], n_free_writes;
	bool sync_busy[FILE_SYNCS];
	unsigned under_way; /* requests, writes and syncs */
};

static struct file_medium *file_of(struct media *m)
{
	return (struct file_medium *)m; /* m is the first member */
}

static void fail(struct file_medium *f, int code)
{
	if (!f->m.error)
		f->m.error = code;
}

static struct group *newest_group(struct file_medium *f)
{
	return &f->groups[(f->newest - 1) % FILE_GROUPS];
}

/* What waits becomes the newest group. False: nothing waits, or the device has enough to do. */
static bool group_start(struct file_medium *f)
{
	if (blockset_empty(&f->waiting) || f->newest - f->oldest == FILE_GROUPS)
		return false;
	blockset_move(&f->issuing, &f->waiting);
	f->newest++;
	*newest_group(f) = (struct group){.ticket = f->last, .state = GROUP_WRITING};
	/* A group that is one write needs no sync behind it. */
	uint64_t first, count;
	blockset_first_run(&f->issuing, FILE_WRITE_MAX / FILE_BLOCK, &first, &count);
	newest_group(f)->durable_write = count == f->issuing.count;
	return true;
}

static void write_queue(struct file_medium *f, unsigned i)
{
	const struct write *w = &f->writes[i];

	bool durable = f->groups[w->group].durable_write && SITE(file_durable_write);
	f->io->ops->write(f->io, f->m.base + w->offset, w->bytes, w->offset, durable, i);
	f->under_way++;
}

/* Send the next run of the newest group. False: there is none, or not now. */
static bool write_start(struct file_medium *f)
{
	uint64_t first, count;

	if (!f->n_free_writes)
		return false;
	if (blockset_empty(&f->issuing) && !group_start(f))
		return false;
	blockset_first_run(&f->issuing, FILE_WRITE_MAX / FILE_BLOCK, &first, &count);
	/* An older write of them must have landed: the device may do two of one block in either order. */
	if (blockset_intersects(&f->writing, first, count) && SITE(file_same_block_order))
		return false;

	struct group *g = newest_group(f);
	blockset_remove(&f->issuing, first, count);
	blockset_add(&f->writing, first, count);
	g->issued = blockset_empty(&f->issuing);
	g->writes++;
	f->m.stats.units += count;
	f->m.stats.bytes_written += count * FILE_BLOCK;

	unsigned i = f->free_writes[--f->n_free_writes];
	f->writes[i] = (struct write){first * FILE_BLOCK, (uint32_t)count * FILE_BLOCK,
				      (f->newest - 1) % FILE_GROUPS, first, count};
	write_queue(f, i);
	return true;
}

/* One sync for all groups that are written by now. It begins after their writes completed: it covers them. */
static void sync_start(struct file_medium *f)
{
	unsigned s = 0;
	bool needed = false;

	while (s < FILE_SYNCS && f->sync_busy[s])
		s++;
	if (s == FILE_SYNCS)
		return;
	for (unsigned i = f->oldest; i != f->newest; i++) {
		struct group *g = &f->groups[i % FILE_GROUPS];
		if (g->state != GROUP_WRITTEN)
			continue;
		g->state = GROUP_SYNCING;
		g->sync = s;
		needed = true;
	}
	if (!needed)
		return;
	f->sync_busy[s] = true;
	f->under_way++;
	f->io->ops->sync(f->io, FILE_WRITES + s);
}

static void retire(struct file_medium *f)
{
	while (f->oldest != f->newest && f->groups[f->oldest % FILE_GROUPS].state == GROUP_DURABLE) {
		f->done = f->groups[f->oldest % FILE_GROUPS].ticket;
		f->oldest++;
	}
}

/* Results that ask for the same request again: it was not carried out, and nothing is known to be lost. */
static bool try_again(int result)
{
	return result == -EINTR || result == -EAGAIN || result == -ECANCELED;
}

static void write_done(struct file_medium *f, unsigned i, int result)
{
	struct write *w = &f->writes[i];

	if (try_again(result) && !f->m.error) {
		write_queue(f, i);
		return;
	}
	/* Less than a sector is no progress: O_DIRECT could not go on from there. */
	uint32_t written = result > 0 ? (uint32_t)result & ~511u : 0;
	if (!written) {
		fail(f, result < 0 ? result : -EIO);
	} else if (written < w->bytes && !f->m.error) {
		w->offset += written;
		w->bytes -= written;
		write_queue(f, i);
		return;
	}
	blockset_remove(&f->writing, w->first, w->blocks);
	f->free_writes[f->n_free_writes++] = i;
	struct group *g = &f->groups[w->group];
	if (--g->writes == 0 && g->issued)
		g->state = g->durable_write || !SITE(file_sync) ? GROUP_DURABLE : GROUP_WRITTEN;
}

static void sync_done(struct file_medium *f, unsigned s, int result)
{
	if (try_again(result) && !f->m.error) {
		f->under_way++;
		f->io->ops->sync(f->io, FILE_WRITES + s);
		return;
	}
	f->sync_busy[s] = false;
	if (result < 0) {
		fail(f, result);
		return;
	}
	for (unsigned i = f->oldest; i != f->newest; i++) {
		struct group *g = &f->groups[i % FILE_GROUPS];
		if (g->state == GROUP_SYNCING && g->sync == s)
			g->state = GROUP_DURABLE;
	}
}

/* Collect results, at least one if `wait`. */
static void reap(struct file_medium *f, bool wait)
{
	struct file_io_done done[DONE_BATCH];
	int n;

	do {
		n = f->under_way ? f->io->ops->complete(f->io, done, DONE_BATCH, wait) : 0;
		if (n < 0)
			fail(f, n);
		for (int i = 0; i < n; i++) {
			f->under_way--;
			if (done[i].tag < FILE_WRITES)
				write_done(f, (unsigned)done[i].tag, done[i].result);
			else
				sync_done(f, (unsigned)done[i].tag - FILE_WRITES, done[i].result);
		}
		wait = false;
	} while (n == (int)DONE_BATCH);
	if (!f->m.error)
		retire(f);
}

/* Send whatever can go now. */
static void push(struct file_medium *f)
{
	if (f->m.error)
		return;
	while (write_start(f))
		;
	sync_start(f);
	int rc = f->io->ops->submit(f->io);
	if (rc < 0)
		fail(f, rc);
}

static void file_write_back(struct media *m, uint64_t offset, uint64_t bytes)
{
	struct file_medium *f = file_of(m);

	assert(offset <= m->length && bytes <= m->length - offset && !m->read_only);
	if (!bytes || m->error)
		return;
	uint64_t first = offset / FILE_BLOCK, end = (offset + bytes + FILE_BLOCK - 1) / FILE_BLOCK;
	blockset_add(&f->open, first, end - first);
	m->stats.write_backs++;
}

static media_ticket file_commit(struct media *m)
{
	struct file_medium *f = file_of(m);

	if (m->error)
		return m->error;
	if (blockset_empty(&f->open))
		return f->last;
	blockset_move(&f->waiting, &f->open);
	f->last++;
	m->stats.commits++;
	reap(f, false);
	push(f);
	return m->error ? m->error : f->last;
}

static media_ticket file_poll(struct media *m)
{
	struct file_medium *f = file_of(m);

	if (m->error)
		return m->error;
	if (f->done == f->last)
		return f->done;
	reap(f, false);
	push(f);
	return m->error ? m->error : f->done;
}

static media_ticket file_wait(struct media *m, media_ticket ticket)
{
	struct file_medium *f = file_of(m);

	if (ticket > f->last)
		return m->error ? m->error : -EINVAL; /* was never given out */
	while (!m->error && f->done < ticket) {
		push(f);
		assert(f->under_way || m->error); /* else the ticket would never be done */
		reap(f, true);
	}
	push(f);
	return m->error ? m->error : f->done;
}

static void file_close(struct media *m)
{
	struct file_medium *f = file_of(m);

	/* Requests under way refer to the memory. No new ones are made: what was not waited for was not
	 * promised. */
	fail(f, -ESHUTDOWN);
	while (f->under_way) {
		unsigned before = f->under_way;
		struct file_io_done done[DONE_BATCH];
		int n = f->io->ops->complete(f->io, done, DONE_BATCH, true);
		if (n < 0)
			break; /* the ring is broken; the kernel holds the pages for itself */
		f->under_way = before - (unsigned)n;
	}
	if (f->io)
		f->io->ops->close(f->io);
	munmap(m->base, f->mapped);
	blockset_free(&f->open);
	blockset_free(&f->waiting);
	blockset_free(&f->issuing);
	blockset_free(&f->writing);
	free(f);
}

int file_medium_fill(struct media *m)
{
	struct file_medium *f = file_of(m);

	file_write_back(m, 0, m->length);
	media_ticket rc = file_wait(m, file_commit(m));
	f->last = f->done = 0;
	m->stats = (struct media_stats){0};
	return rc < 0 ? (int)rc : 0;
}

static const struct media_ops file_ops = {file_write_back, file_commit, file_poll, file_wait, file_close};

static int init_sets(struct file_medium *f, uint64_t blocks)
{
	if (blockset_init(&f->open, blocks) < 0 || blockset_init(&f->waiting, blocks) < 0 ||
	    blockset_init(&f->issuing, blocks) < 0 || blockset_init(&f->writing, blocks) < 0)
		return -ENOMEM;
	return 0;
}

int file_medium_new(struct file_io *io, void *memory, uint64_t length, uint64_t mapped, const char *backing,
		    struct media **medium)
{
	struct file_medium *f = calloc(1, sizeof(*f));

	if (!f) {
		io->ops->close(io);
		munmap(memory, mapped);
		return -ENOMEM;
	}
	assert(io->depth >= FILE_DEPTH && length % FILE_BLOCK == 0);
	f->io = io;
	f->mapped = mapped;
	f->n_free_writes = FILE_WRITES;
	for (unsigned i = 0; i < FILE_WRITES; i++)
		f->free_writes[i] = FILE_WRITES - 1 - i;
	f->m = (struct media){
	    .ops = &file_ops,
	    .base = memory,
	    .length = length,
	    .unit = FILE_BLOCK,
	    .kind = MEDIA_FILE,
	    .instruction = "O_DIRECT + fdatasync",
	    .survives = "power loss",
	    .backing = backing,
	    .wait_fd = io->wait_fd,
	};
	if (init_sets(f, length / FILE_BLOCK) < 0) {
		file_close(&f->m);
		return -ENOMEM;
	}
	*medium = &f->m;
	return 0;
}

void file_medium_seal(struct media *m)
{
	struct file_medium *f = file_of(m);

	assert(!f->under_way);
	f->io->ops->close(f->io);
	f->io = NULL;
	m->wait_fd = -1;
	m->read_only = true;
	mprotect(m->base, m->length, PROT_READ);
}

void file_medium_wrap_io(struct media *m, struct file_io *(*wrapper)(struct file_io *io, void *context),
			 void *context)
{
	struct file_medium *f = file_of(m);

	assert(m->ops == &file_ops && !f->under_way);
	f->io = wrapper(f->io, context);
	m->wait_fd = f->io->wait_fd;
}
