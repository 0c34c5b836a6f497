/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_stack.c - the stack: opening, turns, polling, watching, closing. */
#include "net/tcp_stack.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "net/tcp_conn.h"

#define PACKETS_A_TURN 512
#define WATCH_US 20         /* a spinning poll without events looks at watched descriptors so often, */
#define WATCH_BUSY_US 1000  /* and one with events */
#define BLOCKED_WAIT_US 100 /* the transmit ring is full, or a watched stack has no descriptor of its own */
#define SACKS_MOST 4096
#define RESERVE_MOST 256

/* --- opening */

static uint64_t monotonic_us(void *arg)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void choose_options(struct tcp *t, const struct paste_tcp_options *given)
{
	struct paste_tcp_options *o = &t->options;
	uint64_t region = (uint64_t)paste_buffer_count(t->region) * paste_buffer_size(t->region);

	*o = *given;
	o->limits.connections = o->limits.connections ? o->limits.connections : 16384;
	o->limits.send_bytes = o->limits.send_bytes ? o->limits.send_bytes : 256 << 10;
	o->half_open = o->half_open ? o->half_open : 1024;
	o->time_wait = o->time_wait ? o->time_wait : 16384;
	o->delayed_ack_us = o->delayed_ack_us ? o->delayed_ack_us : 40000;
	o->user_timeout_us = o->user_timeout_us ? o->user_timeout_us : 120000000;
	o->linger_us = o->linger_us ? o->linger_us : 10000000;
	o->gather_bytes = o->gather_bytes ? o->gather_bytes : given->port->info.gather_bytes;
	o->first_port = o->first_port ? o->first_port : 49152;
	o->last_port = o->last_port >= o->first_port ? o->last_port : UINT16_MAX;
	o->clock = o->clock ? o->clock : monotonic_us;
	if (!o->receive_window)
		o->receive_window = region / 16 < 256 << 10 ? (uint32_t)(region / 16) : 256 << 10;
}

static void choose_window(struct tcp *t)
{
	uint32_t window = t->options.receive_window < 2048 ? 2048 : t->options.receive_window;

	if (window > 1u << 29)
		window = 1u << 29;
	while (t->window_scale < TCP_SCALE_MAX && window > (uint32_t)UINT16_MAX << t->window_scale)
		t->window_scale++;
	t->window_max = window >> t->window_scale << t->window_scale;
	uint32_t half = paste_buffer_size(t->region) / 2;
	t->buffers_max = (t->window_max + half - 1) / half + 1;
	t->keep_reserve = paste_buffer_count(t->region) / 16;
	if (t->keep_reserve > RESERVE_MOST)
		t->keep_reserve = RESERVE_MOST;
}

