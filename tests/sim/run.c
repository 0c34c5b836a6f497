/* SPDX-License-Identifier: BSD-2-Clause */
#include "run.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *const run_focus_options[] = {"", "--every-point", "--superblock"};

void run_enter(struct run *run, struct run_frame *frame, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(frame->text, sizeof(frame->text), format, ap);
	va_end(ap);
	frame->outer = run->frame;
	run->frame = frame;
}

void run_leave(struct run *run, struct run_frame *frame)
{
	run->frame = frame->outer;
}

static void print_frames(const struct run_frame *frame)
{
	if (!frame)
		return;
	print_frames(frame->outer);
	fprintf(stderr, "  %s\n", frame->text);
}

static void print_again(const struct run *run)
{
	print_frames(run->frame);
	fprintf(stderr, "again: %s%s --kind %s --logs %u --seed %llu %s\n", run->options.program,
		run->options.more ? run->options.more : "", sim_kind_name(run->options.kind),
		run->options.logs, (unsigned long long)run->seed, run_focus_options[run->options.focus]);
}

void run_broken(struct run *run, const char *format, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "BROKEN: ");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	print_again(run);
	/* Without unwinding: the stores of all generations are still open. */
	_exit(1);
}

static struct run *watched; /* for the signal handler */

static void on_signal(int number)
{
	fprintf(stderr, "BROKEN: %s\n", number == SIGABRT ? "an assertion failed" : "the program fell");
	if (watched)
		print_again(watched);
	signal(number, SIG_DFL);
	raise(number);
}

void run_watch(struct run *run)
{
	watched = run;
	signal(SIGABRT, run ? on_signal : SIG_DFL);
#ifndef __SANITIZE_ADDRESS__ /* which has more to say about it */
	signal(SIGSEGV, run ? on_signal : SIG_DFL);
#endif
}

uint8_t *run_block(struct run *run)
{
	if (run->pooled)
		return run->pool[--run->pooled];
	uint8_t *block = aligned_alloc(4096, run->size);
	if (!block)
		abort();
	return block;
}

void run_block_put(struct run *run, uint8_t *block)
{
	if (run->pooled < sizeof(run->pool) / sizeof(run->pool[0]))
		run->pool[run->pooled++] = block;
	else
		free(block);
}

void run_end(struct run *run)
{
	while (run->pooled)
		free(run->pool[--run->pooled]);
}
