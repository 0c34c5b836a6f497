/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forwarder REGION INTERFACE INTERFACE UDP-PORT: what arrives for a UDP port on one interface leaves by the
 * other.
 *
 * Both ports are of one region, so a packet is passed on by exchanging buffers between a receive and a
 * transmit slot. Where the transmit ring is full, packets stay in the receive ring.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "examples.h"

/* The slots of the packet at cur. */
static uint32_t packet_slots(const struct paste_ring *r)
{
	uint32_t n = 1;

	while (paste_ring_slot(r, r->cur + n - 1)->flags & PASTE_SLOT_MORE)
		n++;
	return n;
}

static int forward(struct paste_port *from, struct paste_port *to)
{
	struct paste_ring *in = &from->receive[0], *out = &to->transmit[0];
	int passed = 0, ret = paste_port_sync_receive(from, 0);

	if (ret < 0)
		return ret;
	for (; in->cur != in->tail; passed++) {
		uint32_t n = packet_slots(in);
		if (paste_ring_available(out) < n)
			break;
		for (; n > 0; n--, in->cur++, out->head++) {
			struct paste_slot *source = paste_ring_slot(in, in->cur);
			struct paste_slot *target = paste_ring_slot(out, out->head);
			uint32_t spare = target->buffer;
			*target = *source;
			source->buffer = spare;
		}
	}
	in->head = in->cur;
	out->cur = out->head;
	ret = paste_port_sync_transmit(to, 0);
	return ret < 0 ? ret : passed;
}

/* One round, both ways. The number of packets passed on, or a negative errno. */
int forwarder_round(struct paste_port *a, struct paste_port *b)
{
	int there = forward(a, b), back = there < 0 ? there : forward(b, a);

	return back < 0 ? back : there + back;
}

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = 1;
}

int main(int argc, char **argv)
{
	struct paste_open_options open = {.path = argc == 5 ? argv[1] : NULL, .released = paste_xdp_released};
	struct paste_error err = {{0}};
	struct paste_store *store;
	struct paste_port *a, *b;
	int ret;

	if (argc != 5) {
		fprintf(stderr, "usage: forwarder REGION INTERFACE INTERFACE UDP-PORT\n");
		return 2;
	}
	if (paste_store_open(&open, &store, &err) < 0 ||
	    example_port(paste_store_region(store), argv[2], argv[4], &a, &err) < 0 ||
	    example_port(paste_store_region(store), argv[3], argv[4], &b, &err) < 0) {
		fprintf(stderr, "forwarder: %s\n", err.text);
		return 1;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	do {
		/* Two ports, one thread: look at both all the time. */
		ret = forwarder_round(a, b);
	} while (ret >= 0 && !stop);
	paste_port_close(a);
	paste_port_close(b);
	return paste_store_close(store) < 0 || ret < 0;
}
