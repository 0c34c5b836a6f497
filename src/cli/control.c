/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOCK_TRIES 1000 /* of a millisecond: whoever holds it is done sooner, or is stopped */
#define SWEEP_MAX 10000

struct name {
	const char *name;
	void *arg;
	control_section section; /* NULL: a stream */
	struct control_stream stream;
};

struct session {
	int fd;        /* -1: free */
	uint64_t used; /* the control's count of requests at its last one */
	char line[CONTROL_LINE_MAX];
	size_t line_length;
	char *out; /* a frame */
	size_t out_length, out_sent;
	int64_t round;                       /* that `out` waits for */
	const struct control_stream *stream; /* under way */
	void *state;
	bool wants_out; /* what epoll was told */
};

struct control {
	int epoll, listener;
	char path[CONTROL_PATH_MAX];
	dev_t device;
	ino_t inode;
	struct name names[CONTROL_NAMES_MAX];
	unsigned count;
	struct control_gate gate;
	uint64_t requests;
	struct session sessions[CONTROL_SESSIONS];
};

/* ---- opening and closing ---- */

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

static bool somebody_answers(const char *path)
{
	struct sockaddr_un a = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes = fd < 0 || !connect(fd, (const struct sockaddr *)&a, sizeof(a)) || errno != ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return yes;
}

/* Files come and go under a lock on their folder: between looking at one and removing it, it is nobody
 * else's. */
static int lock_folder(const char *path)
{
	char folder[CONTROL_PATH_MAX];

	snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = 0;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB); i++)
		usleep(1000);
	return fd;
}

/* Sockets that nobody listens on: of services that were killed, and whose regions are not served again. */
static void sweep(const char *path)
{
	char folder[CONTROL_PATH_MAX], file[CONTROL_PATH_MAX];
	struct dirent *e;
	struct stat st;

	snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = 0;
	DIR *d = opendir(folder);
	for (int i = 0; d && i < SWEEP_MAX && (e = readdir(d)); i++) {
		const char *end = strstr(e->d_name, ".sock");
		int n = snprintf(file, sizeof(file), "%s/%s", folder, e->d_name);

		if (end && !end[5] && n < (int)sizeof(file) && !lstat(file, &st) && S_ISSOCK(st.st_mode) &&
		    !somebody_answers(file))
			unlink(file);
	}
	if (d)
		closedir(d);
}

/* We hold the region's lock, so a file in our place belongs to a dead process. That nobody listens is looked
 * at all the same: a copy of the region on another file system could by chance have the same inode number. */
static int bind_in_place(int fd, const char *path, struct paste_error *err)
{
	struct sockaddr_un a = address_of(path);
	struct stat st;

	sweep(path);
	if (!lstat(path, &st) && somebody_answers(path))
		return paste_fail(err, -EADDRINUSE, "%s: another process answers there", path);
	if (unlink(path) && errno != ENOENT)
		return paste_fail(err, -errno, "%s: a socket that nobody listens on cannot be removed: %s",
				  path, strerror(errno));
	mode_t mask = umask(0177); /* 0600 from the first moment on */
	int rc = bind(fd, (const struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
	umask(mask);
	if (rc == 0 && listen(fd, CONTROL_SESSIONS))
		rc = -errno;
	return rc ? paste_fail(err, rc, "%s: cannot listen: %s", path, strerror(-rc)) : 0;
}

static int watch(struct control *c, int fd, uint32_t events, int how, void *owner)
{
	struct epoll_event e = {.events = events, .data.ptr = owner};

	return epoll_ctl(c->epoll, how, fd, &e) ? -errno : 0;
}

static int answer_help(void *arg, const char *argument, FILE *out, struct paste_error *err);

static int open_descriptors(struct control *c, struct paste_error *err)
{
	struct stat st;

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->epoll < 0 || c->listener < 0)
		return paste_fail(err, -errno, "no descriptor for the control socket: %s", strerror(errno));
	int lock = lock_folder(c->path);
	int rc = bind_in_place(c->listener, c->path, err);
	if (lock >= 0)
		close(lock);
	if (rc < 0)
		return rc;
	if (!lstat(c->path, &st)) {
		c->device = st.st_dev;
		c->inode = st.st_ino;
	}
	rc = watch(c, c->listener, EPOLLIN, EPOLL_CTL_ADD, NULL);
	return rc ? paste_fail(err, rc, "%s: cannot be watched: %s", c->path, strerror(-rc)) : 0;
}

int control_open(struct control **control, const struct control_id *id, struct paste_error *err)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return paste_fail(err, -ENOMEM, "no memory for the control socket");
	c->epoll = c->listener = -1;
	for (int i = 0; i < CONTROL_SESSIONS; i++)
		c->sessions[i].fd = -1;
	int rc = control_choose(id, c->path, err);
	if (rc == 0)
		rc = open_descriptors(c, err);
	if (rc < 0) {
		control_close(c);
		return rc;
	}
	control_register(c, "help", answer_help, c);
	*control = c;
	return 0;
}

