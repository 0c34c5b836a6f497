/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_http.c - a whole connection under libFuzzer: the input is what a client sends, and how it is cut.
 *
 * The first two bytes choose the size of the pieces, where in a buffer they begin, and whether rounds are
 * held back and the client takes its replies; the rest is sent. Checked: no memory error, no buffer lost, and
 * that cutting the same bytes elsewhere makes no difference to what the client gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_region.h"
#include "fake_stack.h"
#include "fake_store.h"
#include "serve/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct choices {
	uint32_t piece, offset;
	bool hold, blocked;
};

/* What the client got, on the heap. */
static char *run(const uint8_t *bytes, size_t n, struct choices choices)
{
	struct paste_region *region = fake_region_new(256, 2048);
	struct paste_store *store = fake_store_new(region);
	struct paste_stack *stack = fake_stack_new(region);
	struct service_options options = {.stack = stack,
					  .store = store,
					  .max_body = 20000,
					  .idle_us = SERVICE_NEVER,
					  .request_us = SERVICE_NEVER};
	struct service_time now = {.monotonic_us = 1, .unix_ms = 784111777000};
	struct paste_event events[SERVICE_BATCH];
	struct service *service;
	int count, waits = 0;

	if (service_open(&options, &service, NULL))
		abort();
	fake_stack_set_piece(stack, choices.piece);
	fake_stack_set_offset(stack, choices.offset);
	fake_store_hold_rounds(store, choices.hold);
	struct fake_conn *c = fake_connect(stack);
	fake_client_sends(c, bytes, n);
	fake_client_ends(c);
	fake_client_takes(c, !choices.blocked);
	do {
		count = paste_stack_poll(stack, events, SERVICE_BATCH, 0);
		if (service_turn(service, now, events, count) == SERVICE_AT_ONCE)
			count = 1;
		if (!count && choices.blocked) {
			fake_client_takes(c, true);
			choices.blocked = false;
			count = 1;
		} else if (!count && choices.hold) {
			fake_store_hold_rounds(store, false);
			choices.hold = false;
			count = 1;
		} else if (!count && !fake_client_is_closed(c) && waits++ < 1000) { /* it follows streams */
			now.monotonic_us += INT64_C(3601000000);
			count = 1;
		}
	} while (count);
	if (!fake_client_is_closed(c))
		abort(); /* the client has ended, and all its requests could be answered */
	char *got = strdup(fake_client_got(c, NULL));
	service_close(service);
	fake_stack_free(stack);
	fake_store_free(store);
	if (fake_region_out(region))
		abort();
	fake_region_free(region);
	return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 20000)
		return 0;
	struct choices choices = {
	    .piece = 1u + data[0], .offset = data[1] & 31, .hold = data[1] & 32, .blocked = data[1] & 64};
	char *cut = run(data + 2, size - 2, choices), *whole = run(data + 2, size - 2, (struct choices){0});

	/* 100 Continue is sent only if the body is not there yet, and counters differ: leave those out. */
	if (!strstr(cut, "100 Continue") && !memmem(data, size, "/metrics", 8) && strcmp(cut, whole)) {
		fprintf(stderr, "cut:\n%s\nwhole:\n%s\n", cut, whole);
		abort();
	}
	free(cut);
	free(whole);
	return 0;
}
