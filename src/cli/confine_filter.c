/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls of a service that serves. The list was found by running the tests with a
 * filter that tells what it refuses; the reasons stand beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/confine.h"

static const int allowed[] = {
    /* the loop: kernel sockets and the medium, signals, the control socket */
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(close),
    SCMP_SYS(shutdown),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(accept4),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    /* the medium, where it is not io_uring's: ending, and looking whether all is written */
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(msync),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),
    SCMP_SYS(flock),
    /* memory of malloc; executable memory is refused below */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    /* qsort() of more than 1 KiB asks how much memory the machine has */
    SCMP_SYS(sysinfo),
    /* time, where the machine's clock is not in the vDSO, and waiting */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(sched_yield),
    SCMP_SYS(futex),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getrandom),
    /* who we are, for the log and the control socket; removing the sockets' files at the end */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    /* signals and ending, also by a failed assertion, or by libc, which says why with writev */
    SCMP_SYS(writev),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

static const unsigned unregister[] = {IORING_UNREGISTER_BUFFERS, IORING_UNREGISTER_FILES,
				      IORING_UNREGISTER_EVENTFD, IORING_UNREGISTER_RING_FDS,
				      IORING_UNREGISTER_PBUF_RING};

/* write() alone: this is a signal handler, and maybe of a process that somebody else steers. */
static void tell_violation(int signal_number, siginfo_t *info, void *context)
{
	static const char said[] = "level=error msg=\"a system call that serving does not need was refused "
				   "(pst serve --no-seccomp allows it)\" syscall=";
	char text[sizeof(said) + 16];
	char digits[16];
	size_t n = 0, length = sizeof(said) - 1;

	memcpy(text, said, length);
	unsigned number = (unsigned)info->si_syscall;
	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (n)
		text[length++] = digits[--n];
	text[length++] = '\n';
	(void)!write(STDERR_FILENO, text, length);
	_exit(CONFINE_STATUS);
}

static int catch_violations(void)
{
	struct sigaction action = {.sa_sigaction = tell_violation, .sa_flags = SA_SIGINFO};

	return sigaction(SIGSYS, &action, NULL) ? -errno : 0;
}

#define RULE(filter, call, ...)                                                                              \
	seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(call),                                             \
			 sizeof((struct scmp_arg_cmp[]){__VA_ARGS__}) / sizeof(struct scmp_arg_cmp),         \
			 __VA_ARGS__)

static int add_rules(scmp_filter_ctx filter, const struct confine_options *o)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	/* Memory is data. */
	if (rc == 0)
		rc = RULE(filter, mmap, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (rc == 0)
		rc = RULE(filter, mprotect, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* stdio asks whether what it writes to first is a terminal, where it could be one. */
	if (rc == 0)
		rc = RULE(filter, ioctl, SCMP_A1(SCMP_CMP_EQ, TCGETS));
	/* A ring takes back what was registered with it; new things are registered before. */
	for (size_t i = 0; rc == 0 && i < sizeof(unregister) / sizeof(unregister[0]); i++)
		rc = RULE(filter, io_uring_register, SCMP_A1(SCMP_CMP_EQ, unregister[i]));
	/* abort() signals this thread. */
	if (rc == 0)
		rc = RULE(filter, tgkill, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	/* The folder of the control socket is opened to be locked; the token file to be read. Nothing is
	 * opened to be written. */
	if (rc == 0 && o->files)
		rc = RULE(filter, openat,
			  SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
	else if (rc == 0)
		rc = RULE(
		    filter, openat,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC | O_DIRECTORY, O_DIRECTORY));
	/* Neighbours and routes are asked for by netlink. */
	if (rc == 0 && o->packets)
		rc = RULE(filter, socket, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK));
	if (rc == 0 && o->packets)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(bind), 0);
	if (rc == 0 && o->packets) /* counters of the steering program */
		rc = RULE(filter, bpf, SCMP_A0(SCMP_CMP_LE, 4));
	return rc;
}

int confine_filter(const struct confine_options *options, struct paste_error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int rc = filter ? add_rules(filter, options) : -ENOMEM;

	if (rc == 0)
		rc = catch_violations();
	/* The kernel walks the rules in order, unless they stand in a tree. */
	if (rc == 0)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return rc ? paste_fail(err, rc, "no filter of system calls (--no-seccomp goes on without): %s",
			       strerror(-rc))
		  : 0;
}
