/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * group.c - waiting committers on the file medium, beside a loop by hand that writes the same bytes.
 *
 *	group [--json] [--disk DIR] [--rounds N]
 *
 * 1, 8 and 64 committers each put 1 KiB, wait until it is durable, and put again. A round takes all that are
 * ready, or at most 32 or 16 of them (as a poll of the network does, so that groups come to overlap), puts, does a
 * piece of upkeep, and commits. By hand: one pwrite() with O_DIRECT of what such a group is in the log (records and
 * values, padded to blocks), at ascending places of a file that is allocated and written already, then fdatasync().
 * Both take short turns, because a disk's speed comes and goes; the figures are the middle ones, the rate is that
 * of neighbouring turns. Beside it what the store wrote beyond its log (checkpoints, padding).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "region/format.h"
#include "support.h"

#define REGION (256ull << 20)
#define VALUE 1024u
#define KEYS 20000u
#define MOST 64u
#define TURN 0.1 /* seconds */

struct committer {
	struct bench_packet packet; /* put again and again: the value is copied into the log here */
	uint64_t round;             /* that it waits for */
	uint64_t puts;
};

struct bench {
	struct committer committer[MOST];
	struct paste_store *s;
	struct paste_region *r;
	uint64_t seed;
	int fd; /* by hand */
	uint8_t *memory;
	uint64_t at;
};

static void put(struct bench *b, struct committer *c)
{
	struct paste_result result;
	uint32_t number = (uint32_t)(bench_random(&b->seed) >> 32) % KEYS;
	char key[16];

	memcpy(key, "key-000000000000", sizeof(key));
	for (unsigned i = sizeof(key) - 1; number > 0; i--, number /= 10)
		key[i] = (char)('0' + number % 10);
	int ret = paste_store_put(b->s, key, sizeof(key), c->packet.slice, c->packet.n, &result);
	if (ret < 0)
		bench_die("put", ret, NULL);
	c->round = result.round;
	c->puts++;
}

/* Puts a second. */
static double by_store(struct bench *b, unsigned committers, unsigned at_once)
{
	double start = bench_now(), now = start;
	uint64_t puts = 0;
	unsigned next = 0;

	for (unsigned i = 0; i < committers; i++)
		b->committer[i].round = b->committer[i].puts = 0;
	while (now - start < TURN) {
		int64_t durable = paste_store_poll(b->s);
		unsigned some = 0;
		for (unsigned i = 0; durable >= 0 && i < committers && some < at_once; i++) {
			struct committer *c = &b->committer[next];
			next = next + 1 == committers ? 0 : next + 1;
			if (c->round > (uint64_t)durable)
				continue;
			put(b, c);
			some++;
		}
		int ret = paste_store_maintain(b->s, false);
		int64_t round = paste_store_commit(b->s);
		if (durable < 0 || ret < 0 || round < 0)
			bench_die("store", -EIO, NULL);
		struct pollfd p = {.fd = paste_store_wait_fd(b->s), .events = POLLIN};
		if (!some)
			poll(&p, 1, 100);
		now = bench_now();
	}
	for (unsigned i = 0; i < committers; i++) {
		if (paste_store_wait(b->s, b->committer[i].round) < 0)
			bench_die("wait", -EIO, NULL);
		puts += b->committer[i].puts;
	}
	return (double)puts / (bench_now() - start);
}

static uint64_t group_bytes(unsigned committers)
{
	uint64_t op = sizeof(struct op) + sizeof(struct extent) + 16;
	uint64_t record = (sizeof(struct record) + op + 7) / 8 * 8 + VALUE;

	return (record * committers + 4095) & ~4095ull;
}

static double by_hand(struct bench *b, unsigned committers)
{
	uint64_t bytes = group_bytes(committers), groups = 0;
	double start = bench_now();

	do {
		if (b->at + bytes > REGION)
			b->at = 0;
		if (pwrite(b->fd, b->memory, bytes, (off_t)b->at) != (ssize_t)bytes || fdatasync(b->fd) < 0)
			bench_die("pwrite", 0, NULL);
		b->at += bytes;
		groups++;
	} while (bench_now() - start < TURN);
	return (double)(groups * committers) / (bench_now() - start);
}

