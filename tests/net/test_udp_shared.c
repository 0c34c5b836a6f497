/* SPDX-License-Identifier: BSD-2-Clause */
/* Several UDP ports over one net, a plain endpoint on the other end of a pipe. */
#include <errno.h>

#include "base/site.h"
#include "net/udp.h"
#include "net/udp_shared.h"
#include "slots.h"

#define CLIENT 0
#define SERVER 1
#define SLOTS 128
#define WAITING 512 /* what a port keeps */

struct fixture {
	struct paste_region *region;
	struct paste_port *port[2];
	struct udp *client;
	struct net *net;
	struct udp_shared *shared;
	struct paste_datagrams *a, *b;
};

static void begin(struct fixture *f, bool alone)
{
	*f = (struct fixture){.region = fake_region_new(2048, 2048)};
	assert_int_equal(paste_pipe_open(f->region, f->region, SLOTS, f->port, NULL), 0);
	assert_int_equal(
	    udp_open(&(struct udp_options){.port = f->port[CLIENT], .udp_port = 5000}, &f->client, NULL), 0);
	assert_int_equal(net_open(&(struct net_options){.port = f->port[SERVER]}, &f->net, NULL), 0);
	assert_int_equal(udp_shared_open(f->net, alone, &f->shared, NULL), 0);
	assert_int_equal(udp_shared_port(f->shared, NULL, 1, &f->a, NULL), 0);
	assert_int_equal(udp_shared_port(f->shared, NULL, 2, &f->b, NULL), 0);
}

static void end(struct fixture *f)
{
	paste_datagrams_close(f->a);
	paste_datagrams_close(f->b);
	udp_shared_close(f->shared);
	net_close(f->net);
	udp_close(f->client);
	for (int side = 0; side < 2; side++)
		paste_port_close(f->port[side]);
	region_proved(f->region);
}

static void send_to(struct fixture *f, const char *address, uint16_t port, uint64_t seed, uint32_t length)
{
	struct udp_peer to = {.port = port, .local_port = 5000};
	uint8_t bytes[PACKET_BYTES];

	memcpy(to.path.mac_source, f->port[CLIENT]->info.mac, 6);
	memcpy(to.path.mac_destination, f->port[SERVER]->info.mac, 6);
	assert_int_equal(net_address_parse("10.0.0.2", &to.path.source), 0);
	assert_int_equal(net_address_parse(address, &to.path.destination), 0);
	packet_bytes(seed, bytes, length);
	assert_int_equal(udp_send(f->client, &to, bytes, length, NULL, 0), 0);
	assert_int_equal(udp_flush(f->client), 0);
}

static void expect_bytes(struct fixture *f, const struct paste_datagram *d, uint64_t seed, uint32_t length)
{
	uint8_t bytes[PACKET_BYTES];
	uint32_t at = 0;

	packet_bytes(seed, bytes, length);
	assert_int_equal(d->length, length);
	for (uint32_t i = 0; i < d->n; at += d->slice[i++].length)
		assert_memory_equal(paste_ref_data(f->region, d->slice[i]), bytes + at, d->slice[i].length);
	assert_int_equal(at, length);
}

static int turn(struct fixture *f)
{
	return net_receive(f->net, 512, NULL, NULL);
}

static void each_port_gets_its_own_and_answers_from_it(void **state)
{
	struct paste_datagram d[8];
	struct udp_datagram answer[8];
	struct fixture f;

	begin(&f, true);
	send_to(&f, "10.0.0.1", 1, 11, 700);
	send_to(&f, "10.0.0.1", 2, 12, 0);
	send_to(&f, "10.0.0.1", 3, 13, 50);
	assert_int_equal(paste_datagrams_receive(f.a, d, 8), 1);
	expect_bytes(&f, &d[0], 11, 700);
	assert_int_equal(paste_datagrams_receive(f.b, d + 1, 8), 1);
	expect_bytes(&f, &d[1], 12, 0);
	assert_int_equal(paste_datagrams_send(f.a, &d[0].peer, "first", 5), 0);
	assert_int_equal(paste_datagrams_send(f.b, &d[1].peer, "second", 6), 0);
	assert_int_equal(paste_datagrams_send(f.b, &d[1].peer, "", 5000), -EMSGSIZE);
	assert_int_equal(paste_datagrams_flush(f.a), 0);
	assert_int_equal(udp_receive(f.client, answer, 8), 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(answer[i].peer.port, 1 + i);
		assert_memory_equal(paste_ref_data(f.region, answer[i].slice[0]), i ? "second" : "first",
				    5 + i);
	}
	struct paste_datagrams_stats a, b;
	paste_datagrams_stats(f.a, &a);
	paste_datagrams_stats(f.b, &b);
	assert_int_equal(a.received, 1);
	assert_int_equal(a.received_bytes, 700);
	assert_int_equal(b.received + b.sent, 2);
	assert_int_equal(a.refused + b.refused, 1); /* port 3 */
	end(&f);
}

