/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In state X, segment Y, then Z: RFC 9293, section 3.10.7, with what RFC 5961, 7323 and 1337 change, as a
 * table. The stack is on one end of a pipe, the test is its peer on the other.
 */
#include <errno.h>

#include "net/tcp_segment.h"
#include "net/tcp_stack.h"
#include "slots.h"

#define PORT 8080
#define PEER_PORT 2000
#define EVENTS 32

struct fixture {
	struct paste_region *region;
	struct paste_port *port[2]; /* the test's, the stack's */
	struct paste_stack *stack;
	struct paste_conn *conn;
	struct packet_path path; /* to the stack */
	uint64_t now;
	uint32_t seq, ack;           /* the peer's next; what it acknowledges */
	uint16_t stack_port, window; /* window: the stack's, as it stands in its last segment */
	uint32_t data, eofs, accepts, connects;
	int error;
	int neighbour; /* what it says */
	uint32_t asked;
	bool timestamps;
	uint32_t ts;
};

static uint64_t clock_of(void *arg)
{
	return ((struct fixture *)arg)->now;
}

static int neighbour(void *arg, const uint8_t address[16], uint8_t mac[6])
{
	struct fixture *f = arg;

	f->asked++;
	memcpy(mac, f->port[0]->info.mac, 6);
	return f->neighbour;
}

static void begin_with(struct fixture *f, struct paste_tcp_options o)
{
	*f = (struct fixture){
	    .region = fake_region_new(1024, 2048), .now = 1000000, .seq = 5000, .stack_port = PORT};
	assert_int_equal(paste_pipe_open(f->region, f->region, 64, f->port, NULL), 0);
	o.port = f->port[1];
	o.clock = clock_of;
	o.neighbour = neighbour;
	o.arg = f;
	o.any_mac = true;
	o.seed = 7;
	struct net_address ours;
	assert_int_equal(net_address_parse("10.0.0.2", &ours), 0);
	memcpy(o.address4, &ours, 16);
	assert_int_equal(paste_tcp_open(f->region, &o, &f->stack, NULL), 0);
	assert_int_equal(paste_stack_listen(f->stack, "10.0.0.2:8080", NULL, 0, NULL), 0);
	memcpy(f->path.mac_source, "\2\0\0\0\0\1", 6);
	memcpy(f->path.mac_destination, f->port[1]->info.mac, 6);
	assert_int_equal(net_address_parse("10.0.0.1", &f->path.source), 0);
	f->path.destination = ours;
}

static void begin(struct fixture *f)
{
	begin_with(f, (struct paste_tcp_options){.delayed_ack_us = 1});
}

static void end(struct fixture *f)
{
	paste_stack_close(f->stack);
	paste_port_close(f->port[0]);
	paste_port_close(f->port[1]);
	region_proved(f->region);
}

static void turn(struct fixture *f)
{
	struct paste_event e[EVENTS];

	/* The second one sends what the first one calls forth. */
	for (int k = 0; k < 2; k++) {
		int n = tcp_turn(f->stack, f->now, e, EVENTS);
		assert_true(n >= 0);
		for (int i = 0; i < n; i++) {
			if (e[i].type == PASTE_EVENT_ACCEPT)
				f->conn = e[i].conn, f->accepts++;
			if (e[i].type == PASTE_EVENT_DATA)
				f->data += e[i].slice.length, paste_ref_put(f->region, e[i].slice);
			f->connects += e[i].type == PASTE_EVENT_CONNECT;
			f->eofs += e[i].type == PASTE_EVENT_EOF;
			if (e[i].type == PASTE_EVENT_ERROR)
				f->error = e[i].error;
		}
	}
}

static void put(struct fixture *f, struct tcp_segment s)
{
	struct paste_ring *r = f->port[0]->transmit;
	struct paste_slot *slot = paste_ring_slot(r, r->head++);
	uint8_t *frame = paste_buffer_data(f->region, slot->buffer) + 64, bytes[2000] = {0};
	struct packet_piece piece = {bytes, s.length};

	s.source_port = PEER_PORT;
	s.destination_port = f->stack_port;
	if (!(s.flags & TCP_SYN))
		s.scale = TCP_SCALE_NONE;
	s.timestamps = f->timestamps;
	s.ts_value = f->ts;
	uint32_t header = tcp_segment_build(frame, &f->path, &s, &piece, 1, false);
	memset(frame + header, 0, s.length);
	slot->offset = 64;
	slot->length = (uint16_t)(header + s.length);
	slot->flags = 0;
	r->cur = r->head;
	assert_true(paste_port_sync_transmit(f->port[0], 0) >= 0);
	turn(f);
}

