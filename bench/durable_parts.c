/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * durable_parts.c - what each part of making 1280 bytes durable costs, on shm, by adding one part after the
 *other.
 *
 *	durable_parts [--json] [--shm DIR] [--rounds N] [--group N]
 *
 * Values arrive in buffers of the region as the kernel would copy them there, a round of them, and then a
 *round is timed in which each is
 *
 *	CRC		checksummed,
 *	write-back	written back where it lies,
 *	record		named by a record: op, reference, digests, checksum,
 *	log write-back	and the round's records are written back,
 *	fence		and fenced, once a round; what it waits for is in it.
 *
 * Each part is the middle of the differences between a round with it and one without it, in turns. --group:
 *how many a round, else several of them.
 */
#include <errno.h>
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "log/log.h"
#include "region/format.h"
#include "region/region.h"
#include "support.h"

#define REGION (256ull << 20)
#define LOG_REGION (128ull << 20)
#define LOG_BYTES (8ull << 20) /* as far as a log goes between checkpoints */
#define VALUE 1280u
#define GROUP_MOST 256u
#define TURNS 200u /* rounds with so many parts, then with one more */
#define STREAM "log-0"

enum part { NOTHING, CRC, WRITE_BACK, RECORD, LOG_WRITE_BACK, FENCE, PARTS };

static unsigned rounds = 12;

struct bench {
	struct paste_store *s; /* its region is where values arrive */
	struct paste_region *r;
	struct paste_region *own; /* and this one's is the log's */
	struct log log;
	char path[4096], own_path[4096];
	uint64_t seed;
	struct bench_packet packet[GROUP_MOST];
	uint32_t kept; /* so that no CRC is left out by the compiler */
};

static void add_record(struct log *l, const struct extent *e)
{
	struct op_view v = {
	    .op = {.type = OP_APPEND, .refs = 1, .version = l->next, .length = VALUE},
	    .refs = e,
	    .key = (const uint8_t *)STREAM,
	};

	v.op.key_length = sizeof(STREAM) - 1;
	uint8_t *p = log_add(l, (uint32_t)op_size(&v.op));
	if (!p)
		bench_die("no segment", -ENOSPC, NULL);
	if (log_named(l, STREAM, sizeof(STREAM) - 1))
		v.op.key_length = 0;
	log_added(l, (uint32_t)op_encode(p, &v), 1);
}

/* One round with all parts up to this one; seconds. */
static double timed_round(struct bench *b, unsigned group, enum part upto)
{
	struct log *l = &b->log;
	double start = bench_now();

	for (unsigned i = 0; i < group; i++) {
		struct paste_ref ref = b->packet[i].slice[0];
		struct extent e = {ref, 0};

		if (upto >= CRC)
			e.crc = paste_crc(0, region_ref_data(b->r, ref), ref.length);
		b->kept += e.crc;
		if (upto >= WRITE_BACK)
			region_write_back(b->r, ref);
		if (upto >= RECORD)
			add_record(l, &e);
	}
	if (upto >= RECORD)
		log_commit(l); /* writes back, unless the medium is suspended */
	if (upto >= FENCE && media_commit(b->own->m) < 0)
		bench_die("commit", -EIO, NULL);
	if (upto >= RECORD)
		log_closed(l);
	return bench_now() - start;
}

static double round_with(struct bench *b, unsigned group, enum part upto)
{
	for (unsigned i = 0; i < group; i++)
		if (!bench_receive(b->r, VALUE, bench_random(&b->seed), &b->packet[i]))
			bench_die("no buffer", -ENOBUFS, NULL);
	if (upto < LOG_WRITE_BACK)
		media_suspend(b->own->m);
	double took = timed_round(b, group, upto);
	if (upto < LOG_WRITE_BACK)
		media_resume(b->own->m);
	_mm_sfence(); /* no write-back of this round is the next one's */
	if (upto >= RECORD)
		log_durable(&b->log, b->log.next - 1, b->log.stated);
	if (b->log.n > LOG_BYTES >> b->own->segment_shift)
		log_truncate(&b->log, log_rotate(&b->log));
	for (unsigned i = 0; i < group; i++)
		bench_release(b->r, &b->packet[i]);
	return took;
}

static void measure(struct bench *b, unsigned group)
{
	static const char *const columns[PARTS] = {"loop",           "CRC",  "write-back", "record",
						   "log write-back", "fence"};
	double times[PARTS][TURNS], with[PARTS], parts[PARTS];
	double *middles[PARTS];

	for (int p = 0; p < PARTS; p++) {
		middles[p] = calloc(rounds, sizeof(double));
		if (!middles[p])
			bench_die("memory", -ENOMEM, NULL);
	}
	for (unsigned i = 0; i < rounds; i++) {
		for (unsigned t = 0; t < TURNS; t++)
			for (int p = 0; p < PARTS; p++)
				times[p][t] = round_with(b, group, (enum part)p);
		for (int p = 0; p < PARTS; p++)
			with[p] = bench_middle(times[p], TURNS) / group * 1e9;
		for (int p = 0; p < PARTS; p++)
			middles[p][i] = with[p] - (p ? with[p - 1] : 0);
	}
	double sum = 0;
	char name[64];
	snprintf(name, sizeof(name), "%u B, %u a round", VALUE, group);
	report_row(name);
	for (int p = 0; p < PARTS; p++) {
		parts[p] = bench_middle(middles[p], rounds);
		free(middles[p]);
		if (p == NOTHING)
			continue;
		sum += parts[p];
		report_number(columns[p], parts[p]);
	}
	report_number("all", sum);
}

int main(int argc, char **argv)
{
	static const unsigned groups[] = {1, 4, 20, 64};
	const char *shm = "/dev/shm";
	unsigned group = 0;
	bool json = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (i + 1 < argc && strcmp(argv[i], "--shm") == 0) {
			shm = argv[++i];
		} else if (i + 1 < argc && strcmp(argv[i], "--group") == 0 && atoi(argv[i + 1]) > 0 &&
			   atoi(argv[i + 1]) <= (int)GROUP_MOST) {
			group = (unsigned)atoi(argv[++i]);
		} else if (i + 1 < argc && strcmp(argv[i], "--rounds") == 0 && atoi(argv[i + 1]) > 0 &&
			   atoi(argv[i + 1]) <= 1000) {
			rounds = (unsigned)atoi(argv[++i]);
		} else {
			fprintf(stderr,
				"usage: durable_parts [--json] [--shm DIR] [--rounds N] [--group N]\n");
			return 2;
		}
	}
	report_begin("The parts of making a value durable on shm (ns a value)", json);
	static struct bench b;
	b.seed = 1;
	bench_region_create(shm, REGION, b.path);
	b.s = bench_open(b.path);
	b.r = paste_store_region(b.s);
	b.own = bench_log_open(shm, LOG_REGION, b.own_path, &b.log);
	if (group)
		measure(&b, group);
	for (unsigned i = 0; !group && i < sizeof(groups) / sizeof(groups[0]); i++)
		measure(&b, groups[i]);
	report_note("%s; checksum of checksums %08x", b.r->m->instruction, b.kept);
	report_end();
	int ret = paste_store_close(b.s);
	if (ret < 0)
		bench_die("close", ret, NULL);
	bench_region_remove(b.path);
	log_free(&b.log);
	region_close(b.own);
	bench_region_remove(b.own_path);
	return 0;
}
