/* SPDX-License-Identifier: BSD-2-Clause */
/* Neighbours and routes of the kernel, over a pair of interfaces whose other end is another namespace's. */
#include "net/neighbour.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <cmocka.h>

#include "net/neighbour_table.h"
#include "veth.h"

#define PATIENCE_US 10000000

static struct veth veth;
static bool have_veth;
static const char *why;

static struct net_address address(const char *text)
{
	struct net_address a;

	assert_int_equal(net_address_parse(text, &a), 0);
	return a;
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static unsigned here(void)
{
	return if_nametoindex(VETH_HERE);
}

/* Ask until there is an answer, as an owner would: woken by the descriptor. */
static int resolve(struct neighbours *n, const char *to, struct neighbour_way *way)
{
	struct net_address a = address(to);
	int64_t end = now_us() + PATIENCE_US;
	int ret;

	while ((ret = neighbour_resolve(n, &a, here(), now_us(), way)) == -EAGAIN && now_us() < end) {
		struct pollfd p = {.fd = neighbours_fd(n), .events = POLLIN};
		poll(&p, 1, 100);
		assert_int_equal(neighbours_work(n), 0);
	}
	return ret;
}

static void expect_way(struct neighbours *n, const char *to, const char *mac, const char *next,
		       const char *source)
{
	struct neighbour_way way = {{0}};
	struct net_address expected = address(next);

	assert_int_equal(resolve(n, to, &way), 0);
	assert_memory_equal(way.mac, mac, 6);
	assert_true(net_address_equal(&way.next, &expected));
	expected = address(source);
	assert_true(net_address_equal(&way.source, &expected));
}

static struct neighbours *begin(void)
{
	struct neighbours *n;
	struct paste_error err = {{0}};