static void in(struct fixture *f, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t length)
{
	put(f, (struct tcp_segment){.flags = flags,
				    .seq = seq,
				    .ack = ack,
				    .length = length,
				    .window = 60000,
				    .scale = TCP_SCALE_NONE});
}

/* The next segment from the stack. False: there is none. */
static bool out(struct fixture *f, struct tcp_segment *s)
{
	struct paste_ring *r = f->port[0]->receive;

	assert_true(paste_port_sync_receive(f->port[0], 0) >= 0);
	if (r->cur == r->tail)
		return false;
	const struct paste_slot *slot = paste_ring_slot(r, r->cur);
	struct packet_piece piece = {paste_buffer_data(f->region, slot->buffer) + slot->offset, slot->length};
	struct packet_options o = {.vlan = 0};
	struct packet p;
	assert_int_equal(packet_parse(&piece, 1, &o, &p), PACKET_ACCEPTED);
	assert_int_equal(tcp_segment_parse(&piece, 1, false, &p, s), PACKET_ACCEPTED);
	r->head = ++r->cur;
	f->window = s->window;
	return true;
}

static struct tcp_segment expect(struct fixture *f, uint8_t flags)
{
	struct tcp_segment s = {.flags = 0};

	if (!out(f, &s))
		fail_msg("no segment came");
	assert_int_equal(s.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK), flags);
	return s;
}

static void expect_nothing(struct fixture *f)
{
	struct tcp_segment s;

	assert_false(out(f, &s));
}

static const char *state_of(const struct fixture *f)
{
	struct paste_conn_info info = {.state = "LISTEN"};
	uint32_t cursor = 0;
	struct paste_conn *c = paste_stack_next(f->stack, &cursor);

	if (c)
		assert_int_equal(paste_conn_info(c, &info), 0);
	return info.state;
}

/* --- ways to a state */

static void syn_received(struct fixture *f)
{
	in(f, TCP_SYN, f->seq++, 0, 0);
	struct tcp_segment s = expect(f, TCP_SYN | TCP_ACK);
	assert_int_equal(s.ack, f->seq);
	f->ack = s.seq + 1;
}

static void established(struct fixture *f)
{
	syn_received(f);
	in(f, TCP_ACK, f->seq, f->ack, 0);
	expect_nothing(f);
	assert_int_equal(f->accepts, 1);
}

static void fin_in(struct fixture *f, uint32_t ack)
{
	in(f, TCP_FIN | TCP_ACK, f->seq++, ack, 0);
	struct tcp_segment s = expect(f, TCP_ACK);
	assert_int_equal(s.ack, f->seq);
	assert_int_equal(f->eofs, 1);
}

static void fin_out(struct fixture *f)
{
	assert_int_equal(paste_conn_shut(f->conn), 0);
	turn(f);
	struct tcp_segment s = expect(f, TCP_FIN | TCP_ACK);
	assert_int_equal(s.seq, f->ack);
}

static void reach(struct fixture *f, const char *state)
{
	if (strcmp(state, "SYN-SENT") == 0) {
		struct paste_conn_info info;
		assert_int_equal(paste_stack_connect(f->stack, "10.0.0.1:2000", &f->conn, NULL), 0);
		assert_int_equal(paste_conn_info(f->conn, &info), 0);
		f->stack_port = (uint16_t)atoi(strrchr(info.local, ':') + 1);
		turn(f);
		f->ack = expect(f, TCP_SYN).seq + 1;
	} else if (strcmp(state, "SYN-RECEIVED") == 0) {
		syn_received(f);
	} else if (strcmp(state, "LISTEN") != 0) {
		established(f);
	}
	if (strcmp(state, "CLOSE-WAIT") == 0 || strcmp(state, "LAST-ACK") == 0)
		fin_in(f, f->ack);
	if (strcmp(state, "LAST-ACK") == 0 || strncmp(state, "FIN", 3) == 0 ||
	    strcmp(state, "CLOSING") == 0 || strcmp(state, "TIME-WAIT") == 0)
		fin_out(f);
	if (strcmp(state, "CLOSING") == 0)
		fin_in(f, f->ack);
	if (strcmp(state, "FIN-WAIT-2") == 0 || strcmp(state, "TIME-WAIT") == 0)
		in(f, TCP_ACK, f->seq, ++f->ack, 0);
	if (strcmp(state, "TIME-WAIT") == 0)
		fin_in(f, f->ack);
	/* In the others our FIN is under way and not acknowledged: SND.NXT is one further. */
	assert_string_equal(state_of(f), state);
}

