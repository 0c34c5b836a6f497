/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC32C: the standard's values, and short and long runs by whatever computes them give the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc.h"

static void the_standards_examples(void **state)
{
	/* RFC 3720, appendix B.4, as little-endian numbers. */
	uint8_t bytes[32];

	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(paste_crc(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(paste_crc(0, bytes, 32), 0x62a8ab43);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(paste_crc(0, bytes, 32), 0x46dd794e);
	assert_int_equal(paste_crc(0, "123456789", 9), 0xe3069283);
}

static void short_and_long_are_the_same(void **state)
{
	uint8_t bytes[400];
	uint32_t x = 1;

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	for (unsigned offset = 0; offset < 9; offset++) {
		for (unsigned length = 0; length < 2 * CRC_SHORT; length++)
			assert_int_equal(paste_crc_short(x, bytes + offset, length),
					 paste_crc_long(x, bytes + offset, length));
	}
}

static void a_run_in_two_parts_is_the_run(void **state)
{
	uint8_t bytes[400];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	uint32_t whole = paste_crc(5, bytes, sizeof(bytes));
	for (unsigned cut = 0; cut <= sizeof(bytes); cut++)
		assert_int_equal(paste_crc(paste_crc(5, bytes, cut), bytes + cut, sizeof(bytes) - cut), whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_standards_examples),
		cmocka_unit_test(short_and_long_are_the_same),
		cmocka_unit_test(a_run_in_two_parts_is_the_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