static void open_by_hand(struct bench *b, const char *directory)
{
	b->memory = aligned_alloc(4096, 1 << 20);
	b->fd = open(directory, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	if (!b->memory || b->fd < 0 || fallocate(b->fd, 0, 0, (off_t)REGION) < 0)
		bench_die(directory, 0, NULL);
	memset(b->memory, 0x55, 1 << 20);
	for (uint64_t at = 0; at < REGION; at += 1 << 20) {
		if (pwrite(b->fd, b->memory, 1 << 20, (off_t)at) != 1 << 20)
			bench_die("pwrite", 0, NULL);
	}
	fsync(b->fd);
}

static void measure(struct bench *b, unsigned committers, unsigned at_once, unsigned rounds)
{
	double store[64], hand[64], rate[64];
	struct paste_store_stats before, after;
	char name[64];

	paste_store_stats(b->s, &before);
	for (unsigned i = 0; i < rounds; i++) {
		hand[i] = by_hand(b, committers);
		store[i] = by_store(b, committers, at_once);
		rate[i] = store[i] / hand[i];
	}
	paste_store_stats(b->s, &after);
	double r = bench_middle(rate, rounds);
	double s = bench_middle(store, rounds), h = bench_middle(hand, rounds);
	snprintf(name, sizeof(name), "%u committer%s, %s a round", committers, committers > 1 ? "s" : "",
		 at_once == committers ? "all"
		 : at_once == 32       ? "32"
				       : "16");
	report_row(name);
	report_number("puts/s", s);
	report_number("by hand", h);
	report_number("rate", r);
	report_number("us a group", committers / s * 1e6);
	report_number("by hand us", committers / h * 1e6);
	report_number("bytes/put", (double)(after.media_bytes_written - before.media_bytes_written) /
				       (double)(after.puts - before.puts));
	report_number("by hand B", (double)group_bytes(committers) / committers);
	if (committers == MOST)
		report_at_least(name, r, 0.8);
}

int main(int argc, char **argv)
{
	static const unsigned committers[] = {1, 8, MOST};
	const char *disk = bench_disk();
	unsigned rounds = 25;
	bool json = false;
	char path[4096];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--disk") == 0) {
			disk = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--rounds") == 0 && atoi(argv[i + 1]) > 0 &&
			   atoi(argv[i + 1]) <= 64) {
			rounds = (unsigned)atoi(argv[++i]);
		} else {
			fprintf(stderr, "usage: group [--json] [--disk DIR] [--rounds N]\n");
			return 2;
		}
	}
	report_begin("Group commit of 1 KiB on a file, beside O_DIRECT writes and fdatasync by hand", json);
	bench_region_create(disk, REGION, path);
	struct bench b = {.s = bench_open(path), .seed = 1};
	b.r = paste_store_region(b.s);
	open_by_hand(&b, disk);
	for (unsigned i = 0; i < MOST; i++) {
		if (!bench_receive(b.r, VALUE, i, &b.committer[i].packet))
			bench_die("no buffer", -ENOBUFS, NULL);
	}
	for (unsigned i = 0; i < sizeof(committers) / sizeof(committers[0]); i++)
		measure(&b, committers[i], committers[i], rounds);
	measure(&b, MOST, 32, rounds);
	measure(&b, MOST, 16, rounds);
	for (unsigned i = 0; i < MOST; i++)
		bench_release(b.r, &b.committer[i].packet);
	report_note("What limits it: the flush of the device's cache, once a group; by hand nothing is "
		    "computed meanwhile.");
	report_end();
	int ret = paste_store_close(b.s);
	if (ret < 0)
		bench_die("close", ret, NULL);
	bench_region_remove(path);
	return 0;
}
