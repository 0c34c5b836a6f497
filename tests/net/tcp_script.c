/* SPDX-License-Identifier: BSD-2-Clause */
#include "tcp_script.h"

#define PORT 8080
#define PEER_PORT 2000
#define EVENTS 32

static uint64_t clock_of(void *arg)
{
	return ((struct script *)arg)->now;
}

static int neighbour(void *arg, const uint8_t address[16], uint8_t mac[6])
{
	struct script *f = arg;

	f->asked++;
	memcpy(mac, f->port[0]->info.mac, 6);
	return f->neighbour;
}

void script_begin_with(struct script *f, struct paste_tcp_options o)
{
	*f = (struct script){.region = fake_region_new(1024, 2048),
			     .now = 1000000,
			     .seq = 5000,
			     .stack_port = PORT,
			     .peer_port = PEER_PORT};
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

void script_begin(struct script *f)
{
	script_begin_with(f, (struct paste_tcp_options){.delayed_ack_us = 1});
}

void script_end(struct script *f)
{
	paste_stack_close(f->stack);
	paste_port_close(f->port[0]);
	paste_port_close(f->port[1]);
	region_proved(f->region);
}

static void take(struct script *f, struct paste_ref slice)
{
	const uint8_t *bytes = paste_ref_data(f->region, slice);

	for (uint32_t i = 0; i < slice.length && f->data + i < sizeof(f->got); i++)
		f->got[f->data + i] = bytes[i];
	f->data += slice.length;
	paste_ref_put(f->region, slice);
}

void script_turn(struct script *f)
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
				take(f, e[i].slice);
			f->connects += e[i].type == PASTE_EVENT_CONNECT;
			f->eofs += e[i].type == PASTE_EVENT_EOF;
			if (e[i].type == PASTE_EVENT_ERROR)
				f->error = e[i].error;
		}
	}
}

void script_put(struct script *f, struct tcp_segment s)
{
	struct paste_ring *r = f->port[0]->transmit;
	struct paste_slot *slot = paste_ring_slot(r, r->head++);
	uint8_t *frame = paste_buffer_data(f->region, slot->buffer) + 64, bytes[2000];
	struct packet_piece piece = {bytes, s.length};

	memset(bytes, f->fill, sizeof(bytes));
	s.source_port = f->peer_port;
	s.destination_port = f->stack_port;
	if (!(s.flags & TCP_SYN))
		s.scale = TCP_SCALE_NONE;
	s.timestamps = f->timestamps;
	s.ts_value = f->ts;
	uint32_t header = tcp_segment_build(frame, &f->path, &s, &piece, 1, false);
	memcpy(frame + header, bytes, s.length);
	slot->offset = 64;
	slot->length = (uint16_t)(header + s.length);
	slot->flags = 0;
	r->cur = r->head;
	assert_true(paste_port_sync_transmit(f->port[0], 0) >= 0);
	script_turn(f);
}

void in(struct script *f, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t length)
{
	script_put(f, (struct tcp_segment){.flags = flags,
					   .seq = seq,
					   .ack = ack,
					   .length = length,
					   .window = 60000,
					   .scale = TCP_SCALE_NONE});
}

/* The next segment from the stack. False: there is none. */
bool out(struct script *f, struct tcp_segment *s)
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

struct tcp_segment expect(struct script *f, uint8_t flags)
{
	struct tcp_segment s = {.flags = 0};

	if (!out(f, &s))
		fail_msg("no segment came");
	assert_int_equal(s.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK), flags);
	return s;
}

void expect_nothing(struct script *f)
{
	struct tcp_segment s;

	assert_false(out(f, &s));
}

const char *state_of(const struct script *f)
{
	struct paste_conn_info info = {.state = "LISTEN"};
	uint32_t cursor = 0;
	struct paste_conn *c = paste_stack_next(f->stack, &cursor);

	if (c)
		assert_int_equal(paste_conn_info(c, &info), 0);
	return info.state;
}

/* --- ways to a state */

void syn_received(struct script *f)
{
	in(f, TCP_SYN, f->seq++, 0, 0);
	struct tcp_segment s = expect(f, TCP_SYN | TCP_ACK);
	assert_int_equal(s.ack, f->seq);
	f->ack = s.seq + 1;
}

void established(struct script *f)
{
	syn_received(f);
	in(f, TCP_ACK, f->seq, f->ack, 0);
	expect_nothing(f);
	assert_int_equal(f->accepts, 1);
}

void fin_in(struct script *f, uint32_t ack)
{
	in(f, TCP_FIN | TCP_ACK, f->seq++, ack, 0);
	struct tcp_segment s = expect(f, TCP_ACK);
	assert_int_equal(s.ack, f->seq);
	assert_int_equal(f->eofs, 1);
}

void fin_out(struct script *f)
{
	assert_int_equal(paste_conn_shut(f->conn), 0);
	script_turn(f);
	struct tcp_segment s = expect(f, TCP_FIN | TCP_ACK);
	assert_int_equal(s.seq, f->ack);
}

void reach(struct script *f, const char *state)
{
	if (strcmp(state, "SYN-SENT") == 0) {
		struct paste_conn_info info;
		assert_int_equal(paste_stack_connect(f->stack, "10.0.0.1:2000", &f->conn, NULL), 0);
		assert_int_equal(paste_conn_info(f->conn, &info), 0);
		f->stack_port = (uint16_t)atoi(strrchr(info.local, ':') + 1);
		script_turn(f);
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
