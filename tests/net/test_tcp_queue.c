/* SPDX-License-Identifier: BSD-2-Clause */
/* The send queue and what is held, beside plain arrays. */
#include <errno.h>

#include "net/tcp_hold.h"
#include "net/tcp_queue.h"
#include "slots.h"

#define MOST 60000u

static uint64_t random_of(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return *x >> 33;
}

static uint8_t byte_at(uint32_t at)
{
	return (uint8_t)(at * 2654435761u >> 24);
}

static void append(struct paste_region *r, struct queue_pool *p, struct tcp_queue *q, uint32_t *end,
		   uint64_t *x)
{
	uint8_t bytes[700];
	uint32_t length = 1 + (uint32_t)random_of(x) % sizeof(bytes), buffer;
	struct paste_send s = {.inline_bytes = bytes, .inline_length = length};

	for (uint32_t i = 0; i < length; i++)
		bytes[i] = byte_at(*end + i);
	if (random_of(x) % 2 && paste_buffer_alloc(r, &buffer) == 0) {
		s = (struct paste_send){.ref = {buffer, 100, (uint16_t)length}};
		memcpy(paste_ref_data(r, s.ref), bytes, length);
	}
	int rc = queue_append(p, q, &s, 1);
	if (rc == 0)
		*end += length;
	else if (!s.inline_bytes)
		paste_ref_put(r, s.ref);
	assert_true(rc == 0 || rc == -ENOBUFS);
}

static void expect_read(struct paste_region *r, struct tcp_queue *q, uint32_t start, uint32_t at,
			uint32_t length)
{
	struct queue_piece piece[8];
	uint32_t got, sum = 0, n = queue_read(q, r, at, length, piece, 8, &got);

	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t k = 0; k < piece[i].length; k++)
			assert_int_equal(piece[i].bytes[k], byte_at(start + at + sum + k));
		sum += piece[i].length;
	}
	assert_int_equal(sum, got);
	assert_true(got == length || n == 8 || at + got == q->bytes);
}

static void what_is_queued_is_read_anywhere_until_it_is_released(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct paste_region *r = fake_region_new(200, 2048);
		struct queue_pool p;
		struct tcp_queue q = {.head = NULL};
		uint32_t start = 0, end = 0, next = 0;
		uint64_t x = seed;
		assert_int_equal(queue_pool_open(&p, 100), 0);
		while (end < MOST) {
			append(r, &p, &q, &end, &x);
			assert_int_equal(q.bytes, end - start);
			/* forward, as new bytes are sent, and anywhere, as they are sent again */
			uint32_t now = (uint32_t)random_of(&x) % 900;
			if (next < end) {
				now = now < end - next ? now : end - next;
				expect_read(r, &q, start, next - start, now);
				next += now;
			}
			if (q.bytes > 0)
				expect_read(r, &q, start, (uint32_t)random_of(&x) % q.bytes, 500);
			if (random_of(&x) % 3 == 0 && next > start) {
				uint32_t released = (uint32_t)random_of(&x) % (next - start + 1);
				queue_release(&p, &q, r, released);
				start += released;
			}
		}
		queue_release(&p, &q, r, q.bytes);
		assert_int_equal(p.used, 0);
		queue_pool_close(&p);
		region_proved(r);
	}
}

/* Segments of a stream in any order, some twice and cut anew: what comes out is the stream. */
static void what_is_held_comes_out_once_and_in_order(void **state)
{
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct paste_region *r = fake_region_new(600, 2048);
		struct hold_pool p;
		struct tcp_hold h;
		uint64_t x = seed;
		uint32_t base = 0xffffff00u, next = base, out = base, buffer,
			 most = 1 + (uint32_t)seed % 2 * 1200;
		assert_int_equal(hold_pool_open(&p, r, 500), 0);
		tcp_hold_init(&h);
		while (next - base < 30000) {
			uint32_t ahead = random_of(&x) % 3 ? 0 : (uint32_t)random_of(&x) % 4000;
			uint32_t seq = next + ahead,
				 length = 1 + (uint32_t)random_of(&x) % (seed % 3 ? 1400 : 40);
			assert_int_equal(paste_buffer_alloc(r, &buffer), 0);
			struct paste_ref slice = {buffer, 5, (uint16_t)length};
			for (uint32_t i = 0; i < length; i++)
				paste_ref_data(r, slice)[i] = byte_at(seq + i);
			if (ahead == 0) {
				assert_true(tcp_hold_ready(&p, &h, slice));
				next = tcp_hold_ripen(&p, &h, next + length);
			} else {
				tcp_hold_early(&p, &h, seq, slice, 100);
				struct tcp_range range[4];
				uint32_t n = tcp_hold_ranges(&p, &h, seq, range, 4);
				assert_true(n > 0 || h.early == HOLD_NONE);
				for (uint32_t i = 0; i < n; i++)
					assert_true(seq_before(range[i].start, range[i].end) &&
						    seq_after(range[i].start, next));
			}
			paste_buffer_put(r, buffer);
			while (h.ready_bytes > most && tcp_hold_take(&p, &h, &slice)) {
				for (uint32_t i = 0; i < slice.length; i++)
					assert_int_equal(paste_ref_data(r, slice)[i], byte_at(out + i));
				out += slice.length;
				paste_ref_put(r, slice);
			}
			assert_int_equal(next - out, h.ready_bytes);
		}
		tcp_hold_drop(&p, &h);
		assert_int_equal(p.used, 0);
		hold_pool_close(&p);
		region_proved(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_queued_is_read_anywhere_until_it_is_released),
	    cmocka_unit_test(what_is_held_comes_out_once_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
