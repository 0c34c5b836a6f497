/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bulk.c - much data on one connection, each way: our TCP over AF_XDP with a kernel at the other end, beside
 *a kernel with a kernel, both without the segmentation offload that AF_XDP cannot have.
 *
 *	bulk [--json] [--mib N]
 *
 *	   other end, core 0              server, core 1
 *	┌────────────────────┐         ┌────────────────────┐
 *	│ kernel, `there`    │═══veth══│ ours, or a kernel  │
 *	└────────────────────┘         └────────────────────┘
 *
 * The server takes N MiB (1024 unless told otherwise) and drops them, or sends as many, by reference from the
 *buffers of a region or from memory that is always the same. The other end connects and measures: from its
 *first byte to the end of file that says that all has come. Servers in turns, the better of two runs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tests/port/veth.h"
#include "paste/port.h"
#include "paste/stack.h"
#include "paste/tcp.h"
#include "support.h"

#define ADDRESS "10.1.1.1"
#define PORT 9000
#define CHUNK 65536
#define BUFFERS 64u /* that are sent, again and again */
#define EVENTS 256
#define RUNS 2

enum kind { OURS, KERNEL, KINDS };
enum way { TAKES, SENDS, WAYS }; /* the server */

static uint64_t bytes = 1024ull << 20;

static void must(int ret, const char *what, const struct paste_error *err)
{
	if (ret < 0)
		bench_die(what, ret, err);
}

/* Before whatever else wants the core: on a machine that is not quiet the figures would be about that. */
static void pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	sched_setaffinity(0, sizeof(set), &set);
	setpriority(PRIO_PROCESS, 0, -20);
}

/* --- a kernel's end */

static void take_until_end(int fd, uint64_t wanted)
{
	static char memory[4 * CHUNK];
	uint64_t got = 0;
	ssize_t n;

	while ((n = recv(fd, memory, sizeof(memory), 0)) > 0)
		got += (uint64_t)n;
	if (n < 0 || got != wanted)
		bench_die("not all bytes came", n < 0 ? -errno : -EIO, NULL);
}

static void send_all(int fd)
{
	static char memory[CHUNK];

	for (uint64_t left = bytes; left > 0;) {
		ssize_t n = send(fd, memory, left < CHUNK ? left : CHUNK, MSG_NOSIGNAL);
		if (n < 0)
			bench_die("send", -errno, NULL);
		left -= (uint64_t)n;
	}
	shutdown(fd, SHUT_WR);
}

static struct sockaddr_in address_of_server(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};

	inet_pton(AF_INET, ADDRESS, &a.sin_addr);
	return a;
}

static void serve_kernel(const struct veth *v, enum way way, int ready)
{
	struct sockaddr_in a = address_of_server();
	int one = 1, fd = veth_socket(v, v->here, AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1) < 0)
		bench_die("listen", -errno, NULL);
	if (write(ready, "", 1) != 1)
		bench_die("pipe", -errno, NULL);
	int conn = accept(fd, NULL, NULL);
	if (way == TAKES) {
		take_until_end(conn, bytes);
	} else {
		send_all(conn);
		take_until_end(conn, 0);
	}
	close(conn); /* the other end sees that all was taken */
	close(fd);
}

/* --- ours */

struct ours {
	struct paste_region *r;
	enum way way;
	uint32_t buffer[BUFFERS];
	uint64_t done;
	uint32_t next;
	bool shut;
};

/* As much as the queue takes; the rest when it is writable again. */
static void send_more(struct ours *o, struct paste_conn *c)
{
	uint32_t size = paste_buffer_size(o->r);

	while (o->done < bytes) {
		uint64_t left = bytes - o->done;
		struct paste_send s = {.ref = {.buffer = o->buffer[o->next % BUFFERS],
					       .length = (uint16_t)(left < size ? left : size)}};
		paste_buffer_get(o->r, s.ref.buffer);
		int ret = paste_conn_send(c, &s, 1);
		if (ret < 0)
			paste_buffer_put(o->r, s.ref.buffer);
		if (ret == -EAGAIN)
			return;
		must(ret, "send", NULL);
		o->done += s.ref.length;
		o->next++;
	}
	if (!o->shut)
		must(paste_conn_shut(c), "shut", NULL);
	o->shut = true;
}

/* False: it is over. */
static bool take_event(struct ours *o, const struct paste_event *e)
{
	switch (e->type) {
	case PASTE_EVENT_ACCEPT:
	case PASTE_EVENT_WRITABLE:
		if (o->way == SENDS)
			send_more(o, e->conn);
		return true;
	case PASTE_EVENT_DATA:
		o->done += e->slice.length;
		paste_ref_put(o->r, e->slice);
		return true;
	case PASTE_EVENT_EOF:
		if (o->done != bytes)
			bench_die("not all bytes came", -EIO, NULL);
		paste_conn_close(e->conn);
		return false;
	default:
		bench_die("the connection ended", e->error, NULL);
	}
}

