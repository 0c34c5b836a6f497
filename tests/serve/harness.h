/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harness.h - a service over a transport, a region and a store that are all in memory.
 *
 * harness_end() proves that every buffer is free again once the connections and the stored values are gone.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_region.h"
#include "fake_stack.h"
#include "fake_store.h"
#include "serve/service.h"

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

struct harness {
	struct paste_region *region;
	struct paste_store *store;
	struct paste_stack *stack;
	struct service *service;
	struct service_time now;
};

struct harness harness_begin_sized(uint32_t buffers, uint32_t buffer_size, uint64_t max_body);
struct harness harness_begin_timed(int64_t idle_us, int64_t request_us);
struct harness harness_begin(void); /* 512 buffers of 2048 bytes, bodies up to 100,000 bytes */
void harness_end(struct harness *h);

/* Poll and work once; what service_turn() says. */
int harness_turn(struct harness *h);
/* Until no event comes any more. */
void harness_run(struct harness *h);

/* Send text on a new connection, run, and return what came back (valid until harness_end()). */
const char *harness_ask(struct harness *h, const char *request);

struct fake_conn *harness_client(struct harness *h, const char *request);
void expect_got(struct fake_conn *c, const char *expected);

#endif
