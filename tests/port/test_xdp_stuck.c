/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A zero-copy device that does not let go of its buffers when the sockets are closed. No such device is here:
 * the port is one over veth (veth.h has the picture), whose kernel says of it what this file wants (ld
 * --wrap), so that the port waits for a release that it is not told of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/site.h"
#include "landing.h"
#include "paste/port.h"
#include "port/xdp.h"
#include "veth.h"

#define REGION_BYTES (4 << 20)
#define SLOTS 64

static struct veth veth;

static struct {
	bool zero_copy, releases;
	uint32_t refuse_queue; /* in zero-copy mode; UINT32_MAX: none */
	int asked;
} device;

bool __real_xdp_queue_wait_released(unsigned ifindex, uint32_t queue, uint32_t ms);
bool __wrap_xdp_queue_wait_released(unsigned ifindex, uint32_t queue, uint32_t ms);
bool __wrap_xdp_socket_is_zero_copy(const struct xdp_socket *s);
int __real_xdp_socket_bind(struct xdp_socket *s, const struct xdp_socket *owner, unsigned ifindex,
			   uint32_t queue, uint16_t flags);
int __wrap_xdp_socket_bind(struct xdp_socket *s, const struct xdp_socket *owner, unsigned ifindex,
			   uint32_t queue, uint16_t flags);

bool __wrap_xdp_queue_wait_released(unsigned ifindex, uint32_t queue, uint32_t ms)
{
	device.asked++;
	return device.releases && __real_xdp_queue_wait_released(ifindex, queue, ms);
}

bool __wrap_xdp_socket_is_zero_copy(const struct xdp_socket *s)
{
	return device.zero_copy;
}

/* Zero-copy mode is given, and is the copy mode. */
int __wrap_xdp_socket_bind(struct xdp_socket *s, const struct xdp_socket *owner, unsigned ifindex,
			   uint32_t queue, uint16_t flags)
{
	if (flags & XDP_ZEROCOPY) {
		if (queue == device.refuse_queue)
			return -EOPNOTSUPP;
		flags = (uint16_t)((flags & ~XDP_ZEROCOPY) | XDP_COPY);
	}
	return __real_xdp_socket_bind(s, owner, ifindex, queue, flags);
}

static int try_open(struct paste_region *r, struct paste_port **port, struct paste_error *err)
{
	struct paste_xdp_options o = {.ifname = VETH_HERE, .slots = SLOTS, .mode = PASTE_XDP_ZERO_COPY};

	return paste_xdp_open(r, &o, port, err);
}

static struct paste_port *must_open(struct paste_region *r)
{
	struct paste_error err = {{0}};
	struct paste_port *port;

	if (try_open(r, &port, &err) < 0)
		fail_msg("%s", err.text);
	return port;
}

/* The buffers that somebody has, and the proof that nobody else gets them, and that nothing else is out. */
static uint32_t expect_kept(struct paste_region *r, const uint8_t *kept)
{
	uint32_t n = 0, got, taken[REGION_BYTES / 2048], count = 0;

	for (uint32_t b = 0; b < r->buffers; b++) {
		assert_int_equal(r->buffer[b].users, kept[b]);
		n += kept[b];
	}
	while (paste_buffer_alloc(r, &got) == 0) {
		assert_false(kept[got]);
		taken[count++] = got;
	}
	while (count > 0)
		paste_buffer_put(r, taken[--count]);
	return n;
}

/* The process ends, and with it what it kept. */
static void end(struct paste_region *r)
{
	for (uint32_t b = 0; b < r->buffers; b++) {
		while (r->buffer[b].users > 0)
			paste_buffer_put(r, b);
	}
	landing_close(r);
}

static void begin(unsigned queues)
{
	veth_make(&veth, queues, 1500);
	device.zero_copy = true;
	device.releases = false;
	device.refuse_queue = UINT32_MAX;
	device.asked = 0;
}

static void what_it_may_write_into_stays_out_of_use(void **state)
{
	begin(1);
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_port *port = must_open(r);
	uint8_t *posted = calloc(r->buffers, 1);

	memcpy(posted, xdp_port_of(port)->posted, r->buffers);
	assert_int_equal(r->standing, 2 * SLOTS);
	paste_port_close(port);
	assert_int_equal(device.asked, 1);
	uint32_t kept = expect_kept(r, posted);
	assert_int_equal(kept, SLOTS);
	assert_int_equal(r->standing, kept);
	/* Whoever opens the region next must ask. */
	assert_int_equal(r->sb.landing[0].queues, 1);
	assert_string_equal(r->sb.landing[0].name, VETH_HERE);
	free(posted);
	end(r);
}

