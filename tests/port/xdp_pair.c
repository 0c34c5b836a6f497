/* SPDX-License-Identifier: BSD-2-Clause */
#include "xdp_pair.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- frames --- */

static uint8_t pattern(uint32_t number, uint32_t i)
{
	return (uint8_t)(number * 131 + i * 7 + (i >> 8));
}

/* A UDP frame of `bytes` bytes with a number and a pattern; without a checksum, which IPv4 allows. */
void build(uint8_t *f, uint32_t bytes, uint32_t number, bool to_here)
{
	uint32_t ip = bytes - 14, udp = bytes - 34, sum = 0;
	uint16_t headers[] = {0x4500,
			      (uint16_t)ip,
			      1,
			      0x4000,
			      0x4011,
			      0,
			      0x0a01,
			      to_here ? 0x0102 : 0x0101,
			      0x0a01,
			      to_here ? 0x0101 : 0x0102,
			      4000,
			      UDP_PORT,
			      (uint16_t)udp,
			      0};

	for (unsigned i = 0; i < 10; i++)
		sum += headers[i];
	sum = (sum & 0xffff) + (sum >> 16);
	headers[5] = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
	memcpy(f, to_here ? VETH_HERE_MAC : VETH_THERE_MAC, 6);
	memcpy(f + 6, to_here ? VETH_THERE_MAC : VETH_HERE_MAC, 6);
	memcpy(f + 12, "\x08\0", 2);
	for (unsigned i = 0; i < 14; i++) {
		f[14 + i * 2] = (uint8_t)(headers[i] >> 8);
		f[15 + i * 2] = (uint8_t)headers[i];
	}
	for (uint32_t i = HEADERS; i < bytes; i++)
		f[i] = pattern(number, i);
	memcpy(f + HEADERS, &number, 4);
}

uint32_t number_of(const uint8_t *f)
{
	uint32_t number;

	memcpy(&number, f + HEADERS, 4);
	return number;
}

void assert_frame(const uint8_t *f, uint32_t bytes, uint32_t number, bool to_here)
{
	static uint8_t expected[65536];

	build(expected, bytes, number, to_here);
	assert_memory_equal(f, expected, bytes);
}

static bool is_ours(const uint8_t *f, ssize_t n)
{
	return n > HEADERS && f[12] == 8 && f[13] == 0 && f[23] == 17 && f[36] == UDP_PORT >> 8 &&
	       f[37] == (UDP_PORT & 255);
}

/* --- a port and its peer --- */

static struct paste_xdp_rule our_rule(void)
{
	struct paste_xdp_rule rule = {.port = UDP_PORT, .protocol = IPPROTO_UDP};

	memcpy(rule.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x01\x01", 16);
	return rule;
}

void pair_open(struct pair *p, const struct veth *veth, struct paste_xdp_options options,
	       uint32_t buffer_size)
{
	struct paste_xdp_rule rule = our_rule();
	struct paste_error err = {{0}};

	options.ifname = VETH_HERE;
	options.rules = &rule;
	options.rules_n = 1;
	p->veth = veth;
	p->r = landing_open(REGION_BYTES, buffer_size);
	if (paste_xdp_open(p->r, &options, &p->port, &err) < 0)
		fail_msg("%s", err.text);
	p->peer = veth_packet_socket(veth, veth->there, VETH_THERE, 3);
}

void pair_close(struct pair *p)
{
	close(p->peer);
	paste_port_close(p->port);
	landing_close(p->r);
}

void peer_send(struct pair *p, const uint8_t *frame, uint32_t bytes)
{
	assert_int_equal(send(p->peer, frame, bytes, 0), bytes);
}

/* The next frame of ours that the peer got. */
ssize_t peer_receive(struct pair *p, uint8_t *frame, size_t most)
{
	struct pollfd polled = {.fd = p->peer, .events = POLLIN};

	while (poll(&polled, 1, 2000) > 0) {
		ssize_t n = recv(p->peer, frame, most, 0);
		/* What the peer itself sent is seen here too. */
		if (is_ours(frame, n) && !memcmp(frame, VETH_THERE_MAC, 6))
			return n;
	}
	return -1;
}

/* Sync until `n` slots are there. */
struct paste_ring *await(struct pair *p, uint32_t queue, uint32_t n)
{
	struct paste_ring *r = &p->port->receive[queue];

	for (int tries = 0; tries < 200; tries++) {
		int there = paste_port_sync_receive(p->port, queue);
		assert_true(there >= 0);
		if ((uint32_t)there >= n)
			return r;
		r->cur = r->tail;
		assert_true(paste_port_poll(p->port, 20000) >= 0);
	}
	fail_msg("%u of %u slots arrived", paste_ring_available(r), n);
	return r;
}

void release(struct pair *p, uint32_t queue, uint32_t n)
{
	struct paste_ring *r = &p->port->receive[queue];

	r->head += n;
	if ((int32_t)(r->cur - r->head) < 0)
		r->cur = r->head;
	assert_true(paste_port_sync_receive(p->port, queue) >= 0);
}

uint8_t *slot_data(struct pair *p, const struct paste_slot *slot)
{
	return paste_buffer_data(p->r, slot->buffer) + slot->offset;
}

void send_own(struct pair *p, uint32_t bytes, uint32_t number, uint16_t offset)
{
	struct paste_ring *r = &p->port->transmit[0];

	for (int tries = 0; paste_ring_available(r) == 0 && tries < 1000; tries++)
		assert_true(paste_port_sync_transmit(p->port, 0) >= 0);
	assert_true(paste_ring_available(r) > 0);
	struct paste_slot *slot = paste_ring_slot(r, r->head);
	slot->offset = offset;
	slot->length = (uint16_t)bytes;
	build(slot_data(p, slot), bytes, number, false);
	r->head++;
}

void all_sent(struct pair *p)
{
	for (int tries = 0; tries < 1000; tries++) {
		int n = paste_port_sync_transmit(p->port, 0);
		assert_true(n >= 0);
		if ((uint32_t)n == p->port->transmit[0].size)
			return;
		usleep(1000);
	}
	fail_msg("%u slots stay under way",
		 p->port->transmit[0].size - paste_ring_available(&p->port->transmit[0]));
}
