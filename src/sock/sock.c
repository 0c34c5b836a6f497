/* SPDX-License-Identifier: BSD-2-Clause */
/* sock.c - the kernel-socket transport: its io_uring, the poll, opening and closing. */
#include "sock/sock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t sock_clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The scratch area is free again when the kernel has taken every request; it may have taken only some. */
static void submitted(struct sock *s)
{
	if (io_uring_sq_ready(&s->ring))
		return;
	s->messages_used = 0;
	s->iovecs_used = 0;
}

int sock_submit(struct sock *s)
{
	int rc = io_uring_submit(&s->ring);

	submitted(s);
	return rc;
}

struct io_uring_sqe *sock_sqe(struct sock *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);

	while (!sqe) {
		/* The kernel takes all that we give it or is short of memory for the moment. */
		sock_submit(s);
		sqe = io_uring_get_sqe(&s->ring);
	}
	return sqe;
}

static int sock_watch(struct paste_stack *base, int fd, uint64_t cookie)
{
	struct sock *s = (struct sock *)base;

	if (s->watch_count == SOCK_WATCHES)
		return -ENOSPC;
	s->watches[s->watch_count++] = (struct sock_watch){.sock = s, .fd = fd, .cookie = cookie};
	return 0;
}

static void watch_work(struct sock *s)
{
	for (uint32_t i = 0; i < s->watch_count; i++) {
		struct sock_watch *w = &s->watches[i];

		if (w->armed)
			continue;
		struct io_uring_sqe *sqe = sock_sqe(s);
		io_uring_prep_poll_add(sqe, w->fd, POLLIN);
		io_uring_sqe_set_data64(sqe, sock_tag(w, SOCK_OP_WATCH));
		w->armed = true;
	}
}

/* All requests that the state of things asks for. */
static void make_requests(struct sock *s)
{
	receive_refill(s);
	while (s->work_head) {
		struct sock_conn *c = s->work_head;

		s->work_head = c->work_next;
		if (!s->work_head)
			s->work_tail = NULL;
		c->in_work = false;
		conn_work(c);
	}
	if (!s->shutting_down)
		watch_work(s);
}

/* Returns how many events came of it, at most `max`, which is at least 1. */
static int complete(struct sock *s, const struct io_uring_cqe *cqe, struct paste_event *event, int max)
{
	void *owner = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)SOCK_OP_MASK);
	struct sock_conn *c = owner;
	struct sock_watch *w = owner;

	switch ((enum sock_op)(cqe->user_data & SOCK_OP_MASK)) {
	case SOCK_OP_RECEIVE:
		return conn_received(c, cqe, event, max);
	case SOCK_OP_SEND:
		return conn_sent(c, cqe->res, event);
	case SOCK_OP_CANCEL:
		c->cancelling--;
		conn_attend(c);
		return 0;
	case SOCK_OP_ACCEPT:
		return listen_accepted(owner, cqe, event);
	case SOCK_OP_WATCH:
		w->armed = false;
		if (cqe->res < 0)
			return 0;
		*event = (struct paste_event){.type = PASTE_EVENT_FD, .cookie = w->cookie};
		return 1;
	case SOCK_OP_IGNORE:
		return 0;
	}
	return 0;
}

static int reap(struct sock *s, struct paste_event *events, int max)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;
	int n = 0;

	if (!max)
		return 0;
	io_uring_for_each_cqe(&s->ring, head, cqe)
	{
		seen++;
		n += complete(s, cqe, &events[n], max - n);
		if (n == max)
			break;
	}
	io_uring_cq_advance(&s->ring, seen);
	return n;
}

/* Others may work while we are in the kernel. They touch nothing of ours there but the lists of connections, to add one. */
static void leave(const struct sock *s)
{
	if (s->limits.guard)
		s->limits.guard->leave(s->limits.guard->arg);
}

static void enter(const struct sock *s)
{
	if (s->limits.guard)
		s->limits.guard->enter(s->limits.guard->arg);
}

/* Submit and collect without waiting. With deferred task work completions are only posted inside the system
 * call, and the kernel sets a flag when there are some to post: a spinning poll that finds nothing stays in
 * user space. */
