/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_tcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_middlebox.h"
#include "net/address.h"
#include "net/tcp_stack.h"
#include "port/wire_inside.h"
#include "region/landing.h"

#define SERVICE 0 /* ports */
#define CLIENTS 1
#define MIDDLEBOX 2
#define PORTS 3
#define CLIENT_BYTES (1u << 20)
#define LONGEST_US 300000       /* that a turn takes */
#define PATIENCE_US 3600000000u /* no connection is given up for what is lost on the wire */
#define ABSENT 3                /* turns without it after which a connection is gone for good */

struct bytes {
	uint8_t *at;
	size_t n, room;
};

struct tcp_line {
	struct http_tcp *net;
	struct tcp_line *next;
	struct paste_conn *conn; /* the client's end; NULL: it is no more */
	uint16_t port;
	struct bytes out; /* that the client wants to send */
	size_t given;     /* of it to its stack */
	bool blocked, ends, shut, lost;
	struct bytes up;  /* that went into the wire, from sequence number up_first on */
	struct bytes got; /* that left the service, from `first` on */
	uint32_t up_first, first, acknowledged;
	size_t arrived; /* of got */
	bool answered;  /* the service's SYN has left */
	bool over;      /* its FIN has */
	uint32_t absent;
	struct packet_path path; /* of the client's reset, if there was one, and the segment */
	struct tcp_segment reset;
};

struct http_tcp {
	struct http_world *w;
	struct wire *wire;
	struct paste_port *port[PORTS];
	struct paste_region *region; /* the clients' */
	struct paste_stack *clients;
	struct middlebox box;
	struct tcp_line *lines;
	struct sim_random random;
	uint32_t send_most; /* bytes that a client sends at once */
	bool closing;
	uint64_t closed_windows;
};

static void demand(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "over TCP: %s\n", what);
	abort();
}

static void push(struct bytes *b, const void *bytes, size_t n)
{
	if (b->n + n + 1 > b->room) {
		b->room = 2 * (b->n + n + 1);
		b->at = realloc(b->at, b->room);
		demand(b->at, "out of memory");
	}
	memcpy(b->at + b->n, bytes, n);
	b->n += n;
	b->at[b->n] = 0;
}

/* Bytes that are said for the first time, or again and the same. */
static void say(struct bytes *b, uint32_t at, const uint8_t *bytes, uint32_t n, const char *otherwise)
{
	demand(at <= b->n, "a segment leaves before those in front of it");
	uint32_t again = at + n < b->n ? n : (uint32_t)(b->n - at);
	demand(memcmp(b->at + at, bytes, again) == 0, otherwise);
	push(b, bytes + again, n - again);
}

/* --- what goes by on the wire */

static struct tcp_line *line_of(const struct http_tcp *t, uint16_t port)
{
	struct tcp_line *l = t->lines;

	while (l && l->port != port)
		l = l->next;
	return l;
}

static bool parse(const uint8_t *frame, uint32_t length, struct packet *p, struct tcp_segment *s)
{
	const struct packet_options any = {.vlan = PACKET_VLAN_ANY};
	struct packet_piece piece = {frame, length};

	return !packet_parse(&piece, 1, &any, p) && !tcp_segment_parse(&piece, 1, false, p, s);
}

static void look_at_window(struct http_tcp *t, const struct tcp_segment *s)
{
	t->closed_windows += (s->flags & (TCP_ACK | TCP_RST)) == TCP_ACK && s->window == 0;
}

static void service_sent(struct http_tcp *t, const uint8_t *frame, uint32_t length)
{
	struct packet p;
	struct tcp_segment s;

	demand(parse(frame, length, &p, &s), "the service sends a packet that is none");
	struct tcp_line *l = line_of(t, s.destination_port);
	demand(l, "the service sends to nobody");
	if ((s.flags & TCP_SYN) && l->got.n == 0) {
		l->first = s.seq + 1;
		l->answered = true;
	}
	if (s.length)
		say(&l->got, s.seq - l->first, frame + s.payload, s.length,
		    "bytes that were sent once are sent again as others");
	if ((s.flags & TCP_ACK) && !(s.flags & (TCP_SYN | TCP_RST)) && l->up.n &&
	    seq_after(s.ack, l->up_first + l->acknowledged))
		l->acknowledged = s.ack - l->up_first < l->up.n ? s.ack - l->up_first : (uint32_t)l->up.n;
	look_at_window(t, &s);
	l->over |= s.flags & TCP_FIN;
	sim_event(t->w->m);
}