static int secrets(struct tcp *t, uint64_t key[5])
{
	uint64_t secret[8], x = t->options.seed;

	if (!x && getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		return -EIO;
	for (int i = 0; x && i < 8; i++)
		secret[i] = siphash((uint64_t[2]){x, (uint64_t)i}, (const uint8_t *)"seed", 4);
	memcpy(key, secret, 5 * sizeof(*key));
	memcpy(t->isn_key, secret + 5, sizeof(t->isn_key));
	t->next_port = (uint16_t)(t->options.first_port +
				  secret[7] % ((uint32_t)t->options.last_port - t->options.first_port + 1));
	return 0;
}

static void *lazy(size_t bytes)
{
	void *p =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static size_t conns_bytes(const struct tcp *t)
{
	return (size_t)t->conns_max * sizeof(struct tcp_conn);
}

static void free_pools(struct tcp *t)
{
	tcp_table_close(&t->table);
	queue_pool_close(&t->queue_pool);
	hold_pool_close(&t->hold_pool);
	if (t->conns)
		munmap(t->conns, conns_bytes(t));
	if (t->sacks)
		munmap(t->sacks, t->sacks_n * sizeof(*t->sacks));
	free(t->port_users);
	net_close(t->net);
	free(t);
}

static int open_pools(struct tcp *t)
{
	uint64_t key[5], connections = t->options.limits.connections;
	int rc = secrets(t, key);

	if (rc)
		return rc;
	t->conns_max = t->conns_untouched =
	    t->options.limits.connections + t->options.half_open + t->options.time_wait + 64;
	t->conns = lazy(conns_bytes(t));
	t->sacks_n = connections < SACKS_MOST ? (uint32_t)connections : SACKS_MOST;
	t->sacks = lazy(t->sacks_n * sizeof(*t->sacks));
	if (t->options.steer)
		t->port_users = calloc(UINT16_MAX + 1, sizeof(*t->port_users));
	if (!t->conns || !t->sacks || (t->options.steer && !t->port_users))
		return -ENOMEM;
	for (uint32_t i = t->sacks_n; i > 0; i--) {
		t->sacks[i - 1].next = t->sacks_free;
		t->sacks_free = &t->sacks[i - 1];
	}
	/* A block for each connection, and enough for thousands of full queues of copied bytes. */
	rc = queue_pool_open(&t->queue_pool, (uint32_t)(connections * 2 + 65536));
	if (rc == 0)
		rc = hold_pool_open(&t->hold_pool, t->region, paste_buffer_count(t->region));
	return rc ? rc : tcp_table_open(&t->table, t->conns_max, key);
}

int paste_tcp_open(struct paste_region *region, const struct paste_tcp_options *options,
		   struct paste_stack **stack, struct paste_error *err)
{
	struct tcp *t = calloc(1, sizeof(*t));
	struct net_options net = {
	    .port = options->port, .any_mac = options->any_mac, .bare_sums = options->bare_sums};

	if (!t)
		return paste_fail(err, -ENOMEM, "out of memory");
	t->base.ops = &tcp_ops;
	t->region = region;
	choose_options(t, options);
	choose_window(t);
	t->mtu = options->port->info.mtu ? options->port->info.mtu : 1500;
	t->now = t->options.clock(t->options.arg);
	wheel_init(&t->wheel, t->now / 1000);
	link_init(&t->unused);
	link_init(&t->freed);
	link_init(&t->output);
	link_init(&t->ready);
	link_init(&t->half_open);
	link_init(&t->time_wait);
	int rc = net_open(&net, &t->net, err);
	if (rc < 0) {
		free(t);
		return rc;
	}
	rc = open_pools(t);
	struct net_handler handler = {.protocol = PACKET_PROTOCOL_TCP,
				      .arg = t,
				      .prepare = tcp_prepare,
				      .approach = tcp_approach,
				      .receive = tcp_receive};
	if (rc == 0)
		rc = net_attach(t->net, &handler);
	if (rc < 0) {
		free_pools(t);
		return paste_fail(err, rc, "no memory for a stack of %u connections",
				  options->limits.connections);
	}
	*stack = &t->base;
	return 0;
}

static void tcp_close(struct paste_stack *base)
{
	struct tcp *t = tcp_of(base);

	t->events_max = 0;
	for (uint32_t i = 0; i < t->conns_max - t->conns_untouched; i++) {
		struct tcp_conn *c = &t->conns[i];
		if (c->in_table) {
			if (c->state != TCP_SYN_SENT && c->state != TCP_TIME_WAIT)
				tcp_send_own_reset(c);
			tcp_conn_die(c, c->told && !c->given_up ? -ECONNABORTED : 0);
		}
		tcp_hold_drop(&t->hold_pool, &c->hold);
	}
	net_flush(t->net);
	free_pools(t);
}

/* --- turns */

static bool events_full(void *arg)
{
	const struct tcp *t = arg;

	return t->events_n >= t->events_max;
}

static int send_all(struct tcp *t)
{
	tcp_output_all(t);
	return net_flush(t->net);
}

static uint32_t posted(const struct tcp *t)
{
	struct paste_port *port = net_port(t->net);
	uint32_t n = 0;

	for (uint32_t q = 0; q < port->info.queues; q++)
		n += port->ops->posted(port, q);
	return n;
}

/* A flow comes over one queue: the others' buffers do not help a queue that has none, which would not even hear what makes
 * room again. So the queue that has the least counts for each. */
uint32_t tcp_rings_spare(struct paste_port *port)
{
	uint32_t least = UINT32_MAX, half = port->receive[0].size / 2;

	for (uint32_t q = 0; q < port->info.queues; q++) {
		uint32_t here = port->ops->posted(port, q);
		least = here < least ? here : least;
	}
	return least > half ? (least - half) * port->info.queues : 0;
}

/* Buffers that connections may take to hold what arrives, above those that are left to acknowledge, to answer
 * and to receive the acknowledgments of that. A region that is full for good must be read and deleted from: then
 * what is taken is half of what the rings have. It comes back with the answers. */
static void count_room(struct tcp *t)
{
	uint32_t free_buffers = paste_buffer_free(t->region);

	if (free_buffers > t->keep_reserve)
		t->keep = free_buffers - t->keep_reserve;
	else
		t->keep = tcp_rings_spare(net_port(t->net));
}

static int receive_all(struct tcp *t, struct paste_event *events, int max)
{
	t->events = events;
	t->events_n = 0;
	t->events_max = max;
	tcp_event_tell_ready(t);
	int rc = net_receive(t->net, PACKETS_A_TURN, events_full, t);
	t->events_max = t->events_n;
	return rc < 0 ? rc : t->events_n;
}

int tcp_turn(struct paste_stack *s, uint64_t now_us, struct paste_event *events, int max)
{
	struct tcp *t = tcp_of(s);

	if (now_us > t->now)
		t->now = now_us;
	tcp_conn_reuse_freed(t);
	count_room(t);
	tcp_timers_run(t);
	int rc = send_all(t);
	return rc < 0 ? rc : receive_all(t, events, max);
}

uint64_t tcp_next(const struct paste_stack *s)
{
	const struct tcp *t = tcp_of(s);

	return link_empty(&t->output) && link_empty(&t->ready) ? tcp_timers_next(t) : t->now;
}

/* --- polling */

static int tcp_watch(struct paste_stack *base, int fd, uint64_t cookie)
{
	struct tcp *t = tcp_of(base);

	if (t->watches == TCP_WATCHES)
		return -ENOSPC;
	t->watch[t->watches++] = (struct tcp_watch){fd, cookie};
	return 0;
}

static int look_at_watches(struct tcp *t, struct paste_event *events, int n, int max)
{
	struct pollfd fds[TCP_WATCHES];
	bool soon = n == 0;

	if (t->watches == 0 || t->now - t->watched_at < (soon ? WATCH_US : WATCH_BUSY_US))
		return n;
	t->watched_at = t->now;
	for (uint32_t i = 0; i < t->watches; i++)
		fds[i] = (struct pollfd){.fd = t->watch[i].fd, .events = POLLIN};
	if (poll(fds, t->watches, 0) <= 0)
		return n;
	for (uint32_t i = 0; i < t->watches && n < max; i++) {
		if (fds[i].revents)
			events[n++] =
			    (struct paste_event){.type = PASTE_EVENT_FD, .cookie = t->watch[i].cookie};
	}
	return n;
}

/* Until a packet comes, a watched descriptor is readable, or `us` have passed. False: a signal came. */
static bool wait_for(struct tcp *t, uint64_t us)
{
	struct paste_port *port = net_port(t->net);
	struct pollfd fds[1 + TCP_WATCHES];
	int fd = port->ops->fd(port);

	t->watched_at = 0;
	if (fd < 0 || t->watches == 0)
		return paste_port_poll(port, us > INT64_MAX ? -1 : (int64_t)us) >= 0;
	fds[0] = (struct pollfd){.fd = fd, .events = POLLIN};
	for (uint32_t i = 0; i < t->watches; i++)
		fds[1 + i] = (struct pollfd){.fd = t->watch[i].fd, .events = POLLIN};
	struct timespec time = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
	return ppoll(fds, 1 + t->watches, us == TCP_NEVER ? NULL : &time, NULL) >= 0;
}

static uint64_t wait_until(const struct tcp *t, uint64_t deadline)
{
	uint64_t next = tcp_timers_next(t);

	if (!link_empty(&t->output)) /* no slot was free for it */
		next = t->now + BLOCKED_WAIT_US;
	return next < deadline ? next : deadline;
}

static int tcp_poll(struct paste_stack *base, struct paste_event *events, int max, int64_t timeout_us)
{
	struct tcp *t = tcp_of(base);
	uint64_t start = t->options.clock(t->options.arg), now = start;
	uint64_t deadline = timeout_us < 0 ? TCP_NEVER : start + (uint64_t)timeout_us;

	for (;;) {
		int n = tcp_turn(base, now, events, max);
		if (n < 0)
			return n;
		n = look_at_watches(t, events, n, max);
		bool others = net_came(t->net);
		if (n > 0 || now >= deadline || others)
			return n;
		/* What was received may have called forth acknowledgments: they leave before the sleep. */
		int rc = send_all(t);
		if (rc < 0)
			return rc;
		net_reclaim(t->net);
		uint64_t until = wait_until(t, deadline);
		if (until > now && link_empty(&t->ready) &&
		    !wait_for(t, until == TCP_NEVER ? until : until - now))
			return 0;
		now = t->options.clock(t->options.arg);
	}
}

struct net *tcp_net(struct paste_stack *s)
{
	return tcp_of(s)->net;
}

static void tcp_stats(const struct paste_stack *base, struct paste_stack_stats *stats)
{
	const struct tcp *t = tcp_of(base);

	*stats = t->stats;
	stats->connections = t->full_n - t->delivered_n;
	stats->waiting = t->keep == 0 ? t->full_n : 0;
	stats->posted = posted(t);
}

void paste_tcp_stats(const struct paste_stack *base, struct paste_tcp_stats *stats)
{
	const struct tcp *t = tcp_of(base);
	struct net_stats net;

	net_stats(t->net, &net);
	*stats = t->counters;
	stats->copied = t->hold_pool.copied;
	stats->copied_bytes = t->hold_pool.copied_bytes;
	stats->flushes = net.flushes;
	for (int i = 0; i < PACKET_CHECKS; i++)
		stats->refused += net.refused[i];
	stats->half_open = t->half_open_n;
	stats->waiting_time = t->time_wait_n;
	stats->held_pieces = t->hold_pool.used;
	stats->send_blocks = t->queue_pool.used;
}

static struct paste_conn *tcp_next_conn(const struct paste_stack *s, uint32_t *cursor)
{
	const struct tcp *t = tcp_of(s);

	while (*cursor < t->conns_max - t->conns_untouched) {
		struct tcp_conn *c = &t->conns[(*cursor)++];
		if (c->in_table)
			return &c->base;
	}
	return NULL;
}

const struct paste_stack_ops tcp_ops = {
    .close = tcp_close,
    .listen = tcp_listen,
    .unlisten = tcp_unlisten,
    .watch = tcp_watch,
    .poll = tcp_poll,
    .stats = tcp_stats,
    .send = tcp_conn_send,
    .unsent = tcp_conn_unsent,
    .pause = tcp_conn_pause,
    .resume = tcp_conn_resume,
    .finish = tcp_conn_finish,
    .abort = tcp_conn_abort,
    .peer = tcp_conn_peer,
    .connect = tcp_connect,
    .shut = tcp_conn_shut,
    .info = tcp_conn_info,
    .next = tcp_next_conn,
};