static void session_close(struct session *s)
{
	if (s->stream)
		s->stream->end(s->state);
	free(s->out);
	close(s->fd); /* which takes it out of epoll, too */
	*s = (struct session){.fd = -1};
}

/* Only our own file: a successor, who found ours stale, may have put its own there. */
static void remove_file(const struct control *c)
{
	struct stat st;
	int lock = lock_folder(c->path);

	if (!lstat(c->path, &st) && st.st_dev == c->device && st.st_ino == c->inode)
		unlink(c->path);
	if (lock >= 0)
		close(lock);
}

void control_close(struct control *c)
{
	if (!c)
		return;
	if (c->inode)
		remove_file(c);
	for (int i = 0; i < CONTROL_SESSIONS; i++)
		if (c->sessions[i].fd >= 0)
			session_close(&c->sessions[i]);
	if (c->listener >= 0)
		close(c->listener);
	if (c->epoll >= 0)
		close(c->epoll);
	free(c);
}

int control_fd(const struct control *c)
{
	return c->epoll;
}

const char *control_path(const struct control *c)
{
	return c->path;
}

int control_give_to(struct control *c, uint32_t uid, uint32_t gid)
{
	return lchown(c->path, uid, gid) ? -errno : 0;
}

void control_set_gate(struct control *c, const struct control_gate *gate)
{
	c->gate = *gate;
}

/* ---- names ---- */

static const struct name *find(const struct control *c, const char *name)
{
	for (unsigned i = 0; i < c->count; i++)
		if (!strcmp(c->names[i].name, name))
			return &c->names[i];
	return NULL;
}

static int add_name(struct control *c, const struct name *n)
{
	if (find(c, n->name))
		return -EEXIST;
	if (c->count == CONTROL_NAMES_MAX)
		return -ENOSPC;
	c->names[c->count++] = *n;
	return 0;
}

int control_register(struct control *c, const char *name, control_section section, void *arg)
{
	return add_name(c, &(struct name){.name = name, .arg = arg, .section = section});
}

int control_register_stream(struct control *c, const char *name, const struct control_stream *stream,
			    void *arg)
{
	return add_name(c, &(struct name){.name = name, .arg = arg, .stream = *stream});
}

static int answer_help(void *arg, const char *argument, FILE *out, struct paste_error *err)
{
	const struct control *c = arg;

	fprintf(out, "[");
	for (unsigned i = 0; i < c->count; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : "", c->names[i].name);
	fprintf(out, "]\n");
	return 0;
}

/* ---- answers ---- */

/* One frame: what `length` bytes at `body` are, or `error` and the sentence. */
static int queue_frame(struct session *s, const char *word, const void *body, size_t length)
{
	char head[64];
	int n = snprintf(head, sizeof(head), "%s %zu\n", word, length);

	s->out = malloc((size_t)n + length);
	if (!s->out)
		return -ENOMEM;
	memcpy(s->out, head, (size_t)n);
	if (length)
		memcpy(s->out + n, body, length);
	s->out_length = (size_t)n + length;
	s->out_sent = 0;
	return 0;
}

static int queue_error(struct session *s, const char *sentence)
{
	return queue_frame(s, "error", sentence, strlen(sentence));
}

/* What a section or a step wrote becomes a frame. `word` NULL: nothing, if nothing was written. */
struct writing {
	char *text;
	size_t length;
	FILE *out;
};

static int writing_begin(struct writing *w)
{
	*w = (struct writing){NULL};
	w->out = open_memstream(&w->text, &w->length);
	return w->out ? 0 : -ENOMEM;
}

static int writing_end(struct writing *w)
{
	return fclose(w->out) ? -ENOMEM : 0;
}

static int run_section(struct session *s, const struct name *n, const char *argument)
{
	struct paste_error error = {{0}};
	struct writing w;

	if (writing_begin(&w))
		return -ENOMEM;
	int rc = n->section(n->arg, argument, w.out, &error);
	int written = writing_end(&w);
	if (rc < 0)
		written = queue_error(s, error.text[0] ? error.text : strerror(-rc));
	else if (written == 0)
		written = queue_frame(s, "ok", w.text, w.length);
	free(w.text);
	return written;
}

static void end_stream(struct session *s)
{
	s->stream->end(s->state);
	s->stream = NULL;
	s->state = NULL;
}

static int run_step(struct session *s)
{
	struct paste_error error = {{0}};
	struct writing w;

	if (writing_begin(&w))
		return -ENOMEM;
	int rc = s->stream->step(s->state, w.out, &error);
	int written = writing_end(&w);
	if (rc <= 0)
		end_stream(s);
	if (rc < 0)
		written = queue_error(s, error.text[0] ? error.text : strerror(-rc));
	else if (written == 0 && (rc == 0 || w.length))
		written = queue_frame(s, rc ? "more" : "ok", w.text, w.length);
	free(w.text);
	return written;
}