static void tap(void *arg, uint64_t now_ns, uint32_t port, enum wire_fate fate, const uint8_t *frame,
		uint32_t length)
{
	struct http_tcp *t = arg;

	if (fate == WIRE_SENT && port == SERVICE && !t->closing)
		service_sent(t, frame, length);
}

/* Clients' segments come by the middlebox. */
static bool client_sent(void *arg, uint64_t now_ns, uint32_t port, uint8_t *frame, uint32_t length)
{
	struct http_tcp *t = arg;
	struct packet p;
	struct tcp_segment s;

	if (port != CLIENTS || t->closing || !parse(frame, length, &p, &s))
		return false;
	struct tcp_line *l = line_of(t, s.source_port);
	if (!l)
		return false;
	look_at_window(t, &s);
	if (s.flags & TCP_SYN)
		l->up_first = s.seq + 1;
	if (s.flags & TCP_RST) {
		l->path = p.path;
		l->reset = s;
	}
	if (!s.length)
		return false;
	say(&l->up, s.seq - l->up_first, frame + s.payload, s.length, "a client's bytes change");
	struct middlebox_stream stream = {l->up.at, (uint32_t)l->up.n, l->up_first, l->acknowledged};
	return middlebox_sees(&t->box, &p.path, &s, &stream);
}

/* --- the clients */

static void send_some(struct tcp_line *l)
{
	struct http_tcp *t = l->net;

	while (l->conn && !l->blocked && l->given < l->out.n) {
		size_t n = sim_between(&t->random, 1, t->send_most);
		n = l->out.n - l->given < n ? l->out.n - l->given : n;
		struct paste_send piece = {.inline_bytes = l->out.at + l->given,
					   .inline_length = (uint32_t)n};
		int rc = paste_conn_send(l->conn, &piece, 1);

		if (rc == -EPIPE)
			return; /* ERROR follows */
		l->blocked = rc == -EAGAIN;
		demand(rc == 0 || l->blocked, "a client cannot send");
		l->given += l->blocked ? 0 : n;
	}
	if (l->conn && l->ends && !l->shut && l->given == l->out.n) {
		paste_conn_shut(l->conn);
		l->shut = true;
	}
}

static void arrives(struct tcp_line *l, struct paste_ref slice)
{
	demand(l->arrived + slice.length <= l->got.n &&
		   memcmp(l->got.at + l->arrived, paste_ref_data(l->net->region, slice), slice.length) == 0,
	       "what arrives is not what left");
	l->arrived += slice.length;
	paste_ref_put(l->net->region, slice);
}

static void handle(const struct paste_event *e)
{
	struct tcp_line *l = e->conn->user;

	switch (e->type) {
	case PASTE_EVENT_DATA:
		arrives(l, e->slice);
		break;
	case PASTE_EVENT_WRITABLE:
		l->blocked = false;
		break;
	case PASTE_EVENT_EOF:
	case PASTE_EVENT_ERROR:
		l->lost = true;
		if (l->conn)
			paste_conn_close(l->conn);
		l->conn = NULL;
		break;
	case PASTE_EVENT_ACCEPT:
	case PASTE_EVENT_CONNECT:
	case PASTE_EVENT_RELEASED:
	case PASTE_EVENT_FD:
		break;
	}
}

/* --- time */

static uint64_t next_us(const struct http_tcp *t)
{
	uint64_t next = wire_next(t->wire), service = tcp_next(t->w->stack), clients = tcp_next(t->clients);

	next = next == WIRE_NEVER ? next : next / 1000 + 1;
	next = service < next ? service : next;
	return clients < next ? clients : next;
}

/* Which connections the service's stack has. */
static void look_who_is_there(struct http_tcp *t)
{
	struct paste_conn *c;
	uint32_t cursor = 0;

	for (struct tcp_line *l = t->lines; l; l = l->next)
		l->absent++;
	while ((c = paste_stack_next(t->w->stack, &cursor))) {
		char peer[64];
		paste_conn_peer(c, peer, sizeof(peer));
		struct tcp_line *l = line_of(t, (uint16_t)atoi(strrchr(peer, ':') + 1));
		demand(l, "the service has a connection that nobody opened");
		l->absent = 0;
	}
}

/* A reset is lost like anything else, and a service that has nothing to send would never learn of it: what was
 * asked there would stay open for ever. It is said until it is heard. */
