/* SPDX-License-Identifier: BSD-2-Clause */
/* What is left of a process's rights: each case in a child of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/confine.h"

/* Runs it confined. The status that the child ended with, and what it said on stderr. */
static int run_child(void (*what)(void), const struct confine_options *options, char *said, size_t size)
{
	int pipes[2], status;

	assert_int_equal(pipe(pipes), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipes[1], STDERR_FILENO);
		if (confine_no_new_privileges(NULL) || confine_filter(options, NULL))
			_exit(100);
		what();
		_exit(0);
	}
	close(pipes[1]);
	ssize_t n = read(pipes[0], said, size - 1);
	said[n > 0 ? n : 0] = 0;
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void do_exec(void)
{
	execl("/bin/true", "true", NULL);
}

static void do_fork(void)
{
	fork();
}

static void do_socket(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void do_connect(void)
{
	connect(0, NULL, 0);
}

static void do_create(void)
{
	open("/tmp/paste-confine", O_WRONLY | O_CREAT, 0600);
}

static void do_write(void)
{
	open("/dev/null", O_RDWR);
}

static void do_read(void)
{
	open("/etc/hostname", O_RDONLY);
}

static void do_map_code(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_make_code(void)
{
	static char page[8192];

	mprotect((void *)(((uintptr_t)page + 4095) & ~4095ull), 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void do_kill_others(void)
{
	syscall(SYS_tgkill, 1, 1, 0);
}

static void do_trace(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void do_uring(void)
{
	syscall(SYS_io_uring_setup, 1, NULL);
}

static void do_handler(void)
{
	signal(SIGSYS, SIG_IGN);
}

static void do_setuid(void)
{
	syscall(SYS_setuid, 0);
}

static const struct {
	void (*what)(void);
	const char *name;
	int number;
	bool files;
} forbidden[] = {
    {do_exec, "exec", SYS_execve},
    {do_fork, "fork", SYS_clone},
    {do_socket, "socket", SYS_socket},
    {do_connect, "connect", SYS_connect},
    {do_create, "create", SYS_openat, true},
    {do_write, "write", SYS_openat, true},
    {do_read, "read", SYS_openat},
    {do_map_code, "map code", SYS_mmap},
    {do_make_code, "make code", SYS_mprotect},
    {do_kill_others, "kill others", SYS_tgkill},
    {do_trace, "trace", SYS_ptrace},
    {do_uring, "another ring", SYS_io_uring_setup},
    {do_handler, "another handler", SYS_rt_sigaction},
    {do_setuid, "become root", SYS_setuid},
};

static void what_serving_does_not_need_ends_the_process(void **state)
{
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		struct confine_options options = {.files = forbidden[i].files};
		char said[512], number[32];

		print_message("%s\n", forbidden[i].name);
		assert_int_equal(run_child(forbidden[i].what, &options, said, sizeof(said)), CONFINE_STATUS);
		snprintf(number, sizeof(number), " syscall=%d\n", forbidden[i].number);
		assert_non_null(strstr(said, "a system call that serving does not need was refused"));
		/* One word, as logfmt has it. */
		assert_non_null(strstr(said, number));
		assert_string_equal(strstr(said, number), number);
	}
}

static void do_what_serving_needs(void)
{
	char *memory = malloc(1 << 22), *text;
	size_t length;
	FILE *f = open_memstream(&text, &length);

	memset(memory, 1, 1 << 22);
	memory = realloc(memory, 1 << 23);
	free(memory);
	fprintf(f, "%d", getpid());
	fclose(f);
	free(text);
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		_exit(1);
	close(fd);
}

static void do_read_tokens(void)
{
	do_what_serving_needs();
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char byte;

	if (fd < 0 || fstat(fd, &st) || read(fd, &byte, 1) != 1)
		_exit(1);
}

static void do_abort(void)
{
	abort();
}

static void what_serving_needs_is_allowed(void **state)
{
	char said[512];

	assert_int_equal(
	    run_child(do_what_serving_needs, &(struct confine_options){.files = false}, said, sizeof(said)),
	    0);
	assert_int_equal(
	    run_child(do_read_tokens, &(struct confine_options){.files = true}, said, sizeof(said)), 0);
	/* A failed assertion still leaves its mark. */
	assert_int_equal(run_child(do_abort, &(struct confine_options){.files = false}, said, sizeof(said)),
			 -SIGABRT);
}

static void users_are_found(void **state)
{
	struct confine_user user;
	struct paste_error error;

	assert_int_equal(confine_find("root", &user, NULL), 0);
	assert_int_equal(user.uid, 0);
	assert_int_equal(confine_find("0", &user, NULL), 0);
	assert_int_equal(user.uid, 0);
	assert_int_equal(confine_find("no-such-user-here", &user, &error), -ENOENT);
	assert_non_null(strstr(error.text, "no-such-user-here"));
	assert_int_equal(confine_find("", &user, NULL), -ENOENT);
}

static void become_nobody(void)
{
	struct confine_user user;
	gid_t groups[4];

	if (confine_find("nobody", &user, NULL) || confine_become(&user, NULL))
		_exit(1);
	if (getuid() != user.uid || getegid() != user.gid || getgroups(4, groups) != user.n)
		_exit(2);
	if (!setuid(0) || !setgid(0) || !chown("/", 0, 0))
		_exit(3);
	_exit(0);
}

static void roots_rights_go_for_good(void **state)
{
	int status;

	if (geteuid()) {
		print_message("only root can become another user\n");
		skip();
	}
	pid_t pid = fork();
	if (pid == 0)
		become_nobody();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_serving_does_not_need_ends_the_process),
	    cmocka_unit_test(what_serving_needs_is_allowed),
	    cmocka_unit_test(users_are_found),
	    cmocka_unit_test(roots_rights_go_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