/* --- the table */

#define NONE 0
#define A TCP_ACK
#define S TCP_SYN
#define F TCP_FIN
#define R TCP_RST

struct row {
	const char *state;
	uint8_t flags;
	int32_t seq, ack; /* from what is expected next, and from what is acknowledged */
	uint32_t length;
	uint8_t reply; /* flags of the answer; NONE */
	const char *then;
};

static const struct row rows[] = {
    /* 3.10.7.2 */
    {"LISTEN", R, 0, 0, 0, NONE, "LISTEN"},
    {"LISTEN", A, 0, 9, 0, R, "LISTEN"},
    {"LISTEN", S | A, 0, 9, 0, R, "LISTEN"},
    {"LISTEN", S, 0, 0, 0, S | A, "SYN-RECEIVED"},
    {"LISTEN", S | F, 0, 0, 0, NONE, "LISTEN"},
    {"LISTEN", F, 0, 0, 0, NONE, "LISTEN"},
    /* 3.10.7.3 */
    {"SYN-SENT", A, 0, 1, 0, R, "SYN-SENT"},
    {"SYN-SENT", S | A, 0, 5, 0, R, "SYN-SENT"},
    {"SYN-SENT", S | A, 0, -1, 0, R, "SYN-SENT"},
    {"SYN-SENT", R, 0, 0, 0, NONE, "SYN-SENT"},
    {"SYN-SENT", R | A, 0, 7, 0, NONE, "SYN-SENT"},
    {"SYN-SENT", R | A, 0, 0, 0, NONE, "LISTEN"},
    {"SYN-SENT", A, 0, 0, 0, NONE, "SYN-SENT"},
    {"SYN-SENT", S | A, 0, 0, 0, A, "ESTABLISHED"},
    {"SYN-SENT", S, 0, 0, 0, S | A, "SYN-RECEIVED"},
    /* 3.10.7.4, first: sequence numbers */
    {"SYN-RECEIVED", A, -1, 0, 0, A, "SYN-RECEIVED"},
    {"ESTABLISHED", A, -1, 0, 0, A, "ESTABLISHED"},
    {"ESTABLISHED", A, -10, 0, 5, A, "ESTABLISHED"},
    {"ESTABLISHED", A, 10000000, 0, 5, A, "ESTABLISHED"},
    {"CLOSE-WAIT", A, -10, 0, 5, A, "CLOSE-WAIT"},
    {"FIN-WAIT-1", A, -10, 0, 5, A, "FIN-WAIT-1"},
    {"FIN-WAIT-2", A, -10, 0, 5, A, "FIN-WAIT-2"},
    {"TIME-WAIT", A, -10, 0, 5, A, "TIME-WAIT"},
    {"TIME-WAIT", F | A, -1, 0, 0, A, "TIME-WAIT"},
    /* second: RST (RFC 5961, section 3: only the exact number resets; RFC 1337: not in TIME-WAIT) */
    {"SYN-RECEIVED", R, 0, 0, 0, NONE, "LISTEN"},
    {"ESTABLISHED", R, 0, 0, 0, NONE, "LISTEN"},
    {"ESTABLISHED", R, 1, 0, 0, A, "ESTABLISHED"},
    {"ESTABLISHED", R, -1, 0, 0, NONE, "ESTABLISHED"},
    {"ESTABLISHED", R, 10000000, 0, 0, NONE, "ESTABLISHED"},
    {"CLOSE-WAIT", R, 0, 0, 0, NONE, "LISTEN"},
    {"FIN-WAIT-1", R, 0, 0, 0, NONE, "LISTEN"},
    {"FIN-WAIT-2", R, 0, 0, 0, NONE, "LISTEN"},
    {"CLOSING", R, 0, 0, 0, NONE, "LISTEN"},
    {"LAST-ACK", R, 0, 0, 0, NONE, "LISTEN"},
    {"TIME-WAIT", R, 0, 0, 0, NONE, "TIME-WAIT"},
    /* fourth: SYN (RFC 5961, section 4) */
    {"SYN-RECEIVED", S, -1, 0, 0, S | A, "SYN-RECEIVED"},
    {"ESTABLISHED", S, 0, 0, 0, A, "ESTABLISHED"},
    {"ESTABLISHED", S, -1, 0, 0, A, "ESTABLISHED"},
    {"ESTABLISHED", S | A, 5, 0, 0, A, "ESTABLISHED"},
    {"FIN-WAIT-2", S, 0, 0, 0, A, "FIN-WAIT-2"},
    {"TIME-WAIT", S, 10, 0, 0, S | A, "SYN-RECEIVED"}, /* a new connection (RFC 6191) */
    {"TIME-WAIT", S, -10, 0, 0, A, "TIME-WAIT"},
    /* fifth: ACK */
    {"ESTABLISHED", NONE, 0, 0, 5, NONE, "ESTABLISHED"},
    {"SYN-RECEIVED", A, 0, 1, 0, R, "SYN-RECEIVED"},
    {"SYN-RECEIVED", A, 0, -1, 0, R, "SYN-RECEIVED"},
    {"SYN-RECEIVED", A, 0, 0, 0, NONE, "ESTABLISHED"},
    {"ESTABLISHED", A, 0, 1, 0, A, "ESTABLISHED"}, /* of what was never sent */
    {"ESTABLISHED", A, 0, 1, 5, A, "ESTABLISHED"},
    {"ESTABLISHED", A, 0, -100000, 5, A, "ESTABLISHED"}, /* of long ago (RFC 5961, section 5) */
    {"FIN-WAIT-1", A, 0, 0, 0, NONE, "FIN-WAIT-1"},
    {"FIN-WAIT-1", A, 0, 1, 0, NONE, "FIN-WAIT-2"},
    {"CLOSING", A, 0, 0, 0, NONE, "CLOSING"},
    {"CLOSING", A, 0, 1, 0, NONE, "TIME-WAIT"},
    {"LAST-ACK", A, 0, 0, 0, NONE, "LAST-ACK"},
    {"LAST-ACK", A, 0, 1, 0, NONE, "LISTEN"},
    /* sixth and seventh: urgent data is data; data where it may come */
    {"ESTABLISHED", A | TCP_URG, 0, 0, 5, A, "ESTABLISHED"},
    {"ESTABLISHED", A, 0, 0, 5, A, "ESTABLISHED"},
    {"ESTABLISHED", A, -3, 0, 5, A, "ESTABLISHED"},
    {"FIN-WAIT-1", A, 0, 0, 5, A, "FIN-WAIT-1"},
    {"FIN-WAIT-2", A, 0, 0, 5, A, "FIN-WAIT-2"},
    {"CLOSE-WAIT", A, 0, 0, 5, A, "CLOSE-WAIT"}, /* behind its FIN: ignored */
    /* eighth: FIN */
    {"SYN-RECEIVED", F | A, 0, 0, 0, A, "CLOSE-WAIT"},
    {"ESTABLISHED", F | A, 0, 0, 0, A, "CLOSE-WAIT"},
    {"ESTABLISHED", F | A, 0, 0, 9, A, "CLOSE-WAIT"},
    {"FIN-WAIT-1", F | A, 0, 0, 0, A, "CLOSING"},
    {"FIN-WAIT-1", F | A, 0, 1, 0, A, "TIME-WAIT"},
    {"FIN-WAIT-2", F | A, 0, 0, 0, A, "TIME-WAIT"},
};