static void reset_again(struct http_tcp *t)
{
	for (struct tcp_line *l = t->lines; l; l = l->next)
		if (l->reset.flags && !l->absent && sim_chance(&t->random, 8))
			middlebox_repeats(&t->box, &l->path, &l->reset);
}

/* Where a device may write, it does. */
static void scribble(struct http_tcp *t)
{
	uint64_t offset[HTTP_TCP_POSTED];
	uint32_t n = http_tcp_posted(t->w, offset);
	uint8_t bytes[512];

	if (!n || !sim_chance(&t->random, 4))
		return;
	sim_fill(&t->random, bytes, sizeof(bytes));
	uint64_t at = sim_below(&t->random, paste_buffer_size(t->w->region) - sizeof(bytes) + 1);
	sim_device_write(t->w->m, offset[sim_below(&t->random, n)] + at, bytes, sizeof(bytes));
}

static void pass(struct http_world *w)
{
	struct http_tcp *t = w->net;
	struct paste_event events[64];
	uint64_t now = (uint64_t)w->now.monotonic_us, next = next_us(t);
	uint64_t least = now + sim_between(&t->random, 1, 60);

	next = next < least ? least : next;
	now = next - now > LONGEST_US ? now + LONGEST_US : next;
	w->now.monotonic_us = (int64_t)now;
	look_who_is_there(t);
	reset_again(t);
	scribble(t);
	middlebox_send(&t->box);
	wire_advance(t->wire, now * 1000);
	int n = tcp_turn(t->clients, now, events, 64);
	demand(n >= 0, "the clients' port fails");
	for (int i = 0; i < n; i++)
		handle(&events[i]);
	for (struct tcp_line *l = t->lines; l; l = l->next)
		send_some(l);
}

static uint64_t world_clock(void *arg)
{
	const struct http_tcp *t = arg;

	return (uint64_t)t->w->now.monotonic_us;
}

/* --- opening and closing */

static int neighbour(void *arg, const uint8_t address[16], uint8_t mac[6])
{
	const struct http_tcp *t = arg;

	memcpy(mac, t->port[SERVICE]->info.mac, 6);
	return 0;
}

static void lands(void *arg, void *to, const void *from, size_t n)
{
	struct http_tcp *t = arg;

	sim_device_write(t->w->m, (uint64_t)((uint8_t *)to - t->w->m->base), from, n);
}

static void draw_link(struct sim_random *r, struct wire_link *l)
{
	static const uint32_t often[] = {0, 0, 10000, 30000, 100000};

	l->delay_ns = sim_between(r, 5, 200) * 1000;
	l->jitter_ns = sim_below(r, 50) * 1000;
	l->bytes_per_second = sim_chance(r, 3) ? sim_between(r, 2, 50) * 1000000 : 0;
	l->lose = often[sim_below(r, 5)];
	l->lose_run = (uint32_t)sim_between(r, 1, 3);
	l->duplicate = often[sim_below(r, 5)];
	l->reorder = 2 * often[sim_below(r, 5)];
	l->reorder_ns = sim_between(r, 50, 1000) * 1000;
	l->corrupt = often[sim_below(r, 5)] / 2;
}

static void open_port(struct http_tcp *t, uint32_t number, struct wire_port_options *o)
{
	struct paste_error err = {""};

	o->arg = t;
	if (wire_port_open(t->wire, o, &t->port[number], &err)) {
		fprintf(stderr, "port %u: %s\n", number, err.text);
		abort();
	}
}

static void open_ports(struct http_tcp *t)
{
	static const uint32_t mtus[] = {1500, 1500, 1500, 600, 4000};
	uint32_t mtu = mtus[sim_below(&t->random, 5)];
	bool small = paste_buffer_size(t->w->region) == 4096;
	struct wire_port_options service = {.region = t->w->region,
					    .slots = small ? 16 : 32,
					    .checksum = sim_chance(&t->random, 3),
					    .receive = lands},
				 clients = {.region = t->region, .slots = 64},
				 box = {.region = t->region, .slots = 64};

	if (!sim_chance(&t->random, 6)) {
		draw_link(&t->random, &service.up);
		draw_link(&t->random, &service.down);
	}
	service.up.mtu = clients.up.mtu = mtu;
	open_port(t, SERVICE, &service);
	open_port(t, CLIENTS, &clients);
	open_port(t, MIDDLEBOX, &box);
	t->box.port = t->port[MIDDLEBOX];
	t->box.random = sim_split(&t->random);
	t->box.recut = sim_chance(&t->random, 4) ? 0 : (uint32_t)sim_between(&t->random, 2, 8);
}

