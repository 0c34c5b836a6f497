/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/pmem.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/site.h"

struct pmem {
	struct media m;
	struct flush flush;
	bool open_group;   /* something was written back since the last commit */
	media_ticket last; /* the last ticket given out; done already */
};

static struct pmem *pmem_of(struct media *m)
{
	return (struct pmem *)m; /* m is the first member */
}

static void pmem_write_back(struct media *m, uint64_t offset, uint64_t bytes)
{
	struct pmem *p = pmem_of(m);

	assert(offset <= m->length && bytes <= m->length - offset && !m->read_only);
	if (!bytes)
		return;
	/* The start is rounded down: stepping from an unaligned start would miss the last line. */
	uint64_t first = offset & ~(uint64_t)(FLUSH_LINE - 1);
	uint64_t units = (offset + bytes - first + FLUSH_LINE - 1) / FLUSH_LINE;
	if (SITE(pmem_flush))
		p->flush.lines(m->base + first, m->base + offset + bytes);
	p->open_group = true;
	m->stats.write_backs++;
	m->stats.units += units;
	m->stats.bytes_written += units * FLUSH_LINE;
}

static media_ticket pmem_commit(struct media *m)
{
	struct pmem *p = pmem_of(m);

	if (!p->open_group)
		return p->last;
	/* Orders the group's stores and write-backs before whatever follows: the reply, the next record. */
	if (SITE(pmem_fence))
		p->flush.fence();
	p->open_group = false;
	m->stats.commits++;
	return ++p->last;
}

static media_ticket pmem_poll(struct media *m)
{
	return pmem_of(m)->last;
}

static media_ticket pmem_wait(struct media *m, media_ticket ticket)
{
	struct pmem *p = pmem_of(m);

	return ticket <= p->last ? p->last : -EINVAL; /* a ticket that was never given out */
}

static void pmem_close(struct media *m)
{
	munmap(m->base, m->length);
	free(m);
}

static const struct media_ops pmem_ops = {pmem_write_back, pmem_commit, pmem_poll, pmem_wait, pmem_close};

int pmem_medium_new(const struct pmem_setup *setup, void *memory, uint64_t length, struct media **medium)
{
	int rc = probe_install();
	struct pmem *p = rc < 0 ? NULL : calloc(1, sizeof(*p));

	if (!p)
		return rc < 0 ? rc : -ENOMEM;
	p->flush = setup->flush;
	p->m = (struct media){
	    .ops = &pmem_ops,
	    .base = memory,
	    .length = length,
	    .unit = FLUSH_LINE,
	    .kind = setup->kind,
	    .read_only = setup->read_only,
	    .instruction = setup->flush.instruction,
	    .survives = setup->kind == MEDIA_PMEM ? "power loss" : "the process dying, not the machine",
	    .backing = setup->backing,
	    .wait_fd = -1,
	    .mapped = true,
	};
	*medium = &p->m;
	return 0;
}