static int enter_now(struct sock *s)
{
	unsigned flags = IO_URING_READ_ONCE(*s->ring.sq.kflags);

	if (!io_uring_sq_ready(&s->ring) && !(flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)))
		return 0;
	leave(s);
	int rc = io_uring_submit_and_get_events(&s->ring);
	enter(s);
	submitted(s);
	return rc;
}

static int enter_and_wait(struct sock *s, int64_t timeout_us)
{
	struct io_uring_cqe *cqe;
	struct __kernel_timespec t = {.tv_sec = timeout_us / 1000000, .tv_nsec = timeout_us % 1000000 * 1000};

	leave(s);
	int rc = timeout_us < 0 ? io_uring_submit_and_wait(&s->ring, 1)
				: io_uring_submit_and_wait_timeout(&s->ring, &cqe, 1, &t, NULL);
	enter(s);
	submitted(s);
	return rc;
}

/* The longest wait that still keeps our own deadlines. */
static int64_t bound_wait(const struct sock *s, int64_t wait_us)
{
	int64_t most = INT64_MAX;

	if (!link_empty(&s->starved))
		most = SOCK_STARVED_WAIT_US;
	else if (!link_empty(&s->lingering) || !link_empty(&s->finishing))
		most = SOCK_LINGER_US / 10;
	for (uint32_t i = 0; i < s->listener_count; i++)
		if (s->listeners[i].retry_at && most > SOCK_ACCEPT_RETRY_US)
			most = SOCK_ACCEPT_RETRY_US;
	if (most == INT64_MAX)
		return wait_us;
	return wait_us < 0 || wait_us > most ? most : wait_us;
}

static bool has_deadlines(const struct sock *s)
{
	if (!link_empty(&s->lingering) || !link_empty(&s->finishing))
		return true;
	for (uint32_t i = 0; i < s->listener_count; i++)
		if (!s->listeners[i].accepting && !s->listeners[i].closing)
			return true;
	return false;
}

static void keep_deadlines(struct sock *s)
{
	int64_t now = sock_clock_us();

	conn_expire(s, now);
	if (!s->shutting_down)
		listen_work(s, now);
}

static int sock_poll(struct paste_stack *base, struct paste_event *events, int max, int64_t timeout_us)
{
	struct sock *s = (struct sock *)base;
	int64_t end = timeout_us > 0 ? sock_clock_us() + timeout_us : 0;
	int64_t left = timeout_us;

	for (;;) {
		int n = conn_deliver_held(s, events, max), rc;

		if (has_deadlines(s))
			keep_deadlines(s);
		make_requests(s);
		if (n || !left || io_uring_cq_ready(&s->ring))
			rc = enter_now(s);
		else
			rc = enter_and_wait(s, bound_wait(s, left));
		n += reap(s, events + n, max - n);
		if (n || rc == -EINTR || !left)
			return n;
		/* A full completion queue (EBUSY), a shortage of memory (EAGAIN) and the time-out are no
		 * failures. */
		if (rc < 0 && rc != -ETIME && rc != -EBUSY && rc != -EAGAIN)
			return rc;
		if (timeout_us > 0) {
			left = end - sock_clock_us();
			if (left <= 0)
				left = 0;
		}
	}
}

static void sock_stats(const struct paste_stack *base, struct paste_stack_stats *stats)
{
	const struct sock *s = (const struct sock *)base;

	*stats = s->stats;
	stats->posted = s->receive.posted;
}

/* The flags that save most, in this order: completions posted only in our own system calls (6.1), without
 * interrupting us (5.19), any. */