static void serve_ours(enum way way, int ready)
{
	static struct paste_event events[EVENTS];
	struct paste_error err = {{0}};
	struct paste_xdp_rule rule = {
	    .address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, .port = PORT, .protocol = IPPROTO_TCP};
	struct paste_xdp_options xdp = {.ifname = VETH_HERE, .rules = &rule, .rules_n = 1};
	struct paste_tcp_options tcp = {.bare_sums = true}; /* of a veth's peer */
	struct ours o = {.way = way};
	struct paste_stack *stack;
	char path[4096];

	bench_region_create("/dev/shm", 64 << 20, path);
	struct paste_store *store = bench_open(path);
	o.r = paste_store_region(store);
	for (uint32_t i = 0; i < BUFFERS; i++)
		must(paste_buffer_alloc(o.r, &o.buffer[i]), "buffers", NULL);
	must(paste_xdp_open(o.r, &xdp, &tcp.port, &err), "AF_XDP", &err);
	must(paste_tcp_open(o.r, &tcp, &stack, &err), "stack", &err);
	must(paste_stack_listen(stack, ADDRESS ":9000", NULL, 0, &err), "listen", &err);
	if (write(ready, "", 1) != 1)
		bench_die("pipe", -errno, NULL);
	for (bool on = true; on;) {
		int n = paste_stack_poll(stack, events, EVENTS, 0);
		must(n, "poll", NULL);
		for (int i = 0; i < n && on; i++)
			on = take_event(&o, &events[i]);
	}
	/* The last acknowledgments and our FIN, until the other end has closed. */
	for (double end = bench_now() + 0.3; bench_now() < end;)
		paste_stack_poll(stack, events, EVENTS, 1000);
	paste_stack_close(stack);
	paste_port_close(tcp.port);
	for (uint32_t i = 0; i < BUFFERS; i++)
		paste_buffer_put(o.r, o.buffer[i]);
	paste_store_close(store);
	bench_region_remove(path);
}

/* --- one run */

static pid_t start(const struct veth *v, enum kind kind, enum way way)
{
	int ready[2];
	char byte;

	if (pipe(ready) < 0)
		bench_die("pipe", -errno, NULL);
	pid_t child = fork();
	if (child == 0) {
		pin(1);
		close(ready[0]);
		if (kind == OURS)
			serve_ours(way, ready[1]);
		else
			serve_kernel(v, way, ready[1]);
		exit(0);
	}
	close(ready[1]);
	if (child < 0 || read(ready[0], &byte, 1) != 1)
		bench_die("the server does not start", -EIO, NULL);
	close(ready[0]);
	return child;
}

/* MiB a second. */
static double run(const struct veth *v, enum kind kind, enum way way)
{
	struct sockaddr_in a = address_of_server();
	pid_t server = start(v, kind, way);
	int status, fd = veth_socket(v, v->there, AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		bench_die("connect", -errno, NULL);
	double began = bench_now();
	if (way == TAKES) {
		send_all(fd);
		take_until_end(fd, 0);
	} else {
		take_until_end(fd, bytes);
	}
	double took = bench_now() - began;
	close(fd);
	if (waitpid(server, &status, 0) < 0 || status != 0)
		bench_die("the server failed", -EIO, NULL);
	return (double)bytes / (1 << 20) / took;
}

static void measure(const struct veth *v, enum way way)
{
	static const char *const names[WAYS] = {"to the server", "from the server"};
	double rate[KINDS] = {0};

	for (unsigned i = 0; i < 2 * RUNS; i++) {
		enum kind kind = (i + i / 2) % 2 ? KERNEL : OURS;
		double now = run(v, kind, way);
		if (now > rate[kind])
			rate[kind] = now;
	}
	report_row(names[way]);
	report_number("ours MiB/s", rate[OURS]);
	report_number("kernel MiB/s", rate[KERNEL]);
	report_at_least(way == TAKES ? "to the server: ours / kernel" : "from the server: ours / kernel",
			rate[OURS] / rate[KERNEL], 0.9);
}

int main(int argc, char **argv)
{
	bool json = false;
	struct veth veth;
	const char *why;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--mib") == 0 && atoi(argv[i + 1]) > 0) {
			bytes = (uint64_t)atoi(argv[++i]) << 20;
		} else {
			fprintf(stderr, "usage: bulk [--json] [--mib N]\n");
			return 2;
		}
	}
	report_begin("TCP: bulk over veth, a kernel at the other end", json);
	if (!veth_namespaces(&veth, &why)) {
		report_note("not measured: %s", why);
		report_end();
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	veth_make(&veth, 1, 1500);
	veth_turn_off(&veth, veth.here, VETH_HERE, ETHTOOL_STSO);
	veth_turn_off(&veth, veth.there, VETH_THERE, ETHTOOL_STSO);
	pin(0);
	measure(&veth, TAKES);
	measure(&veth, SENDS);
	report_end();
	return 0;
}