static void in_each_state_each_segment_has_its_answer(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct tcp_segment s = {.flags = NONE};
		struct fixture f;
		begin(&f);
		reach(&f, row->state);
		in(&f, row->flags, f.seq + (uint32_t)row->seq, f.ack + (uint32_t)row->ack, row->length);
		bool any = out(&f, &s);
		uint8_t reply = any ? s.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK) : NONE;
		if ((row->reply == R ? !(reply & R) : reply != row->reply) ||
		    strcmp(state_of(&f), row->then) != 0)
			fail_msg("row %zu, %s: answered with %x, then %s", i, row->state, reply,
				 state_of(&f));
		expect_nothing(&f);
		end(&f);
	}
}

static void resets_for_unknown_flows_are_acceptable_to_their_senders(void **state)
{
	struct fixture f;
	struct tcp_segment s;

	begin(&f);
	in(&f, TCP_ACK, 100, 777, 5);
	s = expect(&f, TCP_RST);
	assert_int_equal(s.seq, 777);
	f.stack_port = 9;
	in(&f, TCP_SYN, 100, 0, 0);
	s = expect(&f, TCP_RST | TCP_ACK);
	assert_int_equal(s.seq, 0);
	assert_int_equal(s.ack, 101);
	end(&f);
}

/* --- scripts */

