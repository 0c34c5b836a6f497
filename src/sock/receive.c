/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receive.c - buffers of the region as the provided buffers of multishot receives.
 *
 * Each completion takes one posted buffer whole, however few bytes it holds, so that nothing is ever written
 * beside a slice that was handed over. What was taken is replaced before the next wait. Few posted buffers
 * stay in the cache, many let a burst in; so we begin with few and double when a receive finds none.
 */
#include "sock/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RECEIVE_POSTED_AT_FIRST 128
#define RECEIVE_GROUP 0

static uint32_t power_of_two_below(uint32_t n)
{
	uint32_t p = 1;

	while (p * 2 <= n)
		p *= 2;
	return p;
}

static uint32_t entries_by_region(const struct sock *s)
{
	uint32_t n = power_of_two_below(paste_buffer_count(s->region) / 16 + 1);

	return n < 16 ? 16 : n > 4096 ? 4096 : n;
}

int receive_open(struct sock *s, uint32_t entries, struct paste_error *err)
{
	struct receive_ring *r = &s->receive;

	if (!entries)
		entries = entries_by_region(s);
	if ((entries & (entries - 1)) || entries > 32768)
		return paste_fail(err, -EINVAL, "receive buffers: %u is not a power of two up to 32768",
				  entries);
	r->entries = entries;
	r->target = entries < RECEIVE_POSTED_AT_FIRST ? entries : RECEIVE_POSTED_AT_FIRST;
	r->buffers = calloc(entries, sizeof(*r->buffers));
	r->free_ids = calloc(entries, sizeof(*r->free_ids));
	/* The ring must be page-aligned; mmap also gives the kernel whole pages to pin. */
	void *ring = mmap(NULL, entries * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	r->ring = ring == MAP_FAILED ? NULL : ring;
	if (!r->buffers || !r->free_ids || !r->ring)
		return paste_fail(err, -ENOMEM, "no memory for %u receive buffer entries", entries);
	for (uint32_t i = 0; i < entries; i++)
		r->free_ids[r->free_count++] = (uint16_t)(entries - 1 - i);

	struct io_uring_buf_reg reg = {
	    .ring_addr = (uintptr_t)ring, .ring_entries = entries, .bgid = RECEIVE_GROUP};
	int rc = io_uring_register_buf_ring(&s->ring, &reg, 0);
	if (rc < 0) {
		munmap(ring, entries * sizeof(struct io_uring_buf));
		r->ring = NULL;
		return paste_fail(err, rc, "io_uring buffer ring: %s (Linux 6.1 or newer is needed)",
				  strerror(-rc));
	}
	io_uring_buf_ring_init(r->ring);
	return 0;
}

/* No receive may be in the kernel any more. */
void receive_close(struct sock *s)
{
	struct receive_ring *r = &s->receive;

	if (r->ring) {
		bool is_free[32768] = {false};

		io_uring_unregister_buf_ring(&s->ring, RECEIVE_GROUP);
		for (uint32_t i = 0; i < r->free_count; i++)
			is_free[r->free_ids[i]] = true;
		for (uint32_t id = 0; id < r->entries; id++)
			if (!is_free[id])
				paste_buffer_put(s->region, r->buffers[id]);
		munmap(r->ring, r->entries * sizeof(struct io_uring_buf));
	}
	free(r->buffers);
	free(r->free_ids);
}

/* Let connections that wait for buffers try again, no more of them than there are buffers. */
static void wake_starved(struct sock *s)
{
	uint32_t n = s->receive.posted;

	while (n-- && !link_empty(&s->starved)) {
		struct sock_conn *c = link_owner(s->starved.next, struct sock_conn, starved_link);

		link_remove(&c->starved_link);
		c->starved = false;
		s->stats.waiting--;
		conn_attend(c);
	}
}

void receive_refill(struct sock *s)
{
	struct receive_ring *r = &s->receive;
	int mask = io_uring_buf_ring_mask(r->entries), added = 0;
	uint32_t size = paste_buffer_size(s->region), buffer;

	if (r->ran_empty && r->target < r->entries)
		r->target *= 2;
	r->ran_empty = false;
	while (r->posted < r->target && paste_buffer_alloc(s->region, &buffer) == 0) {
		uint16_t id = r->free_ids[--r->free_count];

		r->buffers[id] = buffer;
		io_uring_buf_ring_add(r->ring, paste_buffer_data(s->region, buffer), size, id, mask, added++);
		r->posted++;
	}
	if (added)
		io_uring_buf_ring_advance(r->ring, added);
	if (!link_empty(&s->starved))
		wake_starved(s);
	/* A burst that emptied the ring is no want of buffers as long as the region has some to refill it. */
	bool short_of = !link_empty(&s->starved) && r->posted < r->target;
	if (short_of && !r->short_of)
		s->stats.starved++;
	r->short_of = short_of;
}

/* The region's buffer that a completion filled; its user count is the caller's. */
uint32_t receive_take(struct sock *s, uint32_t cqe_flags)
{
	struct receive_ring *r = &s->receive;
	uint16_t id = (uint16_t)(cqe_flags >> IORING_CQE_BUFFER_SHIFT);

	r->posted--;
	r->free_ids[r->free_count++] = id;
	return r->buffers[id];
}

/* A receive found the ring empty. */
void receive_starved(struct sock *s)
{
	s->receive.ran_empty = true;
}
