/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reflector REGION INTERFACE UDP-PORT: send every datagram back where it came from.
 *
 * The packet is answered in the buffer it arrived in: receive and transmit slot exchange their buffers.
 * Exchanging source and destination leaves every checksum right.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples.h"

static void exchange(uint8_t *a, uint8_t *b, size_t n)
{
	uint8_t spare[16];

	memcpy(spare, a, n);
	memcpy(a, b, n);
	memcpy(b, spare, n);
}

/* False: not UDP right behind an IPv4 or IPv6 header, in one piece. */
static bool turn_round(uint8_t *p, uint32_t length)
{
	if (length < 42)
		return false;
	bool six = p[12] == 0x86 && p[13] == 0xdd, four = p[12] == 0x08 && p[13] == 0x00;
	uint32_t udp = six ? 54 : 14 + (p[14] & 15u) * 4;
	if (!(six || four) || p[six ? 20 : 23] != 17 || length < udp + 8)
		return false;
	exchange(p, p + 6, 6);
	exchange(p + (six ? 22 : 26), p + (six ? 38 : 30), six ? 16 : 4);
	exchange(p + udp, p + udp + 2, 2);
	return true;
}

/* One round. The number of packets sent back, or a negative errno. */
int reflector_round(struct paste_port *port)
{
	struct paste_ring *in = &port->receive[0], *out = &port->transmit[0];
	int sent = 0, ret = paste_port_sync_receive(port, 0);

	if (ret < 0)
		return ret;
	for (; in->cur != in->tail && out->head != out->tail; in->head = ++in->cur) {
		struct paste_slot *from = paste_ring_slot(in, in->cur), *to;
		uint8_t *packet = paste_buffer_data(port->region, from->buffer) + from->offset;
		if ((from->flags & PASTE_SLOT_MORE) || !turn_round(packet, from->length))
			continue;
		to = paste_ring_slot(out, out->head++);
		uint32_t spare = to->buffer;
		*to = *from;
		from->buffer = spare;
		sent++;
	}
	out->cur = out->head;
	ret = paste_port_sync_transmit(port, 0);
	return ret < 0 ? ret : sent;
}

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = 1;
}

int main(int argc, char **argv)
{
	struct paste_open_options open = {.path = argc == 4 ? argv[1] : NULL, .released = paste_xdp_released};
	struct paste_error err = {{0}};
	struct paste_store *store;
	struct paste_port *port;
	int ret;

	if (argc != 4) {
		fprintf(stderr, "usage: reflector REGION INTERFACE UDP-PORT\n");
		return 2;
	}
	if (paste_store_open(&open, &store, &err) < 0 ||
	    example_port(paste_store_region(store), argv[2], argv[3], &port, &err) < 0) {
		fprintf(stderr, "reflector: %s\n", err.text);
		return 1;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	do {
		ret = paste_port_poll(port, 100000);
		if (ret >= 0)
			ret = reflector_round(port);
	} while (ret >= 0 && !stop);
	paste_port_close(port);
	return paste_store_close(store) < 0 || ret < 0;
}
