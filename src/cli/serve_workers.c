/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workers of `pst serve --workers`, and whose turn it is.
 *
 * There is one store, and one worker at a time has its turn: it takes what its sockets have brought, works on
 * it, closes the round and queues what may leave. Nine tenths of a request's time over kernel sockets are the
 * kernel's, and those all workers spend at once: a stack leaves the turn for its system call (struct
 * paste_stack_guard). So everything above is as if there were one thread, and no turn is ever in the middle
 * of another's.
 */
#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/logfmt.h"
#include "cli/serve_run.h"

/* For the end of another's turn, before sleeping: some microseconds, as short turns take. */
#define LOOKS 200

static bool has_several(const struct serve *o)
{
	return o->options.workers > 1;
}

static int64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void pause_a_moment(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static void take_turn(struct serve *o)
{
	for (int i = 0; i < LOOKS; i++) {
		if (pthread_mutex_trylock(&o->turn) == 0)
			return;
		pause_a_moment();
	}
	pthread_mutex_lock(&o->turn);
}

void serve_enter_turn(struct serve_worker *w)
{
	if (!has_several(w->serve))
		return;
	int64_t asked = clock_ns();
	take_turn(w->serve);
	w->began_ns = clock_ns();
	w->waited_ns += (uint64_t)(w->began_ns - asked);
}

void serve_leave_turn(struct serve_worker *w)
{
	if (!has_several(w->serve))
		return;
	w->turn_ns += (uint64_t)(clock_ns() - w->began_ns);
	pthread_mutex_unlock(&w->serve->turn);
}

static void enter(void *worker)
{
	serve_enter_turn(worker);
}

static void leave(void *worker)
{
	serve_leave_turn(worker);
}

static void wake(struct serve_worker *w)
{
	if (w->woken || w->closed)
		return;
	w->woken = true;
	eventfd_write(w->wake, 1);
}

void serve_woken(struct serve_worker *w)
{
	eventfd_t times;

	eventfd_read(w->wake, &times);
	w->woken = false;
}

void serve_wake_all(struct serve *o)
{
	for (uint32_t i = 0; has_several(o) && i < o->options.workers; i++)
		if (o->worker[i].opened)
			wake(&o->worker[i]);
}

void serve_wake_for_news(const struct serve_worker *w)
{
	struct serve *o = w->serve;

	for (uint32_t i = 0; has_several(o) && i < o->options.workers; i++) {
		struct serve_worker *other = &o->worker[i];

		if (other != w && other->service && !other->woken && service_has_news(other->service))
			wake(other);
	}
}

/* The one with the fewest connections, of several the next one in turn; NULL if there are as many as may be. */
static struct paste_stack *choose(void *accepting)
{
	struct serve *o = ((struct serve_worker *)accepting)->serve;
	struct serve_worker *best = accepting;
	uint32_t least = UINT32_MAX, all = 0;

	for (uint32_t i = 1; i <= o->options.workers; i++) {
		struct serve_worker *w = &o->worker[(o->place + i) % o->options.workers];
		struct paste_stack_stats stats;

		if (!w->service)
			continue;
		paste_stack_stats(w->stack, &stats);
		all += stats.connections;
		if (stats.connections >= least)
			continue;
		least = stats.connections;
		best = w;
	}
	if (all >= (uint32_t)o->options.connections)
		return NULL;
	o->place = (uint32_t)(best - o->worker);
	if (best != accepting)
		wake(best);
	return best->stack;
}

const struct paste_stack_guard *serve_guard(struct serve_worker *w)
{
	if (!has_several(w->serve))
		return NULL;
	w->guard = (struct paste_stack_guard){leave, enter, choose, w, w->serve->options.workers};
	return &w->guard;
}

static int open_worker(struct serve_worker *w, struct paste_error *err)
{
	int rc = serve_open_sockets(w, err);

	if (rc == 0)
		rc = serve_open_service(w, err);
	if (rc == 0 && (rc = paste_stack_watch(w->stack, w->wake, SERVE_WAKE_COOKIE)) < 0)
		paste_fail(err, rc, "cannot wait for the other workers: %s", strerror(-rc));
	return rc == 0 ? serve_confine_thread_early(w->serve, err) : rc;
}

static void wait_for_change(struct serve *o)
{
	pthread_cond_wait(&o->changed, &o->turn);
}

static void tell_change(struct serve *o)
{
	pthread_cond_broadcast(&o->changed);
}

static void *work(void *arg)
{
	struct serve_worker *w = arg;
	struct serve *o = w->serve;

	serve_enter_turn(w);
	w->error = open_worker(w, &w->said);
	w->opened = true;
	tell_change(o);
	while (!o->released && !o->ended)
		wait_for_change(o);
	if (!w->error && !o->ended)
		w->error = serve_confine_thread(o, &w->said);
	w->confined = true;
	tell_change(o);
	w->began_ns = clock_ns();
	if (!w->error && !o->ended) {
		w->error = serve_run(w);
		o->ended = true; /* if nobody has told it to end, it cannot go on: the others end as well */
		serve_wake_all(o);
	}
	if (w->service)
		service_close(w->service);
	w->service = NULL;
	if (w->stack)
		paste_stack_close(w->stack);
	w->stack = NULL;
	w->closed = true;
	tell_change(o);
	/* The kernel would cancel what this thread has asked of the medium. */
	while (!o->done)
		wait_for_change(o);
	pthread_mutex_unlock(&o->turn);
	return NULL;
}

int serve_begin_turns(struct serve *o, struct paste_error *err)
{
	for (uint32_t i = 0; i < o->options.workers; i++) {
		o->worker[i].serve = o;
		o->worker[i].wake = -1;
	}
	if (!has_several(o))
		return 0;
	/* Memory is asked for in turns: a heap a thread would only split it. And glibc, when it gives such a
	 * heap's memory back, reads a file first, which the filter of system calls refuses. */
	mallopt(M_ARENA_MAX, 1);
	pthread_mutex_init(&o->turn, NULL);
	pthread_cond_init(&o->changed, NULL);
	serve_enter_turn(&o->worker[0]);
	for (uint32_t i = 0; i < o->options.workers; i++) {
		o->worker[i].wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (o->worker[i].wake < 0)
			return paste_fail(err, -errno, "an eventfd for a worker: %s", strerror(errno));
	}
	return 0;
}

int serve_start_workers(struct serve *o, struct paste_error *err)
{
	struct serve_worker *first = &o->worker[0];

	if (!has_several(o))
		return 0;
	int rc = paste_stack_watch(first->stack, first->wake, SERVE_WAKE_COOKIE);
	if (rc < 0)
		return paste_fail(err, rc, "cannot wait for the other workers: %s", strerror(-rc));
	first->opened = true;
	for (uint32_t i = 1; i < o->options.workers; i++) {
		struct serve_worker *w = &o->worker[i];

		rc = pthread_create(&w->thread, NULL, work, w);
		if (rc)
			return paste_fail(err, -rc, "a thread for a worker: %s", strerror(rc));
		o->threads = i;
		while (!w->opened)
			wait_for_change(o);
		if (w->error)
			return paste_fail(err, w->error, "worker %u: %s", i, w->said.text);
	}
	first->began_ns = clock_ns();
	return 0;
}

int serve_release_workers(struct serve *o, struct paste_error *err)
{
	o->released = true;
	if (!has_several(o))
		return 0;
	tell_change(o);
	for (uint32_t i = 1; i <= o->threads; i++) {
		struct serve_worker *w = &o->worker[i];

		while (!w->confined)
			wait_for_change(o);
		if (w->error)
			return paste_fail(err, w->error, "worker %u: %s", i, w->said.text);
	}
	o->worker[0].began_ns = clock_ns();
	return 0;
}

void serve_end_workers(struct serve *o)
{
	o->ended = true;
	if (o->threads == 0)
		return;
	serve_wake_all(o);
	tell_change(o);
	for (uint32_t i = 1; i <= o->threads; i++)
		while (!o->worker[i].closed)
			wait_for_change(o);
	o->worker[0].began_ns = clock_ns();
}

void serve_join_workers(struct serve *o)
{
	if (!has_several(o))
		return;
	o->done = true;
	tell_change(o);
	serve_leave_turn(&o->worker[0]);
	for (uint32_t i = 1; i <= o->threads; i++)
		pthread_join(o->worker[i].thread, NULL);
	for (uint32_t i = 0; i < o->options.workers; i++)
		if (o->worker[i].wake >= 0)
			close(o->worker[i].wake);
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->turn);
}

