/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flush.h - writing cache lines back, with the instruction that this CPU and platform need.
 *
 * The choice is made once, when a medium is opened: clwb (writes the line back and keeps it), else clflushopt
 * (evicts it), else clflush (evicts it, one after the other). Where the platform's power-fail domain includes
 * the CPU caches (eADR) no instruction is needed, only the fence.
 */
#ifndef MEDIA_FLUSH_H
#define MEDIA_FLUSH_H

#include <stdbool.h>
#include <stdint.h>

#define FLUSH_LINE 64u

struct flush {
	const char *instruction; /* "clwb", "clflushopt", "clflush", "none (eADR)" */
	/* Write back the lines of [first, end); first is the start of a line, end may lie inside one. */
	void (*lines)(const uint8_t *first, const uint8_t *end);
	/* All stores and write-backs before it are durable before any store or I/O after it. */
	void (*fence)(void);
};

struct flush_cpu {
	bool clwb;
	bool clflushopt;
	bool clflush;
};

struct flush_cpu flush_cpu_detect(void);

/* `caches_persist`: the platform reports eADR. -ENOTSUP: a CPU without any of the instructions. */
int flush_choose(struct flush_cpu cpu, bool caches_persist, struct flush *flush);

#endif
