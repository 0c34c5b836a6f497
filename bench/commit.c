/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * commit.c - what it costs to make 1 KiB durable where it landed, on shm.
 *
 *	commit [--json] [--shm DIR] [--rounds N] [--only store|floor]
 *
 * Values lie in buffers, behind a request's head, as they come from the network. Timed, with 1 or 32 of them a
 * commit, is each layer on its own:
 *
 *	log	media and log: CRC32C and write-back of the extent, an op with its reference in the log, commit,
 *		and that the log learns that it is durable. This is what committing an extent is, and what the bound
 *		is for.
 *	append	what a client gets: the store's admission, index entry, ownership and round, too
 *	put	the same for keys: a place in the tree, and the old value's end
 *
 * The floor does with the same buffers what cannot be left out: CRC32C of the bytes, their write-back, and a group one
 * record that has a header of the real size and the references with their checksums, its checksum, its write-back
 * (where log lines are no longer in the first caches either), and a fence. Filling buffers, trimming and
 * maintenance are outside of the timed part on both sides. Cold: the lines were flushed from the cache after they
 * were filled, as if a device without cache injection had written them. Both sides take turns; the figures are the
 * middle ones.
 */
#include <errno.h>
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/crc.h"
#include "log/log.h"
#include "region/format.h"
#include "region/region.h"
#include "support.h"

#define REGION (512ull << 20)
#define VALUE 1024u
#define BATCH 64u                 /* values that are filled, then timed; they stay in the second cache */
#define BATCHES 200u              /* in a row, then it is the other's turn */
#define LOG_BYTES (8ull << 20)    /* the floor's log: as far as the store's goes between checkpoints */
#define STREAM "a-stream-of-them" /* 16 bytes */

static unsigned rounds = 25;

enum what { PUT, APPEND, LOG };

struct shape {
	const char *name;
	enum what what;
	uint32_t keys;
	unsigned group;
	bool cold;
	bool bound;
};

struct bench {
	struct paste_store *s;
	struct paste_region *r;
	uint8_t *log; /* the floor's */
	uint64_t tail;
	uint64_t seed;
	struct bench_packet packet[BATCH];
	char key[BATCH][16];
	struct paste_region *own; /* a region of its own for the log alone */
	struct log alone;
	char own_path[4096];
};

static void key_set(char key[16], uint32_t number)
{
	memcpy(key, "key-000000000000", 16);
	for (unsigned i = 15; number > 0; i--, number /= 10)
		key[i] = (char)('0' + number % 10);
}

static void fill_batch(struct bench *b, const struct shape *shape)
{
	for (unsigned i = 0; i < BATCH; i++) {
		uint64_t x = bench_random(&b->seed);
		if (!bench_receive(b->r, VALUE, x, &b->packet[i]))
			bench_die("no buffer", -ENOBUFS, NULL);
		key_set(b->key[i], (uint32_t)(x >> 20) % shape->keys);
		if (!shape->cold)
			continue;
		uint8_t *p = region_ref_data(b->r, b->packet[i].slice[0]);
		for (uint32_t o = 0; o < VALUE + 63; o += 64)
			_mm_clflush(p + o);
	}
	_mm_mfence();
}

static void release_batch(struct bench *b)
{
	for (unsigned i = 0; i < BATCH; i++)
		bench_release(b->r, &b->packet[i]);
}

/* One commit a group; seconds. */
static double store_batch(struct bench *b, const struct shape *shape)
{
	struct paste_result result;
	int64_t ret = 0;
	double start = bench_now();

	for (unsigned i = 0; i < BATCH;) {
		for (unsigned k = 0; k < shape->group && ret >= 0; k++, i++) {
			if (shape->what == PUT)
				ret = paste_store_put(b->s, b->key[i], sizeof(b->key[i]), b->packet[i].slice,
						      b->packet[i].n, &result);
			else
				ret = paste_store_append(b->s, STREAM, 16, b->packet[i].slice, b->packet[i].n,
							 &result);
		}
		int64_t round = ret < 0 ? ret : paste_store_commit(b->s);
		ret = round < 0 ? round : paste_store_poll(b->s);
		if (ret < round)
			bench_die("commit", ret < 0 ? (int)ret : -EIO, NULL);
	}
	return bench_now() - start;
}

