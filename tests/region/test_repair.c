/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding a flipped bit from a CRC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc.h"
#include "media/sim_random.h"
#include "region/repair.h"

static void every_bit_of_a_message_is_found(void **state)
{
	static const size_t lengths[] = {1, 2, 3, 7, 8, 36, 60, 64, 333, 4032};
	struct sim_random random = sim_random(1);

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint8_t *message = malloc(lengths[i]);
		sim_fill(&random, message, lengths[i]);
		uint32_t salt = (uint32_t)sim_draw(&random), crc = paste_crc(salt, message, lengths[i]);
		for (size_t bit = 0; bit<lengths[i] * 8; bit += lengths[i]> 1000 ? 31 : 1) {
			message[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(
			    repair_find_bit(lengths[i], crc ^ paste_crc(salt, message, lengths[i])), bit);
			message[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		free(message);
	}
}

static void a_whole_message_has_no_bit_to_flip(void **state)
{
	assert_int_equal(repair_find_bit(100, 0), -1);
	assert_int_equal(repair_find_bit(0, 1), -1);
	assert_false(repair_in_checksum(0));
}

static void a_bit_of_the_checksum_itself_is_told_apart(void **state)
{
	for (int bit = 0; bit < 32; bit++)
		assert_true(repair_in_checksum(1u << bit));
	for (int a = 0; a < 32; a++)
		for (int b = 0; b < a; b++)
			assert_false(repair_in_checksum((1u << a) | (1u << b)));
}

/* In messages as short as metadata, no two bits cancel so that they look like a third. */
static void two_flipped_bits_are_not_taken_for_one(void **state)
{
	uint8_t message[64];
	struct sim_random random = sim_random(2);
	uint32_t found = 0;

	sim_fill(&random, message, sizeof(message));
	uint32_t crc = paste_crc(0, message, sizeof(message));
	for (size_t a = 0; a < 512; a++) {
		for (size_t b = 0; b < a; b += 11) {
			uint8_t copy[64];
			memcpy(copy, message, sizeof(copy));
			copy[a / 8] ^= (uint8_t)(1u << a % 8);
			copy[b / 8] ^= (uint8_t)(1u << b % 8);
			found += repair_find_bit(sizeof(copy), crc ^ paste_crc(0, copy, sizeof(copy))) >= 0;
		}
	}
	assert_int_equal(found, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_bit_of_a_message_is_found),
	    cmocka_unit_test(a_whole_message_has_no_bit_to_flip),
	    cmocka_unit_test(a_bit_of_the_checksum_itself_is_told_apart),
	    cmocka_unit_test(two_flipped_bits_are_not_taken_for_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
