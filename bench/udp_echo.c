/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A question and its answer over a veth pair: the durable UDP service (shm) beside a bare AF_XDP echo, and
 * over kernel sockets. The client is a process at the other end, on AF_XDP too, with 1 or 32 questions under
 * way, each from a port of its own. Both ends spin, so each needs a core for itself.
 *
 *	udp_echo [--json] [--questions N]
 *
 *	bare echo	addresses exchanged, the frame sent back as it is
 *	bare answer	the same, cut to 8 bytes of payload: what the service answers
 *	service		checksum verified, kept in a stream, the number answered once it is durable
 *	sockets		the same service over a kernel socket
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../tests/port/veth.h"
#include "net/checksum.h"
#include "net/udp_datagrams.h"
#include "paste/port.h"
#include "port/steer.h"
#include "port/xdp.h"
#include "serve/udp_service.h"
#include "support.h"

#define SLOTS 512
#define BATCH 64
#define MEMORY (8u << 20)
#define SERVER_PORT 7000
#define CLIENT_PORT 20000
#define QUESTIONS 30000 /* of each run, unless told otherwise */
#define OUTSTANDING 32
#define ROUNDS 3
#define LOST_NS 50000000u

static struct veth veth;
static uint32_t questions = QUESTIONS;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- a socket with memory of its own, as bare as it can be --- */

struct bare {
	struct steer *steer;
	struct xdp_socket socket;
	uint8_t *memory;
};

static void bare_open(struct bare *b, const char *ifname, const struct paste_xdp_rule *rules, uint32_t n)
{
	struct steer_options o = {.ifname = ifname,
				  .ifindex = (int)if_nametoindex(ifname),
				  .queues = 1,
				  .fragments = true,
				  .native = true};
	struct paste_error err = {{0}};

	*b = (struct bare){.steer = NULL};
	b->memory =
	    mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct xdp_memory_area area = {
	    .start = b->memory, .bytes = MEMORY, .chunk = 2048, .headroom = XDP_HEADROOM};
	if (steer_open(&o, &b->steer, &err) < 0 || xdp_socket_open(&b->socket, SLOTS, &err) < 0 ||
	    xdp_socket_register(&b->socket, &area, &err) < 0)
		bench_die("bare socket", -EINVAL, &err);
	for (uint32_t i = 0; i < n; i++)
		steer_take(b->steer, &rules[i]);
	for (uint32_t i = 0; i < SLOTS; i++)
		b->socket.fill.address[b->socket.fill.mine++ & b->socket.fill.mask] = (uint64_t)i * 2048;
	xdp_ring_produced(&b->socket.fill);
	int ret = xdp_socket_bind(&b->socket, &b->socket, (unsigned)o.ifindex, 0,
				  XDP_COPY | XDP_USE_NEED_WAKEUP | XDP_USE_SG);
	if (ret < 0 || (ret = steer_socket(b->steer, 0, b->socket.fd)) < 0)
		bench_die("bare socket: bind", ret, NULL);
}

static void bare_close(struct bare *b)
{
	xdp_socket_close(&b->socket);
	steer_close(b->steer);
	munmap(b->memory, MEMORY);
}

static void bare_queue(struct bare *b, uint64_t address, uint32_t bytes)
{
	b->socket.transmit.desc[b->socket.transmit.mine++ & b->socket.transmit.mask] =
	    (struct xdp_desc){.addr = address, .len = bytes};
}

