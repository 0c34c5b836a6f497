/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk_layer.c - a layer between the `file` medium and its disk, linked into a `pst` for tests
 * (-Wl,--wrap=file_io_uring). It fails, stalls, delays, and forgets, as the file named by $PASTE_TEST_DISK
 * says, which it maps; disk.py is the other end.
 *
 * With a cache, the disk is one that a power cut robs of all it has not synced: a write that is not a durable
 * one stays in this process's memory, some blocks go to the real disk at once all the same, and the rest when
 * a sync is asked for. So SIGKILL is a power cut. A sync that fails loses what it should have kept, and a
 * write that fails lands in half: nothing may depend on either.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "media/file.h"

enum mode { WORKS, WRITE_FAILS, SYNC_FAILS, STALLED, SLOW };

struct control {
	uint32_t mode, error, after, times, delay_us, cache;
	uint32_t injected, held, writes, syncs; /* told */
};

struct held {
	enum { NONE, HELD, ANSWERED } state;
	enum { READ, WRITE, SYNC } kind;
	void *memory;
	uint32_t bytes;
	uint64_t offset;
	bool durable;
	uint64_t tag;
	int64_t due_us;
	int result; /* ANSWERED */
};

struct layer {
	struct file_io io;
	struct file_io *disk;
	int fd, epoll, timer;
	volatile struct control *control;
	struct held held[FILE_DEPTH];
	unsigned held_count;
	unsigned under_way; /* in the disk */
	uint8_t **cache;    /* a block: what the real disk does not have, or NULL */
	uint64_t blocks;
	uint64_t seed;
};

struct file_io *layer_over(struct file_io *disk, int fd, const char *control);
int __real_file_io_uring(int fd, unsigned depth, const char *path, struct file_io **io,
			 struct paste_error *err);
int __wrap_file_io_uring(int fd, unsigned depth, const char *path, struct file_io **io,
			 struct paste_error *err);

static struct layer *layer_of(struct file_io *io)
{
	return (struct layer *)io; /* io is the first member */
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t chance(struct layer *l, uint64_t below)
{
	l->seed = l->seed * 6364136223846793005u + 1442695040888963407u;
	return (l->seed >> 33) % below;
}

/* Look again in a millisecond, as long as something is held. */
static void alarm_set(struct layer *l)
{
	struct itimerspec every = {{0}};

	if (l->held_count)
		every.it_value.tv_nsec = every.it_interval.tv_nsec = 1000000;
	timerfd_settime(l->timer, 0, &every, NULL);
	l->control->held = l->held_count;
}

static void write_now(struct layer *l, const void *memory, uint64_t bytes, uint64_t offset)
{
	ssize_t n = pwrite(l->fd, memory, bytes, (off_t)offset);

	assert(n == (ssize_t)bytes);
	(void)n;
}

static void cache_forget(struct layer *l, uint64_t first, uint64_t count)
{
	for (uint64_t b = first; l->cache && b < first + count; b++) {
		free(l->cache[b]);
		l->cache[b] = NULL;
	}
}

static void cache_write(struct layer *l, const struct held *r)
{
	for (uint32_t at = 0; at < r->bytes; at += FILE_BLOCK) {
		uint64_t b = (r->offset + at) / FILE_BLOCK;
		const uint8_t *from = (const uint8_t *)r->memory + at;

		if (chance(l, 4) == 0) {
			cache_forget(l, b, 1);
			write_now(l, from, FILE_BLOCK, b * FILE_BLOCK);
			continue;
		}
		if (!l->cache[b])
			l->cache[b] = aligned_alloc(FILE_BLOCK, FILE_BLOCK);
		assert(l->cache[b]);
		memcpy(l->cache[b], from, FILE_BLOCK);
	}
}

static void cache_empty_to_disk(struct layer *l)
{
	for (uint64_t b = 0; b < l->blocks; b++) {
		if (!l->cache[b])
			continue;
		write_now(l, l->cache[b], FILE_BLOCK, b * FILE_BLOCK);
		cache_forget(l, b, 1);
	}
}

static void answer(struct layer *l, struct held *r, int result)
{
	r->state = ANSWERED;
	r->result = result;
}

/* Does this request meet the fault that is set? */
static bool struck(struct layer *l, const struct held *r)
{
	volatile struct control *c = l->control;
	bool aimed = (c->mode == WRITE_FAILS && r->kind == WRITE) ||
		     (c->mode == SYNC_FAILS && r->kind != READ && (r->kind == SYNC || r->durable));

	if (!aimed)
		return false;
	if (c->after) {
		c->after--;
		return false;
	}
	if (c->times && c->injected >= c->times)
		return false;
	c->injected++;
	return true;
}

static void strike(struct layer *l, struct held *r)
{
	uint64_t landed = r->kind == WRITE && l->control->mode == WRITE_FAILS ? r->bytes / 2 / 512 * 512 : 0;

	if (landed) {
		write_now(l, r->memory, landed, r->offset);
		cache_forget(l, r->offset / FILE_BLOCK, r->bytes / FILE_BLOCK);
	}
	if (r->kind == SYNC && l->cache)
		cache_forget(l, 0, l->blocks);
	answer(l, r, -(int)l->control->error);
}

/* It is this request's turn. */
static void carry_out(struct layer *l, struct held *r)
{
	const struct file_io_ops *disk = l->disk->ops;

	if (struck(l, r)) {
		strike(l, r);
		return;
	}
	if (r->kind == WRITE && l->cache && !r->durable) {
		cache_write(l, r);
		answer(l, r, (int)r->bytes);
		return;
	}
	if (r->kind == WRITE)
		cache_forget(l, r->offset / FILE_BLOCK, r->bytes / FILE_BLOCK);
	if (r->kind == SYNC && l->cache)
		cache_empty_to_disk(l);
	if (r->kind == WRITE)
		disk->write(l->disk, r->memory, r->bytes, r->offset, r->durable, r->tag);
	else if (r->kind == SYNC)
		disk->sync(l->disk, r->tag);
	else
		disk->read(l->disk, r->memory, r->bytes, r->offset, r->tag);
	l->under_way++;
	l->held_count--;
	r->state = NONE;
}

static void carry_out_due(struct layer *l)
{
	int64_t now = now_us();

	if (l->control->mode == STALLED)
		return;
	for (unsigned i = 0; i < FILE_DEPTH; i++)
		if (l->held[i].state == HELD && (l->control->mode != SLOW || l->held[i].due_us <= now))
			carry_out(l, &l->held[i]);
}

static void hold(struct file_io *io, struct held request)
{
	struct layer *l = layer_of(io);
	unsigned i = 0;

	while (l->held[i].state != NONE)
		i++; /* there is one: no more than FILE_DEPTH are under way */
	assert(i < FILE_DEPTH);
	request.state = HELD;
	request.due_us = now_us() + l->control->delay_us;
	l->held[i] = request;
	l->held_count++;
}

static void layer_read(struct file_io *io, void *memory, uint32_t bytes, uint64_t offset, uint64_t tag)
{
	hold(io, (struct held){.kind = READ, .memory = memory, .bytes = bytes, .offset = offset, .tag = tag});
}

static void layer_write(struct file_io *io, const void *memory, uint32_t bytes, uint64_t offset, bool durable,
			uint64_t tag)
{
	layer_of(io)->control->writes++;
	hold(io, (struct held){.kind = WRITE,
			       .memory = (void *)(uintptr_t)memory,
			       .bytes = bytes,
			       .offset = offset,
			       .durable = durable,
			       .tag = tag});
}

static void layer_sync(struct file_io *io, uint64_t tag)
{
	layer_of(io)->control->syncs++;
	hold(io, (struct held){.kind = SYNC, .tag = tag});
}

static int layer_submit(struct file_io *io)
{
	struct layer *l = layer_of(io);

	carry_out_due(l);
	alarm_set(l);
	return l->disk->ops->submit(l->disk);
}

static unsigned take_answered(struct layer *l, struct file_io_done *done, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FILE_DEPTH && n < max; i++) {
		if (l->held[i].state != ANSWERED)
			continue;
		done[n++] = (struct file_io_done){l->held[i].tag, l->held[i].result};
		l->held[i].state = NONE;
		l->held_count--;
	}
	return n;
}

