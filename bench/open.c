/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * open.c - how long it takes until a region answers.
 *
 *	open [--json] [--keys N] [--tail N] [--file MIB] [--shm DIR] [--disk DIR]
 *
 * On shm: a million keys with values of 16 B, and of 1 KiB, closed clean: opening reads the checkpoint. Then
 *the same with a tail: another process puts N times and exits without closing, so that opening reads the
 *checkpoint and N records and verifies what may be torn. The floor of both is reading the bytes that must be
 *read, with CRC32C (checkpoint and log), from memory that has just been mapped.
 *
 * On a disk: a file of 1 GiB, three quarters of it in use; the floor is reading the same file with O_DIRECT,
 *many requests at a time, into memory that has its pages already, in turns with the opening.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc.h"
#include "media/file.h"
#include "support.h"

#define RUNS 5

static void key_set(char key[16], uint64_t number)
{
	/* Not in order, as keys come: an odd factor is a permutation. */
	uint64_t x = number * 0x9e3779b97f4a7c15ull;

	memcpy(key, "user", 4);
	for (unsigned i = 4; i < 16; i++, x >>= 5)
		key[i] = "0123456789abcdefghijklmnopqrstuv"[x & 31];
}

static void put_range(struct paste_store *s, uint64_t from, uint64_t n, uint64_t keys, uint32_t value,
		      bool maintain)
{
	struct paste_region *r = paste_store_region(s);
	struct bench_packet packet;
	struct paste_result result;
	char key[16];

	for (uint64_t i = from; i < from + n; i++) {
		key_set(key, i % keys);
		if (!bench_receive(r, value, i, &packet))
			bench_die("no buffer", -ENOBUFS, NULL);
		int ret = paste_store_put(s, key, sizeof(key), packet.slice, packet.n, &result);
		if (ret < 0)
			bench_die("put", ret, NULL);
		bench_release(r, &packet);
		if (i % 64 != 63)
			continue;
		int64_t round = paste_store_commit(s);
		if (round < 0 || paste_store_poll(s) < 0 || (maintain && paste_store_maintain(s, false) < 0))
			bench_die("commit", -EIO, NULL);
	}
	int64_t round = paste_store_commit(s);
	if (round < 0 || paste_store_wait(s, (uint64_t)round) < 0)
		bench_die("commit", -EIO, NULL);
}

static void close_store(struct paste_store *s)
{
	int ret = paste_store_close(s);

	if (ret < 0)
		bench_die("close", ret, NULL);
}

/* As a process that is killed leaves it. */
static void leave_tail(const char *path, uint64_t from, uint64_t n, uint64_t keys, uint32_t value)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct paste_store *s = bench_open(path);
		put_range(s, from, n, keys, value, false);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		bench_die("leaving a tail", -EIO, NULL);
}

/* Seconds to map the file and take the checksum of so many bytes of it. */
static double read_mapped(const char *path, uint64_t bytes)
{
	struct stat st;
	double start = bench_now();
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		bench_die(path, 0, NULL);
	if (bytes > (uint64_t)st.st_size)
		bytes = (uint64_t)st.st_size;
	uint8_t *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		bench_die(path, 0, NULL);
	volatile uint32_t crc = 0;
	for (uint64_t at = 0; at < bytes; at += 4096)
		crc = paste_crc(crc, p + at, 4096);
	munmap(p, (size_t)st.st_size);
	close(fd);
	return bench_now() - start;
}

struct opening {
	double seconds, recovery, floor;
	uint64_t bytes; /* of checkpoint and log */
	uint64_t keys, records;
};

static void open_once(const char *path, struct opening *o)
{
	struct paste_store_stats st;
	double start = bench_now();
	struct paste_store *s = bench_open(path);

	o->seconds = bench_now() - start;
	paste_store_stats(s, &st);
	o->recovery = (double)st.recovery_us / 1e6;
	o->keys = st.recovered_entries;
	o->records = st.recovered_records;
	o->bytes = st.log_bytes + st.keys * 56;
	close_store(s);
}

