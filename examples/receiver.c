/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receiver REGION INTERFACE UDP-PORT: keep every packet to a UDP port durably, where it landed.
 *
 * A packet becomes an entry of the stream "packets", headers and all; `pst serve REGION` hands it out again.
 * The bytes are not copied: the store takes slices of the buffers that the packet was received into, and the
 * port, which notices, puts other buffers into its ring. All packets of a round are made durable together.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "examples.h"

#define FRAGMENTS 16

/* The slots of the packet at cur, as slices. */
static uint32_t packet_slices(struct paste_ring *r, struct paste_ref slices[FRAGMENTS])
{
	const struct paste_slot *slot;
	uint32_t n = 0;

	do {
		slot = paste_ring_slot(r, r->cur++);
		if (n < FRAGMENTS)
			slices[n++] = (struct paste_ref){slot->buffer, slot->offset, slot->length};
	} while (slot->flags & PASTE_SLOT_MORE);
	return n;
}

/* One round: what has arrived is durable when it returns. The number of packets, or a negative errno. */
int receiver_round(struct paste_port *port, struct paste_store *store)
{
	struct paste_ring *r = &port->receive[0];
	struct paste_result result;
	int kept = 0, ret = paste_port_sync_receive(port, 0);

	while (ret >= 0 && r->cur != r->tail) {
		struct paste_ref slices[FRAGMENTS];
		uint32_t n = packet_slices(r, slices);
		ret = paste_store_append(store, "packets", 7, slices, n, &result);
		kept += ret == 0;
	}
	r->head = r->cur; /* back to the port: buffers without a slice to receive again, the others to be
			     replaced */
	if (ret < 0)
		return ret;
	int64_t round = paste_store_commit(store);
	int64_t durable = round < 0 ? round : paste_store_wait(store, (uint64_t)round);
	if (durable < 0)
		return (int)durable;
	ret = paste_store_maintain(store, kept == 0);
	return ret < 0 ? ret : kept;
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
	unsigned long long kept = 0;
	int ret;

	if (argc != 4) {
		fprintf(stderr, "usage: receiver REGION INTERFACE UDP-PORT\n");
		return 2;
	}
	if (paste_store_open(&open, &store, &err) < 0 ||
	    example_port(paste_store_region(store), argv[2], argv[3], &port, &err) < 0) {
		fprintf(stderr, "receiver: %s\n", err.text);
		return 1;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	do {
		ret = paste_port_poll(port, 100000);
		if (ret >= 0)
			ret = receiver_round(port, store);
		kept += ret > 0 ? (unsigned)ret : 0;
	} while (ret >= 0 && !stop);
	printf("%llu packets kept\n", kept);
	paste_port_close(port);
	return paste_store_close(store) < 0 || ret < 0;
}
