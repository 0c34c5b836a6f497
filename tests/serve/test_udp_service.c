/* SPDX-License-Identifier: BSD-2-Clause */
/* The UDP service over datagrams, a store and a region in memory. */
#include "serve/udp_service.h"

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_region.h"
#include "fake_store.h"

#ifdef PASTE_MUTATE
#include "base/site.h"

__attribute__((constructor)) static void choose_mutant(void)
{
	paste_mutant = getenv("PASTE_MUTANT");
}
#endif

#define MOST 128

/* A transport that shows what the test has put there, and notes what is sent. The peer's first byte is its
 * name. */
struct fake {
	struct paste_datagrams base;
	struct paste_datagram arriving[MOST];
	int arrived, shown;
	uint32_t shown_buffer[MOST];
	int shown_n;
	int room; /* sends before -EAGAIN; < 0: without end */
	int flushes;
	struct {
		uint8_t peer;
		uint64_t value;
	} sent[MOST];
	int sent_n;
};

struct test {
	struct paste_region *region;
	struct paste_store *store;
	struct rounds rounds;
	struct fake wire;
	struct udp_service *service;
};

static void put_shown(struct fake *f)
{
	for (int i = 0; i < f->shown_n; i++)
		paste_buffer_put(f->base.region, f->shown_buffer[i]);
	f->shown_n = 0;
}

static int fake_receive(struct paste_datagrams *base, struct paste_datagram *batch, int max)
{
	struct fake *f = (struct fake *)base;
	int n = 0;

	put_shown(f);
	while (n < max && f->shown < f->arrived) {
		batch[n] = f->arriving[f->shown++];
		if (batch[n].n)
			f->shown_buffer[f->shown_n++] = batch[n].slice[0].buffer;
		n++;
	}
	return n;
}

static int fake_send(struct paste_datagrams *base, const struct paste_peer *peer, const void *bytes,
		     uint32_t length)
{
	struct fake *f = (struct fake *)base;
	uint64_t wire;

	assert_int_equal(length, sizeof(wire));
	if (f->room == 0)
		return -EAGAIN;
	f->room--;
	memcpy(&wire, bytes, sizeof(wire));
	f->sent[f->sent_n].peer = peer->opaque[0];
	f->sent[f->sent_n++].value = be64toh(wire);
	return 0;
}

static int fake_flush(struct paste_datagrams *base)
{
	((struct fake *)base)->flushes++;
	return 0;
}

static const struct paste_datagrams_ops fake_ops = {
    .receive = fake_receive, .send = fake_send, .flush = fake_flush};

static void begin_with(struct test *t, uint32_t waiting)
{
	*t = (struct test){.region = fake_region_new(512, 2048)};
	t->store = fake_store_new(t->region);
	t->wire = (struct fake){.base = {&fake_ops, t->region}, .room = -1};
	assert_int_equal(rounds_init(&t->rounds, t->store, NULL), 0);
	struct udp_service_options o = {
	    .datagrams = &t->wire.base, .rounds = &t->rounds, .stream = "s", .waiting = waiting};
	assert_int_equal(udp_service_open(&o, &t->service, NULL), 0);
}

static void begin(struct test *t)
{
	begin_with(t, 0);
}

static void end(struct test *t)
{
	put_shown(&t->wire);
	udp_service_close(t->service);
	fake_store_free(t->store);
	assert_int_equal(fake_region_out(t->region), 0);
	fake_region_free(t->region);
}

static void arrive(struct test *t, uint8_t peer, const char *text)
{
	struct paste_datagram *d = &t->wire.arriving[t->wire.arrived++];
	uint32_t buffer;

	*d = (struct paste_datagram){.peer = {{peer}}, .length = (uint32_t)strlen(text)};
	if (!d->length)
		return;
	assert_int_equal(paste_buffer_alloc(t->region, &buffer), 0);
	memcpy(paste_buffer_data(t->region, buffer) + 100, text, d->length);
	d->slice[d->n++] = (struct paste_ref){buffer, 100, (uint16_t)d->length};
}

static int turn(struct test *t)
{
	int n = udp_service_take(t->service);

	assert_true(n >= 0);
	rounds_step(&t->rounds);
	int soon = udp_service_answer(t->service);
	assert_true(soon >= 0);
	return soon;
}