static void what_it_may_send_from_stays_out_of_use(void **state)
{
	begin(1);
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_port *port = must_open(r);
	struct paste_ring *out = &port->transmit[0];
	uint8_t *had = calloc(r->buffers, 1);
	uint32_t referenced;

	memcpy(had, xdp_port_of(port)->posted, r->buffers);
	/* It is down: frames stay in the kernel's ring. One of a buffer of the ring's own, one by reference.
	 */
	assert_int_equal(veth_ip(veth.here, "link set dev %s down", VETH_HERE), 0);
	assert_int_equal(paste_buffer_alloc(r, &referenced), 0);
	for (int i = 0; i < 2; i++) {
		struct paste_slot *slot = paste_ring_slot(out, out->head++);
		if (i == 1) {
			slot->buffer = referenced;
			slot->flags = PASTE_SLOT_REFERENCE;
		}
		slot->offset = 64;
		slot->length = 60;
		memset(paste_buffer_data(r, slot->buffer) + 64, 0, 60);
		had[slot->buffer] = 1;
	}
	out->cur = out->head;
	assert_true(paste_port_sync_transmit(port, 0) >= 0);
	assert_int_equal(paste_ring_available(out), SLOTS - 2);
	paste_buffer_put(r, referenced);
	paste_port_close(port);
	uint32_t kept = expect_kept(r, had);
	assert_int_equal(kept, SLOTS + 2);
	assert_int_equal(r->standing, kept);
	free(had);
	end(r);
}

static void what_it_lets_go_of_comes_back(void **state)
{
	begin(1);
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	struct paste_port *port = must_open(r);

	device.releases = true;
	paste_port_close(port);
	assert_int_equal(device.asked, 1);
	assert_int_equal(r->standing, 0);
	assert_int_equal(r->sb.landing[0].queues, 0);
	landing_close(r);
}

/* One queue is bound, the next one is not to be had: the first one's buffers are the device's still. */
static void an_attempt_that_fails_keeps_them_as_well(void **state)
{
	struct paste_error err = {{0}};
	struct paste_port *port;

	begin(2);
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	device.refuse_queue = 1;
	assert_int_equal(try_open(r, &port, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "zero-copy"));
	uint8_t *kept = calloc(r->buffers, 1);
	uint32_t n = 0;
	for (uint32_t b = 0; b < r->buffers; b++)
		n += kept[b] = r->buffer[b].users > 0;
	assert_true(n >= 2 * SLOTS);
	assert_int_equal(n % (2 * SLOTS), 0); /* of each attempt */
	assert_int_equal(expect_kept(r, kept), n);
	assert_int_equal(r->standing, n);
	assert_int_equal(r->sb.landing[0].queues, 2);
	free(kept);
	end(r);
}

/* No queue was to be had: no device has anything, and nobody is asked, least of all the queue's owner. */
static void an_attempt_that_is_refused_at_once_keeps_nothing(void **state)
{
	struct paste_error err = {{0}};
	struct paste_port *port;

	begin(1);
	struct paste_region *r = landing_open(REGION_BYTES, 2048);
	device.refuse_queue = 0;
	assert_int_equal(try_open(r, &port, &err), -EOPNOTSUPP);
	assert_int_equal(device.asked, 0);
	assert_int_equal(r->standing, 0);
	assert_int_equal(r->sb.landing[0].queues, 0);
	landing_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_it_may_write_into_stays_out_of_use),
	    cmocka_unit_test(what_it_may_send_from_stays_out_of_use),
	    cmocka_unit_test(what_it_lets_go_of_comes_back),
	    cmocka_unit_test(an_attempt_that_fails_keeps_them_as_well),
	    cmocka_unit_test(an_attempt_that_is_refused_at_once_keeps_nothing),
	};
	const char *why;

#ifdef PASTE_MUTATE
	paste_mutant = getenv("PASTE_MUTANT");
#endif
	if (!veth_namespaces(&veth, &why)) {
		printf("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
