/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection table: what was put is found, what was removed is not, also where hashes collide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/tcp_table.h"

#define MOST 1000

static const uint64_t key[5] = {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
				0x082efa98ec4e6c89, 0x452821e638d01377};

static int count(const struct tcp_table *t, uint32_t hash, uint32_t number)
{
	uint32_t at = hash, i;
	int n = 0;

	while ((i = tcp_table_next(t, hash, &at)) != TCP_TABLE_END)
		n += i == number;
	return n;
}

static void what_is_in_it_is_found_once(void **state)
{
	static bool in[MOST];
	uint32_t hash[MOST];
	struct tcp_table t;
	uint64_t x = 3;

	/* Few hashes, all near one another and over the end of the table: long runs. */
	for (uint32_t spread = 1; spread <= 4096; spread *= 8) {
		assert_int_equal(tcp_table_open(&t, MOST, key), 0);
		for (uint32_t i = 0; i < MOST; i++) {
			in[i] = false;
			hash[i] = (uint32_t)(t.mask - 20 + i * 7919 % spread);
		}
		for (int step = 0; step < 20000; step++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			uint32_t i = (uint32_t)(x >> 33) % MOST;
			if (in[i])
				tcp_table_remove(&t, hash[i], i);
			else
				tcp_table_put(&t, hash[i], i);
			in[i] = !in[i];
			if (step % 500 == 0) {
				for (i = 0; i < MOST; i++)
					assert_int_equal(count(&t, hash[i], i), in[i]);
			}
		}
		tcp_table_close(&t);
	}
}

static void hashes_depend_on_everything_and_on_the_key(void **state)
{
	struct net_address a, b;
	struct tcp_table t, u;
	const uint64_t other[5] = {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
				   0x082efa98ec4e6c89, 0x452821e638d01378};

	assert_int_equal(net_address_parse("10.0.0.1", &a), 0);
	assert_int_equal(net_address_parse("10.0.0.2", &b), 0);
	assert_int_equal(tcp_table_open(&t, 4, key), 0);
	assert_int_equal(tcp_table_open(&u, 4, other), 0);
	uint32_t h = tcp_table_hash(&t, &a, 1, &b, 2);
	assert_int_equal(tcp_table_hash(&t, &a, 1, &b, 2), h);
	assert_int_not_equal(tcp_table_hash(&t, &b, 1, &a, 2), h);
	assert_int_not_equal(tcp_table_hash(&t, &a, 2, &b, 1), h);
	assert_int_not_equal(tcp_table_hash(&t, &a, 1, &b, 3), h);
	assert_int_not_equal(tcp_table_hash(&u, &a, 1, &b, 2), h);
	tcp_table_close(&t);
	tcp_table_close(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_in_it_is_found_once),
	    cmocka_unit_test(hashes_depend_on_everything_and_on_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