static void expect_sent(struct test *t, int i, uint8_t peer, uint64_t value)
{
	assert_true(i < t->wire.sent_n);
	assert_int_equal(t->wire.sent[i].peer, peer);
	assert_int_equal(t->wire.sent[i].value, value);
}

static void expect_entry(struct test *t, uint64_t sequence, const char *text)
{
	struct paste_value v = {0};
	size_t at = 0;

	assert_int_equal(paste_store_read(t->store, "s", 1, sequence, &v), 0);
	assert_int_equal(v.length, strlen(text));
	if (v.bytes)
		assert_memory_equal(v.bytes, text, v.length);
	for (uint32_t i = 0; i < v.n; at += v.slices[i++].length)
		assert_memory_equal(paste_ref_data(t->region, v.slices[i]), text + at, v.slices[i].length);
	paste_value_put(t->store, &v);
}

static void each_datagram_is_an_entry_and_each_peer_gets_its_number(void **state)
{
	struct test t;

	begin(&t);
	arrive(&t, 1, "one");
	arrive(&t, 2, "");
	arrive(&t, 1, "three");
	turn(&t);
	assert_int_equal(t.wire.sent_n, 3);
	assert_int_equal(t.wire.flushes, 1);
	expect_sent(&t, 0, 1, 1);
	expect_sent(&t, 1, 2, 2);
	expect_sent(&t, 2, 1, 3);
	expect_entry(&t, 1, "one");
	expect_entry(&t, 2, "");
	expect_entry(&t, 3, "three");
	end(&t);
}

static void no_answer_leaves_before_its_round_is_durable(void **state)
{
	struct test t;

	begin(&t);
	fake_store_hold_rounds(t.store, true);
	arrive(&t, 1, "one");
	turn(&t);
	arrive(&t, 2, "two");
	turn(&t);
	assert_int_equal(t.wire.sent_n, 0);
	fake_store_make_durable(t.store, 1);
	turn(&t);
	assert_int_equal(t.wire.sent_n, 1);
	expect_sent(&t, 0, 1, 1);
	fake_store_make_durable(t.store, 2);
	turn(&t);
	assert_int_equal(t.wire.sent_n, 2);
	expect_sent(&t, 1, 2, 2);
	end(&t);
}

static void full_is_an_answer_that_waits_for_what_it_reveals(void **state)
{
	struct test t;

	begin(&t);
	fake_store_hold_rounds(t.store, true);
	arrive(&t, 1, "one");
	udp_service_take(t.service);
	fake_store_refuse_changes(t.store, -ENOSPC);
	arrive(&t, 2, "two");
	turn(&t);
	assert_int_equal(t.wire.sent_n, 0);
	fake_store_make_durable(t.store, 1);
	turn(&t);
	expect_sent(&t, 0, 1, 1);
	expect_sent(&t, 1, 2, UDP_REFUSED | UDP_FULL);
	end(&t);
}

static void each_refusal_says_why(void **state)
{
	static const struct {
		int error;
		enum udp_refusal why;
	} cases[] = {
	    {-ENOSPC, UDP_FULL},       {-EFBIG, UDP_TOO_LARGE},
	    {-EIO, UDP_MEDIUM_FAILED}, {-EBADMSG, UDP_STREAM_DAMAGED},
	    {-ENOMEM, UDP_NO_MEMORY},  {-ENOBUFS, UDP_NO_MEMORY},
	};
	struct test t;

	begin(&t);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_store_refuse_changes(t.store, cases[i].error);
		arrive(&t, 1, "x");
		turn(&t);
		expect_sent(&t, (int)i, 1, UDP_REFUSED | cases[i].why);
	}
	fake_store_refuse_changes(t.store, 0);
	arrive(&t, 1, "");
	t.wire.arriving[t.wire.arrived - 1].cut = true;
	turn(&t);
	expect_sent(&t, t.wire.sent_n - 1, 1, UDP_REFUSED | UDP_TOO_LARGE);
	arrive(&t, 1, "kept");
	turn(&t);
	expect_sent(&t, t.wire.sent_n - 1, 1, 1);
	end(&t);
}

