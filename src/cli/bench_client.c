/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/bench_client_inside.h"
#include "cli/bench_udp.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define STASH_KEEP 65536
#define WAIT_MS 50 /* how often `round` is called when nothing happens */
#define LOSS_GRACE_NS 2000000000u
#define LOOK_NS 20000000u /* how often to look for datagrams without an answer */
#define CONNECT_BATCH 64  /* so many are made at a time, so that a listener's short queue is no trouble */

uint64_t client_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void client_stop(struct client *c)
{
	c->stopping = true;
}

static void set_idle(struct client *c, struct client_connection *k)
{
	if (k->busy)
		c->busy--;
	k->busy = false;
}

static void drop(struct client *c, struct client_connection *k)
{
	if (k->open)
		c->options.transport->drop(c, k);
	k->open = false;
}

void client_lose(struct client *c, uint32_t index, const char *what, int error)
{
	struct client_connection *k = &c->connections[index];

	if (!c->lost++) {
		snprintf(c->why, sizeof(c->why), "%s%s%s", what, error ? ": " : "",
			 error ? strerror(error) : "");
		c->stop_at = client_now() + LOSS_GRACE_NS;
	}
	c->stopping = true;
	drop(c, k);
	set_idle(c, k);
}

void client_ended(struct client *c, uint32_t index)
{
	struct client_connection *k = &c->connections[index];

	if (k->busy)
		client_lose(c, index, "the service closed the connection", 0);
	else /* it has nothing to do any more: nothing is lost */
		drop(c, k);
}

/* --- beginning and end --- */

static int connect_one(struct client *c, uint32_t index)
{
	int rc = c->options.transport->connect(c, index);

	c->connections[index].open = rc == 0;
	return rc;
}

static int connect_all(struct client *c, struct paste_error *err)
{
	const struct client_transport *t = c->options.transport;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < c->options.connections; i++) {
		rc = connect_one(c, i);
		bool pause = (i + 1) % CONNECT_BATCH == 0 || i + 1 == c->options.connections;
		if (rc == 0 && pause && t->settle)
			rc = t->settle(c);
	}
	return rc == 0 ? 0
		       : paste_fail(err, rc, "cannot connect to %s port %s: %s", c->options.host,
				    c->options.port, strerror(-rc));
}

static int watch_signals(struct client *c)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return c->signals < 0 ? -errno : 0;
}

int client_open(struct client *c, const struct client_options *options, const struct client_ops *ops,
		void *arg, struct paste_error *err)
{
	*c = (struct client){.options = *options, .ops = ops, .arg = arg, .signals = -1};
	c->connections = calloc(options->connections, sizeof(*c->connections));
	c->ready = calloc(options->connections, sizeof(*c->ready));
	int error = 0;
	if (!c->connections || !c->ready || watch_signals(c))
		error = paste_fail(err, -ENOMEM, "no memory or descriptors for %u connections",
				   options->connections);
	if (!error)
		error = options->transport->open(c, err);
	if (!error)
		error = connect_all(c, err);
	if (error)
		client_close(c);
	return error;
}

void client_close(struct client *c)
{
	for (uint32_t i = 0; c->connections && i < c->options.connections; i++) {
		drop(c, &c->connections[i]);
		free(c->connections[i].stash);
	}
	if (c->link)
		c->options.transport->close(c);
	if (c->signals >= 0)
		close(c->signals);
	free(c->connections);
	free(c->ready);
	*c = (struct client){.signals = -1};
}

/* --- sending --- */

static void ask_next(struct client *c, uint32_t index)
{
	struct client_connection *k = &c->connections[index];

	if (c->stopping || !k->open)
		return;
	k->request.body = NULL;
	k->request.body_length = 0;
	if (!c->ops->next(c->arg, index, &k->request))
		return;
	k->sent = 0;
	k->wanted = 0;
	k->stash_length = 0;
	k->busy = true;
	c->busy++;
	c->ready[c->ready_count++] = index;
}

/* The end of a round. What must be written down is written before anything is sent. */
static int finish_round(struct client *c, uint64_t now)
{
	int error = c->ops->round(c->arg, now);

	for (uint32_t i = 0; i < c->ready_count && !error; i++) {
		struct client_connection *k = &c->connections[c->ready[i]];

		if (!k->open || !k->busy) /* lost since it was ready */
			continue;
		k->sent_at = client_now();
		c->options.transport->send(c, c->ready[i]);
	}
	c->ready_count = 0;
	return error;
}

/* --- receiving --- */

int client_stash_reserve(struct client_connection *k, size_t room)
{
	if (room <= k->stash_room)
		return 0;
	char *stash = realloc(k->stash, room);
	if (!stash)
		return -ENOMEM;
	k->stash = stash;
	k->stash_room = room;
	return 0;
}

