/* SPDX-License-Identifier: BSD-2-Clause */
/* A trace of a pipe: what is in the file, and what happens when the file cannot keep up. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port/capture.h"
#include "slots.h"

#define SLOTS 64

struct fixture {
	struct paste_region *region;
	struct paste_port *port[2], *tap;
	struct capture *trace;
	char path[64];
};

static void begin(struct fixture *f, const char *path, uint32_t buffer)
{
	*f = (struct fixture){.region = fake_region_new(512, 2048)};
	if (path) {
		snprintf(f->path, sizeof(f->path), "%s", path);
	} else {
		snprintf(f->path, sizeof(f->path), "/tmp/test_capture.XXXXXX");
		close(mkstemp(f->path));
	}
	assert_int_equal(paste_pipe_open(f->region, f->region, SLOTS, f->port, NULL), 0);
	assert_int_equal(capture_open(f->path, "pipe", buffer, &f->trace, NULL), 0);
	assert_int_equal(capture_tap(f->trace, f->port[0], &f->tap, NULL), 0);
}

static struct capture_stats end_traffic(struct fixture *f)
{
	struct capture_stats stats;

	paste_port_close(f->tap);
	capture_close(f->trace, &stats);
	for (int side = 0; side < 2; side++)
		paste_port_close(f->port[side]);
	region_proved(f->region);
	return stats;
}

/* The file's blocks: packets are handed to `each` in order. */
static void read_file(struct fixture *f,
		      void (*each)(void *arg, bool inbound, const uint8_t *bytes, uint32_t length), void *arg,
		      uint64_t counts[2])
{
	static uint32_t file[1 << 18];
	FILE *in = fopen(f->path, "rb");
	size_t words = fread(file, 4, sizeof(file) / 4, in), at = 0;

	fclose(in);
	unlink(f->path);
	for (int n = 0; at < words; n++) {
		const uint32_t *b = file + at;
		uint32_t length = b[1] / 4;
		assert_true(length >= 3 && at + length <= words);
		assert_int_equal(b[length - 1], b[1]);
		assert_true((b[0] == 0x0a0d0d0a) == (n == 0) && (b[0] == 1) == (n == 1));
		if (b[0] == 6) {
			const uint32_t *flags = b + 7 + (b[5] + 3) / 4;
			assert_int_equal(flags[0], 2 | 4 << 16);
			each(arg, flags[1] == 1, (const uint8_t *)(b + 7), b[5]);
		} else if (b[0] == 5) {
			memcpy(&counts[0], b + 6, 8);
			memcpy(&counts[1], b + 9, 8);
			assert_int_equal(at + length, words);
		}
		at += length;
	}
}

struct seen {
	uint64_t next[2]; /* seeds, by direction */
	uint32_t n;
};

static uint32_t length_of(uint64_t seed)
{
	return (uint32_t)(60 + seed * 97 % 3000);
}

static void expect_next(void *arg, bool inbound, const uint8_t *bytes, uint32_t length)
{
	struct seen *s = arg;
	uint8_t want[PACKET_BYTES];
	uint64_t seed = 2 * s->next[inbound]++ + inbound;

	packet_bytes(seed, want, length_of(seed));
	assert_int_equal(length, length_of(seed));
	assert_memory_equal(bytes, want, length);
	s->n++;
}

static void both_directions_in_order_whole(void **state)
{
	struct seen seen = {{0}, 0};
	uint64_t counts[2];
	struct fixture f;

	begin(&f, NULL, 0);
	for (uint64_t i = 0; i < 150; i++) {
		assert_true(packet_put_seed(f.tap, 2 * i, length_of(2 * i), 1900));
		assert_true(paste_port_sync_transmit(f.tap, 0) >= 0);
		assert_true(paste_port_sync_receive(f.port[1], 0) > 0);
		packet_expect(f.port[1], 2 * i, length_of(2 * i));
		assert_true(packet_put_seed(f.port[1], 2 * i + 1, length_of(2 * i + 1), 1900));
		assert_true(paste_port_sync_transmit(f.port[1], 0) >= 0);
		assert_true(paste_port_sync_receive(f.tap, 0) > 0);
		packet_expect(f.tap, 2 * i + 1, length_of(2 * i + 1));
	}
	struct capture_stats stats = end_traffic(&f);
	assert_int_equal(stats.packets, 300);
	assert_int_equal(stats.dropped + (uint64_t)stats.error, 0);
	read_file(&f, expect_next, &seen, counts);
	assert_int_equal(seen.n, 300);
	assert_int_equal(counts[0], 300);
	assert_int_equal(counts[1], 0);
}

static void count_packet(void *arg, bool inbound, const uint8_t *bytes, uint32_t length)
{
	assert_int_equal(length, 1500);
	++*(uint64_t *)arg;
}

/* All at one sync, and a buffer for a few of them. */
static void what_does_not_fit_is_counted(void **state)
{
	uint64_t n = 0, counts[2];
	struct fixture f;

	begin(&f, NULL, 16384);
	for (uint64_t i = 0; i < 40; i++)
		assert_true(packet_put_seed(f.tap, i, 1500, 0));
	assert_true(paste_port_sync_transmit(f.tap, 0) >= 0);
	struct capture_stats stats = end_traffic(&f);
	assert_int_equal(stats.packets, 10);
	assert_int_equal(stats.dropped, 30);
	read_file(&f, count_packet, &n, counts);
	assert_int_equal(n, 10);
	assert_int_equal(counts[0], 40);
	assert_int_equal(counts[1], 30);
}

static void a_full_disk_ends_the_trace_and_nothing_else(void **state)
{
	struct fixture f;

	begin(&f, "/dev/full", 1 << 17);
	for (uint64_t i = 0; i < 400; i++) {
		assert_true(packet_put_seed(f.tap, i, 1500, 0));
		assert_true(paste_port_sync_transmit(f.tap, 0) >= 0);
		paste_port_sync_receive(f.tap, 0);
		assert_true(paste_port_sync_receive(f.port[1], 0) > 0);
		packet_expect(f.port[1], i, 1500);
	}
	struct capture_stats stats = end_traffic(&f);
	assert_int_equal(stats.error, -ENOSPC);
	assert_int_equal(stats.packets + stats.dropped, 400);
	assert_true(stats.dropped > 0);
}

static void a_file_that_cannot_be_made_is_named(void **state)
{
	struct paste_error err = {{0}};
	struct capture *t;

	assert_int_equal(capture_open("/no/such/folder/x", "pipe", 0, &t, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/no/such/folder/x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_directions_in_order_whole),
	    cmocka_unit_test(what_does_not_fit_is_counted),
	    cmocka_unit_test(a_full_disk_ends_the_trace_and_nothing_else),
	    cmocka_unit_test(a_file_that_cannot_be_made_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
