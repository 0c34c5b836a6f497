/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client.h - ordinary sockets as the peers of a stack, and a server loop for tests.
 *
 * A peer's socket blocks with a time-out of some seconds, so that a test that waits in vain fails instead of
 * hanging. Where both ends must move at once a peer runs in a thread of its own.
 */
#ifndef TESTS_CLIENT_H
#define TESTS_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_region.h"
#include "paste/stack.h"

struct server {
	struct paste_region *region;
	struct paste_stack *stack;
	char address[64];
	int port;
};

/* Listens on 127.0.0.1. Skips the test program (exit 77) where io_uring is forbidden. */
struct server server_begin(uint32_t buffers, const struct paste_stack_limits *limits);
/* Closes the stack and proves that every buffer is back. */
void server_end(struct server *s);

/* Poll once. */
int server_poll(struct server *s, struct paste_event *events, int max, int64_t timeout_us);
/* Poll until one event of this type comes; drops (and puts) the others. Fails after 5 s. */
struct paste_event server_expect(struct server *s, enum paste_event_type type);
/* Poll for `us` and demand that no event comes. */
void server_expect_quiet(struct server *s, int64_t us);
/* Poll until no connection is left. */
void server_until_empty(struct server *s);

int client_connect(int port);
void client_send(int fd, const void *bytes, size_t n);
void client_expect(int fd, const void *bytes, size_t n);
void client_expect_end(int fd);
void client_reset(int fd); /* close with RST */

/* Byte i of the test pattern. */
static inline uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 131 + (i >> 11) * 17 + (i >> 23));
}

void put_event(struct server *s, const struct paste_event *e);

#endif
