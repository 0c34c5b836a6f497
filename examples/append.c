/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * append REGION INTERFACE HOST:PORT: each line becomes an entry of the stream "lines", where it landed. The
 * answer is a line with the number of an entry: that line and all before it on the connection are durable.
 * What all connections sent becomes durable together.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples.h"

#define EVENTS 256
#define PIECES 16 /* of a line, at most; a longer one ends the connection */

struct session {                        /* the connection's user pointer; NULL: closed */
	struct paste_ref piece[PIECES]; /* the beginning of a line, with user counts */
	uint32_t n;
	uint64_t last; /* entry that is not answered; 0: none */
};

static void drop_pieces(struct session *s, struct paste_store *store)
{
	while (s->n > 0)
		paste_ref_put(paste_store_region(store), s->piece[--s->n]);
}

static int data(struct session *s, struct paste_store *store, struct paste_ref slice)
{
	struct paste_result result;

	while (slice.length > 0 && s->n < PIECES) {
		const uint8_t *bytes = paste_ref_data(paste_store_region(store), slice);
		const uint8_t *end = memchr(bytes, '\n', slice.length);
		struct paste_ref piece = {slice.buffer, slice.offset,
					  end ? (uint16_t)(end - bytes) : slice.length};
		slice.offset = (uint16_t)(slice.offset + piece.length + 1);
		slice.length = (uint16_t)(slice.length - piece.length - (end != NULL));
		paste_ref_get(paste_store_region(store), piece);
		s->piece[s->n++] = piece;
		if (!end)
			return 0;
		int ret = paste_store_append(store, "lines", 5, s->piece, s->n, &result);
		if (ret < 0)
			return ret;
		drop_pieces(s, store);
		s->last = result.version;
	}
	return slice.length ? -EMSGSIZE : 0;
}

static void answer(struct paste_conn *c, struct session *s)
{
	char text[24];
	struct paste_send send = {.inline_bytes = text};

	send.inline_length = (uint32_t)snprintf(text, sizeof(text), "%llu\n", (unsigned long long)s->last);
	/* If it is not taken the client does not read, and the next number says this as well. */
	if (paste_conn_send(c, &send, 1) == 0)
		s->last = 0;
}

static void end_session(struct paste_conn *c, struct paste_store *store, void (*end)(struct paste_conn *c))
{
	drop_pieces(c->user, store);
	free(c->user);
	c->user = NULL;
	end(c);
}

int append_round(struct paste_stack *stack, struct paste_store *store, int64_t timeout_us)
{
	struct paste_event event[EVENTS], *e;
	int n = paste_stack_poll(stack, event, EVENTS, timeout_us);

	for (e = event; e < event + n; e++) {
		if (e->type == PASTE_EVENT_ACCEPT && !(e->conn->user = calloc(1, sizeof(struct session))))
			return -ENOMEM;
		if (e->type == PASTE_EVENT_DATA && e->conn->user && data(e->conn->user, store, e->slice) < 0)
			end_session(e->conn, store, paste_conn_abort);
		if (e->type == PASTE_EVENT_DATA)
			paste_ref_put(paste_store_region(store), e->slice);
	}
	int64_t round = n < 0 ? n : paste_store_commit(store);
	int64_t durable = round > 0 ? paste_store_wait(store, (uint64_t)round) : round;
	for (e = event; e < event + n && durable >= 0; e++) {
		if (e->conn->user && ((struct session *)e->conn->user)->last)
			answer(e->conn, e->conn->user);
		if (e->conn->user && (e->type == PASTE_EVENT_EOF || e->type == PASTE_EVENT_ERROR))
			end_session(e->conn, store, paste_conn_close);
	}
	int ret = durable < 0 ? (int)durable : paste_store_maintain(store, n == 0);
	return ret < 0 ? ret : n;
}

int main(int argc, char **argv)
{
	return example_serve(argc, argv, append_round);
}
