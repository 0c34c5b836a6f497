/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/flush.h"

#include <errno.h>

#ifndef __x86_64__
#error "media/flush.c knows the write-back instructions of x86-64 only"
#endif

#include <cpuid.h>
#include <immintrin.h>

/* One loop an instruction: a test inside a shared loop would cost as much as the instruction itself. */
__attribute__((target("clwb"))) static void lines_clwb(const uint8_t *first, const uint8_t *end)
{
	for (const uint8_t *line = first; line < end; line += FLUSH_LINE)
		_mm_clwb((void *)(uintptr_t)line);
}

__attribute__((target("clflushopt"))) static void lines_clflushopt(const uint8_t *first, const uint8_t *end)
{
	for (const uint8_t *line = first; line < end; line += FLUSH_LINE)
		_mm_clflushopt((void *)(uintptr_t)line);
}

static void lines_clflush(const uint8_t *first, const uint8_t *end)
{
	for (const uint8_t *line = first; line < end; line += FLUSH_LINE)
		_mm_clflush(line);
}

static void lines_none(const uint8_t *first, const uint8_t *end)
{
	/* The compiler must not keep the bytes in registers over a write-back, even over this one. */
	__asm__ volatile("" : : "r"(first), "r"(end) : "memory");
}

/*
 * clwb and clflushopt are weakly ordered, but sfence orders them, and the stores that they write back, before
 * everything that is stored after it; once it has retired they have reached the memory controller, which is
 * inside the power-fail domain. mfence would order loads too, which nothing here depends on. clflush is
 * ordered with stores by itself, but the store that follows is not held up until it is done: the same sfence
 * says so in every case. With eADR the caches are in the domain and the store buffer is not: sfence drains
 * it.
 */
static void fence_store(void)
{
	_mm_sfence();
}

struct flush_cpu flush_cpu_detect(void)
{
	struct flush_cpu cpu = {0};
	unsigned int eax, ebx, ecx, edx;

	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
		cpu.clflush = edx & (1u << 19);
	if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
		cpu.clflushopt = ebx & (1u << 23);
		cpu.clwb = ebx & (1u << 24);
	}
	return cpu;
}

int flush_choose(struct flush_cpu cpu, bool caches_persist, struct flush *flush)
{
	flush->fence = fence_store;
	if (caches_persist) {
		flush->lines = lines_none;
		flush->instruction = "none (eADR)";
	} else if (cpu.clwb) {
		flush->lines = lines_clwb;
		flush->instruction = "clwb";
	} else if (cpu.clflushopt) {
		flush->lines = lines_clflushopt;
		flush->instruction = "clflushopt";
	} else if (cpu.clflush) {
		flush->lines = lines_clflush;
		flush->instruction = "clflush";
	} else {
		return -ENOTSUP;
	}
	return 0;
}