static void bare_send(struct bare *b)
{
	xdp_ring_produced(&b->socket.transmit);
	while (xdp_ring_waiting(&b->socket.transmit) > 0)
		sendto(b->socket.fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
}

/* --- the client --- */

struct order {
	uint32_t bytes, outstanding; /* bytes 0: the end */
};

struct outcome {
	double p50_us, p99_us, rate;
	uint64_t lost;
};

struct client {
	struct bare b;
	uint64_t sent_at[OUTSTANDING];
	uint32_t frame_bytes;
	double *latency;
};

static void build_question(struct client *c, uint32_t i, uint32_t bytes)
{
	struct packet_path path = {.source = {{[10] = 0xff, 0xff, 10, 1, 1, 2}},
				   .destination = {{[10] = 0xff, 0xff, 10, 1, 1, 1}}};
	uint8_t *frame = c->b.memory + (SLOTS + i) * 2048ull, payload[1500];

	memcpy(path.mac_source, VETH_THERE_MAC, 6);
	memcpy(path.mac_destination, VETH_HERE_MAC, 6);
	memset(payload, 0x5a, sizeof(payload));
	struct packet_piece piece = {payload, bytes};
	uint32_t header =
	    packet_build_udp(frame, &path, (uint16_t)(CLIENT_PORT + i), SERVER_PORT, &piece, 1, false);
	memcpy(frame + header, payload, bytes);
	c->frame_bytes = header + bytes;
}

static void ask(struct client *c, uint32_t i)
{
	c->sent_at[i] = now_ns();
	bare_queue(&c->b, (SLOTS + i) * 2048ull, c->frame_bytes);
}

/* The answers that are there; each leads to the next question. */
static uint32_t take_answers(struct client *c, uint32_t done)
{
	struct xdp_ring *in = &c->b.socket.receive, *fill = &c->b.socket.fill,
			*sent = &c->b.socket.completion;
	uint32_t n = xdp_ring_ready(in), answers = 0, complete = xdp_ring_ready(sent);
	uint64_t now = n ? now_ns() : 0;

	sent->mine += complete;
	xdp_ring_consumed(sent);
	for (uint32_t k = 0; k < n; k++) {
		const struct xdp_desc *d = &in->desc[in->mine++ & in->mask];
		const uint8_t *p = c->b.memory + d->addr;
		uint32_t i = (uint32_t)(p[36] << 8 | p[37]) - CLIENT_PORT;
		fill->address[fill->mine++ & fill->mask] = d->addr & ~2047ull;
		/* Not ours, or the second answer to what was asked again. */
		if (i >= OUTSTANDING || !c->sent_at[i] || c->sent_at[i] > now)
			continue;
		if (done + answers < questions)
			c->latency[done + answers] = (double)(now - c->sent_at[i]) / 1e3;
		answers++;
		ask(c, i);
	}
	xdp_ring_consumed(in);
	xdp_ring_produced(fill);
	if (answers)
		bare_send(&c->b);
	return answers;
}

/* A question or its answer was dropped: ask again. */
static uint64_t ask_again(struct client *c, uint32_t outstanding)
{
	uint64_t now = now_ns(), lost = 0;

	for (uint32_t i = 0; i < outstanding; i++) {
		if (now - c->sent_at[i] < LOST_NS)
			continue;
		ask(c, i);
		lost++;
	}
	if (lost)
		bare_send(&c->b);
	return lost;
}

/* Now and then look for losses, and let others run: both are rarer than any answer where each end has a core.
 */
static uint64_t idle_client(struct client *c, uint32_t outstanding, uint32_t idle)
{
	if (idle % 1024 == 0)
		sched_yield();
	return idle % 4096 == 0 ? ask_again(c, outstanding) : 0;
}

static void ask_all(struct client *c, const struct order *o, struct outcome *result)
{
	uint32_t done = 0, idle = 0;
	uint64_t start = 0;

	memset(c->sent_at, 0, sizeof(c->sent_at));
	*result = (struct outcome){.lost = 0};
	for (uint32_t i = 0; i < o->outstanding; i++) {
		build_question(c, i, o->bytes);
		ask(c, i);
	}
	bare_send(&c->b);
	for (uint32_t warm = 0; warm < questions / 10;) {
		uint32_t n = take_answers(c, questions);
		warm += n;
		if (n == 0)
			idle_client(c, o->outstanding, ++idle);
	}
	start = now_ns();
	while (done < questions) {
		uint32_t n = take_answers(c, done);
		done += n;
		if (n == 0)
			result->lost += idle_client(c, o->outstanding, ++idle);
	}
	result->rate = (double)done / ((double)(now_ns() - start) / 1e9);
	result->p50_us = bench_middle(c->latency, questions);
	result->p99_us = c->latency[questions - 1 - questions / 100];
}

_Noreturn static void client_main(int orders, int answers)
{
	struct paste_xdp_rule rule[OUTSTANDING];
	struct outcome outcome;
	struct client c = {.latency = malloc(questions * sizeof(double))};
	struct order o;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!c.latency || setns(veth.there, CLONE_NEWNET) < 0)
		bench_die("client", -errno, NULL);
	for (uint32_t i = 0; i < OUTSTANDING; i++)
		rule[i] = (struct paste_xdp_rule){.address = {[10] = 0xff, 0xff, 10, 1, 1, 2},
						  .port = (uint16_t)(CLIENT_PORT + i),
						  .protocol = IPPROTO_UDP};
	bare_open(&c.b, VETH_THERE, rule, OUTSTANDING);
	while (read(orders, &o, sizeof(o)) == sizeof(o) && o.bytes > 0) {
		ask_all(&c, &o, &outcome);
		if (write(answers, &outcome, sizeof(outcome)) != sizeof(outcome))
			break;
	}
	_exit(0);
}

