/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop of `pst serve`. */
#include "cli/cli.h"
#include "cli/logfmt.h"
#include "cli/serve_run.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_US 10000000 /* how long clients may take to end after SIGTERM */
#define BLOCK_US 1000000  /* the longest sleep of an idle loop */
#define LIFE_US 2000000   /* between two signs of life */
#define BUSY_US 10000     /* after a request, its worker is busy for so long */
#define IDLE_SPINS 256    /* empty polls between two looks at maintenance, when spinning */

struct service_time serve_clocks(void)
{
	struct timespec monotonic, real;

	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	clock_gettime(CLOCK_REALTIME_COARSE, &real);
	return (struct service_time){.monotonic_us = monotonic.tv_sec * 1000000 + monotonic.tv_nsec / 1000,
				     .unix_ms = real.tv_sec * 1000 + real.tv_nsec / 1000000};
}

/* Each worker for itself, when it sees that all do. */
static void drain(struct serve_worker *w)
{
	w->draining = true;
	service_drain(w->service);
}

static void begin_to_drain(struct serve *o, int64_t now)
{
	if (o->draining) {
		o->drain_until = now; /* a second signal: at once */
		return;
	}
	line_event(LINE_INFO, "told to end: no new connections, the others end with their next answer", NULL, NULL);
	notify_say(&o->notify, "STOPPING=1");
	o->drain_until = now + DRAIN_US;
	o->draining = true;
	serve_udp_drain(&o->udp);
	serve_wake_all(o);
}

