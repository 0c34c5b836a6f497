/* SPDX-License-Identifier: BSD-2-Clause */
#include "tcp_rig.h"

#include <errno.h>
#include <stdio.h>

#define EVENTS_MOST 512
#define KEPT_FREE 64

static const char *const addresses[2][RIG_ENDS] = {{"10.0.0.1", "10.0.0.2"}, {"fd00::1", "fd00::2"}};

uint64_t rig_random(struct rig *r)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return r->random * 0x2545f4914f6cdd1du;
}

static bool chance(struct rig *r, uint32_t percent)
{
	return percent > 0 && (rig_random(r) >> 32) % 100 < percent;
}

uint8_t rig_byte(uint64_t seed, uint32_t at)
{
	uint64_t x = (seed + at / 8 + 1) * 0x9e3779b97f4a7c15u;

	return (uint8_t)(x >> (8 * (at % 8)));
}

static uint64_t now_us(const struct rig *r)
{
	return r->now_ns / 1000;
}

static uint64_t rig_clock(void *arg)
{
	return now_us(arg);
}

static int neighbour(void *arg, const uint8_t address[16], uint8_t mac[6])
{
	struct rig *r = arg;

	memcpy(mac, r->port[RIG_SERVER]->info.mac, 6);
	return 0;
}

/* --- applications */

static uint32_t fill(struct rig *r, struct rig_stream *s, uint8_t *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		bytes[i] = rig_byte(s->seed[0], s->sent + i);
	return length;
}

static void send_some(struct rig *r, struct rig_stream *s)
{
	uint8_t bytes[16384];
	uint32_t most = r->o.piece_most ? r->o.piece_most : 3000;

	while (s->conn && !s->error && s->sent < s->to_send && !s->blocked) {
		uint32_t length = 1 + (uint32_t)(rig_random(r) >> 33) % most, buffer;
		if (length > s->to_send - s->sent)
			length = s->to_send - s->sent;
		struct paste_send piece = {.inline_bytes = bytes, .inline_length = length};
		/* Both applications and both stacks share a region: what waits to be sent must not take all
		 * of it. */
		if (chance(r, r->o.reference_percent) && paste_buffer_free(r->region) > KEPT_FREE &&
		    paste_buffer_alloc(r->region, &buffer) == 0) {
			uint32_t offset = (uint32_t)(rig_random(r) >> 33) % 64;
			if (length > paste_buffer_size(r->region) - offset)
				length = paste_buffer_size(r->region) - offset;
			piece = (struct paste_send){.ref = {buffer, (uint16_t)offset, (uint16_t)length}};
			fill(r, s, paste_ref_data(r->region, piece.ref), length);
		} else {
			fill(r, s, bytes, length);
		}
		int rc = paste_conn_send(s->conn, &piece, 1);
		if (rc < 0 && !piece.inline_bytes)
			paste_ref_put(r->region, piece.ref);
		if (rc == -EPIPE)
			return; /* ERROR follows */
		if (rc == -EAGAIN) {
			s->blocked = true;
			return;
		}
		assert_int_equal(rc, 0);
		s->sent += length;
	}
}

static void received(struct rig *r, struct rig_stream *s, struct paste_ref slice)
{
	const uint8_t *bytes = paste_ref_data(r->region, slice);

	assert_false(s->eof);
	assert_true(s->received + slice.length <= s->to_receive);
	for (uint32_t i = 0; i < slice.length; i++) {
		if (bytes[i] != rig_byte(s->seed[1], s->received + i))
			fail_msg("byte %u is wrong", s->received + i);
	}
	s->received += slice.length;
	uint32_t most = r->o.hold_most ? r->o.hold_most : RIG_HELD;
	if (r->held_n < most && chance(r, r->o.hold_percent))
		r->held[r->held_n++] = slice;
	else
		paste_ref_put(r->region, slice);
	if (!s->paused_until && chance(r, r->o.pause_percent)) {
		s->paused_until = now_us(r) + 1 + (rig_random(r) >> 32) % 300000;
		paste_conn_pause(s->conn);
	}
}

