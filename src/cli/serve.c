/* SPDX-License-Identifier: BSD-2-Clause */
/* pst serve: the durable HTTP service on a region, over kernel sockets. */
#include "cli/cli.h"
#include "cli/serve_run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void tell_recovery(const struct serve *o)
{
	struct paste_store_stats s;

	paste_store_stats(o->store, &s);
	fprintf(stderr,
		"pst serve: %s: %s (survives %s), last time %s, opened in %.1f ms: %" PRIu64 " keys, %" PRIu64
		" streams, %" PRIu64 " entries; %" PRIu64 " from the checkpoint, %" PRIu64
		" records after it, %" PRIu64 " torn records\n",
		o->options.path, s.medium, s.survives, s.clean ? "closed clean" : "not closed",
		(double)s.recovery_us / 1000, s.keys, s.streams, s.entries, s.recovered_entries,
		s.recovered_records, s.torn_records);
	if (s.damage)
		fprintf(stderr,
			"pst serve: %s: %" PRIu64
			" damaged items, which are not served; 'pst check' names them\n",
			o->options.path, s.damage);
}

static int watch_signals(struct serve *o)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	o->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return o->signals < 0 ? -errno : paste_stack_watch(o->stack, o->signals, SERVE_SIGNAL_COOKIE);
}

static int open_all(struct serve *o, struct paste_error *err)
{
	struct paste_open_options open = {.path = o->options.path, .hugepages = o->options.hugepages};
	int rc = paste_store_open(&open, &o->store, err);

	if (rc < 0)
		return rc;
	tell_recovery(o);
	rc = serve_open_transports(o, err);
	if (rc < 0)
		return rc;
	rc = rounds_init(&o->rounds, o->store, err);
	if (rc < 0)
		return rc;
	struct service_options service = {
	    .stack = o->stack,
	    .store = o->store,
	    .rounds = &o->rounds,
	    .more_metrics = serve_udp_metrics,
	    .more_arg = &o->udp,
	    .max_body = o->options.max_body,
	    .idle_us = o->options.idle_us,
	    .request_us = o->options.request_us,
	};
	rc = service_open(&service, &o->service, err);
	if (rc < 0)
		return rc;
	rc = watch_signals(o);
	if (rc < 0)
		return paste_fail(err, rc, "cannot wait for signals: %s", strerror(-rc));
	serve_open_control(o);
	return serve_listen(o, err);
}

/* Returns 0, or the errno with which the region could not be closed clean. */
static int close_all(struct serve *o)
{
	control_close(o->control);
	free(o->full_path);
	if (o->service)
		service_close(o->service);
	serve_close_transports(o);
	if (o->signals >= 0)
		close(o->signals);
	return o->store ? paste_store_close(o->store) : 0;
}

int cmd_serve(int argc, char **argv)
{
	struct serve o = {.signals = -1, .started_us = serve_clocks().monotonic_us};
	struct paste_error error = {{0}};
	int status = serve_parse_options(argc, argv, &o.options);

	if (status != CLI_OK)
		return status;
	serve_choose_connections(&o.options);
	if (open_all(&o, &error) < 0) {
		close_all(&o);
		return cli_fail("serve", CLI_FAILED, error.text);
	}
	printf("ready%s%s%s%s\n", o.bound[0] ? " http=" : "", o.bound, o.udp.bound[0] ? " udp=" : "",
	       o.udp.bound);
	fflush(stdout);

	int rc = serve_run(&o), failed = service_error(o.service);
	int closed = close_all(&o);
	if (closed < 0)
		fprintf(stderr, "pst serve: %s: closing: %s\n", o.options.path, strerror(-closed));
	return rc < 0 || failed || closed < 0 ? CLI_FAILED : CLI_OK;
}
