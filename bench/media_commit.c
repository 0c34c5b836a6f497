/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * media_commit.c - what the media add to the bare instructions and system calls.
 *
 *	media_commit [--json] [--shm DIR] [--disk DIR] [--open MIB]
 *
 * shm: extents of 64 B to 4 KiB are stored to (one word a line), written back and fenced, 1 or 32 a fence;
 *the floor is the same loop with the instructions in it. file: groups of 4 KiB blocks; the floor is a loop of
 *pwrite() to the same places with O_DIRECT and one fdatasync() a group, and beside it io_uring by hand
 *(write, wait, sync, wait). open: reading a region in; the floor is the same reads into memory that has its
 *pages already, so the disk alone. Medium and floor take turns, 11 rounds of each; the figures are the middle
 *ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "media/file.h"
#include "media/flush.h"
#include "media/media.h"

#define ROUNDS 11
#define REGION (64ull << 20)

struct row {
	char what[64];
	double value, floor, hand; /* ns or us an item, MB/s for open; hand 0: none */
	const char *unit;
};

static struct row rows[32];
static unsigned n_rows;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double middle(double *values)
{
	qsort(values, ROUNDS, sizeof(double), ascending);
	return values[ROUNDS / 2];
}

static void die(const char *what, const struct paste_error *err)
{
	fprintf(stderr, "media_commit: %s: %s\n", what, err ? err->text : strerror(errno));
	exit(1);
}

static struct media *region(const char *directory, uint64_t size)
{
	char path[4096];
	struct paste_error err;
	struct media *m;

	snprintf(path, sizeof(path), "%s/media_commit-%d", directory, (int)getpid());
	struct media_options options = {.path = path, .size = size};
	if (media_create(&options, &m, &err) < 0)
		die("create", &err);
	return m; /* never published: gone when it is closed */
}

/* --- shm
 * ---------------------------------------------------------------------------------------------------------
 */

static void store(uint8_t *p, unsigned bytes, uint64_t value)
{
	for (unsigned i = 0; i < bytes; i += FLUSH_LINE)
		*(volatile uint64_t *)(void *)(p + i) = value;
}

typedef void group_fn(struct media *m, uint64_t at, unsigned bytes, unsigned n);

__attribute__((target("clwb"))) static void raw_clwb(struct media *m, uint64_t at, unsigned bytes, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		uint8_t *p = m->base + at + (uint64_t)k * bytes;
		store(p, bytes, at);
		for (unsigned i = 0; i < bytes; i += FLUSH_LINE)
			_mm_clwb(p + i);
	}
	_mm_sfence();
}

__attribute__((target("clflushopt"))) static void raw_clflushopt(struct media *m, uint64_t at, unsigned bytes,
								 unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		uint8_t *p = m->base + at + (uint64_t)k * bytes;
		store(p, bytes, at);
		for (unsigned i = 0; i < bytes; i += FLUSH_LINE)
			_mm_clflushopt(p + i);
	}
	_mm_sfence();
}

static void raw_clflush(struct media *m, uint64_t at, unsigned bytes, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		uint8_t *p = m->base + at + (uint64_t)k * bytes;
		store(p, bytes, at);
		for (unsigned i = 0; i < bytes; i += FLUSH_LINE)
			_mm_clflush(p + i);
	}
	_mm_sfence();
}

static void by_medium(struct media *m, uint64_t at, unsigned bytes, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		store(m->base + at + (uint64_t)k * bytes, bytes, at);
		media_write_back(m, at + (uint64_t)k * bytes, bytes);
	}
	media_commit(m);
}

/* ns an extent, over enough of them that the clock does not matter */
static double time_groups(group_fn *group, struct media *m, unsigned bytes, unsigned n)
{
	unsigned groups = 20000000 / (n * (200 + bytes / 2)) / 4 + 1;
	uint64_t at = 0;
	double start = now();

	for (unsigned i = 0; i < groups; i++) {
		group(m, at, bytes, n);
		at += (uint64_t)n * bytes;
		if (at + (uint64_t)n * bytes >
		    512 << 10) /* stay in the cache, as packets that just arrived are */
			at = 0;
	}
	return (now() - start) / groups / n * 1e9;
}