static void bytes_that_arrive_twice_are_delivered_once(void **state)
{
	struct fixture f;

	begin(&f);
	established(&f);
	in(&f, TCP_ACK, f.seq + 10, f.ack, 10); /* beyond a gap: a duplicate acknowledgment, at once */
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	in(&f, TCP_ACK, f.seq + 5, f.ack, 30); /* overlaps it on both sides */
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	assert_int_equal(f.data, 0);
	in(&f, TCP_ACK, f.seq, f.ack, 8);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 35);
	assert_int_equal(f.data, 35);
	in(&f, TCP_ACK, f.seq, f.ack, 40);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 40);
	assert_int_equal(f.data, 40);
	end(&f);
}

static void a_fin_before_the_bytes_that_precede_it_waits_for_them(void **state)
{
	struct fixture f;

	begin(&f);
	established(&f);
	in(&f, TCP_ACK | TCP_FIN, f.seq + 10, f.ack, 10);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	assert_int_equal(f.eofs, 0);
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 21);
	assert_int_equal(f.data, 20);
	assert_int_equal(f.eofs, 1);
	end(&f);
}

static void a_closed_window_opens_when_the_application_reads_and_never_shrinks(void **state)
{
	struct fixture f;
	uint32_t edge = 0;

	begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 1, .receive_window = 4096});
	established(&f);
	paste_conn_pause(f.conn);
	for (int i = 0; i < 12; i++) {
		uint32_t length = f.window && i ? f.window < 500 ? f.window : 500 : 500;
		in(&f, TCP_ACK, f.seq, f.ack, length);
		struct tcp_segment s = expect(&f, TCP_ACK);
		f.seq = s.ack;
		assert_true(!edge || seq_upto(edge, s.ack + s.window));
		edge = s.ack + s.window;
	}
	assert_int_equal(f.window, 0);
	in(&f, TCP_ACK, f.seq, f.ack, 100); /* a probe with data: not taken, answered */
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	paste_conn_resume(f.conn);
	turn(&f);
	struct tcp_segment s = expect(&f, TCP_ACK);
	assert_true(s.window > 3000);
	assert_int_equal(f.data, s.ack - 5001);
	end(&f);
}

static void our_probes_ask_for_a_closed_window(void **state)
{
	struct paste_send bytes = {.inline_bytes = "hello", .inline_length = 5};
	struct fixture f;

	begin(&f);
	established(&f);
	put(&f, (struct tcp_segment){.flags = TCP_ACK, .seq = f.seq, .ack = f.ack, .window = 0});
	assert_int_equal(paste_conn_send(f.conn, &bytes, 1), 0);
	turn(&f);
	expect_nothing(&f);
	for (int i = 0; i < 3; i++) { /* before the window, ever more seldom */
		f.now += 10000000;
		turn(&f);
		struct tcp_segment s = expect(&f, TCP_ACK);
		assert_int_equal(s.seq, f.ack - 1);
		assert_int_equal(s.length, 0);
		put(&f, (struct tcp_segment){.flags = TCP_ACK, .seq = f.seq, .ack = f.ack, .window = 0});
	}
	in(&f, TCP_ACK, f.seq, f.ack, 0);
	struct tcp_segment s = expect(&f, TCP_ACK);
	assert_int_equal(s.seq, f.ack);
	assert_int_equal(s.length, 5);
	end(&f);
}