/* The extents stay where the store's region has them: only references and checksums go to the log. */
static double log_batch(struct bench *b, const struct shape *shape)
{
	struct log *l = &b->alone;
	double start = bench_now();

	for (unsigned i = 0; i < BATCH;) {
		for (unsigned k = 0; k < shape->group; k++, i++) {
			struct paste_ref ref = b->packet[i].slice[0];
			struct extent e = {ref, paste_crc(0, region_ref_data(b->r, ref), ref.length)};
			region_write_back(b->r, ref);
			struct op_view v = {
			    .op = {.type = OP_APPEND, .refs = 1, .version = l->next, .length = VALUE},
			    .refs = &e,
			    .key = (const uint8_t *)STREAM,
			};
			v.op.key_length = 16;
			uint8_t *p = log_add(l, (uint32_t)op_size(&v.op));
			if (!p)
				bench_die("no segment", -ENOSPC, NULL);
			if (log_named(l, STREAM, 16))
				v.op.key_length = 0;
			log_added(l, (uint32_t)op_encode(p, &v), 1);
		}
		log_commit(l);
		/* One fence for both mappings, as if they were one. */
		media_ticket ticket = media_commit(b->own->m);
		log_closed(l);
		if (ticket < 0 || media_poll(b->own->m) < ticket)
			bench_die("commit", -EIO, NULL);
		log_durable(l, l->next - 1, l->stated);
	}
	return bench_now() - start;
}

__attribute__((target("clwb"))) static void clwb(const uint8_t *from, const uint8_t *to)
{
	for (const uint8_t *p = (const uint8_t *)((uintptr_t)from & ~63ull); p < to; p += 64)
		_mm_clwb((void *)(uintptr_t)p);
}

__attribute__((target("clflushopt"))) static void clflushopt(const uint8_t *from, const uint8_t *to)
{
	for (const uint8_t *p = (const uint8_t *)((uintptr_t)from & ~63ull); p < to; p += 64)
		_mm_clflushopt((void *)(uintptr_t)p);
}

static void clflush(const uint8_t *from, const uint8_t *to)
{
	for (const uint8_t *p = (const uint8_t *)((uintptr_t)from & ~63ull); p < to; p += 64)
		_mm_clflush(p);
}

static void none(const uint8_t *from, const uint8_t *to)
{
	__asm__ volatile("" : : "r"(from), "r"(to) : "memory");
}

/* The instruction that the medium chose. */
static void (*choose(const char *name))(const uint8_t *, const uint8_t *)
{
	return strcmp(name, "clwb") == 0         ? clwb
	       : strcmp(name, "clflushopt") == 0 ? clflushopt
	       : strcmp(name, "clflush") == 0    ? clflush
						 : none;
}

static double floor_batch(struct bench *b, const struct shape *shape)
{
	void (*write_back)(const uint8_t *, const uint8_t *) = choose(b->r->m->instruction);
	double start = bench_now();

	for (unsigned i = 0; i < BATCH;) {
		uint64_t from = b->tail;
		struct record *record = (struct record *)(void *)(b->log + b->tail);
		struct extent *e = (struct extent *)(record + 1);
		uint32_t bytes = (uint32_t)op_padded(sizeof(*record) + shape->group * sizeof(*e));
		memset(record, (int)i, sizeof(*record));
		for (unsigned k = 0; k < shape->group; k++, i++) {
			struct paste_ref ref = b->packet[i].slice[0];
			const uint8_t *p = region_ref_data(b->r, ref);
			*e++ = (struct extent){ref, paste_crc(0, p, VALUE)};
			write_back(p, p + VALUE);
		}
		record->crc = paste_crc(1, &record->epoch, bytes - 4);
		b->tail += bytes;
		write_back(b->log + from, b->log + b->tail);
		_mm_sfence();
		b->tail = (b->tail + 63) & ~63ull;
		if (b->tail + 64 * 1024 > LOG_BYTES)
			b->tail = 0;
	}
	return bench_now() - start;
}

static void after_store(struct bench *b, const struct shape *shape)
{
	struct paste_result result;
	uint64_t first, next, round;

	if (shape->what == LOG) {
		/* As a checkpoint does now and then. */
		if (b->alone.n > LOG_BYTES >> b->own->segment_shift)
			log_truncate(&b->alone, log_rotate(&b->alone));
		return;
	}
	if (shape->what == APPEND && paste_store_stream(b->s, STREAM, 16, &first, &next, &round) == 0 &&
	    next - first > 1000)
		paste_store_trim(b->s, STREAM, 16, next - 1000, &result);
	/* Until the checkpoint that may be under way is finished: half a one would be in the next timed part.
	 */
	int more = 1;
	while (more > 0) {
		more = paste_store_maintain(b->s, false);
		int64_t round_now = paste_store_commit(b->s);
		if (more < 0 || round_now < 0 || paste_store_poll(b->s) < 0)
			bench_die("maintain", more, NULL);
	}
}

/* Appends the seconds of each batch to `times`. */
static void run(struct bench *b, const struct shape *shape, bool store, double *times)
{
	for (unsigned i = 0; i < BATCHES; i++) {
		fill_batch(b, shape);
		times[i] = !store                 ? floor_batch(b, shape)
			   : shape->what == LOG ? log_batch(b, shape)
						: store_batch(b, shape);
		release_batch(b);
		if (store)
			after_store(b, shape);
	}
}