	if (!have_veth)
		skip();
	veth_make(&veth, 1, 1500);
	if (neighbours_open(&n, &err) < 0)
		fail_msg("%s", err.text);
	return n;
}

static void a_neighbour_that_nobody_knows_is_found_by_the_kernel(void **state)
{
	struct neighbours *n = begin();
	struct neighbour_stats stats;

	expect_way(n, "10.1.1.2", VETH_THERE_MAC, "10.1.1.2", "10.1.1.1");
	expect_way(n, "fd00::2", VETH_THERE_MAC, "fd00::2", "fd00::1");
	neighbours_stats(n, &stats);
	assert_true(stats.probes >= 2);
	assert_true(stats.routes_asked >= 2); /* again when the interface has settled meanwhile */
	/* Known now: no question, no waiting. */
	uint64_t probes = stats.probes;
	expect_way(n, "10.1.1.2", VETH_THERE_MAC, "10.1.1.2", "10.1.1.1");
	neighbours_stats(n, &stats);
	assert_int_equal(stats.probes, probes);
	neighbours_close(n);
	/* The kernel's table has them when somebody opens later. */
	assert_int_equal(neighbours_open(&n, NULL), 0);
	expect_way(n, "10.1.1.2", VETH_THERE_MAC, "10.1.1.2", "10.1.1.1");
	neighbours_close(n);
}

static void behind_a_gateway_the_gateway_is_next(void **state)
{
	struct neighbours *n = begin();

	assert_int_equal(veth_ip(veth.here, "route add 10.9.0.0/16 via 10.1.1.2"), 0);
	assert_int_equal(veth_ip(veth.here, "route add fd09::/64 via fd00::2"), 0);
	assert_int_equal(veth_ip(veth.here, "route add 10.8.0.0/16 via inet6 fd00::2"), 0);
	expect_way(n, "10.9.1.1", VETH_THERE_MAC, "10.1.1.2", "10.1.1.1");
	expect_way(n, "fd09::77", VETH_THERE_MAC, "fd00::2", "fd00::1");
	expect_way(n, "10.8.1.1", VETH_THERE_MAC, "fd00::2", "10.1.1.1");
	neighbours_close(n);
}

static void a_change_of_routes_is_noticed(void **state)
{
	struct neighbours *n = begin();
	struct neighbour_way way;

	assert_int_equal(veth_ip(veth.here, "route add 10.9.0.0/16 via 10.1.1.2"), 0);
	expect_way(n, "10.9.1.1", VETH_THERE_MAC, "10.1.1.2", "10.1.1.1");
	assert_int_equal(veth_ip(veth.here, "route replace unreachable 10.9.0.0/16"), 0);
	assert_int_equal(neighbours_work(n), 0);
	assert_int_equal(resolve(n, "10.9.1.1", &way), -EHOSTUNREACH);
	assert_int_equal(veth_ip(veth.here, "route replace 10.9.0.0/16 via 10.1.1.2"), 0);
	assert_int_equal(neighbours_work(n), 0);
	expect_way(n, "10.9.1.1", VETH_THERE_MAC, "10.1.1.2", "10.1.1.1");
	neighbours_close(n);
}

static void a_neighbours_new_mac_is_noticed(void **state)
{
	struct neighbours *n = begin();

	expect_way(n, "10.1.1.2", VETH_THERE_MAC, "10.1.1.2", "10.1.1.1");
	assert_int_equal(
	    veth_ip(veth.here, "neigh replace 10.1.1.2 lladdr 02:00:00:00:00:99 dev %s", VETH_HERE), 0);
	assert_int_equal(neighbours_work(n), 0);
	expect_way(n, "10.1.1.2", "\x02\0\0\0\0\x99", "10.1.1.2", "10.1.1.1");
	assert_int_equal(veth_ip(veth.here, "neigh del 10.1.1.2 dev %s", VETH_HERE), 0);
	assert_int_equal(neighbours_work(n), 0);
	expect_way(n, "10.1.1.2", VETH_THERE_MAC, "10.1.1.2", "10.1.1.1");
	neighbours_close(n);
}

static void one_whose_mac_is_old_is_used_and_made_sure_of(void **state)
{
	struct neighbours *n = begin();
	struct net_address a = address("10.1.1.2");
	struct neighbour_stats before, after;
	struct neighbour_way way;

	assert_int_equal(
	    veth_ip(veth.here, "neigh replace 10.1.1.2 lladdr 02:00:00:00:00:02 nud stale dev %s", VETH_HERE),
	    0);
	assert_int_equal(neighbours_work(n), 0);
	neighbours_stats(n, &before);
	assert_int_equal(neighbour_resolve(n, &a, here(), now_us(), &way), 0);
	assert_memory_equal(way.mac, VETH_THERE_MAC, 6);
	assert_int_equal(neighbour_resolve(n, &a, here(), now_us(), &way), 0);
	neighbours_stats(n, &after);
	assert_int_equal(after.probes, before.probes + 1);
	neighbours_close(n);
}

static void one_who_does_not_answer_is_unreachable_and_looked_for_again_later(void **state)
{
	struct neighbours *n = begin();
	struct net_address a = address("10.1.1.77");
	struct neighbour_way way;

	assert_int_equal(neighbour_resolve(n, &a, here(), 0, &way), -EAGAIN);
	/* The kernel gives up; it would take 3 s by itself. */
	assert_int_equal(veth_ip(veth.here, "neigh replace 10.1.1.77 nud failed dev %s", VETH_HERE), 0);
	assert_int_equal(neighbours_work(n), 0);
	assert_int_equal(neighbour_resolve(n, &a, here(), 5000000, &way), -EHOSTUNREACH);
	assert_int_equal(neighbour_resolve(n, &a, here(), 5900000, &way), -EHOSTUNREACH);
	assert_int_equal(neighbour_resolve(n, &a, here(), 6000001, &way), -EAGAIN);
	neighbours_close(n);
}

static void what_is_no_hosts_address_is_refused(void **state)
{
	static const char *const addresses[] = {
	    "224.0.0.1", "255.255.255.255", "ff02::1",    "::",     "0.0.0.0", "127.0.0.1",
	    "::1",       "10.1.1.1",        "10.1.1.255", "fd00::1"};
	struct neighbours *n = begin();
	struct neighbour_way way;

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct net_address a = address(addresses[i]);
		assert_int_equal(neighbour_resolve(n, &a, here(), now_us(), &way), -EINVAL);
	}
	struct net_address a = address("10.1.1.2");
	assert_int_equal(neighbour_resolve(n, &a, 9999, now_us(), &way), -ENODEV);
	neighbours_close(n);
}