static void replies_ride_with_the_acknowledgment(void **state)
{
	struct paste_send bytes = {.inline_bytes = "reply", .inline_length = 5};
	struct fixture f;
	struct paste_event e[EVENTS];

	begin_with(&f, (struct paste_tcp_options){.delayed_ack_us = 0});
	established(&f);
	struct paste_tcp_stats before, after;
	paste_tcp_stats(f.stack, &before);
	struct paste_ring *r = f.port[0]->transmit;
	assert_int_equal(r->head, r->cur);
	/* The segment, one turn for its event, the reply, one turn for the answer. */
	in(&f, TCP_ACK, f.seq, f.ack, 20);
	assert_int_equal(expect(&f, TCP_ACK).length, 0); /* at first acknowledgments are quick */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(paste_conn_send(f.conn, &bytes, 1), 0);
		assert_true(tcp_turn(f.stack, f.now, e, EVENTS) >= 0);
	}
	for (int i = 0; i < 3; i++) {
		struct tcp_segment s = expect(&f, TCP_ACK);
		assert_int_equal(s.length, 5);
		assert_int_equal(s.ack, f.seq + 20);
	}
	expect_nothing(&f);
	paste_tcp_stats(f.stack, &after);
	assert_int_equal(after.segments_sent - before.segments_sent, 4);
	end(&f);
}

static void lost_segments_are_sent_again_with_back_off_until_the_user_timeout(void **state)
{
	struct paste_send bytes = {.inline_bytes = "hello", .inline_length = 5};
	struct fixture f;
	uint64_t last = 0, gap = 0;

	begin_with(&f, (struct paste_tcp_options){.user_timeout_us = 60000000});
	established(&f);
	assert_int_equal(paste_conn_send(f.conn, &bytes, 1), 0);
	turn(&f);
	assert_int_equal(expect(&f, TCP_ACK).length, 5);
	last = f.now;
	struct tcp_segment s;
	while (!f.error) {
		f.now += 10000;
		turn(&f);
		if (!f.error && out(&f, &s)) {
			assert_int_equal(s.seq, f.ack);
			assert_int_equal(s.length, 5);
			assert_true(f.now - last + 20000 >= gap * 2 || f.now - last >= 59000000);
			gap = f.now - last;
			last = f.now;
		}
	}
	assert_int_equal(f.error, -ETIMEDOUT);
	expect(&f, TCP_RST | TCP_ACK);
	end(&f);
}

static void three_duplicates_make_it_send_again_at_once(void **state)
{
	uint8_t bytes[5000] = {0};
	struct paste_send piece = {.inline_bytes = bytes, .inline_length = sizeof(bytes)};
	struct fixture f;
	struct tcp_segment s;

	begin(&f);
	established(&f);
	assert_int_equal(paste_conn_send(f.conn, &piece, 1), 0);
	turn(&f);
	while (out(&f, &s))
		;
	for (int i = 0; i < 2; i++) {
		in(&f, TCP_ACK, f.seq, f.ack, 0);
		expect_nothing(&f);
	}
	in(&f, TCP_ACK, f.seq, f.ack, 0);
	s = expect(&f, TCP_ACK);
	assert_int_equal(s.seq, f.ack);
	assert_int_equal(s.length, 536); /* the peer's SYN had no MSS */
	expect_nothing(&f);
	end(&f);
}

static void old_timestamps_are_refused(void **state)
{
	struct fixture f;

	begin(&f);
	f.timestamps = true;
	f.ts = 1000;
	established(&f);
	f.ts = 999;
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq);
	assert_int_equal(f.data, 0);
	f.ts = 1001;
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	struct tcp_segment s = expect(&f, TCP_ACK);
	assert_int_equal(s.ack, f.seq + 10);
	assert_int_equal(s.ts_echo, 1001);
	end(&f);
}