static void measure(struct bench *b, const struct shape *shape, const char *only)
{
	double *store = calloc((size_t)rounds * BATCHES, sizeof(*store));
	double *floor = calloc((size_t)rounds * BATCHES, sizeof(*floor));

	if (!store || !floor)
		bench_die("memory", -ENOMEM, NULL);
	for (unsigned i = 0; i < rounds; i++) {
		if (!only || strcmp(only, "floor") == 0)
			run(b, shape, false, floor + (size_t)i * BATCHES);
		if (!only || strcmp(only, "store") == 0)
			run(b, shape, true, store + (size_t)i * BATCHES);
	}
	/* The middle batch: what else runs on the machine takes some of them, not most. */
	double s = bench_middle(store, rounds * BATCHES) / BATCH * 1e9;
	double f = bench_middle(floor, rounds * BATCHES) / BATCH * 1e9;
	free(store);
	free(floor);
	report_row(shape->name);
	report_number("ns", s);
	report_number("floor", f);
	report_number("ratio", s / f);
	if (shape->bound)
		report_at_most(shape->name, s / f, 1.3);
}

/* Keys first, all there before anything is timed: a put replaces. */
static void load(struct bench *b, uint32_t keys)
{
	struct bench_packet packet;
	struct paste_result result;
	char key[16];

	for (uint32_t i = 0; i < keys; i++) {
		key_set(key, i);
		if (!bench_receive(b->r, VALUE, i, &packet))
			bench_die("no buffer", -ENOBUFS, NULL);
		int ret = paste_store_put(b->s, key, sizeof(key), packet.slice, packet.n, &result);
		if (ret < 0)
			bench_die("put", ret, NULL);
		bench_release(b->r, &packet);
		if (i % 32 == 31 && (paste_store_commit(b->s) < 0 || paste_store_poll(b->s) < 0))
			bench_die("commit", -EIO, NULL);
	}
	bench_settle(b->s);
}

static const struct shape shapes[] = {
    {"log, 1 a group", LOG, 1, 1, false, true},
    {"log, 32 a group", LOG, 1, 32, false, true},
    {"append, 1 a group", APPEND, 1, 1, false, false},
    {"append, 32 a group", APPEND, 1, 32, false, false},
    {"put, 1 k keys of 100 k, 1 a group", PUT, 1000, 1, false, false},
    {"put, 1 k keys of 100 k, 32 a group", PUT, 1000, 32, false, false},
    {"put, all of 100 k keys, 1 a group", PUT, 100000, 1, false, false},
    {"put, all of 100 k keys, 32 a group", PUT, 100000, 32, false, false},
    {"append, 1 a group, cold", APPEND, 1, 1, true, false},
    {"append, 32 a group, cold", APPEND, 1, 32, true, false},
};

int main(int argc, char **argv)
{
	const char *shm = "/dev/shm", *only = NULL, *shape = NULL;
	bool json = false;
	char path[4096];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--shm") == 0) {
			shm = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--only") == 0) {
			only = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--shape") == 0) {
			shape = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--rounds") == 0 && atoi(argv[i + 1]) > 0 &&
			   atoi(argv[i + 1]) <= 1000) {
			rounds = (unsigned)atoi(argv[++i]);
		} else {
			fprintf(stderr, "usage: commit [--json] [--shm DIR] [--rounds N] [--only "
					"store|floor] [--shape NAME]\n");
			return 2;
		}
	}
	report_begin("Committing 1 KiB extents on shm, beside their checksum, write-back, record and fence "
		     "(ns a value)",
		     json);
	bench_region_create(shm, REGION, path);
	struct bench b = {.s = bench_open(path), .seed = 1};
	b.r = paste_store_region(b.s);
	b.own = bench_log_open(shm, 128ull << 20, b.own_path, &b.alone);
	b.log =
	    mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (b.log == MAP_FAILED)
		bench_die("mmap", 0, NULL);
	memset(b.log, 1, LOG_BYTES);
	load(&b, 100000);
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (!shape || strcmp(shape, shapes[i].name) == 0)
			measure(&b, &shapes[i], only);
	}
	report_note("%s. What limits it: with 1 a group the fence, which waits for the write-backs; with 32 the "
		    "write-backs and the checksum. The log beyond the floor: an op says whose the extent is, and "
		    "later records say whose changes those before them were. The store beyond the log: the index, "
		    "whose entry of a key that is not in the cache costs its misses, and freeing what was replaced.",
		    b.r->m->instruction);
	report_end();
	int ret = paste_store_close(b.s);
	if (ret < 0)
		bench_die("close", ret, NULL);
	bench_region_remove(path);
	log_free(&b.alone);
	region_close(b.own);
	bench_region_remove(b.own_path);
	return 0;
}