static void when_the_medium_fails_nothing_that_waited_is_acknowledged(void **state)
{
	struct test t;

	begin(&t);
	arrive(&t, 1, "durable");
	turn(&t);
	fake_store_hold_rounds(t.store, true);
	arrive(&t, 2, "waits");
	turn(&t);
	fake_store_break(t.store, -EIO);
	arrive(&t, 3, "comes later");
	turn(&t);
	assert_int_equal(t.wire.sent_n, 3);
	expect_sent(&t, 0, 1, 1);
	expect_sent(&t, 1, 2, UDP_REFUSED | UDP_MEDIUM_FAILED);
	expect_sent(&t, 2, 3, UDP_REFUSED | UDP_MEDIUM_FAILED);
	end(&t);
}

static void what_cannot_be_sent_now_is_sent_later_in_order(void **state)
{
	struct test t;

	begin(&t);
	for (uint8_t i = 1; i <= 5; i++)
		arrive(&t, i, "x");
	t.wire.room = 2;
	assert_int_equal(turn(&t), 1);
	assert_int_equal(t.wire.sent_n, 2);
	t.wire.room = -1;
	assert_int_equal(turn(&t), 0);
	assert_int_equal(t.wire.sent_n, 5);
	for (uint8_t i = 1; i <= 5; i++)
		expect_sent(&t, i - 1, i, i);
	end(&t);
}

static void nothing_is_taken_without_a_place_for_its_answer(void **state)
{
	struct udp_service_stats stats;
	struct test t;

	begin_with(&t, 4);
	fake_store_hold_rounds(t.store, true);
	for (uint8_t i = 1; i <= 9; i++)
		arrive(&t, i, "x");
	for (int i = 0; i < 5; i++)
		turn(&t);
	udp_service_stats(t.service, &stats);
	assert_int_equal(stats.kept, 4);
	assert_int_equal(stats.waiting, 4);
	assert_true(stats.paused > 0);
	fake_store_hold_rounds(t.store, false);
	fake_store_make_durable(t.store, 1000);
	for (int i = 0; i < 5; i++)
		turn(&t);
	assert_int_equal(t.wire.sent_n, 9);
	for (uint8_t i = 1; i <= 9; i++)
		expect_sent(&t, i - 1, i, i);
	end(&t);
}

static void at_the_end_what_was_taken_is_answered_and_nothing_more_taken(void **state)
{
	struct test t;

	begin(&t);
	fake_store_hold_rounds(t.store, true);
	arrive(&t, 1, "taken");
	turn(&t);
	udp_service_drain(t.service);
	arrive(&t, 2, "left");
	fake_store_make_durable(t.store, 1);
	turn(&t);
	assert_int_equal(t.wire.sent_n, 1);
	expect_sent(&t, 0, 1, 1);
	fake_receive(&t.wire.base, (struct paste_datagram[1]){{.length = 0}}, 1);
	end(&t);
}

static void a_stream_has_a_name(void **state)
{
	char name[PASTE_KEY_MAX + 2];
	struct test t;
	struct udp_service *none = NULL;

	begin(&t);
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	struct udp_service_options o = {.datagrams = &t.wire.base, .rounds = &t.rounds, .stream = name};
	assert_int_equal(udp_service_open(&o, &none, NULL), -EINVAL);
	o.stream = "";
	assert_int_equal(udp_service_open(&o, &none, NULL), -EINVAL);
	end(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_datagram_is_an_entry_and_each_peer_gets_its_number),
	    cmocka_unit_test(no_answer_leaves_before_its_round_is_durable),
	    cmocka_unit_test(full_is_an_answer_that_waits_for_what_it_reveals),
	    cmocka_unit_test(each_refusal_says_why),
	    cmocka_unit_test(when_the_medium_fails_nothing_that_waited_is_acknowledged),
	    cmocka_unit_test(what_cannot_be_sent_now_is_sent_later_in_order),
	    cmocka_unit_test(nothing_is_taken_without_a_place_for_its_answer),
	    cmocka_unit_test(at_the_end_what_was_taken_is_answered_and_nothing_more_taken),
	    cmocka_unit_test(a_stream_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
