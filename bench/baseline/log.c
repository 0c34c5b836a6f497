/* SPDX-License-Identifier: BSD-2-Clause */
#include "baseline.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BLOCK 4096u
#define STEP (4u << 20)

/* Every block is written once, so that a sync has no metadata to write. */
static int write_zeroes(int fd, const uint8_t *zeroes, uint64_t size)
{
	for (uint64_t at = 0; at < size;) {
		uint64_t step = size - at < STEP ? size - at : STEP;
		ssize_t n = pwrite(fd, zeroes, step, (off_t)at);

		if (n <= 0)
			return n ? -errno : -EIO;
		at += (uint64_t)n;
	}
	return fsync(fd) ? -errno : 0;
}

int log_file_open(struct classic_log *l, const char *path, uint64_t size)
{
	struct statfs fs;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	*l = (struct classic_log){.size = size & ~(uint64_t)(STEP - 1), .fd = -1};
	if (fd < 0)
		return -errno;
	int rc = fstatfs(fd, &fs) ? -errno : -posix_fallocate(fd, 0, (off_t)l->size);
	bool shared = fs.f_type == TMPFS_MAGIC;
	if (rc == 0) {
		l->memory = mmap(NULL, l->size, PROT_READ | PROT_WRITE,
				 MAP_POPULATE | (shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS),
				 shared ? fd : -1, 0);
		rc = l->memory == MAP_FAILED ? -errno : 0;
	}
	if (rc == 0 && shared)
		rc = flush_choose(flush_cpu_detect(), false, &l->flush);
	if (rc == 0 && !shared)
		rc = fcntl(fd, F_SETFL, O_DIRECT) ? -errno : write_zeroes(fd, l->memory, l->size);
	if (rc || shared)
		close(fd);
	else
		l->fd = fd;
	return rc;
}

void log_file_close(struct classic_log *l)
{
	if (l->memory && l->memory != MAP_FAILED)
		munmap(l->memory, l->size);
	if (l->fd >= 0)
		close(l->fd);
}

uint8_t *log_place(struct classic_log *l, uint64_t bytes)
{
	uint64_t padded = (bytes + 7) & ~(uint64_t)7;

	if (padded > l->size - l->tail)
		return NULL;
	uint8_t *place = l->memory + l->tail;
	l->tail += padded;
	return place;
}

/* The rest of the last block stays empty: a block with acknowledged bytes is not written again. */
static int flush_blocks(struct classic_log *l)
{
	uint64_t end = (l->tail + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);

	while (l->flushed < end) {
		ssize_t n = pwrite(l->fd, l->memory + l->flushed, end - l->flushed, (off_t)l->flushed);

		if (n <= 0)
			return n ? -errno : -EIO;
		l->flushed += (uint64_t)n;
	}
	l->tail = end;
	return fdatasync(l->fd) ? -errno : 0;
}

int log_flush(struct classic_log *l)
{
	if (l->flushed == l->tail)
		return 0;
	if (l->fd >= 0)
		return flush_blocks(l);
	l->flush.lines(l->memory + (l->flushed & ~(uint64_t)(FLUSH_LINE - 1)), l->memory + l->tail);
	l->flush.fence();
	l->flushed = l->tail;
	return 0;
}