static struct rig_stream *accepted(struct rig *r, struct paste_conn *c)
{
	char peer[64];

	/* Which flow it is says the first byte pair of the peer's port: it was noted at connect. */
	paste_conn_peer(c, peer, sizeof(peer));
	for (uint32_t i = 0; i < r->o.flows; i++) {
		struct paste_conn_info info;
		if (!r->stream[RIG_CLIENT][i].conn || r->stream[RIG_CLIENT][i].closed)
			continue; /* the stack may have another connection there by now */
		assert_int_equal(paste_conn_info(r->stream[RIG_CLIENT][i].conn, &info), 0);
		if (strcmp(info.local, peer) == 0) {
			r->accepted++;
			r->stream[RIG_SERVER][i].conn = c;
			r->stream[RIG_SERVER][i].connected = true;
			return &r->stream[RIG_SERVER][i];
		}
	}
	return NULL;
}

/* Once a turn at most, of what the peer's stack has received in order, so of what it may have acknowledged; or the
 * connection is dead. */
static void released(struct rig *r, enum rig_ends end, struct rig_stream *s, uint64_t bytes)
{
	const struct rig_stream *peer = &r->stream[!end][s - r->stream[end]];
	struct paste_conn_info ours, theirs;

	assert_true(r->o.tcp.limits.released && s->connected && !s->closed && !s->error);
	assert_true(bytes > s->released && bytes <= s->sent && r->now_ns > s->released_at);
	assert_int_equal(paste_conn_info(s->conn, &ours), 0);
	if (strcmp(ours.state, "CLOSED") == 0) {
		assert_int_equal(bytes, s->sent);
	} else if (peer->conn && !peer->closed && !peer->error) {
		assert_int_equal(paste_conn_info(peer->conn, &theirs), 0);
		assert_true(bytes <= theirs.received_bytes);
	}
	s->released = bytes;
	s->released_at = r->now_ns;
}

static void handle(struct rig *r, enum rig_ends end, const struct paste_event *e)
{
	struct rig_stream *s = e->conn->user;

	if (!s && e->type != PASTE_EVENT_ACCEPT) { /* aborted in this batch: a client that has tried again since */
		if (e->type == PASTE_EVENT_DATA)
			paste_ref_put(r->region, e->slice);
		return;
	}
	switch (e->type) {
	case PASTE_EVENT_ACCEPT:
		assert_int_equal(end, RIG_SERVER);
		s = accepted(r, e->conn);
		paste_conn_set_user(e->conn, s);
		if (!s)
			paste_conn_abort(e->conn);
		break;
	case PASTE_EVENT_CONNECT:
		assert_int_equal(end, RIG_CLIENT);
		s->connected = true;
		break;
	case PASTE_EVENT_DATA:
		assert_true(s->connected && !s->closed);
		received(r, s, e->slice);
		break;
	case PASTE_EVENT_WRITABLE:
		s->blocked = false;
		break;
	case PASTE_EVENT_EOF:
		assert_false(s->eof);
		s->eof = true;
		assert_int_equal(s->received, s->to_receive);
		break;
	case PASTE_EVENT_ERROR:
		s->error = e->error;
		break;
	case PASTE_EVENT_RELEASED:
		released(r, end, s, e->released);
		break;
	case PASTE_EVENT_FD:
		fail_msg("no descriptor is watched");
	}
}

static void open_flow(struct rig *r, struct rig_stream *s)
{
	s->sent = 0;
	s->released = s->released_at = 0;
	s->error = 0;
	s->blocked = s->closed = s->connected = false;
	assert_int_equal(paste_stack_connect(r->stack[RIG_CLIENT], r->bound, &s->conn, NULL), 0);
	paste_conn_set_user(s->conn, s);
}

