/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receive.c - buffers of the region as the provided buffers of multishot receives.
 *
 * Each completion takes posted buffers whole, however few bytes the last one holds, so that nothing is ever
 * written beside a slice that was handed over. What was taken is replaced before the next wait. Few posted
 * buffers stay in the cache, many let a burst in; so we begin with few and double when a receive finds none.
 *
 * A buffer's id is its place in the ring. Where the kernel receives in bundles (6.10), a completion names the
 * first of several buffers, and the others stand behind it in the ring. Those that are adjacent in memory
 * leave here as one slice.
 */
#include "sock/sock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RECEIVE_POSTED_AT_FIRST 128
#define RECEIVE_GROUP 0
#define NOT_POSTED UINT32_MAX

static uint32_t power_of_two_below(uint32_t n)
{
	uint32_t p = 1;

	while (p * 2 <= n)
		p *= 2;
	return p;
}

static uint32_t entries_by_region(const struct sock *s)
{
	uint32_t stacks = s->limits.guard ? s->limits.guard->stacks : 1;
	uint32_t n = power_of_two_below(paste_buffer_count(s->region) / 16 / stacks + 1);

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
	r->bundles = s->ring.features & SOCK_FEAT_BUNDLE;
	r->buffers = malloc(entries * sizeof(*r->buffers));
	/* The ring must be page-aligned; mmap also gives the kernel whole pages to pin. */
	void *ring = mmap(NULL, entries * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	r->ring = ring == MAP_FAILED ? NULL : ring;
	if (!r->buffers || !r->ring)
		return paste_fail(err, -ENOMEM, "no memory for %u receive buffer entries", entries);
	for (uint32_t i = 0; i < entries; i++)
		r->buffers[i] = NOT_POSTED;

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
		io_uring_unregister_buf_ring(&s->ring, RECEIVE_GROUP);
		for (uint32_t at = 0; at < r->entries; at++)
			if (r->buffers[at] != NOT_POSTED)
				paste_buffer_put(s->region, r->buffers[at]);
		munmap(r->ring, r->entries * sizeof(struct io_uring_buf));
	}
	free(r->buffers);
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
	while (r->posted < r->target) {
		uint16_t at = (uint16_t)((r->ring->tail + added) & mask);

		/* Completions may come in another order than the buffers were filled in: the next place is then
		 * free in the kernel's eyes, and we have not heard of what is in it. */
		if (r->buffers[at] != NOT_POSTED || paste_buffer_alloc(s->region, &buffer))
			break;
		r->buffers[at] = buffer;
		io_uring_buf_ring_add(r->ring, paste_buffer_data(s->region, buffer), size, at, mask, added++);
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

static uint32_t take(struct receive_ring *r, uint32_t at)
{
	uint32_t buffer = r->buffers[at];

	assert(buffer != NOT_POSTED);
	r->buffers[at] = NOT_POSTED;
	r->posted--;
	return buffer;
}

bool receive_next(struct sock *s, struct received *d, struct paste_ref *slice)
{
	struct receive_ring *r = &s->receive;
	uint32_t size = paste_buffer_size(s->region), mask = r->entries - 1;

	if (!d->left)
		return false;
	uint32_t buffer = take(r, d->at), last = buffer;
	uint32_t length = d->left < size ? d->left : size;
	d->left -= length;
	d->at = (d->at + 1) & mask;
	*slice = (struct paste_ref){.buffer = buffer, .length = (uint16_t)length};
	/* A full buffer, and the one behind it in the ring is the one behind it in memory. */
	while (d->left && slice->length + size <= UINT16_MAX && r->buffers[d->at] == last + 1 &&
	       paste_buffer_adjoins_next(s->region, last)) {
		last = take(r, d->at);
		length = d->left < size ? d->left : size;
		slice->length = (uint16_t)(slice->length + length);
		d->left -= length;
		d->at = (d->at + 1) & mask;
	}
	return true;
}

void receive_drop(struct sock *s, uint32_t cqe_flags)
{
	paste_buffer_put(s->region, take(&s->receive, cqe_flags >> IORING_CQE_BUFFER_SHIFT));
}

/* A receive found the ring empty. */
void receive_starved(struct sock *s)
{
	s->receive.ran_empty = true;
}