static void bench_shm(const char *directory)
{
	static const unsigned sizes[] = {64, 256, 1024, 4096}, counts[] = {1, 32};
	struct media *m = region(directory, REGION);
	group_fn *raw = strcmp(m->instruction, "clwb") == 0         ? raw_clwb
			: strcmp(m->instruction, "clflushopt") == 0 ? raw_clflushopt
								    : raw_clflush;

	for (unsigned c = 0; c < 2; c++) {
		for (unsigned s = 0; s < 4; s++) {
			double medium[ROUNDS], floor[ROUNDS];
			for (unsigned r = 0; r < ROUNDS; r++) {
				floor[r] = time_groups(raw, m, sizes[s], counts[c]);
				medium[r] = time_groups(by_medium, m, sizes[s], counts[c]);
			}
			struct row *row = &rows[n_rows++];
			snprintf(row->what, sizeof(row->what), "shm, %u B, %u a group", sizes[s], counts[c]);
			row->value = middle(medium);
			row->floor = middle(floor);
			row->unit = "ns an extent";
		}
	}
	media_close(m);
}

/* --- file
 * -------------------------------------------------------------------------------------------------------- */

struct shape {
	const char *name;
	unsigned ranges, bytes;
};

/* The blocks of a group: one run, or ranges far from each other; the next group's are beside them. */
static uint64_t place(const struct shape *s, unsigned group, unsigned range)
{
	uint64_t apart = REGION / s->ranges & ~4095ull;

	return range * apart + (uint64_t)group * s->bytes % (apart - s->bytes + 1) / 4096 * 4096;
}

static double file_by_hand(int fd, struct media *m, const struct shape *s, unsigned groups)
{
	double start = now();

	for (unsigned g = 0; g < groups; g++) {
		for (unsigned r = 0; r < s->ranges; r++) {
			uint64_t at = place(s, g, r);
			if (pwrite(fd, m->base + at, s->bytes, (off_t)at) != (ssize_t)s->bytes)
				die("pwrite", NULL);
		}
		if (fdatasync(fd) < 0)
			die("fdatasync", NULL);
	}
	return (now() - start) / groups * 1e6;
}

static void ring_wait(struct io_uring *ring, unsigned n)
{
	struct io_uring_cqe *cqe;

	io_uring_submit_and_wait(ring, n);
	for (unsigned i = 0; i < n; i++) {
		if (io_uring_wait_cqe(ring, &cqe) < 0 || cqe->res < 0)
			die("io_uring", NULL);
		io_uring_cqe_seen(ring, cqe);
	}
}

static double file_by_ring(struct io_uring *ring, int fd, struct media *m, const struct shape *s,
			   unsigned groups)
{
	double start = now();

	for (unsigned g = 0; g < groups; g++) {
		for (unsigned r = 0; r < s->ranges; r++) {
			uint64_t at = place(s, g, r);
			io_uring_prep_write(io_uring_get_sqe(ring), fd, m->base + at, s->bytes, at);
		}
		ring_wait(ring, s->ranges);
		io_uring_prep_fsync(io_uring_get_sqe(ring), fd, IORING_FSYNC_DATASYNC);
		ring_wait(ring, 1);
	}
	return (now() - start) / groups * 1e6;
}

/* `ahead` groups are committed beyond the one that is waited for. */
static double file_by_medium(struct media *m, const struct shape *s, unsigned groups, unsigned ahead)
{
	double start = now();
	media_ticket ticket = 0;

	for (unsigned g = 0; g < groups; g++) {
		for (unsigned r = 0; r < s->ranges; r++)
			media_write_back(m, place(s, g, r), s->bytes);
		ticket = media_commit(m);
		if (media_wait(m, ticket - ahead) < 0)
			die("wait", NULL);
	}
	media_wait(m, ticket);
	return (now() - start) / groups * 1e6;
}