/* --- the servers --- */

static const struct paste_xdp_rule server_rule = {
    .address = {[10] = 0xff, 0xff, 10, 1, 1, 1}, .port = SERVER_PORT, .protocol = IPPROTO_UDP};

struct server {
	void (*turn)(struct server *s);
	struct bare bare;
	bool cut;
	char path[4096];
	struct paste_store *store;
	struct paste_port *port;
	struct paste_datagrams *datagrams;
	struct rounds rounds;
	struct udp_service *service;
};

static void exchange(uint8_t *a, uint8_t *b, size_t n)
{
	uint8_t t[8];

	memcpy(t, a, n);
	memcpy(a, b, n);
	memcpy(b, t, n);
}

/* 8 bytes of payload, without a checksum. */
static uint32_t cut_to_answer(uint8_t *p)
{
	static const uint8_t lengths[4] = {0, 36, 0, 16};

	memcpy(p + 16, lengths, 2);
	memcpy(p + 38, lengths + 2, 2);
	memset(p + 40, 0, 2);
	memset(p + 24, 0, 2);
	uint32_t sum = 0;
	for (unsigned i = 14; i < 34; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	p[24] = (uint8_t)(sum >> 8);
	p[25] = (uint8_t)sum;
	return 50;
}

static void bare_turn(struct server *s)
{
	struct xdp_ring *in = &s->bare.socket.receive, *fill = &s->bare.socket.fill,
			*sent = &s->bare.socket.completion;
	uint32_t n = xdp_ring_ready(in);

	if (n == 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = &in->desc[in->mine++ & in->mask];
		uint8_t *p = s->bare.memory + d->addr;
		exchange(p, p + 6, 6);
		exchange(p + 26, p + 30, 4);
		exchange(p + 34, p + 36, 2);
		bare_queue(&s->bare, d->addr, s->cut ? cut_to_answer(p) : d->len);
	}
	xdp_ring_consumed(in);
	bare_send(&s->bare);
	uint32_t done = xdp_ring_ready(sent);
	for (uint32_t i = 0; i < done; i++)
		fill->address[fill->mine++ & fill->mask] =
		    sent->address[sent->mine++ & sent->mask] & ~2047ull;
	xdp_ring_consumed(sent);
	xdp_ring_produced(fill);
}

static void service_turn_once(struct server *s)
{
	int n = udp_service_take(s->service);

	if (n < 0)
		bench_die("receive", n, NULL);
	if (n == 0)
		return;
	rounds_step(&s->rounds);
	udp_service_answer(s->service);
	paste_store_maintain(s->store, false);
}

static void open_bare_server(struct server *s, bool cut)
{
	*s = (struct server){.turn = bare_turn, .cut = cut};
	bare_open(&s->bare, VETH_HERE, &server_rule, 1);
}

static void open_service(struct server *s, bool sockets)
{
	struct paste_xdp_options o = {
	    .ifname = VETH_HERE, .mode = PASTE_XDP_COPY, .slots = SLOTS, .rules = &server_rule, .rules_n = 1};
	struct paste_error err = {{0}};
	char bound[64];
	int ret = 0;

	*s = (struct server){.turn = service_turn_once};
	bench_region_create("/dev/shm", 512u << 20, s->path);
	s->store = bench_open(s->path);
	struct paste_region *region = paste_store_region(s->store);
	if (sockets) {
		ret = paste_sock_datagrams_open(region, "10.1.1.1:7000", &s->datagrams, bound, sizeof(bound),
						&err);
	} else {
		ret = paste_xdp_open(region, &o, &s->port, &err);
		struct udp_options udp = {.port = s->port, .udp_port = SERVER_PORT, .bare_sums = true};
		if (ret == 0)
			ret = udp_datagrams_open(&udp, &s->datagrams, &err);
	}
	if (ret == 0)
		ret = rounds_init(&s->rounds, s->store, &err);
	struct udp_service_options service = {
	    .datagrams = s->datagrams, .rounds = &s->rounds, .stream = "udp"};
	if (ret == 0)
		ret = udp_service_open(&service, &s->service, &err);
	if (ret < 0)
		bench_die("service", ret, &err);
}

static void close_server(struct server *s)
{
	if (!s->store) {
		bare_close(&s->bare);
		return;
	}
	udp_service_close(s->service);
	paste_datagrams_close(s->datagrams);
	paste_port_close(s->port);
	paste_store_close(s->store);
	bench_region_remove(s->path);
}

/* --- measuring --- */

enum { ECHO, ANSWER, SERVICE, SOCKETS, WAYS };

static const char *const names[] = {"bare echo", "bare answer", "service", "service over sockets"};

static void open_way(struct server *s, int way)
{
	if (way == ECHO || way == ANSWER)
		open_bare_server(s, way == ANSWER);
	else
		open_service(s, way == SOCKETS);
}

/* The client measures while the server turns; a pipe that does not block says when it is done. */
static struct outcome run(struct server *s, int orders, int answers, uint32_t bytes, uint32_t outstanding)
{
	struct order o = {bytes, outstanding};
	struct outcome outcome;

	if (write(orders, &o, sizeof(o)) != sizeof(o))
		bench_die("order", -errno, NULL);
	for (;;) {
		for (unsigned i = 0; i < 1024; i++)
			s->turn(s);
		sched_yield();
		ssize_t n = read(answers, &outcome, sizeof(outcome));
		if (n == sizeof(outcome))
			return outcome;
		if (n == 0)
			bench_die("the client is gone", -EPIPE, NULL);
	}
}

static void measure(int orders, int answers, uint32_t bytes)
{
	double p50[WAYS][ROUNDS], p99[WAYS][ROUNDS], alone[WAYS][ROUNDS], many[WAYS][ROUNDS],
	    lost[WAYS] = {0};
	char name[96];

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (int way = 0; way < WAYS; way++) {
			struct server s;
			open_way(&s, way);
			struct outcome one = run(&s, orders, answers, bytes, 1);
			struct outcome all = run(&s, orders, answers, bytes, OUTSTANDING);
			close_server(&s);
			p50[way][round] = one.p50_us;
			p99[way][round] = one.p99_us;
			alone[way][round] = one.rate;
			many[way][round] = all.rate;
			lost[way] += (double)(one.lost + all.lost);
		}
	}
	double middle[WAYS], rate[WAYS];
	for (int way = 0; way < WAYS; way++) {
		snprintf(name, sizeof(name), "%u B, %s", bytes, names[way]);
		report_row(name);
		report_number("p50_us", middle[way] = bench_middle(p50[way], ROUNDS));
		report_number("p99_us", bench_middle(p99[way], ROUNDS));
		report_number("k/s, 1", bench_middle(alone[way], ROUNDS) / 1e3);
		report_number("k/s, 32", (rate[way] = bench_middle(many[way], ROUNDS)) / 1e3);
		report_number("lost", lost[way]);
	}
	snprintf(name, sizeof(name), "%u B: p50 of the service / of a bare echo", bytes);
	report_at_most(name, middle[SERVICE] / middle[ECHO], 1.3);
	snprintf(name, sizeof(name), "%u B: rate of the service at 32 / of a bare echo", bytes);
	report_at_least(name, rate[SERVICE] / rate[ECHO], 0.5);
}

int main(int argc, char **argv)
{
	bool json = false;
	int orders[2], answers[2];
	const char *why;

	report_begin(
	    "Durable UDP over veth: a question and its answer, beside a bare AF_XDP echo and kernel sockets",
	    json);
	if (!veth_namespaces(&veth, &why)) {
		report_note("not measured: %s", why);
		report_end();
		return 0;
	}
	veth_make(&veth, 1, 1500);
	if (pipe(orders) < 0 || pipe2(answers, O_NONBLOCK) < 0)
		bench_die("pipe", -errno, NULL);
	pid_t pid = fork();
	if (pid < 0)
		bench_die("fork", -errno, NULL);
	if (pid == 0) {
		close(orders[1]);
		client_main(orders[0], answers[1]);
	}
	close(orders[0]);
	close(answers[1]);
	measure(orders[1], answers[0], 64);
	measure(orders[1], answers[0], 1024);
	struct order end = {0, 0};
	if (write(orders[1], &end, sizeof(end)) == sizeof(end))
		waitpid(pid, NULL, 0);
	report_note("both ends spin, a core each; %d questions a run, median of %d rounds", questions,
		    ROUNDS);
	report_end();
	return 0;
}