static void a_flood_of_syns_keeps_the_established_served(void **state)
{
	struct fixture f;
	struct tcp_segment s;
	struct paste_tcp_stats stats;

	begin_with(&f,
		   (struct paste_tcp_options){.delayed_ack_us = 1, .half_open = 16, .limits.connections = 4});
	established(&f);
	struct packet_path peer = f.path;
	for (uint32_t i = 0; i < 2000; i++) {
		uint8_t forged[4] = {10, 9, (uint8_t)(i >> 8), (uint8_t)(i | 1)};
		f.path.source = net_address4(forged);
		in(&f, TCP_SYN, i * 1000, 0, 0);
		while (out(&f, &s))
			;
	}
	f.path = peer;
	paste_tcp_stats(f.stack, &stats);
	assert_int_equal(stats.half_open, 16);
	assert_true(stats.half_open_evicted > 900);
	in(&f, TCP_ACK, f.seq, f.ack, 10);
	assert_int_equal(expect(&f, TCP_ACK).ack, f.seq + 10);
	assert_int_equal(f.data, 10);
	end(&f);
}

static void nobody_who_guesses_is_challenged_more_than_twice_a_second(void **state)
{
	struct fixture f;
	struct tcp_segment s;
	uint32_t answers = 0;

	begin(&f);
	established(&f);
	for (uint32_t i = 1; i <= 1000; i++) {
		in(&f, i & 1 ? TCP_RST : TCP_SYN, f.seq + i, 0, 0);
		answers += out(&f, &s);
		f.now += 1000;
	}
	assert_in_range(answers, 1, 3);
	assert_string_equal(state_of(&f), "ESTABLISHED");
	end(&f);
}

/* Whoever waits with ending until there are no connections waits for those that miss something. */
static void a_closed_connection_whose_peer_has_everything_is_not_waited_for(void **state)
{
	struct paste_send bytes = {.inline_bytes = "last", .inline_length = 4};
	struct paste_stack_stats stats;
	struct fixture f;

	begin(&f);
	established(&f);
	assert_int_equal(paste_conn_send(f.conn, &bytes, 1), 0);
	paste_conn_close(f.conn);
	turn(&f);
	assert_int_equal(expect(&f, TCP_ACK | TCP_FIN).length, 4);
	in(&f, TCP_ACK, f.seq, f.ack + 4, 0); /* all but the FIN */
	paste_stack_stats(f.stack, &stats);
	assert_int_equal(stats.connections, 1);
	in(&f, TCP_ACK, f.seq, f.ack + 5, 0);
	assert_string_equal(state_of(&f), "FIN-WAIT-2");
	paste_stack_stats(f.stack, &stats);
	assert_int_equal(stats.connections, 0);
	in(&f, TCP_ACK | TCP_FIN, f.seq, f.ack + 5, 0);
	assert_string_equal(state_of(&f), "TIME-WAIT");
	paste_stack_stats(f.stack, &stats);
	assert_int_equal(stats.connections, 0);
	assert_int_equal(stats.closed, 1);
	end(&f);
}

static void silent_peers_are_asked_and_then_given_up(void **state)
{
	struct fixture f;
	struct tcp_segment s;
	int asked = 0;

	begin_with(&f, (struct paste_tcp_options){.keep_alive_us = 9000000});
	established(&f);
	for (int i = 0; i < 3000 && !f.error; i++) {
		f.now += 10000;
		turn(&f);
		while (!f.error && out(&f, &s)) {
			assert_int_equal(s.seq, f.ack - 1);
			asked++;
		}
	}
	assert_int_equal(asked, 9);
	assert_int_equal(f.error, -ETIMEDOUT);
	end(&f);
}

/* --- a neighbour that is not known yet */

static void connect_unresolved(struct fixture *f)
{
	struct paste_send s = {.inline_bytes = "early", .inline_length = 5};
	struct paste_conn_info info;

	begin(f);
	f->neighbour = -EAGAIN;
	assert_int_equal(paste_stack_connect(f->stack, "10.0.0.1:2000", &f->conn, NULL), 0);
	assert_int_equal(paste_conn_info(f->conn, &info), 0);
	assert_string_equal(info.state, "SYN-SENT");
	f->stack_port = (uint16_t)atoi(strrchr(info.local, ':') + 1);
	assert_int_equal(paste_conn_send(f->conn, &s, 1), 0); /* nor does this make it leave */
	for (int ms = 0; ms < 500; ms++, f->now += 1000)
		turn(f);
	expect_nothing(f);
	assert_true(f->asked > 5 && f->asked < 40);
	assert_int_equal(f->error, 0);
}