static void bench_file(const char *directory, int fd)
{
	static const struct shape shapes[] = {{"4 KiB", 1, 4096},
					      {"64 KiB", 1, 65536},
					      {"4 x 4 KiB apart", 4, 4096},
					      {"32 x 4 KiB apart", 32, 4096}};
	struct media *m = region(directory, REGION);
	struct io_uring ring;

	if (io_uring_queue_init(64, &ring, 0) < 0)
		die("io_uring", NULL);
	for (unsigned i = 0; i < 4; i++) {
		const struct shape *s = &shapes[i];
		double medium[ROUNDS], ahead[ROUNDS], floor[ROUNDS], hand[ROUNDS];
		unsigned groups = 800 / (s->ranges + 4);
		for (unsigned r = 0; r < ROUNDS; r++) {
			floor[r] = file_by_hand(fd, m, s, groups);
			medium[r] = file_by_medium(m, s, groups, 0);
			hand[r] = file_by_ring(&ring, fd, m, s, groups);
			ahead[r] = file_by_medium(m, s, groups, 7);
		}
		double by_hand = middle(floor), by_ring = middle(hand);
		struct row *row = &rows[n_rows++];
		*row = (struct row){
		    .value = middle(medium), .floor = by_hand, .hand = by_ring, .unit = "us a group"};
		snprintf(row->what, sizeof(row->what), "file, %s, one group at a time", s->name);
		row = &rows[n_rows++];
		*row = (struct row){
		    .value = middle(ahead), .floor = by_hand, .hand = by_ring, .unit = "us a group"};
		snprintf(row->what, sizeof(row->what), "file, %s, eight under way", s->name);
	}
	io_uring_queue_exit(&ring);
	media_close(m);
}

/* A file like a region's, for the loops by hand; no name. */
static int plain_file(const char *directory, uint64_t size)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	void *zeroes = aligned_alloc(4096, 1 << 20);

	if (fd < 0 || !zeroes || fallocate(fd, 0, 0, (off_t)size) < 0)
		die(directory, NULL);
	memset(zeroes, 0, 1 << 20);
	for (uint64_t at = 0; at < size; at += 1 << 20) {
		if (pwrite(fd, zeroes, 1 << 20, (off_t)at) != 1 << 20)
			die("pwrite", NULL);
	}
	fsync(fd);
	free(zeroes);
	return fd;
}

/* --- open
 * -------------------------------------------------------------------------------------------------------- */

static double read_in(const char *path, int fd, void *memory, uint64_t size)
{
	struct paste_error err;
	struct file_io *io;

	if (file_io_uring(fd, FILE_DEPTH, path, &io, &err) < 0)
		die("io_uring", &err);
	double start = now();
	if (file_load(io, memory, size) < 0)
		die("read", NULL);
	double seconds = now() - start;
	io->ops->close(io);
	return (double)size / seconds / 1e6;
}

static double open_region(const char *path, uint64_t size)
{
	struct media_options options = {.path = path, .read_only = true};
	struct paste_error err;
	struct media *m;
	double start = now();

	if (media_open(&options, &m, &err) < 0)
		die("open", &err);
	double seconds = now() - start;
	media_close(m);
	return (double)size / seconds / 1e6;
}

static void bench_open(const char *directory, uint64_t size)
{
	char path[4096];
	double medium[ROUNDS], floor[ROUNDS];
	struct paste_error err;
	struct media *m;

	snprintf(path, sizeof(path), "%s/media_commit-%d", directory, (int)getpid());
	struct media_options options = {.path = path, .size = size};
	if (media_create(&options, &m, &err) < 0 || media_publish(m, &err) < 0)
		die("create", &err);
	media_close(m);
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	void *memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (fd < 0 || memory == MAP_FAILED)
		die(path, NULL);
	memset(memory, 1, size);
	for (unsigned r = 0; r < ROUNDS; r++) {
		floor[r] = read_in(path, fd, memory, size);
		medium[r] = open_region(path, size);
	}
	munmap(memory, size);
	close(fd);
	unlink(path);
	struct row *row = &rows[n_rows++];
	snprintf(row->what, sizeof(row->what), "open a file of %llu MiB", (unsigned long long)size >> 20);
	row->value = middle(medium);
	row->floor = middle(floor);
	row->unit = "MB/s";
}