enum share {
	REQUESTS,
	CONNECTIONS,
	TURN,
	WAITED,
};

static double share_of(const struct serve_worker *w, enum share what)
{
	struct service_share share = service_share(w->service);

	switch (what) {
	case REQUESTS:
		return (double)share.requests;
	case CONNECTIONS:
		return share.connections;
	case TURN:
		return (double)w->turn_ns / 1e9;
	default:
		return (double)w->waited_ns / 1e9;
	}
}

void serve_workers_metrics(const struct serve *o, FILE *out)
{
	static const struct {
		const char *name, *type, *help;
		int digits;
	} metrics[] = {
	    [REQUESTS] = {"requests_total", "counter", "Requests, by the worker that has the connection.", 0},
	    [CONNECTIONS] = {"connections", "gauge", "Connections, by worker.", 0},
	    [TURN] = {"turn_seconds_total", "counter",
		      "Time in which the worker worked on the store; one of them does at a time.", 6},
	    [WAITED] = {"waited_seconds_total", "counter",
			"Time that the worker waited for another's turn to end.", 6},
	};

	for (int m = 0; has_several(o) && m <= WAITED; m++) {
		fprintf(out, "# HELP paste_worker_%s %s\n# TYPE paste_worker_%s %s\n", metrics[m].name,
			metrics[m].help, metrics[m].name, metrics[m].type);
		for (uint32_t i = 0; i < o->options.workers; i++)
			if (o->worker[i].service)
				fprintf(out, "paste_worker_%s{worker=\"%u\"} %.*f\n", metrics[m].name, i,
					metrics[m].digits, share_of(&o->worker[i], (enum share)m));
	}
}
