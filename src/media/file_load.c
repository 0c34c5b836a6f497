/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/file.h"

#include <errno.h>

#include "base/site.h"

#define LOAD_CHUNK (1u << 20)
#define LOAD_DEPTH 32u

struct chunk {
	uint64_t offset;
	uint32_t bytes; /* still to read */
};

struct load {
	struct file_io *io;
	uint8_t *memory;
	uint64_t length;
	uint64_t next; /* where the next chunk starts */
	struct chunk chunks[LOAD_DEPTH];
	unsigned under_way;
	int error;
};

static void load_queue(struct load *l, unsigned i)
{
	const struct chunk *c = &l->chunks[i];

	l->io->ops->read(l->io, l->memory + c->offset, c->bytes, c->offset, i);
	l->under_way++;
}

static void load_start(struct load *l, unsigned i)
{
	if (l->next == l->length || l->error)
		return;
	uint64_t left = l->length - l->next;
	l->chunks[i].offset = l->next;
	l->chunks[i].bytes = left < LOAD_CHUNK ? (uint32_t)left : LOAD_CHUNK;
	l->next += l->chunks[i].bytes;
	load_queue(l, i);
}

static void load_done(struct load *l, const struct file_io_done *done)
{
	struct chunk *c = &l->chunks[done->tag];

	l->under_way--;
	if (done->result == -EINTR || done->result == -EAGAIN) {
		load_queue(l, (unsigned)done->tag);
		return;
	}
	/* Nothing where there was something when the file was opened: it was cut meanwhile. */
	if (done->result <= 0) {
		if (!l->error)
			l->error = done->result ? done->result : -EIO;
		return;
	}
	c->offset += (uint32_t)done->result;
	c->bytes -= (uint32_t)done->result;
	if (c->bytes)
		load_queue(l, (unsigned)done->tag);
	else
		load_start(l, (unsigned)done->tag);
}

int file_load(struct file_io *io, void *memory, uint64_t length)
{
	struct load l = {.io = io, .memory = memory, .length = length};
	struct file_io_done done[LOAD_DEPTH];

	for (unsigned i = 0; i < LOAD_DEPTH && i < io->depth; i++)
		load_start(&l, i);
	while (l.under_way) {
		int n = io->ops->complete(io, done, LOAD_DEPTH, true);
		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			load_done(&l, &done[i]);
		int rc = io->ops->submit(io);
		if (rc < 0)
			return rc;
	}
	return l.error;
}

int file_settle(struct file_io *io)
{
	struct file_io_done done = {.result = -EAGAIN};

	if (!SITE(file_settle))
		return 0;
	while (done.result == -EINTR || done.result == -EAGAIN) {
		io->ops->sync(io, 0);
		int n;
		do
			n = io->ops->complete(io, &done, 1, true);
		while (n == 0);
		if (n < 0)
			return n;
	}
	return done.result;
}