static void bench_shm(const char *directory, uint64_t keys, uint64_t tail, uint32_t value)
{
	char path[4096], name[64];
	double seconds[RUNS], recovery[RUNS], floor[RUNS];
	struct opening o;

	uint64_t each = 2 * 56 + (value > 64 ? 2048 : 160);
	uint64_t size = (keys * each * 3 / 2 + tail * 4096 + (256ull << 20)) & ~((4ull << 20) - 1);
	bench_region_create(directory, size, path);
	struct paste_store *s = bench_open(path);
	put_range(s, 0, keys, keys, value, true);
	close_store(s);
	for (unsigned i = 0; i < RUNS; i++) {
		open_once(path, &o);
		seconds[i] = o.seconds;
		recovery[i] = o.recovery;
		floor[i] = read_mapped(path, o.bytes);
	}
	double clean = bench_middle(seconds, RUNS);
	snprintf(name, sizeof(name), "shm, %llu keys of %u B", (unsigned long long)o.keys, value);
	report_row(name);
	report_number("ms", clean * 1e3);
	report_number("recovery ms", bench_middle(recovery, RUNS) * 1e3);
	report_number("floor ms", bench_middle(floor, RUNS) * 1e3);
	report_number("k keys/s", (double)o.keys / clean / 1e3);
	report_number("records", (double)o.records);
	report_number("k records/s", 0);
	report_at_least(name, (double)o.keys / clean / 1e6, 1);
	for (unsigned i = 0; i < RUNS; i++) {
		leave_tail(path, i * tail, tail, keys, value);
		open_once(path, &o);
		seconds[i] = o.seconds;
		recovery[i] = o.recovery;
		floor[i] = read_mapped(path, o.bytes);
	}
	double with_tail = bench_middle(seconds, RUNS);
	snprintf(name, sizeof(name), "the same and a tail of %llu records", (unsigned long long)tail);
	report_row(name);
	report_number("ms", with_tail * 1e3);
	report_number("recovery ms", bench_middle(recovery, RUNS) * 1e3);
	report_number("floor ms", bench_middle(floor, RUNS) * 1e3);
	report_number("k keys/s", (double)o.keys / with_tail / 1e3);
	report_number("records", (double)o.records);
	report_number("k records/s", with_tail > clean ? (double)o.records / (with_tail - clean) / 1e3 : 0);
	bench_region_remove(path);
}

static double read_direct(const char *path, void *memory, uint64_t size)
{
	struct paste_error err = {{0}};
	struct file_io *io;
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		bench_die(path, 0, NULL);
	if (file_io_uring(fd, FILE_DEPTH, path, &io, &err) < 0)
		bench_die("io_uring", 0, &err);
	double start = bench_now();
	int ret = file_load(io, memory, size);
	double seconds = bench_now() - start;
	if (ret < 0)
		bench_die("read", ret, NULL);
	io->ops->close(io);
	close(fd);
	return seconds;
}

static void bench_file(const char *directory, uint64_t size)
{
	char path[4096], name[64];
	double seconds[RUNS], floor[RUNS], recovery[RUNS], rate[RUNS];
	struct opening o;

	bench_region_create(directory, size, path);
	struct paste_store *s = bench_open(path);
	uint64_t keys = size / 16384 * 3 / 4;
	put_range(s, 0, keys, keys, 15000, true);
	close_store(s);
	void *memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		bench_die("memory", 0, NULL);
	for (unsigned i = 0; i < RUNS; i++) {
		floor[i] = read_direct(path, memory, size);
		open_once(path, &o);
		seconds[i] = o.seconds;
		recovery[i] = o.recovery;
		rate[i] = floor[i] / seconds[i]; /* neighbours: the disk's speed comes and goes */
	}
	munmap(memory, size);
	double r = bench_middle(rate, RUNS);
	double mine = bench_middle(seconds, RUNS), disk = bench_middle(floor, RUNS);
	snprintf(name, sizeof(name), "file of %llu MiB, %llu keys of 15,000 B",
		 (unsigned long long)size >> 20, (unsigned long long)o.keys);
	report_row(name);
	report_number("ms", mine * 1e3);
	report_number("recovery ms", bench_middle(recovery, RUNS) * 1e3);
	report_number("floor ms", disk * 1e3);
	report_number("MB/s", (double)size / mine / 1e6);
	report_number("disk MB/s", (double)size / disk / 1e6);
	report_number("rate", r);
	report_at_least("opening the file, beside the speed of the disk", r, 0.8);
	bench_region_remove(path);
}

int main(int argc, char **argv)
{
	const char *shm = "/dev/shm", *disk = bench_disk();
	uint64_t keys = 1000000, tail = 100000, file = 1024;
	bool json = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--shm") == 0) {
			shm = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--disk") == 0) {
			disk = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--keys") == 0) {
			keys = (uint64_t)atoll(argv[++i]);
		} else if (i + 1 < argc && strcmp(argv[i], "--tail") == 0) {
			tail = (uint64_t)atoll(argv[++i]);
		} else if (i + 1 < argc && strcmp(argv[i], "--file") == 0) {
			file = (uint64_t)atoll(argv[++i]);
		} else {
			fprintf(stderr, "usage: open [--json] [--keys N] [--tail N] [--file MIB] [--shm DIR] "
					"[--disk DIR]\n");
			return 2;
		}
	}
	report_begin("Opening a region", json);
	bench_shm(shm, keys, tail, 16);
	bench_shm(shm, keys, tail, 1024);
	if (file)
		bench_file(disk, file << 20);
	report_note("What limits it: on shm making the index entry by entry, and mapping the region's pages; "
		    "on a file the "
		    "disk.");
	report_end();
	return 0;
}
