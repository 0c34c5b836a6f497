/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses as text, and what kind they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/address.h"

static void addresses_are_read_and_written(void **state)
{
	static const struct {
		const char *text, *endpoint;
		enum net_address_kind kind;
	} table[] = {
	    {"10.0.0.1", "10.0.0.1:80", NET_UNICAST},
	    {"0.0.0.0", "0.0.0.0:80", NET_UNSPECIFIED},
	    {"255.255.255.255", "255.255.255.255:80", NET_GROUP},
	    {"224.0.0.1", "224.0.0.1:80", NET_GROUP},
	    {"239.255.255.255", "239.255.255.255:80", NET_GROUP},
	    {"240.0.0.1", "240.0.0.1:80", NET_UNICAST},
	    {"127.9.9.9", "127.9.9.9:80", NET_LOOPBACK},
	    {"::1", "[::1]:80", NET_LOOPBACK},
	    {"::", "[::]:80", NET_UNSPECIFIED},
	    {"::2", "[::2]:80", NET_UNICAST},
	    {"fe80::1", "[fe80::1]:80", NET_UNICAST},
	    {"ff02::1", "[ff02::1]:80", NET_GROUP},
	    {"::ffff:1.2.3.4", "1.2.3.4:80", NET_UNICAST},
	    {"1::", "[1::]:80", NET_UNICAST},
	};
	struct net_address a;
	char text[NET_ADDRESS_TEXT];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(net_address_parse(table[i].text, &a), 0);
		assert_int_equal(net_address_kind(&a), table[i].kind);
		net_endpoint_text(&a, 80, text, sizeof(text));
		assert_string_equal(text, table[i].endpoint);
	}
	assert_true(net_address_parse("10.0.0", &a) < 0);
	assert_true(net_address_parse("10.0.0.1:80", &a) < 0);
	assert_true(net_address_parse("", &a) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(addresses_are_read_and_written)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
