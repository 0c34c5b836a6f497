/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/memory.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE_LOG2 21
#define HUGE_PAGE (1ull << HUGE_PAGE_LOG2)
#define POPULATE_STEP (8ull << 20)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

void memory_size_text(uint64_t bytes, char text[32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(text, 32, value == (double)(uint64_t)value ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* MemAvailable, in bytes; 0 if unknown. Swap does not count: a region that is swapped is no longer a fast
 * one. */
static uint64_t memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long long kib = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	}
	fclose(f);
	return kib * 1024;
}

uint64_t memory_huge_available(uint64_t page)
{
	char path[96];
	unsigned long long pages = 0;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB/free_hugepages",
		 (unsigned long long)page / 1024);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * page;
}

int memory_check(uint64_t bytes, const char *path, struct paste_error *err)
{
	uint64_t available = memory_available();
	char needed[32], have[32];

	if (!available || available >= bytes)
		return 0;
	memory_size_text(bytes, needed);
	memory_size_text(available, have);
	return paste_fail(err, -ENOMEM,
			  "%s: a region is held in memory; it needs %s, this machine has %s available", path,
			  needed, have);
}

int memory_populate(void *memory, uint64_t bytes, bool write)
{
	int rc;

	do {
		rc =
		    madvise(memory, bytes, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) < 0 ? -errno : 0;
	} while (rc == -EINTR || rc == -EAGAIN);
	return rc;
}

/* In steps, so that the pages that are wanted first are there first. */
static void *populate_thread(void *argument)
{
	struct memory_populating *p = argument;
	uint64_t step;

	for (uint64_t at = 0; p->result == 0 && at < p->bytes; at += step) {
		step = p->bytes - at < POPULATE_STEP ? p->bytes - at : POPULATE_STEP;
		p->result = memory_populate((uint8_t *)p->memory + at, step, true);
	}
	return NULL;
}

void memory_populate_begin(struct memory_populating *p, void *memory, uint64_t bytes)
{
	sigset_t all, before;

	*p = (struct memory_populating){.memory = memory, .bytes = bytes};
	/* The program's signals are not for this thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	p->threaded = pthread_create(&p->thread, NULL, populate_thread, p) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!p->threaded)
		populate_thread(p);
}

int memory_populate_end(struct memory_populating *p)
{
	if (p->threaded)
		pthread_join(p->thread, NULL);
	p->threaded = false;
	return p->result;
}

static int from_hugetlb(uint64_t bytes, void **memory)
{
	/* Reserved here: too few of them are an error now and no SIGBUS later. */
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | HUGE_PAGE_LOG2 << MAP_HUGE_SHIFT, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	*memory = p;
	return 0;
}

/* At a huge page's boundary, so that the kernel can make huge pages of it as it is populated. */
static int from_pages(uint64_t bytes, void **memory)
{
	uint8_t *p = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	uint64_t before = -(uintptr_t)p & (HUGE_PAGE - 1);
	if (before)
		munmap(p, before);
	munmap(p + before + bytes, HUGE_PAGE - before);
	*memory = p + before;
	madvise(*memory, bytes, MADV_HUGEPAGE); /* refused: all is the same, and slower */
	return 0;
}

static int resident(uint64_t bytes, bool hugetlb, void **memory)
{
	int rc = hugetlb ? from_hugetlb(bytes, memory) : from_pages(bytes, memory);

	/* Pages that a device writes to are copied by fork(), all at once. */
	if (rc == 0)
		madvise(*memory, bytes, MADV_DONTFORK);
	return rc;
}

int memory_resident(uint64_t bytes, bool hugepages, void **memory, uint64_t *mapped, const char **backing)
{
	if (hugepages) {
		*mapped = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
		*backing = "memory (2 MiB huge pages)";
		if (resident(*mapped, true, memory) == 0)
			return 0;
	}
	*mapped = bytes;
	*backing = hugepages ? "memory (too few free huge pages)" : "memory";
	return resident(bytes, false, memory);
}
