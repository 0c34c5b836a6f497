/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.h - the memory that a region occupies: is there enough, and have it, before anything depends on it.
 */
#ifndef MEDIA_MEMORY_H
#define MEDIA_MEMORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "paste/error.h"

/* "1.5 GiB" */
void memory_size_text(uint64_t bytes, char text[32]);

/* -ENOMEM with a sentence, if this machine has less than `bytes` available. 0 too if that cannot be found
 * out. */
int memory_check(uint64_t bytes, const char *path, struct paste_error *err);

/* Bytes in free huge pages of this size; 0 if that cannot be found out. */
uint64_t memory_huge_available(uint64_t page);

/*
 * Have every page of a mapping present, so that no later access faults, let alone with SIGBUS: `write`
 * for pages that may still have to be allocated. -EFAULT, -ENOMEM, -EHWPOISON: some could not be had.
 */
int memory_populate(void *memory, uint64_t bytes, bool write);

/*
 * The same for writing, by a thread that runs ahead of whoever fills the memory: having pages costs as much
 * time as a fast disk needs to fill them. begin does it at once where no thread is to be had; end waits for
 * it and returns as memory_populate does.
 */
struct memory_populating {
	void *memory;
	uint64_t bytes;
	pthread_t thread;
	bool threaded;
	int result;
};
void memory_populate_begin(struct memory_populating *p, void *memory, uint64_t bytes);
int memory_populate_end(struct memory_populating *p);

/*
 * Memory for a resident region, zero and not populated: from hugetlb if asked for and there is enough, else in pages
 * that the kernel makes huge ones of where it can (madvise(2), MADV_HUGEPAGE). No child of fork() has it. Unmap `mapped`
 * bytes, which may be more than `bytes`. *backing says what it became.
 */
int memory_resident(uint64_t bytes, bool hugepages, void **memory, uint64_t *mapped, const char **backing);

#endif
