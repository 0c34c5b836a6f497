/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_echo.c - round trips of an echo over a pipe, both ends our TCP, both on one core.
 *
 *	tcp_echo [--json] [--seconds N]
 *
 * Each connection has one message under way: the client sends, the server sends the slice that it received back by
 * reference, the client sends the next one. Turns of both ends follow each other. The pipe moves buffers; what is
 * sent by reference and not copied behind the headers it copies, as a device would.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/address.h"
#include "net/tcp_stack.h"
#include "support.h"

#define EVENTS 512
#define CLIENT 0
#define SERVER 1

struct bench {
	struct paste_region *r;
	struct paste_port *port[2];
	struct paste_stack *stack[2];
	uint32_t length;
	uint64_t replies;
	uint8_t message[4096];
	struct paste_event events[EVENTS];
};

/* Seconds of this thread: it never waits, and others on the machine are seen as little as may be. */
static double thread_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t real_us(void *arg)
{
	return (uint64_t)(bench_now() * 1e6);
}

static int neighbour(void *arg, const uint8_t address[16], uint8_t mac[6])
{
	memset(mac, 2, 6);
	return 0;
}

static void must(int ret, const char *what)
{
	if (ret < 0)
		bench_die(what, ret, NULL);
}

static void open_ends(struct bench *b, uint32_t connections)
{
	struct paste_error err = {{0}};
	struct paste_conn *c;

	must(paste_pipe_open(b->r, b->r, 256, b->port, &err), "pipe");
	for (int end = 0; end < 2; end++) {
		struct paste_tcp_options o = {.port = b->port[end], .any_mac = true, .limits.connections = connections};
		struct net_address a;
		net_address_parse(end ? "10.0.0.2" : "10.0.0.1", &a);
		memcpy(o.address4, &a, 16);
		o.neighbour = neighbour;
		o.clock = real_us;
		must(paste_tcp_open(b->r, &o, &b->stack[end], &err), "stack");
	}
	must(paste_stack_listen(b->stack[SERVER], "10.0.0.2:7", NULL, 0, &err), "listen");
	for (uint32_t i = 0; i < connections; i++)
		must(paste_stack_connect(b->stack[CLIENT], "10.0.0.2:7", &c, &err), "connect");
}

static void send_message(struct bench *b, struct paste_conn *c)
{
	struct paste_send s = {.inline_bytes = b->message, .inline_length = b->length};

	must(paste_conn_send(c, &s, 1), "send");
}

static void client_turn(struct bench *b, uint64_t now)
{
	int n = tcp_turn(b->stack[CLIENT], now, b->events, EVENTS);

	must(n, "turn");
	for (int i = 0; i < n; i++) {
		struct paste_event *e = &b->events[i];
		if (e->type == PASTE_EVENT_CONNECT) {
			paste_conn_set_user(e->conn, NULL);
			send_message(b, e->conn);
		} else if (e->type == PASTE_EVENT_DATA) {
			/* A message may come in parts: how much of it is here stands in the user pointer. */
			uintptr_t got = (uintptr_t)e->conn->user + e->slice.length;
			paste_ref_put(b->r, e->slice);
			if (got == b->length) {
				b->replies++;
				send_message(b, e->conn);
				got = 0;
			}
			paste_conn_set_user(e->conn, (void *)got);
		} else {
			bench_die("a connection ended", e->error, NULL);
		}
	}
}

static void server_turn(struct bench *b, uint64_t now)
{
	int n = tcp_turn(b->stack[SERVER], now, b->events, EVENTS);

	must(n, "turn");
	for (int i = 0; i < n; i++) {
		struct paste_send back = {.ref = b->events[i].slice};
		if (b->events[i].type == PASTE_EVENT_DATA)
			must(paste_conn_send(b->events[i].conn, &back, 1), "echo");
	}
}

static double rate(struct bench *b, uint32_t connections, uint32_t length, double seconds)
{
	b->length = length;
	open_ends(b, connections);
	double begin = thread_now(), start = 0, now;
	uint64_t before = 0;
	do {
		for (int i = 0; i < 64; i++) {
			uint64_t us = (uint64_t)(bench_now() * 1e6);
			client_turn(b, us);
			server_turn(b, us);
		}
		now = thread_now();
		if (!start && now - begin > seconds / 5) {
			start = now;
			before = b->replies;
		}
	} while (now - begin < seconds);
	double result = (double)(b->replies - before) / (now - start);
	for (int end = 0; end < 2; end++)
		paste_stack_close(b->stack[end]);
	for (int end = 0; end < 2; end++)
		paste_port_close(b->port[end]);
	return result;
}

int main(int argc, char **argv)
{
	static struct bench b;
	double seconds = 1;
	bool json = false;
	char path[4096];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0 && atof(argv[i + 1]) > 0) {
			seconds = atof(argv[++i]);
		} else {
			fprintf(stderr, "usage: tcp_echo [--json] [--seconds N]\n");
			return 2;
		}
	}
	bench_region_create("/dev/shm", 64 << 20, path);
	struct paste_store *store = bench_open(path);
	b.r = paste_store_region(store);
	report_begin("TCP: echo over a pipe, both ends on one core", json);
	static const struct {
		const char *name;
		uint32_t connections, length;
	} cases[] = {{"64 B, 1 connection", 1, 64},
		     {"64 B, 32 connections", 32, 64},
		     {"64 B, 1,000 connections", 1000, 64},
		     {"1 KiB, 32 connections", 32, 1024}};
	double bound = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double per_second = rate(&b, cases[i].connections, cases[i].length, seconds);
		report_row(cases[i].name);
		report_number("round trips/s", per_second);
		if (i == 1)
			bound = per_second;
	}
	report_at_least("64 B, 32 connections, round trips/s", bound, 1.5e6);
	report_end();
	paste_store_close(store);
	bench_region_remove(path);
	return 0;
}