static void go_on(struct rig *r, enum rig_ends end, struct rig_stream *s)
{
	if (!s->conn || s->closed)
		return;
	if (s->error) {
		paste_conn_close(s->conn);
		s->closed = true;
		/* Every SYN was lost, or all that followed the handshake until the server gave it up: again. */
		if (end == RIG_CLIENT && !r->stream[RIG_SERVER][s - r->stream[RIG_CLIENT]].conn)
			open_flow(r, s);
		return;
	}
	if (s->paused_until && s->paused_until <= now_us(r)) {
		s->paused_until = 0;
		paste_conn_resume(s->conn);
	}
	send_some(r, s);
	if (s->sent == s->to_send && !s->shut && s->received == s->to_receive &&
	    (s->eof || (end == RIG_SERVER) == r->o.server_closes)) {
		assert_int_equal(paste_conn_shut(s->conn), 0);
		s->shut = true;
	}
	if (s->shut && s->eof && (s->released == s->sent || !r->o.tcp.limits.released)) {
		paste_conn_close(s->conn);
		s->closed = true;
	}
}

/* --- time */

static uint64_t next_time(struct rig *r)
{
	uint64_t next = wire_next(r->wire);

	for (int end = 0; end < RIG_ENDS; end++) {
		uint64_t us = tcp_next(r->stack[end]);
		if (us != UINT64_MAX && us * 1000 < next)
			next = us * 1000;
		for (uint32_t i = 0; i < r->o.flows; i++) {
			uint64_t until = r->stream[end][i].paused_until;
			if (until && !r->stream[end][i].closed && until * 1000 < next)
				next = until * 1000;
		}
	}
	return next;
}

static void advance(struct rig *r)
{
	uint64_t next = next_time(r);

	if (next == WIRE_NEVER || next > r->now_ns + 1000000000)
		next = r->now_ns + 1000000000;
	r->now_ns = next > r->now_ns + 1000 ? next : r->now_ns + 1000;
	if (r->o.jump_us && chance(r, 1) && chance(r, 10))
		r->now_ns += rig_random(r) % r->o.jump_us * 1000;
	wire_advance(r->wire, r->now_ns);
}

void rig_step(struct rig *r)
{
	struct paste_event events[EVENTS_MOST];
	int max = r->o.max_events ? (int)r->o.max_events : 64;

	advance(r);
	for (int end = 0; end < RIG_ENDS; end++) {
		int n = tcp_turn(r->stack[end], now_us(r), events, max);
		assert_true(n >= 0 && n <= max);
		for (int i = 0; i < n; i++)
			handle(r, (enum rig_ends)end, &events[i]);
		for (uint32_t i = 0; i < r->o.flows; i++)
			go_on(r, (enum rig_ends)end, &r->stream[end][i]);
	}
	while (r->held_n > 0 && chance(r, 30)) {
		uint32_t i = (uint32_t)(rig_random(r) >> 33) % r->held_n;
		paste_ref_put(r->region, r->held[i]);
		r->held[i] = r->held[--r->held_n];
	}
}

bool rig_done(const struct rig *r)
{
	for (int end = 0; end < RIG_ENDS; end++) {
		for (uint32_t i = 0; i < r->o.flows; i++) {
			if (!r->stream[end][i].closed)
				return false;
		}
	}
	return true;
}

void rig_run(struct rig *r, uint64_t seconds)
{
	uint64_t until = r->now_ns + seconds * 1000000000;

	while (!rig_done(r)) {
		rig_step(r);
		if (r->now_ns < until)
			continue;
		for (int end = 0; end < RIG_ENDS; end++) {
			for (uint32_t i = 0; i < r->o.flows; i++) {
				const struct rig_stream *s = &r->stream[end][i];
				struct paste_conn_info info = {.state = "?"};
				if (s->conn && !s->closed)
					paste_conn_info(s->conn, &info);
				print_error("end %d flow %u: sent %u/%u received %u/%u %s%s%s%s %s unacked "
					    "%u unsent %u "
					    "cwnd %u window %u peer's %u rto %u\n",
					    end, i, s->sent, s->to_send, s->received, s->to_receive,
					    s->connected ? "" : "unconnected ", s->eof ? "eof " : "",
					    s->closed ? "closed " : "", s->blocked ? "blocked " : "",
					    info.state, info.unacknowledged, info.unsent, info.cwnd,
					    info.window, info.peer_window, info.rto_us);
			}
		}
		fail_msg("seed %llu: not done after %llu s", (unsigned long long)r->o.seed,
			 (unsigned long long)seconds);
	}
	for (int end = 0; end < RIG_ENDS; end++) {
		for (uint32_t i = 0; i < r->o.flows; i++)
			if (r->stream[end][i].error)
				fail_msg("seed %llu: flow %u ends with %d", (unsigned long long)r->o.seed, i,
					 r->stream[end][i].error);
	}
}