static void an_address_goes_before_any(void **state)
{
	struct paste_datagrams *only;
	struct net_address address;
	struct paste_datagram d[4];
	struct fixture f;

	begin(&f, true);
	assert_int_equal(net_address_parse("10.0.0.9", &address), 0);
	assert_int_equal(udp_shared_port(f.shared, &address, 1, &only, NULL), 0);
	assert_int_equal(udp_shared_port(f.shared, &address, 1, &only, NULL), -EEXIST);
	assert_int_equal(udp_shared_port(f.shared, NULL, 2, &only, NULL), -EEXIST);
	send_to(&f, "10.0.0.9", 1, 1, 10);
	send_to(&f, "10.0.0.8", 1, 2, 20);
	assert_int_equal(paste_datagrams_receive(only, d, 4), 1);
	expect_bytes(&f, &d[0], 1, 10);
	assert_int_equal(paste_datagrams_receive(f.a, d, 4), 1);
	expect_bytes(&f, &d[0], 2, 20);
	paste_datagrams_close(only);
	end(&f);
}

/* While they wait the rings go round several times over, those of both ends: the pipe exchanges buffers. */
static void what_waits_keeps_its_bytes(void **state)
{
	struct paste_datagram d[10];
	struct fixture f;
	uint64_t sent = 0, taken = 0;

	begin(&f, false);
	assert_int_equal(paste_datagrams_receive(f.a, d, 10), 0); /* not asked: somebody else does */
	while (sent < 8 * SLOTS) {
		for (int i = 0; i < 16; i++, sent++)
			send_to(&f, "10.0.0.1", 1, sent, 100 + (uint32_t)sent);
		assert_int_equal(turn(&f), 16);
		assert_true(net_came(f.net));
		assert_false(net_came(f.net));
		int n = paste_datagrams_receive(f.a, d, 10);
		for (int i = 0; i < n; i++, taken++)
			expect_bytes(&f, &d[i], taken, 100 + (uint32_t)taken);
	}
	assert_int_equal(udp_shared_waiting(f.shared), sent - taken);
	assert_true(sent - taken > 2 * SLOTS);
	for (int n; (n = paste_datagrams_receive(f.a, d, 10)) > 0;) {
		for (int i = 0; i < n; i++, taken++)
			expect_bytes(&f, &d[i], taken, 100 + (uint32_t)taken);
		assert_int_equal(turn(&f), 0);
	}
	assert_int_equal(taken, sent);
	end(&f);
}

static void a_full_queue_drops_and_counts(void **state)
{
	struct paste_datagrams_stats stats;
	struct fixture f;

	begin(&f, false);
	for (int i = 0; i < WAITING + 40; i++) {
		send_to(&f, "10.0.0.1", 1, (uint64_t)i, 64);
		assert_int_equal(turn(&f), 1);
	}
	send_to(&f, "10.0.0.1", 2, 1, 64); /* the other one has room */
	assert_int_equal(turn(&f), 1);
	assert_int_equal(udp_shared_waiting(f.shared), WAITING + 1);
	paste_datagrams_stats(f.a, &stats);
	assert_int_equal(stats.lost, 40);
	end(&f); /* with all of them waiting */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_port_gets_its_own_and_answers_from_it),
	    cmocka_unit_test(an_address_goes_before_any),
	    cmocka_unit_test(what_waits_keeps_its_bytes),
	    cmocka_unit_test(a_full_queue_drops_and_counts),
	};

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
