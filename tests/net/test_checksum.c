/* SPDX-License-Identifier: BSD-2-Clause */
/* The checksum against one that goes byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "naive.h"
#include "net/checksum.h"

#define ROOM 9100u

static void bytes_by_chance(uint8_t *p, size_t n)
{
	uint64_t x = 88172645463325252u;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)x;
	}
}

/* In host order. */
static uint16_t fold(uint64_t sum)
{
	uint16_t folded = checksum_fold(sum);
	uint8_t b[2];

	memcpy(b, &folded, 2);
	return (uint16_t)(b[0] << 8 | b[1]);
}

/* 0 and 0xffff are the same number. */
static void expect_equal(uint16_t a, uint16_t b)
{
	assert_int_equal(a == 0xffff ? 0 : a, b == 0xffff ? 0 : b);
}

static void examples(void **state)
{
	static const uint8_t rfc1071[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}; /* section 3 */
	static const uint8_t header[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
					 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};

	assert_int_equal(fold(checksum_add(0, rfc1071, sizeof(rfc1071))), 0xddf2);
	assert_int_equal(fold(checksum_add(0, header, sizeof(header))), 0xffff);
	assert_int_equal(fold(checksum_add(0, rfc1071, 0)), 0);
}

static void every_length_at_every_alignment(void **state)
{
	uint8_t *bytes = malloc(ROOM);

	bytes_by_chance(bytes, ROOM);
	for (size_t n = 0; n <= 700; n++) {
		for (size_t at = 0; at < 9; at++) {
			/* A copy that ends where the heap block ends: reading on would be noticed. */
			uint8_t *exact = malloc(n + at + 1);
			memcpy(exact + at + 1, bytes + at, n);
			expect_equal(fold(checksum_add(0, exact + at + 1, n)), naive_sum(0, bytes + at, n));
			free(exact);
		}
	}
	for (size_t n = 8900; n <= 9000; n++)
		expect_equal(fold(checksum_add(0, bytes + 3, n)), naive_sum(0, bytes + 3, n));
	free(bytes);
}

static void no_carry_is_lost(void **state)
{
	uint8_t *bytes = malloc(ROOM);

	memset(bytes, 0xff, ROOM);
	for (size_t n = 0; n < 300; n++)
		expect_equal(fold(checksum_add(0, bytes, n)), naive_sum(0, bytes, n));
	expect_equal(fold(checksum_add(0, bytes, ROOM)), naive_sum(0, bytes, ROOM));
	/* Every place where a carry may appear when it is folded. */
	static const uint64_t sums[] = {0,           1,
					0xffff,      0x10000,
					0xffffffff,  0x100000000,
					0x1ffffffff, 0xfffffffe00000001,
					UINT64_MAX,  UINT64_MAX - 1};
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		uint64_t want = sums[i] % 0xffff, got = checksum_fold(sums[i]);
		assert_int_equal(got % 0xffff, want);
		assert_int_equal(got == 0, sums[i] == 0);
	}
	free(bytes);
}

static void parts_of_any_length_add_up(void **state)
{
	uint8_t *bytes = malloc(ROOM);

	bytes_by_chance(bytes, ROOM);
	for (size_t a = 0; a < 40; a++) {
		for (size_t b = a; b < 80; b++) {
			const size_t n = 400;
			uint64_t sum = checksum_add_at(0, 0, bytes, a);
			sum = checksum_add_at(sum, a, bytes + a, b - a);
			sum = checksum_add_at(sum, b, bytes + b, n - b);
			expect_equal(fold(sum), naive_sum(0, bytes, n));
		}
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(examples),
	    cmocka_unit_test(every_length_at_every_alignment),
	    cmocka_unit_test(no_carry_is_lost),
	    cmocka_unit_test(parts_of_any_length_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