static int begin_stream(struct session *s, const struct name *n, const char *argument)
{
	struct paste_error error = {{0}};
	int rc = n->stream.begin(n->arg, argument, &s->state, &error);

	if (rc < 0)
		return queue_error(s, error.text[0] ? error.text : strerror(-rc));
	s->stream = &n->stream;
	return 0;
}

static int run_line(struct control *c, struct session *s, char *line)
{
	char *argument = strchr(line, ' ');

	if (argument)
		*argument++ = 0;
	const struct name *n = find(c, line);
	s->used = ++c->requests;
	if (!n)
		return queue_error(s, "there is no such request; \"help\" lists them");
	if (n->section)
		return run_section(s, n, argument ? argument : "");
	return begin_stream(s, n, argument ? argument : "");
}

/* ---- sessions: functions return 0, or a negative errno when the session is over ---- */

static void wait_for_round(const struct control *c, struct session *s)
{
	int64_t round = c->gate.commit ? c->gate.commit(c->gate.arg) : 0;

	s->round = round > 0 ? round : 0;
}

/* 1: may leave, 0: not yet. */
static int may_leave(const struct control *c, const struct session *s)
{
	int64_t durable = s->round ? c->gate.durable(c->gate.arg) : 0;

	return durable < 0 ? (int)durable : durable >= s->round;
}

static int send_out(const struct control *c, struct session *s)
{
	int rc = may_leave(c, s);

	if (rc <= 0)
		return rc;
	while (s->out_sent < s->out_length) {
		ssize_t n = send(s->fd, s->out + s->out_sent, s->out_length - s->out_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		s->out_sent += (size_t)n;
	}
	free(s->out);
	s->out = NULL;
	s->out_length = s->out_sent = 0;
	return 0;
}

/* A whole line is taken; what follows it stays for when the answer is out. */
static int take_line(struct control *c, struct session *s)
{
	char line[CONTROL_LINE_MAX];
	char *end = memchr(s->line, '\n', s->line_length);

	if (!end)
		return s->line_length == sizeof(s->line) ? -EMSGSIZE : 0;
	size_t length = (size_t)(end - s->line);
	memcpy(line, s->line, length);
	line[length] = 0;
	s->line_length -= length + 1;
	memmove(s->line, end + 1, s->line_length);
	return run_line(c, s, line);
}

static int receive(struct session *s)
{
	ssize_t n = recv(s->fd, s->line + s->line_length, sizeof(s->line) - s->line_length, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	s->line_length += (size_t)n;
	return n ? 0 : -ECONNRESET;
}

static bool is_busy(const struct session *s)
{
	return s->out || s->stream;
}

/* One request, or one step of a stream. */
static int work(struct control *c, struct session *s, uint32_t events)
{
	int rc = 0;

	if (!is_busy(s) && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		rc = receive(s);
	if (rc == 0 && is_busy(s) && (events & (EPOLLHUP | EPOLLERR)))
		return -ECONNRESET; /* nobody is there to read it */
	if (rc == 0 && s->out)
		rc = send_out(c, s);
	if (rc == 0 && !s->out) {
		rc = s->stream ? run_step(s) : take_line(c, s);
		if (rc == 0 && s->out) {
			wait_for_round(c, s);
			rc = send_out(c, s);
		}
	}
	return rc;
}

static void session_work(struct control *c, struct session *s, uint32_t events)
{
	int rc = work(c, s, events);
	/* Requests that were sent together are in our hands already: epoll would not tell of them. */
	bool wants_out = is_busy(s) || memchr(s->line, '\n', s->line_length);

	if (rc == 0 && wants_out != s->wants_out) {
		s->wants_out = wants_out;
		rc = watch(c, s->fd, wants_out ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD, s);
	}
	if (rc < 0)
		session_close(s);
}

/* A free one, else the one that has been silent for longest. */
static struct session *make_room(struct control *c)
{
	struct session *oldest = NULL;

	for (int i = 0; i < CONTROL_SESSIONS; i++) {
		struct session *s = &c->sessions[i];

		if (s->fd < 0)
			return s;
		if (!is_busy(s) && (!oldest || s->used < oldest->used))
			oldest = s;
	}
	if (oldest)
		session_close(oldest);
	return oldest;
}

static void accept_one(struct control *c)
{
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	struct session *s = make_room(c);
	if (!s) {
		close(fd); /* all are busy */
		return;
	}
	s->fd = fd;
	s->used = ++c->requests;
	if (watch(c, fd, EPOLLIN, EPOLL_CTL_ADD, s))
		session_close(s);
}

void control_work(struct control *c)
{
	struct epoll_event events[CONTROL_SESSIONS + 1];
	int n = epoll_wait(c->epoll, events, CONTROL_SESSIONS + 1, 0);
	bool somebody_new = false;

	for (int i = 0; i < n; i++) {
		struct session *s = events[i].data.ptr;

		if (!s)
			somebody_new = true;
		else if (s->fd >= 0)
			session_work(c, s, events[i].events);
	}
	if (somebody_new) /* last: it may close sessions that events name */
		accept_one(c);
}
