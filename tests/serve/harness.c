/* SPDX-License-Identifier: BSD-2-Clause */
#include "harness.h"

#ifdef PASTE_MUTATE
#include "base/site.h"

__attribute__((constructor)) static void choose_mutant(void)
{
	paste_mutant = getenv("PASTE_MUTANT");
}
#endif

static struct harness begin(uint32_t buffers, uint32_t buffer_size, struct service_options options)
{
	struct harness h = {.now = {.monotonic_us = 1000000, .unix_ms = 784111777000}};

	h.region = fake_region_new(buffers, buffer_size);
	h.store = fake_store_new(h.region);
	h.stack = fake_stack_new(h.region);
	options.stack = h.stack;
	options.store = h.store;
	assert_int_equal(service_open(&options, &h.service, NULL), 0);
	return h;
}

struct harness harness_begin_sized(uint32_t buffers, uint32_t buffer_size, uint64_t max_body)
{
	return begin(buffers, buffer_size, (struct service_options){.max_body = max_body});
}

struct harness harness_begin_timed(int64_t idle_us, int64_t request_us)
{
	return begin(
	    4096, 2048,
	    (struct service_options){.max_body = 100000, .idle_us = idle_us, .request_us = request_us});
}

struct harness harness_begin(void)
{
	return harness_begin_sized(512, 2048, 100000);
}

void harness_end(struct harness *h)
{
	service_close(h->service);
	fake_stack_free(h->stack);
	fake_store_free(h->store);
	assert_int_equal(fake_region_out(h->region), 0);
	fake_region_free(h->region);
}

int harness_turn(struct harness *h)
{
	struct paste_event events[SERVICE_BATCH];
	int n = paste_stack_poll(h->stack, events, SERVICE_BATCH, 0);

	return service_turn(h->service, h->now, events, n);
}

void harness_run(struct harness *h)
{
	struct paste_event events[SERVICE_BATCH];
	int n;

	do {
		n = paste_stack_poll(h->stack, events, SERVICE_BATCH, 0);
		service_turn(h->service, h->now, events, n);
	} while (n);
}

struct fake_conn *harness_client(struct harness *h, const char *request)
{
	struct fake_conn *c = fake_connect(h->stack);

	fake_client_sends(c, request, strlen(request));
	return c;
}

const char *harness_ask(struct harness *h, const char *request)
{
	struct fake_conn *c = harness_client(h, request);

	harness_run(h);
	return fake_client_got(c, NULL);
}

void expect_got(struct fake_conn *c, const char *expected)
{
	assert_string_equal(fake_client_got(c, NULL), expected);
}
