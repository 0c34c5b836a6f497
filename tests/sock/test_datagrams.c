/* SPDX-License-Identifier: BSD-2-Clause */
/* Datagrams over a kernel socket: received into buffers of the region, kept or not, answered. */
#include "paste/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake_region.h"

#define BUFFER 2048u
#define LARGEST (BUFFER - 128)
#define MANY 260 /* answers: more than one call takes */

struct pair {
	struct paste_region *region;
	struct paste_datagrams *ours;
	int theirs; /* a plain socket, connected to ours */
};

static void begin(struct pair *p, uint32_t buffers)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct paste_error err = {{0}};
	char bound[64];

	p->region = fake_region_new(buffers, BUFFER);
	if (paste_sock_datagrams_open(p->region, "127.0.0.1:0", &p->ours, bound, sizeof(bound), &err) < 0)
		fail_msg("%s", err.text);
	to.sin_port = htons((uint16_t)atoi(strrchr(bound, ':') + 1));
	struct timeval patience = {.tv_sec = 10};
	int room = 1 << 20;
	p->theirs = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(p->theirs >= 0);
	assert_int_equal(setsockopt(p->theirs, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(setsockopt(p->theirs, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	assert_int_equal(connect(p->theirs, (struct sockaddr *)&to, sizeof(to)), 0);
}

static void end(struct pair *p)
{
	close(p->theirs);
	paste_datagrams_close(p->ours);
	assert_int_equal(fake_region_out(p->region), 0);
	fake_region_free(p->region);
}

static void they_send(struct pair *p, char fill, size_t length)
{
	static char bytes[8192];

	memset(bytes, fill, length);
	assert_int_equal(send(p->theirs, bytes, length, 0), (ssize_t)length);
}

/* The next datagram; its descriptor says when. */
static void receive_one(struct pair *p, struct paste_datagram *d)
{
	struct pollfd ready = {.fd = paste_datagrams_fd(p->ours), .events = POLLIN};

	for (int i = 0; i < 200; i++) {
		int n = paste_datagrams_receive(p->ours, d, 1);
		assert_true(n >= 0);
		if (n == 1)
			return;
		poll(&ready, 1, 50);
	}
	fail_msg("nothing came");
}

static void expect_bytes(struct pair *p, const struct paste_datagram *d, char fill, uint32_t length)
{
	assert_false(d->cut);
	assert_int_equal(d->length, length);
	assert_int_equal(d->n, length > 0);
	for (uint32_t i = 0; i < length; i++)
		assert_int_equal(paste_ref_data(p->region, d->slice[0])[i], fill);
}

static void datagrams_land_on_a_line_of_a_buffer(void **state)
{
	static const uint32_t lengths[] = {0, 1, 63, 64, 1000, LARGEST};
	struct pair p;

	begin(&p, 512);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct paste_datagram d;

		they_send(&p, (char)('a' + i), lengths[i]);
		receive_one(&p, &d);
		expect_bytes(&p, &d, (char)('a' + i), lengths[i]);
		if (d.n)
			assert_int_equal((uintptr_t)paste_ref_data(p.region, d.slice[0]) % 64, 0);
	}
	end(&p);
}

static void what_is_too_large_is_shown_as_cut(void **state)
{
	struct paste_datagrams_stats stats;
	struct paste_datagram d;
	struct pair p;

	begin(&p, 512);
	they_send(&p, 'x', LARGEST + 1);
	receive_one(&p, &d);
	assert_true(d.cut);
	assert_int_equal(d.length, 0);
	assert_int_equal(d.n, 0);
	they_send(&p, 'y', LARGEST);
	receive_one(&p, &d);
	expect_bytes(&p, &d, 'y', LARGEST);
	paste_datagrams_stats(p.ours, &stats);
	assert_int_equal(stats.received, 2);
	assert_int_equal(stats.lost, 0);
	end(&p);
}

static void what_is_kept_is_not_received_into_again(void **state)
{
	struct paste_ref kept[40];
	struct paste_datagram d;
	struct pair p;

	begin(&p, 512);
	for (uint32_t i = 0; i < 40; i++) {
		they_send(&p, (char)('0' + i), 500);
		receive_one(&p, &d);
		kept[i] = d.slice[0];
		paste_ref_get(p.region, kept[i]);
		/* One that nobody keeps, between. */
		they_send(&p, '!', 500);
		receive_one(&p, &d);
	}
	for (uint32_t i = 0; i < 40; i++) {
		for (uint32_t k = 0; k < 500; k++)
			assert_int_equal(paste_ref_data(p.region, kept[i])[k], (char)('0' + i));
		paste_ref_put(p.region, kept[i]);
	}
	end(&p);
}

static void without_buffers_it_waits_and_goes_on(void **state)
{
	struct paste_ref kept[64];
	struct paste_datagram d;
	struct pair p;
	uint32_t n = 0;
	int got;

	begin(&p, 40); /* 16 of them are posted */
	fake_region_set_reserve(p.region, 1000);
	for (int i = 0; i < 30; i++)
		they_send(&p, (char)('A' + i), 100);
	for (int idle = 0; idle < 20;) {
		got = paste_datagrams_receive(p.ours, &d, 1);
		assert_true(got >= 0);
		idle += got == 0;
		if (!got)
			continue;
		expect_bytes(&p, &d, (char)('A' + n), 100);
		kept[n++] = d.slice[0];
		paste_ref_get(p.region, d.slice[0]);
	}
	assert_int_equal(n, 16);
	while (n > 0)
		paste_ref_put(p.region, kept[--n]);
	fake_region_set_reserve(p.region, 0);
	for (n = 16; n < 30; n++) {
		receive_one(&p, &d);
		expect_bytes(&p, &d, (char)('A' + n), 100);
	}
	end(&p);
}

static void answers_go_to_whom_asked(void **state)
{
	struct paste_datagram d;
	struct pair p;
	char got[64];

	begin(&p, 512);
	they_send(&p, 'q', 10);
	receive_one(&p, &d);
	struct paste_peer peer = d.peer;
	they_send(&p, 'r', 10); /* the first one's bytes may be gone, its sender is known still */
	receive_one(&p, &d);
	char large[PASTE_SOCK_DATAGRAM_SEND + 1] = {0};
	assert_int_equal(paste_datagrams_send(p.ours, &peer, large, sizeof(large)), -EMSGSIZE);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(paste_datagrams_send(p.ours, &peer, &i, sizeof(i)), 0);
	assert_int_equal(paste_datagrams_flush(p.ours), 0);
	for (int i = 0, number; i < MANY; i++) {
		ssize_t n = recv(p.theirs, got, sizeof(got), 0);
		if (n != sizeof(number))
			fail_msg("answer %d: %zd %s", i, n, strerror(errno));
		memcpy(&number, got, sizeof(number));
		assert_int_equal(number, i);
	}
	end(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(datagrams_land_on_a_line_of_a_buffer),
	    cmocka_unit_test(what_is_too_large_is_shown_as_cut),
	    cmocka_unit_test(what_is_kept_is_not_received_into_again),
	    cmocka_unit_test(without_buffers_it_waits_and_goes_on),
	    cmocka_unit_test(answers_go_to_whom_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