static void deliver(struct client *c, uint32_t index, const struct http_reply *reply)
{
	struct client_connection *k = &c->connections[index];
	uint64_t now = client_now();
	bool sent_whole = k->sent == k->request.head_length + k->request.body_length;

	set_idle(c, k);
	c->answered_at = now;
	c->ops->answer(c->arg, index, reply, now - k->sent_at);
	if (k->stash_room > STASH_KEEP) {
		free(k->stash);
		k->stash = NULL;
		k->stash_room = 0;
	}
	if (reply->close || !sent_whole) { /* or no answer at all */
		drop(c, k);
		k->generation++;
		int error = c->stopping ? 0 : connect_one(c, index);
		if (error)
			client_lose(c, index, "connecting again", -error);
	}
	ask_next(c, index);
}

/* As client_take(): the answer is what was asked. */
static bool take_echo(struct client *c, uint32_t index, const char *data, size_t length)
{
	struct client_connection *k = &c->connections[index];
	const struct client_request *q = &k->request;
	struct http_reply reply = {.status = 201, .body = ""};

	k->wanted = q->head_length + q->body_length;
	if (k->busy && length < k->wanted)
		return false;
	if (!k->busy || length > k->wanted)
		client_lose(c, index, "the server sent bytes that nobody asked for", 0);
	else if (memcmp(data, q->head, q->head_length) ||
		 memcmp(data + q->head_length, q->body, q->body_length))
		client_lose(c, index, "the server sent other bytes back than it got", 0);
	else
		deliver(c, index, &reply);
	return true;
}

bool client_take(struct client *c, uint32_t index, const char *data, size_t length)
{
	struct client_connection *k = &c->connections[index];
	struct http_reply reply;

	if (c->options.udp) {
		char text[BENCH_UDP_TEXT];
		if (k->busy && bench_udp_answer(data, length, &reply, text))
			deliver(c, index, &reply);
		else
			client_lose(c, index, "the service sent something that is no answer", 0);
		return true;
	}
	if (c->options.echo)
		return take_echo(c, index, data, length);
	if (k->busy && length < k->wanted)
		return false;
	int64_t whole = k->busy ? http_reply_parse(data, length, &reply) : 0;
	if (!k->busy || (whole > 0 && (uint64_t)whole < length)) {
		client_lose(c, index, "the service sent bytes that nobody asked for", 0);
		return true;
	}
	if (whole < 0) {
		client_lose(c, index, "an answer that is not HTTP as we know it", 0);
		return true;
	}
	if (whole && (size_t)whole == length) {
		deliver(c, index, &reply);
		return true;
	}
	k->wanted = (uint64_t)whole;
	return false;
}

void client_received(struct client *c, uint32_t index, const char *data, size_t length)
{
	struct client_connection *k = &c->connections[index];
	size_t before = k->stash_length;

	c->received_bytes += length;
	/* Mostly an answer is whole and copied nowhere. */
	if (!before && client_take(c, index, data, length))
		return;
	size_t whole = before + length;
	if (client_stash_reserve(k, whole > k->wanted ? whole : k->wanted)) {
		client_lose(c, index, "receiving", ENOMEM);
		return;
	}
	memcpy(k->stash + before, data, length);
	k->stash_length = whole;
	if (before)
		client_take(c, index, k->stash, whole);
}

/* --- the loop --- */

void client_interrupt(struct client *c)
{
	struct signalfd_siginfo info;

	if (read(c->signals, &info, sizeof(info)) == sizeof(info)) {
		c->interrupted = true;
		c->stopping = true;
	}
}

/* Silence for too long, or the grace after a loss is over: nobody else will answer. */
static void give_up(struct client *c, uint64_t now)
{
	bool silent = now > c->answered_at + c->options.timeout_ns;

	if (!silent && !(c->lost && now > c->stop_at))
		return;
	for (uint32_t i = 0; i < c->options.connections; i++)
		if (c->connections[i].busy)
			client_lose(c, i, "no answer for too long", 0);
}

/* Datagrams that got no answer in time: what became of them is not known, and others follow. */
static void look_for_silence(struct client *c, uint64_t now)
{
	struct http_reply reply;
	uint64_t answered_at = c->answered_at;

	if (now < c->looked_at + LOOK_NS)
		return;
	c->looked_at = now;
	bench_udp_silence(&reply);
	reply.close = true; /* go on from another port */
	for (uint32_t i = 0; i < c->options.connections; i++) {
		const struct client_connection *k = &c->connections[i];
		if (k->open && k->busy && now > k->sent_at + BENCH_UDP_TIMEOUT_NS)
			deliver(c, i, &reply);
	}
	c->answered_at = answered_at; /* that was no answer */
}

int client_run(struct client *c)
{
	uint64_t now = client_now();

	c->answered_at = now;
	for (uint32_t i = 0; i < c->options.connections; i++)
		ask_next(c, i);
	int error = finish_round(c, now);
	uint64_t waiting = client_now();
	while (c->busy && !error) {
		uint64_t handled = c->handling_ns;
		int n = c->options.transport->wait(c, c->options.spin ? 0 : WAIT_MS);
		/* A wait that sleeps is idle time, and so is one that spins in vain. */
		now = client_now();
		if (n <= 0 || !c->options.spin)
			c->idle_ns += now - waiting - (c->handling_ns - handled);
		if (c->options.udp)
			look_for_silence(c, now);
		error = finish_round(c, now);
		give_up(c, now);
		waiting = n > 0 ? client_now() : now;
	}
	return error;
}