/* --- output
 * ------------------------------------------------------------------------------------------------------ */

static const struct row *find_row(const char *what)
{
	for (unsigned i = 0; i < n_rows; i++) {
		if (strcmp(rows[i].what, what) == 0)
			return &rows[i];
	}
	return NULL;
}

static const char *bound(bool json, const char *comma, const char *what, bool inverse, bool at_least,
			 double limit)
{
	const struct row *row = find_row(what);

	if (!row)
		return comma;
	double value = inverse ? row->floor / row->value : row->value / row->floor;
	if (json)
		printf("%s{\"what\":\"%s, %s\",\"value\":%.3f,\"%s\":%.1f}", comma, what,
		       inverse ? "rate of the floor" : "medium / floor", value,
		       at_least ? "at_least" : "at_most", limit);
	else
		printf("%s: %s: %.2f (%s %.1f)\n",
		       (at_least ? value >= limit : value <= limit) ? "kept" : "MISSED", what, value,
		       at_least ? "at least" : "at most", limit);
	return ",";
}

static void print_rows(bool json)
{
	const char *comma = "";

	for (unsigned i = 0; i < n_rows; i++) {
		const struct row *r = &rows[i];
		if (!json) {
			char hand[16] = "";
			if (r->hand > 0)
				snprintf(hand, sizeof(hand), "%.1f", r->hand);
			printf("%-46s %9.1f %9.1f %9s  %-12s %6.2f\n", r->what, r->value, r->floor, hand,
			       r->unit, r->value / r->floor);
			continue;
		}
		printf("%s{\"case\":\"%s\",\"medium\":%.1f,\"floor\":%.1f,", comma, r->what, r->value,
		       r->floor);
		if (r->hand > 0)
			printf("\"io_uring by hand\":%.1f,", r->hand);
		printf("\"unit\":\"%s\",\"ratio\":%.3f}", r->unit, r->value / r->floor);
		comma = ",";
	}
}

static void print_bounds(bool json, unsigned open_mib)
{
	char what[64];
	const char *comma = "";

	comma = bound(json, comma, "shm, 1024 B, 1 a group", false, false, 1.3);
	comma = bound(json, comma, "shm, 1024 B, 32 a group", false, false, 1.3);
	comma = bound(json, comma, "file, 64 KiB, one group at a time", true, true, 0.8);
	snprintf(what, sizeof(what), "open a file of %u MiB", open_mib);
	bound(json, comma, what, false, true, 0.8);
}

static const char *const note =
    "What limits it: on shm the write-backs and the fence themselves; on file the disk's flush, for large "
    "groups its "
    "bandwidth; opening is bound by the disk and by zeroing fresh pages, which a second core does ahead.";

int main(int argc, char **argv)
{
	const char *shm = "/dev/shm", *disk = ".";
	bool json = false;
	unsigned open_mib = 1024;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--shm") == 0) {
			shm = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--disk") == 0) {
			disk = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--open") == 0) {
			open_mib = (unsigned)atoi(argv[++i]);
		} else {
			fprintf(stderr,
				"usage: media_commit [--json] [--shm DIR] [--disk DIR] [--open MIB]\n");
			return 2;
		}
	}
	bench_shm(shm);
	int fd = plain_file(disk, REGION);
	bench_file(disk, fd);
	close(fd);
	if (open_mib)
		bench_open(disk, (uint64_t)open_mib << 20);

	if (!json)
		printf("%-46s %9s %9s %9s  %-12s %6s\n", "", "medium", "floor", "io_uring", "", "ratio");
	else
		printf(
		    "{\"title\":\"Media: commits beside the bare instructions and system calls\",\"rows\":[");
	print_rows(json);
	if (json)
		printf("],\"bounds\":[");
	print_bounds(json, open_mib);
	if (json)
		printf("],\"notes\":[\"%s\"]}\n", note);
	else
		printf("%s\n", note);
	return 0;
}