static void open_stacks(struct http_tcp *t)
{
	static const uint32_t windows[] = {0, 0, 3000, 9000};
	struct net_address address;
	struct paste_tcp_options service = {.port = t->port[SERVICE],
					    .limits = {.connections = 64},
					    .half_open = 16,
					    .time_wait = 64,
					    .user_timeout_us = PATIENCE_US,
					    .clock = world_clock,
					    .arg = t,
					    .seed = 1 + sim_below(&t->random, 1u << 30)},
				 clients = service;

	service.receive_window = windows[sim_below(&t->random, 4)];
	service.limits.send_bytes = sim_chance(&t->random, 3) ? 3000 : 0;
	service.gather_bytes = sim_chance(&t->random, 3) ? 1 : 0;
	clients.port = t->port[CLIENTS];
	clients.receive_window = windows[sim_below(&t->random, 4)];
	clients.neighbour = neighbour;
	clients.seed++;
	demand(net_address_parse("10.0.0.1", &address) == 0, "no address");
	memcpy(clients.address4, &address, sizeof(address));
	demand(paste_tcp_open(t->w->region, &service, &t->w->stack, NULL) == 0 &&
		   paste_tcp_open(t->region, &clients, &t->clients, NULL) == 0 &&
		   paste_stack_listen(t->w->stack, "10.0.0.2:80", NULL, 0, NULL) == 0,
	       "a stack cannot be opened");
}

static void tcp_world_open(struct http_world *w)
{
	static const struct paste_landing device = {
	    .boot = 1, .space = 1, .interface = 1, .queues = 1, .name = "wire"};
	const struct sim_options memory = {.kind = SIM_SHM, .size = CLIENT_BYTES, .forgetful = true};
	struct http_tcp *t = calloc(1, sizeof(*t));

	demand(t, "out of memory");
	*t = (struct http_tcp){.w = w, .random = sim_random(w->options.seed)};
	/* Whoever opens the region next must ask for it. */
	demand(region_landing_add(w->region, &device) == 0, "the device cannot be noted");
	struct media *m = sim_open(&memory);
	demand(m && region_format(m, "clients", CLIENT_BYTES, 2048, 1, NULL) == 0 &&
		   region_open(m, &t->region, NULL) == 0,
	       "the clients have no region");
	region_settle(t->region);
	const uint32_t pieces[] = {40, 300, 3000, 20000};
	t->send_most = pieces[sim_below(&t->random, 4)];
	struct wire_options wire = {
	    .seed = sim_draw(&t->random), .packets = 256, .tap = tap, .lose = client_sent, .arg = t};
	t->wire = wire_open(&wire);
	demand(t->wire, "out of memory");
	wire_advance(t->wire, (uint64_t)w->now.monotonic_us * 1000);
	open_ports(t);
	open_stacks(t);
	w->net = t;
}

static void free_lines(struct http_tcp *t)
{
	while (t->lines) {
		struct tcp_line *l = t->lines;

		t->lines = l->next;
		free(l->out.at);
		free(l->up.at);
		free(l->got.at);
		free(l);
	}
}

static void tcp_world_close(struct http_world *w)
{
	struct http_tcp *t = w->net;

	t->closing = true;
	paste_stack_close(w->stack);
	paste_stack_close(t->clients);
	for (int i = 0; i < PORTS; i++)
		paste_port_close(t->port[i]);
	wire_close(t->wire);
	for (uint32_t b = 0; b < t->region->buffers; b++)
		demand(t->region->buffer[b].users == 0, "the clients' stack has lost a buffer");
	region_close(t->region);
	free_lines(t);
	free(t);
	w->net = NULL;
}

/* --- a client's connection */

static void *line_connect(struct http_world *w)
{
	struct http_tcp *t = w->net;
	struct tcp_line *l = calloc(1, sizeof(*l));
	struct paste_conn_info info;

	demand(l && paste_stack_connect(t->clients, "10.0.0.2:80", &l->conn, NULL) == 0,
	       "a client cannot connect");
	paste_conn_set_user(l->conn, l);
	demand(paste_conn_info(l->conn, &info) == 0, "no information");
	l->port = (uint16_t)atoi(strrchr(info.local, ':') + 1);
	l->net = t;
	l->next = t->lines;
	t->lines = l;
	push(&l->got, "", 0);
	push(&l->up, "", 0);
	return l;
}

