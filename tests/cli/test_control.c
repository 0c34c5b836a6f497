/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: requests and frames, clients that misbehave, its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/control.h"
#include "cli/control_client.h"

#define LARGE (8 << 20)

struct fixture {
	char folder[64];
	struct control *control;
	struct control_id id;
	unsigned ended, steps;
	int64_t round, durable;
};

/* ---- what is asked ---- */

static int echo(void *arg, const char *argument, FILE *out, struct paste_error *err)
{
	fprintf(out, "<%s>", argument);
	return 0;
}

static int refuse(void *arg, const char *argument, FILE *out, struct paste_error *err)
{
	fprintf(out, "half an answer");
	return argument[0] ? -EIO : paste_fail(err, -EIO, "it was not to be");
}

static int large(void *arg, const char *argument, FILE *out, struct paste_error *err)
{
	for (int i = 0; i < LARGE / 8; i++)
		fprintf(out, "%07d\n", i);
	return 0;
}

/* As many steps as the argument says; an odd one is silent; "9" fails in the end. */
struct counting {
	struct fixture *f;
	int left, last;
};

static int count_begin(void *arg, const char *argument, void **state, struct paste_error *err)
{
	struct counting *c = malloc(sizeof(*c));

	assert_non_null(c);
	*c = (struct counting){arg, atoi(argument), atoi(argument)};
	if (c->left == 0) {
		free(c);
		return paste_fail(err, -EINVAL, "how many?");
	}
	*state = c;
	return 0;
}

static int count_step(void *state, FILE *out, struct paste_error *err)
{
	struct counting *c = state;

	c->f->steps++;
	c->left--;
	if (c->left % 2 == 0)
		fprintf(out, "%d,", c->left);
	if (c->left == 0 && c->last == 9)
		return paste_fail(err, -EIO, "nine");
	return c->left > 0;
}

static void count_end(void *state)
{
	struct counting *c = state;

	c->f->ended++;
	free(c);
}

static const struct control_stream counting = {count_begin, count_step, count_end};

