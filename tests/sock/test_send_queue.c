/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue of unsent bytes alone: whatever is queued in whatever pieces is sent once, in order, however
 * sends fall short. */
#include "client.h"

#include <stdio.h>

#include "sock/sock.h"

struct queue {
	struct sock sock;
	struct sock_conn conn;
	uint8_t queued[1 << 20];
	uint32_t put, sent;
};

static struct queue *queue_new(void)
{
	struct queue *q = calloc(1, sizeof(*q));

	q->sock.region = fake_region_new(1024, 2048);
	q->sock.limits.send_bytes = UINT32_MAX;
	q->conn.sock = &q->sock;
	return q;
}

static void queue_free(struct queue *q)
{
	tx_drop(&q->conn);
	assert_null(q->conn.tx_head);
	assert_int_equal(q->conn.unsent, 0);
	assert_int_equal(fake_region_out(q->sock.region), 0);
	fake_region_free(q->sock.region);
	tx_pool_close(&q->sock);
	free(q);
}

static uint32_t random_below(uint64_t *seed, uint32_t limit)
{
	*seed = *seed * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(*seed >> 33) % limit;
}

/* One call with up to 5 pieces, by reference or copied. */
static void queue_some(struct queue *q, uint64_t *seed)
{
	struct paste_send pieces[5];
	uint8_t bytes[5][3000];
	int n = 1 + (int)random_below(seed, 5);

	for (int i = 0; i < n; i++) {
		bool by_reference = random_below(seed, 2);
		uint32_t most = random_below(seed, 8) ? 100 : by_reference ? 2048 : 3000;
		uint32_t length = by_reference + random_below(seed, most);
		uint8_t *at = bytes[i];

		pieces[i] = (struct paste_send){.inline_bytes = at, .inline_length = length};
		if (by_reference) {
			pieces[i] = (struct paste_send){.ref.length = (uint16_t)length};
			assert_int_equal(paste_buffer_alloc(q->sock.region, &pieces[i].ref.buffer), 0);
			at = paste_ref_data(q->sock.region, pieces[i].ref);
		}
		for (uint32_t k = 0; k < length; k++)
			q->queued[q->put++] = at[k] = (uint8_t)random_below(seed, 256);
	}
	assert_int_equal(tx_send(&q->conn.base, pieces, n), 0);
}

/* All that is gathered is the next of what was queued; some of it is sent. */
static void send_some(struct queue *q, uint64_t *seed, uint32_t max)
{
	struct iovec iov[SOCK_IOVECS_PER_SEND];
	uint32_t n = tx_gather(&q->conn, iov, max), at = q->sent;

	for (uint32_t i = 0; i < n; i++) {
		assert_true(iov[i].iov_len > 0);
		assert_memory_equal(iov[i].iov_base, q->queued + at, iov[i].iov_len);
		at += (uint32_t)iov[i].iov_len;
	}
	if (n < max)
		assert_int_equal(at, q->put);
	if (at == q->sent)
		return;
	uint32_t now = random_below(seed, 3) ? 1 + random_below(seed, at - q->sent) : at - q->sent;
	tx_consume(&q->conn, now);
	q->sent += now;
	assert_int_equal(q->conn.unsent, q->put - q->sent);
}

static void what_is_queued_is_sent_once_and_in_order(void **state)
{
	for (uint64_t run = 1; run <= 200; run++) {
		struct queue *q = queue_new();
		uint64_t seed = run;

		while (q->put < 500000) {
			for (uint32_t i = random_below(&seed, 4); i; i--)
				queue_some(q, &seed);
			uint32_t sends = q->conn.unsent > 100000 ? 20 : random_below(&seed, 4);
			while (sends--)
				send_some(q, &seed, 1 + random_below(&seed, SOCK_IOVECS_PER_SEND));
		}
		queue_free(q);
	}
}

static void an_empty_queue_holds_no_page(void **state)
{
	struct queue *q = queue_new();
	struct paste_send piece = {.inline_bytes = "0123456789", .inline_length = 10};

	for (int i = 0; i < 1000; i++) {
		assert_int_equal(tx_send(&q->conn.base, &piece, 1), 0);
		assert_non_null(q->conn.tx_head);
		tx_consume(&q->conn, 3);
		tx_consume(&q->conn, 7);
		assert_null(q->conn.tx_head);
	}
	queue_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_queued_is_sent_once_and_in_order),
	    cmocka_unit_test(an_empty_queue_holds_no_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
