/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A log of a few lines on the simulated medium: written as it should be, no image breaks its promise; with
 * any one step left out, some image does. What the crash test of the store rests on, in small.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/crc.h"
#include "media/sim.h"

#define SIZE (64 * 1024u)
#define SLOTS (SIZE / 2 / 4096) /* one record a block, so that `file` rewrites none */
#define PAYLOAD 200

/* Record i stands at i * 4096, its payload, which a packet brought, in the second half. */
struct record {
	uint32_t crc, number, payload_crc, zero;
};

enum step {
	NONE,
	PAYLOAD_WRITE_BACK,
	RECORD_WRITE_BACK,
	FENCE,
	TICKET_WAIT,
	PAYLOAD_CHECK,
	STEPS,
};

struct toy {
	struct media *m;
	enum step omitted;
	uint32_t written, acknowledged;
	uint64_t images;
	bool broken;
	struct sim_random random;
};

static void payload_of(uint32_t number, uint8_t *bytes)
{
	struct sim_random r = sim_random(number);

	sim_fill(&r, bytes, PAYLOAD);
}

static uint64_t payload_offset(uint32_t number)
{
	return SIZE / 2 + number * 4096 + 66;
}

/* The records recovered; with the payload of each checked against what it should be. */
static uint32_t recover(const struct toy *t, const uint8_t *image, bool *wrong)
{
	uint8_t want[PAYLOAD];
	uint32_t number;

	for (number = 0; number < SLOTS; number++) {
		const struct record *rec = (const struct record *)(image + number * 4096);
		const uint8_t *payload = image + payload_offset(number);

		if (rec->crc == 0 || rec->crc != paste_crc(0, &rec->number, 12) || rec->number != number)
			break;
		if (t->omitted != PAYLOAD_CHECK && rec->payload_crc != paste_crc(0, payload, PAYLOAD))
			break;
		payload_of(number, want);
		*wrong |= memcmp(payload, want, PAYLOAD) != 0;
	}
	return number;
}

static void crash(void *arg, struct media *m, enum sim_event event)
{
	static uint8_t out[SIZE];
	struct toy *t = arg;
	struct sim_image images[64];
	struct sim_crash *c = sim_crash_begin(m);
	uint32_t n = sim_crash_plan(c, &t->random, images, 64);

	for (uint32_t i = 0; i < n; i++) {
		bool wrong = false;

		sim_crash_image(c, &images[i], out);
		uint32_t found = recover(t, out, &wrong);
		t->broken |= wrong || found < t->acknowledged || found > t->written + 1;
	}
	t->images += n;
	sim_crash_end(c);
}

static void append(struct toy *t)
{
	uint32_t number = t->written;
	uint8_t payload[PAYLOAD];
	struct record rec = {.number = number};
	struct media *m = t->m;
	media_ticket ticket;

	payload_of(number, payload);
	sim_device_write(m, payload_offset(number), payload, PAYLOAD);
	if (t->omitted != PAYLOAD_WRITE_BACK)
		media_write_back(m, payload_offset(number), PAYLOAD);
	rec.payload_crc = paste_crc(0, payload, PAYLOAD);
	rec.crc = paste_crc(0, &rec.number, 12);
	memcpy(m->base + number * 4096, &rec, sizeof(rec));
	if (t->omitted != RECORD_WRITE_BACK)
		media_write_back(m, number * 4096, sizeof(rec));
	t->written++;
	ticket = t->omitted != FENCE ? media_commit(m) : media_poll(m);
	if (t->omitted != TICKET_WAIT)
		media_wait(m, ticket);
	t->acknowledged = t->written;
	sim_event(m);
}

static bool breaks(enum sim_kind kind, enum step omitted)
{
	bool broken = false;

	for (uint64_t seed = 0; seed < 4 && !broken; seed++) {
		struct toy t = {.omitted = omitted, .random = sim_random(seed)};

		t.m = sim_open(
		    &(struct sim_options){.kind = kind, .size = SIZE, .seed = seed, .evict = seed & 1});
		sim_set_hook(t.m, crash, &t);
		while (t.written < SLOTS && !t.broken)
			append(&t);
		assert_true(t.images > SLOTS || t.broken);
		broken = t.broken;
		media_close(t.m);
	}
	return broken;
}

static void written_as_it_should_be_it_keeps_its_promise(void **state)
{
	for (enum sim_kind kind = 0; kind < SIM_KINDS; kind++)
		assert_false(breaks(kind, NONE));
}

static void any_step_left_out_is_found_on_adr(void **state)
{
	assert_true(breaks(SIM_ADR, PAYLOAD_WRITE_BACK));
	assert_true(breaks(SIM_ADR, RECORD_WRITE_BACK));
	assert_true(breaks(SIM_ADR, FENCE));
	assert_false(breaks(SIM_ADR, TICKET_WAIT)); /* a fence completes at once */
	assert_true(breaks(SIM_ADR, PAYLOAD_CHECK));
}

static void any_step_left_out_is_found_on_file(void **state)
{
	for (enum step step = NONE + 1; step < STEPS; step++)
		assert_true(breaks(SIM_FILE, step));
}

static void nothing_is_lost_with_the_process_alone(void **state)
{
	for (enum step step = NONE + 1; step < PAYLOAD_CHECK; step++) {
		assert_false(breaks(SIM_SHM, step));
		assert_false(breaks(SIM_EADR, step));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(written_as_it_should_be_it_keeps_its_promise),
	    cmocka_unit_test(any_step_left_out_is_found_on_adr),
	    cmocka_unit_test(any_step_left_out_is_found_on_file),
	    cmocka_unit_test(nothing_is_lost_with_the_process_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
