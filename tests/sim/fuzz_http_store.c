/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_http_store.c - whole connections to the service over a real store on a simulated medium: the input is
 * what clients send, and where it crashes.
 *
 * Byte 0: the size of the pieces that arrive. Byte 1: medium, where in a buffer they begin, whether rounds
 * take time, whether it ends in order or crashes. The rest: what the clients send, cut into connections at
 * each 0xff 0x00. Checked: no memory error, no assertion; every client is answered and closed; the store
 * finds nothing wrong, also when it is opened again, and then its keys and streams are those that it had; no
 * buffer has a user left.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fuzz/need.h"
#include "fake_stack.h"
#include "http_world.h"
#include "paste/list.h"

#define SIZE (1u << 20)
#define CONNECTIONS_MAX 8
#define TURNS_MAX 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum sim_kind kinds[] = {SIM_ADR, SIM_FILE, SIM_SHM, SIM_EADR};

/* Made once for each kind: a region with nothing in it. */
static const uint8_t *blank(int kind)
{
	static uint8_t *images[4];

	if (!images[kind]) {
		images[kind] = aligned_alloc(4096, SIZE);
		NEED(images[kind]);
		memset(images[kind], 0, SIZE);
		struct sim_options o = {.kind = kinds[kind], .size = SIZE, .seed = 1, .left = images[kind]};
		struct media *m = sim_open(&o);
		NEED(m);
		http_world_create(m, SIZE, 0);
		media_close(m);
	}
	return images[kind];
}

static void damaged(void *arg, const struct paste_damage *damage)
{
	fprintf(stderr, "damage: %s\n", damage->what);
	abort();
}

/* A number that stands for all keys with their versions and all streams with their ranges. */
static uint64_t contents(struct paste_store *s)
{
	uint64_t sum = 0;
	uint8_t after[PASTE_KEY_MAX];

	for (int streams = 0; streams < 2; streams++) {
		struct paste_listed item;
		size_t length = 0;
		int rc;

		while ((rc = (streams ? paste_store_list_streams : paste_store_list)(
			    s, NULL, 0, length ? after : NULL, length, &item)) != -ENOENT) {
			memcpy(after, item.name, length = item.name_length);
			if (rc == 0)
				sum = sum * 31 + item.version + item.length * 7 + item.first * 11 +
				      item.next * 13 + length + after[length - 1];
			NEED(rc == 0 || rc == -EAGAIN);
		}
	}
	return sum;
}

static void open_world(struct http_world *w, const uint8_t *image, uint8_t *left, int kind, bool take_time,
		       bool crashes)
{
	struct sim_options o = {.kind = kinds[kind],
				.size = SIZE,
				.seed = 2,
				.image = image,
				.left = left,
				.forgetful = !crashes};
	struct http_world_options options = {.now = {.monotonic_us = 1, .unix_ms = 784111777000},
					     .take_time = take_time};
	struct paste_error err = {""};
	struct media *m = sim_open(&o);

	NEED(m);
	NEED(http_world_open(w, m, &options, &err) == 0);
}

/* Until every client has been answered and closed. */
static void serve(struct http_world *w, struct fake_conn **clients, int n)
{
	int open = n;

	for (int turn = 0; open; turn++) {
		NEED(turn < TURNS_MAX);
		/* Nothing happens any more: somebody waits for entries, or for a round. */
		if (!http_world_turn(w))
			w->now.monotonic_us += turn % 100 ? 1000 : INT64_C(3601000000);
		open = 0;
		for (int i = 0; i < n; i++)
			open += !fake_client_is_closed(clients[i]) && !fake_client_is_reset(clients[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t left[SIZE];
	struct fake_conn *clients[CONNECTIONS_MAX];
	int n = 0;

	if (size < 2 || size > 20000)
		return 0;
	int kind = data[1] & 3;
	struct http_world w;

	open_world(&w, blank(kind), left, kind, kind == 1 && data[1] & 32, !(data[1] & 64));
	fake_stack_set_piece(w.stack, 1u + data[0] * 8u);
	fake_stack_set_offset(w.stack, data[1] >> 2 & 7);
	for (const uint8_t *at = data + 2, *end = data + size; at && n < CONNECTIONS_MAX; n++) {
		const uint8_t *cut = memmem(at, (size_t)(end - at), "\377\0", 2);

		clients[n] = fake_connect(w.stack);
		fake_client_sends(clients[n], at, (size_t)((cut ? cut : end) - at));
		fake_client_ends(clients[n]);
		at = cut ? cut + 2 : NULL;
	}
	serve(&w, clients, n);
	for (int i = 0; i < 4; i++) { /* what the last of them changed is durable */
		int64_t round = paste_store_commit(w.store);

		NEED(round >= 0 && paste_store_wait(w.store, (uint64_t)round) >= round);
		NEED(paste_store_maintain(w.store, true) >= 0);
	}
	NEED(paste_store_check(w.store, damaged, NULL) == 0);
	uint64_t had = contents(w.store);
	service_close(w.worker[0].service);
	fake_stack_free(w.stack);
	for (uint32_t b = 0; b < w.region->buffers; b++)
		NEED(w.region->buffer[b].users == 0);
	if (data[1] & 64)
		NEED(paste_store_close(w.store) == 0);
	else
		store_abandon(w.store);
	open_world(&w, left, NULL, kind, false, false);
	NEED(contents(w.store) == had);
	NEED(paste_store_check(w.store, damaged, NULL) == 0);
	http_world_crash(&w);
	return 0;
}
