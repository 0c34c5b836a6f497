/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_stack.h - a transport in memory: a script is the clients.
 *
 *	c = fake_connect(stack);
 *	fake_client_sends(c, "GET / HTTP/1.1\r\n...", n);    received by the next poll, in pieces of one
 *buffer fake_client_ends(c);                                 half-close text = fake_client_got(c, &length);
 *all that it was sent
 *
 * It holds the application to the contract of stack.h: no call on a closed connection, no DATA while paused.
 */
#ifndef TESTS_FAKE_STACK_H
#define TESTS_FAKE_STACK_H

#include "paste/stack.h"

struct fake_conn;

struct paste_stack *fake_stack_new(struct paste_region *region);
void fake_stack_free(struct paste_stack *s); /* every connection must be closed */

struct fake_conn *fake_connect(struct paste_stack *s);
void fake_client_sends(struct fake_conn *c, const void *bytes, size_t n);
void fake_client_says(struct fake_conn *c, const char *text);
void fake_client_ends(struct fake_conn *c);
void fake_client_resets(struct fake_conn *c);

/* Terminated by a 0 that does not count. */
const char *fake_client_got(struct fake_conn *c, size_t *length);
void fake_client_forgets(struct fake_conn *c);         /* what it got so far */
bool fake_client_is_closed(const struct fake_conn *c); /* by the server, in order */
bool fake_client_is_reset(const struct fake_conn *c);
bool fake_is_paused(const struct fake_conn *c);

/* Take nothing more: sends are answered -EAGAIN; or take again, with a WRITABLE event. */
void fake_client_takes(struct fake_conn *c, bool takes);
/* Take sends until so many more bytes have come, then no more. */
void fake_client_takes_bytes(struct fake_conn *c, size_t n);

/* Bytes of a slice, at most: to split what clients send at will. 0: a whole buffer. */
void fake_stack_set_piece(struct paste_stack *s, uint32_t bytes);
/* Where in a buffer received bytes begin. */
void fake_stack_set_offset(struct paste_stack *s, uint32_t offset);
/* Called whenever bytes have left for a client. */
void fake_stack_on_send(struct paste_stack *s, void (*call)(void *arg), void *arg);
void fake_stack_set_waiting(struct paste_stack *s, uint32_t connections);

#endif