static int ring_open(struct sock *s, struct paste_error *err)
{
	static const unsigned flags[] = {
	    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		IORING_SETUP_SUBMIT_ALL,
	    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
	    0,
	};
	int rc = -EINVAL;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && rc == -EINVAL; i++) {
		struct io_uring_params p = {.flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
					    .cq_entries = SOCK_CQ_ENTRIES};

		rc = io_uring_queue_init_params(SOCK_SQ_ENTRIES, &s->ring, &p);
	}
	if (rc == -EPERM || rc == -EACCES)
		return paste_fail(
		    err, -EPERM,
		    "io_uring is forbidden here. On the host: `sysctl kernel.io_uring_disabled=0` "
		    "(or =1 and this process in the group of kernel.io_uring_group). In a container: "
		    "a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register");
	if (rc == -ENOSYS)
		return paste_fail(
		    err, -EPERM,
		    "this kernel or its seccomp filter has no io_uring; Linux 6.1 or newer is needed, "
		    "and in a container a seccomp profile that allows io_uring_setup, io_uring_enter "
		    "and io_uring_register");
	if (rc == -ENOMEM)
		return paste_fail(err, rc,
				  "no memory for an io_uring; raise the limit of locked memory (ulimit -l)");
	if (rc < 0)
		return paste_fail(err, rc, "io_uring: %s", strerror(-rc));
	io_uring_register_ring_fd(&s->ring); /* saves a little in each system call, where the kernel has it */
	return 0;
}

static void sock_free(struct sock *s)
{
	tx_pool_close(s);
	held_pool_close(s);
	free(s->conns);
	free(s);
}

/* Every request must be out of the kernel before a buffer is put: one that is still there could write into
 * it. */
static void sock_close(struct paste_stack *base)
{
	struct sock *s = (struct sock *)base;
	struct paste_event events[64];

	listen_close_all(base);
	s->shutting_down = true;
	for (uint32_t i = 0; i < s->conns_used; i++) {
		struct sock_conn *c = &s->conns[i];

		if (c->fd < 0)
			continue;
		if (!c->closed)
			conn_abort(&c->base);
		else if (!c->dead) {
			c->dead = true;
			conn_attend(c);
		}
	}
	for (uint32_t i = 0; i < s->watch_count; i++) {
		if (!s->watches[i].armed)
			continue;
		struct io_uring_sqe *sqe = sock_sqe(s);
		io_uring_prep_cancel64(sqe, sock_tag(&s->watches[i], SOCK_OP_WATCH), 0);
		io_uring_sqe_set_data64(sqe, SOCK_OP_IGNORE);
	}
	for (;;) {
		bool busy = s->stats.connections > 0;

		for (uint32_t i = 0; i < s->listener_count; i++)
			busy |= s->listeners[i].accepting;
		for (uint32_t i = 0; i < s->watch_count; i++)
			busy |= s->watches[i].armed;
		if (!busy)
			break;
		sock_poll(base, events, 64, 1000);
	}
	receive_close(s);
	io_uring_queue_exit(&s->ring);
	sock_free(s);
}

const struct paste_stack_ops sock_ops = {
    .close = sock_close,
    .listen = listen_open,
    .unlisten = listen_close_all,
    .watch = sock_watch,
    .poll = sock_poll,
    .stats = sock_stats,
    .send = tx_send,
    .unsent = tx_unsent,
    .pause = conn_pause,
    .resume = conn_resume,
    .finish = conn_finish,
    .abort = conn_abort,
    .peer = conn_peer,
    .info = conn_info,
    .next = conn_next,
};

int paste_sock_open(struct paste_region *region, const struct paste_stack_limits *limits,
		    struct paste_stack **stack, struct paste_error *err)
{
	struct sock *s = calloc(1, sizeof(*s));

	if (!s)
		return paste_fail(err, -ENOMEM, "no memory for the socket transport");
	s->base.ops = &sock_ops;
	s->region = region;
	if (limits)
		s->limits = *limits;
	if (!s->limits.connections)
		s->limits.connections = 16384;
	if (!s->limits.send_bytes)
		s->limits.send_bytes = 256 * 1024;
	link_init(&s->starved);
	link_init(&s->finishing);
	link_init(&s->lingering);
	/* Pages of it are touched only as connections come. */
	s->conns = calloc(s->limits.connections, sizeof(*s->conns));
	int rc = s->conns ? ring_open(s, err) : paste_fail(err, -ENOMEM, "no memory for connections");
	if (rc) {
		sock_free(s);
		return rc;
	}
	rc = receive_open(s, s->limits.receive_buffers, err);
	if (rc) {
		receive_close(s);
		io_uring_queue_exit(&s->ring);
		sock_free(s);
		return rc;
	}
	*stack = &s->base;
	return 0;
}
