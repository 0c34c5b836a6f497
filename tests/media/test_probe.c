/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading from memory that is gone: a result where it is asked for, the end of the process everywhere else.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/site.h"
#include "media/probe.h"

#define PAGE 4096u

/* Three pages; the middle one is gone. */
static uint8_t *begin(void)
{
	int fd = memfd_create("pages", MFD_CLOEXEC), nothing = memfd_create("nothing", MFD_CLOEXEC);

	assert_true(fd >= 0 && nothing >= 0);
	assert_int_equal(ftruncate(fd, 3 * PAGE), 0);
	uint8_t *memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(memory != MAP_FAILED);
	assert_true(mmap(memory + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, nothing, 0) ==
		    memory + PAGE);
	close(fd);
	close(nothing);
	return memory;
}

static void what_is_gone_is_told_from_what_is_there(void **state)
{
	static const struct {
		uint32_t first, bytes;
		bool there;
	} cases[] = {
	    {0, PAGE, true},          {0, 1, true},
	    {PAGE - 1, 1, true},      {PAGE, 1, false},
	    {0, PAGE + 1, false},     {PAGE - 1, 2, false},
	    {PAGE - 70, 71, false},   {PAGE + 100, 100, false},
	    {2 * PAGE - 1, 1, false}, {2 * PAGE - 1, 9, false},
	    {2 * PAGE, PAGE, true},   {0, 3 * PAGE, false},
	    {PAGE, 0, true},
	};
	uint8_t *memory = begin();

	assert_int_equal(probe_install(), 0);
	for (int again = 0; again < 3; again++)
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
			assert_int_equal(probe_lines(memory + cases[i].first, cases[i].bytes),
					 cases[i].there);
	munmap(memory, 3 * PAGE);
}

/* The status of a child that does it. */
static int child(void (*what)(uint8_t *), uint8_t *memory)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit no_core = {0, 0};
		setrlimit(RLIMIT_CORE, &no_core);
		what(memory);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void by_default(void)
{
	signal(SIGBUS, SIG_DFL); /* a sanitizer's would report it */
}

static void store_to_it(uint8_t *memory)
{
	by_default();
	if (probe_install() || probe_lines(memory + PAGE, 1))
		_exit(1);
	*(volatile uint8_t *)(memory + PAGE) = 1;
}

static void say_so(int number)
{
	_exit(42);
}

static void store_to_it_with_a_handler(uint8_t *memory)
{
	signal(SIGBUS, say_so);
	if (probe_install() || probe_lines(memory + PAGE, 1))
		_exit(1);
	*(volatile uint8_t *)(memory + PAGE) = 1;
}

/* Before this process installs its own: the children begin without it. */
static void elsewhere_it_goes_where_it_went_before(void **state)
{
	uint8_t *memory = begin();
	int status = child(store_to_it, memory);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	status = child(store_to_it_with_a_handler, memory);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	munmap(memory, 3 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(elsewhere_it_goes_where_it_went_before),
	    cmocka_unit_test(what_is_gone_is_told_from_what_is_there),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