/* ---- the two ends ---- */

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->folder, "/tmp/paste-control.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	setenv("PST_CONTROL_DIR", f->folder, 1);
	strcpy(f->id.uuid, "01234567-89ab-4cde-8f01-23456789abcd");
	f->id.inode = 77;
	f->id.owner = geteuid();
	assert_int_equal(control_open(&f->control, &f->id, NULL), 0);
	assert_int_equal(control_register(f->control, "echo", echo, NULL), 0);
	assert_int_equal(control_register(f->control, "fail", refuse, NULL), 0);
	assert_int_equal(control_register(f->control, "large", large, NULL), 0);
	assert_int_equal(control_register_stream(f->control, "count", &counting, f), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	control_close(f->control);
	assert_int_equal(rmdir(f->folder), 0); /* nothing was left in it */
	free(f);
	return 0;
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", control_path(f->control));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	control_work(f->control);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

static bool has_work(const struct fixture *f)
{
	struct pollfd p = {.fd = control_fd(f->control), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* What came, when nothing is left to do. */
static char *hear(struct fixture *f, int fd, size_t *length)
{
	size_t room = 1 << 16, n = 0;
	char *text = malloc(room);

	for (;;) {
		bool worked = has_work(f);
		if (worked)
			control_work(f->control);
		ssize_t got = recv(fd, text + n, room - n - 1, MSG_DONTWAIT);
		if (got > 0)
			n += (size_t)got;
		else if (got == 0 || !worked)
			break;
		if (room - n < 4096)
			text = realloc(text, room *= 2);
	}
	text[n] = 0;
	*length = n;
	return text;
}

static void expect(struct fixture *f, int fd, const char *wanted)
{
	size_t length;
	char *text = hear(f, fd, &length);

	assert_string_equal(text, wanted);
	free(text);
}

static bool is_closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* ---- tests ---- */

static const struct {
	const char *asked, *answer;
} conversations[] = {
    {"echo\n", "ok 2\n<>"},
    {"echo a b\n", "ok 5\n<a b>"},
    {"echo  two\n", "ok 6\n< two>"},
    {"fail\n", "error 16\nit was not to be"},
    {"fail x\n", "error 18\nInput/output error"},
    {"nothing\n", "error 43\nthere is no such request; \"help\" lists them"},
    {"\n", "error 43\nthere is no such request; \"help\" lists them"},
    {"help\n", "ok 43\n[\"help\", \"echo\", \"fail\", \"large\", \"count\"]\n"},
    {"echo 1\necho 2\ncount 2\necho 3\n", "ok 3\n<1>ok 3\n<2>ok 2\n0,ok 3\n<3>"},
    {"count 1\n", "ok 2\n0,"},
    {"count 5\n", "more 2\n4,more 2\n2,ok 2\n0,"},
    {"count 9\n", "more 2\n8,more 2\n6,more 2\n4,more 2\n2,error 4\nnine"},
    {"count\n", "error 9\nhow many?"},
};

static void every_request_has_its_answer(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		int fd = dial(f);

		say(fd, conversations[i].asked);
		expect(f, fd, conversations[i].answer);
		close(fd);
	}
}

static void lines_may_come_byte_by_byte(void **state)
{
	struct fixture *f = *state;
	const char *text = "echo slow\necho down\n";
	int fd = dial(f);

	for (const char *p = text; *p; p++) {
		assert_int_equal(send(fd, p, 1, 0), 1);
		control_work(f->control);
	}
	expect(f, fd, "ok 6\n<slow>ok 6\n<down>");
	assert_false(has_work(f));
	close(fd);
}

static void a_line_without_an_end_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	char line[CONTROL_LINE_MAX];
	int fd = dial(f);

	memset(line, 'x', sizeof(line));
	assert_int_equal(send(fd, line, sizeof(line) - 1, 0), (int)sizeof(line) - 1);
	control_work(f->control);
	assert_false(is_closed(fd));
	say(fd, "x");
	control_work(f->control);
	assert_true(is_closed(fd));
	close(fd);
}

/* A client that does not read holds its own answer back, not the others'. */
static void who_does_not_read_hinders_nobody(void **state)
{
	struct fixture *f = *state;
	int lazy = dial(f), other = dial(f);
	size_t length;

	say(lazy, "large\necho behind\n");
	control_work(f->control);
	control_work(f->control);
	assert_false(has_work(f)); /* nor keeps the loop awake */
	say(other, "echo hello\n");
	expect(f, other, "ok 7\n<hello>");

	char *text = hear(f, lazy, &length);
	assert_int_equal(length, LARGE + strlen("ok 8388608\n") + strlen("ok 8\n<behind>"));
	assert_memory_equal(text, "ok 8388608\n0000000\n0000001\n", 27);
	assert_string_equal(text + length - 21, "1048575\nok 8\n<behind>");
	free(text);
	close(lazy);
	close(other);
}

/* A step of one is done between two steps of the others. */
static void streams_take_turns(void **state)
{
	struct fixture *f = *state;
	int a = dial(f), b = dial(f);

	say(a, "count 1001\n");
	say(b, "count 1001\n");
	for (int i = 0; i < 100; i++)
		control_work(f->control);
	assert_in_range(f->steps, 190, 210);
	close(a);
	close(b);
	while (has_work(f))
		control_work(f->control);
	assert_int_equal(f->ended, 2); /* nobody was there to hear more */
	assert_in_range(f->steps, 190, 210);
}

static void closing_ends_streams(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(fd, "count 1001\n");
	control_work(f->control);
	control_close(f->control);
	assert_int_equal(f->ended, 1);
	close(fd);
	assert_int_equal(control_open(&f->control, &f->id, NULL), 0);
}

static void the_most_silent_client_makes_way(void **state)
{
	struct fixture *f = *state;
	int fd[CONTROL_SESSIONS + 1];

	for (int i = 0; i < CONTROL_SESSIONS; i++)
		fd[i] = dial(f);
	for (int i = 0; i < CONTROL_SESSIONS; i++) {
		if (i == 5)
			continue;
		say(fd[i], "echo x\n");
		expect(f, fd[i], "ok 3\n<x>");
	}
	fd[CONTROL_SESSIONS] = dial(f);
	for (int i = 0; i <= CONTROL_SESSIONS; i++) {
		assert_int_equal(is_closed(fd[i]), i == 5);
		close(fd[i]);
	}
}

static int64_t commit(void *arg)
{
	return ((struct fixture *)arg)->round;
}

static int64_t durable(void *arg)
{
	return ((struct fixture *)arg)->durable;
}

static void no_answer_leaves_before_what_it_tells_is_durable(void **state)
{
	struct fixture *f = *state;

	f->round = 7;
	f->durable = 6;
	control_set_gate(f->control, &(struct control_gate){commit, durable, f});
	int fd = dial(f);
	say(fd, "echo secret\n");
	for (int i = 0; i < 10; i++)
		control_work(f->control);
	char byte;
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	f->durable = 7;
	expect(f, fd, "ok 8\n<secret>");

	/* It never will be: the answer goes with the connection. */
	f->round = 8;
	say(fd, "echo secret\n");
	control_work(f->control);
	f->durable = -EIO;
	control_work(f->control);
	assert_true(is_closed(fd));
	close(fd);

	/* Nothing changes any more: what is asked now is still answered. */
	f->round = -EIO;
	fd = dial(f);
	say(fd, "fail\n");
	expect(f, fd, "error 16\nit was not to be");
	close(fd);
}

static void names_are_given_once(void **state)
{
	struct fixture *f = *state;
	static char names[CONTROL_NAMES_MAX][16];
	int rc = 0, n;

	assert_int_equal(control_register(f->control, "echo", echo, NULL), -EEXIST);
	assert_int_equal(control_register_stream(f->control, "help", &counting, f), -EEXIST);
	for (n = 0; rc == 0; n++) {
		snprintf(names[n], sizeof(names[n]), "n%d", n);
		rc = control_register(f->control, names[n], echo, NULL);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(n - 1, CONTROL_NAMES_MAX - 5);
}

static void the_file_is_for_its_user_alone(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(stat(control_path(f->control), &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_dead_ones_file_is_replaced_and_a_live_ones_is_not(void **state)
{
	struct fixture *f = *state;
	struct control *second;
	struct paste_error error;
	char path[CONTROL_PATH_MAX];

	assert_int_equal(control_open(&second, &f->id, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "another process answers there"));
	strcpy(path, control_path(f->control));
	int fd = dial(f); /* it was not disturbed */
	say(fd, "echo\n");
	expect(f, fd, "ok 2\n<>");
	close(fd);
	control_close(f->control);
	assert_int_equal(access(path, F_OK), -1);

	/* As a killed process leaves it: a socket that nobody listens on. */
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	assert_int_equal(control_open(&f->control, &f->id, NULL), 0);

	/* A successor has replaced ours: closing leaves its file alone. */
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	control_close(f->control);
	f->control = NULL;
	assert_int_equal(unlink(path), 0);
	close(fd);
}

/* What dead services left goes when the next one starts, whatever region it was of; living ones and other
 * files stay. */
static void what_the_dead_left_is_swept(void **state)
{
	struct fixture *f = *state;
	struct control_id other = f->id;
	struct control *second;
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	for (int i = 0; i < 3; i++) {
		snprintf(a.sun_path, sizeof(a.sun_path), "%s/%c.sock", f->folder, "abc"[i]);
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		close(fd);
	}
	char file[96];
	snprintf(file, sizeof(file), "%s/file.sock", f->folder);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	other.inode++;
	assert_int_equal(control_open(&second, &other, NULL), 0);
	assert_int_equal(access(a.sun_path, F_OK), -1);
	assert_int_equal(access(control_path(f->control), F_OK), 0);
	assert_int_equal(unlink(file), 0);
	control_close(second);
}

static void a_folder_that_others_can_write_to_is_not_taken(void **state)
{
	struct fixture *f = *state;
	char path[CONTROL_PATH_MAX];

	assert_int_equal(chmod(f->folder, 0770), 0);
	assert_int_equal(control_choose(&f->id, path, NULL), -EACCES);
	assert_int_equal(chmod(f->folder, 0755), 0);
	assert_int_equal(control_choose(&f->id, path, NULL), 0);
	assert_string_equal(path, control_path(f->control));
}

/* ---- the client, beside a service that runs ---- */

struct running {
	struct control *control;
	atomic_bool stop;
};

static void *serve(void *arg)
{
	struct running *r = arg;
	struct pollfd p = {.fd = control_fd(r->control), .events = POLLIN};

	while (!r->stop)
		if (poll(&p, 1, 10) == 1)
			control_work(r->control);
	return NULL;
}

static void the_client_understands_all_of_it(void **state)
{
	struct fixture *f = *state;
	struct running r = {.control = f->control};
	struct control_client c;
	struct paste_error error;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, serve, &r), 0);
	assert_int_equal(control_connect(control_path(f->control), &c, &error), 0);
	assert_int_equal(control_ask(&c, "echo hi", &error), 0);
	assert_string_equal(c.text, "<hi>");
	assert_int_equal(c.length, 4);
	assert_int_equal(control_ask(&c, "fail", &error), -EREMOTEIO);
	assert_string_equal(error.text, "it was not to be");
	assert_int_equal(control_ask(&c, "large", &error), 0);
	assert_int_equal(c.length, LARGE);
	assert_int_equal(control_send(&c, "count 5", &error), 0);
	assert_int_equal(control_next(&c, &error), 1);
	assert_string_equal(c.text, "4,");
	assert_int_equal(control_next(&c, &error), 1);
	assert_int_equal(control_next(&c, &error), 0);
	assert_string_equal(c.text, "0,");
	assert_int_equal(control_send(&c, "two\nlines", &error), -EINVAL);
	assert_int_equal(control_ask(&c, "count 3", &error), -EPROTO);
	control_disconnect(&c);
	r.stop = true;
	pthread_join(thread, NULL);

	char path[CONTROL_PATH_MAX];
	strcpy(path, control_path(f->control));
	control_close(f->control);
	f->control = NULL;
	assert_int_equal(control_connect(path, &c, &error), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(every_request_has_its_answer, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(lines_may_come_byte_by_byte, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_line_without_an_end_ends_the_connection, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(who_does_not_read_hinders_nobody, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(streams_take_turns, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(closing_ends_streams, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(the_most_silent_client_makes_way, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(no_answer_leaves_before_what_it_tells_is_durable, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(names_are_given_once, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(the_file_is_for_its_user_alone, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_dead_ones_file_is_replaced_and_a_live_ones_is_not, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(what_the_dead_left_is_swept, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_folder_that_others_can_write_to_is_not_taken, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(the_client_understands_all_of_it, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