static void handle_signals(struct serve *o, int64_t now)
{
	struct signalfd_siginfo info;
	bool end = false, reload = false;

	while (read(o->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		end |= info.ssi_signo != SIGHUP;
		reload |= info.ssi_signo == SIGHUP;
	}
	if (reload)
		serve_reload_tokens(o);
	if (end)
		begin_to_drain(o, now);
}

static bool is_drained(const struct serve *o, int64_t now)
{
	struct paste_stack_stats stats;

	service_stack_stats(o->worker[0].service, &stats);
	return (!stats.connections && serve_udp_is_drained(&o->udp)) || now >= o->drain_until;
}

static void tell_failure(struct serve *o, int error)
{
	if (o->failure_told)
		return;
	o->failure_told = true;
	struct line l;
	char text[160];

	snprintf(text, sizeof(text), "the medium has failed: %s", strerror(-error));
	line_begin(&l, LINE_ERROR, text);
	line_text(&l, "path", o->options.path);
	line_text(&l, "hint",
		 "nothing is stored any more, what was stored is still served; stop, repair the medium, start again");
	line_end(&l);
}

/* 1: there is more to do, 0: the loop may sleep. */
static int maintain(struct serve *o, bool idle)
{
	int rc = paste_store_maintain(o->store, idle);

	if (rc < 0)
		tell_failure(o, rc);
	return rc > 0;
}

/* While datagrams keep coming the sockets are looked at every few turns only: that is a system call each
 * time. */
#define TURNS_WITHOUT_POLL 8

/* Close the rounds, and send what may leave, until nothing more comes of it. 1: come again soon; or a
 * negative errno. */
static int answer_all(struct serve_worker *w)
{
	struct serve *o = w->serve;
	int soon, udp;

	do {
		rounds_step(&o->rounds);
		soon = service_answer(w->service);
		udp = serve_udp_answer(&o->udp);
		if (udp < 0)
			return udp;
	} while (rounds_may_commit(&o->rounds));
	serve_wake_for_news(w);
	if (soon < 0)
		tell_failure(o, soon);
	return udp && soon <= 0 ? 1 : soon > 0 ? soon : 0;
}

/* For a watchdog, if there is one. */
static void show_life(struct serve *o, int64_t now)
{
	if (now < o->watchdog_at)
		return;
	o->watchdog_at = now + LIFE_US;
	notify_say(&o->notify, "WATCHDOG=1");
}

/* Not longer than until then. */
static int64_t sleep_until(int64_t now, int64_t sleep_us, int64_t then)
{
	return then >= now + sleep_us ? sleep_us : then > now ? then - now : 0;
}

static int wait_for_events(struct serve_worker *w, struct paste_event *events, int64_t sleep_us)
{
	struct serve *o = w->serve;
	int64_t rest_us = sleep_us ? rounds_rest_us(&o->rounds) : 0;

	if (rest_us == 0)
		return paste_stack_poll(w->stack, events, SERVICE_BATCH, sleep_us);
	/* What is queued leaves, what is there already is taken. */
	int n = paste_stack_poll(w->stack, events, SERVICE_BATCH, 0);
	if (n)
		return n;
	struct pollfd round = {.fd = paste_store_wait_fd(o->store), .events = POLLIN};
	struct timespec rest = {.tv_nsec = rest_us * 1000};
	serve_leave_turn(w);
	ppoll(&round, 1, &rest, NULL);
	serve_enter_turn(w);
	return paste_stack_poll(w->stack, events, SERVICE_BATCH, sleep_us);
}

/* Others have asked for something a moment ago: their turns bring the upkeep along, and nothing is idle. */
static bool others_are_busy(const struct serve_worker *w, int64_t now)
{
	const struct serve *o = w->serve;

	return o->asked && o->asked != w && now - o->asked_us < BUSY_US;
}

/* Upkeep, as much of it as this turn allows. True: there is more to do now. */
static bool keep_up(struct serve_worker *w, bool quiet, int64_t now)
{
	struct serve *o = w->serve;

	if (!quiet) {
		o->asked = w;
		o->asked_us = now;
	} else if (others_are_busy(w, now)) {
		return false;
	}
	/* While somebody waits for a round, upkeep comes with the load, and goes on when something happens. */
	bool idle = quiet && rounds_idle(&o->rounds);
	w->empty = quiet ? w->empty + 1 : 0;
	if (o->options.spin && quiet) {
		if (w->empty % IDLE_SPINS)
			return false;
		idle = idle && now - o->asked_us >= BUSY_US; /* not between one client's two requests */
	}
	return maintain(o, idle) && rounds_idle(&o->rounds);
}

/* What the first worker looks after besides. Returns not longer than sleep_us. */
static int64_t look_after_all(struct serve *o, int64_t now, int64_t sleep_us)
{
	show_life(o, now);
	return sleep_until(now, sleep_us, serve_scrub(o, now));
}

/* What is not for the service. True: the control socket wants something. */
static bool take_signs(struct serve_worker *w, const struct paste_event *events, int n, int64_t now)
{
	bool control_asks = false;

	for (int i = 0; i < n; i++) {
		if (events[i].type != PASTE_EVENT_FD)
			continue;
		if (events[i].cookie == SERVE_SIGNAL_COOKIE)
			handle_signals(w->serve, now);
		if (events[i].cookie == SERVE_WAKE_COOKIE)
			serve_woken(w);
		control_asks |= events[i].cookie == SERVE_CONTROL_COOKIE;
	}
	if (w->serve->draining && !w->draining)
		drain(w);
	return control_asks;
}

int serve_run(struct serve_worker *w)
{
	struct serve *o = w->serve;
	struct paste_event events[SERVICE_BATCH];
	bool first = w == o->worker;
	int64_t sleep_us = 0;
	unsigned without_poll = 0;
	int datagrams = 0;

	for (;;) {
		int n = 0;
		if (datagrams == 0 || o->udp.with_stack || ++without_poll == TURNS_WITHOUT_POLL) {
			without_poll = 0;
			n = wait_for_events(w, events, o->options.spin ? 0 : sleep_us);
		}
		if (n < 0) {
			line_event(LINE_ERROR, "polling the sockets failed", "error", strerror(-n));
			return n;
		}
		struct service_time now = serve_clocks();
		bool control_asks = take_signs(w, events, n, now.monotonic_us);

		service_take(w->service, now, events, n);
		datagrams = serve_udp_take(&o->udp);
		bool quiet = n == 0 && datagrams == 0;
		int soon = datagrams < 0 ? datagrams : answer_all(w);
		if (soon < 0) {
			line_event(LINE_ERROR, "receiving datagrams failed", "error", strerror(-soon));
			return soon;
		}
		if (!quiet)
			service_turned(w->service, serve_clocks().monotonic_us);
		if (control_asks)
			control_work(o->control);
		if (o->ended || (first && o->draining && is_drained(o, now.monotonic_us)))
			return 0;

		/* What completes the round in the kernel may have no other core than this one. */
		if (o->options.spin && quiet && !rounds_idle(&o->rounds))
			sched_yield();

		bool more = keep_up(w, quiet, now.monotonic_us);
		sleep_us = more || datagrams || soon == SERVICE_AT_ONCE ? 0
			   : soon || o->draining || serve_udp_waits(&o->udp)          ? SERVICE_SOON_US
										      : BLOCK_US;
		int64_t gather_us = rounds_gather_us(&o->rounds);
		if (gather_us < sleep_us)
			sleep_us = gather_us;
		if (first)
			sleep_us = look_after_all(o, now.monotonic_us, sleep_us);
		sleep_us = sleep_until(now.monotonic_us, sleep_us, service_next(w->service));
		if (sleep_us > 0 && rounds_news(&o->rounds))
			sleep_us = 0;
	}
}
