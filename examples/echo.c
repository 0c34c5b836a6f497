/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * echo REGION INTERFACE HOST:PORT [spin]: send back what comes, from where it landed.
 *
 * A DATA event hands over a slice of the buffer that the packet was received into, with a user count; sending
 * it by reference hands the count on, and the stack puts it when the peer has acknowledged the bytes. Nothing
 * is copied but what is so small that copying it behind the headers is cheaper.
 */
#include "examples.h"

#define EVENTS 256

static void echo(struct paste_conn *c, struct paste_ref slice, struct paste_region *region)
{
	struct paste_send back = {.ref = slice};

	/* A peer that does not read what it is sent is cut off; a dead one is told of by an event. */
	if (paste_conn_send(c, &back, 1) < 0) {
		paste_ref_put(region, slice);
		paste_conn_abort(c);
		paste_conn_set_user(c, NULL);
	}
}

int echo_round(struct paste_stack *stack, struct paste_store *store, int64_t timeout_us)
{
	struct paste_region *region = paste_store_region(store);
	struct paste_event event[EVENTS];
	int n = paste_stack_poll(stack, event, EVENTS, timeout_us);

	for (int i = 0; i < n; i++) {
		struct paste_conn *c = event[i].conn;

		switch (event[i].type) {
		case PASTE_EVENT_DATA:
			/* Events of a connection that was aborted in this batch may follow: their user is
			 * NULL. */
			if (c->user)
				echo(c, event[i].slice, region);
			else
				paste_ref_put(region, event[i].slice);
			break;
		case PASTE_EVENT_ACCEPT:
			paste_conn_set_user(c, c);
			break;
		case PASTE_EVENT_EOF: /* what is queued is sent first */
		case PASTE_EVENT_ERROR:
			if (c->user)
				paste_conn_close(c);
			paste_conn_set_user(c, NULL);
			break;
		default:
			break;
		}
	}
	return n;
}

int main(int argc, char **argv)
{
	return example_serve(argc, argv, echo_round);
}