static void a_syn_waits_for_its_neighbour(void **state)
{
	struct fixture f;

	connect_unresolved(&f);
	f.neighbour = 0;
	f.now += 60000;
	turn(&f);
	struct tcp_segment s = expect(&f, TCP_SYN);
	f.ack = s.seq + 1;
	in(&f, TCP_SYN | TCP_ACK, f.seq++, f.ack, 0);
	assert_int_equal(f.connects, 1);
	assert_int_equal(expect(&f, TCP_ACK).length, 5);
	uint32_t asked = f.asked;
	f.now += 1000000;
	turn(&f);
	assert_int_equal(f.asked, asked);
	paste_conn_abort(f.conn);
	end(&f);
}

static void a_neighbour_that_is_not_found_ends_it(void **state)
{
	for (int kind = 0; kind < 2; kind++) {
		struct fixture f;

		connect_unresolved(&f);
		if (kind == 1)
			f.neighbour = -ENETUNREACH;
		for (int ms = 0; ms < 11000 && !f.error; ms += 10, f.now += 10000)
			turn(&f);
		assert_int_equal(f.error, kind ? -ENETUNREACH : -EHOSTUNREACH);
		expect_nothing(&f);
		paste_conn_close(f.conn);
		end(&f);
	}
}

static void a_syn_that_comes_while_it_waits_is_answered_later(void **state)
{
	struct fixture f;

	connect_unresolved(&f);
	in(&f, TCP_SYN, f.seq++, 0, 0);
	turn(&f);
	expect_nothing(&f);
	f.neighbour = 0;
	f.now += 60000;
	turn(&f);
	f.ack = expect(&f, TCP_SYN | TCP_ACK).seq + 1;
	in(&f, TCP_ACK, f.seq, f.ack, 0);
	turn(&f);
	assert_int_equal(f.connects, 1);
	assert_int_equal(expect(&f, TCP_ACK).length, 5);
	paste_conn_abort(f.conn);
	end(&f);
}

static void giving_up_while_it_waits_sends_nothing(void **state)
{
	for (int kind = 0; kind < 2; kind++) {
		struct fixture f;

		connect_unresolved(&f);
		(kind ? paste_conn_abort : paste_conn_close)(f.conn);
		f.now += 1000000;
		f.neighbour = 0;
		turn(&f);
		expect_nothing(&f);
		end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(in_each_state_each_segment_has_its_answer),
	    cmocka_unit_test(resets_for_unknown_flows_are_acceptable_to_their_senders),
	    cmocka_unit_test(bytes_that_arrive_twice_are_delivered_once),
	    cmocka_unit_test(a_fin_before_the_bytes_that_precede_it_waits_for_them),
	    cmocka_unit_test(a_closed_window_opens_when_the_application_reads_and_never_shrinks),
	    cmocka_unit_test(our_probes_ask_for_a_closed_window),
	    cmocka_unit_test(replies_ride_with_the_acknowledgment),
	    cmocka_unit_test(lost_segments_are_sent_again_with_back_off_until_the_user_timeout),
	    cmocka_unit_test(three_duplicates_make_it_send_again_at_once),
	    cmocka_unit_test(old_timestamps_are_refused),
	    cmocka_unit_test(a_flood_of_syns_keeps_the_established_served),
	    cmocka_unit_test(nobody_who_guesses_is_challenged_more_than_twice_a_second),
	    cmocka_unit_test(a_closed_connection_whose_peer_has_everything_is_not_waited_for),
	    cmocka_unit_test(silent_peers_are_asked_and_then_given_up),
	    cmocka_unit_test(a_syn_waits_for_its_neighbour),
	    cmocka_unit_test(a_neighbour_that_is_not_found_ends_it),
	    cmocka_unit_test(a_syn_that_comes_while_it_waits_is_answered_later),
	    cmocka_unit_test(giving_up_while_it_waits_sends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
