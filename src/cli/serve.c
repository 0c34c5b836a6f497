/* SPDX-License-Identifier: BSD-2-Clause */
/* pst serve: the durable HTTP service on a region, over kernel sockets. */
#include "cli/cli.h"
#include "cli/logfmt.h"
#include "cli/serve_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void tell_recovery(const struct serve *o)
{
	struct paste_store_stats s;
	struct line l;

	paste_store_stats(o->store, &s);
	line_begin(&l, LINE_INFO, "region opened");
	line_text(&l, "path", o->options.path);
	line_text(&l, "medium", s.medium);
	line_text(&l, "survives", s.survives);
	line_text(&l, "last_time", s.clean ? "closed clean" : "not closed");
	line_text(&l, "durable", s.no_persist ? "NO" : "yes");
	line_real(&l, "ms", (double)s.recovery_us / 1000);
	line_number(&l, "keys", s.keys);
	line_number(&l, "streams", s.streams);
	line_number(&l, "entries", s.entries);
	line_number(&l, "from_checkpoint", s.recovered_entries);
	line_number(&l, "records_after_it", s.recovered_records);
	line_number(&l, "torn_records", s.torn_records);
	line_end(&l);
	if (s.was_no_persist)
		line_event(LINE_WARN, "it was last served with --no-persist and not closed: what was acknowledged then may be "
				      "missing, or undone", "path", o->options.path);
	if (s.no_persist)
		line_event(LINE_WARN, "--no-persist: NOTHING IS MADE DURABLE until the region is closed, whatever replies say; "
				      "this is for measuring only", "path", o->options.path);
	if (!s.damage)
		return;
	line_begin(&l, LINE_WARN, "there are damaged items, which are not served; 'pst check' names them");
	line_text(&l, "path", o->options.path);
	line_number(&l, "items", s.damage);
	line_end(&l);
}

static void more_metrics(void *arg, FILE *out)
{
	struct serve *o = arg;

	serve_udp_metrics(&o->udp, out);
	serve_workers_metrics(o, out);
}

int serve_open_service(struct serve_worker *w, struct paste_error *err)
{
	struct serve *o = w->serve;
	struct service_options service = {
	    .stack = w->stack,
	    .store = o->store,
	    .rounds = &o->rounds,
	    .more_metrics = more_metrics,
	    .more_arg = o,
	    .max_body = o->options.max_body,
	    .idle_us = o->options.idle_us,
	    .request_us = o->options.request_us,
	    .tokens = o->tokens,
	    .started_us = o->started_us,
	    .version = PST_VERSION,
	};

	return service_open(&service, &w->service, err);
}

static int watch_signals(struct serve *o)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	o->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return o->signals < 0 ? -errno : paste_stack_watch(o->worker[0].stack, o->signals, SERVE_SIGNAL_COOKIE);
}

/* The operator knows that no device has buffers of a dead owner. */
static int forgotten(void *arg, const struct paste_landing *landing, struct paste_error *err)
{
	return 0;
}

static int open_all(struct serve *o, struct paste_error *err)
{
	struct paste_open_options open = {
	    .path = o->options.path,
	    .hugepages = o->options.hugepages,
	    .no_persist = o->options.no_persist,
	    .released = o->options.forget_landings ? forgotten : paste_xdp_released,
	};
	int rc = serve_begin_turns(o, err);

	if (rc == 0)
		rc = paste_store_open(&open, &o->store, err);
	if (rc < 0)
		return rc;
	tell_recovery(o);
	rc = serve_open_transports(o, err);
	if (rc < 0)
		return rc;
	rc = o->options.token_file ? serve_load_tokens(o->options.token_file, &o->tokens, err) : 0;
	if (rc == 0)
		rc = rounds_init(&o->rounds, o->store, err);
	if (rc < 0)
		return rc;
	rc = serve_open_service(&o->worker[0], err);
	if (rc < 0)
		return rc;
	rc = watch_signals(o);
	if (rc < 0)
		return paste_fail(err, rc, "cannot wait for signals: %s", strerror(-rc));
	serve_open_control(o);
	rc = serve_start_workers(o, err);
	if (rc == 0)
		rc = serve_listen(o, err);
	if (rc == 0)
		rc = serve_confine(o, err);
	return rc == 0 ? serve_release_workers(o, err) : rc;
}

/* Returns 0, or the errno with which the region could not be closed clean. */
static int close_all(struct serve *o)
{
	serve_end_workers(o);
	control_close(o->control);
	free(o->full_path);
	if (o->worker[0].service)
		service_close(o->worker[0].service);
	tokens_free(o->tokens);
	serve_close_transports(o);
	if (o->signals >= 0)
		close(o->signals);
	int rc = o->store ? paste_store_close(o->store) : 0;
	serve_join_workers(o);
	notify_close(&o->notify);
	return rc;
}

static void tell_ready(struct serve *o)
{
	struct line l;

	printf("ready%s%s%s%s\n", o->bound[0] ? " http=" : "", o->bound, o->udp.bound[0] ? " udp=" : "",
	       o->udp.bound);
	fflush(stdout);
	line_begin(&l, LINE_INFO, "ready");
	line_text(&l, "path", o->options.path);
	if (o->bound[0])
		line_text(&l, "http", o->bound);
	if (o->udp.bound[0])
		line_text(&l, "udp", o->udp.bound);
	if (o->udp.port)
		line_text(&l, "xdp", o->udp.port->info.mode);
	if (o->tcp_port)
		line_text(&l, "xdp", o->tcp_port->info.mode);
	if (o->options.workers > 1)
		line_number(&l, "workers", o->options.workers);
	line_text(&l, "tokens", !o->bound[0] ? "-" : o->tokens ? "needed" : "none");
	line_end(&l);
	notify_say(&o->notify, "READY=1\nSTATUS=serving");
}

int cmd_serve(int argc, char **argv)
{
	struct serve o = {.signals = -1, .notify = {-1}, .started_us = serve_clocks().monotonic_us};
	struct paste_error error = {{0}};
	int status = serve_parse_options(argc, argv, &o.options);

	if (status != CLI_OK)
		return status;
	serve_choose_connections(&o.options);
	notify_open(&o.notify);
	if (open_all(&o, &error) < 0) {
		close_all(&o);
		line_event(LINE_ERROR, error.text, "path", o.options.path);
		return CLI_FAILED;
	}
	tell_ready(&o);

	int rc = serve_run(&o.worker[0]), failed = service_error(o.worker[0].service);
	int closed = close_all(&o);
	for (uint32_t i = 1; i <= o.threads; i++)
		rc = rc < 0 ? rc : o.worker[i].error;
	struct line l;
	line_begin(&l, closed < 0 ? LINE_ERROR : LINE_INFO, closed < 0 ? "not closed clean" : "region closed");
	line_text(&l, "path", o.options.path);
	if (closed < 0)
		line_text(&l, "error", strerror(-closed));
	line_end(&l);
	return rc < 0 || failed || closed < 0 ? CLI_FAILED : CLI_OK;
}