/* --- beginning and end */

static void open_end(struct rig *r, enum rig_ends end)
{
	struct wire_port_options port = {.region = r->region,
					 .slots = r->o.slots,
					 .fragments = r->o.fragments,
					 .up = r->o.up,
					 .down = r->o.down};
	struct paste_tcp_options tcp = r->o.tcp;
	struct net_address a4, a6;

	assert_int_equal(wire_port_open(r->wire, &port, &r->port[end], NULL), 0);
	assert_int_equal(net_address_parse(addresses[0][end], &a4), 0);
	assert_int_equal(net_address_parse(addresses[1][end], &a6), 0);
	memcpy(tcp.address4, &a4, 16);
	memcpy(tcp.address6, &a6, 16);
	tcp.port = r->port[end];
	if (!tcp.user_timeout_us)
		tcp.user_timeout_us = 86400000000;
	tcp.neighbour = neighbour;
	tcp.clock = rig_clock;
	tcp.arg = r;
	tcp.seed = r->o.seed + 1 + (uint64_t)end;
	assert_int_equal(paste_tcp_open(r->region, &tcp, &r->stack[end], NULL), 0);
}

void rig_begin(struct rig *r, const struct rig_options *o)
{
	struct wire_options wire = {
	    .seed = o->seed, .packets = 4096, .lose = o->lose, .tap = o->tap, .arg = o->arg};
	char where[64];

	*r = (struct rig){.o = *o, .random = o->seed * 0x9e3779b97f4a7c15u + 0x1234567, .now_ns = 1000000};
	r->region = fake_region_new(o->buffers ? o->buffers : 4096, 2048);
	r->wire = wire_open(&wire);
	assert_non_null(r->wire);
	wire_advance(r->wire, r->now_ns);
	open_end(r, RIG_CLIENT);
	open_end(r, RIG_SERVER);
	snprintf(where, sizeof(where), o->six ? "[%s]:8080" : "%s:8080", addresses[o->six][RIG_SERVER]);
	assert_int_equal(paste_stack_listen(r->stack[RIG_SERVER], where, r->bound, sizeof(r->bound), NULL),
			 0);
	assert_string_equal(r->bound, where);
	for (uint32_t i = 0; i < o->flows; i++) {
		struct rig_stream *c = &r->stream[RIG_CLIENT][i], *s = &r->stream[RIG_SERVER][i];
		c->seed[0] = s->seed[1] = o->seed * 1000 + i * 2;
		c->seed[1] = s->seed[0] = o->seed * 1000 + i * 2 + 1;
		c->to_send = s->to_receive = o->bytes[RIG_CLIENT];
		s->to_send = c->to_receive = o->bytes[RIG_SERVER];
		open_flow(r, c);
	}
}

struct paste_tcp_stats rig_stats(const struct rig *r, enum rig_ends end)
{
	struct paste_tcp_stats s;

	paste_tcp_stats(r->stack[end], &s);
	return s;
}

void rig_end(struct rig *r)
{
	while (r->held_n > 0)
		paste_ref_put(r->region, r->held[--r->held_n]);
	for (int end = 0; end < RIG_ENDS; end++) {
		struct paste_tcp_stats s = rig_stats(r, (enum rig_ends)end);
		if (rig_done(r)) {
			assert_int_equal(s.held_pieces, 0);
			/* What the last FIN has not acknowledged yet goes with the stack. */
			assert_true(s.send_blocks <= 4 * RIG_FLOWS);
		}
		paste_stack_close(r->stack[end]);
		paste_port_close(r->port[end]);
	}
	wire_close(r->wire);
	region_proved(r->region);
}