static void when_notifications_were_lost_all_is_read_again(void **state)
{
	struct neighbours *n = begin();
	struct neighbour_stats stats;
	int least = 1;

	/* The smallest buffer there is, and more changes than it holds. */
	assert_int_equal(setsockopt(neighbours_fd(n), SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)), 0);
	for (int i = 1; i <= 20; i++)
		assert_int_equal(veth_ip(veth.here,
					 "neigh replace 10.1.1.%d lladdr 02:00:00:00:01:%02x dev %s", 100 + i,
					 i, VETH_HERE),
				 0);
	assert_int_equal(neighbours_work(n), 0);
	neighbours_stats(n, &stats);
	assert_int_equal(stats.reloads, 1);
	expect_way(n, "10.1.1.120", "\x02\0\0\0\1\x14", "10.1.1.120", "10.1.1.1");
	neighbours_close(n);
}

/* Against a list that is searched from one end to the other. */
static void the_table_agrees_with_a_list(void **state)
{
	enum { ADDRESSES = 300, STEPS = 20000 };
	static bool there[ADDRESSES];
	struct neighbour_table t = {.slot = NULL};
	uint32_t seed = 7, n = 0;

	memset(there, 0, sizeof(there));
	for (int step = 0; step < STEPS; step++) {
		seed = seed * 1664525 + 1013904223;
		uint32_t i = (seed >> 8) % ADDRESSES, what = seed >> 30;
		struct net_address a = net_address4((uint8_t[4]){10, 0, (uint8_t)(i >> 8), (uint8_t)i});
		unsigned ifindex = 1 + i % 3;

		if (what < 2) {
			struct neighbour *s = neighbour_table_add(&t, &a, ifindex);
			assert_non_null(s);
			if (!there[i])
				s->mac[0] = (uint8_t)i;
			n += !there[i];
			there[i] = true;
		} else if (what == 2) {
			neighbour_table_remove(&t, &a, ifindex);
			n -= there[i];
			there[i] = false;
		}
		struct neighbour *s = neighbour_table_find(&t, &a, ifindex);
		assert_int_equal(s != NULL, there[i]);
		if (s)
			assert_int_equal(s->mac[0], (uint8_t)i);
		assert_null(neighbour_table_find(&t, &a, ifindex + 3));
		assert_int_equal(t.n, n);
	}
	neighbour_table_free(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_table_agrees_with_a_list),
	    cmocka_unit_test(a_neighbour_that_nobody_knows_is_found_by_the_kernel),
	    cmocka_unit_test(behind_a_gateway_the_gateway_is_next),
	    cmocka_unit_test(a_change_of_routes_is_noticed),
	    cmocka_unit_test(a_neighbours_new_mac_is_noticed),
	    cmocka_unit_test(one_whose_mac_is_old_is_used_and_made_sure_of),
	    cmocka_unit_test(one_who_does_not_answer_is_unreachable_and_looked_for_again_later),
	    cmocka_unit_test(what_is_no_hosts_address_is_refused),
	    cmocka_unit_test(when_notifications_were_lost_all_is_read_again),
	};

	have_veth = veth_namespaces(&veth, &why);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (!failed && !have_veth) {
		printf("%s\n", why);
		return 77;
	}
	return failed;
}
