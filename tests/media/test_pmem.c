/* SPDX-License-Identifier: BSD-2-Clause */
/* Write-back by cache lines: which lines, in which order with the fence, and by which instruction. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/site.h"
#include "media/pmem.h"

#define LENGTH 8192u

/* What the flush functions were called with. They take no context, as the real ones need none. */
static struct {
	const uint8_t *base;
	bool line[LENGTH / FLUSH_LINE];
	unsigned lines, fences;
	unsigned lines_at_fence;
} seen;

static void record_lines(const uint8_t *first, const uint8_t *end)
{
	assert_int_equal((uintptr_t)first % FLUSH_LINE, 0);
	for (const uint8_t *p = first; p < end; p += FLUSH_LINE) {
		seen.line[(p - seen.base) / FLUSH_LINE] = true;
		seen.lines++;
	}
}

static void record_fence(void)
{
	seen.fences++;
	seen.lines_at_fence = seen.lines;
}

static struct media *begin(enum media_kind kind)
{
	struct pmem_setup setup = {
	    .kind = kind, .backing = "test", .flush = {"test", record_lines, record_fence}};
	void *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct media *m;

	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(pmem_medium_new(&setup, memory, LENGTH, &m), 0);
	memset(&seen, 0, sizeof(seen));
	seen.base = memory;
	return m;
}

static void partial_first_and_last_lines_are_covered(void **state)
{
	/* Every offset within a line, every length up to five lines. */
	for (unsigned offset = 0; offset < 64; offset++) {
		struct media *m = begin(MEDIA_SHM);
		for (unsigned bytes = 1; bytes < 320; bytes++) {
			uint64_t units = m->stats.units;
			memset(seen.line, 0, sizeof(seen.line));
			media_write_back(m, 640 + offset, bytes);
			unsigned first = (640 + offset) / 64, last = (640 + offset + bytes - 1) / 64;
			for (unsigned i = 0; i < LENGTH / FLUSH_LINE; i++)
				assert_int_equal(seen.line[i], i >= first && i <= last);
			assert_int_equal(m->stats.units - units, last - first + 1);
		}
		assert_int_equal(m->stats.bytes_written, m->stats.units * 64);
		media_close(m);
	}
}

static void a_group_is_fenced_once_and_done_at_once(void **state)
{
	struct media *m = begin(MEDIA_PMEM);

	assert_int_equal(media_commit(m), 0);
	assert_int_equal(seen.fences, 0);
	for (media_ticket t = 1; t <= 3; t++) {
		media_write_back(m, 0, 1);
		media_write_back(m, LENGTH - 1, 1);
		media_write_back(m, 100, 0);
		assert_int_equal(seen.fences, t - 1);
		assert_int_equal(media_commit(m), t);
		assert_int_equal(seen.fences, t);
		assert_int_equal(seen.lines_at_fence, 2 * t);
		assert_int_equal(media_commit(m), t); /* nothing new */
		assert_int_equal(media_poll(m), t);
		assert_int_equal(media_wait(m, t), t);
	}
	assert_int_equal(seen.fences, 3);
	assert_int_equal(media_wait(m, 4), -EINVAL);
	assert_int_equal(m->stats.write_backs, 6);
	assert_int_equal(m->stats.commits, 3);
	assert_int_equal(m->wait_fd, -1);
	media_close(m);
}

static void the_medium_says_what_it_survives(void **state)
{
	struct media *m = begin(MEDIA_PMEM);

	assert_string_equal(m->survives, "power loss");
	media_close(m);
	m = begin(MEDIA_SHM);
	assert_string_equal(m->survives, "the process dying, not the machine");
	media_close(m);
}

static void the_best_instruction_is_chosen(void **state)
{
	const struct {
		struct flush_cpu cpu;
		bool persist;
		int result;
		const char *instruction;
	} table[] = {
	    {{.clwb = true, .clflushopt = true, .clflush = true}, false, 0, "clwb"},
	    {{.clflushopt = true, .clflush = true}, false, 0, "clflushopt"},
	    {{.clflush = true}, false, 0, "clflush"},
	    {{.clwb = true, .clflushopt = true, .clflush = true}, true, 0, "none (eADR)"},
	    {{.clflush = true}, true, 0, "none (eADR)"},
	    {{.clflush = false}, true, 0, "none (eADR)"},
	    {{.clflush = false}, false, -ENOTSUP, NULL},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct flush flush;
		assert_int_equal(flush_choose(table[i].cpu, table[i].persist, &flush), table[i].result);
		if (table[i].result == 0)
			assert_string_equal(flush.instruction, table[i].instruction);
	}
}

static void every_instruction_of_this_cpu_runs(void **state)
{
	struct flush_cpu cpu = flush_cpu_detect();
	const struct flush_cpu one[] = {
	    {.clwb = cpu.clwb}, {.clflushopt = cpu.clflushopt}, {.clflush = cpu.clflush}};
	uint8_t *memory = aligned_alloc(FLUSH_LINE, LENGTH);
	struct flush flush;

	for (unsigned i = 0; i < LENGTH; i++)
		memory[i] = (uint8_t)(i * 7);
	for (unsigned i = 0; i < 4; i++) {
		if (i < 3 && flush_choose(one[i], false, &flush) < 0)
			continue;
		if (i == 3)
			flush_choose(cpu, true, &flush);
		flush.lines(memory, memory + LENGTH - 3);
		flush.lines(memory, memory);
		flush.fence();
		for (unsigned k = 0; k < LENGTH; k++)
			assert_int_equal(memory[k], (uint8_t)(k * 7));
	}
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(partial_first_and_last_lines_are_covered),
	    cmocka_unit_test(a_group_is_fenced_once_and_done_at_once),
	    cmocka_unit_test(the_medium_says_what_it_survives),
	    cmocka_unit_test(the_best_instruction_is_chosen),
	    cmocka_unit_test(every_instruction_of_this_cpu_runs),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