static void line_send(void *conn, const void *bytes, size_t n)
{
	struct tcp_line *l = conn;

	push(&l->out, bytes, n);
}

static void line_end(void *conn)
{
	struct tcp_line *l = conn;

	l->ends = true;
}

static void line_reset(void *conn)
{
	struct tcp_line *l = conn;

	if (l->conn)
		paste_conn_abort(l->conn);
	l->conn = NULL;
	l->lost = true;
}

static void line_takes(void *conn, bool takes)
{
	struct tcp_line *l = conn;

	if (l->conn && takes)
		paste_conn_resume(l->conn);
	else if (l->conn)
		paste_conn_pause(l->conn);
}

static const char *line_got(void *conn, size_t *n)
{
	const struct tcp_line *l = conn;

	*n = l->got.n;
	return (const char *)l->got.at;
}

/* Before the service's SYN has left, a client has sent nothing that could be worked on. */
static bool line_is_over(const void *conn)
{
	const struct tcp_line *l = conn;

	return l->over || (l->answered ? l->absent >= ABSENT : !l->conn);
}

static bool line_is_lost(const void *conn)
{
	const struct tcp_line *l = conn;

	return l->lost;
}

const struct http_transport http_tcp = {
    .turns = 8,
    .open = tcp_world_open,
    .close = tcp_world_close,
    .pass = pass,
    .connect = line_connect,
    .send = line_send,
    .end = line_end,
    .reset = line_reset,
    .takes = line_takes,
    .got = line_got,
    .is_over = line_is_over,
    .is_lost = line_is_lost,
};

/* --- for who looks at it */

uint32_t http_tcp_posted(const struct http_world *w, uint64_t offset[HTTP_TCP_POSTED])
{
	const struct http_tcp *t = w->net;
	uint32_t n = 0;

	if (!t)
		return 0;
	const struct ring *in = &((const struct wire_port *)t->port[SERVICE])->in;
	for (uint32_t i = in->arrived; i != in->done + in->ring->size && n < HTTP_TCP_POSTED; i++) {
		uint32_t buffer = paste_ring_slot(in->ring, i)->buffer;
		if (buffer != RING_NO_BUFFER)
			offset[n++] = (uint64_t)(paste_buffer_data(w->region, buffer) - w->m->base);
	}
	return n;
}

void http_tcp_count(const struct http_world *w, struct http_tcp_coverage *sum)
{
	const struct http_tcp *t = w->net;
	struct paste_tcp_stats s, clients;

	paste_tcp_stats(w->stack, &s);
	paste_tcp_stats(t->clients, &clients);
	sum->segments += s.segments_received + s.segments_sent;
	sum->retransmitted += s.retransmitted;
	sum->early += s.early;
	sum->timeouts += s.timeouts;
	sum->recoveries += s.fast_recoveries;
	sum->copied += s.copied;
	sum->resets += s.resets_received;
	sum->refused += s.refused;
	sum->peers_retransmitted += clients.retransmitted;
	sum->lost += wire_count(t->wire, WIRE_LOST);
	sum->duplicated += wire_count(t->wire, WIRE_DUPLICATED);
	sum->reordered += wire_count(t->wire, WIRE_REORDERED);
	sum->corrupted += wire_count(t->wire, WIRE_CORRUPTED);
	sum->recut += t->box.pieces;
	sum->overlaps += t->box.repeats;
	sum->lies += t->box.lies;
	sum->closed_windows += t->closed_windows;
}

bool http_tcp_arrives(struct http_world *w)
{
	struct http_tcp *t = w->net;
	const struct wire_link perfect = {.delay_ns = 1000};
	struct wire_link up = perfect, down = perfect;
	bool all = false;

	up.mtu = t->port[SERVICE]->info.mtu;
	wire_set_links(t->wire, SERVICE, &up, &down);
	for (struct tcp_line *l = t->lines; l; l = l->next)
		line_takes(l, true);
	for (int turn = 0; turn < 4000 && !all; turn++) {
		http_world_turn(w);
		all = true;
		for (const struct tcp_line *l = t->lines; l; l = l->next)
			all &= !l->conn || l->arrived == l->got.n;
	}
	return all;
}