static int layer_complete(struct file_io *io, struct file_io_done *done, unsigned max, bool wait)
{
	struct layer *l = layer_of(io);
	uint64_t ticks;

	for (;;) {
		ssize_t ignored = read(l->timer, &ticks, sizeof(ticks));
		(void)ignored;
		int rc = layer_submit(io);
		if (rc < 0)
			return rc;
		unsigned n = take_answered(l, done, max);
		if (n < max && l->under_way) {
			bool block = wait && !n && !l->held_count;
			int more = l->disk->ops->complete(l->disk, done + n, max - n, block);
			if (more < 0)
				return more;
			l->under_way -= (unsigned)more;
			n += (unsigned)more;
		}
		alarm_set(l);
		if (n || !wait)
			return (int)n;
		usleep(200);
	}
}

static void layer_close(struct file_io *io)
{
	struct layer *l = layer_of(io);

	cache_forget(l, 0, l->blocks); /* what was not synced is lost */
	free(l->cache);
	l->disk->ops->close(l->disk);
	close(l->epoll);
	close(l->timer);
	munmap((void *)(uintptr_t)l->control, sizeof(struct control));
	free(l);
}

static const struct file_io_ops layer_ops = {layer_read,   layer_write,    layer_sync,
					     layer_submit, layer_complete, layer_close};

static void watch(struct layer *l, int fd)
{
	struct epoll_event e = {.events = EPOLLIN};
	int rc = epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e);

	assert(rc == 0);
	(void)rc;
}

struct file_io *layer_over(struct file_io *disk, int fd, const char *control)
{
	struct layer *l = calloc(1, sizeof(*l));
	int file = open(control, O_RDWR | O_CLOEXEC);
	struct stat st;

	assert(l && file >= 0 && fstat(fd, &st) == 0);
	void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	assert(map != MAP_FAILED);
	close(file);
	*l = (struct layer){.disk = disk, .fd = fd, .control = map, .seed = (uint64_t)now_us()};
	l->blocks = (uint64_t)st.st_size / FILE_BLOCK;
	if (l->control->cache)
		l->cache = calloc(l->blocks, sizeof(*l->cache));
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	watch(l, disk->wait_fd);
	watch(l, l->timer);
	l->io = (struct file_io){.ops = &layer_ops, .depth = disk->depth, .wait_fd = l->epoll};
	return &l->io;
}

int __wrap_file_io_uring(int fd, unsigned depth, const char *path, struct file_io **io,
			 struct paste_error *err)
{
	const char *control = getenv("PASTE_TEST_DISK");
	int rc = __real_file_io_uring(fd, depth, path, io, err);

	if (rc == 0 && control)
		*io = layer_over(*io, fd, control);
	return rc;
}
