/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/probe.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include "base/site.h"
#include "media/flush.h"

#define PAGE 4096u /* the least that a fault is told of: the address may be where its page begins */

struct probe {
	sigjmp_buf back;
	uintptr_t first, end; /* whole pages */
};

/* What this thread probes. The rest is the process's, as its handlers are. */
static __thread struct probe *volatile current;
static struct sigaction before;
static int installed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void on_bus(int number, siginfo_t *info, void *context)
{
	struct probe *p = current;
	uintptr_t at = (uintptr_t)info->si_addr;

	/* Nothing but a load was interrupted, so it is safe to leave from here, with the signals blocked that were before. */
	if (p && at >= p->first && at < p->end) {
		pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL);
		siglongjmp(p->back, 1);
	}
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(number, info, context);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(number);
	} else {
		/* The load or store is done again, and then there is nobody left to ask. */
		signal(number, SIG_DFL);
	}
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, NULL, &before) || sigaction(SIGBUS, &action, NULL))
		installed = -errno;
}

int probe_install(void)
{
	pthread_once(&once, install);
	return installed;
}

bool probe_lines(const uint8_t *first, size_t bytes)
{
	struct probe p = {
	    .first = (uintptr_t)first & ~(uintptr_t)(PAGE - 1),
	    .end = ((uintptr_t)first + bytes + PAGE - 1) & ~(uintptr_t)(PAGE - 1),
	};

	if (bytes == 0 || !SITE(probe_lost_lines))
		return true;
	if (sigsetjmp(p.back, 0)) {
		current = NULL;
		return false;
	}
	current = &p;
	for (size_t i = 0; i < bytes; i += FLUSH_LINE)
		(void)*(const volatile uint8_t *)(first + i);
	/* An unaligned range has one line more. */
	(void)*(const volatile uint8_t *)(first + bytes - 1);
	current = NULL;
	return true;
}
